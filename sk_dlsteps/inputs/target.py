"""The target: what it asks for, its statistics, and back to the user's values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sk_dlsteps.inputs.features import quantiles
from sk_dlsteps.step1_cost.quantile import QuantileLoss

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

    def statistics(
        self,
        cost: Cost,
        rows: Sequence[np.ndarray],
        weight: np.ndarray | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> dict[str, Tensor]:
        """Centre and scale (K, 1, n_targets) of each network's training targets, rows counted by `weight`.

        The scale of a column that is constant over a network's training rows is 0: that
        network answers with the constant. In a `dtype` narrower than float64 both are relative to an
        origin and in a unit, those of all rows, which are given too, in float64.
        """
        centers, scales = [], []
        for own in rows:
            values, counts = self.values[own], None if weight is None else weight[own]
            mean = np.average(values, 0, counts)
            constant = (values == values[0]).all(0)
            if cost.target_scaling == "scale":
                # A column of zeros is learnt: its predictions have to stay above 0.
                constant &= mean > 0
                centers.append(np.where(constant, values[0], 0.0))
                scales.append(np.where(constant, 0.0, np.where(mean > 0, mean, 1.0)))
            else:
                centers.append(np.where(constant, values[0], mean))
                scales.append(np.where(constant, 0.0, _std(values - mean, counts)))
        center, scale = (torch.from_numpy(np.stack(own)[:, None, :]) for own in (centers, scales))
        if dtype == torch.float64:
            return {"target_center": center, "target_scale": scale}
        origin, unit = (torch.from_numpy(own).expand_as(center).clone() for own in self._reference(cost))
        return {
            "target_center": ((center - origin) / unit).to(dtype),
            "target_scale": (scale / unit).to(dtype),
            "target_origin": origin,
            "target_unit": unit,
        }

    def _reference(self, cost: Cost) -> tuple[np.ndarray, np.ndarray]:
        """Origin and unit (n_targets,) of all values: centre and spread or, of a cost that divides only, 0 and mean."""
        constant = (self.values == self.values[0]).all(0)
        mean = np.where(constant, self.values[0], self.values.mean(0))
        if cost.target_scaling == "scale":
            return np.zeros_like(mean), np.where(mean > 0, mean, 1.0)
        spread = _std(self.values - mean, None)
        return mean, np.where(spread > 0, spread, 1.0)

    def output_bias(
        self, cost: Cost, rows: Sequence[np.ndarray], dtype: torch.dtype, weight: np.ndarray | None = None
    ) -> Tensor:
        """Raw output (K, 1, n_outputs) that predicts the mean, 0 in the networks' own units, or the quantiles."""
        if not isinstance(cost, QuantileLoss):
            return torch.zeros(len(rows), 1, self.n_columns, dtype=dtype)
        statistics = self.statistics(cost, rows, weight)
        found = []
        for own, center, scale in zip(rows, *(tensor.numpy() for tensor in statistics.values()), strict=True):
            values = (self.values[own] - center) / np.where(scale > 0, scale, 1.0)
            found.append(quantiles(values, cost.quantiles, None if weight is None else weight[own]).T)
        return cost.raw_for(torch.from_numpy(np.stack(found)[:, None])).to(dtype)


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

    def statistics(
        self,
        cost: Cost,
        rows: Sequence[np.ndarray],
        weight: np.ndarray | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> dict[str, Tensor]:
        """Class codes need none; embeddings get room for the classes' centres, NaN until the networks are trained."""
        if not cost.embeds:
            return {}
        size = cost.n_outputs(self.n_columns)
        return {"class_centers": torch.full((len(rows), self.n_columns, size), torch.nan, dtype=dtype)}

    def output_bias(
        self, cost: Cost, rows: Sequence[np.ndarray], dtype: torch.dtype, weight: np.ndarray | None = None
    ) -> Tensor:
        """Raw output (K, 1, n_outputs) that predicts the classes' shares: their log-odds or log-probabilities.

        0 for embeddings, which predict nothing by themselves.
        """
        if cost.embeds:
            return torch.zeros(len(rows), 1, cost.n_outputs(self.n_columns), dtype=dtype)
        counts = np.stack([self.count(own, weight) for own in rows])
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

    def statistics(
        self,
        cost: Cost,
        rows: Sequence[np.ndarray],
        weight: np.ndarray | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> dict[str, Tensor]:
        """Zeros and ones need none."""
        return {}

    def output_bias(
        self, cost: Cost, rows: Sequence[np.ndarray], dtype: torch.dtype, weight: np.ndarray | None = None
    ) -> Tensor:
        """Raw output (K, 1, n_labels) that predicts each label's share: its log-odds."""
        weights = [np.ones(len(own)) if weight is None else weight[own] for own in rows]
        counts = np.stack([own_weight @ self.values[own] for own, own_weight in zip(rows, weights, strict=True)])
        n_rows = np.array([[own_weight.sum()] for own_weight in weights])
        # Half a row more on both sides keeps the log-odds of a constant label finite.
        return torch.from_numpy(np.log((counts + 0.5) / (n_rows - counts + 0.5))[:, None, :]).to(dtype)


Target = RegressionTarget | ClassTarget | LabelsTarget


def _std(deviations: np.ndarray, counts: np.ndarray | None) -> np.ndarray:
    """Root (weighted) mean square of each column, also where squares would vanish in float64; overwrites them."""
    largest = np.maximum(deviations.max(0), -deviations.min(0))
    deviations /= np.where(largest > 0, largest, 1.0)
    deviations *= deviations
    return largest * np.sqrt(np.average(deviations, 0, counts))


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
