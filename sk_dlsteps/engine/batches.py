"""Rows on the device once, and every network's own minibatches gathered from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from skorch.dataset import Dataset
from torch import Tensor

from sk_dlsteps.engine.fleet import Fleet

# Numbers gathered at once: enough to spread the cost of a call, little enough to stay in the cache.
_CHUNK = 2**19
# Numbers of prepared validation inputs that are kept: 64 MB in float32.
_KEPT = 2**24


@dataclass(frozen=True)
class Rows:
    """Which rows train and which rows validate each network.

    Attributes
    ----------
    train : list of int arrays
        Rows of X that train network k.
    valid : list of int arrays or None
        Rows that validate network k: of X, or of `X_valid` where given.
    X_valid, y_valid : arrays or None
        Validation data of their own, scaled as X is.

    """

    train: list[np.ndarray]
    valid: list[np.ndarray] | None = None
    X_valid: np.ndarray | None = None
    y_valid: np.ndarray | None = None

    def validation_set(self, X: np.ndarray, y: np.ndarray) -> Dataset | None:
        """Rows that validate any network, in the order in which callbacks meet them."""
        if self.valid is None:
            return None
        if self.X_valid is not None:
            return Dataset(self.X_valid, self.y_valid)
        held_out = np.concatenate(self.valid)
        return Dataset(X[held_out], y[held_out])


class FleetData:
    """Training rows of every network, in minibatches prepared for it.

    The rows of an epoch are the smallest network's; a network with more of them
    leaves out a random few each time. An epoch has ``ceil(rows / batch_size)``
    minibatches whose sizes differ by one at most. None is a single row, unless
    `batch_size` is 1: with a `batch_size` of 2 one may hold 3.

    Parameters
    ----------
    X : Tensor of shape (n_rows, n_inputs)
        Scaled inputs on the device.
    y : Tensor of shape (n_rows,) or (n_rows, n_targets)
        Class codes or targets in the user's units.
    rows : sequence of int arrays
        Training rows of each network.
    generators : sequence of numpy Generator
        Each network's own source of shuffles.
    batch_size : int
        Rows of a minibatch at the most.

    """

    def __init__(
        self,
        X: Tensor,
        y: Tensor,
        rows: Sequence[np.ndarray],
        generators: Sequence[np.random.Generator],
        batch_size: int,
    ) -> None:
        self.X, self.y = X, y
        self.rows, self.generators = list(rows), list(generators)
        self.n_rows = min(len(r) for r in rows)
        most = self.n_rows if batch_size == 1 else self.n_rows // 2
        self.n_batches = max(1, min(-(-self.n_rows // batch_size), most))
        ends = [self.n_rows * (i + 1) // self.n_batches for i in range(self.n_batches)]
        self.bounds = list(zip([0, *ends[:-1]], ends, strict=True))

    def epoch(self, fleet: Fleet) -> Iterator[tuple[Tensor, Tensor]]:
        """Prepared inputs (n_active, b, n_inputs) and targets of one pass, a fresh shuffle for each network."""
        active = range(fleet.n_active)
        order = np.stack([self.generators[k].permutation(self.rows[k])[: self.n_rows] for k in active])
        index = torch.from_numpy(order).to(self.X.device)
        per_row = len(order) * fleet.widths[0]
        n_together = max(1, _CHUNK // max(1, per_row * self.bounds[0][1]))
        for i in range(0, self.n_batches, n_together):
            bounds = self.bounds[i : i + n_together]
            start, stop = bounds[0][0], bounds[-1][1]
            x, target = gather(self.X, self.y, index[:, start:stop], fleet)
            for a, b in bounds:
                yield x[:, a - start : b - start], target[:, a - start : b - start]

    def cycle(self, fleet: Fleet) -> Iterator[tuple[Tensor, Tensor]]:
        """Minibatches without end."""
        while True:
            yield from self.epoch(fleet)

    def reorder(self, order: Sequence[int]) -> None:
        """Put the networks into another order."""
        self.rows = [self.rows[k] for k in order]
        self.generators = [self.generators[k] for k in order]


def to_tensors(X: np.ndarray, y: np.ndarray, fleet: Fleet, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Rows and targets on the fleet's device: class codes as integers, values in float64 where there is such."""
    device = fleet.input_center.device
    target_dtype = torch.int64 if fleet.target_center is None else fleet.target_center.dtype
    # torch warns of arrays that are read-only, such as those of a DataFrame.
    X, y = (np.require(values, requirements=["C", "W"]) for values in (X, y))
    return torch.as_tensor(X, dtype=dtype, device=device), torch.as_tensor(y, dtype=target_dtype, device=device)


def gather(X: Tensor, y: Tensor, index: Tensor, fleet: Fleet) -> tuple[Tensor, Tensor]:
    """Prepared inputs and targets of the rows `index` (n_active, m), one line per network."""
    flat = index.reshape(-1)
    x = X.index_select(0, flat).view(*index.shape, -1)
    target = y.index_select(0, flat).view(*index.shape, *y.shape[1:])
    return fleet.prepare(x), fleet.prepare_target(target, X.dtype)


class ValidationData:
    """Validation rows of every network, padded to one length.

    They are prepared once where that fits into a bounded memory, and anew for
    each look otherwise.

    Parameters
    ----------
    X, y : Tensor
        Scaled inputs and targets on the device.
    rows : sequence of int arrays
        Validation rows of each network.
    fleet : Fleet
        The networks that the rows are prepared for.

    """

    def __init__(self, X: Tensor, y: Tensor, rows: Sequence[np.ndarray], fleet: Fleet) -> None:
        self.X, self.y = X, y
        self.sizes = [len(r) for r in rows]
        longest = max(self.sizes)
        self.index = torch.from_numpy(np.stack([np.resize(r, longest) for r in rows])).to(X.device)
        share = np.stack([np.arange(longest) < size for size in self.sizes]) / np.array(self.sizes)[:, None]
        self.share = torch.from_numpy(share).to(X)
        self.n_together = max(1, _KEPT // (len(rows) * fleet.widths[0]))
        self.kept = list(self._chunks(fleet)) if longest <= self.n_together else None

    def _chunks(self, fleet: Fleet) -> Iterator[tuple[Tensor, Tensor]]:
        """Prepared inputs and targets, a bounded number of rows at a time."""
        for index in self.index[: fleet.n_active].split(self.n_together, dim=1):
            yield gather(self.X, self.y, index, fleet)

    def evaluate(self, fleet: Fleet) -> tuple[Tensor, Tensor]:
        """Mean validation loss of each active network, and its raw outputs (n_active, m, n_outputs)."""
        a = fleet.n_active
        raws, losses = [], []
        for x, target in self.kept or self._chunks(fleet):
            raws.append(fleet.raw(x[:a]))
            losses.append(fleet.cost(raws[-1], target[:a]))
        return (torch.cat(losses, 1) * self.share[:a]).sum(1), torch.cat(raws, 1)

    def rows_of(self, place: int) -> tuple[Tensor, Tensor]:
        """Scaled inputs and targets, in the user's units, of the rows that validate the network at a place."""
        index = self.index[place, : self.sizes[place]]
        return self.X[index], self.y[index]

    def reorder(self, order: Sequence[int]) -> None:
        """Put the networks into another order."""
        self.sizes = [self.sizes[k] for k in order]
        index = torch.as_tensor(order, device=self.X.device)
        self.index, self.share = self.index[index], self.share[index]
        if self.kept is not None:
            self.kept = [(x[index], target[index]) for x, target in self.kept]
