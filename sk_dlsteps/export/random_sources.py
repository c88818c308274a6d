"""numpy's sources of random numbers, by their states."""

from __future__ import annotations

from typing import Any

import numpy as np

_BITS = (np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64)
SOURCES: tuple[type, ...] = (np.random.Generator, np.random.RandomState, *_BITS)


def state_of(source: Any) -> dict[str, Any]:
    """The state of a source: numbers, arrays and the name of what makes its bits."""
    if isinstance(source, np.random.RandomState):
        return source.get_state(legacy=False)
    return dict((source if isinstance(source, _BITS) else source.bit_generator).state)


def source_of(name: str, state: dict[str, Any]) -> Any:
    """A source that goes on from a state; one of `SOURCES` by its name."""
    if name == "RandomState":
        source = np.random.RandomState(0)
        source.set_state(state)
        return source
    makers = {kind.__name__: kind for kind in _BITS}
    bits: Any = makers[state["bit_generator"] if name == "Generator" else name](0)
    bits.state = state
    return np.random.Generator(bits) if name == "Generator" else bits
