"""The door for tables: what may come in, and how it is handed on."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_y, check_consistent_length, validate_data

from sk_dlsteps.inputs.arrays import as_numpy
from sk_dlsteps.inputs.columns import as_array, as_frame, check_different, find_categorical, is_frame
from sk_dlsteps.inputs.features import naming_columns
from sk_dlsteps.inputs.shapes import as_rows, check_shape

_FLOATS = (np.float64, np.float32)
# No target is asked for; whatever a user hands in as one is another object.
_NO_TARGET = object()
# C order, so that sums, and with them the whole fit, do not depend on the layout.
_NUMBERS: dict[str, Any] = {"dtype": _FLOATS, "order": "C", "accept_sparse": "csr", "ensure_all_finite": "allow-nan"}


def receive_training_table(
    door: Any, X: Any, y: Any, categorical_features: Any, weight: np.ndarray | None = None, least: int = 2
) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Check a table to train on.

    Parameters
    ----------
    door : estimator
        Gets `n_features_in_`, `feature_names_in_` and `input_shape_`.
    X, y : array-like
        The user's; rows of X of more than one dimension become those of a table.
    categorical_features : object
        The parameter of that name.
    weight : ndarray of shape (n_rows,) or None
        What each row counts: those of 0 do not decide what a column holds.
    least : int, default=2
        Rows that are needed.

    Returns
    -------
    X : ndarray, sparse array or DataFrame
        Numbers, or the table as it is if its columns have to be encoded.
    y : ndarray
        Without gaps.
    categorical : bool array of shape (n_features,) or None
        Which columns hold categories; None if the table holds numbers only, all of them there.

    """
    X, shape = as_rows(as_frame(as_numpy(X, "X")), door.input_shape)
    if shape is not None:
        _check_no_categories(categorical_features, shape)
        numbers, y = receive_table(door, X, y, reset=True, ensure_min_samples=least)
        door.input_shape_ = shape
        return numbers, y, None
    counts = slice(None) if weight is None or weight.all() else np.flatnonzero(weight)
    categorical = find_categorical(X if isinstance(counts, slice) else _safe_indexing(X, counts), categorical_features)
    if categorical.any():
        X, y = receive_table(door, X, y, raw=True, reset=True, ensure_min_samples=least)
        return X, y, categorical
    numbers, y = receive_table(door, X, y, reset=True, ensure_min_samples=least)
    if sparse.issparse(numbers) or not np.isnan(numbers[counts].min(initial=0.0)):
        return numbers, y, None
    # An encoder that has seen a frame knows its columns' names.
    return X if is_frame(X) else numbers, y, categorical


def receive_table(
    door: Any, X: Any, y: Any = _NO_TARGET, *, raw: bool = False, reset: bool = False, **checks: Any
) -> Any:
    """Check a table, and a target where there is one; `raw` leaves the columns to an encoder.

    Further `checks` are handed on to scikit-learn's.
    """
    X, shape = as_rows(as_frame(as_numpy(X, "X")), door.input_shape)
    y = as_numpy(y, "y")
    if reset:
        door.input_shape_ = shape
    elif shape is not None:
        check_shape(shape, door.input_shape_)
    if is_frame(X):
        check_different(list(X.columns))
        if not len(X.columns):
            raise ValueError(
                f"Found array with 0 feature(s) (shape={X.shape}) while a minimum of 1 is required by "
                f"{type(door).__name__}."
            )
    if isinstance(y, list | tuple):
        _check_lengths(y)
    if raw:
        X = X if is_frame(X) else as_array(X)
        if len(X) < (least := checks.get("ensure_min_samples", 1)):
            raise ValueError(
                f"Found array with {len(X)} sample(s) (shape={X.shape}) while a minimum of {least} is required by "
                f"{type(door).__name__}."
            )
        if y is _NO_TARGET:
            return validate_data(door, X, skip_check_array=True, reset=reset)
        validate_data(door, X, y, skip_check_array=True, reset=reset)
        y = _check_y(y, multi_output=True, estimator=door)
        y = y.toarray() if sparse.issparse(y) else y
        check_consistent_length(X, y)
        return X, y
    if sparse.issparse(X):
        # What is missing could not be told from the zeros that are not written down.
        checks = {"ensure_all_finite": True, **checks}
    with naming_columns(X):
        if y is _NO_TARGET:
            return validate_data(door, X, reset=reset, **{**_NUMBERS, **checks})
        X, y = validate_data(door, X, y, reset=reset, multi_output=True, **{**_NUMBERS, **checks})
        return X, y.toarray() if sparse.issparse(y) else y


def _check_lengths(y: Any) -> None:
    """Raise if a list has several values for some rows and fewer for others."""
    if len({len(row) if isinstance(row, list | tuple) else None for row in y}) > 1:
        raise ValueError(
            "`y` must hold a single value for each row, or as many for each; got rows of different lengths. Sets of "
            "labels are made zeros and ones by sklearn.preprocessing.MultiLabelBinarizer."
        )


def _check_no_categories(categorical_features: Any, shape: tuple[int, ...]) -> None:
    """Raise for columns named as categories where rows are no rows of a table."""
    if categorical_features is not None and not isinstance(categorical_features, str):
        raise ValueError(
            f"`categorical_features={categorical_features!r}` names columns of a table, and X has rows of "
            f"shape {shape}; leave it out."
        )


def check_for_sparse(parameters: dict[str, Any], mixed_precision: str | None) -> None:
    """Raise for what a sparse table cannot go through on its way to the networks."""
    way_out = "needs dense inputs, and X is sparse; leave it at None, or make X dense by X.toarray()."
    if parameters["augmentation"] is not None:
        raise ValueError(f"`augmentation={parameters['augmentation']!r}` {way_out}")
    if parameters["numeric_encoding"] == "piecewise_linear":
        raise ValueError(f"`numeric_encoding='piecewise_linear'` {way_out}")
    if mixed_precision is not None and parameters["module"] == "mlp":
        raise ValueError(f"`mixed_precision={mixed_precision!r}` {way_out}")
