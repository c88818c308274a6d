"""What a training has come to, as tensors and numbers that can be stored, and how another one goes on from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from sk_dlsteps.engine import optimizers
from sk_dlsteps.engine.history import ColumnHistory

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
        "fleet": fleet.state_dict(),
        "kept": fleet._kept,
        "randomness": fleet.randomness,
        "optimizer": {name: value for name, value in optimizer.items() if name != "kind"},
        "shuffles": [generator.bit_generator.state for generator in training.data.generators],
        "noise": [generator.get_state() for generator in training.data.noise],
        "schedule": member.schedule_state,
        "lowest": member.lowest,
        "signals": member.signals,
        "history": list(member.net.history),
        "ended_by_callback": member.net.ended_by_callback_,
    }
    return _stored(state)


def restore(training: Training, state: Mapping[str, Any]) -> None:
    """Go on from what `state_of` gave of a training of the same networks on the same rows."""
    state = _restored(state)
    (member,) = training.members
    fleet, device = training.fleet, training.data.X.device
    # Rows, validation and the optimizer's groups follow; what is stored is in that order already.
    training._reorder(state["order"], state["n_active"])
    nn.Module.load_state_dict(fleet, state["fleet"])
    fleet._kept = _on(state["kept"], device)
    fleet.randomness = state["randomness"]
    optimizers.restore(training.optimizer, {"kind": type(training.optimizer), **state["optimizer"]})
    training.epoch = state["epoch"]
    vars(training).update(state["arrays"], best_curve=state["best_curve"])
    vars(training.losses).update(state["losses"])
    for generator, own in zip(training.data.generators, state["shuffles"], strict=True):
        generator.bit_generator.state = own
    for noise, own in zip(training.data.noise, state["noise"], strict=True):
        noise.set_state(own)
    member.schedule_state, member.lowest, member.signals = state["schedule"], state["lowest"], state["signals"]
    member.net.history_ = ColumnHistory(state["history"])
    member.net.ended_by_callback_ = state["ended_by_callback"]


def _stored(value: Any) -> Any:
    """The same with arrays as tensors, which torch loads without running anything."""
    if isinstance(value, np.ndarray):
        # Of unsigned integers torch knows the small ones only.
        return {"array": torch.from_numpy(value.view(np.int64 if value.dtype == np.uint64 else value.dtype).copy())}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {name: _stored(own) for name, own in value.items()}
    if isinstance(value, list | tuple):
        return [_stored(own) for own in value]
    if value is None or isinstance(value, str | bool | int | float | Tensor):
        return value
    raise TypeError(
        f"`checkpoint` stores numbers, texts and arrays, and a callback has noted {value!r} in the history; "
        "let it keep that elsewhere, or leave `checkpoint` out"
    )


def _restored(value: Any) -> Any:
    """What `_stored` was given, with lists for tuples."""
    if isinstance(value, Mapping):
        if set(value) == {"array"}:
            return value["array"].numpy()
        return {name: _restored(own) for name, own in value.items()}
    return [_restored(own) for own in value] if isinstance(value, list) else value


def _on(value: Any, device: torch.device) -> Any:
    """Tensors in lists and dicts, on a device."""
    if isinstance(value, Mapping):
        return {name: _on(own, device) for name, own in value.items()}
    return [_on(own, device) for own in value] if isinstance(value, list) else value.to(device)
