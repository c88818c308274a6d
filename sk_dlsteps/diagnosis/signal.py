"""Whether the inputs hold any answer: the shuffled-label test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline

from sk_dlsteps.diagnosis.finding import Finding
from sk_dlsteps.diagnosis.subject import NotLooked, Subject
from sk_dlsteps.step4_validation.baselines import Standardised, baseline_models

# Shuffles at the most, the p-value above which the labels are no better than shuffled ones, and how many shuffled ones
# that do as well are enough to say so (Besag & Clifford 1991).
SHUFFLES, LEVEL, ENOUGH = 39, 0.05, 4
# Standard errors by which the model, or one that it is compared with, must beat a constant guess, for the test to be
# left out.
CLEAR = 3.0


def look_for_signal(subject: Subject) -> Iterator[Finding]:
    """Ask whether the labels are predicted better than shuffled ones.

    Where any model is far ahead of a constant guess, that is answered. Otherwise a linear model and small boosted trees
    are scored on the labels and on shuffled ones; the better of the two counts, each time.

    Parameters
    ----------
    subject : Subject
        With rows.

    Yields
    ------
    finding : Finding
        no_signal.

    """
    own = subject.over(subject.explained, np.zeros(len(subject.splits)))
    others = [subject.over(scores.test, subject.dummy.test) for scores in subject.baselines.values()]
    if own.exceeds(CLEAR) or any(other.exceeds(CLEAR) for other in others):
        return
    subject.announce("diagnosis: shuffling the labels")
    found = _shuffle_labels(subject)
    if found["p-value"] <= LEVEL:
        return
    yield Finding(
        3,
        "no_signal",
        f"the labels are predicted no better than shuffled ones (p = {found['p-value']:.2g}), nor does the model "
        f"explain more of them than a constant guess ({own})",
        "look for inputs that have to do with the target, or change what is to be predicted",
        {"explained": own.mean, "standard error": own.error, **found},
        severity=3,
    )


def _shuffle_labels(subject: Subject) -> dict[str, Any]:
    """What the better of cheap learners explains of the labels and of shuffled ones, and the p-value."""
    learners = [subject.behind_the_others(model) for model in _cheap_learners(subject)]
    y, rng = np.asarray(subject.y), np.random.RandomState(subject.seed)

    def best(labels: np.ndarray) -> float:
        """The better learner's mean score; a fold that it cannot learn counts as worthless."""
        means = [subject.score(learner, y=labels, scorer=subject.score_explained).test.mean() for learner in learners]
        known = [mean for mean in means if np.isfinite(mean)]
        if not known:
            raise NotLooked("no cheap learner can be fitted on these folds")
        return float(max(known))

    shuffled: list[float] = []
    score, as_good = best(y), 0
    while len(shuffled) < SHUFFLES and as_good < ENOUGH:
        if time.monotonic() > subject.deadline:
            raise NotLooked("the time was up; raise `max_seconds`")
        shuffled.append(best(y[rng.permutation(len(y))]))
        as_good += shuffled[-1] >= score
    return {
        "p-value": as_good / len(shuffled) if as_good == ENOUGH else (1 + as_good) / (1 + SHUFFLES),
        "p-value allowed": LEVEL,
        "cheap learners": score,
        "cheap learners on shuffled labels": (min(shuffled), max(shuffled)),
        "shuffles": len(shuffled),
    }


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
