"""From the networks' raw outputs to the prediction, as torch modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sk_dlsteps.engine.fleet import Fleet, score_classes


class TorchValues(nn.Module):
    """The mean of the networks' values, in the target's units.

    Parameters
    ----------
    cost : Cost
        Whose link leads from raw outputs to values in each network's own units.
    temperature : Tensor of shape (K, 1, n_values) or None
        Factors of the steps between quantiles.
    scale, center : Tensor of shape (K, 1, n_values)
        Those units. Their dtype is that of the mean.
    levels : Tensor of shape (n_known, n_levels) or None
        What each learnt quantile of a target counts in those that are asked for.
    one_level : bool
        Whether a target has one value, without an axis for levels.

    """

    temperature: Tensor | None
    scale: Tensor
    center: Tensor
    levels: Tensor | None

    def __init__(
        self,
        cost: Any,
        temperature: Tensor | None,
        scale: Tensor,
        center: Tensor,
        levels: Tensor | None,
        one_level: bool,
    ) -> None:
        super().__init__()
        self.cost, self.one_level = cost, one_level
        for name, own in {"temperature": temperature, "scale": scale, "center": center, "levels": levels}.items():
            self.register_buffer(name, own)

    def forward(self, raw: Tensor) -> Tensor:
        """Values (rows, n_targets) or (rows, n_targets, n_levels) of (K, rows, n_outputs); one target has no axis."""
        values = self.cost.link(raw) if self.temperature is None else self.cost.calibrated_link(raw, self.temperature)
        values = (values.to(self.scale.dtype) * self.scale + self.center).mean(0)
        if self.levels is not None:
            values = values.unflatten(-1, (-1, len(self.levels))) @ self.levels
            values = values.squeeze(-1) if self.one_level else values
        return values.squeeze(1) if values.shape[1] == 1 else values


class TorchProbabilities(nn.Module):
    """The networks' probabilities of classes or labels: their mean or, of calibrated networks, that of their scores.

    Parameters
    ----------
    cost : Cost
        Whose link leads from raw outputs to probabilities.
    temperature : Tensor of shape (K, 1, n_outputs) or None
        What the scores of calibrated networks are divided by.
    centers, shares : Tensor of shape (K, n_classes, n_outputs) and (K, n_classes, 1), or None
        Where a cost embeds rows: the mean embedding of each class, and its share of the rows.

    """

    temperature: Tensor | None
    centers: Tensor | None
    shares: Tensor | None

    def __init__(self, cost: Any, temperature: Tensor | None, centers: Tensor | None, shares: Tensor | None) -> None:
        super().__init__()
        self.cost = cost
        for name, own in {"temperature": temperature, "centers": centers, "shares": shares}.items():
            self.register_buffer(name, own)

    def forward(self, raw: Tensor) -> Tensor:
        """Probabilities (rows, n_classes) of (K, rows, n_outputs)."""
        if self.centers is not None and self.shares is not None:
            raw = score_classes(self.cost.embed(raw), self.centers.to(raw.dtype), self.shares.to(raw.dtype))
        if self.temperature is None:
            return self.cost.link(raw).mean(0)
        return self.cost.link((raw / self.temperature).mean(0))


def outputs_of(fleet: Fleet, quantiles: Any = None) -> TorchValues | TorchProbabilities:
    """The last stage of a fleet."""
    temperature = fleet.temperature if fleet.is_calibrated else None
    if fleet.target_scale is None or fleet.target_center is None:
        _refuse(quantiles)
        return TorchProbabilities(fleet.cost, temperature, fleet.class_centers, fleet.class_shares)
    scale, center = fleet.target_scale, fleet.target_center
    if fleet.target_origin is not None and fleet.target_unit is not None:
        scale, center = scale * fleet.target_unit, center * fleet.target_unit + fleet.target_origin
    known, levels = fleet.cost.quantiles, None
    if known:
        levels = torch.from_numpy(_shares_of(known, fleet.cost.check_levels(_median(known, quantiles))))
        scale, center = (own.repeat_interleave(len(known), -1) for own in (scale, center))
    else:
        _refuse(quantiles)
    return TorchValues(fleet.cost, temperature, scale, center, levels, np.ndim(quantiles) == 0)


def _median(known: tuple[float, ...], quantiles: Any) -> Any:
    """The levels asked for, or the median, or the level nearest to it."""
    return np.clip(0.5, known[0], known[-1]) if quantiles is None else quantiles


def _shares_of(known: tuple[float, ...], levels: np.ndarray) -> np.ndarray:
    """What known quantiles count in interpolated ones, (n_known, n_levels)."""
    return np.stack([np.interp(levels, known, own) for own in np.eye(len(known))])


def _refuse(quantiles: Any) -> None:
    """Raise if quantiles are asked for where none were learnt."""
    if quantiles is not None:
        raise ValueError(
            f"`quantiles={quantiles!r}` needs a model that learnt quantiles; fit StepwiseRegressor(loss='quantile')"
        )
