"""How a table is looked at: column by column, or what the rows of images, sequences and sparse tables add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from sk_dlsteps.inputs.columns import column_at, is_frame
from sk_dlsteps.inputs.shapes import Shape, channels_of
from sk_dlsteps.inputs.values import as_levels, as_numbers, is_small
from sk_dlsteps.step6_real_world.sketches import MAX_KNOTS, LevelSketch, NumberSketch, Sketch

# Columns that are looked at, of a dense table and of a sparse one.
MAX_DENSE, MAX_SPARSE = 1000, 200
# What a model keeps of its columns is to be small beside its networks: points of all columns together, about, and of
# each one at the least.
MAX_POINTS, MIN_KNOTS = 480, 32


@dataclass(frozen=True)
class ColumnValues:
    """The values of one column: numbers, or codes of levels."""

    values: np.ndarray
    levels: list[Any] | None = None

    def sketch(self, weight: np.ndarray | None, n_knots: int) -> Sketch:
        """What is kept of it."""
        if self.levels is None:
            return NumberSketch.of(self.values, weight, n_knots)
        return LevelSketch.of(self.values, self.levels, weight)

    def of(self, rows: np.ndarray) -> ColumnValues:
        """Some rows of it."""
        return ColumnValues(self.values[rows], self.levels)


@dataclass(frozen=True)
class ColumnReader:
    """Which columns of a table are looked at.

    Attributes
    ----------
    names : tuple of str
        Of what is looked at.
    places : tuple of int
        Columns of the table that are looked at.
    categorical : tuple of bool
        Which of those are categories.
    n_columns : int
        Columns of the table.
    shape : tuple of int or None
        Of a row that is no row of a table: then the mean and the standard deviation of each channel are looked at.
    is_sparse : bool
        Whether the table is sparse: then the number of non-zeros of a row is looked at too.
    is_kept : bool
        Whether the sketch is kept with a model, and has to be small.

    """

    names: tuple[str, ...]
    places: tuple[int, ...]
    categorical: tuple[bool, ...]
    n_columns: int
    shape: Shape | None
    is_sparse: bool
    is_kept: bool = True

    @classmethod
    def of(
        cls,
        X: Any,
        categorical: np.ndarray | None = None,
        names: Sequence[Any] | None = None,
        shape: Shape | None = None,
    ) -> ColumnReader:
        """Choose the columns of a table, without a look at the rows that `rows_to_sketch` leaves for the sketch.

        Parameters
        ----------
        X : ndarray, sparse array or DataFrame of shape (n_rows, n_columns)
            The table.
        categorical : bool ndarray of shape (n_columns,) or None
            Which columns are categories.
        names : sequence of shape (n_columns,) or None
            What they are called; None: those of a DataFrame, or their places.
        shape : tuple of int or None
            Of a row, if it is no row of a table.

        """
        n = X.shape[1]
        if shape is not None:
            n_channels = 1 if (channels := channels_of(shape)) is None else int(channels.max()) + 1
            called = [f"channel {c}: {what}" for c in range(n_channels) for what in ("mean", "standard deviation")]
            return cls(tuple(called), (), (False,) * len(called), n, shape, False)
        if names is None:
            names = list(X.columns) if is_frame(X) else [f"column {i}" for i in range(n)]
        places = _places(X)
        called = _distinct([names[i] for i in places])
        mask = [False if categorical is None else bool(categorical[i]) for i in places]
        if sparse.issparse(X):
            called, mask = ["non-zeros of a row", *called], [False, *mask]
        return cls(tuple(called), tuple(places), tuple(mask), n, None, sparse.issparse(X))

    @property
    def n_knots(self) -> int:
        """Values that a sketch keeps of each column, about; half of them evenly spaced."""
        if not self.is_kept:
            return MAX_KNOTS
        return int(np.clip(2 * MAX_POINTS // max(len(self.names), 1), MIN_KNOTS, MAX_KNOTS))

    @property
    def is_partial(self) -> bool:
        """Whether some columns are not looked at."""
        return self.shape is None and len(self.places) < self.n_columns

    def rows_to_sketch(self, n_rows: int) -> slice:
        """Rows of the training table whose distribution is kept: not those that chose the columns."""
        return slice(1, None, 2) if self.is_sparse and self.is_partial and n_rows > 1 else slice(None)

    def columns(self, X: Any) -> Iterator[ColumnValues]:
        """What is looked at, in the order of `names`."""
        if self.shape is not None:
            yield from self._of_channels(np.asarray(X))
        elif sparse.issparse(X):
            rows = sparse.csr_array(X)
            yield ColumnValues((rows != 0).sum(1).astype(float))
            chosen = sparse.csc_array(rows[:, list(self.places)])
            yield from (ColumnValues(chosen[:, [i]].toarray()[:, 0]) for i in range(len(self.places)))
        else:
            categorical = self.categorical[1:] if self.is_sparse else self.categorical
            if self.is_sparse:
                yield ColumnValues((np.asarray(X) != 0).sum(1).astype(float))
            for place, is_category in zip(self.places, categorical, strict=True):
                yield _read(X, place, is_category)

    def _of_channels(self, X: np.ndarray) -> Iterator[ColumnValues]:
        """Mean and standard deviation of each row's values of each channel, without those that are missing."""
        channels = channels_of(self.shape)
        n_channels = len(self.names) // 2
        for c in range(n_channels):
            own = X if channels is None else X[:, channels == c]
            there = ~np.isnan(own)
            n = there.sum(1)
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = np.where(there, own, 0.0).sum(1, dtype=float) / n
                spread = np.where(there, own - mean[:, None], 0.0)
                yield ColumnValues(mean)
                yield ColumnValues(np.sqrt((spread**2).sum(1) / n))


def _distinct(names: Sequence[Any]) -> list[str]:
    """Names as text, or as literals where the texts would be the same."""
    texts = Counter(str(name) for name in names)
    return [repr(name) if texts[str(name)] > 1 else str(name) for name in names]


def _read(X: Any, place: int, is_category: bool) -> ColumnValues:
    """A column of a dense table."""
    column = column_at(X, place)
    label = f"Column {X.columns[place]!r}" if is_frame(X) else f"Column {place}"
    if is_category:
        return ColumnValues(*as_levels(column, label))
    return ColumnValues(as_numbers(column, label, np.float32 if is_small(column) else np.float64))


def _places(X: Any) -> list[int]:
    """Columns to look at: all, some evenly spaced ones, or of sparse rows those most often not zero in every second."""
    n_rows, n = X.shape
    if sparse.issparse(X):
        if n <= MAX_SPARSE:
            return list(range(n))
        chosen = sparse.csr_array(X)[slice(0, None, 2) if n_rows > 1 else slice(None)]
        counts = np.bincount(chosen.indices, minlength=n)
        return np.sort(np.argsort(-counts, kind="stable")[:MAX_SPARSE]).tolist()
    if n <= MAX_DENSE:
        return list(range(n))
    return np.unique(np.linspace(0, n - 1, MAX_DENSE).astype(int)).tolist()
