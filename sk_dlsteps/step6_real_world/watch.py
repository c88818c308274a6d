"""What to watch once the model is in use, in figures of the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sk_dlsteps.plan import StepRecord

# Columns listed at the most.
_MAX_COLUMNS = 10


def what_to_watch(
    X_train: Any, X_test: Any, columns: Sequence[str], *, score_name: str, interval: tuple[float, float]
) -> StepRecord:
    """Say which figures of new rows show that the world has changed.

    Parameters
    ----------
    X_train, X_test : array-like of shape (n_rows, n_columns)
        Inputs the model was fitted on, and those of the test set.
    columns : sequence of str
        Names of the columns.
    score_name : str
        "R2" or "accuracy".
    interval : tuple of float
        95 % interval of the test score.

    Returns
    -------
    record : StepRecord
        Step 6, with each column's range, mean and standard deviation (of at most ten
        columns, those with the most test rows outside their range).

    Examples
    --------
    >>> X_train, X_test = np.array([[0.0], [1.0], [2.0]]), np.array([[1.5], [3.0]])
    >>> record = what_to_watch(X_train, X_test, ["height"], score_name="R2", interval=(0.4, 0.6))
    >>> record.evidence["test rows outside the training range"]
    '1 of 2 (50.0%)'

    """
    train, test = np.asarray(X_train, dtype=float), np.asarray(X_test, dtype=float)
    low, high = train.min(0), train.max(0)
    outside = (test < low) | (test > high)
    n_outside = int(outside.any(1).sum())
    order = np.argsort(-outside.sum(0), kind="stable")[:_MAX_COLUMNS]
    ranges = [
        {
            "column": str(columns[j]),
            "min": low[j],
            "max": high[j],
            "mean": train[:, j].mean(),
            "std": train[:, j].std(),
            "test rows outside": int(outside[:, j].sum()),
        }
        for j in sorted(order)
    ]
    share = n_outside / len(test)
    decision = (
        f"check new rows against the training ranges, and the {score_name} once their true values are known: "
        f"well below {interval[0]:.3f} the world has changed"
    )
    because = (
        "the networks know nothing outside the range they were trained on; about as many new rows as test rows "
        f"({share:.1%}) should lie there, and {interval[0]:.3f} is the lower end of the test score's interval"
    )
    shown = f"{len(order)} of {len(columns)} columns" if len(order) < len(columns) else "all columns"
    evidence = {
        "test rows outside the training range": f"{n_outside} of {len(test)} ({share:.1%})",
        "training range of " + shown: ranges,
    }
    return StepRecord(6, "what to watch", decision, because, evidence)
