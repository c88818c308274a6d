"""When a network has learnt enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

# By measurement (docs/benchmarks.md): stopping rules down to 1 % cost accuracy nothing.
CYCLE_TOLERANCE = 0.03
PATIENCE = 30


class Losses(Protocol):
    """Arrays (K,), one for each epoch so far."""

    def __getitem__(self, i: int) -> np.ndarray:
        """That of epoch i + 1."""


@dataclass(frozen=True)
class Patience:
    """Stops a network after `n_iter_no_change` epochs without a better validation loss."""

    n_iter_no_change: int

    def stops(self, epoch: int, best: Losses, best_epoch: np.ndarray) -> np.ndarray:
        """Which networks stop after `epoch`; `best` holds their lowest losses after each epoch so far."""
        return epoch - best_epoch >= self.n_iter_no_change


@dataclass(frozen=True)
class CycleEnds:
    """Stops a network at the end of a cycle in which its best validation loss fell too little.

    Attributes
    ----------
    ends : tuple of int
        Epoch in which each cycle ends.
    tolerance : float
        Relative fall of the best loss that a cycle must bring.

    """

    ends: tuple[int, ...]
    tolerance: float = CYCLE_TOLERANCE

    def stops(self, epoch: int, best: Losses, best_epoch: np.ndarray) -> np.ndarray:
        """Which networks stop after `epoch`; `best` holds their lowest losses after each epoch so far."""
        if epoch not in self.ends[1:]:
            return np.zeros(len(best_epoch), dtype=bool)
        before = best[self.ends[self.ends.index(epoch) - 1] - 1]
        return ~(best[epoch - 1] < before * (1 - self.tolerance * np.sign(before)))


def choose_stopping(early_stopping: bool, n_iter_no_change: str | int, schedule: Any) -> Patience | CycleEnds | None:
    """The rule for a schedule: at the ends of growing cycles, or by patience.

    Cycles that do not grow may be as short as an epoch, and a network is not done
    because one epoch brought little.
    """
    if not early_stopping:
        return None
    if n_iter_no_change != "auto":
        return Patience(int(n_iter_no_change))
    ends = getattr(schedule, "ends", None)
    if ends is None or (len(ends) > 1 and ends[1] - ends[0] <= ends[0]):
        return Patience(PATIENCE)
    return CycleEnds(ends)
