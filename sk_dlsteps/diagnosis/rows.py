"""The door for rows: what `diagnose` is given, checked against what the model was fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_consistent_length

from sk_dlsteps.fitted import Fitted
from sk_dlsteps.inputs.arrays import as_numpy
from sk_dlsteps.inputs.columns import as_frame
from sk_dlsteps.inputs.target import as_indicators, as_labels
from sk_dlsteps.inputs.weights import check_weight


def receive(fitted: Fitted, X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, np.ndarray | None]:
    """Check rows, and turn the target into an array.

    Parameters
    ----------
    fitted : Fitted
        The model.
    X, y, sample_weight : array-like or None
        The user's.

    Returns
    -------
    X : DataFrame, ndarray or csr_matrix, or None
        The table.
    y : ndarray, or None
        Values, labels, or zeros and ones.
    sample_weight : ndarray or None
        Weights, unless all are the same.

    Raises
    ------
    ValueError
        If they are not what the model can have been fitted on.

    """
    if (X is None) != (y is None):
        missing, given = ("y", "X") if y is None else ("X", "y")
        raise ValueError(f"`{missing}` is missing: `X` and `y` belong together; give both, or leave out `{given}`")
    if X is None:
        if sample_weight is not None:
            raise ValueError("`sample_weight` is given without `X` and `y`, whose rows it counts")
        return None, None, None
    X, y = as_frame(as_numpy(X, "X")), as_numpy(y, "y")
    X = X if hasattr(X, "shape") else np.asarray(X)
    X = X.tocsr() if issparse(X) else X
    check_consistent_length(X, y)
    try:
        first = fitted.whole.predict(X[:1] if not hasattr(X, "iloc") else X.iloc[:1])
    except (TypeError, ValueError) as error:
        raise ValueError(f"`X` does not fit the model, give the rows it was fitted on: {error}") from error
    return X, _target(fitted.model, y, np.shape(first)[1:]), check_weight(sample_weight, X)


def _target(model: Any, y: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The target as an array, each row of a shape as predicted; an error for another than the model was fitted on."""
    y = y.toarray() if issparse(y) else np.asarray(y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 and not shape else y
    if y.shape[1:] != shape:
        wanted = f"{shape[0]} columns" if shape else "one value for each row"
        raise ValueError(f"`y` must have {wanted}, as the model was fitted on, got shape {y.shape}")
    if model.plan_.task == "regression":
        return _values(y)
    _check_known(y)
    if shape:
        return as_indicators(y, "y").astype(int)
    y = as_labels(y)
    known = set(model.classes_.tolist())
    unknown = [label for label in dict.fromkeys(y.tolist()) if label not in known]
    if unknown:
        raise ValueError(f"`y` holds labels that the model does not know: {unknown[:5]}; give the training rows")
    return y


def _values(y: np.ndarray) -> np.ndarray:
    """A target of finite numbers."""
    _check_known(y)
    try:
        return y.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`y` must hold numbers, as the model was fitted on, got dtype {y.dtype}: {error}; give the training rows"
        ) from error


def _check_known(y: np.ndarray) -> None:
    """Raise if values are missing or infinite."""
    missing = np.zeros(y.shape, dtype=bool)
    if y.dtype.kind in "fc":
        missing = ~np.isfinite(y)
    elif y.dtype == object:
        missing = np.vectorize(_is_missing, otypes=[bool])(y)
    if missing.any():
        rows = missing.reshape(len(y), -1).any(1)
        columns = f", in columns {np.flatnonzero(missing.any(0)).tolist()}" if y.ndim == 2 else ""
        raise ValueError(
            f"`y` is missing or infinite in {rows.sum()} of {len(y)} rows, first in row {rows.argmax()}{columns}; "
            "give the training rows"
        )


def _is_missing(value: Any) -> bool:
    """Whether a value is None, not a number, infinite, or a missing value of pandas, which equals nothing."""
    if isinstance(value, float | np.floating):
        return not np.isfinite(value)
    equal = value == value
    return value is None or not isinstance(equal, bool | np.bool_) or not equal
