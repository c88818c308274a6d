"""Streams: networks that learn a table chunk by chunk, with statistics that grow with it."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sk_dlsteps.continuation import (
    Memory,
    check_alike,
    check_goes_on,
    encoded,
    prepare_again,
    rate_of,
    remember,
    train_further,
)
from sk_dlsteps.engine.batches import Rows
from sk_dlsteps.engine.carried import Carried
from sk_dlsteps.engine.device import threads
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.memory import telling_the_way_out
from sk_dlsteps.engine.rescaling import move_inputs, move_target
from sk_dlsteps.exceptions import StepwiseWarning, level_of_the_caller
from sk_dlsteps.inputs.data import Data
from sk_dlsteps.inputs.features import middle_and_scale
from sk_dlsteps.inputs.parameters import check_parameters
from sk_dlsteps.inputs.running import RunningTarget, inner_scaler, is_standard, stays, updated_scaler
from sk_dlsteps.inputs.scaler import check_reach
from sk_dlsteps.inputs.shapes import channels_of
from sk_dlsteps.plan import Plan, StepRecord
from sk_dlsteps.preparation import Prepared, prepare
from sk_dlsteps.step2_architecture.custom import ModuleChoice
from sk_dlsteps.step3_training.budget import choose_batch_size
from sk_dlsteps.step3_training.schedules import describe_schedule
from sk_dlsteps.step3_training.stream_schedules import choose_stream_schedule, part_of_call
from sk_dlsteps.step3_training.transfer import is_staged

if TYPE_CHECKING:
    from sk_dlsteps.recipe import StepwiseEstimator

# No rows are held out, and the range test plans for more passes than the one that each call makes.
_OF_A_STREAM = {"early_stopping": False, "max_epochs": "auto"}


def learn_chunk(estimator: StepwiseEstimator, X, y, sample_weight, classes=None) -> None:
    """Let every network go once through the rows of a chunk, and publish the result."""
    parameters = estimator.get_params(deep=False)
    check_parameters(parameters)
    check_goes_on(parameters, "chunks of a stream")
    if isinstance(parameters.get("class_weight"), str):
        raise ValueError(
            f"`class_weight={parameters['class_weight']!r}` needs all rows at once, and a stream shows only a chunk of "
            "them; give a dict of weights, or `sample_weight`"
        )
    first = not hasattr(estimator, "pipeline_")
    if first and is_staged(parameters):
        raise ValueError(
            "`init_from`, `unfreeze` and `differential_rates` go through stages, and a stream has no known end; begin "
            "with `fit` or `fine_tune`, whose networks `partial_fit` trains on"
        )
    if not first:
        estimator._memory.check_unchanged(parameters, "begin anew with a clone of the estimator")
        parameters |= estimator._memory.settings
    data, names = estimator._receive_chunk(X, y, sample_weight, classes)
    with threads(), telling_the_way_out():
        (begin if first else go_on)(estimator, parameters, data, names)


def begin(estimator: StepwiseEstimator, parameters: dict[str, Any], data: Data, names: dict[str, Any]) -> None:
    """Decide steps 1 to 3 on the first chunk and learn it."""
    n_rows = data.X.shape[0]
    prepared = prepare({**parameters, **_OF_A_STREAM}, data)
    # A first chunk of a few rows says nothing about the size of those to come.
    batch_size = choose_batch_size(parameters["batch_size"], n_rows)
    prepared = replace(prepared, plan=replace(prepared.plan, batch_size=max(batch_size, prepared.plan.batch_size)))
    schedule, n_calls = choose_stream_schedule(parameters, prepared.plan.lr_schedule)
    rate, curve = estimator._learning_rate(prepared)
    plan = replace(prepared.plan, learning_rate=rate, lr_schedule=schedule, stopping=None, max_epochs=1)
    prepared, fleet = _scaled(prepared)
    if stays(prepared.inputs.scaled.scaler):
        warnings.warn(
            f"The statistics of `scaler={parameters['scaler']!r}` are those of the first chunk, of {n_rows} rows, and "
            "stay as they are: it cannot learn more. Make the first chunk a fair sample, or use scaler='standard'.",
            StepwiseWarning,
            stacklevel=level_of_the_caller(),
        )
    record = StepRecord(
        2,
        "first chunk",
        f"its {n_rows} rows decided the architecture",
        "a stream has no known number of rows; N_s counts those of the first chunk",
        {"rows": n_rows},
    )
    prepared = replace(prepared, records=(*prepared.records, record))
    memory = remember(prepared, parameters, Carried())
    _learn(estimator, prepared, plan, n_calls, fleet, memory, curve, names)


def go_on(estimator: StepwiseEstimator, parameters: dict[str, Any], data: Data, names: dict[str, Any]) -> None:
    """Let the statistics of a fitted estimator grow by a chunk, and then its networks learn it."""
    check_alike(estimator, data, names, "begin anew with a clone of the estimator")
    memory, old = estimator._memory, estimator.plan_
    fleet = copy.deepcopy(estimator.pipeline_[-1].module_)
    _check_target(data.target, fleet.cost)
    data = encoded(estimator, data)
    shape = data.shape if ModuleChoice.of(parameters).is_own else None
    scaler = _grown(fleet, estimator.pipeline_.named_steps["scaler"], data, channels_of(shape))
    target = None
    if memory.target is not None:
        target = memory.target.and_also(RunningTarget.of(data.target.values, data.weight))
        move_target(fleet, *target.center_and_scale(fleet.cost.target_scaling))
    every = np.arange(data.X.shape[0])
    rows = Rows([every] * old.n_networks)
    prepared = prepare_again(estimator, {**parameters, **_OF_A_STREAM}, data, scaler, fleet, rows)
    check_reach(prepared.Z)
    schedule, n_calls = choose_stream_schedule(parameters, prepared.plan.lr_schedule)
    plan = replace(
        prepared.plan,
        learning_rate=rate_of(estimator),
        lr_schedule=schedule,
        stopping=None,
        max_epochs=1,
        n_rows=old.n_rows,
        batch_size=old.batch_size
        if parameters["batch_size"] == "auto"
        else max(int(parameters["batch_size"]), fleet.least_rows),
    )
    memory = replace(memory, target=target, carried=memory.carried or Carried())
    _learn(estimator, prepared, plan, n_calls, fleet, memory, estimator.lr_curve_, names)


def _learn(
    estimator: StepwiseEstimator,
    prepared: Prepared,
    plan: Plan,
    n_calls: int | None,
    fleet: Fleet,
    memory: Memory,
    curve: Any,
    names: dict[str, Any],
) -> None:
    """Train a fleet that nobody else holds on a prepared chunk, and publish it."""
    assert memory.carried is not None
    carried = memory.carried.copy(fresh_schedule=False)
    of_call = replace(plan, lr_schedule=part_of_call(plan.lr_schedule, memory.n_calls, n_calls))
    earlier = estimator.pipeline_[-1] if hasattr(estimator, "pipeline_") else None
    pipeline = train_further(prepared, of_call, fleet, carried, estimator, earlier)
    n_rows = prepared.data.X.shape[0]
    memory = replace(memory, carried=carried, n_calls=memory.n_calls + 1, n_rows=memory.n_rows + n_rows)
    record = StepRecord(
        3,
        "stream",
        f"{memory.n_calls} calls of partial_fit with {memory.n_rows} rows, each learnt once",
        f"every network learns all rows, with running statistics; {describe_schedule(plan.lr_schedule)}",
        {"calls": memory.n_calls, "rows": memory.n_rows, "rows of the last chunk": n_rows},
    )
    prepared = replace(prepared, records=(*prepared.records, record))
    estimator._conclude(prepared, plan, curve, pipeline, names, memory)


def _scaled(prepared: Prepared) -> tuple[Prepared, Fleet]:
    """The first chunk behind its scaler, and the networks that it is for."""
    scaled = prepared.inputs.scaled
    fleet = prepared.build(prepared.seeds)()
    fleet.input_center.copy_(scaled.final.center)
    fleet.input_factor.copy_(scaled.final.factor)
    scaled = replace(scaled, Z=scaled.as_scaled(scaled.Z), own=scaled.final, direct=False)
    return replace(prepared, inputs=replace(prepared.inputs, scaled=scaled)), fleet


def _grown(fleet: Fleet, scaler: Any, data: Data, channels: np.ndarray | None) -> Any:
    """The scaler after a chunk; networks behind a standard one are moved with it, so that predictions stay."""
    grown = updated_scaler(scaler, data.X, data.weight, channels)
    if not is_standard(scaler):
        return grown
    middle, scale, _ = middle_and_scale(inner_scaler(scaler), None, None)
    own_center, own_factor = (part[:, 0].cpu().double().numpy() for part in (fleet.input_center, fleet.input_factor))
    n = len(middle)
    old = middle + scale * own_center[:, :n], own_factor[:, :n] / scale
    middle, scale, constant = middle_and_scale(inner_scaler(grown), None, None)
    final = np.where(constant, 0.0, 1.0)
    move_inputs(fleet, old, (middle, final / scale), final)
    return grown


def _check_target(target: Any, cost: Any) -> None:
    """Raise if the cost cannot take a chunk's target; of counts, a chunk may hold zeros only."""
    counts_of_zero = cost.target_scaling == "scale" and not target.values.any()
    if not counts_of_zero:
        target.check(cost)
