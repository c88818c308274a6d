"""What enters the networks: the table's columns encoded and scaled, by each network's own training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from sk_dlsteps.engine.batches import Rows
from sk_dlsteps.engine.encoding import PiecewiseLinear
from sk_dlsteps.engine.precision import accelerators_precision
from sk_dlsteps.inputs.data import Data, key_of
from sk_dlsteps.inputs.door import check_for_sparse
from sk_dlsteps.inputs.encoder import (
    TableEncoder,
    columns_record,
    embedding_size,
    encode_columns,
    naming_encoded,
)
from sk_dlsteps.inputs.features import RAMP_STD, encoding_record, piecewise_linear
from sk_dlsteps.inputs.scaler import ScaledInputs, scale_inputs
from sk_dlsteps.inputs.shapes import Shape
from sk_dlsteps.plan import StepRecord
from sk_dlsteps.step2_architecture.custom import ModuleChoice
from sk_dlsteps.step3_training.transfer import is_staged


@dataclass(frozen=True)
class Inputs:
    """The table as the networks get it, and the fleet's first stage."""

    encoder: TableEncoder | None
    scaled: ScaledInputs
    embeddings: tuple[tuple[int, int], ...]
    stages: dict[str, Any]
    n_inputs: int
    power: float
    records: tuple[StepRecord, ...]


def prepare_inputs(
    p: dict[str, Any], data: Data, rows: Rows, seed: int, shape: Shape | None, dtype: torch.dtype
) -> Inputs:
    """Scale the table, with statistics of each network's own training rows, and encode its columns.

    Parameters
    ----------
    p : dict
        The estimator's parameters.
    data : Data
        The checked table.
    rows : Rows
        Who trains on what.
    seed : int
        For parts of a transformer that have no `random_state`.
    shape : tuple of int or None
        Of one row as the networks see it; None for a table.
    dtype : torch dtype
        Of the networks.

    """
    if shape is not None and p["numeric_encoding"] == "piecewise_linear":
        raise ValueError(
            f"`numeric_encoding='piecewise_linear'` adds columns to a table, and X has rows of shape {shape}; leave it "
            "at 'auto'."
        )
    encoder, X = _encoded(p, data, rows)
    scaled, key = _scaled(p, data, rows, encoder, X, seed, shape, dtype)
    wanted, encoding = _ramps(p, data, rows, scaled, key)
    n_added = 0 if encoding is None else encoding.n_added
    stages = {
        "input_center": scaled.own.center,
        "input_factor": scaled.own.factor,
        "input_clip": float(p["input_clip"]) if scaled.clipped and p["input_clip"] is not None else None,
        "input_encoding": encoding,
        "fills_gaps": (encoder is not None or data.shape is not None) and bool(np.isnan(scaled.Z.min(initial=0.0))),
    }
    embeddings = () if encoder is None else tuple((n, embedding_size(n)) for n in encoder.n_levels_)
    n_vectors = sum(size for _, size in embeddings)
    records = (
        *columns_record(encoder, embeddings),
        *scaled.records,
        *encoding_record(p["numeric_encoding"], wanted, scaled.n_plain, n_added, scaled.kind),
    )
    power = scaled.n_plain + n_added * RAMP_STD**2
    return Inputs(encoder, scaled, embeddings, stages, scaled.n_plain + n_added + n_vectors, power, records)


def _encoded(p: dict[str, Any], data: Data, rows: Rows) -> tuple[TableEncoder | None, Any]:
    """The encoder of a table with categories, and the numbers it makes; without them, the table as it is."""
    knows_gaps = isinstance(p["scaler"], str)
    return data.once(
        key_of(("encoded", id(rows), knows_gaps), p, "random_state"),
        lambda: encode_columns(data.X, data.categorical, rows.train, not knows_gaps, data.weight),
    )


def _scaled(
    p: dict[str, Any],
    data: Data,
    rows: Rows,
    encoder: TableEncoder | None,
    X: Any,
    seed: int,
    shape: Shape | None,
    dtype: torch.dtype,
) -> tuple[ScaledInputs, tuple | None]:
    """The scaled table, and what it depends on."""
    # A callback may save the net or ask it for predictions while its statistics are not the final ones, and after a
    # stage they are.
    direct = not p["callbacks"] and not is_staged(p)
    keeps_gaps = shape is not None and ModuleChoice.of(p).keeps_gaps
    key = key_of(("scaled", id(rows), direct, shape, keeps_gaps), p, "scaler", "random_state")
    n_plain = X.shape[1] if encoder is None else encoder.n_plain_

    def scale() -> ScaledInputs:
        with naming_encoded(encoder):
            return scale_inputs(
                p["scaler"],
                X,
                n_plain,
                data.target,
                rows.train,
                data.weight,
                seed,
                dtype,
                data.once,
                direct=direct,
                shape=shape,
                keeps_gaps=keeps_gaps,
            )

    scaled = data.once(key, scale)
    if sparse.issparse(scaled.Z):
        check_for_sparse(p, p["mixed_precision"] or accelerators_precision(p["accelerator"]))
    return scaled, key


def _ramps(
    p: dict[str, Any], data: Data, rows: Rows, scaled: ScaledInputs, key: tuple | None
) -> tuple[str | None, PiecewiseLinear | None]:
    """How numbers are encoded, and the ramps that do it, if any."""
    wanted = p["numeric_encoding"]
    if wanted == "auto":
        bends = data.target.task == "regression" and not ModuleChoice.of(p).is_own and not sparse.issparse(scaled.Z)
        wanted = "piecewise_linear" if bends else None
    if not wanted:
        return wanted, None
    return wanted, data.once(
        None if key is None else ("encoding", *key),
        lambda: piecewise_linear(scaled.Z[:, : scaled.n_plain], rows.train, *scaled.own, data.weight),
    )
