"""How the learning rate changes over a fit: small frozen functions of progress."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from skorch.callbacks import LRScheduler


@dataclass(frozen=True)
class Exponential:
    """The rate falls by the same share in every step, to `final` of itself at the end."""

    final: float = 0.01

    def __str__(self) -> str:
        """The schedule in words."""
        return f"an exponential decay to {self.final:g} of the rate"

    def __call__(self, progress: float) -> float:
        """Factor of the rate at `progress` in [0, 1]."""
        return self.final**progress


@dataclass(frozen=True)
class Staircase:
    """The rate falls in `n_stairs` equal cuts, to `final` of itself on the last stair."""

    final: float = 0.01
    n_stairs: int = 4

    def __str__(self) -> str:
        """The schedule in words."""
        return f"{self.n_stairs} stairs down to {self.final:g} of the rate"

    def __call__(self, progress: float) -> float:
        """Factor of the rate at `progress` in [0, 1]."""
        stair = min(int(progress * self.n_stairs), self.n_stairs - 1)
        return self.final ** (stair / max(1, self.n_stairs - 1))


@dataclass(frozen=True)
class Cosine:
    """The rate falls to zero along half a cosine over the whole fit."""

    def __str__(self) -> str:
        """The schedule in words."""
        return "a cosine over the whole fit"

    def __call__(self, progress: float) -> float:
        """Factor of the rate at `progress` in [0, 1]."""
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


@dataclass(frozen=True)
class CosineRestarts:
    """Cosine cycles, each starting at the full rate again (Loshchilov & Hutter 2017).

    Attributes
    ----------
    ends : tuple of int
        Epoch in which each cycle ends; the last is the fit's.

    """

    ends: tuple[int, ...]

    def __str__(self) -> str:
        """The schedule in words."""
        shown = ", ".join(map(str, self.ends[:6])) + (", ..." if len(self.ends) > 6 else "")
        return f"a cosine in {len(self.ends)} cycles that end with epoch {shown}"

    def __call__(self, progress: float) -> float:
        """Factor of the rate at `progress` in [0, 1]."""
        epoch = progress * self.ends[-1]
        # A millionth of an epoch more, or rounding would put a cycle's first step at the end of the last one.
        cycle = min(bisect_right(self.ends, epoch + 1e-6), len(self.ends) - 1)
        start = self.ends[cycle - 1] if cycle else 0
        return 0.5 * (1 + math.cos(math.pi * min((epoch - start) / (self.ends[cycle] - start), 1.0)))


@dataclass(frozen=True)
class EndlessRestarts:
    """Cosine cycles of a stream, which has no end, counted in calls of `partial_fit`.

    Attributes
    ----------
    period : int
        Calls of the first cycle.
    mult : int
        How many times longer each cycle is than the one before.

    """

    period: int = 1
    mult: int = 2

    def __str__(self) -> str:
        """The schedule in words."""
        growth = "all as long" if self.mult == 1 else f"each next one {self.mult} times longer"
        calls = "one call" if self.period == 1 else f"{self.period} calls"
        return f"a cosine in cycles without end, the first over {calls}, {growth}"

    def __call__(self, calls: float) -> float:
        """Factor of the rate after so many calls, fractions included."""
        start, length = self._cycle(calls)
        return 0.5 * (1 + math.cos(math.pi * min((calls - start) / length, 1.0)))

    def _cycle(self, calls: float) -> tuple[int, int]:
        """Where the cycle of a moment begins, and how long it is."""
        if self.mult == 1:
            return math.floor(calls / self.period) * self.period, self.period
        # Cycle n begins after period * (mult**n - 1) / (mult - 1) calls; a logarithm may miss n by rounding.
        n = max(0, math.floor(math.log(calls * (self.mult - 1) / self.period + 1, self.mult)) - 1)
        while self._begin(n + 1) <= calls:
            n += 1
        return self._begin(n), self.period * self.mult**n

    def _begin(self, n: int) -> int:
        """Calls before cycle n."""
        return self.period * (self.mult**n - 1) // (self.mult - 1)


@dataclass(frozen=True)
class Plateau:
    """The manual way: a network's rate is cut when its training loss stops falling.

    Attributes
    ----------
    factor : float
        What a cut leaves of the rate.
    patience : int
        Epochs without a loss below ``(1 - threshold)`` of the best before a cut.
    threshold : float
        Relative improvement that counts.

    """

    factor: float = 0.2
    patience: int = 5
    threshold: float = 1e-4

    def __str__(self) -> str:
        """The schedule in words."""
        return f"a cut to {self.factor:g} of the rate after {self.patience} epochs without a lower loss"

    def __call__(self, progress: float) -> float:
        """No change with progress as such."""
        return 1.0

    def update(self, state: dict[str, np.ndarray] | None, losses: np.ndarray) -> dict[str, np.ndarray]:
        """State after an epoch with these training losses; its entry "factors" is each network's factor."""
        if state is None:
            state = {
                "best": np.full(losses.shape, np.inf),
                "waited": np.zeros(losses.shape, dtype=int),
                "factors": np.ones(losses.shape),
            }
        margin = self.threshold * np.abs(np.where(np.isfinite(state["best"]), state["best"], 0.0))
        better = losses < state["best"] - margin
        waited = np.where(better, 0, state["waited"] + 1)
        cut = waited > self.patience
        return {
            "best": np.where(better, losses, state["best"]),
            "waited": np.where(cut, 0, waited),
            "factors": np.where(cut, self.factor, 1.0) * state["factors"],
        }


# Cycles of the default schedule; doubling ones end at 1, 3, 7 and 15 parts of the fit.
N_CYCLES = 4
SCHEDULES = ("auto", "constant", "exponential", "staircase", "plateau", "cosine", "cosine_restarts")


def steers_the_rate(callbacks: Any) -> bool:
    """Whether one of skorch's callbacks, classes or named pairs sets the rate, so that no schedule of ours should."""
    kinds = [cb[1] if isinstance(cb, tuple) else cb for cb in callbacks or ()]
    return any(issubclass(cb if isinstance(cb, type) else type(cb), LRScheduler) for cb in kinds)


def choose_schedule(
    lr_schedule: str | Callable[[float], float],
    restart_period: str | int,
    restart_mult: int,
    max_epochs: int,
) -> Any:
    """The schedule for a fit of `max_epochs` epochs; None leaves the rate alone."""
    if not isinstance(lr_schedule, str):
        return lr_schedule
    if lr_schedule in ("auto", "cosine_restarts"):
        return CosineRestarts(cycle_ends(restart_period, restart_mult, max_epochs))
    simple = {"exponential": Exponential, "staircase": Staircase, "plateau": Plateau, "cosine": Cosine}
    return simple[lr_schedule]() if lr_schedule in simple else None


def cycle_ends(restart_period: str | int, restart_mult: int, max_epochs: int) -> tuple[int, ...]:
    """Epochs in which the cycles end.

    "auto" fits up to `N_CYCLES` whole cycles into `max_epochs`; a period in
    epochs fills them, the last cycle being cut short.
    """
    if restart_period == "auto":
        n_cycles = N_CYCLES
        while n_cycles > 1 and _cycles_length(restart_mult, n_cycles) > max_epochs:
            n_cycles -= 1
        length = _cycles_length(restart_mult, n_cycles)
        return tuple(round(max_epochs * _cycles_length(restart_mult, i + 1) / length) for i in range(n_cycles))
    ends, period = [0], int(restart_period)
    while ends[-1] < max_epochs:
        ends.append(min(ends[-1] + period, max_epochs))
        period *= restart_mult
    return tuple(ends[1:])


def _cycles_length(mult: int, n_cycles: int) -> int:
    """Length of the first cycles in units of the first."""
    return sum(mult**i for i in range(n_cycles))


def describe_schedule(lr_schedule: Any) -> str:
    """A schedule in words."""
    if lr_schedule is None:
        return "a constant rate unless a callback steers it"
    if isinstance(lr_schedule, Exponential | Staircase | Cosine | CosineRestarts | EndlessRestarts | Plateau):
        return str(lr_schedule)
    return f"a schedule of your own, {getattr(lr_schedule, '__name__', type(lr_schedule).__name__)}"
