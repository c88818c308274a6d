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

    def statistics(self, cost: Cost, rows: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """Centre and scale (K, 1, n_targets) of each network's training targets, float64.

        The scale of a column that is constant over a network's training rows is 0: that
        network answers with the constant.
        """
        centers, scales = [], []
        for own in rows:
            values = self.values[own]
            mean = values.mean(0)
            constant = (values == values[0]).all(0)
            if cost.target_scaling == "scale":
                # A column of zeros is learnt: its predictions have to stay above 0.
                constant &= mean > 0
                centers.append(np.where(constant, values[0], 0.0))
                scales.append(np.where(constant, 0.0, np.where(mean > 0, mean, 1.0)))
            else:
                centers.append(np.where(constant, values[0], mean))
                scales.append(np.where(constant, 0.0, _std(values - mean)))
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
                f"`y` holds only one class, {self.labels.tolist()[0]!r}; "
                "a classifier needs two classes or more to tell apart."
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


class LabelsTarget:
    """Several labels for each row, any of which may apply.

    Parameters
    ----------
    y : ndarray of shape (n_rows, n_labels)
        1 where a label applies, 0 where it does not.

    """

    task = "multilabel"

    def __init__(self, y: np.ndarray) -> None:
        self.values = as_indicators(y, "y")
        self.n_columns = self.values.shape[1]
        self.labels = np.arange(self.n_columns)

    @property
    def classes(self) -> np.ndarray:
        """A code (n_rows,) for each row's set of labels; sets that share a rare label have codes near each other.

        Codes follow a Gray code with the rarest label in front: the rows of each of the two rarest
        stand in one run, and those of the next in few.
        """
        rarest_first = self.values[:, np.argsort(self.values.sum(0), kind="stable")]
        places = np.bitwise_xor.accumulate(rarest_first, axis=1)
        return np.unique(places, axis=0, return_inverse=True)[1].reshape(-1)

    def check(self, cost: Cost) -> None:
        """Every cost for labels takes zeros and ones."""

    def statistics(self, cost: Cost, rows: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """Zeros and ones need none."""
        return {}

    def output_bias(self, cost: Cost, rows: Sequence[np.ndarray], dtype: torch.dtype) -> Tensor:
        """Raw output (K, 1, n_labels) that predicts each label's share: its log-odds."""
        counts = np.stack([self.values[own].sum(0, dtype=float) for own in rows])
        n_rows = np.array([[len(own)] for own in rows])
        # Half a row more on both sides keeps the log-odds of a constant label finite.
        return torch.from_numpy(np.log((counts + 0.5) / (n_rows - counts + 0.5))[:, None, :]).to(dtype)


Target = RegressionTarget | ClassTarget | LabelsTarget


def _std(deviations: np.ndarray) -> np.ndarray:
    """Root mean square of each column, also where squares would vanish in float64."""
    largest = np.abs(deviations).max(0)
    return largest * np.sqrt(np.mean((deviations / np.where(largest > 0, largest, 1.0)) ** 2, 0))


def as_indicators(y: np.ndarray, name: str) -> np.ndarray:
    """Zeros and ones as small integers, if the columns hold nothing else."""
    other = np.setdiff1d(y, [0, 1])
    if len(other):
        raise ValueError(
            f"`{name}` of several columns must hold 1 where a label applies and 0 where it does not, got "
            f"{other[:5].tolist()}; make it so, for example by sklearn.preprocessing.MultiLabelBinarizer."
        )
    return y.astype(np.int8)


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
