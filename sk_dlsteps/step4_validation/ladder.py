"""The article's own search: one technique after the other, kept only if it helps beyond noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from sk_dlsteps.step4_validation.noise import Difference, paired_difference
from sk_dlsteps.step4_validation.rungs import Ladder, Rung, describe_change
from sk_dlsteps.step4_validation.search_budget import Evaluate, SearchBudget
from sk_dlsteps.step4_validation.techniques import Situation, Technique, choose_techniques
from sk_dlsteps.step4_validation.training_target import (
    FoldScores,
    TrainingTarget,
    fold_ratio,
    holds_no_answer,
    set_target,
)

# Candidates of the last rung, where an estimator has several networks: the start and the best.
N_LAST = 2


def climb(
    evaluate: Evaluate,
    estimator: Any,
    X: Any,
    y: Any,
    *,
    n_iter: int | None,
    max_seconds: float | None,
    training_target: Any,
    param_distributions: Mapping[str, Any] | None,
    prefix: str,
    task: str,
    scorer: Any,
    cv_splits: list,
    random_state: Any,
    score_name: str = "score",
    rung_networks: int | None = 1,
    announce: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Ladder]:
    """Climb the ladder; a generator that yields the ladder so far after each rung.

    The last one yielded is the result. One yielded before is complete in itself, so that an
    interrupted search keeps it; its `params` may then ask for a single network.

    Parameters
    ----------
    evaluate : callable
        A list of parameters, each relative to `estimator`, to test and train scores, arrays of shape
        (n_candidates, n_splits); higher is better, NaN where a fit failed. Called once a rung.
    estimator : estimator
        Ours, or a pipeline around it; not fitted here but for the check against shuffled labels.
    X, y : array-like
        The rows to search on.
    n_iter : int or None
        Candidates in all; None for no limit. At least 1. A rung that does not fit is shortened.
    max_seconds : float or None
        No rung is started that is not expected to end within it, by the time of those before; the
        start and the last rung are climbed in any case.
    training_target : "auto" or float
        When the training fit is good enough; see `set_target`.
    param_distributions : dict or None
        See `choose_techniques`.
    prefix : str
        Of our parameters, "stepwiseregressor__" in a pipeline, "" otherwise.
    task : {"regression", "classification"}
        What is to be done.
    scorer : callable
        ``scorer(estimator, X, y)``, the one that `evaluate` scores with.
    cv_splits : list of (train, test)
        Row numbers of the folds that `evaluate` uses, in its order.
    random_state : int, RandomState instance or None
        For draws and shuffled labels.
    score_name : str, default="score"
        For verdicts.
    rung_networks : int or None, default=1
        Networks of each candidate, where the estimator has more: a last rung then compares the
        start and the best with all of them. None compares with all of them throughout, which costs
        more and errs less.
    announce : callable or None, default=None
        Told in words what is tried next.
    clock : callable, default=time.monotonic
        Seconds.

    Yields
    ------
    ladder : Ladder
        The rungs so far.

    """
    budget = SearchBudget(n_iter, max_seconds, clock)
    problem = _Problem(estimator, X, y, prefix, task, cv_splits, scorer)
    climber = _Climber(evaluate, problem, budget, score_name, announce or (lambda _: None))
    # Of None check_random_state makes the global generator, which is not ours to turn.
    rng = np.random.RandomState() if random_state is None else check_random_state(random_state)
    climber.begin(param_distributions, rung_networks)
    yield climber.ladder("Only the start was tried.")
    if not climber.stopped:
        target = set_target(
            training_target, estimator, X, y, prefix=prefix, task=task, scorer=scorer, cv_splits=cv_splits
        )
        techniques = choose_techniques(param_distributions, problem.parameters, prefix)
        for technique in techniques:
            if technique.step == 3 and not climber.is_fitted(target) and climber.attempt(technique, target, rng):
                yield climber.ladder(f"Stopped after {technique.name}.")
        climber.judge_training(target, rng)
        for technique in techniques:
            if technique.step == 4 and climber.attempt(technique, target, rng):
                yield climber.ladder(f"Stopped after {technique.name}.")
    climber.finish()
    yield climber.ladder(climber.summary())


@dataclass(frozen=True)
class _Problem:
    """What is searched: an estimator on rows, folds and a scorer."""

    estimator: Any
    X: Any
    y: Any
    prefix: str
    task: str
    cv_splits: list
    scorer: Any

    @property
    def parameters(self) -> dict[str, Any]:
        """Our own parameters, names without the prefix."""
        given = self.estimator.get_params()
        own = {name.removeprefix(self.prefix): value for name, value in given.items() if name.startswith(self.prefix)}
        return {name: value for name, value in own.items() if "__" not in name}

    def situation(self, params: Mapping[str, Any]) -> Situation:
        """The problem seen from parameters that were kept."""
        kept = {name.removeprefix(self.prefix): value for name, value in params.items() if name.startswith(self.prefix)}
        parameters = {**self.parameters, **kept}
        n_rows = min(len(train) for train, _ in self.cv_splits)
        if parameters.get("early_stopping"):
            n_rows = round(n_rows * (1 - parameters["validation_fraction"]))
        shape, targets = np.shape(self.X), np.asarray(self.y)
        if self.task == "regression":
            n_outputs = targets.shape[1] if targets.ndim > 1 else 1
        else:
            n_outputs = len(np.unique(targets))
        return Situation(parameters, n_rows, shape[1] if len(shape) > 1 else 1, n_outputs)


class _Climber:
    """Where the ladder stands: the best parameters so far, their scores, and the rungs below."""

    def __init__(
        self,
        evaluate: Evaluate,
        problem: _Problem,
        budget: SearchBudget,
        score_name: str,
        announce: Callable[[str], None],
    ) -> None:
        self.evaluate, self.problem, self.budget = evaluate, problem, budget
        self.score_name, self.announce = score_name, announce
        self.fold_ratio = fold_ratio(problem.cv_splits)
        self.n_estimators = f"{problem.prefix}n_estimators"
        self.rungs: list[Rung] = []
        self.seen: set[str] = set()
        self.training_target = self.stopped = ""

    def begin(self, param_distributions: Mapping[str, Any] | None, rung_networks: int | None) -> None:
        """Climb the first rung: the estimator as it is, or with as many networks as rungs compare."""
        own = self.problem.parameters.get("n_estimators", 1)
        fewer = rung_networks is not None and (
            own == "auto" or (isinstance(own, int | np.integer) and own > rung_networks)
        )
        self.ensemble = fewer and self.n_estimators not in (param_distributions or {})
        n_least = N_LAST + 2
        if self.ensemble and self.budget.n_iter < n_least:
            self.ensemble = False
            self.stopped = f"`n_iter={self.budget.n_iter}` has no room for rungs, which takes {n_least} or more"
        because = f"as it is, but for `n_estimators={rung_networks}`" if self.ensemble else "as it is"
        self.params: dict[str, Any] = {self.n_estimators: rung_networks} if self.ensemble else {}
        if self.ensemble:
            self.budget.keep_back(N_LAST, self.problem.parameters["n_estimators"])
        ((self.scores,), self.index) = self._score("start", [self.params])
        self.start = self.scores
        self._add(3, "start", because, [{}], [self.params], [self.scores], [], 0, True, "where the ladder begins")

    def is_fitted(self, target: TrainingTarget) -> bool:
        """Whether the training fit is good enough to leave step 3."""
        reached, reason = target.is_reached(self.scores)
        self.training_target = f"{'good enough' if reached else 'not good enough'}: {reason}"
        return reached

    def attempt(self, technique: Technique, target: TrainingTarget, rng: Any) -> bool:
        """Climb a rung if there is room and something to try; whether it was climbed."""
        if target.is_perfect(self.scores.test):
            self.stopped = self.stopped or "the validation score is perfect: nothing remains"
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
        verdict = _verdict(changes, differences, best, kept, self.score_name)
        if best is not None and kept:
            self.params, self.scores, self.index = candidates[best], scores[best], first + best
        self._add(
            technique.step,
            technique.name,
            technique.because,
            changes,
            candidates,
            scores,
            differences,
            best,
            kept,
            verdict,
        )
        return True

    def judge_training(self, target: TrainingTarget, rng: Any) -> None:
        """Between the steps: is the training set fitted, at its noise floor, or without an answer?"""
        fitted = self.is_fitted(target)
        if self.stopped:
            return
        if not fitted:
            self.training_target += "; no rung of step 3 is left, so this is taken for the noise floor"
        if target.fits_nothing(self.scores):
            self.announce("shuffled labels")
            p = self.problem
            model = clone(p.estimator).set_params(**self.params)
            hopeless, shuffled = holds_no_answer(
                model, p.X, p.y, self.scores, scorer=p.scorer, cv_splits=p.cv_splits, random_state=rng
            )
            if hopeless:
                self.stopped = (
                    f"the inputs may not hold the answer (validation {_mean(self.scores.test)}, and "
                    f"{_mean(shuffled.test)} on shuffled labels; training {_mean(self.scores.train)} and "
                    f"{_mean(shuffled.train)}), so that step 4 has nothing to improve"
                )

    def finish(self) -> None:
        """Climb the last rung where the estimator has several networks: all of them, start against best."""
        self.stopped = self.stopped or "every rung was tried"
        if not self.ensemble:
            return
        best = {name: value for name, value in self.params.items() if name != self.n_estimators}
        candidates = [{}, best] if best else [{}]
        scores, first = self._score("ensemble", candidates)
        differences = [self._over(own, scores[0]) for own in scores]
        chosen = len(candidates) - 1 if differences[-1].mean > 0 or not scores[0].complete else 0
        self.params, self.index = candidates[chosen], first + chosen
        verdict = "the start's own networks are the result"
        if best:
            outcome = "better" if chosen else "no better"
            verdict = f"with all networks the ladder's best is {outcome} than the start ({differences[-1]})"
        because = "what counts is the estimator's own number of networks"
        self._add(4, "ensemble", because, candidates, candidates, scores, differences, chosen, chosen > 0, verdict)

    def summary(self) -> str:
        """How it went, and why it ended."""
        tried = [rung for rung in self.rungs if rung.name not in ("start", "ensemble")]
        kept = [rung.name for rung in tried if rung.kept]
        gaps = [float((scores.train - scores.test).mean()) for scores in (self.start, self.scores)]
        text = (
            f"The ladder ended because {self.stopped}. Rungs kept: {len(kept)} of {len(tried)}"
            f"{' (' + ', '.join(kept) + ')' if kept else ''}. Validation {self.score_name} {_mean(self.start.test)} at "
            f"the start and {_mean(self.scores.test)} at the end, gap to training {gaps[0]:.4f} and {gaps[1]:.4f}."
        )
        last = self.rungs[-1].verdict
        return f"{text} {last[0].upper()}{last[1:]}." if self.ensemble else text

    def ladder(self, verdict: str) -> Ladder:
        """The rungs so far."""
        return Ladder(tuple(self.rungs), dict(self.params), self.index, self.training_target, self.score_name, verdict)

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
        start = {f"{self.problem.prefix}{name}": value for name, value in self.problem.parameters.items()}
        merged = {**start, **params}
        schedule = f"{self.problem.prefix}lr_schedule"
        if merged.get(schedule) == "auto":
            merged[schedule] = "cosine_restarts"
        return repr(sorted((name, repr(value)) for name, value in merged.items()))

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
        return paired_difference(scores.test, reference.test, self.fold_ratio)

    def _add(self, step, name, because, changes, candidates, scores, differences, best, kept, verdict) -> None:
        """Put a rung on top."""
        self.rungs.append(
            Rung(
                step,
                name,
                because,
                tuple(changes),
                tuple(candidates),
                tuple(float(own.test.mean()) for own in scores),
                tuple(float(own.train.mean()) for own in scores),
                tuple(differences),
                best,
                kept,
                self.params,
                verdict,
            )
        )


def _verdict(
    changes: list[dict[str, Any]], differences: list[Difference], best: int | None, kept: bool, score_name: str
) -> str:
    """A rung's outcome in a sentence."""
    if best is None:
        return "every candidate failed"
    difference = differences[best]
    if kept:
        return f"kept: {describe_change(changes[best])} changes the validation {score_name} by {difference}"
    if difference.mean <= 0:
        return f"not kept: the best, {describe_change(changes[best])}, is no better ({difference})"
    return f"not kept: the best, {describe_change(changes[best])}, is better within noise only ({difference})"


def _mean(scores: np.ndarray) -> str:
    """A mean score with four digits."""
    return f"{float(scores.mean()):.4f}"
