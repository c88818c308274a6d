"""Tests of one column at a time: whether new rows could be further rows of the training table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.stats import betabinom, chi2, false_discovery_control, fisher_exact, kstwo, norm

from sk_dlsteps.step6_real_world.column_reader import ColumnValues
from sk_dlsteps.step6_real_world.sketches import LevelSketch, NumberSketch, Sketch, rounded

# Share of a column's level that each of its side tests gets (missing values; values outside the training range); the
# main test has the rest, so that it loses next to no power to them.
SIDE_SHARE = 0.1
# Rows that are expected of each level in the smaller of two samples, at the least; rarer ones are pooled. Below it the
# chi-square's tail is too thin where many columns are tested.
MIN_EXPECTED = 10.0
# Of the null distribution, above which a PSI is called large.
PSI_LEVEL = 0.99
_MISSING, _OTHERS = object(), object()


@dataclass(frozen=True)
class ColumnTest:
    """How a column of new rows differs from that of the training table.

    Attributes
    ----------
    name : str
        Of the column.
    test : {"KS", "chi-square", "Fisher", "none"}
        The main test.
    statistic : float
        Its statistic: the largest distance of the two distribution functions, chi-square, or the difference of shares.
    p_value : float
        Of all tests of the column together (Bonferroni, `SIDE_SHARE` of the level for each side test).
    p_values : dict
        Of each test by itself.
    psi, psi_limit, psi_p_value : float
        The population stability index, the `PSI_LEVEL` quantile of its distribution for two samples of one
        population, and its p-value; it is shown, and takes no part in the verdict.
    missing_before, missing : float
        Share of rows without a value.
    outside : int or None
        New values outside the training range; None for categories.
    unseen : int or None
        New rows of a level that training did not see; None for numbers.
    old, new : NumberSketch or LevelSketch
        What is drawn.
    adjusted : float
        p-value after Benjamini-Hochberg over the columns.

    """

    name: str
    test: str
    statistic: float
    p_value: float
    p_values: Mapping[str, float]
    psi: float
    psi_limit: float
    psi_p_value: float
    missing_before: float
    missing: float
    outside: int | None
    unseen: int | None
    old: Sketch = field(repr=False)
    new: Sketch = field(repr=False)
    adjusted: float = 1.0


def compare_columns(
    names: Sequence[str], old: Sequence[Sketch], new: Sequence[ColumnValues], n_bins: int
) -> tuple[ColumnTest, ...]:
    """Test every column, and adjust the p-values over them all.

    Parameters
    ----------
    names : sequence of str
        Of the columns.
    old : sequence of NumberSketch or LevelSketch
        Of the training table.
    new : sequence of ColumnValues
        Of new rows.
    n_bins : int
        Bins of the PSI.

    References
    ----------
    Y. Benjamini, Y. Hochberg: Controlling the false discovery rate. J. R. Stat. Soc. B 57 (1995).

    """
    tests = [compare_column(*each, n_bins) for each in zip(names, old, new, strict=True)]
    if not tests:
        return ()
    adjusted = false_discovery_control([test.p_value for test in tests])
    return tuple(replace(test, adjusted=float(p)) for test, p in zip(tests, adjusted, strict=True))


def compare_column(name: str, old: Sketch, new: ColumnValues, n_bins: int = 10) -> ColumnTest:
    """Test one column.

    Parameters
    ----------
    name : str
        Of the column.
    old : NumberSketch or LevelSketch
        Of the training table.
    new : ColumnValues
        Of new rows.
    n_bins : int, default=10
        Bins of the PSI.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> old = NumberSketch.of(rng.normal(size=500))
    >>> test = compare_column("size", old, ColumnValues(rng.normal(0.5, 1, size=500)))
    >>> test.test, bool(test.p_value < 1e-6)
    ('KS', True)

    """
    if isinstance(old, LevelSketch):
        return _compare_levels(name, old, new)
    values = new.values
    # Before they are rounded.
    outside = int(old.is_outside(values).sum())
    values = rounded(values)
    sketch = NumberSketch.of(values)
    present = np.sort(values[~np.isnan(values)])
    if old.is_counted:
        return replace(_compare_counted(name, old, values, sketch), outside=outside)
    n_missing = len(values) - len(present)
    statistic, p_main = kolmogorov_smirnov(old, present)
    p_values = {"distribution": p_main}
    if old.missing > 0 or n_missing:
        n = _rows_worth(old)
        counts = np.array([[n * old.missing, n * (1 - old.missing)], [n_missing, len(present)]])
        p_values["missing"] = float(fisher_exact(np.rint(counts)).pvalue)
    p_values["outside"] = p_outside(outside, len(present), old.n_present)
    before, after = _binned(old, present, n_missing, n_bins)
    index = _stability(before, after)
    p_value = combined(p_values)
    return ColumnTest(
        name, "KS", statistic, p_value, p_values, *index, old.missing, sketch.missing, outside, None, old, sketch
    )


def combined(p_values: Mapping[str, float]) -> float:
    """One p-value of a main test, named first, and of side tests: Bonferroni with unequal shares."""
    main, *side = p_values.values()
    return min(1.0, main / (1 - SIDE_SHARE * len(side)), *(p / SIDE_SHARE for p in side))


def kolmogorov_smirnov(old: NumberSketch, present: np.ndarray) -> tuple[float, float]:
    """The largest distance of two distribution functions where both are known, and its p-value.

    Parameters
    ----------
    old : NumberSketch
        Of one sample.
    present : ndarray
        The other one, sorted.

    Returns
    -------
    statistic, p_value : float
        Those of ``scipy.stats.ks_2samp(method="asymp")`` if the sketch is exact; else the distance is looked
        at in the knots only, and so can only be smaller. Ties make the p-value larger.

    """
    n, m = old.n_eff, len(present)
    if not len(old.knots) or not m:
        return 0.0, 1.0
    at = np.searchsorted(present, old.knots, "right") / m
    before = np.searchsorted(present, old.knots, "left") / m
    below = np.append(0.0, old.shares[:-1])
    # Just below a knot the old function is known if there is no value between knots, and below the first of all.
    known = slice(None) if old.exact else slice(0, 1)
    distance = max(float(np.abs(at - old.shares).max()), float(np.abs(before[known] - below[known]).max()))
    return distance, float(np.clip(kstwo.sf(distance, max(1, round(n * m / (n + m)))), 0, 1))


def p_outside(n_outside: int, n_new: int, n_old: int) -> float:
    """How likely so many of `n_new` further values lie outside the range of `n_old` ones of the same population.

    The share that a range covers is Beta(n_old - 1, 2), whatever the distribution; ties make it larger.

    """
    if n_outside == 0 or n_old < 2:
        return 1.0
    return float(betabinom.sf(n_outside - 1, n_new, 2, n_old - 1))


def smallest_shift(n_old: float, n_new: int, level: float) -> float:
    """Shift of a normal column, in standard deviations, that is found with a probability of 0.8; inf if none is.

    The distance of the two distribution functions is 2 Phi(shift / 2) - 1; that of two samples scatters around it with
    a standard deviation of at most half of 1 / sqrt(n m / (n + m)).

    """
    worth = n_old * n_new / (n_old + n_new)
    needed = float(kstwo.isf(level, max(1, round(worth)))) + 0.42 / math.sqrt(worth)
    return float(2 * norm.ppf((1 + needed) / 2)) if needed < 1 else math.inf


def _compare_levels(name: str, old: LevelSketch, new: ColumnValues) -> ColumnTest:
    """Test a category."""
    levels = new.levels if new.levels is not None else []
    counts = np.bincount(new.values + 1, minlength=len(levels) + 1)
    found: dict[Any, float] = {_MISSING: float(counts[0])}
    for level, n in zip(levels, counts[1:].tolist(), strict=True):
        key = level if old.is_told_apart(level) else _OTHERS
        found[key] = found.get(key, 0.0) + n
    unseen = int(old.is_unseen(new.values, levels).sum())
    shares = {**old.shares, _OTHERS: old.others, _MISSING: old.missing}
    test, statistic, p_value, index = _compare_counts(shares, found, old.n_eff)
    sketch = LevelSketch.of(new.values, levels)
    p_values = {"distribution": p_value}
    return ColumnTest(
        name, test, statistic, p_value, p_values, *index, old.missing, sketch.missing, None, unseen, old, sketch
    )


def _compare_counted(name: str, old: NumberSketch, values: np.ndarray, sketch: NumberSketch) -> ColumnTest:
    """Test a number of few values as a category of so many levels."""
    different, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    found = dict(zip(different.tolist(), counts.astype(float).tolist(), strict=True))
    found[_MISSING] = float(np.isnan(values).sum())
    test, statistic, p_value, index = _compare_counts({**old.levels(), _MISSING: old.missing}, found, _rows_worth(old))
    unseen = int(sum(n for value, n in found.items() if value is not _MISSING and value not in old.knots))
    p_values = {"distribution": p_value}
    return ColumnTest(
        name, test, statistic, p_value, p_values, *index, old.missing, sketch.missing, None, unseen, old, sketch
    )


def _compare_counts(
    shares: Mapping[Any, float], found: Mapping[Any, float], n_eff: float
) -> tuple[str, float, float, tuple[float, float, float]]:
    """The test of two columns of counts, its statistic and p-value, and the PSI."""
    keys = list({**shares, **found})
    table = np.array([[shares.get(key, 0.0) * n_eff for key in keys], [found.get(key, 0.0) for key in keys]])
    table = _pooled(table)
    index = _stability(*table)
    total = table.sum()
    if table.shape[1] < 2 or not table.sum(1).all():
        return "none", 0.0, 1.0, index
    if table.shape[1] == 2:
        share = table[:, 0] / table.sum(1)
        return "Fisher", float(share[1] - share[0]), float(fisher_exact(np.rint(table)).pvalue), index
    expected = np.outer(table.sum(1), table.sum(0)) / total
    statistic = float(((table - expected) ** 2 / expected).sum())
    return "chi-square", statistic, float(chi2.sf(statistic, table.shape[1] - 1)), index


def _pooled(table: np.ndarray) -> np.ndarray:
    """Counts (2, n_levels) whose rare levels, judged by both samples together, are one level."""
    counts = table.sum(0)
    table, counts = table[:, counts > 0], counts[counts > 0]
    expected = counts * (table.sum(1).min() / max(counts.sum(), 1e-300))
    order = np.argsort(-expected, kind="stable")
    n_kept = int((expected >= MIN_EXPECTED).sum())
    rest = order[n_kept:]
    if len(rest) and expected[rest].sum() < MIN_EXPECTED and n_kept > 1:
        n_kept -= 1
        rest = order[n_kept:]
    kept = table[:, order[:n_kept]]
    return np.column_stack([kept, table[:, rest].sum(1)]) if len(rest) else kept


def _rows_worth(old: NumberSketch) -> float:
    """Rows, those without a value included, that a sketch is worth."""
    return old.n_eff / (1 - old.missing) if old.missing < 1 else float(old.n_rows)


def _binned(old: NumberSketch, present: np.ndarray, n_missing: int, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of the old and the new values between the old quantiles, and of those that are missing."""
    missing = np.array([_rows_worth(old) * old.missing]), np.array([float(n_missing)])
    if not len(old.knots):
        return np.append(missing[0], 0.0), np.append(missing[1], float(len(present)))
    edges = np.unique(old.quantile(np.arange(1, n_bins) / n_bins))
    old_counts = np.diff(np.concatenate([[0.0], old.share_at_most(edges), [1.0]])) * old.n_eff
    new_counts = np.diff(np.concatenate([[0], np.searchsorted(present, edges, "right"), [len(present)]]))
    if old.missing == 0 and n_missing == 0:
        return old_counts, new_counts.astype(float)
    return np.append(old_counts, missing[0]), np.append(new_counts, missing[1])


def _stability(before: np.ndarray, after: np.ndarray) -> tuple[float, float, float]:
    """The population stability index of counts, the limit of its null distribution, and its p-value.

    Half a row more in each bin keeps it finite. Of two samples of one population it is about chi-square with one degree
    of freedom less than there are bins, times 1/n + 1/m.

    """
    n, m, n_bins = before.sum(), after.sum(), len(before)
    if not n or not m or n_bins < 2:
        return 0.0, 0.0, 1.0
    p, q = (before + 0.5) / (n + 0.5 * n_bins), (after + 0.5) / (m + 0.5 * n_bins)
    index, scale = float(((p - q) * np.log(p / q)).sum()), 1 / n + 1 / m
    return index, float(scale * chi2.ppf(PSI_LEVEL, n_bins - 1)), float(chi2.sf(index / scale, n_bins - 1))
