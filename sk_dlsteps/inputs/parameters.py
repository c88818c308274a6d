"""The door for parameters: one table of what each may be."""

from __future__ import annotations

import difflib
import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from torch import Tensor, nn

from sk_dlsteps.engine.mlp_fleet import ACTIVATIONS
from sk_dlsteps.engine.precision import PRECISIONS
from sk_dlsteps.step2_architecture.architectures import ARCHITECTURES
from sk_dlsteps.step2_architecture.custom import ModuleChoice
from sk_dlsteps.step3_training.optimizers import OPTIMIZERS
from sk_dlsteps.step3_training.schedules import SCHEDULES


def _integer(low: int) -> tuple[Callable[[Any], bool], str]:
    """A whole number of at least `low`."""
    return lambda v: _is(Integral, v) and v >= low, f"an integer of at least {low}"


def _real(low: float, high: float = np.inf, closed: bool = True) -> tuple[Callable[[Any], bool], str]:
    """A number above (or, closed, from) `low`, below `high`."""
    text = f"a number {'of at least' if closed else 'above'} {low:g}" + (
        f" and below {high:g}" if high < np.inf else ""
    )
    return lambda v: _is(Real, v) and (low <= v if closed else low < v) and v < high, text


def _one_of(*values: Any) -> tuple[Callable[[Any], bool], str]:
    """One of a few strings."""
    return lambda v: isinstance(v, str) and v in values, " or ".join(repr(v) for v in values)


def _either(*checks: tuple[Callable[[Any], bool], str]) -> tuple[Callable[[Any], bool], str]:
    """Any of several."""
    return lambda v: any(test(v) for test, _ in checks), ", ".join(text for _, text in checks)


def _is(kind: type, value: Any) -> bool:
    """Whether a value is a number of that kind that a machine can hold; True and False are none."""
    return isinstance(value, kind) and not _is_bool(value) and not _is_too_large(value)


def _is_too_large(value: Any) -> bool:
    """Whether a value is a whole number beyond those of 64 bits."""
    return isinstance(value, Integral) and not -(2**63) <= int(value) < 2**64


def _is_bool(value: Any) -> bool:
    """Whether a value is a truth value, numpy's included."""
    return isinstance(value, bool | np.bool_)


def _is_subclass(value: Any, parent: type) -> bool:
    """Whether a value is a class below `parent`."""
    return inspect.isclass(value) and issubclass(value, parent)


def _is_sequence(value: Any) -> bool:
    """Whether a value is a list, a tuple or an array of one dimension, and not empty."""
    if isinstance(value, np.ndarray):
        return value.ndim == 1 and len(value) > 0
    return isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) > 0


def _is_array_like(value: Any) -> bool:
    """Whether a value is a sequence or an array of one dimension, which may be empty."""
    if hasattr(value, "__array__"):
        return np.ndim(value) == 1
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_random_state(value: Any) -> bool:
    """Whether numpy's RandomState can be made from a value."""
    seed = _is(Integral, value) and 0 <= value < 2**32
    return seed or value is None or isinstance(value, np.random.RandomState)


_AUTO = _one_of("auto")
_NONE = (lambda v: v is None, "None")
_BOOL = (_is_bool, "True or False")
_CALLABLE = (lambda v: callable(v) and not inspect.isclass(v), "a callable")
_AUGMENTATION = (_CALLABLE[0], "a callable (X, y, generator) -> (X, y) or a transform of an image")
_UNITS = (
    lambda v: _is_sequence(v) and all(map(_integer(1)[0], v)),
    "a non-empty sequence of integers of at least 1",
)
_RATE = _real(0, 1)
_RATES = (
    lambda v: _is_sequence(v) and all(map(_RATE[0], v)),
    "a non-empty sequence of such numbers",
)
_LEVELS = (
    lambda v: _is_sequence(v) and all(map(_real(0, 1, closed=False)[0], v)) and all(a < b for a, b in pairwise(v)),
    "a non-empty sequence of strictly increasing numbers above 0 and below 1",
)
_WEIGHTS = (
    lambda v: isinstance(v, Mapping) and all(map(_real(0)[0], v.values())),
    "a dict {label: weight} of weights of at least 0",
)
_TRANSFORMER = (
    lambda v: not inspect.isclass(v) and hasattr(v, "fit") and hasattr(v, "transform"),
    "a scikit-learn transformer",
)
_ACCELERATOR = (
    lambda v: not inspect.isclass(v) and all(hasattr(v, name) for name in ("num_processes", "process_index", "reduce")),
    "an accelerate.Accelerator",
)
_PATTERNS = (
    lambda v: isinstance(v, Mapping) and len(v) > 0 and all(isinstance(key, str) for key in v),
    "a dict {pattern: value}",
)
_SOURCE = (
    lambda v: _is_fitted_stepwise(v.estimator if isinstance(v, FrozenEstimator) else v),
    "a fitted StepwiseRegressor or StepwiseClassifier (of a pipeline or a search, the estimator itself)",
)
_STATE = (
    lambda v: isinstance(v, Mapping) and len(v) > 0 and all(isinstance(tensor, Tensor) for tensor in v.values()),
    "a state dict of tensors",
)
_CRITERION = (
    lambda v: isinstance(v, str) or (callable(v) and (not inspect.isclass(v) or issubclass(v, nn.Module))),
    "a name, a torch criterion (class or instance) or a callable (output, target) -> loss per row",
)
_MODULE = (
    lambda v: callable(v),
    "a torch.nn.Module class or instance or a factory (n_inputs, n_outputs) -> module",
)

_CALLBACKS = (
    lambda v: isinstance(v, Sequence) and not isinstance(v, str | bytes) and all(map(_is_callback, v)),
    "a list of skorch callbacks or pairs (name, callback)",
)


def _is_callback(value: Any) -> bool:
    """Whether a value is a callback, its class or, after a name, one or None."""
    if isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], str):
        return value[1] is None or _is_callback(value[1])
    return hasattr(value, "initialize") and hasattr(value, "set_params")


def _is_fitted_stepwise(value: Any) -> bool:
    """Whether a value is one of our estimators, fitted."""
    return not inspect.isclass(value) and all(hasattr(value, name) for name in ("pipeline_", "plan_", "_memory"))


TABLE: dict[str, tuple[Callable[[Any], bool], str]] = {
    "loss": _CRITERION,
    "quantiles": _LEVELS,
    "hidden_units": _either(_one_of("auto", "midpoint"), _integer(1), _UNITS),
    "hidden_size_factor": _real(0, closed=False),
    "n_hidden_layers": _integer(1),
    "activation": _one_of(*ACTIVATIONS),
    "module": _either(_one_of("mlp", *ARCHITECTURES), _MODULE),
    "input_shape": _either(_NONE, _UNITS),
    "scaler": _either(_NONE, _one_of("standard", "robust"), _TRANSFORMER),
    "input_clip": _either(_NONE, _real(0, closed=False)),
    "numeric_encoding": _either(_NONE, _one_of("auto", "piecewise_linear")),
    "init_from": _either(_NONE, _SOURCE, _STATE, (lambda v: isinstance(v, nn.Module), "a torch.nn.Module")),
    "unfreeze": _either(
        _AUTO,
        _BOOL,
        _integer(1),
        (lambda v: _PATTERNS[0](v) and all(map(_integer(0)[0], v.values())), "a dict {pattern: epoch}"),
    ),
    "differential_rates": _either(
        _AUTO,
        (lambda v: _is(Real, v) and 0 < v <= 1, "a number above 0 and of at most 1"),
        (
            lambda v: _PATTERNS[0](v) and all(map(_real(0, closed=False)[0], v.values())),
            "a dict {pattern: factor} of factors above 0",
        ),
    ),
    "optimizer": _either(
        _one_of(*OPTIMIZERS), (lambda v: _is_subclass(v, torch.optim.Optimizer), "a torch.optim.Optimizer class")
    ),
    "learning_rate": _either(_AUTO, _real(0, closed=False)),
    "momentum": _real(0, 1),
    "lr_schedule": _either(_one_of(*SCHEDULES), _CALLABLE),
    "restart_period": _either(_AUTO, _integer(1)),
    "restart_mult": _integer(1),
    "batch_size": _either(_AUTO, _integer(1)),
    "max_epochs": _either(_AUTO, _integer(1)),
    "dropout": _either(_RATE, _RATES),
    "weight_decay": _real(0),
    "batch_norm": _BOOL,
    "max_grad_norm": _either(_AUTO, _NONE, _real(0, closed=False)),
    "max_grad_value": _either(_NONE, _real(0, closed=False)),
    "augmentation": _either(_NONE, _one_of("gaussian_noise", "image", "mixup", "swap_noise"), _AUGMENTATION),
    "class_weight": _either(_NONE, _one_of("balanced"), _WEIGHTS),
    "calibrate": _BOOL,
    "early_stopping": _BOOL,
    "n_iter_no_change": _either(_AUTO, _integer(1)),
    "validation_fraction": _real(0, 1, closed=False),
    "n_estimators": _either(_AUTO, _integer(1)),
    "categorical_features": (
        lambda v: v is None or (v == "from_dtype" if isinstance(v, str) else _is_array_like(v)),
        "'from_dtype', None, or a mask, indices or names of columns",
    ),
    "device": (lambda v: isinstance(v, str), "'auto', 'cpu', 'cuda' or another torch device"),
    "mixed_precision": _either(_NONE, _one_of(*PRECISIONS)),
    "accelerator": _either(_NONE, _ACCELERATOR),
    "n_threads": _either(_AUTO, _integer(1)),
    "callbacks": _either(_NONE, _CALLBACKS),
    "warm_start": _BOOL,
    "checkpoint": _either(_NONE, (lambda v: isinstance(v, str | os.PathLike) and str(v) != "", "a folder")),
    "checkpoint_every": _integer(1),
    "on_interrupt": _one_of("raise", "keep"),
    "random_state": (_is_random_state, "None, an integer from 0 to 4294967295 or a numpy RandomState"),
    "verbose": (lambda v: _is_bool(v) or _integer(0)[0](v), "an integer of at least 0"),
}


def check_parameters(parameters: dict[str, Any]) -> None:
    """Raise a ValueError that names the first of an estimator's parameters that is not what it may be."""
    for name in [name for name in TABLE if name in parameters]:
        check_parameter(name, parameters[name])
    ModuleChoice.of(parameters).check()


def check_parameter(name: str, value: Any) -> None:
    """Raise a ValueError if a parameter of that name is not what it may be."""
    test, text = TABLE[name]
    if not test(value):
        raise ValueError(f"`{name}` must be {text}, got {value!r}{_suggestion(value, text)}")


def _suggestion(value: Any, text: str) -> str:
    """What a mistyped name was meant to be, or that a class is none of its instances."""
    kinds = "a callable", "a scikit-learn transformer", "an accelerate.Accelerator"
    if _is_too_large(value):
        return "; it is too large to compute with"
    if inspect.isclass(value) and any(kind in text for kind in kinds):
        return f"; give an instance: {value.__name__}(...)"
    names = re.findall(r"'(\w+)'", text)
    near = difflib.get_close_matches(value, names, n=1) if isinstance(value, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""
