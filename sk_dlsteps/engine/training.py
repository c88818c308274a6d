"""One training of a fleet: its epochs, who is best when, who has stopped, and who had to be rescued."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from skorch.dataset import Dataset
from torch import Tensor

from sk_dlsteps.engine import optimizers
from sk_dlsteps.engine.batch_events import BatchEvents
from sk_dlsteps.engine.batches import gather, to_tensors
from sk_dlsteps.engine.centers import place_centers
from sk_dlsteps.engine.clipping import as_bound, bounds_of_networks
from sk_dlsteps.engine.device import as_tensor, threads
from sk_dlsteps.engine.interrupt import Interrupt, Interrupted
from sk_dlsteps.engine.loss_curves import LossRecord
from sk_dlsteps.engine.members import Member, Table, gather_tables, moved
from sk_dlsteps.engine.memory import Steps, ran_out
from sk_dlsteps.engine.validation_rows import ValidationData
from sk_dlsteps.exceptions import StepwiseWarning, level_of_the_caller

if TYPE_CHECKING:
    from sk_dlsteps.engine.carried import Carried
    from sk_dlsteps.engine.checkpoint import Checkpoint
    from sk_dlsteps.engine.fleet import Fleet
    from sk_dlsteps.engine.net import FleetNet
    from sk_dlsteps.engine.processes import Processes

# What a network gets whose loss or weights are no longer finite: a share of its rate, a bound on the
# norm of its gradient, and so many chances.
RATE_CUT, RESCUE_NORM, MAX_RESCUES = 0.1, 1.0, 5
# Training rows of each network, at the most, on which gradients and dead units are looked at, in epochs 1, 2, 4, 8, ...
_LOOK_ROWS = 256


class Training:
    """The moving parts of one training.

    Networks that have stopped are moved behind the others, so that the rest
    train as a smaller fleet; `order` says which network stands where. Losses are
    kept by the networks' own numbers.

    Parameters
    ----------
    fleet : Fleet
        All networks, in the order of the nets.
    optimizer : torch.optim.Optimizer
        Over the fleet's parameters.
    nets : sequence of FleetNet
        Whose networks they are. Several nets have no callbacks of batches, agree on
        batch size and augmentation, and do not rise in minibatches per epoch.
    tables : sequence of Table
        Each net's rows; equal arrays are held once.
    n_epochs : sequence of int
        Epochs planned for each.
    n_threads : int or None, default=None
        Threads that train; None for those of the first net.
    processes : Processes or None, default=None
        Who shares the minibatches of a single net.
    carried : Carried or None, default=None
        What an earlier training of the only net left; filled with what this one leaves.
    checkpoint : Checkpoint or None, default=None
        Where the training of the only net is stored while it runs, and begins from if it was cut off.
    interrupt : Interrupt or None, default=None
        Whether somebody wants the training of the only net to end.

    """

    def __init__(
        self,
        fleet: Fleet,
        optimizer: torch.optim.Optimizer,
        nets: Sequence[FleetNet],
        tables: Sequence[Table],
        n_epochs: Sequence[int],
        n_threads: int | None = None,
        processes: Processes | None = None,
        carried: Carried | None = None,
        checkpoint: Checkpoint | None = None,
        interrupt: Interrupt | None = None,
    ) -> None:
        self.processes, self.checkpoint, self.interrupt = processes, checkpoint, interrupt or Interrupt()
        self.n_threads = nets[0].n_threads if n_threads is None else n_threads
        self.fleet, self.optimizer, self.net = fleet, optimizer, nets[0]
        ends = np.cumsum([net.module_.n_networks for net in nets]).tolist()
        self.members = [Member(*m) for m in zip(nets, tables, n_epochs, [0, *ends[:-1]], ends, strict=True)]
        self.events, self.steps = BatchEvents(self.net), Steps()
        self._gather_rows(tables)
        K = fleet.n_networks
        self.order, self.epoch = np.arange(K), 0
        self.training_members = self.members
        sizes = [net.module_.n_networks for net in nets]
        self.max_norms = bounds_of_networks([net.max_grad_norm for net in nets], sizes)
        self.max_values = bounds_of_networks([net.max_grad_value for net in nets], sizes)
        # What a plateau or a rescue left of each network's rate.
        self.factors, self.rescues, self.exploded_in = np.ones(K), np.zeros(K, dtype=int), np.zeros(K, dtype=int)
        self.train_losses = np.full(K, np.nan)
        self.valid_losses, self.best_losses = np.full(K, np.inf), np.full(K, np.inf)
        self.best_epochs = np.zeros(K, dtype=int)
        self.best_curve: list[np.ndarray] = []
        self.losses = LossRecord(K)
        self.gradient_norms = np.empty((0, K))
        self.dead_units: np.ndarray | None = None
        for name in ("best", "last"):
            fleet.remember(None, name)
        if isinstance(optimizer, optimizers.FleetOptimizer):
            optimizer.expect(self.data.n_batches.tolist())
        self.carried = carried
        if carried is not None:
            carried.give(self)

    def _gather_rows(self, tables: Sequence[Table]) -> None:
        """Put every table onto the device once, and find each network's rows there."""
        nets = [m.net for m in self.members]
        self.data = gather_tables(
            tables,
            self.fleet,
            [seed for net in nets for seed in net.seeds],
            [net.batch_size for net in nets],
            self.net.augmentation,
            self.net.dtype,
            self.processes,
        )
        self.validation: ValidationData | None = None
        rows = tables[0].rows
        if rows.valid is not None:
            x, targets, weight = self.data.X, self.data.y, self.data.weight
            if rows.X_valid is not None and rows.y_valid is not None:
                x, targets = to_tensors(rows.X_valid, rows.y_valid, self.fleet, self.net.dtype)
                weight = None if rows.weight_valid is None else as_tensor(rows.weight_valid).to(x.device, x.dtype)
            valid = moved([table.rows.valid or [] for table in tables], tables)
            self.validation = ValidationData(x, targets, valid, self.fleet, weight, self._process())

    def _process(self) -> tuple[int, int]:
        """The number of this process and of those that share the validation rows; callbacks of batches see all."""
        if self.processes is None or self.events.of_batches:
            return 0, 1
        return self.processes.number, self.processes.count

    @property
    def active(self) -> np.ndarray:
        """Numbers of the networks that still train."""
        return self.order[: self.fleet.n_active]

    def run(self) -> None:
        """Train until every network has stopped; each ends in its best state."""
        datasets = self._datasets()
        with threads(self.n_threads), torch.no_grad():
            if self.checkpoint is not None:
                self.checkpoint.begin(self)
            try:
                while not self._is_over():
                    self._go_through_epoch(datasets)
            except Interrupted:
                self._drop_epoch()
            finally:
                self._finish()
            place_centers(self.fleet, self.data)
        for member in self.members:
            self._tell_of_rescues(member)
            self._tell_of_the_unvalidated(member)

    def _go_through_epoch(self, datasets: dict[str, Dataset | None]) -> None:
        """Train, validate, tell, and see who trains on."""
        self.epoch += 1
        members = self.training_members
        for m in members:
            m.net.notify("on_epoch_begin", **datasets)
        self._train()
        self._validate()
        self._record(members)
        if self.net.callbacks:
            # They may ask for predictions.
            place_centers(self.fleet, self.data)
        for m in members:
            m.net.notify("on_epoch_end", **datasets)
        if self.processes is not None:
            self.net.ended_by_callback_ = self.processes.any(self.net.ended_by_callback_)
        self._stop_networks()
        if self.checkpoint is not None and self.epoch % self.checkpoint.every == 0:
            self.checkpoint.store(self)

    def _drop_epoch(self) -> None:
        """Leave off within an epoch, of which nothing remains; without an earlier one there is nothing to keep."""
        self.epoch -= 1
        if not self.epoch:
            raise Interrupted
        self.net.history.pop()

    def contend(self) -> None:
        """Let the networks as they are now compete with what this training will make of them."""
        if self.validation is not None:
            self.fleet.eval()
            with threads(self.n_threads), torch.no_grad():
                losses = self._validation_losses(self.validation)[0].cpu().numpy().astype(float)
            self.best_losses = np.where(np.isnan(losses), np.inf, losses)

    def _is_over(self) -> bool:
        """Whether nobody trains on, or a callback or a Ctrl-C wants to end it."""
        over = self.fleet.n_active == 0 or self.net.ended_by_callback_
        return over or (self.interrupt.asked and self.epoch > 0)

    def _datasets(self) -> dict[str, Dataset | None]:
        """What a single net's callbacks are told of the rows."""
        if len(self.members) > 1 or not self.net.callbacks:
            return {}
        X, y, rows = self.members[0].table
        return {"dataset_train": Dataset(X, y), "dataset_valid": rows.validation_set(X, y)}

    # -- an epoch -----------------------------------------------------------------------

    def _train(self) -> None:
        """Take the epoch's steps."""
        self.fleet.train()
        optimizers.notice_frozen(self.optimizer)
        rates, active = self._rates(), self.active
        factors = None if (self.factors[active] == 1).all() else self.factors[active]
        max_norm, max_value = (as_bound(values[active]) for values in (self.max_norms, self.max_values))
        total = torch.zeros(len(active), dtype=self.data.X.dtype, device=self.data.X.device)
        for i, batch in enumerate(self.data.epoch(self.fleet)):
            k = batch.x.shape[0]
            if self.events.of_batches:
                self.events.begin_batch(batch)
            self.interrupt.check()
            losses, raw = self.steps.gradients(self.fleet, batch)
            if self.processes is not None:
                self.processes.add_up(self.fleet.gradient_tensors(k))
            if self.events.of_gradients:
                self.events.show_gradients(batch)
            if max_norm is not None or max_value is not None:
                self.fleet.clip(k, max_norm, max_value)
            self._set_rate(None if rates is None else rates[i], factors)
            optimizers.step_first(self.optimizer, k)
            total[:k] += losses.sum(1)
            if self.events.of_batches:
                self.events.end_batch(batch, losses, raw)
        finite = self.fleet.is_finite().to(total)
        if self.processes is not None:
            # Of a module of the user's own one process may hold an average that is not finite.
            self.processes.add_up([total, finite])
            finite = finite == self.processes.count
        losses = (total.cpu().numpy() / self.data.n_rows[: len(active)]).astype(float)
        exploded = ~(np.isfinite(losses) & finite.bool().cpu().numpy())
        self.train_losses[active[~exploded]] = losses[~exploded]
        if self.epoch & (self.epoch - 1) == 0:
            self._look()
        self._rescue(exploded)
        self.fleet.eval()

    @property
    def _is_steered(self) -> bool:
        """Whether a callback may change the rate: that of a single net without a schedule."""
        return len(self.members) == 1 and self.net.schedule is None

    def _rates(self) -> np.ndarray | None:
        """Rate of every step (n_batches, K) by the members' schedules; None if callbacks steer it."""
        if self._is_steered:
            return None
        rates = np.zeros((int(self.data.n_batches.max(initial=1)), len(self.order)))
        known: dict[tuple, list[float]] = {}
        for m in self.members:
            n = m.n_batches
            key = (m.net.schedule if _is_hashable(m.net.schedule) else id(m.net.schedule), m.n_epochs, n)
            if key not in known:
                start, whole = (self.epoch - 1) * n, m.n_epochs * n
                known[key] = [m.factor(min((start + i) / whole, 1.0)) for i in range(n)]
            rates[:n, m.own] = np.multiply(known[key], m.net.lr)[:, None]
        return rates

    def _set_rate(self, rates: np.ndarray | None, factors: np.ndarray | None) -> None:
        """Give the optimizer the networks' rates of this step, times their factors."""
        if rates is None:
            optimizers.set_factors(self.optimizer, factors)
        elif len(self.members) == 1:
            optimizers.set_rate(self.optimizer, float(rates[0]), factors)
        else:
            own = rates[self.active]
            optimizers.set_rate(self.optimizer, 1.0, own if factors is None else own * factors)

    def _rescue(self, exploded: np.ndarray) -> None:
        """Put networks that are no longer finite back to their last finite state, with a smaller rate and a bound.

        One that does not stay finite with that either is ended in its best state.
        """
        if exploded.any():
            mask = self._mask(exploded)
            numbers = self.active[exploded]
            self.fleet.recall(mask, "last")
            optimizers.reset(self.optimizer, np.flatnonzero(exploded).tolist())
            self.factors[numbers] *= RATE_CUT
            self.max_norms[numbers] = np.minimum(self.max_norms[numbers], RESCUE_NORM)
            self.exploded_in[numbers] = np.where(self.rescues[numbers], self.exploded_in[numbers], self.epoch)
            self.rescues[numbers] += 1
        self.fleet.remember(torch.from_numpy(~exploded).to(self.data.X.device) if exploded.any() else None, "last")
        self._end_networks(exploded & (self.rescues[self.active] > MAX_RESCUES))

    def _look(self) -> None:
        """Measure gradients and dead units on some training rows of each active network."""
        # From everywhere: a table may be sorted.
        rows = [own[:: -(-len(own) // _LOOK_ROWS)] for own in self.data.rows[: self.fleet.n_active]]
        sizes = np.array([len(own) for own in rows])
        index = np.stack([np.concatenate([own, np.repeat(own[:1], sizes.max() - len(own))]) for own in rows])
        x, target = gather(self.data.X, self.data.y, torch.from_numpy(index).to(self.data.X.device))
        batch = self.fleet.prepare(x), self.fleet.prepare_target(target, self.data.X.dtype)
        norms, dead = self.fleet.signals(*batch, None if (sizes == sizes[0]).all() else sizes)
        if not len(self.gradient_norms):
            self.gradient_norms = np.full((len(norms), len(self.order)), np.nan)
        self.gradient_norms[:, self.active] = norms.cpu().numpy()
        if dead is not None:
            if self.dead_units is None:
                self.dead_units = np.full(len(self.order), np.nan)
            self.dead_units[self.active] = dead.cpu().numpy()
        for m in self.training_members:
            m.signals = {name: _finite_mean(values[m.own]) for name, values in self._signals().items()}

    def _signals(self) -> dict[str, np.ndarray]:
        """What the last looks at each network saw, by its name in the history."""
        signals = {f"gradient_norm_{layer}": norms for layer, norms in enumerate(self.gradient_norms, start=1)}
        return signals if self.dead_units is None else {**signals, "dead_units": self.dead_units}

    def _validate(self) -> None:
        """Measure the active networks on their validation rows and remember those at their best."""
        active = self.active
        if self.validation is None:
            self.fleet.remember(None)
            self.best_epochs[active] = self.epoch
            return
        if len(active):
            losses, raw = self._validation_losses(self.validation)
            if self.processes is not None:
                self.processes.add_up([losses])
                losses = losses / (self.processes.count if self._process()[1] == 1 else 1)
            values = losses.cpu().numpy().astype(float)
            self.valid_losses[active] = values
            # A network that never had a finite validation loss is kept as it is now, rather than untrained.
            improved = (values < self.best_losses[active]) | np.isinf(self.best_losses[active])
            if improved.any():
                self.fleet.remember(torch.from_numpy(improved).to(losses.device))
                self.best_losses[active[improved]] = np.where(np.isnan(values), np.inf, values)[improved]
                self.best_epochs[active[improved]] = self.epoch
            if raw is not None:
                self.events.show_validation(self.validation, raw, values, self.order)
        self.best_curve.append(self.best_losses.copy())

    def _validation_losses(self, validation: ValidationData) -> tuple[Tensor, Tensor | None]:
        """Losses of the active networks, and raw outputs if a callback asks: of fewer rows at a time if need be."""
        while True:
            try:
                return validation.evaluate(self.fleet, keep_raw=self.events.of_batches)
            except Exception as error:
                if not ran_out(error) or not validation.halve():
                    raise

    def _record(self, members: list[Member]) -> None:
        """Fill the epoch's row of each history: means over the networks, stopped ones at their best.

        Networks that never had a finite loss do not count.
        """
        losses = {"train_loss": self.train_losses}
        if self.validation is not None:
            losses["valid_loss"] = self.valid_losses
        self.losses.note(self.active, self.train_losses, losses.get("valid_loss"))
        for m in members:
            record = m.net.history.record
            for name, values in losses.items():
                mean = _finite_mean(values[m.own])
                record(name, mean)
                record(f"{name}_best", mean < m.lowest.get(name, np.inf))
                m.lowest[name] = min(mean, m.lowest.get(name, np.inf))
            if not self.events.of_batches:
                # skorch's Checkpoint looks at the last batch of an epoch.
                m.net.history.new_batch()
            record("lr", self._rate_of(m))
            for name, value in m.signals.items():
                record(name, value)

    def _rate_of(self, member: Member) -> float:
        """A member's rate in the epoch's last step, before plateaus and rescues."""
        if self._is_steered:
            return self.optimizer.param_groups[0]["lr"]
        n_steps = member.n_epochs * member.n_batches
        return member.net.lr * member.factor((self.epoch * member.n_batches - 1) / n_steps)

    # -- who trains on --------------------------------------------------------------------

    def _stop_networks(self) -> None:
        """Apply the schedules' and the stopping rules' view of the epoch."""
        ended = np.zeros(len(self.order), dtype=bool)
        for m in self.training_members:
            update = getattr(m.net.schedule, "update", None)
            if update is not None:
                before = 1.0 if m.schedule_state is None else m.schedule_state["factors"]
                m.schedule_state = update(m.schedule_state, self.train_losses[m.own])
                self.factors[m.own] *= m.schedule_state["factors"] / before
            if m.net.stopping is not None and self.validation is not None:
                best = _OfNetworks(self.best_curve, m.own)
                ended[m.own] |= m.net.stopping.stops(self.epoch, best, self.best_epochs[m.own])
            if self.epoch == m.n_epochs:
                ended[m.own] = True
        self._end_networks(ended[self.active])

    def _end_networks(self, ended: np.ndarray) -> None:
        """Put the `ended` ones of the active networks back to their best state, behind the others."""
        if not ended.any():
            return
        self.valid_losses[self.active[ended]] = self.best_losses[self.active[ended]]
        self.fleet.recall(self._mask(ended))
        places = np.arange(len(ended))
        order = np.concatenate([places[~ended], places[ended], np.arange(len(ended), len(self.order))])
        self._reorder(order, int((~ended).sum()))

    def _mask(self, chosen: np.ndarray) -> Tensor:
        """A mask (K,) of some of the active networks."""
        mask = torch.zeros(self.fleet.n_networks, dtype=torch.bool)
        mask[: len(chosen)] = torch.from_numpy(chosen)
        return mask.to(self.data.X.device)

    def _reorder(self, order: np.ndarray, n_active: int) -> None:
        """Put everything that is kept per network into another order."""
        places = order.tolist()
        self.order = self.order[order]
        self.fleet.reorder(places, n_active)
        trains = np.zeros(len(order), dtype=bool)
        trains[self.active] = True
        self.training_members = [m for m in self.members if trains[m.own].any()]
        optimizers.reorder(self.optimizer, places, n_active)
        self.data.reorder(places)
        if self.validation is not None:
            self.validation.reorder(places)

    def _finish(self) -> None:
        """Leave every network in its best state, in its own place, and drop what only training needs."""
        self.fleet.recall()
        self._reorder(np.argsort(self.order), self.fleet.n_networks)
        self.fleet.forget()
        self.fleet.eval()
        validated = self.validation is not None
        for m in self.members:
            m.net.best_epochs_ = self.best_epochs[m.own]
            m.net.loss_curves_ = self.losses.curves(
                m.own, m.net.best_epochs_, len(m.net.history), m.n_before, getattr(m.net, "loss_curves_", None)
            )
            m.net.best_losses_ = (self.best_losses if validated else self.train_losses)[m.own]
            m.net.rescues_ = self.rescues[m.own]
            m.net.signals_ = {name: values[m.own] for name, values in self._signals().items()}
        if self.carried is not None:
            bounds = np.where(self.rescues > 0, RESCUE_NORM, np.inf)
            self.carried.take(self, RATE_CUT ** self.rescues.astype(float), bounds)
        optimizers.clear(self.optimizer)

    def _tell_of_rescues(self, member: Member) -> None:
        """Warn of networks that did not stay finite."""
        rescues = member.net.rescues_
        if not rescues.any():
            return
        rescued = _networks(np.flatnonzero(rescues))
        words = (
            f"The loss or the weights of {rescued} became infinite or NaN in epoch "
            f"{self.exploded_in[member.own][rescues > 0].min()}. Each was put back to its last finite state, its "
            f"learning rate was divided by {1 / RATE_CUT:g} and its gradient clipped to a norm of {RESCUE_NORM:g}. "
        )
        if (rescues > MAX_RESCUES).any():
            lost = _networks(np.flatnonzero(rescues > MAX_RESCUES))
            words += f"Of these, {lost} exploded {MAX_RESCUES + 1} times and stopped in the best state. "
        words += "Use a smaller `learning_rate`, set `max_grad_norm`, or look for outliers in the data."
        warnings.warn(words, StepwiseWarning, stacklevel=level_of_the_caller())

    def _tell_of_the_unvalidated(self, member: Member) -> None:
        """Warn of networks whose validation loss was never finite although nothing exploded."""
        lost = ~np.isfinite(self.best_losses[member.own]) & (member.net.rescues_ == 0)
        if self.validation is None or not lost.any():
            return
        warnings.warn(
            f"The validation loss of {_networks(np.flatnonzero(lost))} was not finite after any epoch, so that no best "
            "epoch could be found and the last one was kept. Look for extreme values in the validation rows, such as "
            "numbers that stand for something missing.",
            StepwiseWarning,
            stacklevel=level_of_the_caller(),
        )


def _networks(numbers: np.ndarray) -> str:
    """Networks by their numbers."""
    return f"network{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _is_hashable(value: object) -> bool:
    """Whether equal ones can be told by their hash, as those of frozen dataclasses can."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


class _OfNetworks:
    """A growing list of arrays (K,), seen as one of some networks."""

    def __init__(self, whole: list[np.ndarray], own: slice) -> None:
        self.whole, self.own = whole, own

    def __getitem__(self, i: int) -> np.ndarray:
        """Those networks' part of the i-th array."""
        return self.whole[i][self.own]


def _finite_mean(values: np.ndarray) -> float:
    """Mean of the finite values; NaN if there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
