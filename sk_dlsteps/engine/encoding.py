"""Piecewise-linear encoding of numbers: a soft staircase beside each column."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PiecewiseLinear(nn.Module):
    """Adds, for chosen columns, T ramps that rise one after another over the column's range.

    Ramp t of a column is ``clip(slope * x + offset, low, high)``: flat below
    its bin, rising inside, flat above (Gorishniy et al. 2022, "On Embeddings for
    Numerical Features in Tabular Deep Learning"). With them a network of smooth
    units can bend where the data do, as trees can.

    Parameters
    ----------
    columns : int Tensor of shape (m,)
        The columns that are encoded.
    slope, offset, low, high : Tensor of shape (K, 1, m, T)
        One ramp for each network, column and bin.

    """

    columns: Tensor
    slope: Tensor
    offset: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, columns: Tensor, slope: Tensor, offset: Tensor, low: Tensor, high: Tensor) -> None:
        super().__init__()
        for name, tensor in {"columns": columns, "slope": slope, "offset": offset, "low": low, "high": high}.items():
            self.register_buffer(name, tensor)

    @property
    def n_added(self) -> int:
        """Columns that are added."""
        return self.slope.shape[2] * self.slope.shape[3]

    def forward(self, x: Tensor) -> Tensor:
        """Ramps (k, rows, m * T) of the first k networks' standardised inputs (k, rows, n_inputs)."""
        k = len(x)
        chosen = x.index_select(-1, self.columns).unsqueeze(-1)
        slope, offset, low, high = (t[:k].to(x.dtype) for t in (self.slope, self.offset, self.low, self.high))
        return torch.addcmul(offset, chosen, slope).clamp_(low, high).flatten(-2)

    def reorder(self, index: Tensor) -> None:
        """Put the networks into another order."""
        for tensor in (self.slope, self.offset, self.low, self.high):
            tensor.copy_(tensor[index])
