"""Where and with how many threads the engine computes."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from joblib.parallel import get_active_backend
from skorch.exceptions import DeviceWarning
from torch import Tensor

# Below this many floating-point operations a step, threads wait for each other
# longer than they compute (measured: docs/benchmarks.md, "Threads").
_FLOPS_PER_THREAD = 2e8
# One thread at a time counts threads.
_COUNTING = threading.Lock()
# Whether this process was forked: torch's threads stayed behind, and more than one would wait for them for ever.
_forked = False


@contextmanager
def threads(n_threads: int | None = None, *, begins_none: bool = False) -> Iterator[None]:
    """Let torch use `n_threads` threads inside, and as many as before outside.

    None leaves the number as it is. In a forked process it is 1 in any case, so that whatever may be large is computed
    inside. `begins_none` says that no thread of Python's begins inside: where there is but one, it needs no care.
    """
    before = torch.get_num_threads()
    wanted = 1 if _forked else n_threads or before
    if wanted == before:
        yield
        return
    count = torch.set_num_threads if begins_none and threading.active_count() == 1 else _set_here
    try:
        count(wanted)
        yield
    finally:
        count(before)


def _set_here(n_threads: int) -> None:
    """Let this thread of Python's use so many, and those that begin later as many as if nothing had been set.

    Torch counts for each thread of Python's, but a new one begins with what any other has set last: a new one sets
    its own number again, also if a Ctrl-C comes in between.
    """
    is_known, is_set = threading.Event(), threading.Event()

    def keep() -> None:
        of_later = torch.get_num_threads()
        is_known.set()
        is_set.wait()
        torch.set_num_threads(of_later)

    with _COUNTING:
        later = threading.Thread(target=keep)
        try:
            later.start()
            is_known.wait()
            torch.set_num_threads(n_threads)
        finally:
            is_set.set()
            if later.is_alive():
                later.join()


def _after_fork() -> None:
    """Know that torch's threads are gone, and that nobody counts."""
    global _forked, _COUNTING
    _forked, _COUNTING = True, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def choose_threads(flops: float) -> int:
    """Threads that pay for so many floating-point operations at a time; one where joblib's threads share the cores."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main and getattr(get_active_backend()[0], "nesting_level", False):
        return 1
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
    """Whether a kind of device is there."""
    if kind == "mps":
        return torch.backends.mps.is_available()
    if kind == "cuda":
        return torch.cuda.is_available()
    return kind == "cpu" or _holds_numbers(kind)


def _holds_numbers(kind: str) -> bool:
    """Whether a tensor can be made on a kind of device and read again."""
    try:
        return torch.zeros(1, device=kind).item() == 0
    except (AssertionError, NotImplementedError, RuntimeError):  # what torch raises depends on the kind
        return False


def widest_float(device: torch.device | str) -> torch.dtype:
    """The most precise floats that a device computes with: float64, which Apple's GPUs lack."""
    return torch.float32 if torch.device(device).type == "mps" else torch.float64


def as_tensor(values: np.ndarray) -> Tensor:
    """An array as a tensor, without a copy where rows lie in order: nothing here writes into it."""
    values = np.asarray(values, order="C")
    if values.flags.writeable:
        return torch.from_numpy(values)
    return torch.from_numpy(np.asarray(_Unlocked(values)))


class _Unlocked:
    """A read-only array, such as a DataFrame's or a file's, as if it were not, so that torch does not warn of it.

    Not to hear it would take a change of the warnings' filters, which belong to all threads of the process.
    """

    def __init__(self, values: np.ndarray) -> None:
        interface = values.__array_interface__
        self.values, self.__array_interface__ = values, {**interface, "data": (interface["data"][0], False)}
