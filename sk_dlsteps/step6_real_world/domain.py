"""The domain classifier: whether old and new rows can be told apart, all columns together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier

from sk_dlsteps.step6_real_world.column_reader import ColumnValues
from sk_dlsteps.step6_real_world.sketches import checksum

# Rows of each kind that are needed; columns whose part is looked at, and rows for that.
MIN_DOMAIN_ROWS, MAX_EXPLAINED, EXPLAINING_ROWS = 20, 50, 2000
# Levels of a category that are told apart, the most frequent ones of both kinds of rows together.
_MOST_LEVELS = 200


@dataclass(frozen=True)
class DomainTest:
    """How well a classifier tells new rows from old ones.

    Attributes
    ----------
    auc : float
        Out of fold: each half of the rows is judged by a classifier of the other half; 0.5 is chance.
    p_value : float
        Of both halves: twice the smaller one of theirs.
    columns : tuple of (str, float)
        Columns that it needs, and what it loses of the AUC without each; only where it can tell rows apart.

    """

    auc: float
    p_value: float
    columns: tuple[tuple[str, float], ...] = ()


def compare_domains(
    names: Sequence[str],
    old: Sequence[ColumnValues],
    new: Sequence[ColumnValues],
    estimator: Any,
    level: float,
    rng: np.random.Generator,
    first: Sequence[int] = (),
) -> DomainTest | None:
    """Train a classifier to tell new rows from old ones.

    Parameters
    ----------
    names : sequence of str
        Of the columns.
    old, new : sequence of ColumnValues
        The same columns of both kinds of rows.
    estimator : classifier or None
        Takes a table of numbers with gaps; None for a small HistGradientBoostingClassifier.
    level : float
        The columns are told if the p-value is at most so large.
    rng : numpy Generator
        Splits, seeds and shuffles.
    first : sequence of int
        Columns to look at first where not all are looked at.

    Returns
    -------
    test : DomainTest or None
        None for fewer than `MIN_DOMAIN_ROWS` rows of a kind.

    Notes
    -----
    If both kinds are rows of one population, the labels of the half that is judged are exchangeable, whatever the
    classifier learnt from the other half: the permutation distribution of its AUC is that of the Mann-Whitney
    statistic, and no classifier has to be trained again. That holds for one half at a time. With labels
    permuted over more folds together, each pair of rows would be counted from both sides, and the
    variance of the AUC would be underestimated up to twofold.

    References
    ----------
    D. Lopez-Paz, M. Oquab: Revisiting classifier two-sample tests. ICLR 2017.

    """
    n_old, n_new = (len(columns[0].values) if columns else 0 for columns in (old, new))
    if min(n_old, n_new) < MIN_DOMAIN_ROWS:
        return None
    X = np.column_stack([_numbers(before, after) for before, after in zip(old, new, strict=True)])
    y = np.repeat([0, 1], [n_old, n_new])
    halves = _halves(y, rng)
    # scikit-learn's trees cannot be trained on a column without any value.
    empty = np.isnan(X[halves == 0]).all(0) | np.isnan(X[halves == 1]).all(0)
    X[:, empty] = np.isnan(X[:, empty])
    aucs, p_values, models = [], [], []
    for judged in (0, 1):
        train, test = halves != judged, halves == judged
        model = _small_classifier(rng) if estimator is None else clone(estimator)
        model.fit(X[train], y[train])
        auc, p_value = rank_test(_scores(model, X[test]), y[test])
        aucs.append(auc)
        p_values.append(p_value)
        models.append(model)
    p_value = min(1.0, 2 * min(p_values))
    columns: tuple[tuple[str, float], ...] = ()
    if p_value <= level:
        judged = int(np.argmin(p_values))
        rows = np.flatnonzero(halves == judged)
        rows = rng.permutation(rows)[:EXPLAINING_ROWS]
        wanted = list(dict.fromkeys([*first, *range(len(names))]))[:MAX_EXPLAINED]
        columns = _losses(models[judged], X[rows], y[rows], names, wanted, rng)
    return DomainTest(float(np.mean(aucs)), p_value, columns)


def rank_test(scores: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The AUC, and how often permuted labels have one as large (Mann-Whitney).

    Examples
    --------
    >>> auc, p_value = rank_test(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 0, 1, 1]))
    >>> auc, round(p_value, 3)
    (1.0, 0.167)

    """
    old, new = scores[y == 0], scores[y == 1]
    if (scores == scores[0]).all():
        return 0.5, 1.0
    result = mannwhitneyu(new, old, alternative="greater")
    return float(result.statistic / (len(old) * len(new))), float(result.pvalue)


def _small_classifier(rng: np.random.Generator) -> HistGradientBoostingClassifier:
    """Trees that find shifts and pairs of columns, and are quick."""
    return HistGradientBoostingClassifier(
        max_iter=40, max_depth=3, early_stopping=False, random_state=int(rng.integers(2**31))
    )


def _halves(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """0 or 1 for each row, with half the rows of each kind in each."""
    halves = np.empty(len(y), dtype=int)
    for kind in (0, 1):
        own = np.flatnonzero(y == kind)
        halves[rng.permutation(own)] = np.arange(len(own)) % 2
    return halves


def _numbers(old: ColumnValues, new: ColumnValues) -> np.ndarray:
    """A column of both kinds of rows as numbers.

    Levels are coded by how often they occur in both kinds together: a code must not tell which kind its row is of.

    """
    if old.levels is None or new.levels is None:
        return np.concatenate([old.values, new.values]).astype(float)
    place: dict[Any, int] = {}
    every = [place.setdefault(level, len(place)) for level in [*old.levels, *new.levels]]
    of_old, of_new = (
        np.append(np.array(own, dtype=int), -1)[column.values]
        for own, column in ((every[: len(old.levels)], old), (every[len(old.levels) :], new))
    )
    codes = np.concatenate([of_old, of_new])
    counts = np.bincount(codes + 1, minlength=len(place) + 1)[1:]
    levels = list(place)
    order = sorted(place.values(), key=lambda code: (-counts[code], checksum(levels[code])))
    rank = np.empty(len(place) + 1)
    rank[order] = np.minimum(np.arange(len(place)), _MOST_LEVELS)
    rank[-1] = np.nan
    return rank[codes]


def _scores(model: Any, X: np.ndarray) -> np.ndarray:
    """What a classifier thinks of rows, larger for new ones."""
    if hasattr(model, "predict_proba"):
        return model.predict_proba(X)[:, 1]
    return model.decision_function(X)


def _losses(
    model: Any, X: np.ndarray, y: np.ndarray, names: Sequence[str], wanted: Sequence[int], rng: np.random.Generator
) -> tuple[tuple[str, float], ...]:
    """Columns whose shuffled values cost AUC, and how much, the most first."""
    whole, _ = rank_test(_scores(model, X), y)
    found = []
    for j in wanted:
        shuffled = X.copy()
        shuffled[:, j] = rng.permutation(X[:, j])
        found.append((names[j], whole - rank_test(_scores(model, shuffled), y)[0]))
    # What costs a small part of what the most needed column does may be a shuffle's noise.
    least = max(0.01, 0.2 * max(loss for _, loss in found))
    return tuple(sorted(((name, loss) for name, loss in found if loss >= least), key=lambda pair: -pair[1])[:10])
