"""The folds on which the model and simple ones are fitted anew."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold, check_cv


def split_rows(
    cv: Any, X: Any, y: np.ndarray, labels: np.ndarray | None, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows that train and rows that are held out, fold by fold.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test)
        An integer is shuffled, and stratified where there are labels; folds may be row numbers or masks.
    X, y : array-like
        The rows.
    labels : ndarray of int or None
        Their class codes.
    seed : int
        Of the shuffle.

    Raises
    ------
    ValueError
        If the rows cannot be split so.

    """
    check_folds(cv)
    if isinstance(cv, Integral):
        n = min(int(cv), len(y))
        if n < 2:
            raise ValueError(f"`cv={cv}` cannot split {len(y)} row: give the rows that the model was fitted on")
        stratified = labels is not None and np.bincount(labels).max() >= n
        cv = (StratifiedKFold if stratified else KFold)(n, shuffle=True, random_state=seed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes with fewer rows than folds
            splits = list(check_cv(cv).split(X, y if labels is None else labels))
    except (TypeError, ValueError) as error:
        name, reason = type(cv).__name__, str(error).rstrip(".")
        way_out = (
            f"give its folds, `cv=list({name}(...).split(X, y, groups))`"
            if "group" in reason
            else "give pairs (train, test)"
        )
        given = f"`cv={cv}`" if hasattr(cv, "split") else "`cv`"
        raise ValueError(f"{given} cannot split the rows: {reason}; {way_out}") from error
    return _as_numbers(splits, len(y))


def check_folds(cv: Any) -> None:
    """Raise if folds cannot be made of a parameter.

    Parameters
    ----------
    cv : object
        The user's.

    Raises
    ------
    ValueError
        If it is neither a number of folds, nor a splitter, nor folds.

    """
    few = isinstance(cv, Integral) and (isinstance(cv, bool) or cv < 2)
    strange = not isinstance(cv, Integral) and (
        isinstance(cv, str) or not (hasattr(cv, "split") or hasattr(cv, "__iter__"))
    )
    if few or strange:
        raise ValueError(f"`cv` must be an integer of at least 2, a splitter, or folds (train, test), got {cv!r}")


def _as_numbers(splits: list[Any], n_rows: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds as row numbers, of which none is empty."""
    folds: list[tuple[np.ndarray, np.ndarray]] = []
    for i, (train, test) in enumerate(splits):
        folds.append((_rows_of(train, n_rows, i), _rows_of(test, n_rows, i)))
    if not folds:
        raise ValueError("`cv` holds no folds; give at least one pair (train, test), or a number of folds")
    return folds


def _rows_of(part: Any, n_rows: int, i: int) -> np.ndarray:
    """Row numbers of a part of a fold, which may be a mask."""
    rows = np.asarray(part)
    if rows.dtype == bool and rows.shape == (n_rows,):
        rows = np.flatnonzero(rows)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows) or rows.min() < 0 or rows.max() >= n_rows:
        raise ValueError(
            f"`cv` must hold row numbers from 0 to {n_rows - 1}, or masks of {n_rows} rows, and some in each part, got "
            f"{rows.dtype} of shape {rows.shape} in fold {i}"
        )
    return rows
