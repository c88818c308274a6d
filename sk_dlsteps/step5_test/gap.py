"""The gap between what was promised and what the test rows show, and what it takes to see it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import t

from sk_dlsteps.step5_test.bootstrap import Measured
from sk_dlsteps.step5_test.promise import Promise

# Of a gap as large as `detectable`: how often it is found.
POWER = 0.8


@dataclass(frozen=True)
class Gap:
    """How much more was promised than kept, apart from luck.

    Attributes
    ----------
    value : float
        Promised score, less its optimism, less the test score.
    interval : tuple of float
        Each end holds with the confidence asked for.
    error : float
        Standard error of `value`.
    tolerance : float
        The gap that would matter.
    detectable : float
        A true gap that is found in 80 of 100 cases.
    validation_factor, test_factor : float
        Times as many validation rows, or test rows, with which `detectable` would be `tolerance`; infinite if the
        others alone are too few.

    """

    value: float
    interval: tuple[float, float]
    error: float
    tolerance: float
    detectable: float
    validation_factor: float
    test_factor: float

    @classmethod
    def between(cls, promise: Promise, test: Measured, n_units: int, tolerance: float, confidence: float) -> Gap:
        """Compare a promise with the test score of what was promised.

        Parameters
        ----------
        promise : Promise
            Of step 4.
        test : Measured
            Of step 5.
        n_units : int
            Independent test rows, or groups of rows.
        tolerance : float
            The gap that would matter.
        confidence : float
            Of each end of the interval.

        Examples
        --------
        >>> promise = Promise(score=0.9, error=0.01, row_error=0.01, freedom=899, n_rows=900)
        >>> gap = Gap.between(promise, Measured(0.8, (0.75, 0.85), 0.02), 400, 0.05, 0.95)
        >>> gap.verdict, round(gap.value, 3), [round(end, 3) for end in gap.interval]
        ('validation overfitted', 0.1, [0.063, 0.137])

        """
        value = promise.score - promise.optimism - test.score
        ours, theirs = promise.row_error**2, test.error**2
        error = math.sqrt(ours + theirs)
        # Welch's, which is that of the noisier side if the other has no noise.
        parts = ours**2 / promise.freedom + theirs**2 / (n_units - 1)
        freedom = error**4 / parts if parts > 0 else float(n_units - 1)
        reach = float(t.ppf(confidence, freedom))
        to_find = reach + float(t.ppf(POWER, freedom))
        # The variance with which a gap of `tolerance` would be found.
        wanted = (tolerance / to_find) ** 2
        return cls(
            value,
            (value - reach * error, value + reach * error),
            error,
            tolerance,
            to_find * error,
            _factor(ours, wanted - theirs),
            _factor(theirs, wanted - ours),
        )

    @property
    def both_factor(self) -> float:
        """Times as many validation and test rows, with which `detectable` would be `tolerance`."""
        return (self.detectable / self.tolerance) ** 2

    @property
    def verdict(self) -> str:
        """What the interval says."""
        low, high = self.interval
        if low > 0:
            return "validation overfitted"
        return "confirmed" if high < self.tolerance else "inconclusive"


def _factor(variance: float, wanted: float) -> float:
    """Times as many rows as bring a variance down to what is wanted of it."""
    return variance / wanted if wanted > 0 else math.inf
