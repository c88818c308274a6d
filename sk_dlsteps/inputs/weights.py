"""What each row counts: sample weights, class weights, and tables in which rows are merged or left out."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import _safe_indexing, check_array
from sklearn.utils.validation import _num_samples, check_consistent_length

from sk_dlsteps.inputs.arrays import as_numpy

# A table of at most so many rows, copies included, is trained on in one minibatch ("auto"), whose gradient is the same
# whether a row stands there k times or once with the weight k.
ONE_MINIBATCH = 32
# Weights are squared, and multiplied by squared errors; beyond these, such products are 0 or infinite.
SMALLEST, LARGEST = 1e-100, 1e100


def check_weight(weight: Any, rows: Any, name: str = "sample_weight") -> np.ndarray | None:
    """Weights as float64, one for each row; None if all rows count the same.

    Raises
    ------
    ValueError
        If they are not numbers of at least 0, one for each row and one of them above 0.

    """
    if weight is None:
        return None
    n_rows = _num_samples(rows)
    if np.isscalar(weight):
        weight = np.full(n_rows, weight)
    try:
        values = check_array(as_numpy(weight, name), ensure_2d=False, dtype=np.float64, input_name=name)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be numbers of at least 0, one for each row of X: {error}") from error
    if values.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {values.ndim}D array for `{name}`.")
    if len(values) != n_rows:
        raise ValueError(f"{name}.shape == {values.shape}, expected {(n_rows,)}: one weight for each row of X")
    if (values < 0).any():
        raise ValueError(f"Negative values in data passed to `{name}`, first in row {int(np.argmax(values < 0))}.")
    if not values.any():
        raise ValueError(f"`{name}` holds only zeros; at least one row needs a non-zero weight.")
    if not SMALLEST <= values.max() <= LARGEST:
        raise ValueError(
            f"`{name}` must hold numbers whose largest is from {SMALLEST:g} to {LARGEST:g}, got {values.max():g}; "
            "divide them by their mean."
        )
    return None if (values == 1).all() else values


def weights_differ(weight: np.ndarray | None) -> bool:
    """Whether rows count differently, apart from those of weight 0.

    Examples
    --------
    >>> weights_differ(np.array([0.0, 2.0, 2.0])), weights_differ(np.array([1.0, 2.0])), weights_differ(None)
    (False, True, False)

    """
    return weight is not None and len(np.unique(weight[weight > 0])) > 1


def class_weights(class_weight: Any, labels: np.ndarray, codes: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """What each row counts by its class.

    Parameters
    ----------
    class_weight : dict or "balanced"
        A weight for each label, 1 for those that are missing; "balanced" gives every class
        the same sum of weights.
    labels : ndarray of shape (n_classes,)
        The labels, sorted.
    codes : ndarray of shape (n_rows,)
        The class of each row.
    weight : ndarray of shape (n_rows,) or None
        What each row counts anyway.

    """
    if isinstance(class_weight, str):
        counts = np.bincount(codes, weight, len(labels))
        return (counts.sum() / (len(labels) * counts))[codes]
    known = labels.tolist()
    unknown = [label for label in class_weight if label not in known]
    if unknown and not all(label in class_weight for label in known):
        # As in scikit-learn: rows of a fold may lack a class that has a weight.
        raise ValueError(f"`class_weight` has labels that `y` does not: {unknown}; the labels are {known[:20]}")
    of_class = np.array([class_weight.get(label, 1.0) for label in known], dtype=float)
    if not of_class.any():
        raise ValueError("`class_weight` holds only zeros; at least one class needs a non-zero weight.")
    return of_class[codes]


def without_zeros(X: Any, y: np.ndarray, weight: np.ndarray | None) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """The rows of a weight above 0: a loss of the others may be infinite, and 0 times that is NaN."""
    if weight is None or weight.all():
        return X, y, weight
    there = np.flatnonzero(weight)
    own = weight[there]
    return _safe_indexing(X, there), y[there], None if (own == 1).all() else own


class CountedRows:
    """The rows of a table that count, each with its weight, and where the user's rows have gone.

    Rows of weight 0 are left out. In a table of numbers that fits into a single minibatch,
    equal rows of equal targets become one that counts as much, in sorted order, so that a weight of k
    does exactly what k copies do.

    Parameters
    ----------
    X : array, sparse array or DataFrame of shape (n_rows, n_features)
        Checked inputs.
    y : ndarray
        Checked target.
    weight : ndarray of shape (n_rows,) or None
        From `check_weight`.

    Attributes
    ----------
    kept : int array or None
        Which of the user's rows stand in the table, in order; None: all.
    leaves_out : bool
        Whether there are rows of weight 0.
    differ : bool
        Whether the others have different weights.
    weight : ndarray or None
        What those count; None: all the same.
    origin : int array of shape (n_rows,) or None
        The table's row for each of the user's, -1 for those left out; None: its own.

    """

    def __init__(self, X: Any, y: np.ndarray, weight: np.ndarray | None) -> None:
        check_consistent_length(X, y)
        self.n_given = n_rows = X.shape[0]
        self.kept: np.ndarray | None = None
        self.leaves_out = weight is not None and not weight.all()
        self.differ = weights_differ(weight)
        self.origin: np.ndarray | None = None
        self.weight = weight
        if weight is not None and self.leaves_out:
            self._keep(np.flatnonzero(weight), np.where(weight > 0, np.cumsum(weight > 0) - 1, -1), weight[weight > 0])
        total = n_rows if self.weight is None else self.weight.sum()
        if total <= ONE_MINIBATCH and (sparse.issparse(X) or (isinstance(X, np.ndarray) and X.dtype.kind in "biuf")):
            self._merge(X, y)

    def of(self, rows: Any) -> Any:
        """Those of the user's rows that stand in the table."""
        return rows if self.kept is None else _safe_indexing(rows, self.kept)

    def given(self, values: np.ndarray | None) -> np.ndarray | None:
        """Values of the table's rows for the user's rows; NaN for those left out."""
        if values is None or self.origin is None:
            return values
        out = np.full((self.n_given, *values.shape[1:]), np.nan)
        there = self.origin >= 0
        out[there] = values[self.origin[there]]
        return out

    def _keep(self, kept: np.ndarray, origin: np.ndarray, weight: np.ndarray) -> None:
        """Let some rows stand in the table."""
        self.kept, self.origin = kept, origin
        self.weight = None if (weight == 1).all() else weight

    def _merge(self, X: Any, y: np.ndarray) -> None:
        """Let one of each set of equal rows stand for all of them."""
        rows = np.asarray(self.of(X).toarray() if sparse.issparse(X) else self.of(X), dtype=float)
        targets = self.of(y).reshape(len(rows), -1)
        try:
            codes = [np.unique(column, return_inverse=True)[1] for column in targets.T]
        except TypeError:
            return  # labels of several types, which the target will refuse
        _, first, of_row = np.unique(np.column_stack([rows, *codes]), axis=0, return_index=True, return_inverse=True)
        if len(first) < 2:
            return
        of_row = of_row.reshape(-1)
        weight = np.bincount(of_row, self.weight)
        origin = of_row if self.origin is None else np.where(self.origin >= 0, of_row[self.origin], -1)
        self._keep(first if self.kept is None else self.kept[first], origin, weight)
