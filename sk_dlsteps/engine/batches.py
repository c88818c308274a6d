"""Rows on the device once, and every network's own minibatches gathered from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from skorch.dataset import Dataset
from torch import Tensor
from torch.nn.functional import one_hot

from sk_dlsteps.engine.device import as_tensor, widest_float
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.sparse_rows import SparseTable, as_csr

Augmentation = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]

# Numbers gathered at once: enough to spread the cost of a call, little enough to stay in the cache.
_CHUNK = 2**19
# Validation rows, at the most, that a cost which compares rows looks at together.
_COMPARED = 256
# Numbers of prepared validation inputs that are kept, 16 MB in float32, and those that a layer makes at a time.
_KEPT, _TOGETHER = 2**22, 2**18


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
    weight : ndarray of shape (n_rows,) or None
        What each row of X counts in losses; None: all the same.
    weight_valid : ndarray or None
        What each row of `X_valid` counts.

    """

    train: list[np.ndarray]
    valid: list[np.ndarray] | None = None
    X_valid: np.ndarray | None = None
    y_valid: np.ndarray | None = None
    weight: np.ndarray | None = None
    weight_valid: np.ndarray | None = None

    def validation_set(self, X: np.ndarray, y: np.ndarray) -> Dataset | None:
        """Rows that validate any network, in the order in which callbacks meet them."""
        if self.valid is None:
            return None
        if self.X_valid is not None:
            return Dataset(self.X_valid, self.y_valid)
        held_out = np.concatenate(self.valid)
        return Dataset(X[held_out], y[held_out])


class Part(NamedTuple):
    """A process's share of a minibatch: rows `first`, `first` + `step` and so on of `n_rows`."""

    first: int
    step: int
    n_rows: int

    @property
    def rows(self) -> slice:
        """Which of all rows they are."""
        return slice(self.first, self.n_rows, self.step)


class Batch(NamedTuple):
    """A minibatch of each of the first k networks.

    Attributes
    ----------
    x : Tensor or SparseRows of shape (k, b, n_inputs)
        Prepared inputs.
    target : Tensor of shape (k, b) or (k, b, n_targets)
        What is to be learnt.
    sizes : int array of shape (k,) or None
        Rows of each network's minibatch where they differ; those beyond fill up
        and do not count. None: all b.
    weight : Tensor of shape (k, b) or None
        What each row counts, 1 on average over all of a network's rows. None: 1.
    part : Part or None
        Which rows of the whole minibatches these are; None: all.

    """

    x: Any
    target: Tensor
    sizes: np.ndarray | None = None
    weight: Tensor | None = None
    part: Part | None = None

    @property
    def n_rows(self) -> int | np.ndarray:
        """Rows of each network's whole minibatch."""
        if self.part is not None:
            return self.part.n_rows
        return self.x.shape[1] if self.sizes is None else self.sizes

    def share(self, part: Part) -> Batch:
        """A process's share of these minibatches, which are equally large."""
        weight = None if self.weight is None else self.weight[:, part.rows]
        return Batch(self.x[:, part.rows], self.target[:, part.rows], None, weight, part)


def count_batches(n_rows: int, batch_size: int) -> int:
    """Minibatches of an epoch, whose sizes differ by one at most.

    None is a single row, unless `batch_size` is 1: with a `batch_size` of 2 one may hold 3.
    """
    most = n_rows if batch_size == 1 else n_rows // 2
    return max(1, min(-(-n_rows // batch_size), most))


class FleetData:
    """Training rows of every network, in minibatches prepared for it.

    An epoch of network k goes through ``n_rows[k]`` of its rows in ``n_batches[k]``
    minibatches; one that has more rows leaves out a random few each time. All
    networks begin their epochs together, and one with fewer minibatches is done earlier:
    it must stand behind those with more.

    Parameters
    ----------
    X : Tensor or SparseTable of shape (n_rows, n_inputs)
        Scaled inputs on the device.
    y : Tensor of shape (n_rows,) or (n_rows, n_targets)
        Class codes or targets in the user's units.
    rows : sequence of int arrays
        Training rows of each network.
    generators : sequence of numpy Generator
        Each network's own source of shuffles.
    n_rows, n_batches : int arrays of shape (K,)
        Rows and minibatches of an epoch; `n_batches` does not rise.
    augmentation : callable or None
        ``(X, y, generator) -> (X, y)`` for one network's standardised minibatch.
    weight : Tensor of shape (n_rows,) or None
        What each row counts; only ratios within a network's rows matter.
    process : pair of int, default=(0, 1)
        Number of this process, and of all that share each minibatch; networks whose minibatches are
        shared have equally many rows.

    """

    def __init__(
        self,
        X: Any,
        y: Tensor,
        rows: Sequence[np.ndarray],
        generators: Sequence[np.random.Generator],
        n_rows: np.ndarray,
        n_batches: np.ndarray,
        augmentation: Augmentation | None = None,
        weight: Tensor | None = None,
        process: tuple[int, int] = (0, 1),
    ) -> None:
        self.X, self.y = X, y
        self.weight, self.process = weight, process
        self.mean_weight = None if weight is None else torch.stack([_mean_weight(weight, own) for own in rows])
        self.rows, self.generators = list(rows), list(generators)
        self.n_rows, self.n_batches = np.asarray(n_rows), np.asarray(n_batches)
        self.augmentation = augmentation
        self.noise = [_torch_generator(g, X.device) for g in self.generators] if augmentation else []
        self.n_classes = int(y.max()) + 1 if augmentation and not y.is_floating_point() else None
        i = np.arange(int(self.n_batches.max()) + 1)[:, None]
        ends = self.n_rows * np.minimum(i, self.n_batches) // self.n_batches
        self.sizes = np.diff(ends, axis=0)
        # An epoch's rows lie minibatch after minibatch, each as wide as the widest network's.
        self.bounds: list[int] = [0, *np.cumsum(self.sizes.max(1)).tolist()]
        self.uneven = [len(np.unique(size[size > 0])) > 1 for size in self.sizes]

    def epoch(self, fleet: Fleet) -> Iterator[Batch]:
        """One pass in a fresh shuffle for each network."""
        k, bounds = fleet.n_active, self.bounds
        shuffles = np.empty((k, bounds[-1]), self.rows[0].dtype)
        for place in range(k):
            shuffles[place] = self._shuffle(place)
        index = torch.from_numpy(shuffles).to(self.X.device)
        n_there = (self.sizes[: self.n_batches[0], :k] > 0).sum(1).tolist()
        n_together = max(1, _CHUNK // max(1, k * fleet.widths[0] * bounds[1]))
        for first in range(0, len(n_there), n_together):
            chunk = range(first, min(first + n_together, len(n_there)))
            start = bounds[first]
            of_chunk = index[: n_there[first], start : bounds[chunk.stop]]
            x, target = self._gather(of_chunk, fleet)
            weight = self._weights(of_chunk)
            for i in chunk:
                there, rows = n_there[i], slice(bounds[i] - start, bounds[i + 1] - start)
                sizes = self.sizes[i, :there] if self.uneven[i] else None
                own = None if weight is None else weight[:there, rows]
                batch = Batch(x[:there, rows], target[:there, rows], sizes, own)
                if self.augmentation is not None:
                    batch = self._augmented(batch, fleet)
                yield batch if self.process[1] == 1 else batch.share(Part(*self.process, batch.x.shape[1]))

    def cycle(self, fleet: Fleet) -> Iterator[Batch]:
        """Minibatches without end."""
        while True:
            yield from self.epoch(fleet)

    def reorder(self, order: Sequence[int]) -> None:
        """Put the networks into another order."""
        self.rows = [self.rows[k] for k in order]
        self.generators = [self.generators[k] for k in order]
        self.noise = [self.noise[k] for k in order] if self.noise else []
        index = np.asarray(order)
        self.n_rows, self.n_batches = self.n_rows[index], self.n_batches[index]
        self.sizes = self.sizes[:, index]
        if self.mean_weight is not None:
            self.mean_weight = self.mean_weight[torch.as_tensor(index, device=self.X.device)]

    def _shuffle(self, k: int) -> np.ndarray:
        """The rows of network k's epoch, minibatch after minibatch, filled up to everybody's bounds."""
        rows = self.generators[k].permutation(self.rows[k])[: self.n_rows[k]]
        if self.n_rows[k] == self.bounds[-1]:
            return rows
        padded = np.full(self.bounds[-1], rows[0])
        sizes = self.sizes[:, k]
        # How far each minibatch's rows move to the right.
        shift = np.array(self.bounds[:-1]) - (np.cumsum(sizes) - sizes)
        padded[np.arange(len(rows)) + np.repeat(shift, sizes)] = rows
        return padded

    def _weights(self, index: Tensor) -> Tensor | None:
        """What some rows of the first networks count, each network's 1 on average."""
        if self.weight is None or self.mean_weight is None:
            return None
        own = self.weight.index_select(0, index.reshape(-1)).view(index.shape)
        return own / self.mean_weight[: len(index), None]

    def _gather(self, index: Tensor, fleet: Fleet) -> tuple[Any, Tensor]:
        """Inputs and targets of some rows; the inputs are not encoded yet where something is to change them."""
        x, target = gather(self.X, self.y, index)
        prepare = fleet.prepare if self.augmentation is None else fleet.standardise
        return prepare(x), fleet.prepare_target(target, self.X.dtype)

    def _augmented(self, batch: Batch, fleet: Fleet) -> Batch:
        """The minibatch after every network's own augmentation."""
        assert self.augmentation is not None
        x, target = batch.x.clone(), []
        labels = fleet.cost.target_scaling == "indicators"
        n_outputs = 0 if self.n_classes is None else fleet.cost.n_outputs(self.n_classes)
        if fleet.cost.embeds:
            # As many as soft labels have columns, which the cost refuses by itself.
            n_outputs = self.n_classes or 0
        n_plain = x.shape[-1] - fleet.n_codes
        for k, (inputs, values) in enumerate(zip(batch.x[..., :n_plain], batch.target, strict=True)):
            size = len(inputs) if batch.sizes is None else int(batch.sizes[k])
            result = self.augmentation(inputs[:size], values[:size], self.noise[k])
            changed_x, changed = _checked(result, inputs[:size], values[:size], self.n_classes, n_outputs, labels)
            x[k, :size, :n_plain] = changed_x
            target.append(torch.cat([changed, changed[:1].expand(len(inputs) - size, *changed.shape[1:])]))
        if len({own.dtype for own in target}) > 1:
            target = [own if own.is_floating_point() else _soft(own, n_outputs, x.dtype) for own in target]
        return Batch(fleet.encode(x), torch.stack(target), batch.sizes, batch.weight)


def _checked(
    result: Any, inputs: Tensor, values: Tensor, n_classes: int | None, n_outputs: int, labels: bool
) -> tuple[Tensor, Tensor]:
    """What an augmentation gave, if it is inputs and targets that can take the place of these, all of them finite."""
    try:
        x, y = result
        shapes = tuple(x.shape), tuple(y.shape)
    except (TypeError, ValueError, AttributeError) as error:
        kinds = [type(part).__name__ for part in (result if isinstance(result, tuple) else (result,))]
        raise ValueError(f"`augmentation` must return two tensors (X, y), got {' and '.join(kinds)}") from error
    soft = labels or (n_classes is not None and y.is_floating_point())
    shape = (len(inputs), n_outputs) if soft and n_outputs > 1 else tuple(values.shape)
    if shapes != (tuple(inputs.shape), shape):
        what = f"of {'soft labels' if soft else 'y'}, {shape}"
        raise ValueError(
            f"`augmentation` must keep the shape of X, {tuple(inputs.shape)}, and {what}; it returned shapes "
            f"{shapes[0]} and {shapes[1]}"
        )
    # What was missing before may be missing still.
    if not bool((torch.isfinite(x) | inputs.isnan()).all() and torch.isfinite(y).all()):
        raise ValueError("`augmentation` returned numbers that are not finite")
    highest = 1 if soft else n_classes and n_classes - 1
    # A mixture may miss its bounds by rounding.
    slack = 1e-5 if soft else 0
    if highest is not None and not bool(((y >= -slack) & (y <= highest + slack)).all()):
        what = "soft labels, floats from 0 to 1" if soft else f"class codes, integers from 0 to {highest}"
        raise ValueError(
            f"`augmentation` must return {what}; it returned values from {float(y.min()):g} to {float(y.max()):g}"
        )
    return x, y.to(inputs.dtype if soft else values.dtype)


def _mean_weight(weight: Tensor, rows: np.ndarray) -> Tensor:
    """Mean weight of some rows."""
    own = weight.index_select(0, torch.from_numpy(rows).to(weight.device))
    return own.mean(dtype=widest_float(weight.device)).to(weight.dtype)


def _soft(codes: Tensor, n_outputs: int, dtype: torch.dtype) -> Tensor:
    """Class codes as certain soft labels."""
    return (codes if n_outputs == 1 else one_hot(codes, n_outputs)).to(dtype)


def _torch_generator(generator: np.random.Generator, device: torch.device) -> torch.Generator:
    """A torch generator whose seed does not take anything from the stream of shuffles."""
    (child,) = generator.spawn(1)
    return torch.Generator(device).manual_seed(int(child.integers(2**62)))


def to_tensors(X: Any, y: np.ndarray, fleet: Fleet, dtype: torch.dtype, network: int = 0) -> tuple[Any, Tensor]:
    """Rows and targets on the fleet's device: class codes as integers, values of a network's table as it holds them."""
    device = fleet.input_center.device
    x = SparseTable(as_csr(X), dtype, device) if sparse.issparse(X) else as_tensor(X).to(device, dtype)
    return x, target_tensor(y, fleet, dtype, network)


def target_tensor(y: np.ndarray, fleet: Fleet, dtype: torch.dtype, network: int = 0) -> Tensor:
    """Targets of a network's table on the fleet's device; several labels in `dtype`."""
    if fleet.target_center is not None:
        dtype = fleet.target_center.dtype
    elif fleet.cost.target_scaling != "indicators":
        dtype = torch.int64
    return fleet.relative_target(as_tensor(y), network).to(fleet.input_center.device, dtype)


def gather(X: Any, y: Tensor, index: Tensor) -> tuple[Any, Tensor]:
    """Inputs and targets of the rows `index` (k, m), one line per network."""
    flat = index.reshape(-1)
    x = X.rows(index) if isinstance(X, SparseTable) else X.index_select(0, flat).view(*index.shape, -1)
    return x, y.index_select(0, flat).view(*index.shape, *y.shape[1:])


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
