"""The target: what it asks for, its statistics, and back to the user's values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from sk_dlsteps.step1_cost.cost import Cost


class RegressionTarget:
    """Numbers to predict.

    Parameters
    ----------
    y : ndarray of shape (n_rows,) or (n_rows, n_targets)
        The values, finite.

    """

    task = "regression"
    classes = None

    def __init__(self, y: np.ndarray) -> None:
        self.values = np.asarray(y, dtype=float).reshape(len(y), -1)
        self.n_columns = self.values.shape[1]

    def check(self, cost: Cost) -> None:
        """Raise if the cost cannot take these values."""
        if cost.target_scaling == "scale" and (self.values.min() < 0 or self.values.sum() <= 0):
            raise ValueError(
                f"`loss='{cost.name}'` needs a target of values >= 0 that are not all 0, got a minimum of "
                f"{self.values.min():g}; use loss='squared_error'."
            )

    def statistics(self, cost: Cost, rows: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """Centre and scale (K, 1, n_targets) of each network's training targets, float64."""
        centers, scales = [], []
        for own in rows:
            values = self.values[own]
            mean = values.mean(0)
            if cost.target_scaling == "scale":
                centers.append(np.zeros_like(mean))
                scales.append(np.where(mean > 0, mean, 1.0))
            else:
                std = values.std(0)
                centers.append(mean)
                scales.append(np.where(std > 1e-12 * np.abs(mean), std, 1.0))
        return {
            "target_center": torch.from_numpy(np.stack(centers)[:, None, :]),
            "target_scale": torch.from_numpy(np.stack(scales)[:, None, :]),
        }

    def output_bias(self, cost: Cost, rows: Sequence[np.ndarray], dtype: torch.dtype) -> Tensor:
        """Raw output (K, 1, n_targets) that predicts the mean: 0 in the networks' own units."""
        return torch.zeros(len(rows), 1, self.n_columns, dtype=dtype)


class ClassTarget:
    """Labels to predict.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Labels of any sortable type.

    """

    def __init__(self, y: np.ndarray) -> None:
        self.labels, self.values = np.unique(y, return_inverse=True)
        self.classes = self.values
        self.n_columns = len(self.labels)
        if self.n_columns < 2:
            raise ValueError(
                f"`y` holds only one class, {self.labels[0]!r}; a classifier needs two classes or more to tell apart."
            )
        self.task = "binary" if self.n_columns == 2 else "multiclass"

    def check(self, cost: Cost) -> None:
        """Every class cost takes class codes."""

    def statistics(self, cost: Cost, rows: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """Class codes need none."""
        return {}

    def output_bias(self, cost: Cost, rows: Sequence[np.ndarray], dtype: torch.dtype) -> Tensor:
        """Raw output (K, 1, n_outputs) that predicts the classes' shares: their log-odds or log-probabilities."""
        counts = np.stack([np.bincount(self.values[own], minlength=self.n_columns) for own in rows])
        # Half a row more for each class keeps the logarithm of an absent one finite.
        share = np.log((counts + 0.5) / (counts + 0.5).sum(1, keepdims=True))
        if cost.n_outputs(self.n_columns) == 1:
            share = share[:, 1:] - share[:, :1]
        return torch.from_numpy(share[:, None, :]).to(dtype)
