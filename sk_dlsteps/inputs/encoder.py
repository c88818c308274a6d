"""A table's columns as numbers: statistics and levels of the rows it was fitted on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags, _safe_indexing, check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from sk_dlsteps.inputs.columns import as_array, as_frame, column_at, is_frame, label_of
from sk_dlsteps.inputs.features import used_rows
from sk_dlsteps.inputs.levels import Levels
from sk_dlsteps.inputs.values import as_numbers, is_small
from sk_dlsteps.plan import StepRecord

# A category of at most so many levels becomes as many columns, one of more levels a column of codes if there are so
# many rows for each of them, and else columns for its most frequent levels. By measurement (docs/benchmarks.md,
# "Columns"), as is the share of rows that a number has to be missing in to have an indicator.
ONE_HOT_LEVELS, ROWS_PER_VECTOR, MOST_ONE_HOT = 9, 60, 100
MIN_GAPS = 0.02


# Numbers of an embedding's vector, at the most.
MAX_EMBEDDING = 50


def embedding_size(n_levels: int) -> int:
    """Length of the vectors of a category: 1.6 n^0.56 as in fastai (Howard & Gugger 2020), up to `MAX_EMBEDDING`."""
    return min(MAX_EMBEDDING, round(1.6 * n_levels**0.56))


class TableEncoder(TransformerMixin, BaseEstimator):
    """Numbers, indicators of missing numbers, one-hot columns and codes from a table.

    The columns of the result are, in this order: the numbers; an indicator for each
    number that is missing in at least a fiftieth of the rows of `fit`; the levels of
    categories that have few, one column each; and a column of codes 0, 1, ... for each category
    that has many, and enough rows for each of them. A missing value is a level if it occurs in
    `fit`, rare levels are pooled into one, and a level that `fit` has not seen is 0 in every
    one-hot column, and the code 0.

    Parameters
    ----------
    categorical : array-like of bool of shape (n_features,), default=None
        Which columns are categories, as `find_categorical` tells; None is none.
    impute : bool, default=False
        Whether missing numbers are filled with the mean of their column in `fit` (0 if
        there is none) instead of being left as NaN.
    one_hot_levels : int, default=9
        A category of at most so many levels becomes as many columns.

    Attributes
    ----------
    n_plain_ : int
        Number of columns that are no codes; they come first.
    n_levels_ : tuple of int
        For each column of codes how many codes there are, 0 included.
    n_one_hot_ : tuple of int
        For each category that is one-hot its number of columns.
    counts_ : dict
        How many columns of the result are "numbers", "missing indicators", "one-hot
        columns" and "embedded columns".
    means_ : ndarray of shape (n_numbers,)
        Means of the numbers, 0 for a column that is missing altogether.
    n_features_in_ : int
        Columns seen in `fit`.
    feature_names_in_ : ndarray of str of shape (n_features_in_,)
        Their names, if all are strings.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"size": [1.5, None], "colour": ["red", "blue"]})
    >>> encoder = TableEncoder(categorical=[False, True], impute=True).fit(X)
    >>> encoder.transform(X)
    array([[1.5, 0. , 0. , 1. ],
           [1.5, 1. , 1. , 0. ]])
    >>> encoder.get_feature_names_out().tolist()
    ['size', 'missingindicator_size', 'colour_blue', 'colour_red']

    """

    def __init__(
        self, categorical: ArrayLike | None = None, impute: bool = False, one_hot_levels: int = ONE_HOT_LEVELS
    ):
        self.categorical = categorical
        self.impute = impute
        self.one_hot_levels = one_hot_levels

    def fit(self, X: Any, y: Any = None) -> TableEncoder:
        """Learn levels, means and which numbers can be missing.

        Parameters
        ----------
        X : DataFrame, pyarrow Table or array-like of shape (n_rows, n_features)
            The rows that train.
        y : None
            Ignored.

        Returns
        -------
        self : TableEncoder
            Fitted.

        """
        X = self._checked(X, reset=True)
        mask = np.zeros(self.n_features_in_, bool) if self.categorical is None else np.asarray(self.categorical, bool)
        if mask.shape != (self.n_features_in_,):
            raise ValueError(f"`categorical` has the shape {mask.shape}, but X has {self.n_features_in_} columns.")
        numbers, missing = np.flatnonzero(~mask).tolist(), []
        enough = max(1, MIN_GAPS * X.shape[0])
        self.means_ = np.zeros(len(numbers))
        for j, values in enumerate(self._numbers(X, numbers)):
            absent = np.isnan(values)
            n_present = len(values) - np.count_nonzero(absent)
            if n_present:
                self.means_[j] = _mean(values if n_present == len(values) else values[~absent])
            if n_present and len(values) - n_present >= enough:
                missing.append(j)
        self._numbers_at, self._missing_at = numbers, missing
        self._one_hot: dict[int, Levels] = {}
        self._embedded: dict[int, Levels] = {}
        for i in np.flatnonzero(mask).tolist():
            self._fit_levels(i, column_at(X, i), label_of(X, i))
        self.n_levels_ = tuple(own.n_codes for own in self._embedded.values())
        self.n_one_hot_ = tuple(own.n_codes - 1 for own in self._one_hot.values())
        self.counts_ = {
            "numbers": len(numbers),
            "missing indicators": len(missing),
            "one-hot columns": sum(self.n_one_hot_),
            "embedded columns": len(self._embedded),
        }
        self.n_plain_ = sum(self.counts_.values()) - len(self._embedded)
        return self

    def weigh(self, X: Any, weight: np.ndarray) -> None:
        """Take weighted means of the rows that were fitted; which levels are rare, rows alone decide."""
        for j, values in enumerate(self._numbers(self._checked(X, reset=False), self._numbers_at)):
            there = ~np.isnan(values)
            if weight[there].any():
                self.means_[j] = np.average(values[there].astype(float), weights=weight[there])

    def _fit_levels(self, i: int, column: Any, label: str) -> None:
        """Learn the levels of a category, and whether they become columns or codes."""
        levels = Levels.fit(column, label)
        n_levels = levels.n_codes - 1
        if n_levels <= self.one_hot_levels:
            self._one_hot[i] = levels
        elif len(column) >= ROWS_PER_VECTOR * n_levels:
            self._embedded[i] = levels
        else:
            self._one_hot[i] = Levels.fit(column, label, max(MOST_ONE_HOT, self.one_hot_levels))

    def transform(self, X: Any) -> np.ndarray:
        """Encode rows.

        Parameters
        ----------
        X : DataFrame, pyarrow Table or array-like of shape (n_rows, n_features)
            The rows, also of another library than those of `fit`.

        Returns
        -------
        Z : ndarray of shape (n_rows, n_columns)
            float32 if float32 can hold the numbers of every column of `X` by its dtype,
            else float64. `X` itself if nothing was to be done to it.

        """
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        n_numbers, n_missing = len(self._numbers_at), len(self._missing_at)
        dtype = np.float32 if all(is_small(column_at(X, i)) for i in self._numbers_at) else np.float64
        n_columns = sum(self.counts_.values())
        if not is_frame(X) and X.dtype == dtype and n_columns == n_numbers and not self.impute:
            for _ in self._numbers(X, self._numbers_at):
                pass  # Only the checks are wanted.
            return X
        Z = np.zeros((X.shape[0], n_columns), dtype=dtype)
        for j, values in enumerate(self._numbers(X, self._numbers_at, dtype)):
            Z[:, j] = values
        indicators = Z[:, n_numbers : n_numbers + n_missing]
        indicators[:] = np.isnan(Z[:, self._missing_at])
        if self.impute:
            numbers = Z[:, :n_numbers]
            np.copyto(numbers, self.means_.astype(dtype), where=np.isnan(numbers))
        self._write_levels(X, Z, n_numbers + n_missing)
        return Z

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Names of the columns of the result.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of a table that has none itself.

        Returns
        -------
        names : ndarray of str
            The names of the numbers and codes, "missingindicator_" and a name, and names
            with their levels, as scikit-learn calls them.

        """
        check_is_fitted(self)
        names = self._names_in(input_features)
        out = [names[i] for i in self._numbers_at]
        out += [f"missingindicator_{names[self._numbers_at[j]]}" for j in self._missing_at]
        out += [f"{names[i]}_{level}" for i, own in self._one_hot.items() for level in own.names]
        out += [names[i] for i in self._embedded]
        return np.array(_made_different(out), dtype=object)

    def _names_in(self, input_features: ArrayLike | None) -> list[str]:
        """Names of the columns of the table: its own, the given ones, or x0, x1, ..."""
        own = getattr(self, "feature_names_in_", None)
        if input_features is None:
            return [f"x{i}" for i in range(self.n_features_in_)] if own is None else list(own)
        given = np.asarray(input_features, dtype=object)
        if own is not None and not np.array_equal(own, given):
            raise ValueError("input_features is not equal to feature_names_in_")
        if len(given) != self.n_features_in_:
            raise ValueError(
                f"input_features should have length equal to number of features ({self.n_features_in_}), "
                f"got {len(given)}"
            )
        return [str(name) for name in given]

    def _checked(self, X: Any, reset: bool) -> Any:
        """The table as a DataFrame or an array, its names and number of columns checked or, with reset, kept."""
        X = as_frame(X)
        if not is_frame(X):
            X = as_array(X)
            check_array(X, dtype=None, ensure_all_finite=False, estimator=self)
        validate_data(self, X, reset=reset, skip_check_array=True)
        return X

    def _numbers(self, X: Any, at: list[int], dtype: type | None = None) -> Iterator[np.ndarray]:
        """The columns of numbers, by default in the smallest float that holds them."""
        for i in at:
            # Of a wide array, a copy of the column is far quicker to read several times.
            column = column_at(X, i) if is_frame(X) else np.ascontiguousarray(X[:, i])
            yield as_numbers(column, label_of(X, i), dtype or (np.float32 if is_small(column) else np.float64))

    def _write_levels(self, X: Any, Z: np.ndarray, at: int) -> None:
        """Write one-hot columns and codes into the columns of Z from `at` on."""
        for i, own in self._one_hot.items():
            codes = own.codes(column_at(X, i), label_of(X, i))
            seen = np.flatnonzero(codes)
            Z[seen, at - 1 + codes[seen]] = 1
            at += own.n_codes - 1
        for i, own in self._embedded.items():
            Z[:, at] = own.codes(column_at(X, i), label_of(X, i))
            at += 1

    def __sklearn_tags__(self) -> Tags:
        """Categories, strings and missing values are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = self.categorical is not None and bool(np.any(self.categorical))
        tags.input_tags.string = tags.input_tags.categorical
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _mean(values: np.ndarray) -> float:
    """Mean in double precision; infinite if their sum is."""
    with np.errstate(over="ignore"):
        return float(values.mean(dtype=np.float64))


def _made_different(names: list[str]) -> list[str]:
    """Names with a number behind those that were there before."""
    taken, out = set(names), []
    seen: set[str] = set()
    for name in names:
        unique, n = name, 1
        while unique in seen or (n > 1 and unique in taken):
            n += 1
            unique = f"{name}_{n}"
        seen.add(unique)
        out.append(unique)
    return out


def encode_columns(
    X: Any,
    categorical: np.ndarray | None,
    rows: Sequence[np.ndarray],
    impute: bool,
    weight: np.ndarray | None = None,
) -> tuple[TableEncoder | None, Any]:
    """An encoder of the rows that train any network, and the whole table encoded; None and X for plain numbers."""
    if categorical is None:
        return None, X
    used = used_rows(rows, X.shape[0])
    encoder = TableEncoder(categorical, impute).set_output(transform="default")
    own = X if used is None else _safe_indexing(X, used)
    encoder.fit(own)
    if impute and weight is not None:
        encoder.weigh(own, weight if used is None else weight[used])
    return encoder, encoder.transform(X)


@contextmanager
def naming_encoded(encoder: TableEncoder | None) -> Iterator[None]:
    """Let an error name a column of the encoded table as the encoder does, and not by its place."""
    try:
        yield
    except ValueError as error:
        found = re.match(r"Column (\d+) of X", str(error))
        if encoder is None or found is None:
            raise
        name = encoder.get_feature_names_out()[int(found[1])]
        raise ValueError(f"Column {name!r} of X{str(error)[found.end() :]}") from error


def columns_record(encoder: TableEncoder | None, embeddings: Sequence[tuple[int, int]]) -> tuple[StepRecord, ...]:
    """The record of the columns; none where all were numbers, and there."""
    if encoder is None:
        return ()
    counts = {what: n for what, n in encoder.counts_.items() if n}
    decision = ", ".join(f"{n} {what if n > 1 else what.removesuffix('s')}" for what, n in counts.items())
    because = "categories of few levels are one-hot, those of many are vectors learnt with the network"
    if not encoder.n_levels_:
        because = "networks take numbers: gaps are filled with the network's own mean, and told by an indicator"
        if encoder.counts_["one-hot columns"]:
            because = "networks take numbers: every level of a category has a column of its own"
    evidence = {**counts, "levels": encoder.n_levels_, "embedding sizes": tuple(size for _, size in embeddings)}
    return (StepRecord(2, "columns", decision, because, evidence),)
