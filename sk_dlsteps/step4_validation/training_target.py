"""When the training set is fitted well enough, and whether its inputs hold an answer at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_random_state

from sk_dlsteps.step4_validation.baselines import baseline_models
from sk_dlsteps.step4_validation.noise import Difference, paired_difference
from sk_dlsteps.step4_validation.problem import FoldScores, Problem

# Share of the way from the dummy's score to a perfect one that an almost perfect fit may lack.
ALMOST = 0.01
# Scores this near to a perfect one are it.
EXACT = 1e-9
# Standard errors by which the labels must beat shuffled ones: stricter than elsewhere, since
# pure noise has two scores to pass by luck.
SIGNAL = 2.0


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
        """Whether not even the training rows are fitted beyond noise better than by a constant guess."""
        return self._is_guess(scores, "train")

    def predicts_nothing(self, scores: FoldScores) -> bool:
        """Whether the rows held out are not predicted beyond noise better than by a constant guess."""
        return self._is_guess(scores, "test")

    def compared(self, scores: FoldScores) -> str:
        """Validation scores of the baselines, as a sentence that follows those of the network; "" without any."""
        if not self.baselines:
            return ""
        names = {"linear": "the linear model", "dummy": "a constant guess"}
        own = [f"{names[name]} {float(scored.test.mean()):.4f}" for name, scored in self.baselines.items()]
        best = max(self.baselines, key=lambda name: self.baselines[name].test.mean())
        ahead = self.baselines[best].test.mean() > scores.test.mean()
        better = f": {names[best]} validates better, and is simpler" if ahead else ""
        return f" On the same rows, {' and '.join(own)}{better}."

    def _is_guess(self, scores: FoldScores, rows: str) -> bool:
        """Whether these scores are within noise of a constant guess's, and so is the linear model's validation."""
        dummy, linear = self.baselines.get("dummy"), self.baselines.get("linear")
        if dummy is None or not scores.complete:
            return False
        if linear is not None and self._over(linear.test, dummy.test).beyond_noise:
            return False
        return not self._over(getattr(scores, rows), getattr(dummy, rows)).beyond_noise

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


def set_target(training_target: Any, problem: Problem) -> TrainingTarget:
    """The target of a search: the number given, or one relative to baselines on the same folds.

    Parameters
    ----------
    training_target : "auto" or float
        As given to the search.
    problem : Problem
        The baselines take our estimator's place in it.

    Returns
    -------
    target : TrainingTarget
        Baselines that fail are left out.

    """
    scored = {name: problem.score(problem.in_place(model)) for name, model in baseline_models(problem.task).items()}
    baselines = {name: scores for name, scores in scored.items() if scores.complete}
    given = None if isinstance(training_target, str) else float(training_target)
    return TrainingTarget(given, baselines, problem.fold_ratio, problem.perfect)


def holds_no_answer(
    problem: Problem, params: dict[str, Any], scores: FoldScores, random_state: Any
) -> tuple[bool, FoldScores]:
    """Whether an estimator does no better on the labels than on shuffled ones.

    Parameters
    ----------
    problem : Problem
        With the labels as they are.
    params : dict
        Of the estimator whose scores are `scores`, relative to the problem's.
    scores : FoldScores
        On the labels as they are.
    random_state : int, RandomState instance or None
        Shuffles.

    Returns
    -------
    no_answer : bool
        True if neither the training nor the validation scores are clearly ahead.
    shuffled : FoldScores
        On the shuffled labels.

    """
    # A sparse target is no array.
    labels = problem.y if issparse(problem.y) else np.asarray(problem.y)
    order = check_random_state(random_state).permutation(labels.shape[0])
    shuffled = problem.score_candidate(params, labels[order])
    pairs = ((scores.train, shuffled.train), (scores.test, shuffled.test))
    ahead = [paired_difference(*pair, problem.fold_ratio).exceeds(SIGNAL) for pair in pairs]
    return shuffled.complete and not any(ahead), shuffled
