"""Where and with how many threads the engine computes."""

from __future__ import annotations

from collections.abc import Iterator
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
    """Resolve "auto" to CUDA, then the CPU; check that a named device is there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f"`device={device!r}` is no torch device; use 'auto', 'cpu' or 'cuda'.") from error
    if kind == "mps":
        raise ValueError(f"`device={device!r}`: targets are kept in float64, which MPS lacks; use device='cpu'.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"`device={device!r}`: torch sees no such device here; use device='auto' or 'cpu'.")
    return device
