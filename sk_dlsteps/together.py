"""Many fits as a few fleets: what is alike is trained side by side, to the same result as alone."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from sklearn.pipeline import Pipeline

from sk_dlsteps.engine.device import threads
from sk_dlsteps.engine.memory import telling_the_way_out
from sk_dlsteps.engine.merge import merge, split
from sk_dlsteps.engine.net import FleetNet
from sk_dlsteps.engine.training import Training
from sk_dlsteps.exceptions import StepwiseWarning, level_of_the_caller
from sk_dlsteps.fine_tuning import fit_in_stages
from sk_dlsteps.inheritance import fitted_source
from sk_dlsteps.inputs.data import Data
from sk_dlsteps.inputs.parameters import check_parameters
from sk_dlsteps.plan import Plan
from sk_dlsteps.preparation import Prepared, as_pipeline, make_net, prepare, threads_together, train
from sk_dlsteps.step3_training.lr_finder import LRCurve, warn_if_unreliable
from sk_dlsteps.step3_training.transfer import is_staged
from sk_dlsteps.sweep import find_rates

if TYPE_CHECKING:
    from sk_dlsteps.recipe import StepwiseEstimator

# Numbers that a fleet's minibatches may hold: as many as stay in the processor's cache. And the operations
# that take as long as what a step costs besides them: narrow networks are filled up to wide ones for less.
# By measurement (docs/benchmarks.md, "Search").
FLEET_NUMBERS, STEP_FLOPS = 2**20, 6e6
# Scaled tables that wait for their fleets at any time, beside one for each table that was received.
MOST_BYTES = 256_000_000


@dataclass(frozen=True)
class _Fit:
    """One estimator on its way: its number, what was decided for it, and what its table says of names."""

    i: int
    estimator: StepwiseEstimator
    prepared: Prepared
    names: dict[str, Any]

    @property
    def flops(self) -> float:
        """Operations of a step, all networks together."""
        return self.prepared.plan.flops

    @property
    def numbers(self) -> int:
        """Numbers that its minibatches hold."""
        plan = self.prepared.plan
        return plan.n_networks * plan.batch_size * (plan.n_inputs + sum(plan.hidden_units) + plan.n_outputs)


def fit_together(estimators: Sequence[StepwiseEstimator], tables: Sequence[tuple]) -> Iterator[tuple[int, Any]]:
    """Fit estimators, each equal to ``estimator.fit(X, y)`` to floating-point noise, in as few fleets as pay.

    Parameters
    ----------
    estimators : sequence of StepwiseEstimator
        Fitted in place.
    tables : sequence of (X, y) or (X, y, fit_params)
        One for each, with a dict of the other parameters of `fit` if there are any. Estimators
        that are given the same objects share the work on them.

    Yields
    ------
    i : int
        Number of an estimator that is ready.
    error : Exception or None
        Why it could not be fitted.

    """
    # What was received, by the objects given, which the caller's list holds.
    received: dict[tuple, tuple[Data, dict[str, Any]]] = {}
    fits: list[_Fit] = []
    unreliable: list[LRCurve] = []
    held = _Held()
    for i in range(len(estimators)):
        if estimators[i].checkpoint is not None:
            yield i, _try_to_fit_alone(estimators[i], tables[i])
            continue
        try:
            fits.append(_begin(i, estimators[i], tables[i], received))
            held.add(fits[-1].prepared)
        except Exception as error:
            yield i, error
        if held.n_bytes > MOST_BYTES:
            yield from _fit_in_fleets(fits, unreliable)
            held = _Held()
            for data, _ in received.values():
                data.shared.clear()
    yield from _fit_in_fleets(fits, unreliable)
    _warn_of_defaults(unreliable, len(estimators))


def _try_to_fit_alone(estimator: StepwiseEstimator, table: tuple) -> Exception | None:
    """Fit an estimator that stores its fit; what went wrong, if anything. A Ctrl-C is meant for all fits."""
    X, y, fit_params = table if len(table) == 3 else (*table, {})
    try:
        with threads(), telling_the_way_out():
            estimator._fit_anew(X, y, on_interrupt="raise", **fit_params)
    except Exception as error:
        return error
    return None


def _begin(
    i: int, estimator: StepwiseEstimator, table: tuple, received: dict[tuple, tuple[Data, dict[str, Any]]]
) -> _Fit:
    """Let an estimator and its table in, and decide what is decided before the rate."""
    parameters = estimator.get_params(deep=False)
    check_parameters(parameters)
    X, y, fit_params = table if len(table) == 3 else (*table, {})
    routed = sorted((name, id(value)) for name, value in fit_params.items())
    of_table = _content(estimator.categorical_features), _content(estimator.input_shape)
    # A source decides how columns are received, and refuses other ones than its own.
    source = id(fitted_source(estimator.init_from))
    key: tuple = (type(estimator), id(X), id(y), source, *of_table, *routed)
    if key not in received:
        received[key] = estimator._receive(X, y, **fit_params)
    data, names = received[key]
    return _Fit(i, estimator, prepare(parameters, data), names)


class _Held:
    """Bytes of the scaled tables beyond the first of each table received, which a search cannot do without."""

    def __init__(self) -> None:
        self.n_bytes = 0
        self._tables: set[int] = set()
        self._received: set[int] = set()

    def add(self, prepared: Prepared) -> None:
        """Count a fit's scaled table, if it is not one of those before."""
        if id(prepared.Z) in self._tables:
            return
        self._tables.add(id(prepared.Z))
        if id(prepared.data) in self._received:
            self.n_bytes += prepared.Z.nbytes
        self._received.add(id(prepared.data))


def _fit_in_fleets(fits: list[_Fit], unreliable: list[LRCurve]) -> Iterator[tuple[int, Any]]:
    """Fit what has gathered, fleet by fleet, and empty the list."""
    fleets = _fleets(fits)
    fits.clear()
    while fleets:
        yield from _fit_and_note(fleets.pop(0), unreliable)


def _fit_and_note(fleet: list[_Fit], unreliable: list[LRCurve]) -> Iterator[tuple[int, Any]]:
    """Fit a fleet, or each alone if that fails, and note the curves that said nothing."""
    n_fits, error = len(fleet), _try_to_fit(fleet)
    failure = ""
    if error is not None and n_fits > 1:
        # In words: the error itself holds all that the fleet had in memory, which may have run out.
        failure, error = f"{type(error).__name__}: {error}".removesuffix("."), None
    n_failed = 0
    # Taken off the list one by one, so that nobody but the caller holds what is fitted.
    while fleet:
        fit = fleet.pop(0)
        if failure:
            error = _try_to_fit([fit])
        n_failed += error is not None
        curve = None if error is not None else fit.estimator.lr_curve_
        if curve is not None and not curve.reliable:
            unreliable.append(curve)
        i = fit.i
        del fit
        yield i, error
        error = None
    if failure and not n_failed:
        warnings.warn(
            f"{n_fits} fits failed as one fleet, with {failure}. They were fitted one by one instead, to the same "
            "result but more slowly. If memory ran out, use a smaller `n_jobs`; otherwise please report this.",
            StepwiseWarning,
            stacklevel=level_of_the_caller(),
        )


def _warn_of_defaults(unreliable: list[LRCurve], n_fits: int) -> None:
    """Tell once of all fits whose rate is the default: a fit for every fold would flood."""
    if len(unreliable) == 1:
        warn_if_unreliable(unreliable[0])
    elif unreliable:
        reasons = dict.fromkeys(f"{curve.reason} ({curve.learning_rate:g})" for curve in unreliable)
        warnings.warn(
            f"No learning rate could be found for {len(unreliable)} of {n_fits} fits: {'; or '.join(reasons)}. "
            "Set `learning_rate` to a number to choose it yourself.",
            StepwiseWarning,
            stacklevel=level_of_the_caller(),
        )


def _try_to_fit(fleet: list[_Fit]) -> Exception | None:
    """Fit a fleet; what went wrong, if anything."""
    try:
        with threads(), telling_the_way_out():
            _fit_fleet(fleet)
    except Exception as error:
        return error
    return None


def _fleets(fits: Sequence[_Fit]) -> list[list[_Fit]]:
    """Fits that are trained together, widest first; those with more minibatches stand before those with fewer."""
    alike: dict[Hashable, list[_Fit]] = {}
    for fit in fits:
        alike.setdefault(_kind(fit), []).append(fit)
    fleets: list[list[_Fit]] = []
    for group in alike.values():
        fleet: list[_Fit] = []
        for fit in sorted(group, key=lambda fit: (-fit.flops / fit.prepared.plan.n_networks, fit.i)):
            if fleet and not _joins(fit, fleet):
                fleets.append(_in_order(fleet))
                fleet = []
            fleet.append(fit)
        fleets.append(_in_order(fleet))
    return fleets


def _joins(fit: _Fit, fleet: list[_Fit]) -> bool:
    """Whether a fit joins a fleet of wider ones: the fleet stays small enough, and filling up is worth it."""
    widest, members = fleet[0], [*fleet, fit]
    # How many of the widest the fleet would be as large as.
    n_widest = sum(member.prepared.plan.n_networks for member in members) / widest.prepared.plan.n_networks
    filling = n_widest * widest.flops - sum(member.flops for member in members)
    return n_widest * widest.numbers <= FLEET_NUMBERS and filling <= STEP_FLOPS


def _in_order(fleet: list[_Fit]) -> list[_Fit]:
    """Fits with more minibatches an epoch before those with fewer."""
    return sorted(fleet, key=lambda fit: -fit.prepared.n_batches)


def _kind(fit: _Fit) -> Hashable:
    """What fits must agree on to be trained as one fleet; a key of its own for one that cannot be."""
    p, prepared = fit.estimator.get_params(deep=False), fit.prepared
    plan = prepared.plan
    alone = p["module"] != "mlp" or p["callbacks"] or p["verbose"] or p["accelerator"] is not None
    if alone or is_staged(p) or not isinstance(p["optimizer"], str):
        return fit.i
    if prepared.rows.X_valid is not None:
        # A fleet has one table, of whose rows its networks hold out their own.
        return fit.i
    return (
        plan.task,
        plan.loss,
        _content(p["loss"]),
        prepared.cost.quantiles,
        prepared.Z.shape[1],
        prepared.inputs.stages["input_clip"],
        prepared.rows.weight is None,
        plan.n_outputs,
        prepared.data.target.n_columns,
        len(plan.hidden_units),
        plan.activation,
        plan.batch_size if plan.batch_size < plan.n_rows else "all rows",
        plan.batch_norm,
        _content(plan.augmentation),
        plan.optimizer,
        p["momentum"],
        prepared.rows.valid is None,
        plan.device,
        plan.mixed_precision,
        p["n_threads"],
    )


def _content(value: Any) -> Hashable:
    """What two objects of a user's share if they do the same: a clone's are copies, told by what they hold."""
    if value is None or isinstance(value, str):
        return value
    try:
        return joblib.hash(value)
    except Exception:  # whatever pickling says of an object that it cannot take
        return id(value)


def _fit_fleet(fleet: list[_Fit]) -> None:
    """Find the rates of some fits, train them as one fleet, and make each a fitted estimator."""
    if is_staged(fleet[0].estimator.get_params(deep=False)):
        fit_in_stages(fleet[0].estimator, fleet[0].prepared, fleet[0].names)
        return
    curves = _find_rates(fleet)
    plans = [
        replace(
            fit.prepared.plan,
            learning_rate=float(fit.estimator.learning_rate) if curve is None else curve.learning_rate,
        )
        for fit, curve in zip(fleet, curves, strict=True)
    ]
    pipelines = _train(fleet, plans)
    for fit, plan, curve, pipeline in zip(fleet, plans, curves, pipelines, strict=True):
        fit.estimator._conclude(fit.prepared, plan, curve, pipeline, fit.names)


def _find_rates(fleet: list[_Fit]) -> list[LRCurve | None]:
    """The curve of each fit whose rate is to be found, those with equally many steps swept together."""
    curves: list[LRCurve | None] = [None] * len(fleet)
    alike: dict[tuple[int, int], list[int]] = {}
    for place, fit in enumerate(fleet):
        if fit.estimator.learning_rate == "auto":
            alike.setdefault((fit.prepared.n_batches, fit.prepared.n_steps), []).append(place)
    for places in alike.values():
        found = find_rates([fleet[place].prepared for place in places])
        for place, curve in zip(places, found, strict=True):
            curves[place] = curve
    return curves


def _train(fleet: list[_Fit], plans: list[Plan]) -> list[Pipeline]:
    """Train everybody's networks side by side."""
    prepared = [fit.prepared for fit in fleet]
    if len(fleet) == 1:
        return [train(prepared[0], plans[0], fleet[0].estimator.callbacks, fleet[0].estimator.verbose)]
    nets = [make_net(own, plan) for own, plan in zip(prepared, plans, strict=True)]
    for net, own in zip(nets, prepared, strict=True):
        net.initialize()
        net.expect(own.data.target.values)
    _train_merged(nets, fleet, plans)
    return [as_pipeline(own, net) for own, net in zip(prepared, nets, strict=True)]


def _train_merged(nets: list[FleetNet], fleet: list[_Fit], plans: list[Plan]) -> None:
    """Train the nets' networks as one fleet, each at its own rate, decay and length."""
    modules = [net.module_ for net in nets]
    merged = merge(modules)
    decay = np.repeat([plan.weight_decay for plan in plans], [plan.n_networks for plan in plans])
    choice = fleet[0].prepared.optimizer
    optimizer = replace(choice, weight_decay=decay if decay.any() else 0.0)(merged, 1.0)
    n_threads = threads_together([fit.prepared for fit in fleet])
    tables = [fit.prepared.table for fit in fleet]
    Training(merged, optimizer, nets, tables, [plan.max_epochs for plan in plans], n_threads).run()
    split(merged, modules)
