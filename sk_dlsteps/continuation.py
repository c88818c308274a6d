"""Fits that go on from fitted networks: what an estimator remembers for them, and warm starts."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline

from sk_dlsteps.engine.batches import Rows
from sk_dlsteps.engine.carried import Carried
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.interrupt import deferred_interrupt
from sk_dlsteps.engine.net import FleetNet
from sk_dlsteps.epoch_tasks import told_to_callbacks
from sk_dlsteps.inheritance import INHERITED, with_inherited
from sk_dlsteps.inputs.data import Data
from sk_dlsteps.inputs.network_inputs import Inputs
from sk_dlsteps.inputs.parameters import check_parameters
from sk_dlsteps.inputs.running import RunningTarget
from sk_dlsteps.inputs.scaler import ScaledInputs, Statistics
from sk_dlsteps.plan import Plan, StepRecord
from sk_dlsteps.preparation import (
    Prepared,
    as_pipeline,
    loss_weight,
    make_net,
    make_plan,
    network_seeds,
    rows_of_networks,
    told_by,
)
from sk_dlsteps.resuming import leave_checkpoint, open_checkpoint
from sk_dlsteps.sameness import same_setting
from sk_dlsteps.step2_architecture.custom import PREFIX
from sk_dlsteps.step3_training.optimizers import OptimizerChoice
from sk_dlsteps.step3_training.schedules import steers_the_rate

if TYPE_CHECKING:
    from sk_dlsteps.recipe import StepwiseEstimator

# What the networks' shape and inputs depend on: it stays as it was while they are trained further.
SETTINGS = (
    *INHERITED,
    "loss",
    "dropout",
    "n_estimators",
    "quantiles",
    "mixed_precision",
    # What was frozen and at which share of the rate the layers trained goes on too.
    "init_from",
    "unfreeze",
    "differential_rates",
)


@dataclass(frozen=True)
class Memory:
    """What a fitted estimator remembers, beside its networks, in order to train them further.

    Attributes
    ----------
    entropy : int
        Root of all seeds: the same rows have the same folds again, whatever `random_state` is.
    given : dict
        Parameters that may not change from then on, as the estimator had them.
    settings : dict
        The same as they acted, those that a source decided included.
    target : RunningTarget or None
        Statistics of all targets so far; None for classes.
    carried : Carried or None
        State of the optimizer and the shuffles, if somebody may want to go on.
    n_calls : int
        Calls of `partial_fit` so far.
    n_rows : int
        Rows that those have brought.

    """

    entropy: Any
    given: dict[str, Any]
    settings: dict[str, Any]
    target: RunningTarget | None
    carried: Carried | None = None
    n_calls: int = 0
    n_rows: int = 0

    def begun_from(self, source: Any) -> Memory:
        """The same with another object as the source."""
        own = {"init_from": source}
        return replace(self, given={**self.given, **own}, settings={**self.settings, **own})

    def check_unchanged(self, parameters: dict[str, Any], way_out: str) -> None:
        """Raise if a parameter that the present networks were made with has another value now."""
        now = _shaping(parameters)
        for name in {**self.given, **now}:
            before, value = self.given.get(name), now.get(name)
            if not same_setting(before, value):
                raise ValueError(
                    f"`{name}` was {before!r} when the networks were made and is {value!r} now; networks "
                    f"that are trained further keep their shape. Set it back, or {way_out}."
                )


def remember(prepared: Prepared, parameters: dict[str, Any], carried: Carried | None = None) -> Memory:
    """What is remembered of a fit that began anew."""
    data = prepared.data
    target = None
    if data.target.classes is None:
        target = RunningTarget.of(data.target.values, data.weight)
    return Memory(prepared.entropy, _shaping(parameters), _shaping(with_inherited(parameters)), target, carried)


def _shaping(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters that are in `SETTINGS`, or passed on to a module."""
    return {name: value for name, value in parameters.items() if name in SETTINGS or name.startswith(PREFIX)}


def encoded(estimator: StepwiseEstimator, data: Data) -> Data:
    """Further rows as the fitted encoder gives them; the same where there is none."""
    encoder = estimator.pipeline_.named_steps.get("columns")
    if encoder is None:
        return data
    X_valid = None if data.X_valid is None else encoder.transform(data.X_valid)
    return replace(data, X=encoder.transform(data.X), X_valid=X_valid, given=data.X)


def check_goes_on(parameters: dict[str, Any], what: str) -> None:
    """Raise for what a training that goes on from an earlier one cannot have."""
    if parameters["accelerator"] is not None:
        raise ValueError(f"`accelerator` shares whole fits only, and not {what}; set it to None")
    if steers_the_rate(parameters["callbacks"]):
        raise ValueError(
            f"`callbacks` holds an LRScheduler, which does not go on with {what}; use `lr_schedule` instead"
        )


def prepare_again(
    estimator: StepwiseEstimator, parameters: dict[str, Any], data: Data, scaler: Any, fleet: Fleet, rows: Rows
) -> Prepared:
    """What is decided for training a fitted estimator's networks on further rows, but for the learning rate."""
    old, memory = estimator.plan_, estimator._memory
    Z = scaler.transform(data.X)
    if rows.X_valid is not None:
        rows = replace(rows, X_valid=scaler.transform(rows.X_valid))
    # What was complete so far may have gaps now, and what calibrated the networks is out of date.
    fleet.fills_gaps |= not sparse.issparse(Z) and bool(np.isnan(Z.min(initial=0.0)))
    fleet.temperature.fill_(1.0)
    rows = replace(rows, weight=loss_weight(parameters.get("class_weight"), data), weight_valid=data.weight_valid)
    plan = make_plan(parameters, data, rows, fleet.cost, (old.n_inputs, *old.hidden_units, old.n_outputs), scaler)
    plan = replace(plan, stages=old.stages)
    if old.flops_per_row is not None:
        plan = told_by(fleet, plan, parameters["n_threads"])
    statistics = Statistics(fleet.input_center, fleet.input_factor)
    scaled = ScaledInputs(
        scaler, Z, fleet.input_center.shape[-1], statistics, statistics, False, fleet.input_clip is not None, "scaled"
    )
    _, _, network_seed, _ = np.random.SeedSequence(memory.entropy).spawn(4)
    return Prepared(
        data,
        plan,
        fleet.cost,
        rows,
        Inputs(estimator.pipeline_.named_steps.get("columns"), scaled, (), {}, old.n_inputs, 0.0, ()),
        parameters["n_threads"] == "auto",
        OptimizerChoice(parameters["optimizer"], float(parameters["momentum"]), float(parameters["weight_decay"])),
        lambda seeds: estimator.pipeline_[-1].module,
        network_seeds(network_seed, old.n_networks),
        (),
        tuple(record for record in estimator.steps_ if record.number < 3 or record.title.startswith("stage ")),
        memory.entropy,
    )


def train_further(
    prepared: Prepared,
    plan: Plan,
    fleet: Fleet,
    carried: Carried,
    estimator: StepwiseEstimator,
    earlier: FleetNet | None = None,
) -> Pipeline:
    """Train a fleet that nobody else holds, behind its scaler; an earlier net's history goes on, as a copy."""
    net: FleetNet = make_net(prepared, plan, estimator.callbacks, estimator.verbose)
    net.initialize_on(fleet.to(plan.device))
    if earlier is not None:
        *rows, last = earlier.history
        # Only the last row may still be written into, by a callback.
        net.history_ = type(earlier.history)([*rows, copy.deepcopy(last)])
        net.loss_curves_ = earlier.loss_curves_
    own = {"carried": carried, **prepared.watched}
    net.partial_fit(prepared.Z, prepared.data.target.values, rows=prepared.rows, **own)
    return as_pipeline(prepared, net)


def rate_of(estimator: StepwiseEstimator) -> float:
    """The rate given, or the one that was found for the first rows."""
    given = estimator.learning_rate
    return estimator.learning_rate_ if given == "auto" else float(given)


def continue_fit(estimator: StepwiseEstimator, X, y, sample_weight, X_val, y_val, sample_weight_val) -> None:
    """Train the networks of a fitted estimator for `max_epochs` more epochs (``warm_start=True``)."""
    parameters = estimator.get_params(deep=False)
    check_parameters(parameters)
    check_goes_on(parameters, "warm starts")
    memory, fleet = estimator._memory, copy.deepcopy(estimator.pipeline_[-1].module_)
    way_out = "fit with warm_start=False, which begins anew"
    memory.check_unchanged(parameters, way_out)
    parameters |= memory.settings
    data, names = estimator._receive(X, y, sample_weight, X_val, y_val, sample_weight_val, further=True)
    check_alike(estimator, data, names, way_out)
    data = encoded(estimator, data)

    fold_seed = np.random.SeedSequence(memory.entropy).spawn(4)[0]
    rows = rows_of_networks(parameters, data, estimator.plan_.n_networks, fold_seed)
    prepared = prepare_again(estimator, parameters, data, estimator.pipeline_.named_steps["scaler"], fleet, rows)
    begins_from = fleet, memory.carried, rate_of(estimator)
    with (
        open_checkpoint(parameters, data, *begins_from) as checkpoint,
        deferred_interrupt(parameters["on_interrupt"] == "keep") as interrupt,
    ):
        if checkpoint is not None:
            checkpoint = checkpoint.with_entropy(memory.entropy)
        prepared = replace(prepared, checkpoint=checkpoint, interrupt=interrupt)
        with told_to_callbacks(estimator, prepared, names, X, y, sample_weight, estimator.n_iter_) as prepared:
            _train_on(estimator, prepared, fleet, memory, names)
        leave_checkpoint(estimator, checkpoint)


def _train_on(
    estimator: StepwiseEstimator, prepared: Prepared, fleet: Fleet, memory: Memory, names: dict[str, Any]
) -> None:
    """Train the networks further, and publish the result."""
    plan = replace(prepared.plan, learning_rate=rate_of(estimator))
    carried = (memory.carried or Carried()).copy(fresh_schedule=True)
    pipeline = train_further(prepared, plan, fleet, carried, estimator, estimator.pipeline_[-1])
    frozen = [layer for layer in fleet.layers if layer in fleet.frozen]
    n_further = len(pipeline[-1].history) - estimator.n_iter_
    record = StepRecord(
        3,
        "warm start",
        f"the networks went on after {estimator.n_iter_} epochs, for {n_further}"
        + (f"; {', '.join(frozen)} frozen" if frozen else ""),
        "warm_start=True; scaling, architecture and learning rate stay, the schedule begins anew",
        {"epochs before": estimator.n_iter_, "with the optimizer's state": memory.carried is not None},
    )
    prepared = replace(prepared, records=(*prepared.records, record))
    memory = replace(memory, carried=carried)
    estimator._conclude(prepared, plan, estimator.lr_curve_, pipeline, names, memory)


def check_alike(estimator: StepwiseEstimator, data: Data, names: dict[str, Any], way_out: str) -> None:
    """Raise if a table has other columns, targets or classes than the one the networks were made for."""
    n_targets = None if data.target.classes is not None else estimator._memory.target.mean.size
    pairs: dict[str, tuple[Any, Any]] = {
        "The number of columns of `X`": (estimator.n_features_in_, names["n_features_in_"]),
        "The number of columns of `y`": (n_targets, None if n_targets is None else data.target.n_columns),
    }
    if estimator.input_shape_ != names["input_shape_"]:
        pairs["The shape of the rows of `X`"] = estimator.input_shape_, names["input_shape_"]
    for name, what in (("feature_names_in_", "The names of the columns of `X`"), ("classes_", "The classes of `y`")):
        if hasattr(estimator, name) and name in names:
            pairs[what] = getattr(estimator, name).tolist(), names[name].tolist()
    if names["_trained_on_sparse"] and not estimator._trained_on_sparse:
        raise ValueError(f"X is sparse, and the networks know dense tables only; give X.toarray(), or {way_out}.")
    for what, (before, now) in pairs.items():
        if before != now:
            verb = "were" if isinstance(before, list) else "was"
            raise ValueError(
                f"{what} {verb} {_shown(before)} and would be {_shown(now)} now; give the same, or {way_out}."
            )


def _shown(value: Any) -> str:
    """A short text of some names."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
