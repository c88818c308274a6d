"""Columns of codes as vectors that are learnt with the networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


class Embeddings(nn.Module):
    """Replaces the last columns of the inputs, codes of categories, by vectors (Guo & Berkhahn 2016).

    All vectors of a column begin at one place, and one whose code a network never trains on
    stays with those: to a network every level it has not met is the same.

    Parameters
    ----------
    tables : sequence of Tensor of shape (K, n_levels, size)
        One for each column of codes.

    """

    def __init__(self, tables: Sequence[Tensor]) -> None:
        super().__init__()
        self.tables = nn.ParameterList(nn.Parameter(table) for table in tables)

    @property
    def stacks(self) -> list[nn.Parameter]:
        """The vectors of each column."""
        return cast(list[nn.Parameter], list(self.tables))

    @property
    def n_columns(self) -> int:
        """Columns of codes."""
        return len(self.tables)

    @property
    def n_added(self) -> int:
        """Inputs that take their place."""
        return sum(table.shape[2] for table in self.stacks)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (k, rows, n + n_added) of the first k networks, from inputs whose last columns are codes."""
        parts = [x[..., : -self.n_columns]]
        for table, flat in zip(self.stacks, self._places(x), strict=True):
            vectors = table.data[: len(x)].to(x.dtype).flatten(0, 1)
            parts.append(vectors.index_select(0, flat).view(*x.shape[:2], -1))
        return torch.cat(parts, -1)

    def gradients(self, x: Tensor, delta: Tensor, out: Sequence[Tensor]) -> None:
        """Set the gradients, given inputs with codes and the derivative (k, rows, n_added) by what replaced them."""
        sizes = [table.shape[2] for table in self.stacks]
        for gradient, flat, own in zip(out, self._places(x), delta.split(sizes, -1), strict=True):
            gradient.copy_(sum_by_place(own.reshape(-1, own.shape[-1]), flat, gradient.shape))

    def _places(self, x: Tensor) -> list[Tensor]:
        """Each column's codes as rows of the networks' vectors, one network's below the other's."""
        codes = x[..., -self.n_columns :].long().unbind(-1)
        first = torch.arange(len(x), device=x.device).view(-1, 1)
        return [(code + first * table.shape[1]).flatten() for code, table in zip(codes, self.stacks, strict=True)]


def sum_by_place(rows: Tensor, places: Tensor, shape: torch.Size) -> Tensor:
    """Sums of rows (n, size) that belong to the same place, as (K, n_places, size), one network's below the other's."""
    n_places = shape[0] * shape[1]
    # The last two: every place counts, and none is scaled by how often it occurs.
    return torch.ops.aten.embedding_dense_backward(rows, places, n_places, -1, False).view(shape)


class Embedded(nn.Module):
    """A user's module behind embeddings of its own, for inputs whose last columns are codes.

    Parameters
    ----------
    module : Module
        Maps (rows, n_inputs) to (rows, n_outputs).
    sizes : sequence of (n_levels, size)
        One for each column of codes.

    """

    def __init__(self, module: nn.Module, sizes: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.module = module
        self.tables = nn.ModuleList(nn.Embedding(*size) for size in sizes)
        for table in self.tables:
            weight = cast(Tensor, table.weight).data
            # One place for all levels, not at zero, where relu units over nothing else would have no gradient.
            weight.copy_(weight[:1].mul(0.1).expand_as(weight).clone())

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of the module."""
        codes = x[..., -len(self.tables) :].long().unbind(-1)
        vectors = [table(code) for table, code in zip(self.tables, codes, strict=True)]
        return self.module(torch.cat([x[..., : -len(self.tables)], *vectors], -1))
