"""Whether the inputs hold any answer: the shuffled-label test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline

from sk_dlsteps.diagnosis.finding import Finding, uncertainty
from sk_dlsteps.diagnosis.subject import NotLooked, Subject
from sk_dlsteps.step4_validation.baselines import Standardised, baseline_models

# Shuffles at the most, the p-value above which the labels are no better than shuffled ones, and how many shuffled ones
# that do as well are enough to say so (Besag & Clifford 1991).
SHUFFLES, LEVEL, ENOUGH = 39, 0.05, 4
# Standard errors by which the model, or one that it is compared with, must beat a constant guess, for the test to be
# left out.
CLEAR = 3.0
# That nothing was found says something if a column that explains this share of the target would have been found in
# this share of so many trials, by the same test with fewer shuffles.
SIZE, POWER, TRIALS, FEW_SHUFFLES = 0.2, 0.8, 20, 19


def look_for_signal(subject: Subject) -> Iterator[Finding]:
    """Ask whether the labels are predicted better than shuffled ones, where a signal would have been found.

    Where any model is far ahead of a constant guess, that is answered. Otherwise a linear model and small boosted trees
    are scored on the labels and on shuffled ones; the better of the two counts, each time. If the labels are no better,
    the same is tried on labels that a single column is made to explain in part.

    Parameters
    ----------
    subject : Subject
        With rows.

    Yields
    ------
    finding : Finding
        no_signal.

    """
    y = np.asarray(subject.y)
    if (y == y[0]).all():
        raise NotLooked("the target has the same value in all rows")
    own = subject.over(subject.explained, np.zeros(len(subject.splits)))
    others = [subject.over(scores.test, subject.dummy.test) for scores in subject.baselines.values()]
    if own.exceeds(CLEAR) or any(other.exceeds(CLEAR) for other in others):
        return
    subject.announce("diagnosis: shuffling the labels")
    test = _Test(subject)
    p = test.p_value()
    if p <= LEVEL:
        return
    n = len(y)
    n_found, n_trials = test.find_planted()
    yield Finding(
        3,
        "no_signal",
        f"no signal can be shown with {n} rows: the labels are predicted no better than shuffled ones (p = {p:.2g}), "
        f"nor does the model explain more of them than a constant guess ({own}); a column that explains {SIZE:.0%} of "
        f"the target was found in {n_found} of {n_trials} trials",
        f"look for inputs that have to do with the target, or get more rows ({n} now)",
        {
            "explained": own.mean,
            **uncertainty(own),
            "p-value": p,
            "p-value allowed": LEVEL,
            "cheap learners": test.score,
            "cheap learners on shuffled labels": (min(test.shuffled), max(test.shuffled)),
            "shuffles": len(test.shuffled),
            "a signal looked for": SIZE,
            "found in trials": f"{n_found} of {n_trials}",
        },
    )


class _Test:
    """The shuffled-label test of a subject, and of targets that a column explains in part."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.rng = np.random.RandomState(subject.seed)
        self.learners = [subject.behind_the_others(model) for model in _cheap_learners(subject)]
        self.shuffled: list[float] = []
        self.score = self._best(np.asarray(subject.y))

    def p_value(self) -> float:
        """Shuffle until enough shuffled labels are as good, or there were enough shuffles."""
        as_good = 0
        while len(self.shuffled) < SHUFFLES and as_good < ENOUGH:
            self._shuffle()
            as_good += self.shuffled[-1] >= self.score
        return as_good / len(self.shuffled) if as_good == ENOUGH else (1 + as_good) / (1 + SHUFFLES)

    def find_planted(self) -> tuple[int, int]:
        """In how many of the trials a column that explains a part of the target is found; `NotLooked` if in few."""
        while len(self.shuffled) < FEW_SHUFFLES:
            self._shuffle()
        # As good as p = 1/20 asks: better than all but one in twenty of the shuffled ones.
        bound = np.sort(self.shuffled)[-((1 + len(self.shuffled)) // 20)]
        columns = self._columns()
        n_found = n_trials = 0
        while n_found < POWER * TRIALS:
            if n_trials - n_found > (1 - POWER) * TRIALS:
                raise NotLooked(
                    f"with {len(columns)} rows even a column that explains {SIZE:.0%} of the target is often not found "
                    f"({n_found} of {n_trials} trials), so that no signal found says little; get more rows"
                )
            n_trials += 1
            n_found += self._best(self._planted(columns[:, self.rng.randint(columns.shape[1])])) > bound
        return n_found, n_trials

    def _shuffle(self) -> None:
        """Score the learners on the labels in another order."""
        self.shuffled.append(self._best(np.asarray(self.subject.y)[self.rng.permutation(len(self.subject.y))]))

    def _best(self, labels: np.ndarray) -> float:
        """The better learner's mean score; a fold that it cannot learn counts as worthless."""
        if time.monotonic() > self.subject.deadline:
            raise NotLooked("the time was up; raise `max_seconds`")
        scorer = self.subject.score_explained
        means = [self.subject.score(learner, y=labels, scorer=scorer).test.mean() for learner in self.learners]
        known = [mean for mean in means if np.isfinite(mean)]
        if not known:
            raise NotLooked("no cheap learner can be fitted on these folds")
        return float(max(known))

    def _columns(self) -> np.ndarray:
        """The inputs as standardised numbers, without columns of one value."""
        table = self.subject.behind_the_others(Standardised()).fit_transform(self.subject.X, self.subject.y)
        spread = np.asarray(table.max(0).toarray() - table.min(0).toarray() if issparse(table) else np.ptp(table, 0))
        kept = np.flatnonzero(spread.ravel() > 0)
        if not len(kept):
            raise NotLooked("no column has more than one value")
        # A handful is enough to draw from, and a sparse table stays small.
        kept = self.rng.permutation(kept)[:TRIALS]
        columns = table[:, kept].toarray() if issparse(table) else np.asarray(table)[:, kept]
        return (columns - columns.mean(0)) / columns.std(0)

    def _planted(self, column: np.ndarray) -> np.ndarray:
        """The labels, in an order that a column explains in part."""
        y = np.asarray(self.subject.y)
        rule = np.sqrt(SIZE) * column + np.sqrt(1 - SIZE) * self.rng.normal(size=len(column))
        order = np.argsort(y if y.ndim == 1 else y[:, 0], kind="stable")
        return y[order][np.argsort(np.argsort(rule))]


def _cheap_learners(subject: Subject) -> list[Any]:
    """A linear model and small boosted trees."""
    small: dict[str, Any] = {"max_iter": 15, "max_leaf_nodes": 8, "early_stopping": False, "random_state": subject.seed}
    if subject.task == "regression":
        trees: Any = HistGradientBoostingRegressor(**small)
        trees = MultiOutputRegressor(trees) if np.ndim(subject.y) == 2 else trees
    else:
        trees = HistGradientBoostingClassifier(**small)
        trees = MultiOutputClassifier(trees) if subject.task == "multilabel" else trees
    return [baseline_models(subject.task)["linear"], make_pipeline(Standardised(), trees)]
