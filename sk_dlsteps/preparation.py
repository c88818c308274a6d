"""From checked data to decisions, from decisions to a trained pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from skorch.callbacks import LRScheduler

from sk_dlsteps.engine.batches import FleetData, Rows, to_tensors
from sk_dlsteps.engine.device import choose_device, choose_threads, threads
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.net import FleetNet
from sk_dlsteps.engine.optimizers import set_rate
from sk_dlsteps.inputs.features import RAMP_STD, encoding_record, piecewise_linear
from sk_dlsteps.inputs.folds import choose_rows
from sk_dlsteps.inputs.scaler import scale_inputs
from sk_dlsteps.inputs.target import ClassTarget, RegressionTarget
from sk_dlsteps.plan import Plan, StepRecord
from sk_dlsteps.step1_cost.choice import choose_cost
from sk_dlsteps.step1_cost.cost import Cost
from sk_dlsteps.step2_architecture.custom import ModuleBuilder, module_record
from sk_dlsteps.step2_architecture.hidden_units import choose_hidden_units
from sk_dlsteps.step2_architecture.mlp import MLPBuilder
from sk_dlsteps.step3_training.budget import choose_batch_size, choose_max_epochs
from sk_dlsteps.step3_training.lr_finder import (
    OTHER_SWEEP,
    SWEEPS,
    LRCurve,
    choose_rate,
    range_test,
    sweep_rates,
)
from sk_dlsteps.step3_training.optimizers import OptimizerChoice
from sk_dlsteps.step3_training.schedules import choose_schedule
from sk_dlsteps.step4_validation.early_stopping import choose_stopping

# Networks of the default fleet, by measurement (docs/benchmarks.md, "Choosing the defaults").
N_NETWORKS = 8
_DTYPE = torch.float32


@dataclass(frozen=True)
class Data:
    """A checked table: float inputs, a target, and validation data of their own if given."""

    X: np.ndarray
    target: RegressionTarget | ClassTarget
    X_valid: np.ndarray | None = None
    y_valid: np.ndarray | None = None


@dataclass(frozen=True)
class Prepared:
    """Everything decided before the learning rate is known."""

    data: Data
    plan: Plan
    cost: Cost
    rows: Rows
    scaler: Any
    Z: np.ndarray
    optimizer: OptimizerChoice
    build: Callable[[tuple[int, ...]], Callable[[], Fleet]]
    seeds: tuple[int, ...]
    finder_seeds: tuple[int, ...]
    records: tuple[StepRecord, ...]


def prepare(parameters: dict[str, Any], data: Data) -> Prepared:
    """Decide steps 1 and 2, and step 3 but for the learning rate."""
    p, target = parameters, data.target
    fold_seed, finder_seed, network_seed, scaler_seed = _seeds(p["random_state"]).spawn(4)
    n_networks = N_NETWORKS if p["n_estimators"] == "auto" else int(p["n_estimators"])
    rows = choose_rows(
        n_networks,
        len(data.X),
        target.classes,
        np.random.default_rng(fold_seed),
        hold_rows_out=p["early_stopping"],
        validation_fraction=p["validation_fraction"],
        X_valid=data.X_valid,
        y_valid=data.y_valid,
    )

    cost, step1 = choose_cost(p["loss"], target.task)
    target.check(cost)
    inputs = _prepare_inputs(p, data, rows, *_network_seeds(scaler_seed, 1))
    if rows.X_valid is not None:
        rows = replace(rows, X_valid=inputs.scaler.transform(rows.X_valid))
    n_outputs = cost.n_outputs(target.n_columns)
    widths, step2 = _choose_architecture(p, min(len(own) for own in rows.train), inputs.n_inputs, n_outputs)
    plan = _make_plan(p, data, rows, cost, (inputs.n_inputs, *widths, n_outputs))

    stages = {"cost": cost, **inputs.stages, **target.statistics(cost, rows.train)}
    bias = target.output_bias(cost, rows.train, _DTYPE)

    def build(seeds: tuple[int, ...]) -> Callable[[], Fleet]:
        if p["module"] == "mlp":
            layers = (inputs.n_inputs, *widths, n_outputs)
            return MLPBuilder(layers, p["activation"], seeds, bias, stages, inputs.power)
        return ModuleBuilder(p["module"], inputs.n_inputs, n_outputs, seeds, stages)

    return Prepared(
        data,
        plan,
        cost,
        rows,
        inputs.scaler,
        inputs.Z,
        OptimizerChoice(p["optimizer"], float(p["momentum"]), float(p["weight_decay"])),
        build,
        _network_seeds(network_seed, n_networks),
        _network_seeds(finder_seed, n_networks),
        (step1, *inputs.records, step2),
    )


@dataclass(frozen=True)
class _Inputs:
    """The table as the networks get it: the scaler and its output, and the fleet's first stage."""

    scaler: Any
    Z: np.ndarray
    stages: dict[str, Any]
    n_inputs: int
    power: float
    records: tuple[StepRecord, ...]


def _prepare_inputs(p: dict[str, Any], data: Data, rows: Rows, seed: int) -> _Inputs:
    """Scale the table, with statistics of each network's own training rows, and encode its columns."""
    scaled = scale_inputs(p["scaler"], data.X, data.target, rows.train, seed, _DTYPE)
    wanted = p["numeric_encoding"]
    if wanted == "auto":
        wanted = "piecewise_linear" if data.target.task == "regression" and p["module"] == "mlp" else None
    encoding = piecewise_linear(scaled.Z, rows.train, scaled.center, scaled.factor) if wanted else None
    n_added = 0 if encoding is None else encoding.n_added
    stages = {
        "input_center": scaled.center,
        "input_factor": scaled.factor,
        "input_clip": float(p["input_clip"]) if scaled.clipped and p["input_clip"] is not None else None,
        "input_encoding": encoding,
    }
    n_columns = scaled.Z.shape[1]
    records = (*scaled.records, *encoding_record(p["numeric_encoding"], wanted, n_columns, n_added, scaled.kind))
    power = n_columns + n_added * RAMP_STD**2
    return _Inputs(scaled.scaler, scaled.Z, stages, n_columns + n_added, power, records)


def _choose_architecture(
    p: dict[str, Any], n_rows: int, n_inputs: int, n_outputs: int
) -> tuple[tuple[int, ...], StepRecord]:
    """Widths of the hidden layers; none for a user's own module."""
    if p["module"] != "mlp":
        return (), module_record(p["module"])
    return choose_hidden_units(
        p["hidden_units"],
        p["hidden_size_factor"],
        p["n_hidden_layers"],
        n_rows=n_rows,
        n_inputs=n_inputs,
        n_outputs=n_outputs,
    )


def _make_plan(p: dict[str, Any], data: Data, rows: Rows, cost: Cost, layers: tuple[int, ...]) -> Plan:
    """Resolve everything about training but the learning rate."""
    n_networks, n_rows = len(rows.train), min(len(own) for own in rows.train)
    batch_size = min(choose_batch_size(p["batch_size"], n_rows), n_rows)
    max_epochs = choose_max_epochs(p["max_epochs"], -(-n_rows // batch_size))
    schedule = _choose_schedule(p, max_epochs)
    flops = 6 * n_networks * batch_size * sum(a * b for a, b in pairwise(layers))
    return Plan(
        task=data.target.task,
        loss=cost.name,
        n_inputs=layers[0],
        n_outputs=layers[-1],
        n_rows=n_rows,
        n_networks=n_networks,
        hidden_units=layers[1:-1],
        activation=p["activation"],
        optimizer=OptimizerChoice(p["optimizer"]).name,
        learning_rate=float("nan"),
        lr_schedule=schedule,
        batch_size=batch_size,
        max_epochs=max_epochs,
        stopping=choose_stopping(p["early_stopping"] and rows.valid is not None, p["n_iter_no_change"], schedule),
        device=choose_device(p["device"]),
        n_threads=choose_threads(flops) if p["n_threads"] == "auto" else int(p["n_threads"]),
    )


def _seeds(random_state: Any) -> np.random.SeedSequence:
    """A root of seeds; None takes fresh entropy and leaves numpy's global state alone."""
    if random_state is None:
        return np.random.SeedSequence()
    return np.random.SeedSequence(int(check_random_state(random_state).randint(2**31 - 1)))


def _network_seeds(seed: np.random.SeedSequence, n_networks: int) -> tuple[int, ...]:
    """One seed for each network."""
    return tuple(int(s) for s in seed.generate_state(n_networks))


def _choose_schedule(p: dict[str, Any], max_epochs: int) -> Any:
    """The schedule, unless a callback steers the rate."""
    callbacks = [cb[1] if isinstance(cb, tuple) else cb for cb in p["callbacks"] or ()]
    if any(issubclass(cb if isinstance(cb, type) else type(cb), LRScheduler) for cb in callbacks):
        if p["lr_schedule"] not in ("auto", "constant"):
            raise ValueError(
                f"`callbacks` holds an LRScheduler and `lr_schedule={p['lr_schedule']!r}` is set too; "
                "both would steer the rate. Drop one of them."
            )
        return None
    return choose_schedule(p["lr_schedule"], p["restart_period"], p["restart_mult"], max_epochs)


def find_rate(prepared: Prepared) -> LRCurve:
    """Sweep fresh replicas of the networks and choose the rate (step 3)."""
    plan = prepared.plan
    n_steps = plan.max_epochs * -(-plan.n_rows // plan.batch_size)
    rates = sweep_rates(plan.optimizer, n_steps)
    sweep = SWEEPS.get(plan.optimizer, OTHER_SWEEP)
    if not len(rates):
        return choose_rate(rates, np.empty((0, plan.n_networks)), sweep.default)
    fleet = prepared.build(prepared.finder_seeds)().to(plan.device)
    x, y = to_tensors(prepared.Z, prepared.data.target.values, fleet, _DTYPE)
    generators = [np.random.default_rng(seed) for seed in prepared.finder_seeds]
    batches = FleetData(x, y, prepared.rows.train, generators, plan.batch_size).cycle(fleet)
    optimizer = prepared.optimizer(fleet, rates[0])

    def take_step(rate: float) -> np.ndarray:
        losses, _ = fleet.gradients(*next(batches))
        set_rate(optimizer, rate)
        optimizer.step()
        return losses.mean(1).cpu().numpy()

    with threads(plan.n_threads), torch.no_grad():
        return choose_rate(rates, range_test(take_step, rates), sweep.default, sweep.ceiling)


def make_net(prepared: Prepared, plan: Plan, callbacks: Any = None, verbose: int = 0) -> FleetNet:
    """The net that carries out a plan."""
    return FleetNet(
        prepared.build(prepared.seeds),
        prepared.cost,
        make_optimizer=prepared.optimizer,
        seeds=prepared.seeds,
        schedule=plan.lr_schedule,
        stopping=plan.stopping,
        n_threads=plan.n_threads,
        lr=plan.learning_rate,
        max_epochs=plan.max_epochs,
        batch_size=plan.batch_size,
        device=plan.device,
        callbacks=list(callbacks or ()),
        verbose=int(verbose),
    )


def train(prepared: Prepared, plan: Plan, callbacks: Any, verbose: int) -> Pipeline:
    """Train the fleet and put it behind its scaler."""
    net = make_net(prepared, plan, callbacks, verbose)
    net.fit(prepared.Z, prepared.data.target.values, rows=prepared.rows)
    return Pipeline([("scaler", prepared.scaler), ("net", net)])
