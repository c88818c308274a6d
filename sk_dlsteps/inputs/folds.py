"""Which rows train and which validate each network."""

from __future__ import annotations

from typing import Any

import numpy as np

from sk_dlsteps.engine.batches import Rows

# A fold with fewer rows than this says nothing about a network.
MIN_FOLD_ROWS = 5


def choose_rows(
    n_networks: int,
    n_rows: int,
    classes: np.ndarray | None,
    rng: np.random.Generator,
    *,
    hold_rows_out: bool,
    validation_fraction: float,
    n_folds: int | None = None,
    X_valid: np.ndarray | None = None,
    y_valid: np.ndarray | None = None,
) -> Rows:
    """Rows that train and that validate each network.

    Validation data of their own leave all rows for training. Otherwise, if rows
    are to be held out and there are enough of them, several networks are
    cross-fitted, each on all folds of `n_folds` (by default one for each network) but
    one, and a single one holds out `validation_fraction`.
    """
    every = np.arange(n_rows, dtype=np.int32)
    if X_valid is not None and y_valid is not None:
        return Rows([every] * n_networks, [np.arange(len(y_valid), dtype=np.int32)] * n_networks, X_valid, y_valid)
    valid: list[np.ndarray] | None = None
    if hold_rows_out and n_networks == 1:
        held_out = hold_out(validation_fraction, n_rows, classes, rng)
        valid = None if held_out is None else [held_out]
    elif hold_rows_out:
        valid = assign_folds(n_networks, n_rows, classes, rng, n_folds)
    if valid is None:
        return Rows([every] * n_networks)
    return Rows([_all_but(every, own) for own in valid], valid)


def _all_but(every: np.ndarray, own: np.ndarray) -> np.ndarray:
    """All rows but some."""
    kept = np.ones(len(every), dtype=bool)
    kept[own] = False
    return every[kept]


def assign_folds(
    n_networks: int,
    n_rows: int,
    classes: np.ndarray | None,
    rng: np.random.Generator,
    n_folds: int | None = None,
) -> list[np.ndarray] | None:
    """Validation rows of each network: its own fold, of equal sizes and with every class's share.

    With fewer rows than a fold each needs, networks share folds; with too few
    for two folds there is no validation and the answer is None. Where the rarer of
    two classes has fewer rows than there are folds, each fold has one of them all the same.
    """
    n_folds = min(n_folds or n_networks, n_rows // MIN_FOLD_ROWS)
    if n_folds < 2:
        return None
    order = _shuffled_by_class(n_rows, classes, rng)
    folds = [order[k::n_folds] for k in range(n_folds)]
    rare = _rarer_class(order, classes)
    if 1 < len(rare) < n_folds:
        # A fold without any would tell its network nothing but to answer "no", and when it does so is chance.
        others = [fold[~np.isin(fold, rare)] for fold in folds]
        folds = [np.append(own, rare[k % len(rare)]) for k, own in enumerate(others)]
    return [np.sort(folds[k % n_folds]) for k in range(n_networks)]


def hold_out(fraction: float, n_rows: int, classes: np.ndarray | None, rng: np.random.Generator) -> np.ndarray | None:
    """Validation rows for a single network, with every class's share; None if they would be too few."""
    n_valid = round(fraction * n_rows)
    if n_valid < MIN_FOLD_ROWS or n_rows - n_valid < MIN_FOLD_ROWS:
        return None
    order = _shuffled_by_class(n_rows, classes, rng)
    return np.sort(order[np.floor((np.arange(n_valid) + 0.5) * n_rows / n_valid).astype(int)])


def _rarer_class(rows: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    """Those of the rows that belong to the rarer of two classes; none if there are not two."""
    if classes is None:
        return rows[:0]
    labels, counts = np.unique(classes, return_counts=True)
    return rows[classes[rows] == labels[counts.argmin()]] if len(labels) == 2 else rows[:0]


def _shuffled_by_class(n_rows: int, classes: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Rows in random order, class after class."""
    shuffle = rng.permutation(n_rows).astype(np.int32)
    return shuffle if classes is None else shuffle[np.argsort(classes[shuffle], kind="stable")]


def row_numbers(rows: Any) -> np.ndarray:
    """Rows of one side of a split by number.

    Parameters
    ----------
    rows : array-like
        Row numbers, or a mask of all rows.

    """
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows
