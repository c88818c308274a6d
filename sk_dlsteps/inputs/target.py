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
        with np.errstate(over="ignore", invalid="ignore"):
            computable = np.isfinite(self.values.var(0))
        if not computable.all():
            column = f"Column {int(np.argmin(computable))} of `y`" if self.n_columns > 1 else "`y`"
            raise ValueError(
                f"{column} has values too large for their variance to be computed in float64; rescale it, "
                "for example with sklearn.compose.TransformedTargetRegressor."
            )
        if cost.target_scaling == "scale" and (self.values.min() < 0 or self.values.sum() <= 0):
            raise ValueError(
                f"`loss='{cost.name}'` needs a target of values >= 0 that are not all 0, got a minimum of "
                f"{self.values.min():g}; use loss='squared_error'."
            )

    def statistics(self, cost: Cost, rows: Sequence[np.ndarray], weight: np.ndarray | None = None) -> dict[str, Tensor]:
        """Centre and scale (K, 1, n_targets) of each network's training targets, float64, rows counted by `weight`.

        The scale of a column that is constant over a network's training rows is 0: that
        network answers with the constant.
        """
        centers, scales = [], []
        for own in rows:
            values, counts = self.values[own], None if weight is None else weight[own]
            mean = np.average(values, 0, counts)
            if cost.target_scaling == "scale":
                centers.append(np.zeros_like(mean))
                scales.append(np.where(mean > 0, mean, 1.0))
            else:
                constant = (values == values[0]).all(0)
                centers.append(np.where(constant, values[0], mean))
                scales.append(np.where(constant, 0.0, _std(values - mean, counts)))
        return {
            "target_center": torch.from_numpy(np.stack(centers)[:, None, :]),
            "target_scale": torch.from_numpy(np.stack(scales)[:, None, :]),
        }

    def output_bias(
        self, cost: Cost, rows: Sequence[np.ndarray], dtype: torch.dtype, weight: np.ndarray | None = None
    ) -> Tensor:
        """Raw output (K, 1, n_targets) that predicts the mean: 0 in the networks' own units."""
        return torch.zeros(len(rows), 1, self.n_columns, dtype=dtype)


class ClassTarget:
    """Labels to predict.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Labels of any sortable type.
    labels : ndarray of shape (n_classes,), default=None
        All labels there may be, sorted, of which some may be missing here; None: those in `y`.

    """

    def __init__(self, y: np.ndarray, labels: np.ndarray | None = None) -> None:
        if labels is None:
            self.labels, self.values = np.unique(y, return_inverse=True)
        else:
            unknown = np.setdiff1d(y, labels)
            if len(unknown):
                raise ValueError(
                    f"`y` holds labels that are not among `classes`: {unknown[:20].tolist()}; the first call of "
                    "`partial_fit` must be given all labels that will ever come"
                )
            self.labels, self.values = labels, np.searchsorted(labels, y)
        self.classes = self.values
        self.n_columns = len(self.labels)
        if self.n_columns < 2:
            raise ValueError(
                f"`{'y' if labels is None else 'classes'}` holds only one class, {self.labels.tolist()[0]!r}; "
                "a classifier needs two classes or more to tell apart."
            )
        self.task = "binary" if self.n_columns == 2 else "multiclass"

    def count(self, rows: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        """Rows of each class among some, or the sums of their weights."""
        return np.bincount(self.values[rows], None if weight is None else weight[rows], self.n_columns)

    def check(self, cost: Cost) -> None:
        """Every class cost takes class codes."""

    def statistics(self, cost: Cost, rows: Sequence[np.ndarray], weight: np.ndarray | None = None) -> dict[str, Tensor]:
        """Class codes need none."""
        return {}

    def output_bias(
        self, cost: Cost, rows: Sequence[np.ndarray], dtype: torch.dtype, weight: np.ndarray | None = None
    ) -> Tensor:
        """Raw output (K, 1, n_outputs) that predicts the classes' shares: their log-odds or log-probabilities."""
        counts = np.stack([self.count(own, weight) for own in rows])
        # Half a row more for each class keeps the logarithm of an absent one finite.
        share = np.log((counts + 0.5) / (counts + 0.5).sum(1, keepdims=True))
        if cost.n_outputs(self.n_columns) == 1:
            share = share[:, 1:] - share[:, :1]
        return torch.from_numpy(share[:, None, :]).to(dtype)


def _std(deviations: np.ndarray, counts: np.ndarray | None) -> np.ndarray:
    """Root (weighted) mean square of each column, also where squares would vanish in float64."""
    largest = np.abs(deviations).max(0)
    return largest * np.sqrt(np.average((deviations / np.where(largest > 0, largest, 1.0)) ** 2, 0, counts))


def as_labels(y: np.ndarray) -> np.ndarray:
    """The same labels, if they are of one type that can be sorted.

    Raises
    ------
    ValueError
        If labels are missing, of several types, or numbers kept as objects,
        which scikit-learn's scores refuse.

    """
    if y.dtype != object:
        return y
    kinds = sorted({type(label).__name__ for label in y})
    if "NoneType" in kinds or "NAType" in kinds:
        raise ValueError("`y` holds missing labels; drop those rows or give them a label of their own.")
    if len(kinds) > 1:
        raise ValueError(
            f"`y` holds labels of several types ({', '.join(kinds)}); make them one, for example by y.astype(str)."
        )
    if kinds != ["str"]:
        raise ValueError(
            f"Unknown label type: `y` holds {kinds[0]} labels as objects; give it a dtype, for example y.astype(int)."
        )
    return y
