"""Targets of a test set that a model can be held to."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import _safe_indexing

from sk_dlsteps.fitted import Fitted


def check_targets(fitted: Fitted, X: Any, y: np.ndarray) -> None:
    """Raise if targets are not of the kind that a model predicts.

    Parameters
    ----------
    fitted : Fitted
        What predicts.
    X : array-like of shape (n_rows, n_features)
        The test rows.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Their targets, none of which is missing.

    Raises
    ------
    ValueError
        If they have other columns, are no numbers where numbers are predicted, or are labels that the model cannot
        give.

    """
    if is_regressor(fitted.model):
        _check_numbers(y)
    _check_columns(fitted, X, y)
    if is_classifier(fitted.model):
        check_labels(getattr(fitted.model, "classes_", None), y)


def check_known(y: np.ndarray) -> None:
    """Raise if a target is missing or infinite.

    Parameters
    ----------
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Targets of the test set.

    Raises
    ------
    ValueError
        If one is.

    """
    rows = y.reshape(len(y), -1)
    if y.dtype.kind in "fc":
        missing = ~np.isfinite(rows)
    elif y.dtype.kind == "O":
        missing = np.array([[_is_missing(value) for value in row] for row in rows])
    else:
        return
    if missing.any():
        raise ValueError(
            f"`y_test` is missing or infinite in {int(missing.any(1).sum())} of {len(y)} rows, first in row "
            f"{int(missing.any(1).argmax())}; leave those rows out"
        )


def check_labels(classes: Any, y: np.ndarray) -> None:
    """Raise if rows have labels that a model cannot give.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,), list of such, or None
        The labels of the model, or those of each of its outputs; None if they are unknown.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Targets of the test set.

    Raises
    ------
    ValueError
        If there are other labels.

    """
    if classes is None:
        return
    columns = y.reshape(len(y), -1).T
    way_out = "`y_test` holds labels that training did not: {}; leave those rows out, or train on more rows"
    if not isinstance(classes, list) and y.ndim == 1:
        classes = [classes]
    elif not isinstance(classes, list):
        # Of a model whose rows may have several labels, the classes are the numbers of the columns.
        classes = [np.array([0, 1])] * len(columns)
        way_out = "`y_test` must hold 0 and 1 in the column of each label, got {}"
    for known, column in zip(classes, columns, strict=True):
        labels = set(known.tolist())
        strange = [label for label in dict.fromkeys(column.tolist()) if label not in labels]
        if strange:
            raise ValueError(way_out.format(", ".join(map(repr, strange[:5])) + (", ..." if len(strange) > 5 else "")))


def _is_missing(value: Any) -> bool:
    """Whether an object stands for no value: None, NaN, NaT or pandas' NA, which is neither equal nor unequal."""
    if value is None:
        return True
    unequal = value != value
    return bool(unequal) if isinstance(unequal, bool | np.bool_) else True


def _check_numbers(y: np.ndarray) -> None:
    """Raise if the targets of a regressor are no numbers."""
    if y.dtype.kind in "biuf":
        return
    for row, value in enumerate(y.reshape(len(y), -1).tolist()):
        text = next((one for one in value if isinstance(one, str | bytes)), None)
        if text is not None or y.dtype.kind != "O":
            found = value[0] if text is None else text
            raise ValueError(
                f"`y_test` must hold numbers, as a regressor predicts them, got {found!r} in row {row}; give the "
                "targets in the units of training"
            )


def _check_columns(fitted: Fitted, X: Any, y: np.ndarray) -> None:
    """Raise if the model predicts another number of columns, as seen from its prediction for two rows."""
    if not (is_regressor(fitted.model) or is_classifier(fitted.model)):
        return
    predicted = fitted.whole.predict(_safe_indexing(X, np.arange(2)))
    shape = getattr(predicted, "shape", None) or np.shape(predicted)
    expected, given = (1 if len(of) == 1 else of[1] for of in (shape, y.shape))
    if len(shape) > 2 or expected != given:
        raise ValueError(
            f"`y_test` must have {_columns(expected)}, as the model predicts so many, got {_columns(given)}; give the "
            "targets that it was trained for"
        )


def _columns(n: int) -> str:
    """So many columns."""
    return "1 column" if n == 1 else f"{n} columns"
