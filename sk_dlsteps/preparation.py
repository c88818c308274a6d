"""From checked data to decisions, from decisions to a trained pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from skorch.callbacks import Callback

from sk_dlsteps.engine.batches import Rows, count_batches
from sk_dlsteps.engine.carried import Carried
from sk_dlsteps.engine.checkpoint import Checkpoint
from sk_dlsteps.engine.device import choose_device, choose_threads, threads, widest_float
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.interrupt import Interrupt
from sk_dlsteps.engine.members import Table
from sk_dlsteps.engine.net import FleetNet
from sk_dlsteps.engine.precision import accelerators_precision, choose_precision
from sk_dlsteps.engine.processes import Processes, all_or_none, without_writers
from sk_dlsteps.inheritance import (
    Heritage,
    chosen_networks,
    fitted_source,
    inherited_inputs,
    with_inherited,
)
from sk_dlsteps.inputs.data import Data, key_of
from sk_dlsteps.inputs.door import check_for_sparse
from sk_dlsteps.inputs.folds import choose_rows
from sk_dlsteps.inputs.network_inputs import Inputs, prepare_inputs
from sk_dlsteps.inputs.own_scaler import CheckedTransformer
from sk_dlsteps.inputs.scaler import units_of_channels
from sk_dlsteps.inputs.shapes import Shape
from sk_dlsteps.inputs.target import ClassTarget, Target
from sk_dlsteps.inputs.weights import class_weights
from sk_dlsteps.plan import Plan, StepRecord
from sk_dlsteps.step1_cost.choice import choose_cost
from sk_dlsteps.step1_cost.cost import Cost
from sk_dlsteps.step1_cost.quantile import QUANTILES
from sk_dlsteps.step2_architecture.custom import ModuleBuilder, ModuleChoice, module_record
from sk_dlsteps.step2_architecture.hidden_units import choose_hidden_units, width_record
from sk_dlsteps.step2_architecture.mlp import MLPBuilder
from sk_dlsteps.step3_training.budget import (
    choose_batch_size,
    choose_max_epochs,
    choose_n_folds,
    choose_n_networks,
    in_turn_record,
    size_record,
)
from sk_dlsteps.step3_training.optimizers import OptimizerChoice
from sk_dlsteps.step3_training.schedules import choose_schedule, steers_the_rate
from sk_dlsteps.step4_validation.augmentation import check_for_gaps, choose_augmentation, needs_units
from sk_dlsteps.step4_validation.early_stopping import choose_stopping
from sk_dlsteps.step4_validation.regularisation import choose_dropout

_DTYPE = torch.float32


@dataclass(frozen=True)
class Prepared:
    """Everything decided before the learning rate is known."""

    data: Data
    plan: Plan
    cost: Cost
    rows: Rows
    inputs: Inputs
    auto_threads: bool
    optimizer: OptimizerChoice
    build: Callable[[tuple[int, ...]], Callable[[], Fleet]]
    seeds: tuple[int, ...]
    finder_seeds: tuple[int, ...]
    records: tuple[StepRecord, ...]
    entropy: Any = None
    """Root of the seeds."""
    processes: Processes | None = None
    heritage: Heritage | None = None
    """Weights that the networks begin with instead of those that `build` gives them."""
    epoch_tasks: Callback | None = None
    """What tells scikit-learn's callbacks of the epochs, if there are any; no net keeps it."""
    checkpoint: Checkpoint | None = None
    interrupt: Interrupt | None = None

    @property
    def Z(self) -> Any:
        """The table that the networks are trained on."""
        return self.inputs.scaled.Z

    @property
    def table(self) -> Table:
        """That table with its target and the rows of each network."""
        return Table(self.Z, self.data.target.values, self.rows)

    def on_table(self, compute: Callable[[Any], np.ndarray]) -> Callable[[Any], np.ndarray]:
        """What a net computes of scaled rows, as a function of rows of the table."""
        return lambda Z: compute(self.inputs.scaled.as_scaled(Z))

    @property
    def watched(self) -> dict[str, Any]:
        """What a training looks after while it runs."""
        return {"checkpoint": self.checkpoint, "interrupt": self.interrupt}

    @property
    def n_batches(self) -> int:
        """Minibatches of an epoch."""
        return count_batches(self.plan.n_rows, self.plan.batch_size)

    @property
    def n_steps(self) -> int:
        """Optimisation steps of the whole fit."""
        return self.plan.max_epochs * self.n_batches


def prepare(
    parameters: dict[str, Any], data: Data, checkpoint: Checkpoint | None = None, interrupt: Interrupt | None = None
) -> Prepared:
    """Decide steps 1 and 2, and step 3 but for the learning rate: the same in all processes, if there are several.

    A fit that goes on from a `checkpoint` has the seeds that it began with.
    """
    parameters = with_inherited(parameters)
    accelerator = parameters["accelerator"]
    processes = None if accelerator is None else Processes(accelerator)
    root = _seeds(parameters["random_state"])
    if processes is not None:
        if parameters["on_interrupt"] == "keep":
            raise ValueError("`on_interrupt='keep'`: the processes of `accelerator` end together only; use 'raise'")
        processes.check_target(data.target.values)
        root = np.random.SeedSequence(processes.of_the_first(root.entropy))
    if checkpoint is not None:
        checkpoint = checkpoint.with_entropy(root.entropy)
        root = np.random.SeedSequence(checkpoint.entropy)
    with all_or_none(accelerator), threads():
        prepared = _decide(parameters, data, root, processes)
    return replace(prepared, checkpoint=checkpoint, interrupt=interrupt)


def _decide(p: dict[str, Any], data: Data, root: np.random.SeedSequence, processes: Processes | None) -> Prepared:
    """Steps 1 and 2, and step 3 but for the learning rate, from the root of all seeds."""
    target = data.target
    fold_seed, finder_seed, network_seed, scaler_seed = root.spawn(4)
    module = ModuleChoice.of(p)
    n_networks = choose_n_networks(p["n_estimators"], data.X.shape[0], module.default("n_networks"))
    shape = data.shape if module.is_own else None
    rows = data.once(
        key_of(("rows", n_networks), p, "n_estimators", "early_stopping", "validation_fraction", "random_state"),
        lambda: rows_of_networks(p, data, n_networks, fold_seed),
    )

    cost, step1 = choose_cost(p["loss"], target.task, p.get("quantiles", QUANTILES))
    target.check(cost)
    source = fitted_source(p["init_from"])
    inputs = _choose_inputs(p, data, rows, network_seeds(scaler_seed, 1)[0], source)
    if module.keeps_gaps and inputs.stages["fills_gaps"]:
        check_for_gaps(p["augmentation"])
    rows = _as_trained_on(p, data, rows, inputs)
    n_outputs = cost.n_outputs(target.n_columns)
    widths, step2 = _choose_architecture(
        p, module, _n_counted(rows, data.weight), inputs.n_inputs, n_outputs, shape, source
    )
    plan = make_plan(p, data, rows, cost, (inputs.n_inputs, *widths, n_outputs), inputs.scaled.scaler)
    if processes is not None:
        processes.check_plan(plan)
        processes.check_cost(cost)
    heritage = Heritage.of(p["init_from"], target, cost, inputs.scaled.Z, data.weight)
    build = _builders(module, data, rows, cost, inputs, plan, heritage, source)
    seeds = network_seeds(network_seed, n_networks)
    if module.is_own:
        plan = told_by(build(seeds[:1])(), plan, p["n_threads"])
    return Prepared(
        data,
        plan,
        cost,
        rows,
        inputs,
        p["n_threads"] == "auto",
        OptimizerChoice(p["optimizer"], float(p["momentum"]), float(p["weight_decay"])),
        build,
        seeds,
        network_seeds(finder_seed, n_networks),
        (step1, *inputs.records, step2, *_size_record(p, module, plan, data.X.shape[0])),
        root.entropy,
        processes,
        heritage,
    )


def _as_trained_on(p: dict[str, Any], data: Data, rows: Rows, inputs: Inputs) -> Rows:
    """The rows with validation data as the networks get them, and with what each row counts in losses."""
    X_valid = rows.X_valid
    if X_valid is not None:
        encoded = X_valid if inputs.encoder is None else inputs.encoder.transform(X_valid)
        X_valid = inputs.scaled.as_table(encoded)
    weight = loss_weight(p.get("class_weight"), data)
    return replace(rows, X_valid=X_valid, weight=weight, weight_valid=data.weight_valid)


def _builders(
    module: ModuleChoice,
    data: Data,
    rows: Rows,
    cost: Cost,
    inputs: Inputs,
    plan: Plan,
    heritage: Heritage | None,
    source: Any,
) -> Callable[[tuple[int, ...]], Callable[[], Fleet]]:
    """What gives, for the seeds of networks, a builder of their fleet."""
    statistics = data.target.statistics(cost, rows.train, data.weight, widest_float(plan.device))
    if heritage is not None:
        statistics |= {name: chosen_networks(own, plan.n_networks) for name, own in heritage.statistics.items()}
    precision = choose_precision(plan.mixed_precision, plan.device)
    stages = {"cost": cost, "precision": precision, **inputs.stages, **statistics}
    bias = data.target.output_bias(cost, rows.train, _DTYPE, rows.weight)
    trained = module if source is None else module.of_trained(source.pipeline_[-1].module_)
    layers = (plan.n_inputs, *plan.hidden_units, plan.n_outputs)

    def build(seeds: tuple[int, ...]) -> Callable[[], Fleet]:
        if module.is_own:
            return ModuleBuilder(
                trained, plan.n_inputs, plan.n_outputs, seeds, stages, inputs.embeddings, plan.input_shape
            )
        return MLPBuilder(
            layers,
            plan.activation,
            seeds,
            bias,
            stages,
            inputs.power,
            plan.dropout,
            plan.batch_norm,
            inputs.embeddings,
        )

    return build


def rows_of_networks(p: dict[str, Any], data: Data, n_networks: int, fold_seed: np.random.SeedSequence) -> Rows:
    """Which rows train and which validate each network: the same again for the same seed."""
    return choose_rows(
        n_networks,
        data.X.shape[0],
        data.target.classes,
        np.random.default_rng(fold_seed),
        hold_rows_out=p["early_stopping"],
        validation_fraction=p["validation_fraction"],
        n_folds=choose_n_folds(p["n_estimators"], n_networks),
        X_valid=data.X_valid,
        y_valid=data.y_valid,
    )


def _choose_inputs(p: dict[str, Any], data: Data, rows: Rows, seed: int, source: Any) -> Inputs:
    """What enters the networks: encoded and scaled by the rows that train them, or as a source's networks get it."""
    if source is None:
        shape = data.shape if ModuleChoice.of(p).is_own else None
        return prepare_inputs(p, data, rows, seed, shape, _DTYPE)
    inputs = Inputs(**inherited_inputs(source, data.X, len(rows.train)))
    if sparse.issparse(inputs.scaled.Z):
        check_for_sparse(p, p["mixed_precision"])
    return inputs


def _size_record(p: dict[str, Any], module: ModuleChoice, plan: Plan, n_rows: int) -> tuple[StepRecord, ...]:
    """The record of how many networks and epochs there are, where that is out of the ordinary."""
    if module.default("n_steps") is not None:
        return in_turn_record(p["n_estimators"], p["max_epochs"], plan, module.name)
    return size_record(p["n_estimators"], p["max_epochs"], plan, n_rows)


def _n_counted(rows: Rows, weight: np.ndarray | None) -> int:
    """N_s of the width rule: the rows that train a network, each as often as it counts."""
    return min(len(own) if weight is None else max(1, round(weight[own].sum())) for own in rows.train)


def loss_weight(class_weight: Any, data: Data) -> np.ndarray | None:
    """What each row counts in losses: its own weight times that of its class."""
    if class_weight is None:
        return data.weight
    target = data.target
    if not isinstance(target, ClassTarget):
        raise ValueError(
            f"`class_weight={class_weight!r}` needs one class for each row, y has several labels; use `sample_weight`."
        )
    of_class = class_weights(class_weight, target.labels, target.values, data.weight)
    return of_class if data.weight is None else of_class * data.weight


def _choose_architecture(
    p: dict[str, Any],
    module: ModuleChoice,
    n_rows: int,
    n_inputs: int,
    n_outputs: int,
    shape: Shape | None,
    source: Any = None,
) -> tuple[tuple[int, ...], StepRecord]:
    """Widths of the hidden layers, those of a fitted source if there is one; none for another module."""
    if module.is_own:
        return (), module_record(module, shape)
    if source is not None:
        widths = source.plan_.hidden_units
        return widths, width_record(widths, "that of the networks of `init_from`", {"rule": "taken over"})
    return choose_hidden_units(
        p["hidden_units"],
        p["hidden_size_factor"],
        p["n_hidden_layers"],
        n_rows=n_rows,
        n_inputs=n_inputs,
        n_outputs=n_outputs,
    )


def make_plan(p: dict[str, Any], data: Data, rows: Rows, cost: Cost, layers: tuple[int, ...], scaler: Any) -> Plan:
    """Resolve everything about training but the learning rate."""
    module = ModuleChoice.of(p)
    n_soft = _n_soft_labels(data.target, cost, layers[-1])
    shape = data.shape if module.is_own else None
    n_networks, n_rows = len(rows.train), min(len(own) for own in rows.train)
    batch_size = min(choose_batch_size(p["batch_size"], n_rows, data.target.n_columns if cost.embeds else 0), n_rows)
    batch_norm = bool(p["batch_norm"]) and not module.is_own
    if cost.embeds and p["batch_size"] != "auto" and p["batch_size"] < 3:
        raise ValueError(
            f"`batch_size={p['batch_size']}` leaves no row to compare with: `loss={cost.name!r}` needs rows of the "
            "same class and of another one in each minibatch; give at least 3, or 'auto'."
        )
    if batch_norm:
        if n_rows < 2:
            raise ValueError(
                f"`batch_norm=True` needs at least 2 rows that count to train each network on, got {n_rows}; use "
                "batch_norm=False, or give more rows."
            )
        # The variance of a single row is none.
        batch_size = max(batch_size, 2)
    n_batches = count_batches(n_rows, batch_size)
    max_epochs = choose_max_epochs(p["max_epochs"], n_batches, n_rows, module.default("n_steps"))
    max_norm = p["max_grad_norm"]
    schedule = _choose_schedule(p, max_epochs)
    augmentation = choose_augmentation(p["augmentation"], n_soft, shape, *units_of_channels(scaler, shape))
    if isinstance(scaler, CheckedTransformer) and needs_units(augmentation):
        raise ValueError(
            f"`augmentation={p['augmentation']!r}` works in the units of your images, into which what "
            f"`scaler={p['scaler']!r}` made of them cannot be turned back; use scaler='standard', or None for images "
            "that are scaled already."
        )
    plan = Plan(
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
        dropout=choose_dropout(p["dropout"], len(layers) - 2) if not module.is_own else (),
        weight_decay=float(p["weight_decay"]),
        batch_norm=batch_norm,
        max_grad_norm=module.default("max_grad_norm") if max_norm == "auto" else max_norm,
        max_grad_value=p["max_grad_value"],
        augmentation=augmentation,
        stopping=choose_stopping(p["early_stopping"] and rows.valid is not None, p["n_iter_no_change"], schedule),
        device=choose_device(p["device"], p["accelerator"]),
        n_threads=1,
        mixed_precision=p["mixed_precision"] or accelerators_precision(p["accelerator"]),
        n_processes=1 if p["accelerator"] is None else p["accelerator"].num_processes,
        input_shape=shape,
    )
    return with_threads(plan, p["n_threads"])


def stage_plan(plan: Plan, p: dict[str, Any], n_epochs: int) -> Plan:
    """The plan of a stage of a training, with a schedule and a rule to stop of its own."""
    schedule = _choose_schedule(p, n_epochs)
    stopping = choose_stopping(plan.stopping is not None, p["n_iter_no_change"], schedule)
    return replace(plan, max_epochs=n_epochs, lr_schedule=schedule, stopping=stopping)


def told_by(fleet: Fleet, plan: Plan, n_threads: Any) -> Plan:
    """The plan with what only modules themselves tell: operations of a step, and rows that batch norms need."""
    if plan.n_rows < fleet.least_rows:
        raise ValueError(f"The module has batch norms, which need at least 2 rows to train on, got {plan.n_rows}.")
    plan = replace(plan, flops_per_row=fleet.flops_per_row, batch_size=max(plan.batch_size, fleet.least_rows))
    return with_threads(plan, n_threads)


def with_threads(plan: Plan, n_threads: Any) -> Plan:
    """The plan with as many threads as the user says or, "auto", as a step pays for."""
    return replace(plan, n_threads=choose_threads(plan.flops) if n_threads == "auto" else int(n_threads))


def _n_soft_labels(target: Target, cost: Cost, n_outputs: int) -> int | None:
    """Columns of soft labels, which a cost on embeddings will refuse; None for values."""
    if target.classes is None:
        return None
    return target.n_columns if cost.embeds else n_outputs


def _seeds(random_state: Any) -> np.random.SeedSequence:
    """A root of seeds; None takes fresh entropy and leaves numpy's global state alone."""
    if random_state is None:
        return np.random.SeedSequence()
    return np.random.SeedSequence(int(check_random_state(random_state).randint(2**31 - 1)))


def network_seeds(seed: np.random.SeedSequence, n_networks: int) -> tuple[int, ...]:
    """One seed for each network."""
    return tuple(int(s) for s in seed.generate_state(n_networks))


def _choose_schedule(p: dict[str, Any], max_epochs: int) -> Any:
    """The schedule, unless a callback steers the rate."""
    if steers_the_rate(p["callbacks"]):
        if p["lr_schedule"] not in ("auto", "constant"):
            raise ValueError(
                f"`callbacks` holds an LRScheduler and `lr_schedule={p['lr_schedule']!r}` is set too; "
                "both would steer the rate. Drop one of them."
            )
        return None
    whole = p["restart_period"] == "auto" and ModuleChoice.of(p).default("one_cycle")
    return choose_schedule(
        p["lr_schedule"], max_epochs if whole else p["restart_period"], p["restart_mult"], max_epochs
    )


def threads_together(group: Sequence[Prepared]) -> int:
    """Threads for several fits side by side, which agree in `n_threads`: by what a step of all of them computes."""
    first = group[0]
    return choose_threads(sum(own.plan.flops for own in group)) if first.auto_threads else first.plan.n_threads


def make_net(prepared: Prepared, plan: Plan, callbacks: Any = None, verbose: int = 0) -> FleetNet:
    """The net that carries out a plan."""
    return FleetNet(
        prepared.build(prepared.seeds),
        prepared.cost,
        make_optimizer=prepared.optimizer,
        seeds=prepared.seeds,
        dtype=_DTYPE,
        schedule=plan.lr_schedule,
        stopping=plan.stopping,
        max_grad_norm=plan.max_grad_norm,
        max_grad_value=plan.max_grad_value,
        augmentation=plan.augmentation,
        n_threads=plan.n_threads,
        lr=plan.learning_rate,
        max_epochs=plan.max_epochs,
        batch_size=plan.batch_size,
        device=plan.device,
        callbacks=[*(callbacks or ()), *([prepared.epoch_tasks] if prepared.epoch_tasks else ())],
        verbose=int(verbose),
    )


def train(prepared: Prepared, plan: Plan, callbacks: Any, verbose: int, carried: Carried | None = None) -> Pipeline:
    """Train the fleet and put it behind its scaler; `carried` is filled with what a further training needs."""
    processes = prepared.processes
    if processes is not None and not processes.is_first:
        callbacks, verbose = without_writers(callbacks), 0
    net = make_net(prepared, plan, callbacks, verbose)
    own = {"processes": processes, "carried": carried, **prepared.watched}
    net.fit(prepared.Z, prepared.data.target.values, rows=prepared.rows, **own)
    return as_pipeline(prepared, net)


def as_pipeline(prepared: Prepared, net: FleetNet) -> Pipeline:
    """A trained net behind its scaler, whose output it takes from now on."""
    if prepared.epoch_tasks is not None:
        net.dismiss(prepared.epoch_tasks)
    scaled = prepared.inputs.scaled
    if scaled.direct:
        net.module_.input_center.copy_(scaled.final.center)
        net.module_.input_factor.copy_(scaled.final.factor)
    encoder = prepared.inputs.encoder
    columns = [] if encoder is None else [("columns", encoder)]
    return Pipeline([*columns, ("scaler", scaled.scaler), ("net", net)])
