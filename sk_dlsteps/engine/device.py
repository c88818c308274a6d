"""Where and with how many threads the engine computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

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


def choose_device(device: str) -> str:
    """Resolve "auto" to CUDA, then MPS, then the CPU; check that a named device is there."""
    has: dict[str, Callable[[], bool]] = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if device == "auto":
        return next((name for name, available in has.items() if available()), "cpu")
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f"`device={device!r}` is no torch device; use 'auto', 'cpu', 'cuda' or 'mps'.") from error
    if kind in has and not has[kind]():
        raise ValueError(f"`device={device!r}`: torch sees no such device here; use device='auto' or 'cpu'.")
    return device
