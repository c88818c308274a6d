"""The learning-rate finder: an exponential range test and the choice of a point on its curve."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter

from sk_dlsteps.exceptions import StepwiseWarning, level_of_the_caller


class Sweep(NamedTuple):
    """Where a sweep begins and ends, the highest rate it may pick, and the rate that stands in for a pick."""

    low: float
    high: float
    ceiling: float
    default: float


# By measurement (docs/benchmarks.md, "Learning rate"); "sgd" has momentum 0.9. On small data
# Adam's curve falls further than training can follow, hence its ceiling.
SWEEPS = {
    "adam": Sweep(1e-4, 1.0, 0.05, 0.02),
    "adamw": Sweep(1e-4, 1.0, 0.05, 0.02),
    "sgd": Sweep(1e-4, 10.0, 1.0, 0.05),
}
# With more classes than this Adam's ceiling and default fall with the root of their number: where few rows of a
# minibatch belong to a class, its outputs are moved most by rows of others.
MANY_CLASSES = 30
OTHER_SWEEP = Sweep(1e-5, 1.0, 1.0, 1e-3)
# Steps of a sweep: this share of the fit's, within bounds; a shorter fit is not worth a sweep.
SWEEP_SHARE, MIN_STEPS, MAX_STEPS = 0.1, 30, 100
# How far from the steepest point to the minimum, on the log scale, the pick lies.
TOWARDS_MINIMUM = 0.7
# Width of the smoothing in points of a 100-point sweep, and how many times the noise
# the curve must fall to be trusted.
SMOOTHING, MIN_FALL_TO_NOISE = 4.0, 3.0
# The share of the loss that the curve must fall at the least: less is the rounding of float32.
MIN_FALL = 1e-6


@dataclass(frozen=True)
class LRCurve:
    """What a range test saw, and which rate was chosen from it.

    Attributes
    ----------
    rates : ndarray of shape (n_steps,)
        Learning rates of the sweep, rising exponentially.
    losses : ndarray of shape (n_steps, n_replicas)
        Minibatch loss of each replica before the step at that rate.
    smoothed : ndarray of shape (n_steps,)
        Median over the replicas, smoothed up to the blow-up; NaN from there on.
    learning_rate : float
        The rate chosen.
    reason : str
        Why that one.
    reliable : bool
        False if the curve said nothing and the default was taken.
    alternatives : dict
        Other points people pick: "steepest", "minimum/10" and "valley".

    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    learning_rate: float
    reason: str
    reliable: bool
    alternatives: dict[str, float] = field(default_factory=dict)


def sweep_of(optimizer: Any, n_classes: int = 1) -> Sweep:
    """The sweep for an optimizer, given by its name or as a class of the user's own."""
    sweep = SWEEPS.get(optimizer, OTHER_SWEEP)
    if optimizer not in ("adam", "adamw") or n_classes <= MANY_CLASSES:
        return sweep
    ceiling = float(f"{sweep.ceiling * (MANY_CLASSES / n_classes) ** 0.5:.2g}")
    return sweep._replace(ceiling=ceiling, default=min(sweep.default, ceiling))


def sweep_rates(optimizer: str, n_fit_steps: int) -> np.ndarray:
    """Rates of a sweep for a fit of so many steps; empty if the fit is too short for one.

    Parameters
    ----------
    optimizer : str
        Name of the optimizer; decides where the sweep begins and ends.
    n_fit_steps : int
        Optimisation steps that the whole fit will take.

    Returns
    -------
    rates : ndarray
        Exponentially rising.

    """
    if n_fit_steps < MIN_STEPS:
        return np.empty(0)
    sweep = sweep_of(optimizer)
    n_steps = int(np.clip(SWEEP_SHARE * n_fit_steps, MIN_STEPS, MAX_STEPS))
    return np.geomspace(sweep.low, sweep.high, n_steps)


def range_test(take_step: Callable[[float], np.ndarray], rates: np.ndarray) -> np.ndarray:
    """Losses (n_steps, n_replicas) of one step at each rate, until every replica has blown up.

    Parameters
    ----------
    take_step : callable
        ``rate -> losses``: measures each replica's minibatch loss, then moves it at that rate.
    rates : ndarray
        Rising rates.

    """
    losses = []
    start = None
    for rate in rates:
        now = np.asarray(take_step(rate), dtype=float)
        losses.append(now)
        start = now if start is None else start
        if not np.isfinite(now).any():
            break
    missing = len(rates) - len(losses)
    return np.vstack([*losses, *[np.full_like(losses[0], np.nan)] * missing])


def choose_rate(rates: np.ndarray, losses: np.ndarray, default: float, ceiling: float = np.inf) -> LRCurve:
    """Pick a rate a little to the right of the steepest point of the curve.

    The median over the replicas is cut where it climbs above its start, then
    smoothed; slopes are per decade of the rate. The pick lies
    `TOWARDS_MINIMUM` of the way, in decades, from the steepest point to the
    minimum: the loss is still falling there (article, step 3). Only ratios of
    losses matter, so the scale of the loss does not.

    Parameters
    ----------
    rates : ndarray of shape (n_steps,)
        Rates of the sweep.
    losses : ndarray of shape (n_steps, n_replicas)
        What `range_test` measured.
    default : float
        The rate to fall back to.
    ceiling : float, default=inf
        The highest rate that may be picked.

    Returns
    -------
    curve : LRCurve
        The pick with its reason; ``reliable=False`` where the curve is flat,
        not finite or too short.

    """
    smoothed = np.full(len(rates), np.nan)

    def fallback(problem: str) -> LRCurve:
        return LRCurve(rates, losses, smoothed, default, f"{problem}; the default is used", False)

    if len(rates) < MIN_STEPS:
        return fallback("the fit has too few minibatches for a range test")
    median = _median(losses)
    n_used = _blow_up(median)
    if n_used < MIN_STEPS // 3:
        how = "rose" if np.isfinite(median[: n_used + 1]).all() else "was not finite"
        return fallback(f"the loss {how} from the start")
    width = SMOOTHING * len(rates) / 100
    smoothed[:n_used] = gaussian_filter1d(median[:n_used], width, mode="nearest")
    curve, decades = smoothed[:n_used], np.log10(rates[:n_used])
    # The noise from one point to the next, as a standard deviation, and what the smoothing leaves of it.
    noise = 1.4826 * np.median(np.abs(np.diff(median[:n_used]))) / np.sqrt(2 * width)
    lowest = int(np.argmin(curve))
    fall = curve[: lowest + 1].max() - curve[lowest]
    if lowest < 2 or not fall > MIN_FALL_TO_NOISE * noise or fall <= MIN_FALL * abs(curve).max():
        return fallback("the loss did not fall during the range test")
    slopes = np.gradient(curve, decades)
    steepest = int(np.argmin(slopes[: lowest + 1]))
    pick = 10 ** (decades[steepest] + TOWARDS_MINIMUM * (decades[lowest] - decades[steepest]))
    alternatives = {
        "steepest": float(rates[steepest]),
        "minimum/10": float(rates[lowest] / 10),
        "valley": float(rates[_valley(median[:n_used])]),
    }
    reason = (
        f"right of the steepest point ({alternatives['steepest']:.2g}), where the loss still falls; "
        f"its minimum lies at {rates[lowest]:.2g}"
    )
    if pick > ceiling:
        pick, reason = ceiling, f"{reason}; lowered to the ceiling of {ceiling:g}"
    return LRCurve(rates, losses, smoothed, float(f"{pick:.2g}"), reason, True, alternatives)


def warn_if_unreliable(curve: LRCurve) -> None:
    """Tell the user that the default rate is used."""
    if not curve.reliable:
        warnings.warn(
            f"No learning rate could be found: {curve.reason} ({curve.learning_rate:g}). "
            "Set `learning_rate` to a number to choose it yourself.",
            StepwiseWarning,
            stacklevel=level_of_the_caller(),
        )


def _median(losses: np.ndarray) -> np.ndarray:
    """Median over the replicas; a replica that blew up counts as infinite."""
    return np.median(np.where(np.isfinite(losses), losses, np.inf), axis=1)


def _blow_up(median: np.ndarray) -> int:
    """How many points come before the curve climbs above its start for good, or stops being finite."""
    finite = np.isfinite(median)
    n_finite = len(median) if finite.all() else int(np.argmin(finite))
    if n_finite == 0:
        return 0
    steady = median_filter(median[:n_finite], size=min(5, n_finite), mode="nearest")
    start = np.median(median[: max(1, min(10, n_finite))])
    lowest = int(np.argmin(steady))
    above = np.flatnonzero(steady[lowest:] > start)
    return lowest + int(above[0]) if len(above) else n_finite


def _valley(median: np.ndarray) -> int:
    """The middle of the longest falling subsequence, fastai's "valley"."""
    length = np.ones(len(median), dtype=int)
    for i in range(1, len(median)):
        longer = length[:i][median[:i] > median[i]]
        length[i] += longer.max(initial=0)
    end = int(np.argmax(length))
    return max(0, end - int(length[end]) // 2)
