"""More data: scores at growing numbers of rows, and whether still more would help."""

from __future__ import annotations

import textwrap
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import indexable
from sklearn.utils.multiclass import type_of_target

from sk_dlsteps.exceptions import StepwiseWarning, level_of_the_caller
from sk_dlsteps.inputs.parameters import check_parameter
from sk_dlsteps.plan import StepRecord
from sk_dlsteps.step4_validation.candidates import Trial, evaluate
from sk_dlsteps.step4_validation.more_rows import judge_more_rows

# Shares of a fold's training rows: nearly doubling, as the law is one of ratios.
TRAIN_SIZES = (0.1, 0.2, 0.4, 0.7, 1.0)
# Characters of a printed line.
_WIDTH = 92


@dataclass(frozen=True)
class LearningCurve:
    """Scores at growing numbers of rows, and what they say of still more.

    Attributes
    ----------
    train_sizes : ndarray of shape (n_sizes,)
        Rows trained on, rising.
    train_scores, test_scores : ndarray of shape (n_sizes, n_folds)
        Of the rows trained on and of the fold's test rows; NaN where a fit or a score failed.
    score_name : str
        What was scored; "R2" and "accuracy" are the estimators' own.
    more_rows_help : bool or None
        Whether twice the rows would bring a gain that matters; None if the scores cannot tell.
    expected_score : float
        Test score at twice the rows of the largest size; NaN if there are too few scores to say.
    expected_interval : tuple of float
        80 % interval of it, as far as it follows from the gain; the test rows are the same.
    because : str
        The verdict in words, in the scorer's units.
    record : StepRecord
        The same as a record of step 4.

    """

    train_sizes: np.ndarray
    train_scores: np.ndarray
    test_scores: np.ndarray
    score_name: str
    more_rows_help: bool | None
    expected_score: float
    expected_interval: tuple[float, float]
    because: str
    record: StepRecord

    def __repr__(self) -> str:
        """Rows, mean test scores and the verdict."""
        rows = [f"{n}" for n in self.train_sizes]
        means = [f"{_mean(scores):.4g}" for scores in self.test_scores]
        width = max(map(len, rows + means))
        table = {"training rows": rows, f"test {self.score_name}": means}
        indent = max(map(len, table))
        lines = [f"{name:<{indent}}" + "".join(f"  {v:>{width}}" for v in line) for name, line in table.items()]
        return "\n".join(["LearningCurve", *lines, *textwrap.wrap(f"{self.record.decision}: {self.because}", _WIDTH)])

    def records(self) -> tuple[StepRecord, ...]:
        """The verdict as records for a report."""
        return (self.record,)


def learning_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    groups: Any = None,
    train_sizes: Any = TRAIN_SIZES,
    cv: Any = 5,
    scoring: Any = None,
    random_state: Any = None,
    error_score: Any = np.nan,
) -> LearningCurve:
    """Cross-validate on growing subsets and say whether more rows would help (article, step 4).

    As `sklearn.model_selection.learning_curve` with ``shuffle=True``, but the networks of all sizes
    and folds are trained together. The subsets of a fold grow out of each other. For a classifier every
    subset holds all classes, as far as its size allows, in their shares.

    Parameters
    ----------
    estimator : estimator object
        Any with `fit` and a score. A StepwiseRegressor or StepwiseClassifier, also as the last step of
        a Pipeline, trains its subsets as fleets; others are fitted one by one. It stays unfitted.
    X : array-like of shape (n_samples, n_features) or (n_samples, ...)
        Inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    groups : array-like of shape (n_samples,), default=None
        For splitters that ask for groups.
    train_sizes : array-like of shape (n_sizes,), default=(0.1, 0.2, 0.4, 0.7, 1.0)
        Fractions of the training rows of the smallest fold, in (0, 1], or integer numbers of rows.
        Equal sizes count once. A verdict asks for three or more.
    cv : int, splitter or iterable of (train, test), default=5
        As in scikit-learn: with an integer, consecutive folds, stratified for a classifier.
    scoring : str or callable, default=None
        One score, higher is better; by default the estimator's own.
    random_state : int, RandomState instance or None, default=None
        Of the order in which rows join the subsets.
    error_score : "raise" or float, default=np.nan
        Score of a fit that fails.

    Returns
    -------
    curve : LearningCurve
        Sizes, scores and the verdict.

    Raises
    ------
    ValueError
        If `cv` cannot split the rows, `train_sizes` are none of their numbers, `scoring` is more than one
        score, or all fits fail.

    Warns
    -----
    StepwiseWarning
        If some fits failed.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import RidgeCV
    >>> from sk_dlsteps import learning_curve
    >>> X, y = load_diabetes(return_X_y=True)
    >>> curve = learning_curve(RidgeCV(), X, y, random_state=0)
    >>> curve.more_rows_help
    False
    >>> curve
    LearningCurve
    training rows      35      70     141     247     353
    test R2        0.3349  0.4198  0.4703  0.4718  0.4796
    more rows would hardly help: twice the rows (706 for 353) would bring about +0.005 R2 (0.001
    to 0.011), less than 5 % of what is missing to the best

    """
    X, y, groups = indexable(X, y, groups)
    if not (scoring is None or isinstance(scoring, str) or callable(scoring)):
        raise ValueError(f"`scoring` must be one score, a name or a callable, got {scoring!r}")
    check_parameter("random_state", random_state)
    scorer = check_scoring(estimator, scoring=scoring)
    folds = _folds(check_cv(cv, y, classifier=is_classifier(estimator)), X, y, groups)
    sizes = _sizes(train_sizes, min(len(train) for train, _ in folds))
    # None draws a seed of its own, where scikit-learn would use numpy's global state.
    own = isinstance(random_state, np.random.RandomState)
    rng = random_state if own else np.random.RandomState(random_state)
    classes = np.asarray(y) if is_classifier(estimator) and type_of_target(y) in ("binary", "multiclass") else None
    orders = [_growing(train, classes, rng) for train, _ in folds]

    splits = [(order[:n], test) for n in sizes for order, (_, test) in zip(orders, folds, strict=True)]
    train_scores, test_scores = np.full((2, len(splits)), np.nan)
    failures = {}
    trial = Trial(estimator, scorer, splits, {}, {}, error_score, return_train_score=True)
    for _, i, result in evaluate(trial, X, y, [{}]):
        train_scores[i], test_scores[i] = result["train_scores"], result["test_scores"]
        if result["fit_error"]:
            failures[i] = result["fit_error"]
    _report_failures(failures, splits)

    train_scores, test_scores = (scores.reshape(len(sizes), -1) for scores in (train_scores, test_scores))
    name, best = _meaning(estimator, scoring, test_scores)
    share = float(np.mean([len(test) for _, test in folds]) / sizes[-1])
    verdict = judge_more_rows(sizes, test_scores, score_name=name, best=best, test_share=share)
    last = _mean(test_scores[-1])
    return LearningCurve(
        sizes,
        train_scores,
        test_scores,
        name,
        verdict.help,
        last + verdict.gain,
        (last + verdict.interval[0], last + verdict.interval[1]),
        verdict.because,
        verdict.record,
    )


def _folds(splitter: Any, X, y, groups) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows of each fold."""
    try:
        return [(np.asarray(train), np.asarray(test)) for train, test in splitter.split(X, y, groups)]
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise ValueError(f"`cv={splitter}` cannot split the rows: {reason}; give another `cv`, or more rows") from error


def _sizes(train_sizes: Any, n_rows: int) -> np.ndarray:
    """Numbers of rows, rising, each once."""
    sizes = np.unique(np.asarray(train_sizes)) if np.ndim(train_sizes) == 1 else np.empty(0)
    if sizes.dtype.kind == "f" and len(sizes) and sizes[0] > 0 and sizes[-1] <= 1:
        return np.unique(np.maximum((sizes * n_rows).astype(int), 1))
    if sizes.dtype.kind in "iu" and len(sizes) and sizes[0] > 0 and sizes[-1] <= n_rows:
        return sizes.astype(int)
    raise ValueError(
        f"`train_sizes` must be fractions in (0, 1], or integers from 1 to {n_rows}, the training rows of the "
        f"smallest fold, got {train_sizes!r}; for more training rows give a larger `cv`"
    )


def _growing(train: np.ndarray, classes: np.ndarray | None, rng: np.random.RandomState) -> np.ndarray:
    """Training rows of a fold in the order in which they join the subsets."""
    order = rng.permutation(train)
    if classes is None:
        return order
    # The k-th row of a class of n comes at k/n, so that every subset has each class's share of rows, rounded up.
    place = np.empty(len(order))
    for label in np.unique(classes[order]):
        members = np.flatnonzero(classes[order] == label)
        place[members] = np.arange(len(members)) / len(members)
    return order[np.argsort(place, kind="stable")]


def _mean(scores: np.ndarray) -> float:
    """Mean over the folds that have a score, NaN if none has."""
    known = scores[np.isfinite(scores)]
    return float(known.mean()) if len(known) else np.nan


def _name_error(failure: str) -> str:
    """What a traceback ends with: the exception, and the first line of what it says."""
    lines = failure.strip().rpartition("Traceback (most recent call last):\n")[2].splitlines()
    # The frames are indented, and the exception is not; its message may go on for many lines.
    start = next((i for i, line in enumerate(lines) if line[:1].strip()), len(lines) - 1)
    first, *more = filter(None, map(str.strip, lines[start:]))
    return f"{first} {more[0]}" if first.endswith(":") and more else first


def _report_failures(failures: dict[int, str], splits: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Warn of fits that failed; raise if none is left."""
    if not failures:
        return
    first = min(failures)
    reason = f"the first, on {len(splits[first][0])} rows, with {_name_error(failures[first])}"
    if len(failures) == len(splits):
        raise ValueError(f'All {len(splits)} fits failed, {reason}. `error_score="raise"` shows where.')
    warnings.warn(
        f"{len(failures)} of {len(splits)} fits failed, {reason}. Their scores are `error_score`; larger "
        "`train_sizes` may avoid it.",
        StepwiseWarning,
        stacklevel=level_of_the_caller(),
    )


def _meaning(estimator: Any, scoring: Any, scores: np.ndarray) -> tuple[str, float | None]:
    """Name of the score for a sentence, and the score of a perfect model if that is known."""
    if scoring is None:
        name = "accuracy" if is_classifier(estimator) else "R2" if is_regressor(estimator) else "score"
    else:
        name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
    known = scoring is None or isinstance(scoring, str)
    best = 0.0 if name.startswith("neg_") else 1.0 if known and np.nanmax(scores, initial=0) <= 1 else None
    if name.startswith("neg_"):
        name = f"negative {name[4:]}"
    return name.replace("_", " "), best
