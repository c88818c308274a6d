"""Fits that go on after they were cut off: which checkpoint is whose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from skorch.callbacks import EarlyStopping, LRScheduler, ParamMapper
from torch import nn

from sk_dlsteps.content import content_of
from sk_dlsteps.engine.checkpoint import Checkpoint
from sk_dlsteps.inheritance import fitted_source
from sk_dlsteps.inputs.data import Data

# What may be another one when a fit goes on.
_MAY_CHANGE = {"callbacks", "checkpoint", "checkpoint_every", "n_threads", "on_interrupt", "verbose", "warm_start"}
# skorch's callbacks that steer training by what they remember of it, and what does the same from a checkpoint on.
_STEERING = {EarlyStopping: "`n_iter_no_change`", LRScheduler: "`lr_schedule`", ParamMapper: "`unfreeze`"}


@contextmanager
def open_checkpoint(parameters: dict[str, Any], data: Data, *begins_from: Any) -> Iterator[Checkpoint | None]:
    """The checkpoint of a fit, told by its parameters, its rows and what it begins from; it is nobody else's meanwhile.

    It has a folder of its own in the user's, so that the fits of a search do not meet.
    """
    if parameters["checkpoint"] is None:
        yield None
        return
    _check_callbacks(parameters["callbacks"])
    if parameters["accelerator"] is not None:
        raise ValueError("`checkpoint` stores the fits of single processes; leave it out, or set `accelerator` to None")
    if isinstance(parameters["random_state"], np.random.RandomState):
        raise ValueError(
            "`random_state` is a RandomState, which has moved on when a fit is tried again from its `checkpoint`; "
            "give an integer or None"
        )
    own = {name: value for name, value in parameters.items() if name not in _MAY_CHANGE}
    source = fitted_source(own["init_from"])
    if source is not None:
        own["init_from"] = _tensors(source.pipeline_[-1].module_)
    rows = data.table, data.shape, data.weight, data.X_valid, data.y_valid, data.weight_valid
    target = type(data.target).__name__, data.target.values, data.target.classes
    start = [_tensors(part) if isinstance(part, nn.Module) else part for part in begins_from]
    name = _name_of((version("sk_dlsteps"), rows, target, start), own)
    folder = Path(parameters["checkpoint"]).expanduser()
    checkpoint = Checkpoint.lock(folder, f"fit_{name}", parameters["checkpoint_every"])
    try:
        yield checkpoint
    finally:
        checkpoint.unlock()


def _name_of(fit: Any, parameters: dict[str, Any]) -> str:
    """A short text for a fit."""
    contents = [content_of(fit)]
    for name, value in sorted(parameters.items()):
        try:
            contents.append(content_of((name, value)))
        except Exception as error:  # whatever an object says that cannot be taken apart
            raise ValueError(
                f"`{name}` holds something that cannot be known again in another process ({error}), as `checkpoint` "
                "must; leave `checkpoint` out, or let it be made when it is needed"
            ) from error
    return content_of(contents)[:16]


def leave_checkpoint(estimator: Any, checkpoint: Checkpoint | None) -> None:
    """Take away the checkpoint of a fit that is done: one that was interrupted may go on, unless by a warm start."""
    if checkpoint is not None and (estimator.warm_start or not estimator.pipeline_[-1].interrupted_):
        checkpoint.remove()


def _check_callbacks(callbacks: Any) -> None:
    """Raise for callbacks that steer training by what they have seen of it, which no checkpoint knows."""
    for callback in callbacks or ():
        own = callback[1] if isinstance(callback, tuple) else callback
        kind = own if isinstance(own, type) else type(own)
        for steering, ours in _STEERING.items():
            if issubclass(kind, steering):
                raise ValueError(
                    f"`callbacks` holds skorch's {kind.__name__}, which begins anew when a fit goes on from its "
                    f"`checkpoint`; use {ours} instead, or leave `checkpoint` out"
                )


def _tensors(module: nn.Module) -> dict[str, Any]:
    """All tensors of a module by name."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}
