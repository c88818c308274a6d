"""Several fleets as one, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from sk_dlsteps.engine.batch_norm import BatchNorm
from sk_dlsteps.engine.dropout import Dropout
from sk_dlsteps.engine.encoding import PiecewiseLinear
from sk_dlsteps.engine.mlp_fleet import MLPFleet


def merge(fleets: Sequence[MLPFleet]) -> MLPFleet:
    """One fleet of all networks, in order, each with a copy of its parameters.

    The fleets have the same depth of one hidden layer or more, and the same activation, cost, clip and
    numbers of columns, outputs and sizes of embeddings; either all or none normalise batches.
    Narrower networks are filled up with units of zero weights, whose gradients are zero too, and
    networks of fewer ramps with ramps of height zero: each goes on to compute what it would compute alone.
    """
    first, encoding = fleets[0], _merged_encoding(fleets)
    deeper = (_stack([f.weights[i].data for f in fleets]) for i in range(1, len(first.weights)))
    return MLPFleet(
        [_first_layer(fleets, encoding), *deeper],
        [_stack([f.biases[i].data for f in fleets]) for i in range(len(first.biases))],
        first.activation,
        dropout=_merged_dropout(fleets),
        norms=[_merged_norm([f.batch_norms[i] for f in fleets]) for i in range(len(first.norms))],
        units=np.concatenate([f.units for f in fleets], 1),
        embeddings=_merged_embeddings(fleets),
        fills_gaps=any(f.fills_gaps for f in fleets),
        cost=first.cost,
        input_clip=first.input_clip,
        input_encoding=encoding,
        precision=first.precision,
        input_center=torch.cat([f.input_center for f in fleets]),
        input_factor=torch.cat([f.input_factor for f in fleets]),
        target_center=_joined([f.target_center for f in fleets]),
        target_scale=_joined([f.target_scale for f in fleets]),
        target_origin=_joined([f.target_origin for f in fleets]),
        target_unit=_joined([f.target_unit for f in fleets]),
        temperature=torch.cat([f.temperature for f in fleets]),
        class_centers=_joined([f.class_centers for f in fleets]),
    )


def split(merged: MLPFleet, fleets: Sequence[MLPFleet]) -> None:
    """Give the fleets back what their networks have learnt."""
    start = 0
    for fleet in fleets:
        own = slice(start, start + fleet.n_networks)
        start += fleet.n_networks
        states = zip(fleet.state_tensors(), merged.state_tensors(), strict=True)
        for i, (mine, all_of_them) in enumerate(states):
            source = all_of_them[own]
            if i == 0:
                source = source.index_select(1, _input_places(fleet, merged.input_encoding).to(source.device))
            mine.copy_(source[tuple(slice(n) for n in mine.shape)])
        for name in ("class_centers", "class_shares"):
            if getattr(fleet, name) is not None:
                getattr(fleet, name).copy_(getattr(merged, name)[own])
        if fleet.dropout is not None and merged.dropout is not None:
            fleet.dropout.streams = merged.dropout.streams[own]


def _stack(stacks: Sequence[Tensor]) -> Tensor:
    """Stacks of several fleets as one, filled up with zeros to the widest."""
    shape = [max(n) for n in zip(*(s.shape[1:] for s in stacks), strict=True)]
    out = stacks[0].new_zeros((sum(len(s) for s in stacks), *shape))
    start = 0
    for s in stacks:
        out[(slice(start, start + len(s)), *(slice(n) for n in s.shape[1:]))] = s
        start += len(s)
    return out


def _joined(tensors: Iterable[Tensor | None]) -> Tensor | None:
    """Per-network tensors of several fleets; None if they have none."""
    there = [t for t in tensors if t is not None]
    return torch.cat(there) if there else None


def _merged_embeddings(fleets: Sequence[MLPFleet]) -> list[Tensor]:
    """Everybody's vectors, those of columns with fewer levels filled up."""
    stacks = [f.embeddings.stacks for f in fleets if f.embeddings is not None]
    return [_stack([table.data for table in column]) for column in zip(*stacks, strict=True)]


def _merged_norm(norms: Sequence[BatchNorm]) -> BatchNorm:
    """The same layer's batch norms of several fleets."""
    merged = BatchNorm(_stack([n.gain.data for n in norms]), _stack([n.shift.data for n in norms]))
    merged.mean, merged.variance = _stack([n.mean for n in norms]), _stack([n.variance for n in norms])
    return merged


def _merged_dropout(fleets: Sequence[MLPFleet]) -> Dropout | None:
    """Everybody's dropout, with the streams of each; None if nobody drops."""
    if all(f.dropout is None for f in fleets):
        return None
    none = (f.dropout or Dropout(np.zeros(f.units.shape), f.units, [0] * f.n_networks) for f in fleets)
    parts = list(none)
    merged = Dropout(np.concatenate([p.rates for p in parts], 1), np.concatenate([p.widths for p in parts], 1), [])
    merged.streams = list(chain.from_iterable(p.streams for p in parts))
    return merged


def _merged_encoding(fleets: Sequence[MLPFleet]) -> PiecewiseLinear | None:
    """Ramps of every column that anybody encodes, as many as anybody has; those that a network lacks are zero."""
    encodings = [f.input_encoding for f in fleets]
    known = [e for e in encodings if e is not None]
    if not known:
        return None
    columns = torch.unique(torch.cat([e.columns for e in known]))
    n_ramps = max(e.slope.shape[3] for e in known)
    parts: list[list[Tensor]] = []
    for fleet, encoding in zip(fleets, encodings, strict=True):
        shape = (fleet.n_networks, 1, len(columns), n_ramps)
        own = [fleet.input_center.new_zeros(shape) for _ in range(4)]
        if encoding is not None:
            at = torch.searchsorted(columns, encoding.columns)
            for whole, ramps in zip(own, _ramps(encoding), strict=True):
                whole[:, :, at, : ramps.shape[3]] = ramps
        parts.append(own)
    return PiecewiseLinear(columns, *(torch.cat(kind) for kind in zip(*parts, strict=True)))


def _ramps(encoding: PiecewiseLinear) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The tensors that define ramps."""
    return encoding.slope, encoding.offset, encoding.low, encoding.high


def _input_places(fleet: MLPFleet, encoding: PiecewiseLinear | None) -> Tensor:
    """Which inputs of all with this common encoding are the fleet's: the columns, its ramps, then its embeddings."""
    n_columns = fleet.input_center.shape[-1]
    n_vectors = 0 if fleet.embeddings is None else fleet.embeddings.n_added
    columns = torch.arange(n_columns)
    vectors = torch.arange(n_vectors) + n_columns + (0 if encoding is None else encoding.n_added)
    if fleet.input_encoding is None or encoding is None:
        return torch.cat([columns, vectors])
    n_all, n_own = encoding.slope.shape[3], fleet.input_encoding.slope.shape[3]
    at = torch.searchsorted(encoding.columns, fleet.input_encoding.columns).cpu()
    ramps = n_columns + at[:, None] * n_all + torch.arange(n_own)
    return torch.cat([columns, ramps.flatten(), vectors])


def _first_layer(fleets: Sequence[MLPFleet], encoding: PiecewiseLinear | None) -> Tensor:
    """First layers (K, n_inputs, units) with each network's weights where the common encoding has its inputs."""
    n_added = 0 if encoding is None else encoding.n_added
    n_vectors = 0 if fleets[0].embeddings is None else fleets[0].embeddings.n_added
    n_inputs = fleets[0].input_center.shape[-1] + n_added + n_vectors
    placed = []
    for fleet in fleets:
        weight = fleet.weights[0].data
        whole = weight.new_zeros(len(weight), n_inputs, weight.shape[2])
        whole[:, _input_places(fleet, encoding).to(weight.device)] = weight
        placed.append(whole)
    return _stack(placed)
