"""What is kept of one column of a table: points of its distribution function, or counts of its levels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np

# Of a number: rows that its distribution is taken from. Of a category: levels that are told apart. No figure of a test
# rests on the choice: a statistic is only read off where the distribution is known.
MAX_SKETCH_ROWS, MAX_SKETCH_LEVELS = 20_000, 1000
# Numbers of at most so many different values are counted, value by value, as levels are.
MAX_COUNTED = 20
# So many times as many rows as different values there have to be.
MIN_REPEATS = 2
# Of numbers whose middle is so many times as large as their spread, the distance from the middle is kept: float32 has
# 24 bits, of which the spread has to get ten at the least.
MAX_OFFSET = 10_000
# Points of a distribution function, of one column that is looked at by itself.
MAX_KNOTS = 256
# The same of a model's target and outputs, which it keeps.
MODEL_KNOTS = 96


@dataclass(frozen=True)
class NumberSketch:
    """The distribution of a column of numbers.

    Attributes
    ----------
    knots : float32 ndarray
        Some of its values less `centre`, sorted; all of them if `exact`. New values are rounded as these are.
    shares : float32 ndarray
        Share of the values that are at most so large: what the distribution function is there.
    exact : bool
        Whether there is no other value than the knots.
    n_eff : float
        Rows that the shares are worth; of rows of weights, (sum w)^2 / sum w^2 (Kish).
    n_rows : int
        Rows in all, those without a value included.
    missing : float
        Share of the rows without a value.
    low, high : float
        The smallest and the largest value of all rows; NaN if there is none.
    centre : float
        What values are taken less: 0, but where they are far from it and close to each other.

    """

    knots: np.ndarray
    shares: np.ndarray
    exact: bool
    n_eff: float
    n_rows: int
    missing: float
    low: float
    high: float
    centre: float = 0.0

    @classmethod
    def of(
        cls,
        values: np.ndarray,
        weight: np.ndarray | None = None,
        n_knots: int = MAX_KNOTS,
        centre: float | None = None,
    ) -> NumberSketch:
        """Look at a column.

        Parameters
        ----------
        values : float ndarray of shape (n_rows,)
            NaN where there is none.
        weight : ndarray of shape (n_rows,) or None
            What each row counts.
        n_knots : int, default=MAX_KNOTS
            Values that are kept, about.
        centre : float or None
            That of a sketch to compare with; None chooses one.

        Examples
        --------
        >>> sketch = NumberSketch.of(np.array([3.0, 1.0, np.nan, 3.0]))
        >>> sketch.knots.tolist(), len(sketch.shares), sketch.missing, sketch.exact
        ([1.0, 3.0], 2, 0.25, True)

        """
        present = ~np.isnan(values)
        total = len(values) if weight is None else weight.sum()
        missing = 1 - (present.sum() if weight is None else weight[present].sum()) / max(total, 1e-300)
        own = values[present]
        low, high = (float(own.min()), float(own.max())) if len(own) else (math.nan, math.nan)
        counts = None if weight is None else weight[present]
        rows = _some(len(own))
        if rows is not None:
            own, counts = own[rows], None if counts is None else counts[rows]
        centre = _centre_of(own) if centre is None else centre
        own = rounded(own, centre)
        knots, shares = _steps(own, counts)
        exact = len(knots) <= n_knots and rows is None
        knots, shares = _thinned(knots, shares, n_knots)
        n_eff = float(len(own)) if counts is None else float(counts.sum() ** 2 / max((counts**2).sum(), 1e-300))
        return cls(*_small(knots, shares), exact, n_eff, len(values), max(0.0, float(missing)), low, high, centre)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled in a few bytes: there is one for each column of a model's table."""
        others = self.exact, self.n_eff, self.n_rows, self.missing, self.low, self.high, self.centre
        return _unpickled, (self.knots.tobytes(), self.shares.tobytes(), *others)

    @property
    def is_counted(self) -> bool:
        """Whether the values are few, and so compared one by one."""
        return self.exact and len(self.knots) <= min(MAX_COUNTED, self.n_present / MIN_REPEATS)

    @property
    def n_present(self) -> int:
        """Rows with a value."""
        return round(self.n_rows * (1 - self.missing))

    @property
    def points(self) -> np.ndarray:
        """The values that the knots stand for."""
        return self.centre + self.knots.astype(float)

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """Values as knots are, to be compared with them."""
        return rounded(values, self.centre)

    def share_at_most(self, values: np.ndarray) -> np.ndarray:
        """The distribution function; between knots it is a straight line, or a step if there is no other value."""
        if not len(self.knots):
            return np.zeros(len(values))
        values = self.rounded(values)
        if self.exact:
            return np.append(0.0, self.shares)[np.searchsorted(self.knots, values, "right")]
        return np.interp(values, self.knots.astype(float), self.shares.astype(float), left=0.0)

    def quantile(self, levels: np.ndarray) -> np.ndarray:
        """The smallest knot whose share is at least so large."""
        return self.points[np.minimum(np.searchsorted(self.shares, levels - 1e-6), len(self.knots) - 1)]

    def is_outside(self, values: np.ndarray) -> np.ndarray:
        """Which values lie outside the range; a float32 table's ends are what its values are."""
        low, high = np.array([self.low, self.high])
        if values.dtype == np.float32:
            low, high = rounded(np.array([low, high]))
        return (values < low) | (values > high)

    def levels(self) -> dict[Any, float]:
        """Shares of the different values among all rows, of few of them."""
        return dict(zip(self.points.tolist(), (np.diff(self.shares, prepend=0.0) * (1 - self.missing)), strict=True))

    def merged(self, other: NumberSketch, n_knots: int = MAX_KNOTS) -> NumberSketch:
        """The sketch of the rows of both."""
        n_rows = self.n_rows + other.n_rows
        parts = self.n_rows * (1 - self.missing), other.n_rows * (1 - other.missing)
        present = sum(parts)
        if min(parts) == 0:
            shown = self if parts[0] else other
            missing = 1 - present / max(n_rows, 1)
            return replace(shown, n_rows=n_rows, missing=missing)
        points, centre = np.union1d(self.points, other.points), self.centre or other.centre
        shares = (parts[0] * self.share_at_most(points) + parts[1] * other.share_at_most(points)) / present
        shares[-1] = 1.0
        knots = rounded(points, centre)
        last = np.append(knots[1:] != knots[:-1], True)
        knots, shares = knots[last], shares[last]
        exact = self.exact and other.exact and len(knots) <= n_knots
        knots, shares = _thinned(knots, shares, n_knots)
        # Each part counts in proportion to its rows: what its values are worth is that of a sum of weights.
        n_eff = present**2 / sum(part**2 / own.n_eff for part, own in zip(parts, (self, other), strict=True))
        low, high = min(self.low, other.low), max(self.high, other.high)
        return NumberSketch(*_small(knots, shares), exact, n_eff, n_rows, 1 - present / n_rows, low, high, centre)


@dataclass(frozen=True)
class LevelSketch:
    """The levels of a category, and how often each occurs.

    Attributes
    ----------
    shares : dict
        Share of each level among all rows. Of more than `MAX_SKETCH_LEVELS` levels those are told apart that come
        first in the order of a checksum, which knows nothing of how frequent they are: the most frequent ones
        would look rarer in any other rows.
    others : float
        Share of the other levels.
    missing : float
        Share of the rows without a level.
    n_eff : float
        Rows that the shares are worth.
    n_rows : int
        Rows in all.

    """

    shares: Mapping[Any, float]
    others: float
    missing: float
    n_eff: float
    n_rows: int
    last: int = field(default=2**32)
    """Checksum of the first level that is not told apart."""

    @classmethod
    def of(cls, codes: np.ndarray, levels: list[Any], weight: np.ndarray | None = None) -> LevelSketch:
        """Look at a column.

        Parameters
        ----------
        codes : int ndarray of shape (n_rows,)
            Places in `levels`, -1 for a missing value.
        levels : list
            The different values.
        weight : ndarray of shape (n_rows,) or None
            What each row counts.

        Examples
        --------
        >>> sketch = LevelSketch.of(np.array([0, 1, 1, -1]), ["red", "blue"])
        >>> sketch.shares, sketch.missing
        ({'red': 0.25, 'blue': 0.5}, 0.25)

        """
        counts = np.bincount(codes + 1, weight, len(levels) + 1)
        total = float(counts.sum()) or 1.0
        n_eff = float(len(codes)) if weight is None else float(total**2 / max((weight**2).sum(), 1e-300))
        shares = {level: float(n) / total for level, n in zip(levels, counts[1:], strict=True) if n > 0}
        return _bounded(shares, 0.0, float(counts[0]) / total, n_eff, len(codes), 2**32)

    def merged(self, other: LevelSketch, n_knots: int = MAX_KNOTS) -> LevelSketch:
        """The sketch of the rows of both."""
        n_rows = self.n_rows + other.n_rows
        own, its = self.n_rows / max(n_rows, 1), other.n_rows / max(n_rows, 1)
        shares = {
            level: own * self.shares.get(level, 0.0) + its * other.shares.get(level, 0.0)
            for level in {**self.shares, **other.shares}
        }
        n_eff = 1 / sum(part**2 / kept.n_eff for part, kept in ((own, self), (its, other)) if part)
        others, missing = own * self.others + its * other.others, own * self.missing + its * other.missing
        return _bounded(shares, others, missing, n_eff, n_rows, min(self.last, other.last))

    def is_unseen(self, codes: np.ndarray, levels: list[Any]) -> np.ndarray:
        """Which rows have a level that did not occur, of those that are told apart."""
        unseen = [self.is_told_apart(level) and level not in self.shares for level in levels]
        return np.array([*unseen, False])[codes]

    @property
    def tells_all_apart(self) -> bool:
        """Whether every level has a share of its own."""
        return self.last == 2**32

    def is_told_apart(self, level: Any) -> bool:
        """Whether a level would have a share of its own if it had occurred."""
        return self.tells_all_apart or checksum(level) < self.last


Sketch = NumberSketch | LevelSketch


def _bounded(
    shares: dict[Any, float], others: float, missing: float, n_eff: float, n_rows: int, last: int
) -> LevelSketch:
    """A sketch of the levels whose checksum is small enough, and of no more than so many."""
    if last < 2**32 or len(shares) > MAX_SKETCH_LEVELS:
        order = sorted((checksum(level), str(level), level) for level in shares)
        last = min(last, order[MAX_SKETCH_LEVELS][0]) if len(order) > MAX_SKETCH_LEVELS else last
        kept = {level: shares[level] for number, _, level in order if number < last}
        others += sum(shares.values()) - sum(kept.values())
        shares = kept
    return LevelSketch(shares, others, missing, n_eff, n_rows, last)


def checksum(level: Any) -> int:
    """A number that depends on the level alone, and spreads evenly over levels that are numbered."""
    return int.from_bytes(blake2b(str(level).encode("utf-8", "surrogatepass"), digest_size=4).digest(), "big")


def some_rows(n_rows: int, most: int = MAX_SKETCH_ROWS, seed: int = 0) -> np.ndarray:
    """Some rows of a table in their order, the same ones every time; all of them if they are few."""
    rows = _some(n_rows, most, seed)
    return np.arange(n_rows) if rows is None else rows


def _some(n_rows: int, most: int = MAX_SKETCH_ROWS, seed: int = 0) -> np.ndarray | None:
    """Some rows, drawn from a stream of random numbers of their own; None for all."""
    if n_rows <= most:
        return None
    return np.sort(np.random.default_rng(seed).choice(n_rows, most, replace=False))


def _steps(values: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The different values, sorted, and the share of all that is at most so large."""
    if not len(values):
        return np.empty(0), np.empty(0)
    if weight is None:
        own = np.sort(values)
        total = np.arange(1, len(own) + 1) / len(own)
    else:
        order = np.argsort(values, kind="stable")
        own, total = values[order], np.cumsum(weight[order]) / weight.sum()
    last = np.flatnonzero(np.append(own[1:] != own[:-1], True))
    return own[last], np.minimum(total[last], 1.0)


def rounded(values: np.ndarray, centre: float = 0.0) -> np.ndarray:
    """Numbers less a centre as float32, in which sketches compare them; what is too large becomes the largest one."""
    most = np.finfo(np.float32).max
    return np.clip(values.astype(float) - centre if centre else values, -most, most).astype(np.float32)


def _centre_of(values: np.ndarray) -> float:
    """The middle of values that are close to each other and far from 0; else 0."""
    if not len(values):
        return 0.0
    places = [math.ceil(share * len(values)) - 1 for share in (0.1, 0.5, 0.9)]
    low, middle, high = np.partition(values, places)[places].astype(float).tolist()
    return middle if 0 < (high - low) * MAX_OFFSET < abs(middle) else 0.0


def _unpickled(knots: bytes, shares: bytes, *others: Any) -> NumberSketch:
    """What was pickled."""
    return NumberSketch(np.frombuffer(knots, np.float32), np.frombuffer(shares, np.float32), *others)


def _small(knots: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float32: a model is to stay small."""
    return knots.astype(np.float32), shares.astype(np.float32)


def _thinned(knots: np.ndarray, shares: np.ndarray, n_knots: int) -> tuple[np.ndarray, np.ndarray]:
    """About so many of the steps, evenly spaced in their shares, and both sides of every high step."""
    if len(knots) <= n_knots:
        return knots, shares
    even = np.searchsorted(shares, np.linspace(0, 1, n_knots // 2) - 1e-12)
    high = np.flatnonzero(np.diff(shares, prepend=0.0) > 4 / n_knots)
    kept = np.unique(np.concatenate([even, high, np.maximum(high - 1, 0), [0, len(knots) - 1]]))
    kept = kept[kept < len(knots)]
    return knots[kept], shares[kept]
