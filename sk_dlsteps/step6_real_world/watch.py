"""What to watch once the model is in use, in figures of the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sk_dlsteps.plan import StepRecord
from sk_dlsteps.step6_real_world.reference import Reference
from sk_dlsteps.step6_real_world.sketches import LevelSketch

# Titles of records of step 6 that check nothing: what to watch, and later rows that could not be checked.
TITLE, REFUSED = CHECKS_NOTHING = ("what to watch", "later rows")
# Columns listed at the most.
_MAX_COLUMNS = 10


def what_to_watch(
    reference: Reference, X: Any, names: Sequence[str], *, score_name: str, interval: tuple[float, float]
) -> StepRecord:
    """Say which figures of new rows show that the world has changed.

    Parameters
    ----------
    reference : Reference
        Of the rows that the model was fitted on.
    X : array-like of shape (n_rows, n_columns)
        Checked test rows, which show how many rows lie outside if nothing has changed.
    names : sequence of str
        Of the table's columns.
    score_name : str
        "R2" or "accuracy".
    interval : tuple of float
        95 % interval of the test score.

    Returns
    -------
    record : StepRecord
        Step 6, with each column's range and median (of at most ten columns, those with the most test rows outside
        their range).

    Examples
    --------
    >>> reference, X_test = Reference.of(np.array([[0.0], [1.0], [2.0]])), np.array([[1.5], [3.0]])
    >>> record = what_to_watch(reference, X_test, ["height"], score_name="R2", interval=(0.4, 0.6))
    >>> record.evidence["test rows outside the training range"]
    '1 of 2 (50.0%)'

    """
    beyond, unseen = np.zeros((2, X.shape[0]), dtype=bool)
    ranges: list[dict[str, Any]] = []
    reader = reference.reader
    for place, sketch, column in zip(reader.places, reference.columns, reader.columns(X), strict=True):
        if isinstance(sketch, LevelSketch):
            unseen |= sketch.is_unseen(column.values, column.levels or [])
            continue
        own = sketch.is_outside(column.values)
        beyond |= own
        middle = float(sketch.quantile(np.array([0.5]))[0]) if len(sketch.knots) else np.nan
        row = {"column": str(names[place]), "min": sketch.low, "median": middle, "max": sketch.high}
        ranges.append({**row, "test rows outside": int(own.sum())})
    n_outside = int((beyond | unseen).sum())
    share = n_outside / X.shape[0]
    decision = (
        f"check new rows against the training ranges, and the {score_name} once their true values are known: "
        f"well below {interval[0]:.3f} the world has changed"
    )
    because = (
        "the networks know nothing outside the range they were trained on; about as many new rows as test rows "
        f"({share:.1%}) should lie there, and {interval[0]:.3f} is the lower end of the test score's interval"
    )
    listed = sorted(np.argsort([-row["test rows outside"] for row in ranges], kind="stable")[:_MAX_COLUMNS])
    shown = f"{len(listed)} of {len(ranges)} columns" if len(listed) < len(ranges) else "all columns"
    if len(ranges) < len(reference.columns):
        shown += " of numbers"
    evidence: dict[str, Any] = {
        "test rows outside the training range": f"{n_outside} of {X.shape[0]} ({share:.1%})",
        f"training range of {shown}": [ranges[i] for i in listed],
    }
    if len(ranges) < len(reference.columns):
        evidence["test rows with a level that training has not seen"] = int(unseen.sum())
    return StepRecord(6, TITLE, decision, because, evidence)
