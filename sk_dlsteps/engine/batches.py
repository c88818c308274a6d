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
