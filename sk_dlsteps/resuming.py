"""Fits that go on after they were cut off: which checkpoint is whose."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
from skorch.callbacks import EarlyStopping, LRScheduler
from torch import Tensor, nn

from sk_dlsteps.engine.checkpoint import Checkpoint
from sk_dlsteps.inheritance import fitted_source
from sk_dlsteps.inputs.data import Data

# What a fit does not depend on: it may be another one when the fit goes on.
_WITHOUT_EFFECT = {"callbacks", "checkpoint", "checkpoint_every", "n_threads", "on_interrupt", "verbose", "warm_start"}


def find_checkpoint(
    parameters: dict[str, Any], data: Data, entropy: Any, fleet: nn.Module | None = None
) -> Checkpoint | None:
    """The checkpoint of a fit, by what it is a fit of: parameters, rows, and the fleet that it trains on, if any.

    It has its own folder in the user's, so that the fits of a search do not meet.
    """
    if parameters["checkpoint"] is None:
        return None
    _check_callbacks(parameters["callbacks"])
    if parameters["accelerator"] is not None:
        raise ValueError("`checkpoint` stores the fits of single processes; leave it out, or set `accelerator` to None")
    own = {name: value for name, value in parameters.items() if name not in _WITHOUT_EFFECT}
    target, table = data.target, [data.table, data.weight, data.X_valid, data.y_valid, data.weight_valid]
    contents = [version("sk_dlsteps"), own, table, type(target).__name__, target.values, target.classes, fleet]
    folder = Path(parameters["checkpoint"]) / f"fit_{joblib.hash(_plain(contents))[:16]}"
    return Checkpoint.find(folder, parameters["checkpoint_every"], entropy)


def _check_callbacks(callbacks: Any) -> None:
    """Raise for callbacks that steer training by what they have seen of it, which no checkpoint knows."""
    for callback in callbacks or ():
        own = callback[1] if isinstance(callback, tuple) else callback
        kind = own if isinstance(own, type) else type(own)
        if issubclass(kind, EarlyStopping | LRScheduler):
            ours = "n_iter_no_change" if issubclass(kind, EarlyStopping) else "lr_schedule"
            raise ValueError(
                f"`callbacks` holds skorch's {kind.__name__}, which begins anew when a fit goes on from its "
                f"`checkpoint`; use `{ours}` instead, or leave `checkpoint` out"
            )


def _plain(value: Any) -> Any:
    """What can be hashed to the same in every process, for parameters of any kind."""
    source = fitted_source(value)
    if source is not None:
        return _plain(source.pipeline_[-1].module_)
    if isinstance(value, nn.Module):
        return type(value).__qualname__, repr(value), _plain(value.state_dict())
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    if inspect.isroutine(value) or inspect.isclass(value):
        return value.__module__, value.__qualname__
    if isinstance(value, Mapping):
        return {str(name): _plain(own) for name, own in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(own) for own in value]
    try:
        joblib.hash(value)
    except Exception:  # whatever pickling says of an object that it cannot take
        return type(value).__qualname__
    return value
