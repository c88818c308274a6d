"""How far the score of a test set may be from that of all rows: resamples of its rows, or of its groups of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

N_RESAMPLES = 2000
# Numbers that may be held at once while resampling.
_CHUNK = 2**22
# A variance below this share of the mean square is that of a single value, rounded.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Units:
    """What is drawn with replacement: rows, or groups of rows that belong together.

    Attributes
    ----------
    codes : ndarray of int of shape (n_rows,)
        The unit of each row.
    n : int
        Units.

    """

    codes: np.ndarray
    n: int

    @classmethod
    def of(cls, n_rows: int, groups: Any = None) -> Units:
        """Rows on their own, or those of the same group together.

        Examples
        --------
        >>> Units.of(4, ["b", None, "b", "a"]).codes.tolist()
        [0, 1, 0, 2]

        """
        if groups is None:
            return cls(np.arange(n_rows), n_rows)
        known: dict[Any, int] = {}
        codes = np.array([known.setdefault(group, len(known)) for group in np.asarray(groups).tolist()])
        return cls(codes, len(known))

    def draws(self, n_resamples: int, seed: int, width: int) -> Iterator[np.ndarray]:
        """Units of the resamples, (resamples, n), in chunks that fit `width` numbers for each unit."""
        rng = np.random.default_rng(seed)
        step = max(1, _CHUNK // (self.n * width))
        for start in range(0, n_resamples, step):
            yield rng.integers(self.n, size=(min(step, n_resamples - start), self.n))

    def rows_of(self) -> Callable[[np.ndarray], np.ndarray]:
        """What gives the rows of drawn units, one unit after the other."""
        order = np.argsort(self.codes, kind="stable")
        if self.n == len(self.codes):
            return order.__getitem__
        members = np.split(order, np.cumsum(np.bincount(self.codes, minlength=self.n))[:-1])
        return lambda drawn: np.concatenate([members[unit] for unit in drawn])


@dataclass(frozen=True)
class RowLosses:
    """Losses of rows, of which a score is made: best - mean loss, or R squared.

    Attributes
    ----------
    losses : ndarray of shape (n_rows, n_outputs)
        Of each row, lower is better.
    values : ndarray of shape (n_rows, n_outputs) or None
        Targets whose variance the losses are divided by, for R squared.
    weight : ndarray of shape (n_rows,) or None
        What each row counts.
    best : float, default=1.0
        Score of no loss.

    """

    losses: np.ndarray
    values: np.ndarray | None = None
    weight: np.ndarray | None = None
    best: float = 1.0

    @property
    def score(self) -> float:
        """The score of all rows."""
        sums = self._sums(Units(np.zeros(len(self.losses), dtype=int), 1))
        return float(self._scores(sums)[0])

    @property
    def is_rate(self) -> bool:
        """Whether each row is right or wrong."""
        return self.values is None and self.best == 1 and bool(np.isin(self.losses, (0, 1)).all())

    def n_worth(self, units: Units) -> float:
        """Units of equal weight that would tell as much (Kish's)."""
        weight = self._sums(units)[:, 0]
        return float(weight.sum() ** 2 / (weight**2).sum())

    def resampled(self, units: Units, n_resamples: int, seed: int) -> np.ndarray:
        """Scores of resamples, the same rows for all losses of the same length.

        Examples
        --------
        >>> wrong = RowLosses(np.array([[0.0], [1.0], [0.0], [1.0]]))
        >>> wrong.score, wrong.resampled(Units.of(4), 3, seed=0).tolist()
        (0.5, [0.5, 0.75, 0.5])

        """
        sums = self._sums(units)
        draws = units.draws(n_resamples, seed, sums.shape[1])
        return np.concatenate([self._scores(sums[drawn].sum(1)) for drawn in draws])

    def _sums(self, units: Units) -> np.ndarray:
        """Of each unit: its weight, losses, targets and squared targets, summed."""
        weight = np.ones(len(self.losses)) if self.weight is None else self.weight
        columns = [np.ones((len(weight), 1)), self.losses]
        if self.values is not None:
            centred = self.values - np.average(self.values, 0, weight)
            columns += [centred, centred**2]
        rows = weight[:, None] * np.concatenate(columns, axis=1)
        sums = np.zeros((units.n, rows.shape[1]))
        np.add.at(sums, units.codes, rows)
        return sums

    def _scores(self, sums: np.ndarray) -> np.ndarray:
        """Scores of sums over some units, (resamples, n_columns)."""
        means = sums[:, 1:] / sums[:, :1]
        if self.values is None:
            return self.best - means.mean(1)
        loss, mean, square = np.split(means, 3, axis=1)
        variance = square - mean**2
        varies = variance > _ROUNDING * square
        # A resample of one value only: as scikit-learn's r2_score.
        constant = np.where(loss > 0, 0.0, 1.0)
        return np.where(varies, 1 - loss / np.where(varies, variance, 1.0), constant).mean(1)


@dataclass(frozen=True)
class Measured:
    """A score of test rows with its noise.

    Attributes
    ----------
    score : float
        Of all rows.
    interval : tuple of float
        Percentile interval.
    error : float
        Standard deviation of the resampled scores.

    """

    score: float
    interval: tuple[float, float]
    error: float

    @classmethod
    def of(cls, score: float, resampled: np.ndarray, confidence: float, least: float = 0.0) -> Measured:
        """From a score and those of resamples, of which some may be NaN; the error is `least` or more."""
        tails = (1 - confidence) / 2, (1 + confidence) / 2
        low, high = (float(x) for x in np.nanquantile(resampled, tails))
        return cls(score, (low, high), max(least, float(np.nanstd(resampled))))


def measure_losses(
    rows: RowLosses, units: Units, *, n_resamples: int = N_RESAMPLES, seed: int = 0, confidence: float = 0.95
) -> Measured:
    """Measure the score that row losses make.

    Resamples of rows that are all right, or all wrong, are all the same. The interval of such a rate is Clopper and
    Pearson's, of as many rows as the weights are worth, and its error is one of them.

    Parameters
    ----------
    rows : RowLosses
        Of the test rows.
    units : Units
        What is drawn.
    n_resamples, seed, confidence
        Of the bootstrap, and of its interval.

    References
    ----------
    B. Efron, R. Tibshirani: An Introduction to the Bootstrap (1993), chapter 13. Groups are drawn whole, as in
    A. C. Davison, D. V. Hinkley: Bootstrap Methods and their Application (1997), section 3.8. C. J. Clopper,
    E. S. Pearson: The use of confidence or fiducial limits illustrated in the case of the binomial. Biometrika 26
    (1934), 404-413.

    """
    if not rows.is_rate:
        return Measured.of(rows.score, rows.resampled(units, n_resamples, seed), confidence)
    n = rows.n_worth(units)
    found = Measured.of(rows.score, rows.resampled(units, n_resamples, seed), confidence, 1 / n)
    wrong = rows.losses.mean()
    if 0 < wrong < 1:
        return found
    end = ((1 - confidence) / 2) ** (1 / n)
    return replace(found, interval=(0.0, 1 - end) if wrong else (end, 1.0))


def measure_score(
    score: Callable[[np.ndarray], float],
    units: Units,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    confidence: float = 0.95,
) -> Measured:
    """Measure any score, which is computed anew for every resample.

    Parameters
    ----------
    score : callable
        From row numbers, with repetitions, to the score; a ValueError means that these rows have none.
    units, n_resamples, seed, confidence
        As in `measure_losses`.

    Raises
    ------
    ValueError
        If more than half of the resamples have no score.

    """
    rows_of = units.rows_of()
    value = score(np.arange(len(units.codes)))
    draws = (drawn for chunk in units.draws(n_resamples, seed, 1) for drawn in chunk)
    scores = np.array([_or_nan(score, rows_of(drawn)) for drawn in draws])
    if not np.isfinite(scores).mean() > 0.5:
        raise ValueError(
            f"{int((~np.isfinite(scores)).sum())} of {n_resamples} resamples of `X_test` have no score, for example "
            "as they lack a class; give more test rows, or another `scoring`"
        )
    return Measured.of(value, np.where(np.isfinite(scores), scores, np.nan), confidence)


def _or_nan(score: Callable[[np.ndarray], float], rows: np.ndarray) -> float:
    """A score, NaN if these rows have none."""
    try:
        return float(score(rows))
    except ValueError:
        return float("nan")
