"""One training of a fleet: its epochs, who is best when, and who has stopped."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor

from sk_dlsteps.engine import optimizers
from sk_dlsteps.engine.batches import FleetData, Rows, ValidationData, to_tensors
from sk_dlsteps.exceptions import StepwiseWarning

if TYPE_CHECKING:
    from sk_dlsteps.engine.net import FleetNet

_BATCH_EVENTS = ("on_batch_begin", "on_batch_end", "on_grad_computed")


class Training:
    """The moving parts of one training.

    Networks that have stopped are moved behind the others, so that the rest
    train as a smaller fleet; `order` says which network stands where. Losses are
    kept by the networks' own numbers.

    Parameters
    ----------
    net : FleetNet
        The net that is trained.
    X, y : arrays
        All rows, and targets in the user's units.
    rows : Rows
        Who trains and who validates on what.
    n_epochs : int
        Epochs planned.

    """

    def __init__(self, net: FleetNet, X: np.ndarray, y: np.ndarray, rows: Rows, n_epochs: int) -> None:
        self.net, self.fleet, self.n_epochs = net, net.module_, n_epochs
        K = self.fleet.n_networks
        x, targets = to_tensors(X, y, self.fleet, net.dtype)
        generators = [np.random.default_rng(seed) for seed in net.seeds]
        self.data = FleetData(x, targets, rows.train, generators, net.batch_size)
        self.validation: ValidationData | None = None
        if rows.valid is not None:
            if rows.X_valid is not None and rows.y_valid is not None:
                x, targets = to_tensors(rows.X_valid, rows.y_valid, self.fleet, net.dtype)
            self.validation = ValidationData(x, targets, rows.valid, self.fleet)
        self.order = np.arange(K)
        self.epoch = 0
        self.factors: np.ndarray | None = None
        self.schedule_state: dict[str, np.ndarray] | None = None
        self.train_losses = np.full(K, np.nan)
        self.valid_losses = np.full(K, np.inf)
        self.best_losses = np.full(K, np.inf)
        self.best_epochs = np.zeros(K, dtype=int)
        self.lowest: dict[str, float] = {}
        self.best_curve: list[np.ndarray] = []
        self.fleet.remember(torch.ones(K, dtype=torch.bool))
        events = {e for _, cb in net.callbacks_ for e in _BATCH_EVENTS if _overrides(cb, e)}
        self.hears_gradients = "on_grad_computed" in events
        self.hears_batches = bool(events - {"on_grad_computed"})

    @property
    def active(self) -> np.ndarray:
        """Numbers of the networks that still train."""
        return self.order[: self.fleet.n_active]

    def run_epoch(self) -> None:
        """One pass over the training rows, then validation and a row of history."""
        self.epoch += 1
        self.fleet.train()
        self._train()
        self.fleet.eval()
        self._validate()
        self._record()

    def _train(self) -> None:
        """Take the epoch's steps."""
        net, data = self.net, self.data
        optimizers.notice_frozen(net.optimizer_)
        steps_before, n_steps = (self.epoch - 1) * data.n_batches, self.n_epochs * data.n_batches
        total = torch.zeros(self.fleet.n_active, dtype=data.X.dtype, device=data.X.device)
        for i, (x, target) in enumerate(data.epoch(self.fleet)):
            if self.hears_batches:
                self._begin_batch(x, target)
            losses, raw = self.fleet.gradients(x, target)
            if self.hears_gradients:
                self._show_gradients(x, target)
            self._set_rate((steps_before + i) / n_steps)
            net.optimizer_.step()
            total += losses.sum(1)
            if self.hears_batches:
                self._end_batch(x, target, losses, raw)
        losses = (total / data.n_rows).cpu().numpy().astype(float)
        exploded = ~np.isfinite(losses)
        self.train_losses[self.active[~exploded]] = losses[~exploded]
        self._drop(exploded)

    def _set_rate(self, progress: float) -> None:
        """Give the optimizer the rate of this moment."""
        schedule = self.net.schedule
        if schedule is None:
            return
        factors = None if self.factors is None else self.factors[self.active].tolist()
        optimizers.set_rate(self.net.optimizer_, self.net.lr * schedule(progress), factors)

    def _drop(self, exploded: np.ndarray) -> None:
        """Put networks whose loss is no longer finite back to their best state, and end them."""
        if exploded.any():
            names = ", ".join(str(k) for k in self.active[exploded])
            warnings.warn(
                f"The training loss of network {names} became infinite or NaN in epoch {self.epoch}. It was put back "
                "to its best state and stopped there. Use a smaller `learning_rate`.",
                StepwiseWarning,
                stacklevel=2,
            )
            self._end_networks(exploded)

    def _validate(self) -> None:
        """Measure the active networks on their validation rows and remember those at their best."""
        active = self.active
        if self.validation is None:
            self.fleet.remember(torch.ones(self.fleet.n_active, dtype=torch.bool))
            return
        if not len(active):
            self.best_curve.append(self.best_losses.copy())
            return
        losses, raw = self.validation.evaluate(self.fleet)
        values = losses.cpu().numpy().astype(float)
        self.valid_losses[active] = values
        improved = values < self.best_losses[active]
        if improved.any():
            self.fleet.remember(torch.from_numpy(improved).to(raw.device))
            self.best_losses[active[improved]] = values[improved]
            self.best_epochs[active[improved]] = self.epoch
        self.best_curve.append(self.best_losses.copy())
        if self.hears_batches:
            self._show_validation(raw, values)

    def _record(self) -> None:
        """Fill the epoch's row of history: means over the networks, stopped ones at their best.

        Networks that never had a finite loss do not count.
        """
        record = self.net.history.record
        losses = {"train_loss": self.train_losses}
        if self.validation is not None:
            losses["valid_loss"] = self.valid_losses
        for name, values in losses.items():
            finite = values[np.isfinite(values)]
            mean = float(finite.mean()) if len(finite) else float("nan")
            record(name, mean)
            record(f"{name}_best", mean < self.lowest.get(name, np.inf))
            self.lowest[name] = min(mean, self.lowest.get(name, np.inf))
        if not self.hears_batches:
            # skorch's Checkpoint looks at the last batch of an epoch.
            self.net.history.new_batch()
        record("lr", self.net.optimizer_.param_groups[0]["lr"])

    def stop_networks(self) -> bool:
        """Apply the schedule's and the stopping rule's view of the epoch; True if nobody trains on."""
        update = getattr(self.net.schedule, "update", None)
        if update is not None:
            self.schedule_state = update(self.schedule_state, self.train_losses)
            self.factors = self.schedule_state["factors"]
        if self.net.stopping is not None and self.validation is not None:
            stops = self.net.stopping.stops(self.epoch, self.best_curve, self.best_epochs)
            self._end_networks(stops[self.active])
        return self.fleet.n_active == 0

    def _end_networks(self, ended: np.ndarray) -> None:
        """Put the `ended` ones of the active networks back to their best state, behind the others."""
        if not ended.any():
            return
        active = len(ended)
        self.valid_losses[self.active[ended]] = self.best_losses[self.active[ended]]
        mask = torch.zeros(self.fleet.n_networks, dtype=torch.bool)
        mask[:active] = torch.from_numpy(ended)
        self.fleet.recall(mask)
        places = np.arange(active)
        order = np.concatenate([places[~ended], places[ended], np.arange(active, self.fleet.n_networks)])
        self._reorder(order, int((~ended).sum()))

    def _reorder(self, order: np.ndarray, n_active: int) -> None:
        """Put everything that is kept per network into another order."""
        places = order.tolist()
        self.order = self.order[order]
        self.fleet.reorder(places, n_active)
        optimizers.reorder(self.net.optimizer_, places, n_active)
        self.data.reorder(places)
        if self.validation is not None:
            self.validation.reorder(places)

    def finish(self) -> None:
        """Leave every network in its best state, in its own place, and drop what only training needs."""
        self.fleet.recall()
        self._reorder(np.argsort(self.order), self.fleet.n_networks)
        self.fleet.forget()
        self.fleet.eval()
        validated = self.validation is not None
        self.net.best_epochs_ = self.best_epochs if validated else np.full_like(self.best_epochs, self.epoch)
        self.net.best_losses_ = self.best_losses if validated else self.train_losses
        optimizers.clear(self.net.optimizer_)

    # -- what callbacks of single batches hear ----------------------------------------

    def _show_gradients(self, x: Tensor, target: Tensor) -> None:
        """Tell callbacks of gradients, one network after another: a norm to clip is a single network's."""
        for k, own in enumerate(self.fleet.networks()[: self.fleet.n_active]):
            named = [(name, p) for name, p in own if p.grad is not None]
            self.net.notify("on_grad_computed", named_parameters=named, X=x[k], y=target[k], training=True)

    def _batch(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """A fleet's minibatch as one batch of rows, targets in the user's units."""
        return x.flatten(0, 1), self.fleet.original_target(target).flatten(0, 1)

    def _begin_batch(self, x: Tensor, target: Tensor) -> None:
        """Tell callbacks that a training batch begins."""
        self.net.notify("on_batch_begin", batch=self._batch(x, target), training=True)

    def _end_batch(self, x: Tensor, target: Tensor, losses: Tensor, raw: Tensor) -> None:
        """Tell callbacks how a training batch went."""
        predictions = self.fleet.predictions(raw).flatten(0, 1).unsqueeze(1)
        batch, loss = self._batch(x, target), losses.mean()
        self.net.history.record_batch("train_loss", loss.item())
        self.net.history.record_batch("train_batch_size", len(batch[0]))
        self.net.notify("on_batch_end", batch=batch, training=True, loss=loss, y_pred=predictions)

    def _show_validation(self, raw: Tensor, losses: np.ndarray) -> None:
        """Tell callbacks how validation went: every row with the prediction of the network that holds it out."""
        data, fleet = self.validation, self.fleet
        assert data is not None
        predictions = fleet.predictions(raw)
        places = sorted(range(fleet.n_active), key=lambda place: self.order[place])
        x, y = (torch.cat(parts) for parts in zip(*map(data.rows_of, places), strict=True))
        y_pred = torch.cat([predictions[place, : data.sizes[place]] for place in places])
        batch, loss = (x, y), torch.tensor(float(np.mean(losses)))
        self.net.notify("on_batch_begin", batch=batch, training=False)
        self.net.history.record_batch("valid_loss", loss.item())
        self.net.history.record_batch("valid_batch_size", len(x))
        self.net.notify("on_batch_end", batch=batch, training=False, loss=loss, y_pred=y_pred.unsqueeze(1))


def _overrides(callback, event: str) -> bool:
    """Whether a callback does something at an event."""
    return getattr(type(callback), event, None) is not getattr(Callback, event)
