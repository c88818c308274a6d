"""Whether two values of a parameter mean the same: copies are told by what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any

import joblib
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.hooks import RemovableHandle

# What torch keeps in every module.
_OF_TORCH = frozenset(vars(nn.Module()))


def same_setting(before: Any, now: Any) -> bool:
    """Whether two values of a parameter mean the same.

    Modules do if they are of one class and hold the same tensors, children and attributes; sequences if
    their items do, whatever kind of sequence they are.

    Examples
    --------
    >>> same_setting([8, 6], np.array([8, 6])), same_setting(nn.HuberLoss(), nn.HuberLoss(delta=7))
    (True, False)

    """
    if before is now:
        return True
    if _is_simple(before) or _is_simple(now):
        return _is_simple(before) and _is_simple(now) and bool(before == now)
    if isinstance(before, np.ndarray) and isinstance(now, np.ndarray):
        return np.array_equal(before, now) or _same_bytes(before, now)
    if isinstance(before, np.ndarray | Sequence) and isinstance(now, np.ndarray | Sequence):
        return len(before) == len(now) and all(map(same_setting, before, now))
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return before.keys() == now.keys() and all(same_setting(before[key], now[key]) for key in before)
    if type(before) is not type(now):
        return False
    if isinstance(before, Tensor):
        return _same_tensor(before, now)
    if isinstance(before, nn.Module):
        return same_setting(_content(before), _content(now))
    return _same_bytes(before, now)


def _is_simple(value: Any) -> bool:
    """Whether a value is one number, one text or nothing."""
    return value is None or isinstance(value, str | bytes | Number | np.generic)


def _same_tensor(before: Tensor, now: Tensor) -> bool:
    """Whether two tensors of one class hold the same; those that no data has given a size yet do."""
    if is_lazy(before):
        return True
    return before.dtype == now.dtype and torch.equal(before.cpu(), now.cpu())


def _content(module: nn.Module) -> dict[str, Any]:
    """Tensors, children and other attributes of a module by name."""
    own = {name: value for name, value in vars(module).items() if name not in _OF_TORCH}
    own = {name: value for name, value in own.items() if not isinstance(value, RemovableHandle)}
    return {**own, **module._parameters, **module._buffers, **module._modules}


def _same_bytes(before: Any, now: Any) -> bool:
    """Whether two objects are pickled alike or, where pickling cannot take them, have the same parameters."""
    try:
        return joblib.hash(before) == joblib.hash(now)
    except Exception:  # whatever pickling says of an object that it cannot take
        return hasattr(before, "get_params") and same_setting(
            before.get_params(deep=False), now.get_params(deep=False)
        )
