"""Whether a value is of the type that an annotation names."""

from __future__ import annotations

import collections.abc
import types
from functools import cache
from numbers import Integral, Real
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np


def is_of_type(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation says, containers looked into.

    Examples
    --------
    >>> is_of_type((1, 2), tuple[int, ...]), is_of_type([1.5], list[int]), is_of_type(None, float | None)
    (True, False, True)

    """
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(is_of_type(value, part) for part in parts)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if parts[1:] == (...,):
            return all(is_of_type(item, parts[0]) for item in value)
        return len(value) == len(parts) and all(map(is_of_type, value, parts))
    if origin in (dict, collections.abc.Mapping):
        key, own = parts
        return isinstance(value, dict) and all(is_of_type(k, key) and is_of_type(v, own) for k, v in value.items())
    if origin in (list, collections.abc.Sequence):
        return isinstance(value, list | tuple) and all(is_of_type(item, parts[0]) for item in value)
    if origin is collections.abc.Callable:
        return callable(value)
    if hint in (int, float):
        kind = Integral if hint is int else Real
        return isinstance(value, kind) and not isinstance(value, bool | np.bool_)
    return isinstance(value, origin or hint)


@cache
def hints_of(cls: type) -> dict[str, Any]:
    """Annotations of a class, by name."""
    return get_type_hints(cls)
