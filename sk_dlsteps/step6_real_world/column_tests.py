"""Tests of one column at a time: whether new rows could be further rows of the training table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.stats import betabinom, chi2, false_discovery_control, fisher_exact, kstwo, norm

from sk_dlsteps.step6_real_world.column_reader import ColumnValues
from sk_dlsteps.step6_real_world.count_tests import MISSING, OTHERS, compare_counts
from sk_dlsteps.step6_real_world.sketches import LevelSketch, NumberSketch, Sketch

# Share of a column's level that each of its side tests gets (missing values, values outside the training range, levels
# that training did not see, one level that became frequent); the main test has the rest, so that it loses little power.
SIDE_SHARE = 0.1
# Of the null distribution, above which a PSI is called large.
PSI_LEVEL = 0.99


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
        New rows of a level that training did not see; None for numbers, and of more levels than are told apart.
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

    @property
    def is_blind(self) -> bool:
        """Whether no level is more frequent than another, so that nothing but unseen ones can be compared."""
        both = isinstance(self.old, LevelSketch) and isinstance(self.new, LevelSketch)
        return self.test == "none" and both and len({*self.old.shares, *self.new.shares}) > 1


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
    sketch = NumberSketch.of(values, centre=old.centre)
    values = old.rounded(values)
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
        The other one, rounded as the sketch's knots are, sorted.

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
    found: dict[Any, float] = {MISSING: float(counts[0])}
    for level, n in zip(levels, counts[1:].tolist(), strict=True):
        key = level if old.is_told_apart(level) else OTHERS
        found[key] = found.get(key, 0.0) + n
    unseen = int(old.is_unseen(new.values, levels).sum()) if old.tells_all_apart else None
    own = compare_counts({**old.shares, OTHERS: old.others, MISSING: old.missing}, found, old.n_eff)
    index, sketch = _stability(*own.table), LevelSketch.of(new.values, levels)
    test, p_values, gaps = own.test, own.p_values, (old.missing, sketch.missing)
    return ColumnTest(name, test, own.statistic, combined(p_values), p_values, *index, *gaps, None, unseen, old, sketch)


def _compare_counted(name: str, old: NumberSketch, values: np.ndarray, sketch: NumberSketch) -> ColumnTest:
    """Test a number of few values as a category of so many levels, and their order."""
    known, shares = np.sort(values[~np.isnan(values)]), old.levels()
    different, counts = np.unique(known, return_counts=True)
    found: dict[Any, float] = dict(
        zip((old.centre + different.astype(float)).tolist(), counts.astype(float).tolist(), strict=True)
    )
    unseen = int(sum(n for value, n in found.items() if value not in shares))
    found[MISSING] = float(np.isnan(values).sum())
    own = compare_counts({**shares, MISSING: old.missing}, found, _rows_worth(old))
    test, statistic, p_values = own.test, own.statistic, own.p_values
    if len(found) > 2 or len(shares) > 2:
        distance, p_order = kolmogorov_smirnov(old, known)
        if own.is_pooled:
            test, statistic, p_values = "KS", distance, {**p_values, "distribution": p_order}
        else:
            p_values = {**p_values, "order": p_order}
    index, gaps = _stability(*own.table), (old.missing, sketch.missing)
    return ColumnTest(name, test, statistic, combined(p_values), p_values, *index, *gaps, None, unseen, old, sketch)


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
    at = np.searchsorted(present, old.rounded(edges), "right")
    new_counts = np.diff(np.concatenate([[0], at, [len(present)]]))
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
