"""The range test of prepared fits: fresh replicas of their networks are swept, side by side where they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch

from sk_dlsteps.engine.clipping import as_bound, bounds_of_networks
from sk_dlsteps.engine.device import threads
from sk_dlsteps.engine.members import gather_tables
from sk_dlsteps.engine.memory import Steps
from sk_dlsteps.engine.merge import merge
from sk_dlsteps.engine.mlp_fleet import MLPFleet
from sk_dlsteps.engine.optimizers import set_rate
from sk_dlsteps.preparation import Prepared, threads_together
from sk_dlsteps.step3_training.lr_finder import LRCurve, choose_rate, range_test, sweep_of, sweep_rates


def find_rate(prepared: Prepared) -> LRCurve:
    """Sweep fresh replicas of the networks and choose the rate (step 3)."""
    return find_rates([prepared])[0]


@threads()
def find_rates(group: Sequence[Prepared]) -> list[LRCurve]:
    """Sweep fresh replicas of several fits' networks side by side; they agree in minibatches and steps."""
    first, plan = group[0], group[0].plan
    rates = sweep_rates(plan.optimizer, first.n_steps)
    sweep = sweep_of(plan.optimizer, first.data.target.n_columns if plan.task == "multiclass" else 1)
    if not len(rates):
        return [choose_rate(rates, np.empty((0, own.plan.n_networks)), sweep.default) for own in group]
    fleets = [own.build(own.finder_seeds)().to(plan.device) for own in group]
    fleet = fleets[0] if len(group) == 1 else merge(cast(list[MLPFleet], fleets))
    tables, dtype = [own.table for own in group], fleet.input_center.dtype
    seeds = [seed for own in group for seed in own.finder_seeds]
    batch_sizes = [own.plan.batch_size for own in group]
    data = gather_tables(tables, fleet, seeds, batch_sizes, plan.augmentation, dtype, first.processes)
    batches, steps = data.cycle(fleet), Steps()
    n_networks = [own.plan.n_networks for own in group]
    decay = np.repeat([own.plan.weight_decay for own in group], n_networks)
    optimizer = replace(first.optimizer, weight_decay=decay if len(group) > 1 else plan.weight_decay)(fleet, rates[0])
    bounds = tuple(
        as_bound(bounds_of_networks([getattr(own.plan, name) for own in group], n_networks))
        for name in ("max_grad_norm", "max_grad_value")
    )

    def take_step(rate: float) -> np.ndarray:
        if first.interrupt is not None:
            first.interrupt.check()
        batch = next(batches)
        losses, _ = steps.gradients(fleet, batch)
        total = losses.sum(1)
        if first.processes is not None:
            first.processes.add_up([total, *fleet.gradient_tensors(fleet.n_networks)])
        if bounds != (None, None):
            fleet.clip(fleet.n_networks, *bounds)
        set_rate(optimizer, rate)
        optimizer.step()
        return total.cpu().numpy() / batch.n_rows

    with threads(threads_together(group)), torch.no_grad():
        losses = range_test(take_step, rates)
    ends = np.cumsum(n_networks)[:-1]
    return [choose_rate(rates, own, sweep.default, sweep.ceiling) for own in np.split(losses, ends, axis=1)]
