"""A text for what any value holds, the same in every process."""

from __future__ import annotations

import enum
import functools
import hashlib
import inspect
import logging
import sys
import types
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

import joblib
import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sk_dlsteps.inputs.columns import column_at, is_frame, label_of

# What prints as what it is.
_PLAIN = (str, bytes, bool, int, float, complex, type(None), type(...), enum.Enum, PurePath, range)
_PRINTED = (torch.dtype, torch.device, np.dtype)


def content_of(value: Any) -> str:
    """A text that two values share if they hold the same: numbers, tables, functions with all they refer to, objects.

    Parameters
    ----------
    value : object
        Of an object its class and its attributes count, of a function its code, its defaults and what it refers to
        of its module's names and of what stands around it; of what packages bring along only the name. Of a table
        the columns count, and neither its index nor where its memory lies.

    Raises
    ------
    TypeError
        If it holds something that only exists in this process, such as a lock.

    Examples
    --------
    >>> content_of([1, {2, 3}]) == content_of([1, {3, 2}])
    True
    >>> content_of({"a": 1, "b": 2}) == content_of({"a": 2, "b": 1})
    False

    """
    return _digest(value, ())


def _digest(value: Any, above: tuple[int, ...]) -> str:
    """The text of a value; one that stands above itself is told by how far."""
    if isinstance(value, _PLAIN + _PRINTED):
        return _hashed(type(value).__qualname__, repr(value))
    if id(value) in above:
        return _hashed("above", len(above) - above.index(id(value)))
    parts = _parts(value)
    return _hashed(type(value).__qualname__, *(_digest(part, (*above, id(value))) for part in parts))


def _hashed(*texts: Any) -> str:
    """One text for several."""
    return hashlib.sha256("\0".join(map(str, texts)).encode("utf-8", "surrogatepass")).hexdigest()


def _parts(value: Any) -> Iterable[Any]:
    """What a value consists of, in an order that is the same everywhere."""
    for test, parts in _KINDS:
        if test(value):
            return parts(value)
    if hasattr(value, "__dict__"):
        return type(value), vars(value)
    # What C made tells of itself only by how it is made again.
    _, *made_of = value.__reduce_ex__(2)
    return type(value), *map(_listed, made_of)


def _listed(value: Any) -> Any:
    """Iterators as lists."""
    return list(value) if isinstance(value, types.GeneratorType | type(iter([])) | type(iter({}.items()))) else value


def _of_array(value: Any) -> Iterable[Any]:
    """Shape, type and bytes; single objects where there are such."""
    if value.dtype.hasobject:
        return value.shape, value.tolist()
    return value.shape, value.dtype, joblib.hash(np.ascontiguousarray(value))


def _of_tensor(value: Tensor) -> Iterable[Any]:
    """Type, and values as numpy can hold them."""
    held = value.detach().cpu()
    return value.dtype, (held.float() if held.dtype == torch.bfloat16 else held).numpy()


def _of_sparse(value: Any) -> Iterable[Any]:
    """Rows, columns and values in their order."""
    rows = sparse.csr_array(value, copy=True)
    rows.sum_duplicates()
    return rows.shape, rows.indptr.astype(np.int64), rows.indices.astype(np.int64), rows.data


def _of_frame(value: Any) -> Iterable[Any]:
    """Name, type and values of each column."""
    columns = [column_at(value, i) for i in range(value.shape[1])]
    return [(label_of(value, i), str(own.dtype), np.asarray(own)) for i, own in enumerate(columns)]


def _of_function(value: types.FunctionType) -> Iterable[Any]:
    """Its name; of one that is somebody's own, also code, defaults, and what it refers to."""
    name = value.__module__, value.__qualname__
    if not _is_own(value.__module__):
        return name
    cells = [_in_cell(cell) for cell in value.__closure__ or ()]
    names = sorted({*_names_in(value.__code__)} & {*value.__globals__})
    globals_ = [(name, value.__globals__[name]) for name in names]
    return *name, value.__code__, value.__defaults__, value.__kwdefaults__, cells, globals_


def _in_cell(cell: types.CellType) -> Any:
    """What a function has taken from around it; None if nothing stands there yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _names_in(code: types.CodeType) -> Iterable[str]:
    """The names that a piece of code, and those within it, look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if inspect.iscode(constant):
            yield from _names_in(constant)


def _of_class(value: type) -> Iterable[Any]:
    """Its name; of one that is somebody's own, also all that stands in it, and what it descends from."""
    name = value.__module__, value.__qualname__
    if not _is_own(value.__module__):
        return name
    own = {name: part for name, part in vars(value).items() if name not in _OF_CLASSES}
    return *name, own, value.__bases__


def _is_own(module: str | None) -> bool:
    """Whether a module is none of those that packages bring along, whose versions say what is in them."""
    package = (module or "builtins").partition(".")[0]
    return (package not in _PACKAGES and package not in sys.stdlib_module_names) or package == "__main__"


# Packages whose code stays the same while a fit waits, and what Python itself puts into classes.
_PACKAGES = {
    "torch",
    "torchvision",
    "sklearn",
    "skorch",
    "numpy",
    "scipy",
    "pandas",
    "polars",
    __name__.partition(".")[0],
}
_OF_CLASSES = {
    "__dict__",
    "__weakref__",
    "__doc__",
    "__module__",
    "__abstractmethods__",
    "_abc_impl",
    "__annotations__",
}

_KINDS: tuple[tuple[Any, Any], ...] = (
    (lambda v: isinstance(v, np.ndarray | np.generic), lambda v: _of_array(np.asarray(v))),
    (lambda v: isinstance(v, Tensor), _of_tensor),
    (sparse.issparse, _of_sparse),
    (is_frame, _of_frame),
    (lambda v: isinstance(v, Mapping), lambda v: sorted((_hashed(_digest(k, ())), own) for k, own in v.items())),
    (lambda v: isinstance(v, list | tuple), lambda v: v),
    (lambda v: isinstance(v, set | frozenset), lambda v: sorted(_digest(own, ()) for own in v)),
    (inspect.isfunction, _of_function),
    (inspect.iscode, lambda v: (v.co_code, v.co_names, v.co_consts, v.co_varnames)),
    (inspect.isclass, _of_class),
    (inspect.ismethod, lambda v: (v.__func__, v.__self__)),
    (inspect.isbuiltin, lambda v: (v.__module__, v.__qualname__)),
    (inspect.ismodule, lambda v: [v.__name__]),
    (lambda v: isinstance(v, np.ufunc), lambda v: [v.__name__]),
    (lambda v: isinstance(v, logging.Logger), lambda v: [v.name]),
    (lambda v: isinstance(v, staticmethod | classmethod), lambda v: [v.__func__]),
    (lambda v: isinstance(v, property), lambda v: (v.fget, v.fset, v.fdel)),
    (lambda v: isinstance(v, functools.partial), lambda v: (v.func, v.args, v.keywords)),
    (lambda v: isinstance(v, torch.Generator), lambda v: [v.get_state()]),
    (lambda v: isinstance(v, np.random.RandomState), lambda v: v.get_state()),
    (lambda v: isinstance(v, np.random.Generator), lambda v: [v.bit_generator.state]),
)
