"""A search in words: what was tried, what was best, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sk_dlsteps.plan import StepRecord
from sk_dlsteps.step4_validation.rungs import describe_change

# Candidates that the record lists.
N_LISTED = 5


def search_records(search: Any) -> tuple[StepRecord, ...]:
    """Tell of a scikit-learn search.

    Parameters
    ----------
    search : search object or None
        With `cv_results_`; a StepwiseSearchCV with a ladder tells its rungs.

    Returns
    -------
    records : tuple of StepRecord
        Of step 4; of steps 3 and 4 for a ladder; none for None.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import GridSearchCV
    >>> search = GridSearchCV(Ridge(), {"alpha": [0.1, 10.0]}).fit(*load_diabetes(return_X_y=True))
    >>> search_records(search)[0].decision
    'alpha=0.1'

    """
    if search is None:
        return ()
    if hasattr(search, "ladder_"):
        return search.ladder_.records()
    results, best = search.cv_results_, search.best_index_
    metric = search.refit if getattr(search, "multimetric_", False) else "score"
    mean, spread = results[f"mean_test_{metric}"], results[f"std_test_{metric}"]
    order = np.argsort(-np.where(np.isnan(mean), -np.inf, mean), kind="stable")[:N_LISTED]
    name = "score" if metric == "score" else metric
    table = [
        {
            f"validation {name}": float(mean[i]),
            "std over folds": float(spread[i]),
            "candidate": describe_change(results["params"][i]),
        }
        for i in order
    ]
    because = (
        f"the best of {len(mean)} candidates on {search.n_splits_} folds: mean validation {name} {mean[best]:.4f}"
        f"{_of_all(mean, best)}"
    )
    evidence = {"candidates": len(mean), "folds": int(search.n_splits_), "the best candidates": table}
    return (StepRecord(4, "search", describe_change(_own(results["params"][best])), because, evidence),)


def _of_all(mean: np.ndarray, best: int) -> str:
    """How the best stands beside the others."""
    failed = int(np.isnan(mean).sum())
    others = np.delete(mean, best)
    known = others[~np.isnan(others)]
    words = f", median of the others {np.median(known):.4f}" if len(known) else ""
    return words + (f"; {failed} failed" if failed else "")


def _own(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters as they are; a search without any has tried the estimator alone."""
    return params or {"parameters": "as they were"}
