"""Tests of levels and how often each occurs, valid for few rows too.

Given how often each level occurs in both samples together, every split of the rows is as likely as any other if nothing
has drifted. So whatever is chosen by those totals alone (which levels are put together) costs no false alarm, and what
is chosen by the new rows (the level that became most frequent, the levels that training did not see) has a bound of its
own.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2, fisher_exact, hypergeom

# Rows that are expected of each level in the smaller of two samples, at the least; rarer ones are pooled. Below it the
# chi-square's tail is too thin where many columns are tested.
MIN_EXPECTED = 10.0
# What rows without a value are counted under, and rows of levels that are not told apart.
MISSING, OTHERS = object(), object()
# Levels that may be the one that is more frequent than it should be.
_MOST = 3
# Where the exponent of Chernoff's bound is looked for.
_EXPONENTS = np.geomspace(0.01, 50, 40)


@dataclass(frozen=True)
class CountTest:
    """Tests of one column of levels.

    Attributes
    ----------
    test : {"chi-square", "Fisher", "none"}
        The main test.
    statistic : float
        Its statistic: chi-square, or the difference of the shares of the first group.
    p_values : dict
        Of each test by itself, the main one first: "distribution"; of more than two levels also "missing" (where there
        are such rows), "one level" and "unseen".
    table : ndarray of shape (2, n_groups)
        Old and new rows of each group of levels.
    is_pooled : bool
        Whether too few rows were expected of every level, so that they were put into two halves.

    """

    test: str
    statistic: float
    p_values: dict[str, float]
    table: np.ndarray
    is_pooled: bool


def compare_counts(shares: Mapping[Any, float], found: Mapping[Any, float], n_eff: float) -> CountTest:
    """Test whether levels are as frequent as before.

    Parameters
    ----------
    shares : dict
        Share of each level before, `MISSING` and `OTHERS` included.
    found : dict
        New rows of each level.
    n_eff : float
        Rows that the shares are worth.

    Examples
    --------
    >>> test = compare_counts({"red": 0.5, "blue": 0.3, "green": 0.2}, {"grey": 15}, 500)
    >>> test.test, test.p_values["unseen"] < 1e-6
    ('Fisher', True)

    """
    keys = [key for key in {**shares, **found} if shares.get(key, 0.0) or found.get(key, 0.0)]
    table = np.array([[shares.get(key, 0.0) * n_eff for key in keys], [found.get(key, 0.0) for key in keys]])
    pooled = _pooled(table)
    is_pooled = pooled.shape[1] < 2
    if is_pooled:
        pooled = _halves(table)
    test, statistic, p_value = _main_test(pooled)
    p_values = {"distribution": p_value}
    if len(keys) > 2:
        p_values |= _side_tests(keys, table)
    return CountTest(test, statistic, p_values, pooled, is_pooled)


def p_unseen(n_unseen: int, totals: np.ndarray, n_new: int) -> float:
    """A bound on how likely so many new rows are of levels that no old row has.

    Of t rows of a level all are new with a probability of at most (n_new / n) ** t. Those events are negatively
    associated, so Chernoff's bound holds as if they were independent.

    Parameters
    ----------
    n_unseen : int
        New rows of such levels.
    totals : int ndarray of shape (n_levels,)
        Rows of each level in both samples.
    n_new : int
        New rows.

    References
    ----------
    K. Joag-Dev, F. Proschan: Negative association of random variables. Ann. Stat. 11 (1983).

    """
    share = n_new / max(int(totals.sum()), 1)
    if not n_unseen or share >= 1:
        return 1.0
    sizes, counts = np.unique(totals, return_counts=True)
    chance = sizes * np.log(share)
    exponents = _EXPONENTS[:, None]
    growth = np.logaddexp(np.log1p(-np.exp(chance)), chance + exponents * sizes)
    return float(np.exp(min(0.0, float(((growth * counts).sum(1) - _EXPONENTS * n_unseen).min()))))


def _side_tests(keys: list[Hashable], table: np.ndarray) -> dict[str, float]:
    """The p-values of missing values, of one level that became frequent, and of levels that no old row has."""
    counts = np.rint(table).astype(int)
    # A level that an old row has is no unseen one, however little the row counts.
    counts[0] = np.maximum(counts[0], table[0] > 0)
    (n_old, n_new), totals = counts.sum(1), counts.sum(0)
    p_values, is_missing = {}, np.array([key is MISSING for key in keys])
    if is_missing.any():
        gaps = counts[:, is_missing].sum(1)
        p_values["missing"] = float(fisher_exact([[n_old - gaps[0], gaps[0]], [n_new - gaps[1], gaps[1]]]).pvalue)
    expected = totals * (n_new / max(n_old + n_new, 1))
    most = np.argsort((expected - counts[1]) / np.sqrt(np.maximum(expected, 1e-300)), kind="stable")[:_MOST]
    tails = [hypergeom.sf(counts[1, j] - 1, n_old + n_new, totals[j], n_new) for j in most]
    p_values["one level"] = min(1.0, float(min(tails)) * len(keys))
    is_level = np.array([key is not MISSING and key is not OTHERS for key in keys])
    unseen = int(counts[1, is_level & (counts[0] == 0)].sum())
    p_values["unseen"] = p_unseen(unseen, totals[~is_missing], int(counts[1, ~is_missing].sum()))
    return p_values


def _main_test(table: np.ndarray) -> tuple[str, float, float]:
    """The test of groups of levels, its statistic and its p-value."""
    if table.shape[1] < 2 or not table.sum(1).all():
        return "none", 0.0, 1.0
    if table.shape[1] == 2:
        share = table[:, 0] / table.sum(1)
        return "Fisher", float(share[1] - share[0]), float(fisher_exact(np.rint(table)).pvalue)
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return "chi-square", statistic, float(chi2.sf(statistic, table.shape[1] - 1))


def _pooled(table: np.ndarray) -> np.ndarray:
    """Counts (2, n_levels) whose rare levels, judged by both samples together, are one level."""
    counts = table.sum(0)
    expected = counts * (table.sum(1).min() / max(counts.sum(), 1e-300))
    order = np.argsort(-expected, kind="stable")
    n_kept = int((expected >= MIN_EXPECTED).sum())
    rest = order[n_kept:]
    if len(rest) and expected[rest].sum() < MIN_EXPECTED and n_kept > 1:
        n_kept -= 1
        rest = order[n_kept:]
    kept = table[:, order[:n_kept]]
    return np.column_stack([kept, table[:, rest].sum(1)]) if len(rest) else kept


def _halves(table: np.ndarray) -> np.ndarray:
    """The frequent levels and the others, each about half of all rows; levels that are as frequent stay together."""
    totals = np.rint(table.sum(0))
    order = np.argsort(-totals, kind="stable")
    ends = np.flatnonzero(np.diff(totals[order])) + 1
    if not len(ends):
        return table.sum(1, keepdims=True)
    below = np.cumsum(totals[order])[ends - 1]
    cut = ends[np.argmin(np.abs(below - totals.sum() / 2))]
    return np.column_stack([table[:, order[:cut]].sum(1), table[:, order[cut:]].sum(1)])
