"""The test set: set aside before anything is decided."""

from __future__ import annotations

import numpy as np

from sk_dlsteps.inputs.folds import hold_out
from sk_dlsteps.inputs.table import TableError

# Fewer training rows cannot be cross-validated.
_MIN_TRAINING_ROWS = 10


def hold_out_test_set(y: np.ndarray, task: str, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose the rows of the test set at random, with every class's share.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        The target.
    task : {"regression", "classification"}
        What is to be done.
    test_size : float
        Share of the rows.
    seed : int
        Of the choice.

    Returns
    -------
    train, test : ndarray of int
        Row numbers.

    Raises
    ------
    TableError
        If one of the two would be too small.

    Examples
    --------
    >>> train, test = hold_out_test_set(np.repeat([0, 1], 50), "classification", 0.2, seed=0)
    >>> len(train), len(test), int((test < 50).sum())
    (80, 20, 10)

    """
    classes = None if task == "regression" else y
    test = hold_out(test_size, len(y), classes, np.random.default_rng(seed))
    if test is None or len(y) - len(test) < _MIN_TRAINING_ROWS:
        raise TableError(
            f"a test size of {test_size:g} leaves too few of the {len(y)} rows on one side; at least 5 are needed for "
            f"the test and {_MIN_TRAINING_ROWS} for training"
        )
    train = np.setdiff1d(np.arange(len(y)), test)
    if classes is not None:
        counts = np.sort(np.unique(y[train], return_counts=True)[1])
        if len(counts) < 2 or counts[-2] < 2:
            raise TableError(
                f"too few classes recur: {len(train)} training rows hold {len(counts)} different values of the target, "
                "and at least two classes need two rows each; choose another target"
            )
    return train, test
