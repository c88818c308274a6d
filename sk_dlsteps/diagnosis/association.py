"""What a single column tells of a target, seen without any model."""

from __future__ import annotations

import numpy as np
from scipy.stats import f

# Groups of rows by the values of a column, of equal numbers as far as values allow.
GROUPS = 8
# A column tells something if its groups explain surely more than nothing, at this level, and at least this share.
LEVEL, SHARE = 0.05, 0.01


def tells_alone(column: np.ndarray, target: np.ndarray) -> bool:
    """Whether the groups of a column's values differ in their mean target, beyond chance and by a share that matters.

    Parameters
    ----------
    column : ndarray of shape (n_rows,)
        Numbers or codes of levels; NaN, a value like others, where they are missing.
    target : ndarray of shape (n_rows, n_columns)
        Numbers, or zeros and ones.

    Returns
    -------
    tells : bool
        By the F test of each column of the target, at a level shared by all, and the share explained, less what as
        many groups explain by chance.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(400, 2))
    >>> tells_alone(X[:, 0], X[:, :1] ** 2), tells_alone(X[:, 1], X[:, :1] ** 2)
    (True, False)

    """
    groups = _groups(column)
    n, n_groups = len(groups), int(groups.max()) + 1
    if n_groups < 2 or n <= n_groups:
        return False
    counts = np.bincount(groups)[:, None]
    centred = target - target.mean(0)
    sums = np.stack([np.bincount(groups, own) for own in centred.T], axis=1)
    between, whole = (sums**2 / counts).sum(0), (centred**2).sum(0)
    within = np.maximum(whole - between, 1e-12 * np.maximum(whole, 1e-300))
    ratio = (between / (n_groups - 1)) / (within / (n - n_groups))
    share = 1 - (within / (n - n_groups)) / (np.maximum(whole, 1e-300) / (n - 1))
    surely = f.sf(ratio, n_groups - 1, n - n_groups) < LEVEL / target.shape[1]
    return bool((surely & (share > SHARE)).any())


def _groups(column: np.ndarray) -> np.ndarray:
    """The number of each row's group; of many values, neighbours share one."""
    missing = np.isnan(column)
    values, place, counts = np.unique(column[~missing], return_inverse=True, return_counts=True)
    if len(values) > GROUPS:
        # By the middle of each value's rows, so that equal values stay together.
        middle = np.cumsum(counts) - counts / 2
        place = (middle * GROUPS / counts.sum()).astype(int)[place]
    groups = np.full(len(column), -1)
    groups[~missing] = place
    return np.unique(groups, return_inverse=True)[1]
