"""The centres of classes among the embeddings of training rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sk_dlsteps.engine.batches import FleetData, gather
from sk_dlsteps.engine.device import widest_float
from sk_dlsteps.engine.fleet import Fleet

# Numbers that a layer makes of training rows at a time.
_TOGETHER = 2**18


def place_centers(fleet: Fleet, data: FleetData) -> None:
    """Take the mean embedding of each class over an active network's training rows, and its share in what they count.

    Nothing is done for networks that do not embed. A class of which a network has no rows gets NaN.
    """
    if fleet.class_centers is None or fleet.class_shares is None:
        return
    a = fleet.n_active
    index, counts = _padded(data.rows[:a], data.X.device)
    if data.weight is not None:
        counts *= data.weight.index_select(0, index.reshape(-1)).view(index.shape)
    n_classes, size = fleet.class_centers.shape[1:]
    sums, totals = counts.new_zeros(a, n_classes, size), counts.new_zeros(a, n_classes)
    n_together = max(1, _TOGETHER // (max(1, a) * max(fleet.widths)))
    for places, weight in zip(index.split(n_together, 1), counts.split(n_together, 1), strict=True):
        x, classes = gather(data.X, data.y, places)
        embedding = fleet.cost.embed(fleet.raw(fleet.prepare(x))).to(sums.dtype)
        sums.scatter_add_(1, classes.unsqueeze(-1).expand_as(embedding), embedding * weight.unsqueeze(-1))
        totals.scatter_add_(1, classes, weight)
    totals = totals.unsqueeze(-1)
    fleet.class_centers[:a] = (sums / totals).to(fleet.class_centers)
    fleet.class_shares[:a] = (totals / totals.sum(1, keepdim=True)).to(fleet.class_shares)


def _padded(rows: list[np.ndarray], device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows of every network filled up to one length (K, m), and 1 for those that are there."""
    longest = max(map(len, rows), default=0)
    index = np.stack([np.resize(own, longest) for own in rows]) if rows else np.empty((0, 0), dtype=np.int64)
    there = np.arange(longest) < np.array([len(own) for own in rows])[:, None]
    return torch.from_numpy(index).to(device), torch.from_numpy(there).to(device, widest_float(device))
