"""The nets whose networks are trained together, and their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sk_dlsteps.engine.batches import Augmentation, FleetData, Rows, count_batches, target_tensor, to_tensors
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.sparse_rows import SparseTable, as_csr

if TYPE_CHECKING:
    from sk_dlsteps.engine.net import FleetNet
    from sk_dlsteps.engine.processes import Processes


class Table(NamedTuple):
    """The rows of one net: inputs, targets in the user's units, and who trains and validates on what."""

    X: Any
    y: np.ndarray
    rows: Rows

    @property
    def key(self) -> tuple[int, ...]:
        """Equal for tables of the same arrays."""
        return id(self.X), id(self.y), id(self.rows.weight)

    @property
    def n_rows(self) -> int:
        """Rows of an epoch: its smallest network's."""
        return min(map(len, self.rows.train))


def gather_tables(
    tables: Sequence[Table],
    fleet: Fleet,
    seeds: Sequence[int],
    batch_sizes: Sequence[int],
    augmentation: Augmentation | None,
    dtype: torch.dtype,
    processes: Processes | None = None,
) -> FleetData:
    """The training rows of several tables for a fleet of all their networks; arrays that several share are held once.

    Parameters
    ----------
    tables : sequence of Table
        Those with more minibatches an epoch before those with fewer.
    fleet : Fleet
        The networks, in the order of the tables.
    seeds : sequence of int
        One for each network's shuffles.
    batch_sizes : sequence of int
        Of each table.
    augmentation : callable or None
        Of all.
    dtype : torch dtype
        Of the inputs.
    processes : Processes or None
        Who shares the minibatches of a single table.

    """
    x, y = _stacked(tables, fleet, dtype)
    weight = stacked_weights(tables, x)
    n_networks = [len(table.rows.train) for table in tables]
    n_batches = [count_batches(table.n_rows, size) for table, size in zip(tables, batch_sizes, strict=True)]
    return FleetData(
        x,
        y,
        moved([table.rows.train for table in tables], tables),
        [np.random.default_rng(seed) for seed in seeds],
        np.repeat([table.n_rows for table in tables], n_networks),
        np.repeat(n_batches, n_networks),
        augmentation,
        weight,
        (0, 1) if processes is None else (processes.number, processes.count),
    )


def stacked_weights(tables: Sequence[Table], like: Any) -> Tensor | None:
    """What the rows of the stack of all tables count; None if no table has weights."""
    if all(table.rows.weight is None for table in tables):
        return None
    distinct = {table.key: table for table in tables}.values()
    weights = [np.ones(t.X.shape[0]) if t.rows.weight is None else t.rows.weight for t in distinct]
    return torch.from_numpy(np.concatenate(weights)).to(like.device, like.dtype)


def moved(rows: Sequence[Sequence[np.ndarray]], tables: Sequence[Table]) -> list[np.ndarray]:
    """Each table's rows, by network, as rows of the stack of all tables."""
    starts = _starts(tables)
    pairs = ((own, starts[table.key]) for of_table, table in zip(rows, tables, strict=True) for own in of_table)
    return [own + start if start else own for own, start in pairs]


def _starts(tables: Sequence[Table]) -> dict[tuple[int, ...], int]:
    """Where each pair of inputs and targets begins in the stack of all."""
    starts, end = {}, 0
    for table in tables:
        if table.key not in starts:
            starts[table.key] = end
            end += table.X.shape[0]
    return starts


def _stacked(tables: Sequence[Table], fleet: Fleet, dtype: torch.dtype) -> tuple[Any, Tensor]:
    """Inputs and targets of all tables, one below the other."""
    distinct = list({table.key: table for table in tables}.values())
    if len(distinct) == 1:
        (table,) = distinct
        return to_tensors(table.X, table.y, fleet, dtype)
    ends = np.cumsum([len(table.rows.train) for table in tables])
    # A network of each table: where the target has an origin and a unit, those of all networks on a table are the same.
    last_network = {table.key: int(end) - 1 for table, end in zip(tables, ends, strict=True)}
    if sparse.issparse(distinct[0].X):
        X = sparse.vstack([table.X for table in distinct])
        y = torch.cat([target_tensor(table.y, fleet, dtype, last_network[table.key]) for table in distinct])
        return SparseTable(as_csr(X), dtype, fleet.input_center.device), y
    # Filled table by table: to join finished parts would take twice the memory.
    n_rows = sum(table.X.shape[0] for table in distinct)
    x = y = torch.empty(0)
    start = 0
    for table in distinct:
        own_x, own_y = to_tensors(table.X, table.y, fleet, dtype, last_network[table.key])
        if not start:
            x, y = (part.new_empty((n_rows, *part.shape[1:])) for part in (own_x, own_y))
        own = slice(start, start + len(own_x))
        x[own], y[own] = own_x, own_y
        start = own.stop
    return x, y


@dataclass
class Member:
    """One net whose networks, `first` to `stop`, are trained in a fleet that may hold those of others."""

    net: FleetNet
    table: Table
    n_epochs: int
    first: int
    stop: int
    schedule_state: dict[str, np.ndarray] | None = None
    lowest: dict[str, float] = field(default_factory=dict)
    signals: dict[str, float] = field(default_factory=dict)
    n_before: int = field(init=False)

    def __post_init__(self) -> None:
        """Note how many epochs the net's history has already."""
        self.n_before = len(self.net.history)

    @property
    def own(self) -> slice:
        """Its networks' numbers."""
        return slice(self.first, self.stop)

    @property
    def n_batches(self) -> int:
        """Minibatches of an epoch."""
        return count_batches(self.table.n_rows, self.net.batch_size)

    def factor(self, progress: float) -> float:
        """The schedule's factor of the rate at `progress` in [0, 1]."""
        return 1.0 if self.net.schedule is None else self.net.schedule(progress)
