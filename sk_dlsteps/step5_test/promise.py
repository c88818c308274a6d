"""What step 4 promised: the validation score, with its noise and its luck."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import LeaveOneOut

from sk_dlsteps.fitted import Fitted
from sk_dlsteps.step4_validation.noise import paired_difference
from sk_dlsteps.step5_test.folds import Folds
from sk_dlsteps.step5_test.metric import Metric
from sk_dlsteps.step5_test.optimism import Optimism

# How much of Nadeau and Bengio's correction for shared training rows counts in the noise of the gap. All of it is for
# another training set, which is not asked for here; none of it is too little, as the folds' models differ. In searches
# by ridge regression (docs/benchmarks/verification.py) none gave up to 6.4 % false verdicts, a half 3.5 to 4.6 %.
OVERLAP = 0.5
# Where nothing was promised.
VALIDATE = "go back to step 4 and validate; do not tune on the test set"
# Where rows count differently on one side only.
_APART = "rows by `sample_weight` and the {} score does not, so that they cannot be compared"
_OTHER_WEIGHTS = f"the test score counts {_APART.format('validation')}"
_NO_TEST_WEIGHTS = f"the validation score counts {_APART.format('test')}"
_UNWEIGHTED_SEARCH = (
    "verify without `sample_weight`, or search with a scorer that asks for it by scikit-learn's metadata routing"
)
_UNWEIGHTED_MODEL = "verify without `sample_weight`, or fit with the weights of the training rows"


@dataclass(frozen=True)
class NoPromise:
    """Why there is no validation score to compare with.

    Attributes
    ----------
    because, next_step : str
        The reason, and the way out.

    """

    because: str
    next_step: str = VALIDATE


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
    def of(cls, fitted: Fitted, metric: Metric, weighted: bool = False) -> Promise | NoPromise:
        """Read it off a search, or off one of our models; else say why there is none, and the way out.

        Parameters
        ----------
        fitted : Fitted
            What predicts.
        metric : Metric
            The score.
        weighted : bool, default=False
            Whether test rows count differently, so that validation rows must have done so too.

        """
        if metric.column is None:
            return NoPromise(
                f"step 4 has not seen the {metric.name}: search with {metric.in_code}, or verify the score that the "
                "model was chosen by"
            )
        if fitted.search is None and not fitted.is_ours:
            return NoPromise(
                f"{type(fitted.model).__name__} keeps no validation score: give the search that it comes from, for "
                "example `GridSearchCV(model, {}).fit(X_train, y_train)`"
            )
        if fitted.search is not None:
            if weighted and not metric.asks_for_weights:
                return NoPromise(_OTHER_WEIGHTS, _UNWEIGHTED_SEARCH)
            return _of_search(fitted, metric)
        if fitted.model.validation_weighted_ and not weighted:
            return NoPromise(_NO_TEST_WEIGHTS, "verify with the `sample_weight` of the test rows")
        if weighted and not fitted.model.validation_weighted_:
            return NoPromise(_OTHER_WEIGHTS, _UNWEIGHTED_MODEL)
        return _of_model(fitted.model)


def _of_model(model: Any) -> Promise | NoPromise:
    """The score of rows that networks held out, or of `X_val`."""
    score, error = model.validation_score_, model.validation_error_
    if score is None:
        return NoPromise(
            "no rows were held out in training: fit with `early_stopping=True` and more rows, with `X_val` and "
            "`y_val`, or search with cross-validation"
        )
    if not math.isfinite(score) or not math.isfinite(error):
        return NoPromise(
            "a single row validated, which shows no noise: hold out more, with `validation_fraction` or `X_val`"
        )
    n_rows, single = model.n_validation_rows_, model.oof_prediction_ is not None
    n_folds = model.plan_.n_networks if single else 1
    # As of n_folds folds, which each test n/n_folds rows and train on the others.
    corrected = error * math.sqrt(1 + n_folds / (n_folds - 1)) if n_folds > 1 else error
    return Promise(score, corrected, error, n_rows - 1, n_rows, of_single_networks=single)


def _of_search(fitted: Fitted, metric: Metric) -> Promise | NoPromise:
    """The mean score of the best candidate over the folds."""
    search = fitted.search
    results, best = search.cv_results_, search.best_index_
    k = search.n_splits_
    scores = np.column_stack([np.asarray(results[f"split{i}_test_{metric.column}"], dtype=float) for i in range(k)])
    own = scores[best]
    if not np.isfinite(own).all():
        if metric.kind == "R2" and isinstance(search.cv, LeaveOneOut):
            return NoPromise(
                "R2 is not defined on folds of a single row: search with `scoring='neg_mean_squared_error'`, or with "
                "fewer folds"
            )
        return NoPromise("the best candidate failed on some folds: search with `error_score='raise'` to see why")
    if k < 2:
        return NoPromise("a single split shows no noise: search with `cv` of two folds or more")
    folds = Folds.of(fitted)
    if isinstance(folds, str):
        return NoPromise(folds)
    error = paired_difference(own, np.zeros(k), folds.share / (1 - folds.share)).error
    luck = Optimism.of_search(results, scores, best, getattr(search, "resource", ""))
    rows = max(1 / k, folds.share) + OVERLAP * folds.share / (1 - folds.share)
    row_error = math.hypot(float(own.std(ddof=1)) * math.sqrt(rows), luck.error)
    freedom = min(k, 1 / folds.share) - 1
    # A search by halving has all candidates in its first round.
    n_candidates = int((np.asarray(results["iter"]) == 0).sum()) if "iter" in results else len(scores)
    return Promise(float(own.mean()), error, row_error, freedom, folds.n_rows, n_candidates, luck.value)
