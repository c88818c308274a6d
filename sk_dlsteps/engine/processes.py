"""Several processes that train one fleet, each on its share of every minibatch."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Checkpoint, PrintLog, ProgressBar, TrainEndCheckpoint
from torch import Tensor, nn

from sk_dlsteps.engine.batches import count_batches
from sk_dlsteps.plan import Plan

# skorch's callbacks that write to the screen or to disk, and those that write to other people's services.
_WRITERS = (Checkpoint, TrainEndCheckpoint, PrintLog, ProgressBar)
_WRITERS_MODULE = "skorch.callbacks.logging"


class Processes:
    """The processes of an ``accelerate.Accelerator``, and this one among them.

    Only what the engine needs of it: sums over processes, and the first process's word.
    ``skorch.hf.AccelerateMixin`` is of no use here: it wraps a module for autograd, its optimizer
    and a DataLoader, and a fleet's gradients, minibatches and epochs are its own.

    Parameters
    ----------
    accelerator : accelerate.Accelerator
        Which processes there are.

    """

    def __init__(self, accelerator: Any) -> None:
        self.accelerator = accelerator
        self.number, self.count = accelerator.process_index, accelerator.num_processes
        self.is_first = self.number == 0

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one dtype, in place, by their sums over the processes."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        sums = self.accelerator.reduce(flat, "sum").split([tensor.numel() for tensor in tensors])
        for tensor, total in zip(tensors, sums, strict=True):
            tensor.copy_(total.view(tensor.shape))

    def any(self, here: bool) -> bool:
        """Whether something is so in any process."""
        return any(self._from_all(here))

    def of_the_first(self, value: Any) -> Any:
        """The first process's value, in all."""
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def take_the_first(self, module: nn.Module) -> None:
        """Give a module the state that it has in the first process."""
        from accelerate.utils import broadcast

        if self.count > 1:
            with torch.no_grad():
                for tensor in (*module.parameters(), *module.buffers()):
                    tensor.copy_(broadcast(tensor.detach().clone().to(self.accelerator.device)))

    def check_plan(self, plan: Plan) -> None:
        """Raise if these processes cannot share the plan's minibatches."""
        if plan.batch_norm and self.count > 1:
            raise ValueError(
                "`batch_norm=True` takes statistics of whole minibatches, and `accelerator` gives each of its "
                f"{self.count} processes a part of them; use batch_norm=False"
            )
        smallest = plan.n_rows // count_batches(plan.n_rows, plan.batch_size)
        if smallest < self.count:
            raise ValueError(
                f"`batch_size={plan.batch_size}` leaves minibatches of {smallest} rows to the {self.count} "
                "processes of `accelerator`; use larger ones, or fewer processes"
            )

    def check_cost(self, cost: Any) -> None:
        """Raise if a cost needs whole minibatches."""
        if cost.embeds and self.count > 1:
            raise ValueError(
                f"`loss='{cost.name}'` compares the rows of whole minibatches, and `accelerator` gives each of its "
                f"{self.count} processes a part of them; use one process"
            )

    def check_target(self, target: np.ndarray) -> None:
        """Raise, in all processes, if they were given different targets."""
        seen = self._from_all((target.shape, zlib.crc32(np.ascontiguousarray(target).tobytes())))
        if len(set(seen)) > 1:
            raise ValueError(
                "`y` is not the same in all processes of `accelerator`: give each all rows, in the same order; the "
                "minibatches are shared out inside `fit`"
            )

    def _from_all(self, value: Any) -> list[Any]:
        """A value of every process."""
        from accelerate.utils import gather_object

        return gather_object([value])


@contextmanager
def all_or_none(accelerator: Any) -> Iterator[None]:
    """Raise after the block, in every process, if it raised in any: nobody waits for one that has gone."""
    if accelerator is None or getattr(accelerator, "num_processes", 1) == 1:
        yield
        return
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        error = raised
    told = Processes(accelerator)._from_all(None if error is None else f"{type(error).__name__}: {error}")
    if error is not None:
        raise error
    for number, message in enumerate(told):
        if message is not None:
            raise RuntimeError(f"Process {number} could not begin to train: {message}")


def without_writers(callbacks: Any) -> list[Any]:
    """Those of some skorch callbacks that neither print nor write; only the first process's do."""
    return [own for own in callbacks or () if not _writes(own[1] if isinstance(own, tuple) else own)]


def _writes(callback: Any) -> bool:
    """Whether a callback prints or writes, an instance or a class of skorch's."""
    kind = callback if isinstance(callback, type) else type(callback)
    return issubclass(kind, _WRITERS) or any(base.__module__ == _WRITERS_MODULE for base in kind.__mro__)
