"""What step 4 promised: the validation score, with its noise and its luck."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import BaseShuffleSplit

from sk_dlsteps.fitted import Fitted
from sk_dlsteps.step4_validation.noise import paired_difference
from sk_dlsteps.step5_test.metric import Metric
from sk_dlsteps.step5_test.optimism import Optimism

# How much of Nadeau and Bengio's correction for shared training rows counts in the noise of the gap. All of it is for
# another training set, which is not asked for here; none of it is too little, as the folds' models differ. In searches
# by ridge regression (docs/benchmarks/verification.py) none gave up to 6.4 % false verdicts, a half 3.5 to 4.6 %.
OVERLAP = 0.5


@dataclass(frozen=True)
class Promise:
    """The validation score of a model.

    Attributes
    ----------
    score : float
        Mean over the folds, or of the rows held out.
    error : float
        Its standard error, Nadeau and Bengio's where folds share training rows: how far another training set
        may be from it.
    row_error : float
        The part of it that blurs the gap: of the choice of the validation rows, and of `optimism`.
    freedom : float
        Degrees of freedom of `row_error`.
    n_rows : int or None
        Rows that validated; None if unknown.
    n_candidates : int
        Candidates of which it is the best.
    optimism : float
        What it owes to being the best.
    of_single_networks : bool
        Whether it is the score of single networks, and not of their mean.

    """

    score: float
    error: float
    row_error: float
    freedom: float
    n_rows: int | None
    n_candidates: int = 1
    optimism: float = 0.0
    of_single_networks: bool = False

    @classmethod
    def of(cls, fitted: Fitted, metric: Metric) -> Promise | str:
        """Read it off a search, or off one of our models; else say why there is none, and the way out."""
        if metric.column is None:
            return (
                f"step 4 has not seen the {metric.name}: search with `scoring={metric.name!r}`, or verify the score "
                "that the model was chosen by"
            )
        if fitted.search is not None:
            return _of_search(fitted.search, metric.column)
        if not fitted.is_ours:
            return (
                f"{type(fitted.model).__name__} keeps no validation score: give the search that it comes from, for "
                "example `GridSearchCV(model, {}).fit(X_train, y_train)`"
            )
        return _of_model(fitted.model)


def _of_model(model: Any) -> Promise | str:
    """The score of rows that networks held out, or of `X_val`."""
    score, error = model.validation_score_, model.validation_error_
    if score is None:
        return (
            "no rows were held out in training: fit with `early_stopping=True` and more rows, with `X_val` and "
            "`y_val`, or search with cross-validation"
        )
    if not math.isfinite(score) or not math.isfinite(error):
        return "a single row validated, which shows no noise: hold out more, with `validation_fraction` or `X_val`"
    n_rows, single = model.n_validation_rows_, model.oof_prediction_ is not None
    n_folds = model.plan_.n_networks if single else 1
    # As of n_folds folds, which each test n/n_folds rows and train on the others.
    corrected = error * math.sqrt(1 + n_folds / (n_folds - 1)) if n_folds > 1 else error
    return Promise(score, corrected, error, n_rows - 1, n_rows, of_single_networks=single)


def _of_search(search: Any, column: str) -> Promise | str:
    """The mean score of the best candidate over the folds."""
    results, best = search.cv_results_, search.best_index_
    k = search.n_splits_
    scores = np.column_stack([np.asarray(results[f"split{i}_test_{column}"], dtype=float) for i in range(k)])
    own = scores[best]
    if not np.isfinite(own).all():
        return "the best candidate failed on some folds: search with `error_score='raise'` to see why"
    if k < 2:
        return "a single split shows no noise: search with `cv` of two folds or more"
    # Of a search by halving, those that were compared on the same resources in the end.
    last = results["iter"] == results["iter"][best] if "iter" in results else np.ones(len(scores), dtype=bool)
    compared = np.flatnonzero(last & np.isfinite(scores).all(1))
    share = _test_share(search)
    error = paired_difference(own, np.zeros(k), share / (1 - share)).error
    luck = Optimism.of(scores[compared], int(np.searchsorted(compared, best)))
    rows = max(1 / k, share) + OVERLAP * share / (1 - share)
    row_error = math.hypot(float(own.std(ddof=1)) * math.sqrt(rows), luck.error)
    n_rows = getattr(search, "n_validation_rows_", None)
    freedom = min(k, 1 / share) - 1
    return Promise(float(own.mean()), error, row_error, freedom, n_rows, len(scores), luck.value)


def _test_share(search: Any) -> float:
    """Share of the rows that a fold tests on; of folds that we cannot look into, as of k folds without repetition."""
    cv, k = search.cv, search.n_splits_
    if isinstance(cv, list | tuple) and len(cv) == k:
        tests, trains = (sum(_n_rows(split[side]) for split in cv) for side in (1, 0))
        return tests / (tests + trains)
    if isinstance(cv, BaseShuffleSplit):
        if isinstance(cv.test_size, float):
            return cv.test_size
        if cv.test_size is None and not isinstance(cv.train_size, float):
            return float(getattr(cv, "_default_test_size", 0.1))
        if isinstance(cv.train_size, float):
            return 1 - cv.train_size
    repeated = getattr(cv, "cvargs", {}).get("n_splits")
    return 1 / (repeated or k)


def _n_rows(rows: Any) -> int:
    """Rows of one side of a split, given by number or by a mask."""
    rows = np.asarray(rows)
    return int(rows.sum()) if rows.dtype == bool else len(rows)
