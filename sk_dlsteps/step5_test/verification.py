"""Step 5: whether a test set confirms what the validation set promised."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

from sk_dlsteps.exceptions import StepwiseWarning, level_of_the_caller
from sk_dlsteps.fitted import Fitted
from sk_dlsteps.plan import Reported, StepRecord
from sk_dlsteps.step5_test.bootstrap import N_RESAMPLES, measure_losses, measure_score
from sk_dlsteps.step5_test.gap import Gap
from sk_dlsteps.step5_test.looks import count_look
from sk_dlsteps.step5_test.metric import Metric
from sk_dlsteps.step5_test.promise import NoPromise, Promise
from sk_dlsteps.step5_test.rows import Rows, losses_of, losses_of_networks, score_of_rows
from sk_dlsteps.step5_test.targets import check_targets
from sk_dlsteps.step5_test.words import because, next_step, ordinal, verification_record

# The gap that would matter: of scores that are at best 1, and as a share of those whose best is 0 or unknown.
TOLERANCE, LOSS_TOLERANCE = 0.05, 0.1


@dataclass(frozen=True, repr=False)
class Verification(Reported):
    """What the test set said; higher scores are better.

    Attributes
    ----------
    verdict : {"confirmed", "validation overfitted", "inconclusive"}
        Read off `gap_interval`: overfitted if all of it lies above 0, confirmed if all of it lies below
        `tolerance`.
    because : str
        Why.
    next_step : str
        What to do now.
    score_name : str
        What was scored.
    test_score : float
        Of the model on the test rows.
    test_interval : tuple of float
        Bootstrap interval of it.
    confidence : float
        Of that interval; each end of `gap_interval` holds with that confidence.
    validation_score : float or None
        What step 4 promised; None if it promised nothing.
    validation_error : float or None
        Its standard error, with Nadeau and Bengio's correction where folds share training rows.
    optimism : float or None
        What the validation score owes to being the best of several candidates.
    gap : float or None
        Validation score less optimism, less test score.
    gap_interval : tuple of float or None
        Interval of the gap.
    tolerance : float
        The gap that would matter.
    detectable_gap : float or None
        A true gap of this size is found in 80 of 100 cases.
    n_test, n_validation : int or None
        Rows; None if unknown.
    n_test_needed, n_validation_needed : int or None
        Rows with which a gap of `tolerance` would be found in 80 of 100 cases, if only those are
        more; None if no number is enough, or if it is unknown.
    rows_factor : float or None
        Times as many rows of both kinds that do the same; 1 or less if those that there are do.
    n_candidates : int
        What the model was chosen from.
    network_score : float or None
        Test score of single networks, where validation had each predict the rows that it held out.
    n_looks : int
        How often this test set has been looked at since Python started.

    """

    verdict: str
    because: str
    next_step: str
    score_name: str
    test_score: float
    test_interval: tuple[float, float]
    confidence: float
    n_test: int
    tolerance: float
    validation_score: float | None = None
    validation_error: float | None = None
    optimism: float | None = None
    gap: float | None = None
    gap_interval: tuple[float, float] | None = None
    detectable_gap: float | None = None
    n_validation: int | None = None
    n_test_needed: int | None = None
    n_validation_needed: int | None = None
    rows_factor: float | None = None
    n_candidates: int = 1
    network_score: float | None = None
    n_looks: int = 1

    def records(self) -> tuple[StepRecord, ...]:
        """Give step 5 to a report.

        Returns
        -------
        records : tuple of StepRecord
            A single one, of step 5.

        """
        return (verification_record(self),)


def verify_test_set(
    model_or_search: Any,
    X_test: Any,
    y_test: Any,
    *,
    sample_weight: Any = None,
    groups: Any = None,
    scoring: Any = None,
    tolerance: float | str = "auto",
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    random_state: int = 0,
) -> Verification:
    """Verify on a test set what the validation set promised (article, step 5).

    The test set must have been set aside before anything was fitted or chosen, and is worth most when it is looked
    at for the first time. Do not tune on it.

    Parameters
    ----------
    model_or_search : estimator object
        Fitted: a StepwiseRegressor or StepwiseClassifier, a pipeline that ends with one, or a search by
        cross-validation, StepwiseSearchCV or one of scikit-learn's, over any estimator. Another estimator gets its
        test score, but keeps no validation score to compare it with.
    X_test : array-like of shape (n_samples, n_features)
        The test rows, with the columns of the training rows.
    y_test : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their targets.
    sample_weight : array-like of shape (n_samples,), default=None
        What each row counts; rows of weight 0 are left out. The validation score must have counted rows so too: a
        model of ours knows whether it did, and a search did if its scorer asks for `sample_weight`. Else there is no
        verdict.
    groups : array-like of shape (n_samples,), default=None
        Rows that belong together, such as those of a person; resampled as a whole.
    scoring : str or callable, default=None
        The score; None takes that of the search, or the model's `score`. One that step 4 has not computed has
        no validation score.
    tolerance : float or "auto", default="auto"
        The gap that would matter. "auto" is 0.05 for scores that are at best 1, and a tenth of the validation score
        for losses.
    confidence : float, default=0.95
        Of the interval of the test score, and of each end of the interval of the gap.
    n_resamples : int, default=2000
        Of the bootstrap.
    random_state : int, default=0
        Of the bootstrap.

    Returns
    -------
    verification : Verification
        Scores, the gap, the verdict, and what to do next.

    Raises
    ------
    ValueError
        If the test set or a parameter is not what it may be.

    Warns
    -----
    StepwiseWarning
        From the second look at the same test set on.

    Notes
    -----
    Cross-fitted networks are validated one by one, each on the rows that it held out and that chose its epoch, which
    flatters it, while their mean, which is better, predicts. The gap is that of the model to what it promised;
    `network_score` tells what single networks keep of it. The gap's noise is that of the validation rows and of the
    test rows, with Welch's degrees of freedom.
    docs/step5_test.md has the simulations.

    References
    ----------
    C. Nadeau, Y. Bengio: Inference for the generalization error. Machine Learning 52 (2003), 239-281. B. L. Welch:
    The generalization of Student's problem when several different population variances are involved.
    Biometrika 34 (1947), 28-35.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV, train_test_split
    >>> from sk_dlsteps import verify_test_set
    >>> X, y = make_classification(4000, random_state=0)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> search = GridSearchCV(LogisticRegression(), {"C": [0.01, 0.1, 1]}).fit(X_train, y_train)
    >>> verification = verify_test_set(search, X_test, y_test)
    >>> verification.verdict, verification.n_candidates
    ('confirmed', 3)

    """
    _check_parameters(tolerance, confidence, n_resamples, random_state)
    fitted = Fitted.of(model_or_search)
    rows = Rows.of(X_test, y_test, sample_weight, groups)
    check_targets(fitted, rows.X, rows.y)
    metric = Metric.of(fitted, scoring, rows.y)
    if rows.weight is not None:
        metric.check_takes_weights()
    verification = judge(fitted, metric, rows, tolerance, confidence, n_resamples, random_state)
    # Last: a call that fails has shown nothing.
    n_looks = count_look(rows.X, rows.y)
    if n_looks == 1:
        return verification
    warnings.warn(
        f"This test set is looked at for the {ordinal(n_looks)} time. What was chosen after the first look may be "
        "fitted to it; confirm the final model on rows that nobody has looked at.",
        StepwiseWarning,
        stacklevel=level_of_the_caller(),
    )
    return replace(verification, n_looks=n_looks)


def judge(
    fitted: Fitted,
    metric: Metric,
    rows: Rows,
    tolerance: float | str = "auto",
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Verification:
    """Verify a model on rows that have been checked, without counting the look.

    Parameters
    ----------
    fitted : Fitted
        What predicts.
    metric : Metric
        The score.
    rows : Rows
        The test set.
    tolerance, confidence, n_resamples, seed
        As in `verify_test_set`.

    """
    losses = losses_of(fitted, metric, rows)
    bootstrap: dict[str, Any] = {"n_resamples": n_resamples, "seed": seed, "confidence": confidence}
    if losses is not None:
        test = measure_losses(losses, rows.units, **bootstrap)
    else:
        test = measure_score(score_of_rows(fitted, metric, rows), rows.units, **bootstrap)
    promise, n_test = Promise.of(fitted, metric, rows.weight is not None), len(rows.y)
    always: dict[str, Any] = {
        "score_name": metric.name,
        "test_score": test.score,
        "test_interval": test.interval,
        "confidence": confidence,
        "n_test": n_test,
    }
    if isinstance(promise, NoPromise):
        matters = _tolerance(tolerance, metric, test.score)
        return Verification("inconclusive", promise.because, promise.next_step, tolerance=matters, **always)
    matters = _tolerance(tolerance, metric, promise.score)
    gap = Gap.between(promise, test, rows.units.n, matters, confidence)
    networks = None
    if promise.of_single_networks:
        networks = losses_of_networks(fitted.model, fitted.rows(rows.X), rows).score
    return Verification(
        verdict=gap.verdict,
        because=because(promise, gap),
        next_step=next_step(gap, promise, n_test),
        tolerance=matters,
        validation_score=promise.score,
        validation_error=promise.error,
        optimism=promise.optimism,
        gap=gap.value,
        gap_interval=gap.interval,
        detectable_gap=gap.detectable,
        n_validation=promise.n_rows,
        n_test_needed=_times(n_test, gap.test_factor),
        n_validation_needed=_times(promise.n_rows, gap.validation_factor),
        rows_factor=gap.both_factor,
        n_candidates=promise.n_candidates,
        network_score=networks,
        **always,
    )


def _tolerance(tolerance: float | str, metric: Metric, score: float) -> float:
    """The gap that would matter."""
    if not isinstance(tolerance, str):
        return float(tolerance)
    return LOSS_TOLERANCE * abs(score) if metric.is_loss or abs(score) > 1 else TOLERANCE


def _times(n_rows: int | None, factor: float) -> int | None:
    """Times as many rows; None if they are unknown or none are enough."""
    return None if n_rows is None or math.isinf(factor) else math.ceil(n_rows * factor)


def _check_parameters(tolerance: Any, confidence: Any, n_resamples: Any, random_state: Any) -> None:
    """Raise if a parameter is not what it may be."""
    if tolerance != "auto" and not (_is_number(tolerance) and 0 < tolerance < math.inf):
        raise ValueError(f"`tolerance` must be 'auto' or a number above 0, got {tolerance!r}")
    if not (_is_number(confidence) and 0.5 < confidence < 1):
        raise ValueError(f"`confidence` must lie between 0.5 and 1, got {confidence!r}")
    for name, value, least in (("n_resamples", n_resamples, 100), ("random_state", random_state, 0)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"`{name}` must be a whole number of at least {least}, got {value!r}")


def _is_number(value: Any) -> bool:
    """Whether something is a real number."""
    return isinstance(value, Real) and not isinstance(value, bool)
