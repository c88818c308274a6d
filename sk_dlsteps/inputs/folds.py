"""Which rows train and which validate each network."""

from __future__ import annotations

import numpy as np

# A fold with fewer rows than this says nothing about a network.
MIN_FOLD_ROWS = 5


def assign_folds(
    n_networks: int, n_rows: int, classes: np.ndarray | None, rng: np.random.Generator
) -> list[np.ndarray] | None:
    """Validation rows of each network: its own fold, of equal sizes and with every class's share.

    With fewer rows than a fold each needs, networks share folds; with too few
    for two folds there is no validation and the answer is None.
    """
    n_folds = min(n_networks, n_rows // MIN_FOLD_ROWS)
    if n_folds < 2:
        return None
    order = _shuffled_by_class(n_rows, classes, rng)
    return [np.sort(order[k % n_folds :: n_folds]) for k in range(n_networks)]


def hold_out(fraction: float, n_rows: int, classes: np.ndarray | None, rng: np.random.Generator) -> np.ndarray | None:
    """Validation rows for a single network, with every class's share; None if they would be too few."""
    n_valid = round(fraction * n_rows)
    if n_valid < MIN_FOLD_ROWS or n_rows - n_valid < MIN_FOLD_ROWS:
        return None
    order = _shuffled_by_class(n_rows, classes, rng)
    return np.sort(order[np.floor((np.arange(n_valid) + 0.5) * n_rows / n_valid).astype(int)])


def _shuffled_by_class(n_rows: int, classes: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Rows in random order, class after class."""
    shuffle = rng.permutation(n_rows)
    return shuffle if classes is None else shuffle[np.argsort(classes[shuffle], kind="stable")]
