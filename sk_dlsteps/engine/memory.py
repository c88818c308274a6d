"""What is done when memory runs out: the same computed in smaller parts, or an error that says what to set."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from sk_dlsteps.engine.batches import Batch, Part
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.exceptions import StepwiseWarning, level_of_the_caller

# How torch words it where it has no error of its own, as on the CPU.
_WORDS = "can't allocate memory", "not enough memory", "out of memory", "bad allocation", "bad_alloc", "alloc_failed"
_WAY_OUT = (
    "set a smaller `batch_size`, fewer `n_estimators` or fewer `hidden_units`, give float32 rows, or train chunk by "
    "chunk with `partial_fit`; what does not fit onto a GPU may fit with device='cpu'"
)


def ran_out(error: BaseException) -> bool:
    """Whether an error says that there was no more memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS)


@contextmanager
def telling_the_way_out() -> Iterator[None]:
    """Turn what says that memory ran out into a MemoryError that tells what to set."""
    try:
        yield
    except Exception as error:
        if not ran_out(error) or _WAY_OUT in str(error):
            raise
        reason = (str(error).splitlines() or ["no more is to be had"])[0]
        raise MemoryError(f"Memory ran out ({reason}). To need less, {_WAY_OUT}.") from error


class Steps:
    """Gradients of minibatches: of whole ones, or in as many parts as memory has asked for so far.

    Those of the parts add up to that of the whole, up to floating-point noise. A module of the user's own draws
    other random numbers for each part, and what it computes across rows it computes within a part.
    """

    def __init__(self) -> None:
        self.n_parts = 1

    def gradients(self, fleet: Fleet, batch: Batch) -> tuple[Tensor, Tensor]:
        """Set the gradients of a minibatch; return losses (k, rows) and raw outputs."""
        most = batch.x.shape[1] if _is_divisible(fleet, batch) else 1
        while True:
            n_parts = min(self.n_parts, most)
            try:
                return fleet.gradients(*batch) if n_parts == 1 else _in_parts(fleet, batch, n_parts)
            except Exception as error:
                if not ran_out(error) or n_parts == most:
                    raise
            # Not before the error is gone, which holds all that was computed.
            self._cut(batch, 2 * n_parts)

    def _cut(self, batch: Batch, n_parts: int) -> None:
        """Compute in so many parts from now on, and tell if that is new."""
        if self.n_parts == 1:
            warnings.warn(
                f"Memory ran out in a minibatch of {batch.x.shape[1]} rows for {len(batch.x)} networks. They are "
                f"computed in parts from now on, which takes longer. To need less memory, {_WAY_OUT}.",
                StepwiseWarning,
                stacklevel=level_of_the_caller(),
            )
        self.n_parts = n_parts
        if batch.x.device.type == "cuda":
            torch.cuda.empty_cache()


def _is_divisible(fleet: Fleet, batch: Batch) -> bool:
    """Whether no row of a minibatch depends on the others, and nobody has divided it already."""
    return batch.sizes is None and batch.part is None and fleet.least_rows == 1 and not fleet.cost.compares_rows


def _in_parts(fleet: Fleet, batch: Batch, n_parts: int) -> tuple[Tensor, Tensor]:
    """What `Fleet.gradients` does, part after part."""
    k, n_rows = batch.x.shape[:2]
    randomness = fleet.randomness
    total: list[Tensor] = []
    losses = raw = torch.empty(0)
    for number in range(n_parts):
        # Each part draws the masks of the whole minibatch, and takes its own.
        fleet.randomness = randomness
        part = Part(number, n_parts, n_rows)
        own_losses, own_raw = fleet.gradients(*batch.share(part))
        gradients = fleet.gradient_tensors(k)
        if number == 0:
            total = [torch.zeros_like(gradient) for gradient in gradients]
            losses, raw = own_losses.new_empty(k, n_rows), own_raw.new_empty(k, n_rows, own_raw.shape[2])
        torch._foreach_add_(total, gradients)
        losses[:, part.rows], raw[:, part.rows] = own_losses, own_raw
    torch._foreach_copy_(fleet.gradient_tensors(k), total)
    return losses, raw
