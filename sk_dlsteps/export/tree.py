"""Objects as JSON and arrays, and back: values of known types only, and nothing that could be executed."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from sk_dlsteps.export.random_sources import SOURCES, source_of, state_of

# Values within values; a model has about fifteen levels of them. A tuple is two in JSON.
MAX_DEPTH = 60
# Bytes that text, each of whose places is as wide as the longest, and objects in several places may come to: so many
# for each byte of the file, and as many in any file. What an object holds counts in each of its places.
MAX_GROWTH, ALWAYS, BYTES_OF_A_VALUE = 16, 2**24, 4
# Kinds of arrays that are written as bytes: truth values, whole numbers and floats.
_BYTES = {np.dtype(name) for name in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")}
_TIMES = "mM"
_SCALARS = (type(None), bool, int, float, str)


class Kind(NamedTuple):
    """How objects of a class become values by name, and are made of them again."""

    take_apart: Callable[[Any], dict[str, Any]]
    put_together: Callable[[dict[str, Any]], Any]


class UnknownType(Exception):
    """A value of a type that a file cannot hold; `path` tells where it stands."""

    def __init__(self, path: tuple[str, ...], value: Any) -> None:
        super().__init__(".".join(path))
        self.path, self.value = path, value


class Known(NamedTuple):
    """What trees may hold besides plain values and arrays, by the names that stand for it.

    Attributes
    ----------
    kinds : dict
        For each class how its objects are taken apart and put together.
    classes : dict
        Classes that are values themselves, such as a torch optimizer.

    """

    kinds: Mapping[type, Kind]
    classes: Mapping[str, type]


class Writer:
    """Turns values into JSON; arrays are gathered by name.

    Parameters
    ----------
    known : Known
        What may be written.
    own : dict
        Objects of the user's own that the reader will be given, by the names of parameters.

    """

    def __init__(self, known: Known, own: Mapping[str, Any]) -> None:
        self.known, self.own = known, own
        self.arrays: dict[str, np.ndarray] = {}
        self._written: dict[int, tuple[int, Any]] = {}

    def node(self, value: Any, path: tuple[str, ...]) -> Any:
        """What stands in the JSON for a value."""
        for name, given in self.own.items():
            if value is given:
                return {"own": name}
        if len(path) > MAX_DEPTH:
            raise UnknownType(path, value)
        if type(value) in _SCALARS:
            return {"float": repr(value)} if isinstance(value, float) and not math.isfinite(value) else value
        if type(value) is list:
            return [self.node(item, (*path, str(i))) for i, item in enumerate(value)]
        if type(value) is tuple:
            return {"tuple": self.node(list(value), path)}
        if type(value) is frozenset:
            return {"frozenset": self.node(sorted(value), path)}
        # A state dict of torch is an ordered one.
        if type(value) in (dict, OrderedDict):
            return self._mapping(value, path)
        if isinstance(value, torch.Tensor):
            return {"tensor": self._array(_as_numpy(value, path), path)}
        if isinstance(value, np.ndarray):
            return self._ndarray(value, path)
        if isinstance(value, np.generic):
            return {"scalar": self._ndarray(np.asarray(value), path)}
        return self._object(value, path)

    def _mapping(self, value: dict, path: tuple[str, ...]) -> Any:
        """A dict, whose keys need not be text."""
        if all(type(key) is str for key in value):
            return {"dict": {key: self.node(own, (*path, key)) for key, own in value.items()}}
        return {"items": [[self.node(k, path), self.node(v, (*path, str(k)))] for k, v in value.items()]}

    def _ndarray(self, value: np.ndarray, path: tuple[str, ...]) -> Any:
        """An array: as bytes, or value by value where it holds text or objects."""
        if type(value) is not np.ndarray:
            raise UnknownType(path, value)
        plain = value.astype(value.dtype.newbyteorder("="), copy=False)
        if plain.dtype in _BYTES:
            by_columns = plain.ndim > 1 and plain.flags.f_contiguous and not plain.flags.c_contiguous
            return {"columns" if by_columns else "array": self._array(plain, path)}
        if plain.dtype.kind in _TIMES:
            return {"time": [plain.dtype.str, self._array(plain.view(np.int64), path)]}
        if plain.dtype.kind in "UO":
            return {"values": [plain.dtype.kind, list(plain.shape), self.node(plain.ravel().tolist(), path)]}
        raise UnknownType(path, value)

    def _array(self, value: np.ndarray, path: tuple[str, ...]) -> str:
        """The name under which an array of numbers is kept: where it stands."""
        name = full = ".".join(path) or "value"
        n = 1
        while name in self.arrays:
            n, name = n + 1, f"{full}#{n + 1}"
        self.arrays[name] = np.asarray(value, order="C")
        return name

    def _object(self, value: Any, path: tuple[str, ...]) -> Any:
        """An object of a known type, or what was written of it already."""
        if id(value) in self._written:
            return {"again": self._written[id(value)][0]}
        if value is ...:
            return {"nothing": None}
        if isinstance(value, torch.dtype):
            return {"torch": str(value).removeprefix("torch.")}
        if isinstance(value, np.dtype) and value in _BYTES:
            return {"dtype": value.str}
        if isinstance(value, type) and self.known.classes.get(value.__name__) is value:
            return {"class": value.__name__}
        if type(value) in SOURCES:
            return {"random": [type(value).__name__, self.node(state_of(value), path)]}
        kind = self.known.kinds.get(type(value))
        if kind is None:
            raise UnknownType(path, value)
        parts = {name: self.node(own, (*path, name)) for name, own in kind.take_apart(value).items()}
        # The object itself is kept, so that its id is nobody else's.
        self._written[id(value)] = len(self._written), value
        return {type(value).__name__: parts}


class Reader:
    """Makes values of JSON and arrays; a ValueError where they are not what a `Writer` leaves.

    Parameters
    ----------
    known : Known
        What may be read.
    arrays : dict
        Arrays by name, each of which has to occur once.
    own : dict
        What the names of objects of the user's own stand for, as far as they were given.
    n_bytes : int
        Of the file.

    """

    def __init__(
        self, known: Known, arrays: Mapping[str, np.ndarray], own: Mapping[str, Any], n_bytes: int = 0
    ) -> None:
        self.known, self.own = known, own
        self._kinds = {kind.__name__: (kind, how) for kind, how in known.kinds.items()}
        self._left = dict(arrays)
        # Each object with the number of values in it, and the values so far.
        self._made: list[tuple[Any, int]] = []
        self._n_values = 0
        self._allowed = max(ALWAYS, MAX_GROWTH * n_bytes)
        self.used: set[str] = set()

    def whole(self, node: Any) -> Any:
        """The value of a whole document, to which all arrays belong."""
        value = self.make(node, 0)
        if self._left:
            raise ValueError(f"it holds an array {next(iter(self._left))!r} that belongs to nothing")
        return value

    def make(self, node: Any, depth: int) -> Any:
        """The value of a node."""
        if depth > 2 * MAX_DEPTH:
            raise ValueError("its values are nested too deeply")
        self._n_values += 1
        if type(node) in _SCALARS:
            if isinstance(node, float) and not math.isfinite(node):
                raise ValueError("it holds a number that is none")
            return node
        if isinstance(node, list):
            return [self.make(item, depth + 1) for item in node]
        if len(node) != 1:
            raise ValueError(f"it holds a value of {len(node)} kinds")
        ((tag, content),) = node.items()
        if tag in self._kinds:
            return self._object(tag, content, depth)
        make = _TAGS.get(tag)
        if make is None:
            raise ValueError(f"it holds a {tag!r}, which is no type of value that this version knows")
        return make(self, content, depth + 1)

    def take(self, name: Any) -> np.ndarray:
        """An array, which nobody else gets."""
        if name not in self._left:
            raise ValueError(f"its array {name!r} is missing")
        return np.require(self._left.pop(name), requirements="W")

    def _object(self, name: str, content: Any, depth: int) -> Any:
        """An object of a known class."""
        before = self._n_values
        kind, how = self._kinds[name]
        parts = {key: self.make(own, depth + 1) for key, own in content.items()}
        made = how.put_together(parts)
        if type(made) is not kind:
            raise ValueError(f"it holds a {name} that is none")
        self._made.append((made, self._n_values - before))
        return made

    def _again(self, place: Any, depth: int) -> Any:
        """An object that was made before."""
        if type(place) is not int or not 0 <= place < len(self._made):
            raise ValueError("it refers to an object that it does not hold")
        made, n_values = self._made[place]
        self._n_values += n_values
        self._grow(BYTES_OF_A_VALUE * n_values)
        return made

    def _grow(self, n_bytes: int) -> None:
        """Raise if what is made of a file becomes far larger than it."""
        self._allowed -= n_bytes
        if self._allowed < 0:
            raise ValueError("it holds values that would be far larger than the file")

    def _own(self, name: Any, depth: int) -> Any:
        """An object of the user's own."""
        if name not in self.own:
            raise ValueError(f"it was saved with a `{name}` of your own; give it: load(path, {name}=...)")
        self.used.add(name)
        return self.own[name]

    def _class(self, name: Any, depth: int) -> type:
        """A class that is a value."""
        if name not in self.known.classes:
            raise ValueError(f"it holds a class {name!r}, which is none that this version knows")
        return self.known.classes[name]

    def _values(self, content: Any, depth: int) -> np.ndarray:
        """An array of text or objects."""
        kind, shape, values = content
        values = self.make(values, depth)
        if kind not in ("U", "O") or math.prod(shape) != len(values) or min(shape, default=0) < 0:
            raise ValueError("it holds an array whose shape is not that of its values")
        if kind == "U" and not all(isinstance(value, str) for value in values):
            raise ValueError("it holds an array of text with something else in it")
        # As wide as the longest text, whatever it was.
        width = max(map(len, values), default=1) if kind == "U" else 1
        self._grow(np.dtype("U1").itemsize * width * len(values))
        out = np.empty(len(values), f"U{width}" if kind == "U" else object)
        out[:] = values
        return out.reshape(shape)

    def _time(self, content: Any, depth: int) -> np.ndarray:
        """An array of dates or durations."""
        dtype = np.dtype(content[0])
        if dtype.kind not in _TIMES:
            raise ValueError(f"it holds times of type {dtype}")
        return self.take(content[1]).view(dtype)


def _as_numpy(tensor: torch.Tensor, path: tuple[str, ...]) -> np.ndarray:
    """A tensor's numbers, on the CPU."""
    try:
        value = tensor.detach().cpu().numpy()
    except TypeError as error:
        raise UnknownType(path, tensor) from error
    if value.dtype not in _BYTES:
        raise UnknownType(path, tensor)
    return value


def _torch_dtype(reader: Reader, name: Any, depth: int) -> torch.dtype:
    """A dtype of torch."""
    dtype = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
    return dtype[name]


def _dtype(reader: Reader, name: Any, depth: int) -> np.dtype:
    """A dtype of numbers."""
    if np.dtype(name) not in _BYTES:
        raise ValueError(f"it holds the dtype {name!r}")
    return np.dtype(name)


def _float(reader: Reader, text: Any, depth: int) -> float:
    """A number that JSON has no word for."""
    if text not in ("nan", "inf", "-inf"):
        raise ValueError(f"it holds a number {text!r}")
    return float(text)


_TAGS: dict[str, Callable[[Reader, Any, int], Any]] = {
    "float": _float,
    "tuple": lambda reader, content, depth: tuple(reader.make(content, depth)),
    "frozenset": lambda reader, content, depth: frozenset(reader.make(content, depth)),
    "dict": lambda reader, content, depth: {key: reader.make(own, depth) for key, own in content.items()},
    "items": lambda reader, content, depth: {reader.make(k, depth): reader.make(v, depth) for k, v in content},
    "array": lambda reader, name, depth: reader.take(name),
    "columns": lambda reader, name, depth: np.asfortranarray(reader.take(name)),
    "tensor": lambda reader, name, depth: torch.from_numpy(reader.take(name)),
    "scalar": lambda reader, content, depth: reader.make(content, depth)[()],
    "values": Reader._values,
    "time": Reader._time,
    "again": Reader._again,
    "own": Reader._own,
    "class": Reader._class,
    "nothing": lambda reader, content, depth: ...,
    "torch": _torch_dtype,
    "dtype": _dtype,
    "random": lambda reader, content, depth: source_of(content[0], reader.make(content[1], depth)),
}
