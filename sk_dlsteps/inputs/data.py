"""A checked table on its way to the networks."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from sk_dlsteps.inputs.shapes import Shape
from sk_dlsteps.inputs.target import Target
from sk_dlsteps.inputs.weights import CountedRows

T = TypeVar("T")


@dataclass(frozen=True)
class Data:
    """A checked table: inputs, a target, what its rows count, and validation data of their own if given.

    `shape` is that of one row before it became one of a table, None for a table; `given` is the table as it came, where
    `X` has been encoded since.
    """

    X: Any
    target: Target
    X_valid: Any = None
    y_valid: np.ndarray | None = None
    weight: np.ndarray | None = None
    weight_valid: np.ndarray | None = None
    counted: CountedRows | None = None
    categorical: np.ndarray | None = None
    shape: Shape | None = None
    shared: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)
    given: Any = None

    @property
    def table(self) -> Any:
        """The checked table as it came, categories included."""
        return self.X if self.given is None else self.given

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was made for this key, by the first of the fits on this table that asked; made anew for None."""
        if key is None:
            return make()
        if key not in self.shared:
            self.shared[key] = make()
        return self.shared[key]


def key_of(kind: Hashable, p: dict[str, Any], *names: str) -> tuple | None:
    """A key for what these parameters decide; None where one of them is not the same for every fit that shows it."""
    values = tuple(p[name] for name in names)
    plain = all(value is None or isinstance(value, str | Real | np.number) for value in values)
    return (kind, *values) if plain and p["random_state"] is not None else None
