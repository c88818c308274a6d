"""The user's table, column by column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse

from sk_dlsteps.diagnosis.subject import NotLooked
from sk_dlsteps.inputs.columns import column_at, is_frame, label_of
from sk_dlsteps.inputs.values import as_levels, as_numbers, kind_of

# Columns, and numbers of a sparse table, that are looked at one by one at the most.
MOST_COLUMNS, MOST_NUMBERS = 500, 5_000_000


@dataclass(frozen=True)
class Columns:
    """A table as numbers: a category's levels by their codes, NaN where a value is missing.

    Attributes
    ----------
    table : DataFrame or ndarray
        The user's, dense.
    names : tuple
        Of the columns; their places in an array.
    values : ndarray of shape (n_rows, n_columns)
        Columns that cannot be read are NaN throughout.
    is_category : ndarray of bool of shape (n_columns,)
        Whose numbers are codes.
    readable : ndarray of bool of shape (n_columns,)
        Which could be read.

    """

    table: Any
    names: tuple[Any, ...]
    values: np.ndarray
    is_category: np.ndarray
    readable: np.ndarray

    @classmethod
    def of(cls, X: Any) -> Columns:
        """Read a table.

        Parameters
        ----------
        X : DataFrame, ndarray or sparse matrix
            The user's.

        Raises
        ------
        NotLooked
            If its rows are no rows of a table, or it is too large.

        """
        shape = X.shape
        if len(shape) > 2:
            raise NotLooked(f"rows of shape {shape[1:]} have no columns")
        if shape[1] > MOST_COLUMNS:
            raise NotLooked(f"there are {shape[1]} columns, and at most {MOST_COLUMNS} are looked at one by one")
        if issparse(X):
            if shape[0] * shape[1] > MOST_NUMBERS:
                raise NotLooked("the sparse table is too large to be written out")
            X = X.toarray()
        names = tuple(X.columns) if is_frame(X) else tuple(range(shape[1]))
        values = np.full(shape, np.nan)
        is_category, readable = np.zeros((2, shape[1]), dtype=bool)
        for j in range(shape[1]):
            try:
                values[:, j], is_category[j] = _as_codes(column_at(X, j), label_of(X, j))
                readable[j] = True
            except (TypeError, ValueError):  # lists, dates and the like, which what stands before the model can read
                continue
        return cls(X, names, values, is_category, readable)

    def name(self, j: int) -> str:
        """What a column is called."""
        return str(self.names[j])

    def without(self, places: list[int]) -> Any:
        """The table without some columns."""
        kept = [j for j in range(len(self.names)) if j not in places]
        if hasattr(self.table, "iloc"):
            return self.table.iloc[:, kept]
        return self.table[:, kept]

    def constant(self) -> list[int]:
        """Places of columns with a single value, which may be a missing one."""
        return [int(j) for j in np.flatnonzero(self.readable) if _is_constant(self.values[:, j])]

    def copies(self) -> list[tuple[int, int]]:
        """Pairs of an earlier column and a later one that says the same, in other units or other names perhaps."""
        seen: dict[bytes, int] = {}
        pairs: list[tuple[int, int]] = []
        constant = set(self.constant())
        for j in np.flatnonzero(self.readable):
            if j in constant:
                continue
            key = _what_it_says(self.values[:, j], bool(self.is_category[j])).tobytes()
            if key in seen:
                pairs.append((seen[key], int(j)))
            else:
                seen[key] = int(j)
        return pairs


def _as_codes(column: Any, label: str) -> tuple[np.ndarray, bool]:
    """Numbers of a column, and whether they are codes of levels."""
    kind = kind_of(column)
    if kind in ("number", "bool"):
        return as_numbers(column, label, np.float64), False
    codes, _ = as_levels(column, label)
    return np.where(codes < 0, np.nan, codes), True


def _is_constant(values: np.ndarray) -> bool:
    """Whether there is one value, or none."""
    missing = np.isnan(values)
    if missing.any():
        return bool(missing.all())
    return bool((values == values[0]).all())


def _what_it_says(values: np.ndarray, is_category: bool) -> np.ndarray:
    """Something that is equal for columns that are functions of each other: levels by their first rows, or units."""
    if is_category:
        _, first, which = np.unique(values, return_index=True, return_inverse=True)
        return first[which].astype(np.float64)
    low, high = np.nanmin(values), np.nanmax(values)
    scaled = (values - low) / (high - low)
    known = scaled[~np.isnan(scaled)]
    # Upside down is the same: the first value that is not in the middle says which way is up.
    ends = known[np.abs(known - 0.5) > 1e-6]
    if len(ends) and ends[0] > 0.5:
        scaled = 1 - scaled
    return np.round(scaled, 7) + 0.0


def with_shuffled(X: Any, places: list[int], order: np.ndarray) -> Any:
    """A copy of a table in which some columns stand in another order of rows.

    Parameters
    ----------
    X : DataFrame or ndarray
        Stays as it is.
    places : list of int
        The columns.
    order : ndarray of shape (n_rows,)
        Of the rows.

    """
    if hasattr(X, "iloc"):
        copy = X.copy()
        for j in places:
            copy.isetitem(j, X.iloc[:, j].array.take(order))
        return copy
    if hasattr(X, "get_columns"):
        copy = X.clone()
        for j in places:
            copy.replace_column(j, X.to_series(j).gather(order))
        return copy
    copy = X.copy()
    copy[:, places] = X[order][:, places]
    return copy
