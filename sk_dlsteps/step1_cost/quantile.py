"""Several quantiles in one network, which cannot cross."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sk_dlsteps.step1_cost.cost import Cost

# Five levels: the median, and the ends of the intervals of 50 % and of 90 %.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Least distance between two quantiles, in standard deviations of the target, at which a network starts: the
# gradient vanishes with the distance.
MIN_START = 0.01


class QuantileLoss(Cost):
    """Pinball loss of several quantiles of each target (Koenker and Bassett 1978).

    Of each target's raw outputs one is a quantile, that nearest to the median; the others
    are steps up and down from there, made positive by softplus. Predictions hold all
    quantiles of the first target, then those of the second, and so on.

    Parameters
    ----------
    quantiles : sequence of float
        Levels, strictly increasing, above 0 and below 1.

    Examples
    --------
    >>> import torch
    >>> cost = QuantileLoss((0.1, 0.5, 0.9))
    >>> cost.link(torch.tensor([[-20.0, 3.0, 20.0]]))
    tensor([[ 3.,  3., 23.]])

    """

    name, target_scaling = "quantile", "standard"
    steps_to_values: Tensor
    levels: Tensor

    def __init__(self, quantiles: Sequence[float] = QUANTILES) -> None:
        super().__init__()
        self.quantiles = tuple(float(level) for level in quantiles)
        self.title = f"pinball loss of the quantiles {', '.join(f'{level:g}' for level in self.quantiles)}"
        self.middle = int(np.argmin(np.abs(np.array(self.quantiles) - 0.5)))
        # Not in a saved state: they follow from the levels.
        self.register_buffer("levels", torch.tensor(self.quantiles, dtype=torch.float64), persistent=False)
        self.register_buffer("steps_to_values", self._matrix(), persistent=False)

    def _matrix(self) -> Tensor:
        """Which steps add up to which quantile: row j holds the sign of step j in every quantile."""
        n, m = len(self.quantiles), self.middle
        step, value = torch.arange(n)[:, None], torch.arange(n)
        up, down = (step > m) & (value >= step), (step < m) & (value <= step)
        return (up | (step == m)).double() - down.double()

    def n_outputs(self, n_columns: int) -> int:
        """One raw output for each quantile of each target."""
        return n_columns * len(self.quantiles)

    def forward(self, raw: Tensor, target: Tensor) -> Tensor:
        """Pinball loss of each row, averaged over quantiles and targets."""
        return self._losses(target.unsqueeze(-1) - self._values(raw))

    def _losses(self, error: Tensor) -> Tensor:
        """Mean pinball loss of each row for errors (..., n_targets, n_quantiles)."""
        return (self.levels.to(error.dtype) * error - error.clamp(max=0)).mean((-2, -1))

    def value_and_gradient(self, raw: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each row and, per quantile, level - [value above target], carried back through the steps."""
        error = target.unsqueeze(-1) - self._values(raw)
        by_value = (error < 0).to(raw.dtype).sub_(self.levels.to(raw.dtype)).div_(raw.shape[-1])
        gradient = by_value @ self.steps_to_values.to(raw.dtype).mT
        slope = self._by_target(raw).sigmoid()
        slope[..., self.middle] = 1
        return self._losses(error), gradient.mul_(slope).flatten(-2)

    def link(self, raw: Tensor) -> Tensor:
        """Quantiles of every target, never falling with the level."""
        return self._values(raw).flatten(-2)

    def calibrated_link(self, raw: Tensor, temperature: Tensor) -> Tensor:
        """Quantiles whose steps are multiplied by `temperature` (..., n_outputs), 1 for the middle one."""
        return self._values(raw, self._by_target(temperature)).flatten(-2)

    def _by_target(self, raw: Tensor) -> Tensor:
        """Raw outputs as (..., n_targets, n_quantiles)."""
        return raw.unflatten(-1, (-1, len(self.quantiles)))

    def _values(self, raw: Tensor, factor: Tensor | None = None) -> Tensor:
        """Quantiles (..., n_targets, n_quantiles) of raw outputs, the steps between them multiplied by a factor."""
        raw = self._by_target(raw)
        m = self.middle
        steps = torch.cat([F.softplus(raw[..., :m]), raw[..., m : m + 1], F.softplus(raw[..., m + 1 :])], -1)
        if factor is not None:
            steps = steps * factor
        values = steps @ self.steps_to_values.to(raw.dtype)
        # What rounding may take from one sum and not from the next one, the running maximum gives back. Not by cummax,
        # which ONNX lacks.
        return torch.stack([*accumulate(values.unbind(-1), torch.maximum)], -1)

    def raw_for(self, values: Tensor) -> Tensor:
        """Raw outputs whose quantiles are `values` (..., n_targets, n_quantiles), at least `MIN_START` apart."""
        steps = values.diff(dim=-1).clamp(min=MIN_START)
        raw = steps.expm1().log()
        m = self.middle
        return torch.cat([raw[..., :m], values[..., m : m + 1], raw[..., m:]], -1).flatten(-2)

    def point(self, prediction: np.ndarray) -> np.ndarray:
        """Median of every target, or the quantile nearest to it."""
        level = np.clip(0.5, self.quantiles[0], self.quantiles[-1])
        return self.at(np.array([level]), prediction)[..., 0]

    def at(self, levels: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        """Quantiles (..., n_targets, n_levels) at other levels, interpolated between those that were learnt."""
        known = np.array(self.quantiles)
        values = prediction.reshape(*prediction.shape[:-1], -1, len(known))
        below = np.searchsorted(known, levels, side="right") - 1
        above = np.minimum(below + 1, len(known) - 1)
        share = np.divide(
            levels - known[below], known[above] - known[below], out=np.zeros(len(levels)), where=above > below
        )
        low, high = values[..., below], values[..., above]
        return np.minimum(low + share * (high - low), high)

    def check_levels(self, levels: Any) -> np.ndarray:
        """Wanted levels as an array (n_levels,), or an error if they are not between those that were learnt."""
        try:
            wanted = np.atleast_1d(np.asarray(levels, dtype=float))
        except (TypeError, ValueError) as error:
            raise ValueError(f"`quantiles` must be a number or a sequence of numbers, got {levels!r}") from error
        low, high = self.quantiles[0], self.quantiles[-1]
        if wanted.ndim != 1 or not len(wanted):
            raise ValueError(f"`quantiles` must be a number or a non-empty sequence of numbers, got {levels!r}")
        if not ((wanted >= low) & (wanted <= high)).all():
            raise ValueError(
                f"`quantiles={levels!r}` must lie between {low:g} and {high:g}, the lowest and the highest that were "
                "learnt; for others fit again with StepwiseRegressor(loss='quantile', quantiles=...) that go further"
            )
        return wanted
