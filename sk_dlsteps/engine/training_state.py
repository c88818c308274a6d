"""What a training has come to, as tensors and numbers that can be stored, and how another one goes on from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sk_dlsteps.engine import optimizers
from sk_dlsteps.engine.history import ColumnHistory
from sk_dlsteps.engine.optimizers import FleetOptimizer

if TYPE_CHECKING:
    from sk_dlsteps.engine.training import Training

# Arrays with an entry for each network, by its number.
_PER_NETWORK = (
    "factors",
    "rescues",
    "exploded_in",
    "max_norms",
    "train_losses",
    "valid_losses",
    "best_losses",
    "best_epochs",
    "gradient_norms",
    "dead_units",
)


def state_of(training: Training) -> dict[str, Any]:
    """All that the epochs so far have changed in the training of a single net.

    Tensors are the training's own, to be stored before it goes on.
    """
    (member,) = training.members
    fleet, optimizer = training.fleet, optimizers.state_of(training.optimizer)
    state = {
        "epoch": training.epoch,
        "n_active": fleet.n_active,
        "order": training.order,
        "arrays": {name: getattr(training, name) for name in _PER_NETWORK},
        "best_curve": training.best_curve,
        "losses": vars(training.losses),
        "fleet": fleet.training_state(),
        "optimizer": {name: value for name, value in optimizer.items() if name != "kind"},
        "groups": [] if isinstance(training.optimizer, FleetOptimizer) else _groups(training.optimizer),
        "shuffles": [generator.bit_generator.state for generator in training.data.generators],
        "noise": [generator.get_state() for generator in training.data.noise],
        "schedule": member.schedule_state,
        "lowest": member.lowest,
        "signals": member.signals,
        "history": list(member.net.history),
        "n_before": member.n_before,
        "ended_by_callback": member.net.ended_by_callback_,
    }
    return _stored(state)


def restore(training: Training, state: Mapping[str, Any]) -> None:
    """Go on from what `state_of` gave of a training of the same networks on the same rows."""
    state = restored(state)
    (member,) = training.members
    fleet = training.fleet
    # Rows, validation and the optimizer's groups follow; what is stored is in that order already.
    training._reorder(state["order"], state["n_active"])
    fleet.set_training_state(state["fleet"])
    optimizers.restore(training.optimizer, {"kind": type(training.optimizer), **state["optimizer"]})
    for group, own in zip(training.optimizer.param_groups, state["groups"], strict=False):
        group.update(own)
    training.epoch = state["epoch"]
    vars(training).update(state["arrays"], best_curve=state["best_curve"])
    vars(training.losses).update(state["losses"])
    for generator, own in zip(training.data.generators, state["shuffles"], strict=True):
        generator.bit_generator.state = own
    for noise, own in zip(training.data.noise, state["noise"], strict=True):
        noise.set_state(own)
    member.schedule_state, member.lowest, member.signals = state["schedule"], state["lowest"], state["signals"]
    member.n_before = state["n_before"]
    member.net.history_ = ColumnHistory(state["history"])
    member.net.ended_by_callback_ = state["ended_by_callback"]


def _groups(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """What an optimizer keeps of its groups beside their parameters: some count there."""
    return [{name: own for name, own in group.items() if name != "params"} for group in optimizer.param_groups]


def _stored(value: Any) -> Any:
    """The same with arrays as tensors, which torch loads without running anything."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        # Of unsigned integers torch knows the small ones only.
        signed = value.view(np.dtype(f"i{value.itemsize}")) if value.dtype.kind == "u" else value
        return {None: torch.from_numpy(signed.copy()), "dtype": value.dtype.str}
    if isinstance(value, Mapping):
        return {name: _stored(own) for name, own in value.items()}
    if isinstance(value, list | tuple):
        return [_stored(own) for own in value]
    if value is None or isinstance(value, Tensor) or type(value) in (str, bool, int, float):
        return value
    raise TypeError(
        f"`checkpoint` stores numbers, texts and arrays of numbers, and a callback has noted {value!r} in the history, "
        "or an optimizer of your own keeps it; let them keep that elsewhere, or leave `checkpoint` out"
    )


def restored(value: Any) -> Any:
    """What `_stored` was given, with lists for tuples."""
    if isinstance(value, Mapping):
        if None in value:
            return value[None].numpy().view(value["dtype"])
        return {name: restored(own) for name, own in value.items()}
    return [restored(own) for own in value] if isinstance(value, list) else value
