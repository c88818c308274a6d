"""The article's own search: one technique after the other, kept only if it helps beyond noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sk_dlsteps.step4_validation.noise import Difference, paired_difference
from sk_dlsteps.step4_validation.problem import FoldScores, Problem
from sk_dlsteps.step4_validation.rungs import Ladder, Rung, describe_change
from sk_dlsteps.step4_validation.search_budget import Evaluate, SearchBudget
from sk_dlsteps.step4_validation.spaces import check_distributions
from sk_dlsteps.step4_validation.techniques import Technique, choose_techniques
from sk_dlsteps.step4_validation.training_target import TrainingTarget, holds_no_answer, set_target


def climb(
    evaluate: Evaluate,
    problem: Problem,
    *,
    n_iter: int | None,
    max_seconds: float | None,
    training_target: Any,
    param_distributions: Mapping[str, Any] | None,
    random_state: Any,
    announce: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Ladder]:
    """Climb the ladder; a generator that yields the ladder so far after each rung.

    The last one yielded is the result. One yielded before is complete in itself, so that an
    interrupted search keeps it.

    Parameters
    ----------
    evaluate : callable
        A list of parameters, each relative to the problem's estimator, to test and train scores, arrays of shape
        (n_candidates, n_splits); higher is better, NaN where a fit failed. Called once a rung.
    problem : Problem
        What is searched; its estimator is not fitted but for the check against shuffled labels.
    n_iter : int or None
        Candidates in all; None for no limit. At least 1. A rung that does not fit is shortened.
    max_seconds : float or None
        No rung is started that is not expected to end within it, by the time of those before; the
        start is climbed in any case.
    training_target : "auto" or float
        When the training fit is good enough; see `set_target`.
    param_distributions : dict or None
        See `choose_techniques`; checked before anything is trained.
    random_state : int, RandomState instance or None
        For draws and shuffled labels.
    announce : callable or None, default=None
        Told in words what is tried next.
    clock : callable, default=time.monotonic
        Seconds.

    Yields
    ------
    ladder : Ladder
        The rungs so far.

    """
    check_distributions(param_distributions, problem.estimator.get_params())
    budget = SearchBudget(n_iter, max_seconds, clock)
    climber = _Climber(evaluate, problem, budget, announce or (lambda _: None))
    # Of None check_random_state makes the global generator, which is not ours to turn.
    rng = np.random.RandomState() if random_state is None else check_random_state(random_state)
    climber.begin()
    yield climber.so_far()
    if climber.start_failed():
        yield climber.ladder(climber.summary())
        return
    target = set_target(training_target, problem)
    climber.end_if_perfect(target)
    if not climber.scores.complete and "dummy" not in target.baselines:
        climber.stopped = "not even a constant guess has a score in every fold"
    techniques = choose_techniques(param_distributions, problem.parameters, problem.prefix)
    for technique in techniques:
        if technique.step == 3 and not climber.is_fitted(target) and climber.attempt(technique, target, rng):
            yield climber.so_far()
    climber.judge_training(target, rng)
    for technique in techniques:
        if technique.step == 4 and climber.attempt(technique, target, rng):
            yield climber.so_far()
    climber.confirm(rng)
    climber.judge_end(target, rng)
    yield climber.ladder(climber.summary())


class _Climber:
    """Where the ladder stands: the best parameters so far, their scores, and the rungs below."""

    def __init__(
        self,
        evaluate: Evaluate,
        problem: Problem,
        budget: SearchBudget,
        announce: Callable[[str], None],
    ) -> None:
        self.evaluate, self.problem, self.budget, self.announce = evaluate, problem, budget, announce
        self.params: dict[str, Any] = {}
        self.rungs: list[Rung] = []
        self.seen: set[str] = set()
        self.training_target = self.stopped = self.no_answer = self.confirmation = self.remark = ""

    def begin(self) -> None:
        """Climb the first rung: the estimator as it is."""
        ((self.scores,), self.index) = self._score("start", [self.params])
        self.start = self.top = self.scores
        self.rungs.append(
            Rung(
                step=3,
                name="start",
                because="as it is",
                changes=({},),
                candidates=({},),
                **_means([self.scores]),
                differences=(),
                best=0,
                kept=True,
                params=self.params,
                verdict="where the ladder begins",
            )
        )

    def start_failed(self) -> bool:
        """Whether the start has no score at all, so that what is wrong is not for a technique to cure."""
        failed = not np.isfinite([self.start.test, self.start.train]).any()
        if failed:
            self.stopped = "the start has no score in any fold, which has to be put right first"
        return failed

    def end_if_perfect(self, target: TrainingTarget) -> None:
        """Stop where no validation score can be better."""
        if target.is_perfect(self.scores.test):
            self.stopped = "the validation score is perfect: nothing remains"

    def is_fitted(self, target: TrainingTarget) -> bool:
        """Whether the training fit is good enough to leave step 3."""
        reached, reason = target.is_reached(self.scores)
        self.training_target = f"{'good enough' if reached else 'not good enough yet'}, {reason}"
        return reached

    def attempt(self, technique: Technique, target: TrainingTarget, rng: Any) -> bool:
        """Climb a rung if there is room and something to try; whether it was climbed."""
        self.stopped = self.stopped or self.budget.exhausted()
        if self.stopped:
            return False
        changes = self._new_changes(technique, rng)
        if not changes:
            return False
        candidates = [{**self.params, **change} for change in changes]
        scores, first = self._score(technique.name, candidates)
        differences = [self._over(own, self.scores) for own in scores]
        best = max(
            (i for i, own in enumerate(scores) if own.complete), key=lambda i: scores[i].test.mean(), default=None
        )
        kept = best is not None and (differences[best].beyond_noise or not self.scores.complete)
        verdict = _verdict(changes, differences, best, kept, self.problem.score_name)
        if best is not None and kept:
            self.params, self.scores, self.index = candidates[best], scores[best], first + best
            self.top = self.scores
            self.end_if_perfect(target)
        self.rungs.append(
            Rung(
                step=technique.step,
                name=technique.name,
                because=technique.because,
                changes=tuple(changes),
                candidates=tuple(candidates),
                **_means(scores),
                differences=tuple(differences),
                best=best,
                kept=kept,
                params=self.params,
                verdict=verdict,
            )
        )
        return True

    def judge_training(self, target: TrainingTarget, rng: Any) -> None:
        """Between the steps: is the training set fitted, at its noise floor, or without an answer?"""
        fitted = self.is_fitted(target)
        if self.stopped:
            return
        if not fitted and self.scores.complete:
            _, reason = target.is_reached(self.scores)
            rungs = [rung for rung in self.rungs[1:] if rung.step == 3]
            if not rungs:
                effort = "no rung of step 3 was there to try"
            elif any(rung.kept for rung in rungs):
                effort = "what helped in step 3 did not change that"
            else:
                effort = "no rung of step 3 helped"
            self.training_target = f"{reason}, and {effort}: taken for the noise floor"
        if target.fits_nothing(self.scores):
            self._look_for_an_answer(rng)
            if self.no_answer:
                self.stopped = f"{self.no_answer}, so that step 4 has nothing to improve"

    def confirm(self, rng: Any) -> None:
        """Compare the end with the start on folds that chose nothing; go back to the start if it is no better."""
        climbed = any(rung.kept for rung in self.rungs[1:]) and self.start.complete
        if self.problem.reshuffled is None or not climbed or not self.budget.has_time(2):
            return
        self.announce("other folds")
        other = replace(self.problem, splits=self.problem.reshuffled(rng))
        start, end = (other.score_candidate(params) for params in ({}, self.params))
        difference = paired_difference(end.test, start.test, other.fold_ratio)
        if difference.mean > 0:
            self.confirmation = f" On other folds the end is ahead of the start by {difference}."
        elif difference.mean <= 0:
            self.confirmation = f" On other folds the end is not ahead of the start ({difference}): the start is taken."
            self.params, self.scores, self.index = {}, self.start, 0

    def judge_end(self, target: TrainingTarget, rng: Any) -> None:
        """After the last rung: how the baselines do, and what it means if a constant guess does as well."""
        if not self.scores.complete:
            return
        self.remark = target.compared(self.scores)
        if target.predicts_nothing(self.scores) and not self.no_answer:
            self._look_for_an_answer(rng)
            reason = f": {self.no_answer}" if self.no_answer else ""
            self.remark += f" The end is not beyond noise ahead of a constant guess{reason}."

    def _look_for_an_answer(self, rng: Any) -> None:
        """Note it if shuffled labels are learnt as well, so that the inputs may not hold the answer."""
        if not self.budget.has_time():
            return
        self.announce("shuffled labels")
        hopeless, shuffled = holds_no_answer(self.problem, self.params, self.scores, rng)
        if hopeless:
            self.no_answer = (
                f"the inputs may not hold the answer (validation {_mean(self.scores.test)}, and "
                f"{_mean(shuffled.test)} on shuffled labels; training {_mean(self.scores.train)} and "
                f"{_mean(shuffled.train)})"
            )

    def summary(self) -> str:
        """How it went, and why it ended."""
        end = f"The ladder ended because {self.stopped or 'every rung was tried'}."
        if not self.scores.complete:
            missing = int((~np.isfinite(self.start.test + self.start.train)).sum())
            return (
                f"{end} Nothing could be compared: nothing that was tried has a score in every fold, and the start has "
                f"none in {missing} of {len(self.start.test)}. A fit failed there, or the score is not defined on the "
                "rows, like a ROC AUC where a class is missing."
            )
        kept = [rung.name for rung in self.rungs[1:] if rung.kept]
        gaps = [_mean(scores.train - scores.test) for scores in (self.start, self.top)]
        return (
            f"{end} Rungs kept: {len(kept)} of {len(self.rungs) - 1}{' (' + ', '.join(kept) + ')' if kept else ''}. "
            f"Validation {self.problem.score_name} {_mean(self.start.test)} at the start and "
            f"{_mean(self.top.test)} at the end, gap to training {gaps[0]} and {gaps[1]}."
            f"{self.confirmation}{self.remark}"
        )

    def so_far(self) -> Ladder:
        """The rungs climbed until now, in words for whoever interrupts the next one."""
        names = ", ".join(rung.name for rung in self.rungs)
        return self.ladder(f"The ladder was interrupted; rungs climbed until then: {names}.")

    def ladder(self, verdict: str) -> Ladder:
        """The rungs so far."""
        return Ladder(
            tuple(self.rungs), dict(self.params), self.index, self.training_target, self.problem.score_name, verdict
        )

    def _new_changes(self, technique: Technique, rng: Any) -> list[dict[str, Any]]:
        """Changes that lead to parameters not tried yet, as many as there is room for."""
        changes, keys = [], set(self.seen)
        for change in technique.candidates(self.problem.situation(self.params), self.problem.prefix, rng):
            key = self._key({**self.params, **change})
            if key not in keys:
                keys.add(key)
                changes.append(change)
        return changes[: self.budget.room()]

    def _key(self, params: Mapping[str, Any]) -> str:
        """Parameters as text that is the same for equal settings."""
        merged = {**self.problem.estimator.get_params(), **params}
        schedule = f"{self.problem.prefix}lr_schedule"
        if merged.get(schedule) == "auto":
            merged[schedule] = "cosine_restarts"
        return repr(sorted((name, _plain(value)) for name, value in merged.items()))

    def _score(self, name: str, candidates: list[dict[str, Any]]) -> tuple[list[FoldScores], int]:
        """Fold scores of each candidate, and the number of the first."""
        self.announce(name)
        first = self.budget.n_tried
        test, train = self.budget.spend(self.evaluate, candidates)
        self.seen.update(map(self._key, candidates))
        scores = [FoldScores(np.asarray(a, float), np.asarray(b, float)) for a, b in zip(test, train, strict=True)]
        return scores, first

    def _over(self, scores: FoldScores, reference: FoldScores) -> Difference:
        """How much better candidates validate."""
        return paired_difference(scores.test, reference.test, self.problem.fold_ratio)


def _plain(value: Any) -> str:
    """A value as text that is the same for equal numbers and sequences, whatever their types."""
    if isinstance(value, bool | np.bool_):
        return repr(bool(value))
    if isinstance(value, Real):
        return repr(float(value))
    if isinstance(value, list | tuple | np.ndarray):
        return f"[{', '.join(map(_plain, value))}]"
    return repr(value)


def _means(scores: list[FoldScores]) -> dict[str, tuple[float, ...]]:
    """Mean scores of a rung's candidates."""
    return {
        "test_scores": tuple(float(own.test.mean()) for own in scores),
        "train_scores": tuple(float(own.train.mean()) for own in scores),
    }


def _verdict(
    changes: list[dict[str, Any]], differences: list[Difference], best: int | None, kept: bool, score_name: str
) -> str:
    """A rung's outcome in a sentence."""
    if best is None:
        return "no candidate has a score in every fold"
    difference = differences[best]
    if kept and not difference.beyond_noise:
        return f"kept: {describe_change(changes[best])} has a score in every fold, which nothing had before"
    if kept:
        return f"kept: {describe_change(changes[best])} changes the validation {score_name} by {difference}"
    if difference.mean <= 0:
        return f"not kept: the best, {describe_change(changes[best])}, is no better ({difference})"
    return f"not kept: the best, {describe_change(changes[best])}, is better within noise only ({difference})"


def _mean(scores: np.ndarray) -> str:
    """A mean score with four digits, "unknown" where a fold has none."""
    return f"{float(scores.mean()):.4f}" if np.isfinite(scores).all() else "unknown"
