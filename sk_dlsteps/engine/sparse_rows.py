"""Sparse tables: minibatches that go through the first layer without being written out."""

from __future__ import annotations

from typing import Any

import torch
from scipy import sparse
from torch import Tensor
from torch.nn.functional import embedding_bag

from sk_dlsteps.engine.device import as_tensor
from sk_dlsteps.engine.embedding import sum_by_place


class SparseTable:
    """A sparse table on a device, row by row.

    Parameters
    ----------
    X : sparse array of shape (n_rows, n_columns)
        In CSR.
    dtype : torch dtype
        Of the values.
    device : torch device
        Where it lies.

    """

    def __init__(self, X: Any, dtype: torch.dtype, device: torch.device | str) -> None:
        self.starts = as_tensor(X.indptr).to(device, torch.int64)
        self.columns = as_tensor(X.indices).to(device)
        self.values = as_tensor(X.data).to(device, dtype)
        self.shape = X.shape

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self.values.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the values."""
        return self.values.dtype

    def __len__(self) -> int:
        """Rows."""
        return self.shape[0]

    def __getitem__(self, index: Tensor) -> Tensor:
        """Some rows, written out."""
        return self.rows(index.unsqueeze(0)).dense()[0]

    def rows(self, index: Tensor) -> SparseRows:
        """The rows `index` (k, m), one line per network."""
        return SparseRows(self, index)


class SparseRows:
    """Rows (k, m, n) of a sparse table, those of one network below those of the other.

    Parameters
    ----------
    table : SparseTable
        What they are taken from.
    index : int Tensor of shape (k, m)
        Which rows.
    factor : Tensor of shape (K, 1, n) or None
        What each network multiplies its columns by.
    clip : float or None
        Where values are squashed, see `Fleet`.

    """

    def __init__(
        self, table: SparseTable, index: Tensor, factor: Tensor | None = None, clip: float | None = None
    ) -> None:
        self.table, self.index, self.factor, self.clip = table, index, factor, clip

    @property
    def shape(self) -> torch.Size:
        """Networks, rows of each, columns."""
        return torch.Size((*self.index.shape, self.table.shape[1]))

    @property
    def dtype(self) -> torch.dtype:
        """Of the values."""
        return self.table.dtype

    @property
    def device(self) -> torch.device:
        """Where they lie."""
        return self.table.device

    def __len__(self) -> int:
        """Networks."""
        return len(self.index)

    def __getitem__(self, part: Any) -> SparseRows:
        """The rows of some networks, or some rows of them."""
        return SparseRows(self.table, self.index[part], self.factor, self.clip)

    def dim(self) -> int:
        """As a stack of minibatches."""
        return 3

    def scaled(self, factor: Tensor) -> SparseRows:
        """The same rows, each network's columns multiplied by its factor."""
        return SparseRows(self.table, self.index, factor, self.clip)

    def clipped(self, clip: float | None) -> SparseRows:
        """The same rows, smoothly squashed: zeros stay zeros."""
        return SparseRows(self.table, self.index, self.factor, clip)

    def product(self, weight: Tensor) -> Tensor:
        """These rows times each network's weights (k, n, units), as (k, m, units)."""
        first, _, at, values = self._entries()
        flat = weight.reshape(-1, weight.shape[-1])
        sums = embedding_bag(at, flat, first, mode="sum", per_sample_weights=values)
        return sums.view(*self.index.shape, -1)

    def transposed_product(self, delta: Tensor, out: Tensor) -> None:
        """Each network's rows, transposed, times `delta` (k, m, units), into `out` (k, n, units)."""
        _, row, at, values = self._entries()
        terms = delta.reshape(-1, delta.shape[-1]).index_select(0, row) * values.unsqueeze(-1)
        out.copy_(sum_by_place(terms, at, out.shape))

    def dense(self) -> Tensor:
        """The rows written out, (k, m, n)."""
        k, m, n = self.shape
        _, row, at, values = self._entries()
        out = values.new_zeros(k * m * n)
        # An entry that stands twice counts twice, as in scipy.
        return out.index_add_(0, row * n + at % n, values).view(k, m, n)

    def _entries(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Where rows' entries begin; and of each entry its row, its network and column as one number, its value."""
        k, m, n = self.shape
        flat = self.index.reshape(-1)
        starts = self.table.starts[flat]
        lengths = self.table.starts[flat + 1] - starts
        ends = lengths.cumsum(0)
        first = ends - lengths
        row = torch.repeat_interleave(lengths)
        places = torch.arange(len(row), device=row.device) + (starts - first)[row]
        at = self.table.columns[places].long() + torch.div(row, m, rounding_mode="floor") * n
        values = self.table.values[places]
        if self.factor is not None:
            values = values * self.factor[:k].reshape(-1)[at].to(values.dtype)
        if self.clip is not None:
            values = values * torch.rsqrt(1 + (values / self.clip) ** 2)
        return first, row, at, values


def as_csr(X: Any) -> Any:
    """A sparse table in CSR, whose entries each stand once; the user's own stays as it is."""
    out = sparse.csr_array(X)
    if not out.has_canonical_format:
        out = out.copy()
        out.sum_duplicates()
    return out
