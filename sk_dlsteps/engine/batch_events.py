"""What callbacks of single batches hear of a fleet's training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor

from sk_dlsteps.engine.batches import Batch
from sk_dlsteps.engine.sparse_rows import SparseRows
from sk_dlsteps.engine.validation_rows import ValidationData

if TYPE_CHECKING:
    from sk_dlsteps.engine.net import FleetNet

_EVENTS = ("on_batch_begin", "on_batch_end", "on_grad_computed")


class BatchEvents:
    """Tells a net's callbacks of batches and gradients, if one of them listens.

    Parameters
    ----------
    net : FleetNet
        Whose callbacks they are.

    """

    def __init__(self, net: FleetNet) -> None:
        self.net, self.fleet = net, net.module_
        heard = {e for _, cb in net.callbacks_ for e in _EVENTS if _overrides(cb, e)}
        self.of_gradients = "on_grad_computed" in heard
        self.of_batches = bool(heard - {"on_grad_computed"})

    def show_gradients(self, batch: Batch) -> None:
        """Tell of gradients, one network after another: a norm to clip is a single network's."""
        for k, own in enumerate(self.fleet.networks()[: self.fleet.n_active]):
            named = [(name, p) for name, p in own if p.grad is not None]
            self.net.notify(
                "on_grad_computed", named_parameters=named, X=_written_out(batch.x)[k], y=batch.target[k], training=True
            )

    def begin_batch(self, batch: Batch) -> None:
        """Tell that a training batch begins."""
        self.net.notify("on_batch_begin", batch=self._rows(batch), training=True)

    def end_batch(self, batch: Batch, losses: Tensor, raw: Tensor) -> None:
        """Tell how a training batch went."""
        predictions = self.fleet.predictions(raw).flatten(0, 1).unsqueeze(1)
        rows, loss = self._rows(batch), losses.mean()
        self.net.history.record_batch("train_loss", loss.item())
        self.net.history.record_batch("train_batch_size", len(rows[0]))
        self.net.notify("on_batch_end", batch=rows, training=True, loss=loss, y_pred=predictions)

    def show_validation(self, data: ValidationData, raw: Tensor, losses: np.ndarray, order: np.ndarray) -> None:
        """Tell how validation went: every row with the prediction of the network that holds it out."""
        predictions = self.fleet.predictions(raw)
        places = sorted(range(self.fleet.n_active), key=lambda place: order[place])
        rows = [data.rows_of(place) for place in places]
        x, held = torch.cat([x for x, _ in rows]), torch.cat([y for _, y in rows])
        # All networks of one net have one origin and unit, so the first one's do for all rows.
        y = self.fleet.absolute_target(held.unsqueeze(0)).squeeze(0)
        y_pred = torch.cat([predictions[place, : data.sizes[place]] for place in places])
        batch, loss = (x, y), torch.tensor(float(np.mean(losses)))
        self.net.notify("on_batch_begin", batch=batch, training=False)
        self.net.history.record_batch("valid_loss", loss.item())
        self.net.history.record_batch("valid_batch_size", len(x))
        self.net.notify("on_batch_end", batch=batch, training=False, loss=loss, y_pred=y_pred.unsqueeze(1))

    def _rows(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """A fleet's minibatch as one batch of rows, targets in the user's units."""
        return _written_out(batch.x).flatten(0, 1), self.fleet.original_target(batch.target).flatten(0, 1)


def _written_out(x: Any) -> Tensor:
    """A minibatch's inputs as callbacks know them."""
    return x.dense() if isinstance(x, SparseRows) else x


def _overrides(callback, event: str) -> bool:
    """Whether a callback does something at an event."""
    return getattr(type(callback), event, None) is not getattr(Callback, event)
