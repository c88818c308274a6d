"""Where and with how many threads the engine computes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from skorch.exceptions import DeviceWarning
from torch import Tensor

# Below this many floating-point operations a step, threads wait for each other
# longer than they compute (measured: docs/benchmarks.md, "Threads").
_FLOPS_PER_THREAD = 2e8


@contextmanager
def threads(n_threads: int) -> Iterator[None]:
    """Let torch use `n_threads` threads inside, and as many as before outside."""
    before = torch.get_num_threads()
    if n_threads == before:
        yield
        return
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_threads(flops: float) -> int:
    """Threads that pay for so many floating-point operations at a time."""
    return int(max(1, min(torch.get_num_threads(), flops / _FLOPS_PER_THREAD)))


def choose_device(device: str, accelerator: Any = None) -> str:
    """Resolve "auto" to an accelerator's, else to CUDA, then MPS, then the CPU; check that a named device is there."""
    if accelerator is not None:
        kind = accelerator.device.type
        # Without a number on the CPU: no torch file can be loaded onto "cpu:0".
        own = "cpu" if kind == "cpu" else str(accelerator.device)
        if device not in ("auto", kind, own):
            raise ValueError(f"`device={device!r}`: the `accelerator` computes on {own!r}; use device='auto'.")
        return own
    if device == "auto":
        return next((kind for kind in ("cuda", "mps") if is_available(kind)), "cpu")
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f"`device={device!r}` is no torch device; use 'auto', 'cpu', 'cuda' or 'mps'.") from error
    if not is_available(kind):
        raise ValueError(f"`device={device!r}`: torch sees no such device here; use device='auto' or 'cpu'.")
    # Without a number on the CPU, as above.
    return kind if kind == "cpu" else device


def device_to_load_onto(device: str) -> str:
    """Where a net goes that was trained on a device which may not be here: to another of that kind, or to the CPU."""
    kind, number = torch.device(device).type, torch.device(device).index
    if not is_available(kind):
        warnings.warn(f"This net was trained on {device!r}, which is not here; it goes onto the CPU.", DeviceWarning, 3)
        return "cpu"
    return kind if kind == "cuda" and number is not None and number >= torch.cuda.device_count() else device


def is_available(kind: str) -> bool:
    """Whether a kind of device is there; torch itself says so of those it is not asked about here."""
    if kind == "mps":
        return torch.backends.mps.is_available()
    return kind != "cuda" or torch.cuda.is_available()


def widest_float(device: torch.device | str) -> torch.dtype:
    """The most precise floats that a device computes with: float64, which Apple's GPUs lack."""
    return torch.float32 if torch.device(device).type == "mps" else torch.float64


def as_tensor(values: np.ndarray) -> Tensor:
    """An array as a tensor, without a copy where rows lie in order: nothing here writes into it."""
    values = np.asarray(values, order="C")
    if values.flags.writeable:
        return torch.from_numpy(values)
    with warnings.catch_warnings():
        # Of arrays that are read-only, such as a DataFrame's or a file's.
        warnings.filterwarnings("ignore", "The given NumPy array is not writ", UserWarning)
        return torch.from_numpy(values)
