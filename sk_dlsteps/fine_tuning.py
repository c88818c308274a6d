"""Trainings in stages: layers that join one after the other, each stage with a rate and a schedule of its own."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from skorch.callbacks import Freezer, Unfreezer

from sk_dlsteps.continuation import check_goes_on, remember, train_further
from sk_dlsteps.engine.carried import Carried
from sk_dlsteps.engine.device import threads
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.interrupt import Interrupted
from sk_dlsteps.engine.mlp_fleet import MLPFleet
from sk_dlsteps.engine.net import FleetNet
from sk_dlsteps.engine.taking_over import mix_hidden_layers
from sk_dlsteps.plan import Stage, StepRecord
from sk_dlsteps.preparation import Prepared, stage_plan
from sk_dlsteps.step3_training.lr_finder import LRCurve, warn_if_unreliable
from sk_dlsteps.step3_training.transfer import (
    NEXT_RATE,
    RATE_SHARE,
    SOURCE_SHARE,
    choose_scales,
    choose_stages,
    mixes,
    stage_record,
)
from sk_dlsteps.sweep import find_rate

if TYPE_CHECKING:
    from sk_dlsteps.recipe import StepwiseEstimator


def begin_stages(
    prepared: Prepared, parameters: dict[str, Any]
) -> tuple[Prepared, Fleet, tuple[Stage, ...], tuple[str, ...]]:
    """The networks as they begin, frozen as in the first of the stages, and what else is decided for them.

    Parameters
    ----------
    prepared : Prepared
        Everything decided before the rate.
    parameters : dict
        The estimator's.

    """
    check_goes_on(parameters, "fine-tuning")
    builder = prepared.build(prepared.seeds)
    heritage, records = prepared.heritage, prepared.records
    new: tuple[str, ...] = ()
    fleet = builder()
    if heritage is not None:
        taken = heritage.fill(fleet)
        new, share = taken.new, 1.0
        if isinstance(fleet, MLPFleet) and not fleet.norms and mixes(parameters["unfreeze"], fleet.layers, new):
            share = SOURCE_SHARE
            mix_hidden_layers(fleet, cast(MLPFleet, builder()), share)
        records = (*records, heritage.record(taken, fleet.layers, share))
    layers, inherits = fleet.layers, heritage is not None
    # What the user's module keeps fixed is nobody else's to train.
    fixed = fleet.fixed_layers
    moving = [layer for layer in layers if layer not in fixed]
    stages = choose_stages(parameters["unfreeze"], moving, new, prepared.plan.max_epochs, inherits, fleet.depths)
    # By measurement, a module's layers are better off with one rate (docs/transfer.md, "Choosing the defaults").
    falls = inherits and isinstance(fleet, MLPFleet)
    scales = choose_scales(parameters["differential_rates"], layers, falls, fleet.depths)
    stages = tuple(
        replace(stage, frozen=tuple(layer for layer in layers if layer not in stage.trained), scales=scales)
        for stage in stages
    )
    _check_callbacks(parameters["callbacks"], stages)
    fleet.rate_scales = scales or None
    fleet.freeze(stages[0].frozen)
    # The net needs no weights but those that it is given.
    prepared = replace(prepared, records=records, build=lambda seeds: builder)
    return prepared, fleet, stages, new


def _check_callbacks(callbacks: Any, stages: tuple[Stage, ...]) -> None:
    """Raise for callbacks that freeze what the next stage would train again."""
    kinds = [cb[1] if isinstance(cb, tuple) else cb for cb in callbacks or ()]
    for kind in (cb if isinstance(cb, type) else type(cb) for cb in kinds):
        if len(stages) > 1 and issubclass(kind, Freezer | Unfreezer):
            raise ValueError(
                f"`callbacks` holds {kind.__name__}, and the training goes through {len(stages)} stages, which freeze "
                "layers themselves; say which layers train by `unfreeze` instead, or give `unfreeze=True`"
            )


def fit_in_stages(estimator: StepwiseEstimator, prepared: Prepared, names: dict[str, Any]) -> None:
    """Train stage by stage, and publish the result."""
    parameters = estimator.get_params(deep=False)
    prepared, fleet, stages, new = begin_stages(prepared, parameters)
    inherits = estimator.init_from is not None
    carried = Carried(fresh_schedule=inherits)
    done: list[Stage] = []
    nets: list[FleetNet] = []
    reasons: list[str] = []
    for number, stage in enumerate(stages):
        fleet.freeze(stage.frozen)
        own = replace(prepared, plan=stage_plan(prepared.plan, parameters, stage.n_epochs))
        if prepared.checkpoint is not None:
            own = replace(own, checkpoint=prepared.checkpoint.of_training(number))
        last = done[-1].learning_rate if done else None
        rate, reason, own_curve = _rate(estimator, prepared, fleet, last, bool({*stage.trained} - {*new}) and inherits)
        own_plan = replace(own.plan, learning_rate=rate)
        if number:
            # Where everybody's shuffles are; moments of other rates and fewer layers would only disturb.
            carried = Carried(True, generators=carried.generators, noise=carried.noise)
        try:
            trained = train_further(own, own_plan, fleet, carried, estimator, nets[-1] if nets else None)
        except Interrupted:
            # What a stage has changed in less than an epoch is undone.
            if not nets:
                raise
            nets[-1].interrupted_ = True
            break
        pipeline, plan, curve = trained, own_plan, own_curve
        fleet = pipeline[-1].module_
        done.append(replace(stage, learning_rate=rate, lr_curve=curve))
        nets.append(pipeline[-1])
        reasons.append(reason)
        if pipeline[-1].ended_by_callback_ or pipeline[-1].interrupted_:
            break
    lengths = np.diff([0, *(len(net.history) for net in nets)]).tolist()
    _sum_up(nets)
    prepared = replace(prepared, records=(*prepared.records, *_records(done, reasons, lengths)))
    plan = replace(plan, max_epochs=prepared.plan.max_epochs, stages=tuple(done))
    memory = remember(prepared, parameters, carried if estimator.warm_start else None)
    estimator._conclude(prepared, plan, curve, pipeline, names, memory)


@threads()
def stage_finder(prepared: Prepared, parameters: dict[str, Any]) -> Prepared:
    """What the range test of the first stage is run on."""
    prepared, fleet, *_ = begin_stages(prepared, parameters)
    return _on_copies(prepared, fleet)


def _on_copies(prepared: Prepared, fleet: Fleet) -> Prepared:
    """The same for copies of a fleet, which are swept in its place, for as many steps as the whole fit is worth."""
    return replace(prepared, build=lambda seeds: lambda: copy.deepcopy(fleet))


def _rate(
    estimator: StepwiseEstimator, prepared: Prepared, fleet: Fleet, last: float | None, taken: bool
) -> tuple[float, str, LRCurve | None]:
    """A stage's rate: the one given, or found on copies of the networks as they are now, and why that one."""
    if estimator.learning_rate != "auto":
        return float(estimator.learning_rate), "the rate was chosen by you", None
    curve = find_rate(_on_copies(prepared, fleet))
    if not curve.reliable and last is not None:
        problem = curve.reason.removesuffix("; the default is used")
        return NEXT_RATE * last, f"rate: {problem}; {NEXT_RATE:g} of the last stage's is used", curve
    warn_if_unreliable(curve)
    if taken and isinstance(fleet, MLPFleet):
        words = f"rate: {curve.reason}; {RATE_SHARE:g} of it, for weights that were taken over"
        return RATE_SHARE * curve.learning_rate, words, curve
    return curve.learning_rate, f"rate: {curve.reason}", curve


def _sum_up(nets: list[FleetNet]) -> None:
    """Let the last stage's net tell of all epochs: which was the best, and how often networks were rescued."""
    nets[-1].best_epochs_ = nets[-1].loss_curves_.best_epochs
    nets[-1].rescues_ = np.sum([net.rescues_ for net in nets], axis=0)


def _records(stages: list[Stage], reasons: list[str], lengths: list[int]) -> list[StepRecord]:
    """What trained when, and at which rates."""
    return [
        stage_record(number, stages, reason, n_epochs)
        for number, (reason, n_epochs) in enumerate(zip(reasons, lengths, strict=True))
    ]
