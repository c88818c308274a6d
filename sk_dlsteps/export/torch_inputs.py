"""From raw rows to what each network sees, as a torch module."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from torch import Tensor, nn

from sk_dlsteps.engine.encoding import PiecewiseLinear
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.export.torch_columns import TorchColumns, columns_of
from sk_dlsteps.inputs.scaler import CheckedTransformer


class TorchInputs(nn.Module):
    """Raw rows, scaled as the table was and then by each network's own statistics, clipped, with ramps.

    Parameters
    ----------
    columns : TorchColumns or None
        What encodes the rows first, if their columns are not taken as they are.
    n_features : int
        Numbers of a row.
    middle, width : Tensor of shape (n_columns,)
        What a number has subtracted, and is divided by. Their dtype is that of the subtraction.
    fill : Tensor of shape (n_columns,) or None
        What takes the place of NaN before that.
    center, factor : Tensor of shape (K, 1, n_columns)
        Each network's further correction, in the networks' dtype.
    clip : float or None
        The magnitude that prepared inputs are smoothly squashed to.
    ramps : PiecewiseLinear or None
        Columns that are added.
    keeps_gaps : bool
        Whether the networks see what is missing as NaN.

    """

    middle: Tensor
    width: Tensor
    fill: Tensor | None
    center: Tensor
    factor: Tensor

    def __init__(
        self,
        columns: TorchColumns | None,
        n_features: int,
        middle: Tensor,
        width: Tensor,
        fill: Tensor | None,
        center: Tensor,
        factor: Tensor,
        clip: float | None,
        ramps: PiecewiseLinear | None,
        keeps_gaps: bool,
    ) -> None:
        super().__init__()
        self.columns, self.n_features = columns, n_features
        self.clip, self.ramps, self.keeps_gaps = clip, ramps, keeps_gaps
        for name, tensor in {
            "middle": middle,
            "width": width,
            "fill": fill,
            "center": center,
            "factor": factor,
        }.items():
            self.register_buffer(name, tensor)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (K, rows, n_inputs) of all networks, for rows of any shape."""
        if x.dim() < 2 or math.prod(x.shape[1:]) != self.n_features:
            raise ValueError(f"`x` must hold {self.n_features} numbers in each row, got the shape {tuple(x.shape)}")
        x = x.flatten(1)
        x = x.to(self.middle.dtype) if self.columns is None else self.columns(x, self.middle.dtype)
        if self.fill is not None:
            x = torch.where(x.isnan(), self.fill, x)
        z = ((x - self.middle) / self.width).to(self.center.dtype)
        z = (z - self.center) * self.factor
        if not self.keeps_gaps:
            z = torch.where(z.isnan(), 0.0, z)
        if self.clip is None:
            return z if self.ramps is None else torch.cat([z, self.ramps(z)], -1)
        # As far out as its square is a number.
        farthest = torch.finfo(z.dtype).max ** 0.5 / 2 * min(1.0, self.clip)
        z = z.clamp(-farthest, farthest)
        clipped = z * torch.addcmul(z.new_ones(()), z, z, value=self.clip**-2).rsqrt()
        return clipped if self.ramps is None else torch.cat([clipped, self.ramps(z)], -1)

    def extra_repr(self) -> str:
        """What there is, in the printed module."""
        return f"networks={len(self.center)}, numbers={self.n_features}, clip={self.clip}"


def inputs_of(pipeline: Any, fleet: Fleet) -> TorchInputs:
    """The first stage of a fitted pipeline and its fleet; an error if a step of it is no formula."""
    encoder = pipeline.named_steps.get("columns")
    columns = None if encoder is None else columns_of(encoder)
    n_columns = fleet.input_center.shape[-1]
    fill, middle, width = _formula(pipeline["scaler"], n_columns)
    if not fleet.keeps_gaps:
        # Of a column without any value, which every network takes for a constant.
        middle, width = np.nan_to_num(middle), np.nan_to_num(width, nan=1.0)
    if encoder is not None and encoder.impute:
        fill = np.pad(encoder.means_, (0, n_columns - len(encoder.means_)))
    return TorchInputs(
        columns,
        n_columns if encoder is None else encoder.n_features_in_,
        torch.from_numpy(middle),
        torch.from_numpy(width),
        None if fill is None else torch.tensor(fill, dtype=torch.float64),
        fleet.input_center,
        fleet.input_factor,
        fleet.input_clip,
        _in_order(fleet.input_encoding),
        fleet.keeps_gaps,
    )


def _in_order(ramps: PiecewiseLinear | None) -> PiecewiseLinear | None:
    """The same ramps, whose numbers lie in order: torch.export warns as it saves others."""
    if ramps is None:
        return None
    ramp = (ramps.slope, ramps.offset, ramps.low, ramps.high)
    return PiecewiseLinear(ramps.columns, *(own.contiguous() for own in ramp))


def _formula(scaler: Any, n_columns: int) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """What a fitted scaler fills gaps with, subtracts and divides by, each (n_columns,)."""
    fill, middle, width = None, np.zeros(n_columns), np.ones(n_columns)
    if isinstance(scaler, CheckedTransformer):
        fill, scaler = scaler.means_, scaler.transformer_
    elif isinstance(scaler, SimpleImputer):
        return scaler.statistics_, middle, width
    # Of a subclass one cannot know what it does.
    kind = type(scaler)
    if kind is StandardScaler:
        middle = scaler.mean_ if scaler.with_mean else middle
        width = scaler.scale_ if scaler.with_std else width
    elif kind is RobustScaler:
        middle = scaler.center_ if scaler.with_centering else middle
        width = scaler.scale_ if scaler.with_scaling else width
    elif kind is MaxAbsScaler and not getattr(scaler, "clip", False):
        width = scaler.scale_
    elif kind is MinMaxScaler and not scaler.clip:
        # Of rows in float32 these are too.
        width = 1 / scaler.scale_.astype(float)
        middle = -scaler.min_ * width
    elif kind is not FunctionTransformer or scaler.func is not None:
        raise ValueError(
            f"`to_torch` has no formula for `scaler={scaler!r}`. Put it before the estimator in a Pipeline, fit again, "
            "and give the module what the pipeline's other steps make of the rows."
        )
    # The statistics may be the estimator's own arrays, in its rows' float.
    return fill, np.array(middle, dtype=float), np.array(width, dtype=float)
