"""A user's own transformer as the scaler: a clone is fitted, and its output is a table of numbers or an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from sk_dlsteps.inputs.target import ClassTarget, Target

# Numbers of a sparse table that are written out as a dense one: 1 GB in float64.
MAX_DENSE = 2**27


class CheckedTransformer(TransformerMixin, BaseEstimator):
    """A user's transformer whose output is made a dense table of finite numbers, or refused.

    Parameters
    ----------
    transformer : scikit-learn transformer
        Stays as it is: a clone is fitted.
    fills_gaps : bool, default=True
        Whether it gets column means for missing values, and not NaN.

    Attributes
    ----------
    transformer_ : scikit-learn transformer
        The fitted clone.
    means_ : ndarray of shape (n_features,) or None
        What missing values are filled with; None if the table was sparse, or gaps are not filled.

    """

    def __init__(self, transformer: Any, fills_gaps: bool = True) -> None:
        self.transformer = transformer
        self.fills_gaps = fills_gaps

    def fit(self, X, y=None):
        """Fit a clone."""
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X, y=None):
        """Fit a clone and give its output for the rows it was fitted to, as a Pipeline does."""
        with _naming_scaler(self.transformer):
            inner = clone(self.transformer)
            if hasattr(inner, "set_output"):
                inner.set_output(transform="default")
            self.means_ = None if sparse.issparse(X) or not self.fills_gaps else _means(X)
            own = self._filled(X)
            out = inner.fit_transform(own, y) if hasattr(inner, "fit_transform") else inner.fit(own, y).transform(own)
            out = _as_table(out, X.shape[0])
        self.transformer_ = inner
        return out

    def partial_fit(self, X, y=None):
        """Let the fitted clone, which must have a `partial_fit`, see more rows."""
        with _naming_scaler(self.transformer):
            self.transformer_.partial_fit(self._filled(X))
        return self

    def transform(self, X):
        """Its output, checked."""
        check_is_fitted(self)
        with _naming_scaler(self.transformer):
            return _as_table(self.transformer_.transform(self._filled(X)), X.shape[0])

    def _filled(self, X: Any) -> Any:
        """A copy, as a transformer may work in place, and the table is the user's and that of other fits."""
        own = X.copy()
        if self.means_ is not None:
            np.copyto(own, self.means_, where=np.isnan(own))
        return own


def _means(X: np.ndarray) -> np.ndarray:
    """Mean of each column's values that are there; 0 where there are none."""
    if not np.isnan(X.min(initial=0.0)):
        return X.mean(0)
    there = ~np.isnan(X)
    return np.where(there, X, 0).sum(0) / np.maximum(there.sum(0), 1).astype(X.dtype)


@contextmanager
def _naming_scaler(transformer: Any) -> Iterator[None]:
    """Let an error of a transformer say whose it is, and what the transformer gets."""
    try:
        yield
    except Warning:
        raise
    except Exception as error:
        raise ValueError(
            f"`scaler={one_line(transformer)}` failed: {error}\nIt gets the rows of X as an array of numbers, whose "
            "columns have no names; what needs more than that can stand before the estimator in a Pipeline."
        ) from error


def _as_table(out: Any, n_rows: int) -> np.ndarray:
    """A transformer's output as a dense array of finite numbers."""
    if sparse.issparse(out):
        out = _written_out(out)
    table = check_array(out, dtype=(np.float64, np.float32), order="C", input_name="its output")
    if len(table) != n_rows:
        raise ValueError(f"its output has {len(table)} rows, not {n_rows} as its input")
    return table


def _written_out(table: Any) -> np.ndarray:
    """A sparse table as a dense one, unless it is too large."""
    if table.shape[0] * table.shape[1] > MAX_DENSE:
        raise ValueError(
            f"its sparse output of {table.shape[0]} rows and {table.shape[1]} columns is too large to be written out; "
            "reduce the columns, for example by a TruncatedSVD after it"
        )
    return table.toarray()


def fit_transformer(scaler: CheckedTransformer, X: Any, y: np.ndarray, used: np.ndarray | None) -> np.ndarray:
    """Fit to the used rows and transform all."""
    if used is None:
        return scaler.fit_transform(X, y)
    fitted = scaler.fit_transform(X[used], y[used])
    held_out = np.setdiff1d(np.arange(X.shape[0]), used, assume_unique=True)
    rest = scaler.transform(X[held_out])
    Z = np.empty((X.shape[0], fitted.shape[1]), np.result_type(fitted, rest))
    Z[used], Z[held_out] = fitted, rest
    return Z


def seeded(transformer: Any, seed: int) -> Any:
    """A clone in which every `random_state` that is None is a seed, so that the fit can be repeated."""
    with _naming_scaler(transformer):
        copy = clone(transformer)
    states = {name: value for name, value in copy.get_params().items() if name.split("__")[-1] == "random_state"}
    return copy.set_params(**{name: seed for name, value in states.items() if value is None})


def as_given(target: Target) -> np.ndarray:
    """The target as the user gave it: labels, or numbers in one dimension if they are one column."""
    if isinstance(target, ClassTarget):
        return target.labels[target.values]
    return target.values[:, 0] if target.n_columns == 1 else target.values


def one_line(transformer: Any) -> str:
    """A transformer as text without line breaks."""
    return " ".join(repr(transformer).split())
