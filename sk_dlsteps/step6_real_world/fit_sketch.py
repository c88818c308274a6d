"""The sketch that a fit leaves in `reference_`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sk_dlsteps.inputs.data import Data
from sk_dlsteps.inputs.target import ClassTarget
from sk_dlsteps.step6_real_world.model_outputs import ModelOutputs
from sk_dlsteps.step6_real_world.reference import Reference, target_columns
from sk_dlsteps.step6_real_world.sketches import MODEL_KNOTS, some_rows

if TYPE_CHECKING:
    from sk_dlsteps.engine.batches import Rows


def sketch_fit(
    data: Data,
    encoder: Any,
    names: Sequence[Any] | None,
    rows: Rows,
    held_out: np.ndarray | None,
    predict: Callable[[Any], np.ndarray],
    before: Reference | None = None,
) -> Reference:
    """Sketch the table, the target and the predictions of a fit.

    Parameters
    ----------
    data : Data
        The checked table.
    encoder : TableEncoder or None
        Fitted encoder of its columns.
    names : sequence or None
        What its columns are called.
    rows : Rows
        Who trained and who validated on what.
    held_out : ndarray or None
        Predictions for the table's rows by networks that held them out.
    predict : callable
        Predictions of all networks together for scaled rows; for validation data of their own.
    before : Reference or None
        Of the chunks of a stream so far, which these rows join.

    Returns
    -------
    reference : Reference
        The inputs' part is shared by all fits on one table.

    """
    target = data.target
    labels = target.labels.tolist() if isinstance(target, ClassTarget) else None
    sketches = {
        name: column.sketch(data.weight, MODEL_KNOTS)
        for name, column in target_columns(target.values, target.task, labels).items()
    }
    if before is not None:
        return before.also(data.table, data.weight).with_target(sketches, before.target)
    categorical = None if encoder is None else np.asarray(encoder.categorical, dtype=bool)
    key = ("reference", None if categorical is None else categorical.tobytes())
    reference = data.once(key, lambda: Reference.of(data.table, categorical, names, data.shape, data.weight))
    values, weight = target.values, data.weight
    if rows.X_valid is not None and rows.y_valid is not None:
        own = some_rows(rows.X_valid.shape[0])
        held_out, values = predict(rows.X_valid[own]), rows.y_valid[own]
        weight = None if rows.weight_valid is None else rows.weight_valid[own]
    outputs = None
    if held_out is not None:
        outputs = ModelOutputs.of(held_out, values, target.task, labels, rows, weight)
    return reference.with_target(sketches).with_outputs(outputs)
