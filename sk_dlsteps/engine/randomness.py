"""Global generators, lent to one network at a time."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

# They belong to the whole process, and a search may train in several of its threads.
_lock = threading.RLock()


def _after_fork() -> None:
    """Have a lock that no thread of the parent's holds; the generators go on from where they were at the fork.

    To put them back here could wait for ever: torch's and numpy's own locks on them are copied as they are.
    """
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def borrowed_generators(gpu: torch.device | None = None) -> Iterator[None]:
    """Have torch's global generators, and that of a GPU, to oneself inside; afterwards they are as before."""
    kind = None if gpu is None else gpu.type
    with _lock, torch.random.fork_rng(devices=[gpu] if kind == "cuda" else []):
        on_mps = torch.mps.get_rng_state() if kind == "mps" else None
        try:
            yield
        finally:
            if on_mps is not None:
                torch.mps.set_rng_state(on_mps)


@contextmanager
def seeded_generators(seed: int, gpu: torch.device | None = None) -> Iterator[None]:
    """Start torch's, numpy's and Python's global generators from a seed inside; afterwards they are as before."""
    with borrowed_generators(gpu):
        of_numpy, of_python = np.random.get_state(), random.getstate()
        try:
            torch.default_generator.manual_seed(seed)
            if gpu is not None:
                getattr(torch, gpu.type).manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            yield
        finally:
            np.random.set_state(of_numpy)
            random.setstate(of_python)
