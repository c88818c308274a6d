"""Rows of any shape, such as images and sequences, as rows of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sk_dlsteps.inputs.columns import is_frame
from sk_dlsteps.step2_architecture.architectures import channel_axis

Shape = tuple[int, ...]


def as_rows(X: Any, input_shape: Sequence[int] | None) -> tuple[Any, Shape | None]:
    """A table of the rows of X, and the shape of one row.

    Parameters
    ----------
    X : array-like of shape (n_rows, ...), DataFrame or sparse matrix
        The user's. What a masked array hides becomes NaN.
    input_shape : sequence of int or None
        The parameter of that name.

    Returns
    -------
    X : array-like of shape (n_rows, n_columns), DataFrame or sparse matrix
        The same numbers, the last axis running fastest. What was a table stays as it is.
    shape : tuple of int or None
        What the networks are to see of a row; None for a table.

    Raises
    ------
    ValueError
        If the rows have another shape than `input_shape`, or are not all of one shape.

    Examples
    --------
    >>> as_rows(np.zeros((5, 3, 8, 8)), None)[0].shape
    (5, 192)
    >>> as_rows(np.zeros((5, 192)), (3, 8, 8))[1]
    (3, 8, 8)

    """
    wanted = None if input_shape is None else tuple(int(n) for n in input_shape)
    X = _as_array(X, wanted is not None)
    if sparse.issparse(X) and X.ndim != 2:
        raise ValueError(f"Expected 2D array, got {X.ndim}D sparse array; give X.reshape(-1, 1) if it is a column.")
    if sparse.issparse(X) and wanted is not None and len(wanted) > 1:
        raise ValueError(f"`input_shape={wanted}` needs dense rows, and X is sparse; give X.toarray().")
    shape: tuple[int, ...] = getattr(X, "shape", ())
    if len(shape) > 2:
        own = tuple(int(n) for n in shape[1:])
        if wanted is not None and own != wanted:
            raise ValueError(f"`input_shape` is {wanted}, but the rows of X have the shape {own}; leave it out.")
        return _small(np.asarray(X)).reshape(shape[0], math.prod(own)), own
    if wanted is not None and len(shape) == 2 and shape[1] != math.prod(wanted):
        raise ValueError(
            f"`input_shape={wanted}` takes {math.prod(wanted)} columns, and X has {shape[1]}; "
            "give the shape of one row."
        )
    return X, wanted if wanted is not None and len(wanted) > 1 else None


def check_shape(X_shape: Shape | None, known: Shape | None) -> None:
    """Raise if rows have another shape than those that a network was trained on."""
    if X_shape is not None and X_shape != known:
        before = "rows of a table" if known is None else f"rows of shape {known}"
        raise ValueError(f"X has rows of shape {X_shape}, but the networks were trained on {before}; give the same.")


def channels_of(shape: Shape | None) -> np.ndarray | None:
    """The channel of each column of flattened rows: the last axis of a sequence, the first of an image.

    None for a table, whose columns are channels of their own.
    """
    if shape is None or len(shape) < 2:
        return None
    axis = channel_axis(shape)
    numbers = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return np.broadcast_to(numbers, shape).reshape(-1)


def _as_array(X: Any, has_shape: bool) -> Any:
    """Tensors and nested lists as arrays, hidden numbers of a masked array as NaN; tables as they are."""
    if isinstance(X, np.ma.MaskedArray):
        floats = np.result_type(X.dtype, np.float32)
        return np.where(np.ma.getmaskarray(X), np.nan, X.data).astype(floats)
    if (isinstance(X, Mapping) and not sparse.issparse(X)) or (isinstance(X, np.ndarray) and X.dtype.names):
        raise TypeError(
            f"X is a {type(X).__name__} of named columns; make it a table, for example by pandas.DataFrame(X)"
        )
    if isinstance(X, Tensor):
        X = X.detach().cpu()
        return (X.float() if X.dtype == torch.bfloat16 else X).numpy()
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1:
        X = list(X)
    if hasattr(X, "shape") or is_frame(X) or sparse.issparse(X):
        return X
    rows: Any = X if isinstance(X, Sequence) and not isinstance(X, str) else ()
    first: Any = next(iter(rows), None)
    try:
        if len({len(row) if isinstance(row, Sized) and getattr(row, "ndim", True) else None for row in rows}) > 1:
            raise ValueError("they differ in length")
        return np.asarray(X) if has_shape or np.ndim(first) > 1 else X
    except ValueError as error:
        raise ValueError(
            f"The rows of X are not all of one shape ({error}). Pad sequences of unequal length with NaN to the "
            "longest one."
        ) from error


def _small(X: np.ndarray) -> np.ndarray:
    """Pixels and the like in the smallest float that the networks take and that holds them."""
    return X.astype(np.float32) if X.dtype.kind in "biuf" and X.dtype.itemsize <= 2 else X
