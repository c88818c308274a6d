"""Validation rows of every network: prepared for it, looked at together, and averaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sk_dlsteps.engine.batches import gather
from sk_dlsteps.engine.device import widest_float
from sk_dlsteps.engine.fleet import Fleet

# Validation rows, at the most, that a cost which compares rows looks at together.
_COMPARED = 256
# Numbers of prepared validation inputs that are kept, 16 MB in float32, and those that a layer makes at a time.
_KEPT, _TOGETHER = 2**22, 2**18


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
    weight : Tensor of shape (n_rows,) or None
        What each row of X counts.
    process : pair of int, default=(0, 1)
        Number of this process, and of all whose losses add up to the mean.

    """

    def __init__(
        self,
        X: Any,
        y: Tensor,
        rows: Sequence[np.ndarray],
        fleet: Fleet,
        weight: Tensor | None = None,
        process: tuple[int, int] = (0, 1),
    ) -> None:
        self.X, self.y = X, y
        self.sizes = [len(r) for r in rows]
        longest = max(self.sizes)
        self.index = torch.from_numpy(np.stack([np.resize(r, longest) for r in rows])).to(X.device)
        there = np.stack([np.arange(longest) < size for size in self.sizes])
        self.blocks = torch.from_numpy(_blocks(self.sizes)).to(X.device) if fleet.cost.compares_rows else None
        counts = torch.from_numpy(there).to(X.device, widest_float(X.device))
        if weight is not None:
            counts *= weight.index_select(0, self.index.reshape(-1)).view(self.index.shape)
        # Where no row counts the loss is no number, and the network is kept as it ends.
        self.share = (counts / counts.sum(1, keepdim=True)).to(X.dtype)
        number, n_processes = process
        if n_processes > 1:
            # At least a row for each: with few rows some look at one that counts nothing for them.
            own = torch.arange(number, max(longest, n_processes), n_processes)
            counted = (own < longest).to(self.share)
            own = own.clamp(max=longest - 1).to(X.device)
            self.index, self.share = self.index[:, own], self.share[:, own] * counted
            if self.blocks is not None:
                own_rows = [len(range(number, size, n_processes)) for size in self.sizes]
                self.blocks = torch.from_numpy(_blocks(own_rows)).to(X.device)
        self.n_together = max(1, _TOGETHER // (len(rows) * max(fleet.widths)))
        self.kept: list[tuple[Any, Tensor]] | None
        self.kept = list(self._chunks(fleet)) if self.index.numel() * fleet.widths[0] <= _KEPT else None

    def _chunks(self, fleet: Fleet) -> Iterator[tuple[Any, Tensor]]:
        """Prepared inputs and targets, a bounded number of rows at a time."""
        for index in self.index[: fleet.n_active].split(self.n_together, dim=1):
            x, target = gather(self.X, self.y, index)
            yield fleet.prepare(x), fleet.prepare_target(target, self.X.dtype)

    def evaluate(self, fleet: Fleet, keep_raw: bool = True) -> tuple[Tensor, Tensor | None]:
        """Mean validation loss of each active network, and, if kept, its raw outputs (n_active, m, n_outputs)."""
        if self.blocks is not None:
            compared, raw = self._compared(fleet)
            return compared, raw if keep_raw else None
        a = fleet.n_active
        raws, losses = [], []
        n_together = max(1, _KEPT // (a * fleet.widths[-1]))
        for x, target in self.kept or self._chunks(fleet):
            for start in range(0, x.shape[1], n_together):
                rows = slice(start, start + n_together)
                raw = fleet.raw(x[:a, rows])
                losses.append(fleet.cost(raw, target[:a, rows]))
                if keep_raw:
                    raws.append(raw)
        return (torch.cat(losses, 1) * self.share[:a]).sum(1), torch.cat(raws, 1) if keep_raw else None

    def _compared(self, fleet: Fleet) -> tuple[Tensor, Tensor]:
        """What `evaluate` gives, of a cost that compares rows: each is compared with those of its own block."""
        assert self.blocks is not None
        a = fleet.n_active
        chunks = [(fleet.raw(x[:a]), target[:a]) for x, target in self.kept or self._chunks(fleet)]
        raw, targets = (torch.cat(parts, 1) for parts in zip(*chunks, strict=True))
        network = torch.arange(a, device=raw.device).unsqueeze(-1)
        total = raw.new_zeros(a)
        for block in self.blocks[:, :a]:
            share = self.share[network, block] * (block >= 0)
            losses = fleet.cost(raw[network, block], targets[network, block], share)
            total += (losses * share).sum(1)
        return total, raw

    def halve(self) -> bool:
        """Look at half as many rows at a time, and keep none; whether that is possible."""
        possible = self.n_together > 1
        self.n_together, self.kept = max(1, self.n_together // 2), None
        return possible

    def rows_of(self, place: int) -> tuple[Tensor, Tensor]:
        """Scaled inputs and targets, as the device holds them, of the rows that validate the network at a place."""
        index = self.index[place, : self.sizes[place]]
        return self.X[index], self.y[index]

    def reorder(self, order: Sequence[int]) -> None:
        """Put the networks into another order."""
        self.sizes = [self.sizes[k] for k in order]
        index = torch.as_tensor(order, device=self.X.device)
        self.index, self.share = self.index[index], self.share[index]
        if self.blocks is not None:
            self.blocks = self.blocks[:, index]
        for i, (x, target) in enumerate(self.kept or ()):
            assert self.kept is not None
            self.kept[i] = x[index], target[index]


def _blocks(sizes: Sequence[int]) -> np.ndarray:
    """Which of each network's rows are compared with each other, (n_blocks, K, width): places, -1 where there is none.

    They depend on a network's own number of rows alone. Each has rows from everywhere, in no order: a table may be
    sorted, or its classes may take turns.
    """
    n_blocks = [max(1, -(-size // _COMPARED)) for size in sizes]
    blocks = np.full((max(n_blocks), len(sizes), min(_COMPARED, max(sizes))), -1)
    for k, (size, n) in enumerate(zip(sizes, n_blocks, strict=True)):
        anywhere = np.random.default_rng(size).permutation(size) if n > 1 else np.arange(size)
        for block in range(n):
            own = anywhere[block::n]
            blocks[block, k, : len(own)] = own
    return blocks
