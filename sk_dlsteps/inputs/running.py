"""Statistics that grow with every chunk of a stream."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from sklearn.preprocessing import RobustScaler, StandardScaler

from sk_dlsteps.inputs.features import check_usable, chunks, learn_rows
from sk_dlsteps.inputs.own_scaler import CheckedTransformer
from sk_dlsteps.inputs.scaler import BesideCodes

# Targets that are looked at together.
_ROWS = 2**16


@dataclass(frozen=True)
class RunningTarget:
    """Mean and standard deviation of all targets so far, column by column.

    Attributes
    ----------
    count : float
        Rows so far, or the sum of their weights.
    mean, std : ndarray of shape (n_targets,)
        Of all values so far, each counted by its weight.
    low, high : ndarray of shape (n_targets,)
        The least and the largest value so far.

    """

    count: float
    mean: np.ndarray
    std: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, weight: np.ndarray | None = None) -> RunningTarget:
        """Statistics of some rows (n_rows, n_targets), a bounded number of them at a time."""
        if len(values) > _ROWS:
            parts = [slice(start, start + _ROWS) for start in range(0, len(values), _ROWS)]
            found = (cls.of(values[part], None if weight is None else weight[part]) for part in parts)
            return reduce(cls.and_also, found)
        mean = np.average(values, 0, weight)
        deviations = np.abs(values - mean)
        largest = np.where(deviations.max(0) > 0, deviations.max(0), 1.0)
        std = largest * np.sqrt(np.average((deviations / largest) ** 2, 0, weight))
        count = float(len(values) if weight is None else weight.sum())
        return cls(count, mean, std, values.min(0), values.max(0))

    def and_also(self, other: RunningTarget) -> RunningTarget:
        """Statistics of both sets of rows together."""
        count = self.count + other.count
        mine, others = self.count / count, other.count / count
        apart = other.mean - self.mean
        # Roots instead of squares, which may leave float64.
        std = np.hypot(
            np.hypot(self.std * np.sqrt(mine), other.std * np.sqrt(others)), np.abs(apart) * np.sqrt(mine * others)
        )
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return RunningTarget(count, self.mean + apart * others, std, low, high)

    def center_and_scale(self, target_scaling: str) -> tuple[np.ndarray, np.ndarray]:
        """What networks subtract from targets and divide them by; the scale of a column of one value is 0."""
        if target_scaling == "scale":
            return np.zeros_like(self.mean), np.where(self.mean > 0, self.mean, 1.0)
        constant = self.low == self.high
        return np.where(constant, self.low, self.mean), np.where(constant, 0.0, self.std)


def updated_scaler(scaler: Any, X: Any, weight: np.ndarray | None, channels: np.ndarray | None = None) -> Any:
    """A scaler that has seen these rows too, if it can learn more; else the same.

    Parameters
    ----------
    scaler : fitted transformer
        Stays as it is.
    X : array or sparse array of shape (n_rows, n_columns)
        Rows of the kind that it was fitted to.
    weight : ndarray of shape (n_rows,) or None
        What each row counts, for the standard scaler.
    channels : int array of shape (n_columns,) or None
        Of each column; those of one channel share their statistics.

    """
    inner = inner_scaler(scaler)
    learns = inner.transformer_ if isinstance(inner, CheckedTransformer) else inner
    if not hasattr(learns, "partial_fit"):
        return scaler
    scaler = copy.deepcopy(scaler)
    inner = inner_scaler(scaler)
    plain = X[:, : scaler.n_plain] if isinstance(scaler, BesideCodes) else X
    if isinstance(inner, CheckedTransformer):
        inner.partial_fit(plain)
        return scaler
    if weight is None and np.asarray(inner.n_samples_seen_).dtype.kind == "f":
        # What weights have summed up to is not made whole numbers again.
        weight = np.ones(X.shape[0])
    with np.errstate(over="ignore", invalid="ignore"):
        for own in chunks(plain):
            # In float64 with weights: their sum is kept in the rows' own dtype, and float32 ends at 16 million.
            part = plain[own] if weight is None else plain[own].astype(np.float64)
            learn_rows(inner, part, None if weight is None else weight[own], channels)
    check_usable(inner)
    return scaler


def stays(scaler: Any) -> bool:
    """Whether a scaler has statistics of its first rows that no further ones change."""
    inner = inner_scaler(scaler)
    if isinstance(inner, CheckedTransformer):
        return not hasattr(inner.transformer_, "partial_fit")
    return isinstance(inner, RobustScaler)


def inner_scaler(scaler: Any) -> Any:
    """The scaler of the plain columns."""
    return scaler.transformer if isinstance(scaler, BesideCodes) else scaler


def is_standard(scaler: Any) -> bool:
    """Whether a scaler's running statistics are a mean and a standard deviation of each column."""
    return isinstance(inner_scaler(scaler), StandardScaler)
