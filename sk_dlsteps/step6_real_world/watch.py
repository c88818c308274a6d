"""What to watch once the model is in use, in figures of the training rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from sk_dlsteps.inputs.columns import find_categorical
from sk_dlsteps.inputs.encoder import TableEncoder
from sk_dlsteps.inputs.levels import MAX_LEVELS
from sk_dlsteps.plan import StepRecord

# Title of the record, which checks nothing yet. And columns listed at the most.
TITLE = "what to watch"
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
    categorical = find_categorical(X_train)
    numbers = [name for name, is_category in zip(columns, categorical, strict=True) if not is_category]
    encoder = TableEncoder(categorical, one_hot_levels=MAX_LEVELS).set_output(transform="default").fit(X_train)
    n_numbers = len(numbers)
    encoded, encoded_test = encoder.transform(X_train), encoder.transform(X_test)
    train, test = encoded[:, :n_numbers], encoded_test[:, :n_numbers]
    with warnings.catch_warnings():
        # Of columns that are missing throughout.
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high, mean, std = (f(train, 0) for f in (np.nanmin, np.nanmax, np.nanmean, np.nanstd))
    outside = (test < low) | (test > high)
    unseen = unseen_levels(encoder, encoded_test)
    n_outside = int((outside.any(1) | unseen).sum())
    order = np.argsort(-outside.sum(0), kind="stable")[:_MAX_COLUMNS]
    ranges = [
        {
            "column": str(numbers[j]),
            "min": low[j],
            "max": high[j],
            "mean": mean[j],
            "std": std[j],
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
    shown = f"{len(order)} of {n_numbers} columns" if len(order) < n_numbers else "all columns"
    if categorical.any():
        shown += " of numbers"
    evidence: dict[str, Any] = {
        "test rows outside the training range": f"{n_outside} of {len(test)} ({share:.1%})",
        "training range of " + shown: ranges,
    }
    if categorical.any():
        evidence["test rows with a level that training has not seen"] = int(unseen.sum())
    return StepRecord(6, TITLE, decision, because, evidence)


def unseen_levels(encoder: TableEncoder, encoded: np.ndarray) -> np.ndarray:
    """Which rows have a category, encoded one-hot, of a level that the encoder has not seen."""
    at = encoder.counts_["numbers"] + encoder.counts_["missing indicators"]
    unseen = np.zeros(len(encoded), dtype=bool)
    for n_levels in encoder.n_one_hot_:
        unseen |= ~encoded[:, at : at + n_levels].any(1)
        at += n_levels
    return unseen
