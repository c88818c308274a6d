"""When the training set is fitted well enough, and whether its inputs hold an answer at all."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import cross_validate
from sklearn.utils import check_random_state

from sk_dlsteps.step4_validation.baselines import baseline_models
from sk_dlsteps.step4_validation.noise import Difference, paired_difference

# Share of the way from the dummy's score to a perfect one that an almost perfect fit may lack.
ALMOST = 0.01
# Scores this near to a perfect one are it.
EXACT = 1e-9
# Standard errors by which the labels must beat shuffled ones: stricter than elsewhere, since
# pure noise has two scores to pass by luck.
SIGNAL = 2.0


@dataclass(frozen=True)
class FoldScores:
    """Scores of one model in every fold, higher is better.

    Attributes
    ----------
    test, train : ndarray of shape (n_splits,)
        On the rows held out, and on those fitted; NaN where it failed.

    """

    test: np.ndarray
    train: np.ndarray

    @property
    def complete(self) -> bool:
        """Whether no fold failed."""
        return bool(np.isfinite(self.test).all() and np.isfinite(self.train).all())


@dataclass(frozen=True)
class TrainingTarget:
    """What the training score has to reach before step 4.

    Attributes
    ----------
    given : float or None
        A score in the scorer's units; None for a comparison with `baselines`.
    baselines : dict
        Fold scores of the linear model and of the dummy; without those that failed.
    fold_ratio : float
        n_test/n_train, for the noise.
    perfect : float, default=1.0
        The score of a model without errors; see `perfect_score`.

    """

    given: float | None
    baselines: dict[str, FoldScores]
    fold_ratio: float
    perfect: float = 1.0

    def is_reached(self, scores: FoldScores) -> tuple[bool, str]:
        """Whether the training fit is good enough, and why, as the end of a sentence."""
        if not scores.complete:
            return False, "a fold has no score"
        train = float(scores.train.mean())
        if self.given is not None:
            reached = train >= self.given
            return (
                reached,
                f"training {train:.4g} {'reaches' if reached else 'is below'} the {self.given:g} you asked for",
            )
        if self._lacks(scores.train) <= ALMOST:
            return True, f"training {train:.4g} is almost perfect"
        for name, baseline in self.baselines.items():
            ahead = self._over(scores.train, baseline.train)
            if not ahead.beyond_noise:
                other = "a constant guess" if name == "dummy" else f"the {name} model"
                return False, f"{other} fits the training rows as well (difference {ahead})"
        gap = self._over(scores.train, scores.test)
        if gap.beyond_noise:
            return True, (
                f"training {train:.4g} beats the baselines, and the gap to validation ({gap}) is "
                "beyond noise: variance remains, not bias"
            )
        return False, f"the gap between training and validation ({gap}) is within noise: more could be fitted"

    def is_perfect(self, scores: np.ndarray) -> bool:
        """Whether nothing is left to improve."""
        # In every fold: the mean of a score without a bound, like a profit, may hit it by chance.
        return bool((np.abs(scores - self.perfect) < EXACT).all())

    def fits_nothing(self, scores: FoldScores) -> bool:
        """Whether training or validation are not beyond noise ahead of a constant guess, nor is the linear model."""
        dummy, linear = self.baselines.get("dummy"), self.baselines.get("linear")
        if dummy is None or not scores.complete:
            return False
        if linear is not None and self._over(linear.test, dummy.test).beyond_noise:
            return False
        ahead = (self._over(scores.train, dummy.train), self._over(scores.test, dummy.test))
        return not all(difference.beyond_noise for difference in ahead)

    def _over(self, scores: np.ndarray, reference: np.ndarray) -> Difference:
        """The paired difference of two models."""
        return paired_difference(scores, reference, self.fold_ratio)

    def _lacks(self, scores: np.ndarray) -> float:
        """What scores lack of a perfect one, as a share of what the dummy lacks; infinite if unknown."""
        if self.is_perfect(scores):
            return 0.0
        dummy = self.baselines.get("dummy")
        if dummy is None:
            return np.inf
        floor = float(dummy.train.mean())
        left = self.perfect - float(scores.mean())
        return left / (self.perfect - floor) if left >= 0 and floor < self.perfect else np.inf


def perfect_score(scorer: Any, name: str) -> float:
    """The score of a model without errors: 0 for negated losses, 1 for R squared, accuracy and their kind.

    Parameters
    ----------
    scorer : callable
        As scikit-learn's `check_scoring` gives it; a metric turned round says so itself.
    name : str
        Of the metric: which one counts, where there are several, and "neg_..." where the scorer says nothing.

    Examples
    --------
    >>> from sklearn.metrics import get_scorer
    >>> perfect_score(get_scorer("neg_log_loss"), "score"), perfect_score(get_scorer("r2"), "score")
    (0.0, 1.0)

    """
    own = getattr(scorer, "_scorers", {}).get(name, scorer)
    sign = getattr(own, "_sign", -1 if name.startswith("neg_") else 1)
    return 0.0 if sign < 0 else 1.0


def set_target(
    training_target: Any,
    estimator: Any,
    X: Any,
    y: Any,
    *,
    prefix: str,
    task: str,
    scorer: Any,
    cv_splits: list,
    perfect: float = 1.0,
) -> TrainingTarget:
    """The target of a search: the number given, or one relative to baselines on the same folds.

    Parameters
    ----------
    training_target : "auto" or float
        As given to the search.
    estimator : estimator
        Ours, or a pipeline around it; the baselines take our place in it.
    X, y : array-like
        The rows to search on.
    prefix : str
        Of our parameters in a pipeline, "" otherwise.
    task : {"regression", "classification"}
        What is to be done.
    scorer : callable
        ``scorer(estimator, X, y)``, higher is better.
    cv_splits : list of (train, test)
        Row numbers of each fold.
    perfect : float, default=1.0
        The score of a model without errors.

    Returns
    -------
    target : TrainingTarget
        Baselines that fail are left out.

    """
    baselines = {}
    for name, model in baseline_models(task).items():
        if prefix:
            model = clone(estimator).set_params(**{prefix.removesuffix("__"): model})
        scores = score_folds(model, X, y, scorer, cv_splits)
        if scores.complete:
            baselines[name] = scores
    given = None if isinstance(training_target, str) else float(training_target)
    return TrainingTarget(given, baselines, fold_ratio(cv_splits), perfect)


def fold_ratio(cv_splits: list) -> float:
    """n_test/n_train of the folds."""
    return sum(len(test) for _, test in cv_splits) / sum(len(train) for train, _ in cv_splits)


def score_folds(model: Any, X: Any, y: Any, scorer: Any, cv_splits: list) -> FoldScores:
    """Scores of a model in every fold, NaN where it fails, without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            results = cross_validate(
                model, X, y, cv=cv_splits, scoring=scorer, return_train_score=True, error_score=np.nan
            )
        except ValueError:
            # scikit-learn raises if every fold failed.
            failed = np.full(len(cv_splits), np.nan)
            return FoldScores(failed, failed)
    return FoldScores(results["test_score"], results["train_score"])


def holds_no_answer(
    estimator: Any, X: Any, y: Any, scores: FoldScores, *, scorer: Any, cv_splits: list, random_state: Any
) -> tuple[bool, FoldScores]:
    """Whether an estimator does no better on the labels than on shuffled ones.

    Parameters
    ----------
    estimator : estimator
        Its scores are `scores`.
    X, y : array-like
        The rows and their labels, which are shuffled here.
    scores : FoldScores
        On the labels as they are.
    scorer, cv_splits
        As of the search.
    random_state : int, RandomState instance or None
        Shuffles.

    Returns
    -------
    no_answer : bool
        True if neither the training nor the validation scores are clearly ahead.
    shuffled : FoldScores
        On the shuffled labels.

    """
    labels = np.asarray(y)
    order = check_random_state(random_state).permutation(len(labels))
    shuffled = score_folds(clone(estimator), X, labels[order], scorer, cv_splits)
    pairs = ((scores.train, shuffled.train), (scores.test, shuffled.test))
    ahead = [paired_difference(*pair, fold_ratio(cv_splits)).exceeds(SIGNAL) for pair in pairs]
    return shuffled.complete and not any(ahead), shuffled
