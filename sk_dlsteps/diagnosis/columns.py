"""Columns that say nothing, that say the same as another one, or that say too much."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.sparse import issparse
from scipy.stats import norm
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import _safe_indexing

from sk_dlsteps.diagnosis.association import tells_alone
from sk_dlsteps.diagnosis.finding import Finding, uncertainty
from sk_dlsteps.diagnosis.subject import NotLooked, Subject
from sk_dlsteps.diagnosis.table import Columns, with_shuffled
from sk_dlsteps.step4_validation.baselines import Standardised, baseline_models
from sk_dlsteps.step4_validation.noise import Difference

# Of what there is to win, a leak brings this share by itself, and all other columns together at most that.
LEAK, REST = 0.97, 0.8
# A column is of no use if shuffling it costs surely less than this share of a constant guess's loss; columns are
# shuffled so often.
LITTLE, SHUFFLES = 0.01, 4
# Rows that are predicted at once, at the most, if those of a fold are fewer.
MOST_ROWS = 20_000
# Chance of a column that is worth as much to be taken for useless, over all columns.
LEVEL = 0.05
# Standard errors of a difference of scores.
ERRORS = 2.0
# Columns listed in a sentence.
_LISTED = 10


def look_for_empty_columns(subject: Subject) -> Iterator[Finding]:
    """Find columns of one value, and columns that say the same as another one.

    Parameters
    ----------
    subject : Subject
        With rows.

    Yields
    ------
    finding : Finding
        constant_columns, duplicate_columns.

    """
    columns = Columns.of(subject.X)
    constant = [columns.name(j) for j in columns.constant()]
    if constant:
        yield Finding(
            4,
            "constant_columns",
            f"{_listed(constant)} {'has' if len(constant) == 1 else 'have'} the same value in all rows",
            f"drop {_listed(constant)}",
            {"columns": constant, "rows": len(columns.values)},
            severity=1,
        )
    pairs = [(columns.name(first), columns.name(second)) for first, second in columns.copies()]
    if pairs:
        second = [name for _, name in pairs]
        yield Finding(
            4,
            "duplicate_columns",
            f"{_listed(second)} {'says' if len(second) == 1 else 'say'} the same as columns before",
            f"drop {_listed(second)}",
            {"copies": [{"column": name, "copy of": first} for first, name in pairs], "rows": len(columns.values)},
            severity=1,
        )


def look_for_leaks(subject: Subject) -> Iterator[Finding]:
    """Find columns each of which explains almost all by itself, where the others together do not.

    Parameters
    ----------
    subject : Subject
        With rows.

    Yields
    ------
    finding : Finding
        suspicious_leak.

    """
    columns = Columns.of(subject.X)
    places = np.flatnonzero(columns.readable)
    if len(columns.names) < 2:
        raise NotLooked("a single column has no others to be compared with")
    subject.announce("diagnosis: fitting each column by itself")
    floor = float(subject.dummy.test.mean())
    alone = {int(j): (_alone(subject, columns.values[:, [j]]) - floor) / subject.span for j in places}
    leaks = [j for j, share in alone.items() if share >= LEAK]
    if not leaks or len(leaks) == len(columns.names):
        return
    rest = _share_of(subject, _best_of(subject, columns.without(leaks)))
    if rest.mean > REST:
        return
    errors = {j: _share_of(subject, subject.score(_tree(subject), columns.values[:, [j]]).test).error for j in leaks}
    names = [columns.name(j) for j in leaks]
    yield Finding(
        4,
        "suspicious_leak",
        f"{_listed(names)} alone explain{'s' if len(names) == 1 else ''} {max(alone[j] for j in leaks):.1%} of what "
        f"there is to explain, all other columns together {rest.mean:.1%}",
        f"ask whether {_listed(names)} can be known before the target is; if not, drop it",
        {
            "columns": [
                {
                    "column": columns.name(j),
                    "share by itself": alone[j],
                    **uncertainty(Difference(alone[j], errors[j])),
                }
                for j in leaks
            ],
            "share of a leak": LEAK,
            "share of the others": rest.mean,
            **uncertainty(rest),
            "share of the others allowed": REST,
        },
        severity=3,
    )


def _share_of(subject: Subject, scores: np.ndarray) -> Difference:
    """What scores of the folds are ahead of a constant guess, as a share of what there is to win."""
    ahead = subject.over(scores, subject.dummy.test)
    return Difference(ahead.mean / subject.span, ahead.error / subject.span)


def _tree(subject: Subject) -> Any:
    """A tree for one column."""
    kind = DecisionTreeRegressor if subject.task == "regression" else DecisionTreeClassifier
    return kind(min_samples_leaf=2, random_state=subject.seed)


def _alone(subject: Subject, column: np.ndarray) -> float:
    """The out-of-fold score of a tree on one column."""
    tree, y = _tree(subject), subject.y
    held_out = np.concatenate([test for _, test in subject.splits])
    if len(np.unique(held_out)) == len(y) == len(held_out):
        predicted = cross_val_predict(tree, column, y, cv=subject.splits)
        return float((r2_score if subject.task == "regression" else accuracy_score)(y, predicted))
    return float(subject.score(tree, column).test.mean())


def _best_of(subject: Subject, X: Any) -> np.ndarray:
    """The scores of the better of a linear model and boosted trees on other inputs."""
    trees = make_pipeline(Standardised(), subject.boosted_trees())
    models = [baseline_models(subject.task)["linear"], trees]
    scores = [subject.score(subject.behind_the_others(model), X).test for model in models]
    known = [own for own in scores if np.isfinite(own).all()]
    if not known:
        raise NotLooked("no baseline can be fitted on the other columns")
    return max(known, key=lambda own: float(own.mean()))


def look_for_useless_columns(subject: Subject) -> Iterator[Finding]:
    """Shuffle each column of the rows held out, then fit with noise in the place of those that are not missed.

    Parameters
    ----------
    subject : Subject
        With rows.

    Yields
    ------
    finding : Finding
        useless_columns.

    """
    columns = Columns.of(subject.X)
    if issparse(subject.X):
        raise NotLooked("the columns of a sparse table are not shuffled")
    if subject.explained.mean() <= ERRORS * LITTLE:
        raise NotLooked("the model has learnt nothing from any column")
    skipped = {*columns.constant(), *(j for pair in columns.copies() for j in pair)}
    places = [j for j in range(len(columns.names)) if j not in skipped]
    subject.announce("diagnosis: shuffling the columns")
    costs = _costs_of_shuffling(subject, subject.X, subject.own.estimators, places)
    errors = norm.ppf(1 - LEVEL / 2 / max(1, len(places)))
    useless = [j for j, (mean, error) in costs.items() if mean + errors * error < LITTLE]
    if not useless or len(useless) == len(columns.names):
        return
    order = np.random.RandomState(subject.seed).permutation(len(columns.values))
    noisy = with_shuffled(subject.X, useless, order)
    subject.announce("diagnosis: fitting the model with noise in their place")
    probes = subject.cross_validate(subject.estimator, noisy)
    loss = subject.over(subject.own.scores.test, probes.scores.test)
    noise = _costs_of_shuffling(subject, noisy, probes.estimators, useless)
    largest = max(mean + errors * error for mean, error in noise.values())
    lost = loss.exceeds(ERRORS) or loss.mean > LITTLE * subject.span
    useless = [j for j in useless if costs[j][0] <= max(largest, 0.0)]
    # What a column tells by itself is told by others, too, if the networks can do without it: no fault of the column.
    useless = [j for j in useless if not tells_alone(columns.values[:, j], subject.indicators(subject.y))]
    if lost or not useless:
        return
    names = [columns.name(j) for j in useless]
    yield Finding(
        4,
        "useless_columns",
        f"{_listed(names)} can be shuffled without loss, noise in the place of such columns does as well, and "
        f"{'it tells' if len(names) == 1 else 'they tell'} nothing by {'itself' if len(names) == 1 else 'themselves'}",
        f"drop {_listed(names)}",
        {
            "columns": [
                {"column": columns.name(j), "cost of shuffling": costs[j][0], **uncertainty(Difference(*costs[j]))}
                for j in useless
            ],
            "cost allowed": LITTLE,
            "largest cost of noise": largest,
            f"{subject.score_name} lost with noise": loss.mean,
            **uncertainty(loss),
        },
        severity=1,
    )


def _costs_of_shuffling(
    subject: Subject, X: Any, estimators: list[Any], places: list[int]
) -> dict[int, tuple[float, float]]:
    """What shuffling costs on rows held out, as a share of a constant guess's loss, and its error, by columns."""
    rng = np.random.RandomState(subject.seed)
    target = subject.indicators(subject.y)
    constant = float(((target - target.mean(0)) ** 2).mean())
    differences: dict[int, list[np.ndarray]] = {j: [] for j in places}
    for (_, test), estimator in zip(subject.splits, estimators, strict=True):
        rows = subject.rows(test, X)
        base = _errors(subject, estimator, rows, target[test])
        together = max(1, MOST_ROWS // (SHUFFLES * len(test)))
        for start in range(0, len(places), together):
            if time.monotonic() > subject.deadline:
                raise NotLooked("the time was up; raise `max_seconds`")
            own = places[start : start + together]
            errors = _errors(subject, estimator, *_shuffled(rows, own, target[test], rng))
            for j, of_column in zip(own, errors.reshape(len(own), SHUFFLES, len(test)), strict=True):
                differences[j].append(of_column.mean(0) - base)
    costs = {j: np.concatenate(own) / constant for j, own in differences.items()}
    return {j: (float(own.mean()), float(own.std(ddof=1) / np.sqrt(len(own)))) for j, own in costs.items()}


def _shuffled(X: Any, places: list[int], target: np.ndarray, rng: np.random.RandomState) -> tuple[Any, np.ndarray]:
    """Copies of rows, one below the other, for each column and shuffle, and their targets: one prediction for all."""
    n, n_copies = len(target), SHUFFLES * len(places)
    every = np.tile(np.arange(n), n_copies)
    copies = _safe_indexing(X, every)
    for i, j in enumerate(places):
        order = np.arange(n * n_copies)
        for start in range(i * SHUFFLES * n, (i + 1) * SHUFFLES * n, n):
            order[start : start + n] = start + rng.permutation(n)
        copies = with_shuffled(copies, [j], order)
    return copies, target[every]


def _errors(subject: Subject, estimator: Any, X: Any, target: np.ndarray) -> np.ndarray:
    """Squared error of each row, of probabilities where there are classes."""
    return ((subject.predict(estimator, X).reshape(target.shape) - target) ** 2).mean(1)


def _listed(names: list[str]) -> str:
    """Columns in a sentence."""
    shown = ", ".join(repr(name) for name in names[:_LISTED])
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"column{'s' if len(names) > 1 else ''} {shown}{more}"
