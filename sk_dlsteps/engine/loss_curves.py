"""The losses of every network in every epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class LossCurves:
    """What each network's losses were, epoch by epoch; the history has their means.

    In a pickle or a deep copy they are rounded by up to 0.4 %, to keep models small.

    Attributes
    ----------
    train : float32 ndarray of shape (n_epochs, K)
        Training losses, a row for each of the history; NaN where a network did not train.
    valid : float32 ndarray of shape (n_epochs, K) or None
        Validation losses; None without validation rows.
    best_epochs : int ndarray of shape (K,)
        The epoch that each network was kept from, the first being 1; 0 for one that stayed as it began.

    """

    train: np.ndarray
    valid: np.ndarray | None
    best_epochs: np.ndarray

    def __getstate__(self) -> dict[str, Any]:
        """Losses in half their bytes."""
        return {**vars(self), "train": _halved(self.train), "valid": _halved(self.valid)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Losses in single precision again."""
        vars(self).update({**state, **{name: _single(state[name]) for name in ("train", "valid")}})


class LossRecord:
    """Losses of the epochs of one training, as they come.

    Parameters
    ----------
    n_networks : int
        Networks of the training.

    """

    def __init__(self, n_networks: int) -> None:
        self.n_epochs = np.zeros(n_networks, dtype=int)
        self.train: list[np.ndarray] = []
        self.valid: list[np.ndarray] = []

    def note(self, active: np.ndarray, train: np.ndarray, valid: np.ndarray | None) -> None:
        """Keep an epoch's losses (K,) of the networks that are active."""
        self.n_epochs[active] += 1
        self.train.append(train.astype(np.float32))
        if valid is not None:
            self.valid.append(valid.astype(np.float32))

    def curves(
        self, own: slice, best_epochs: np.ndarray, n_epochs: int, n_before: int, earlier: LossCurves | None
    ) -> LossCurves:
        """Curves of some of the networks, behind those of earlier trainings.

        Parameters
        ----------
        own : slice
            Their numbers.
        best_epochs : int ndarray of shape (K,)
            Their best epochs of this training; 0 for one whose state before was better.
        n_epochs, n_before : int
            Epochs of their history in all, and before this training.
        earlier : LossCurves or None
            Of those before.

        """
        nothing = LossCurves(np.empty((0, 0)), None, np.zeros_like(best_epochs))
        before = nothing if earlier is None or not n_before else earlier
        shape = n_epochs, own.stop - own.start
        train = self._joined(shape, before.train, n_before, self.train, own)
        valid = before.valid
        if self.valid or valid is not None:
            valid = self._joined(shape, valid, n_before, self.valid, own)
        return LossCurves(train, valid, np.where(best_epochs > 0, n_before + best_epochs, before.best_epochs))

    def _joined(
        self, shape: tuple[int, int], earlier: np.ndarray | None, n_before: int, rows: list[np.ndarray], own: slice
    ) -> np.ndarray:
        """One array of earlier and new rows, NaN where there are none, as in an epoch that was interrupted."""
        curve = np.full(shape, np.nan, dtype=np.float32)
        if earlier is not None and earlier.size:
            known = earlier[:n_before]
            curve[: len(known)] = known
        for i, row in enumerate(rows[: shape[0] - n_before]):
            # A network that has stopped trains no more.
            curve[n_before + i] = np.where(i < self.n_epochs[own], row[own], np.nan)
        return curve


def _halved(losses: np.ndarray | None) -> np.ndarray | None:
    """The upper half of each float32, rounded: as wide a range in two bytes; None of None."""
    if losses is None:
        return None
    bits = np.ascontiguousarray(losses, dtype=np.float32).view(np.uint32)
    return ((bits + np.where(np.isfinite(losses), 0x8000, 0).astype(np.uint32)) >> 16).astype(np.uint16)


def _single(halves: np.ndarray | None) -> np.ndarray | None:
    """float32 again."""
    return None if halves is None else (halves.astype(np.uint32) << 16).view(np.float32)
