"""Whether what was read is a model that can predict: parameters, attributes, shapes, and a first prediction."""

from __future__ import annotations

import math
import warnings
from itertools import chain
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline

from sk_dlsteps.continuation import Memory
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.history import ColumnHistory
from sk_dlsteps.engine.loss_curves import LossCurves
from sk_dlsteps.engine.mlp_fleet import MLPFleet
from sk_dlsteps.engine.net import FleetNet
from sk_dlsteps.export.annotations import is_of_type
from sk_dlsteps.inputs.encoder import TableEncoder
from sk_dlsteps.inputs.levels import Levels
from sk_dlsteps.inputs.parameters import check_parameters
from sk_dlsteps.plan import Plan, StepRecord
from sk_dlsteps.step3_training.lr_finder import LRCurve
from sk_dlsteps.step6_real_world.reference import Reference

# What every fit leaves, and of which types.
FITTED: dict[str, Any] = {
    "n_features_in_": int,
    "input_shape_": tuple[int, ...] | None,
    "_trained_on_sparse": bool,
    "pipeline_": Pipeline,
    "plan_": Plan,
    "steps_": tuple[StepRecord, ...],
    "loss_": str,
    "hidden_units_": tuple[int, ...],
    "learning_rate_": float,
    "lr_curve_": LRCurve | None,
    "history_": ColumnHistory,
    "loss_curves_": LossCurves,
    "n_iter_": int,
    "oof_prediction_": np.ndarray | None,
    "training_score_": float,
    "validation_score_": float | None,
    "validation_error_": float | None,
    "n_validation_rows_": int,
    "validation_weighted_": bool | np.bool_,
    "reference_": Reference,
    "_memory": Memory,
}
# What some models have besides.
OPTIONAL: dict[str, Any] = {
    "feature_names_in_": np.ndarray,
    "classes_": np.ndarray,
    "temperature_": float,
    "_sklearn_output_config": dict[str, str],
}


def check_model(model: Any, n_bytes: int) -> None:
    """Raise a ValueError if an estimator cannot be what a fit left.

    Parameters
    ----------
    model : StepwiseRegressor or StepwiseClassifier
        Fitted or not.
    n_bytes : int
        Of the file, which has at least one for each column of the model's table.

    """
    parameters = model.get_params(deep=False)
    check_parameters(parameters)
    for name, hint in OPTIONAL.items():
        if name in vars(model) and not is_of_type(getattr(model, name), hint):
            raise ValueError(f"its `{name}` is none")
    if not set(getattr(model, "_sklearn_output_config", {}).values()) <= {"default", "pandas", "polars"}:
        raise ValueError("its `_sklearn_output_config` is none")
    if "pipeline_" not in vars(model):
        return
    for name, hint in FITTED.items():
        if name not in vars(model) or not is_of_type(getattr(model, name), hint):
            raise ValueError(f"its `{name}` is missing, or is none")
    if model.n_iter_ < 0:
        raise ValueError(f"its `n_iter_` is {model.n_iter_}")
    steps = dict(model.pipeline_.steps)
    if list(steps)[-2:] != ["scaler", "net"] or set(steps) - {"columns", "scaler", "net"}:
        raise ValueError("its pipeline has other steps than a model's")
    if not isinstance(steps["net"], FleetNet) or not isinstance(steps.get("columns"), TableEncoder | None):
        raise ValueError("its pipeline has other steps than a model's")
    if not 0 < model.n_features_in_ <= n_bytes:
        raise ValueError(f"it has {model.n_features_in_} columns and only {n_bytes} bytes")
    if model.input_shape_ is not None and math.prod(model.input_shape_) != model.n_features_in_:
        raise ValueError("the shape of its rows is not that of its columns")
    if hasattr(model, "feature_names_in_"):
        _check_names(model.feature_names_in_, model.n_features_in_)
    _check_fleet(steps["net"].module_, model.plan_, steps["net"])
    if "columns" in steps:
        _check_encoder(steps["columns"], model, steps["net"].module_)
    _check_prediction(model)


def _check_names(names: np.ndarray, n_columns: int) -> None:
    """Raise if names of columns are not one for each, or not text."""
    if names.shape != (n_columns,) or len(set(names)) != n_columns:
        raise ValueError("its columns are not as many as their names")
    if not all(isinstance(name, str) for name in names):
        raise ValueError("its columns have names that are no text")


def _check_fleet(fleet: Fleet, plan: Plan, net: FleetNet) -> None:
    """Raise if networks are not those of their plan, or hold what is no number."""
    ramps, n_plain = fleet.input_encoding, fleet.input_center.shape[-1]
    n_targets = max(1, plan.n_outputs // max(1, len(fleet.cost.quantiles)))
    expected: dict[str, tuple[int, ...]] = {
        "input_center": (1, n_plain),
        "input_factor": (1, n_plain),
        "temperature": (1, n_targets * len(fleet.cost.quantiles) or 1),
        **dict.fromkeys(("target_center", "target_scale", "target_origin", "target_unit"), (1, n_targets)),
    }
    if isinstance(fleet, MLPFleet):
        expected |= _expected_stacks(fleet, plan)
    if fleet.class_centers is not None:
        expected |= {"class_centers": (n := len(fleet.class_centers[0]), plan.n_outputs), "class_shares": (n, 1)}
    state = fleet.state_dict()
    for name, shape in expected.items():
        if name in state and tuple(state[name].shape) != (plan.n_networks, *shape):
            raise ValueError(f"its networks' `{name}` has the shape {tuple(state[name].shape)}")
    missing = [name for name in expected if name not in state and not name.startswith("target_")]
    if missing or fleet.n_networks != plan.n_networks or len(net.seeds) != plan.n_networks:
        raise ValueError(f"its networks are not the {plan.n_networks} of their plan")
    for name, tensor in state.items():
        own = name.rpartition(".")[2]
        if not (tensor.is_floating_point() or own in ("order", "columns", "num_batches_tracked")):
            raise ValueError(f"its networks' `{name}` holds no floats")
        if own not in ("class_centers", "class_shares", "low", "high") and not bool(tensor.isfinite().all()):
            raise ValueError(f"its networks' `{name}` holds what is no number")
    if isinstance(fleet, MLPFleet) and any(p.dtype != net.dtype for p in fleet.parameters()):
        raise ValueError(f"its networks' weights are not of {net.dtype}")
    if ramps is not None and not all(0 <= column < n_plain for column in ramps.columns.tolist()):
        raise ValueError("its ramps are of columns that are not there")


def _expected_stacks(fleet: MLPFleet, plan: Plan) -> dict[str, tuple[int, ...]]:
    """Shape of each stack of multilayer perceptrons, for one network."""
    layers = (plan.n_inputs, *plan.hidden_units, plan.n_outputs)
    last = len(layers) - 2
    shapes: dict[str, tuple[int, ...]] = {
        f"weights.{i}": layers[i : i + 2] if i < last else (layers[-1], layers[-2]) for i in range(last + 1)
    }
    shapes |= {f"biases.{i}": (1, width) for i, width in enumerate(layers[1:])}
    if len(fleet.norms):
        parts = ("gain", "shift", "mean", "variance")
        shapes |= {f"norms.{i}.{part}": (1, layers[i + 1]) for i in range(last) for part in parts}
    if len(fleet.weights) != last + 1 or len(fleet.biases) != last + 1 or len(fleet.norms) not in (0, last):
        raise ValueError("its networks have other layers than their plan")
    if fleet.units.shape != (last, plan.n_networks) or (fleet.units != np.array(layers[1:-1])[:, None]).any():
        raise ValueError("its networks have other units than their plan")
    return shapes


def _check_encoder(encoder: TableEncoder, model: Any, fleet: Fleet) -> None:
    """Raise if an encoder's columns, levels and codes do not go together, or its codes have no vectors."""
    one_hot, embedded = encoder._one_hot, encoder._embedded
    names = [list(getattr(known, "feature_names_in_", ())) for known in (encoder, model)]
    every = list(range(model.n_features_in_))
    if sorted([*encoder._numbers_at, *one_hot, *embedded]) != every or names[0] != names[1]:
        raise ValueError("its columns are not those of its encoder")
    for levels in (*one_hot.values(), *embedded.values()):
        _check_levels(levels)
    n_levels = tuple(levels.n_codes for levels in embedded.values())
    n_one_hot = tuple(levels.n_codes - 1 for levels in one_hot.values())
    counts = [len(encoder._numbers_at), len(encoder._missing_at), sum(n_one_hot), len(embedded)]
    told = (encoder.n_levels_, encoder.n_one_hot_, list(encoder.counts_.values()), encoder.n_plain_)
    if told != (n_levels, n_one_hot, counts, sum(counts) - len(embedded)):
        raise ValueError("its encoder's columns are not as many as its levels")
    if not all(0 <= j < counts[0] for j in encoder._missing_at) or np.shape(encoder.means_) != (counts[0],):
        raise ValueError("its encoder's numbers are not as many as its columns")
    if isinstance(fleet, MLPFleet):
        tables = () if fleet.embeddings is None else tuple(stack.shape[1] for stack in fleet.embeddings.stacks)
    else:
        tables = tuple(table.num_embeddings for table in getattr(fleet.get_submodule("modules_.0"), "tables", ()))
    if tables != n_levels or fleet.n_codes != len(n_levels):
        raise ValueError("its encoder's codes are not those of its networks")


def _check_levels(levels: Levels) -> None:
    """Raise if a category's codes are not as many as it says."""
    codes = [*levels.code_of.values(), levels.missing or 1]
    if not all(1 <= code < max(2, levels.n_codes) for code in codes) or len(levels.names) != levels.n_codes - 1:
        raise ValueError("a category's codes are not those of its levels")


def _check_prediction(model: Any) -> None:
    """Raise if the model cannot predict rows of the kinds that it takes."""
    with warnings.catch_warnings():
        # The rows have no names.
        warnings.simplefilter("ignore", UserWarning)
        for X in _tables(model):
            n_rows = X.shape[0]
            embeds = model.pipeline_[-1].module_.class_centers is not None
            if len(model.predict(X)) != n_rows or (embeds and len(model.transform(X)) != n_rows):
                raise ValueError("it does not predict a value for each row")
            if hasattr(model, "classes_") and model.predict_proba(X).shape != (n_rows, len(model.classes_)):
                raise ValueError("its classes are not those of its networks")


def _tables(model: Any) -> list[Any]:
    """Rows that every model of its kind takes: of ones and first levels, of nothing at all, or sparse ones."""
    # A power transform takes no zeros.
    X: Any = np.ones((2, model.n_features_in_))
    if model._trained_on_sparse:
        return [X, sparse.csr_array(X)]
    if model._encodes_columns:
        encoder, X = model.pipeline_.named_steps["columns"], X.astype(object)
        for i, levels in chain(encoder._one_hot.items(), encoder._embedded.items()):
            X[0, i] = next(iter(levels.code_of), None)
        X[1] = None
    elif not model.pipeline_[-1].module_.keeps_gaps:
        # Of networks that want to see gaps, the user's scaler may take none.
        X[1] = np.nan
    return [X]
