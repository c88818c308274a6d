"""The skorch net that trains a fleet."""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import ClassifierTags
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PrintLog
from torch import Tensor

from sk_dlsteps.engine.batches import Augmentation, Rows
from sk_dlsteps.engine.carried import Carried
from sk_dlsteps.engine.checkpoint import Checkpoint
from sk_dlsteps.engine.device import as_tensor, choose_threads, device_to_load_onto, threads
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.history import ColumnHistory
from sk_dlsteps.engine.interrupt import Interrupt
from sk_dlsteps.engine.members import Table
from sk_dlsteps.engine.memory import ran_out
from sk_dlsteps.engine.processes import Processes
from sk_dlsteps.engine.sparse_rows import SparseTable, as_csr
from sk_dlsteps.engine.training import Training

_RAISE = dis.opmap["RAISE_VARARGS"]
# Numbers that the widest layer of all networks may hold at once while predicting.
_PREDICT_CHUNK = 2**18


class EpochLog(PrintLog):
    """skorch's table of epochs, without the columns on gradients and units: a deep network has many."""

    def table(self, row):
        """The table of one row of the history."""
        shown = (name for name in row if not name.startswith("gradient_norm_") and name != "dead_units")
        return super().table({name: row[name] for name in shown})


class FleetNet(NeuralNet):
    """A skorch net whose module is a `Fleet`.

    History, callbacks, ``save_params`` and ``load_params`` are skorch's. The
    epoch loop is the fleet's: minibatches are gathered, gradients are set in
    closed form, and callbacks hear of single batches only if one listens.

    Parameters
    ----------
    module : callable
        Builds the `Fleet`.
    criterion : Cost
        Loss per row.
    make_optimizer : callable
        ``(fleet, lr) -> torch.optim.Optimizer``.
    seeds : sequence of int
        Seed of each network's shuffles.
    schedule : callable or None
        Factor of the rate as a function of progress in [0, 1]; None leaves the
        rate to callbacks. A schedule with a method ``update`` gives factors per
        network, from their training losses, after each epoch.
    stopping : object or None
        ``stopping.stops(epoch, best, best_epoch)`` says which networks end.
    max_grad_norm, max_grad_value : float or None
        Bounds on the norm and on the entries of each network's gradient.
    augmentation : callable or None
        ``(X, y, generator) -> (X, y)``, applied to each network's training minibatches.
    n_threads : int
        Torch threads while training.
    dtype : torch dtype
        Of the networks and their inputs.
    **kwargs
        Passed on to ``skorch.NeuralNet``.

    """

    def __init__(
        self,
        module: Callable[[], Fleet],
        criterion: torch.nn.Module,
        *,
        make_optimizer: Callable[[Fleet, float], torch.optim.Optimizer],
        seeds: Sequence[int],
        schedule: Any = None,
        stopping: Any = None,
        max_grad_norm: float | None = None,
        max_grad_value: float | None = None,
        augmentation: Augmentation | None = None,
        n_threads: int = 1,
        dtype: torch.dtype = torch.float32,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, criterion, **{"train_split": None, **kwargs})
        self.make_optimizer = make_optimizer
        self.seeds = seeds
        self.schedule = schedule
        self.stopping = stopping
        self.max_grad_norm = max_grad_norm
        self.max_grad_value = max_grad_value
        self.augmentation = augmentation
        self.n_threads = n_threads
        self.dtype = dtype

    # -- skorch's building blocks ------------------------------------------------

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        """The timer and, if anybody reads it, the table."""
        log = [("print_log", EpochLog())] if self.verbose else []
        return [("epoch_timer", EpochTimer()), *log]

    def initialize_on(self, fleet: Fleet) -> FleetNet:
        """Initialise with a fleet that is there already; none is built."""
        build: Any = vars(self)["module"]
        self.module = lambda: fleet
        try:
            return self.initialize()
        finally:
            self.module = build

    def initialize_history(self) -> FleetNet:
        """Begin with an empty history."""
        self.history_ = ColumnHistory()
        return self

    def initialize_criterion(self) -> FleetNet:
        """The cost is part of the fleet already."""
        self.criterion_ = self.criterion
        return self

    def initialize_optimizer(self, triggered_directly: Any = None) -> FleetNet:
        """Build the optimizer over the fleet's parameters."""
        self.optimizer_ = self.make_optimizer(self.module_, self.lr)
        return self

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call the callbacks; one that raises KeyboardInterrupt itself ends training, as in skorch."""
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt as interrupt:
            if not self._raised_by_callback(interrupt):
                raise
            self.ended_by_callback_ = True

    def _raised_by_callback(self, interrupt: KeyboardInterrupt) -> bool:
        """Whether the interrupt comes from a `raise` in a callback's own method.

        A Ctrl-C may arrive there too, but at another instruction.
        """
        at = interrupt.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        if at is None or at.tb_frame.f_code.co_code[at.tb_lasti] != _RAISE:
            return False
        owner = at.tb_frame.f_locals.get("self")
        return any(owner is callback for _, callback in self.callbacks_)

    def dismiss(self, callback: Callback) -> None:
        """Forget a callback, which hears of nothing from now on."""
        self.callbacks: list[Any] = [own for own in self.callbacks if own is not callback]
        self.callbacks_: list[Any] = [(name, own) for name, own in self.callbacks_ if own is not callback]

    def __sklearn_tags__(self):
        """A classifier if the cost is one for classes; scorers ask."""
        tags = super().__sklearn_tags__()
        is_classifier = self.criterion.target_scaling in ("codes", "indicators")
        tags.estimator_type = "classifier" if is_classifier else "regressor"
        tags.classifier_tags = ClassifierTags() if is_classifier else None
        return tags

    def __setstate__(self, state):
        """Unpickle; a net that was trained on a GPU that is not here goes to one that is, or onto the CPU."""
        super().__setstate__({**state, "device": device_to_load_onto(state["device"])})

    # -- training ---------------------------------------------------------------------

    def partial_fit(self, X, y=None, classes=None, **fit_params):
        """Train; unlike skorch's, a real Ctrl-C is raised and not swallowed.

        A training begins with a new optimizer: the last one dropped its state,
        and one that was pickled moves parameters of its own.
        """
        if not self.initialized_:
            self.initialize()
        else:
            self.initialize_optimizer()
        checkpoint = fit_params.get("checkpoint")
        stored = None if checkpoint is None else checkpoint.history()
        if stored is not None:
            # For callbacks that look at it as training begins.
            self.history_ = ColumnHistory(stored)
        self.notify("on_train_begin", X=X, y=y)
        self.fit_loop(X, y, **fit_params)
        self.notify("on_train_end", X=X, y=y)
        if fit_params.get("processes") is not None:
            fit_params["processes"].take_the_first(self.module_)
        return self

    def fit_loop(
        self,
        X,
        y=None,
        epochs=None,
        *,
        rows: Rows | None = None,
        processes: Processes | None = None,
        carried: Carried | None = None,
        checkpoint: Checkpoint | None = None,
        interrupt: Interrupt | None = None,
        **fit_params,
    ):
        """Train for at most `epochs` epochs, with the other processes if there are any; each ends in its best state.

        With `carried` the training goes on from an earlier one's state, a best state that it began with counts
        too, and the state that it leaves is kept there. With a `checkpoint` it is stored while it runs. An
        `interrupt` ends it, which `interrupted_` tells from then on.
        """
        rows = rows or Rows([np.arange(X.shape[0])] * self.module_.n_networks)
        epochs = self.max_epochs if epochs is None else epochs
        self.expect(y)
        table = Table(X, y, rows)
        training = Training(
            self.module_,
            self.optimizer_,
            [self],
            [table],
            [epochs],
            processes=processes,
            carried=carried,
            checkpoint=checkpoint,
            interrupt=interrupt,
        )
        if carried is not None and carried.fresh_schedule:
            training.contend()
        training.run()
        self.interrupted_ = training.interrupt.asked and len(self.history) - training.members[0].n_before < epochs
        return self

    def expect(self, y: np.ndarray) -> None:
        """Get ready for a training on these targets."""
        if self.module_.target_center is None:
            labels = self.criterion.target_scaling == "indicators"
            self.classes_ = np.arange(y.shape[1] if labels else int(np.max(y)) + 1)
        self.ended_by_callback_ = self.interrupted_ = False

    # -- prediction -------------------------------------------------------------------

    def forward_iter(self, X, training=False, device="cpu"):
        """Predictions of every network, (rows, K, n_predictions), chunk by chunk.

        On the CPU they are computed in float64, so that a row's prediction does
        not depend on the rows beside it.
        """
        return self._in_chunks(X, self.module_, training, device)

    def _in_chunks(self, X, compute: Callable[[Any], Tensor], training=False, device="cpu") -> Iterator[Tensor]:
        """What the fleet computes of rows, a bounded number of them at a time."""
        self.check_is_fitted()
        fleet, was_training = self.module_, self.module_.training
        # Outputs are also turned into predictions and copied, so that there may be fewer of them.
        widths = [1, *fleet.widths, *(2 * n_outputs for n_outputs in fleet.widths[1:][-1:])]
        if sparse.issparse(X):
            del widths[1]
        if fleet.class_centers is not None:
            widths.append(2 * fleet.class_centers.shape[1])
        n_chunk = max(1, _PREDICT_CHUNK // (fleet.n_networks * max(widths)))
        start = 0
        while start < max(1, X.shape[0]):
            rows = X[start : start + n_chunk]
            fleet.train(training)
            try:
                n_threads = choose_threads(rows.shape[0] * fleet.flops_per_row)
                with torch.no_grad(), threads(n_threads, begins_none=True):
                    computed = compute(self._on_device(rows)).to(device)
            except Exception as error:
                if n_chunk == 1 or not ran_out(error):
                    raise
                n_chunk //= 2
                continue
            finally:
                fleet.train(was_training)
            start += n_chunk
            yield computed

    def _on_device(self, X: Any) -> Any:
        """Rows to predict, for every network."""
        fleet = self.module_
        if not sparse.issparse(X):
            return as_tensor(X).to(self.device, fleet.prediction_dtype)
        table = SparseTable(as_csr(X), fleet.prediction_dtype, self.device)
        return table.rows(torch.arange(len(table), device=self.device).expand(fleet.n_networks, -1))

    @threads()
    def network_predictions(self, X) -> np.ndarray:
        """Predictions of every network, shape (rows, K, n_predictions)."""
        return torch.cat(list(self.forward_iter(X))).numpy()

    @threads()
    def network_outputs(self, X) -> np.ndarray:
        """What the link takes of every network, divided by its temperature, shape (rows, K, n_outputs or n_classes)."""
        return torch.cat(list(self._in_chunks(X, self._tempered))).numpy()

    def _tempered(self, x: Any) -> Tensor:
        """Raw outputs of rows, divided by each network's temperature."""
        return self.module_.tempered(self.module_.outputs(x)).transpose(0, 1)

    @threads()
    def embeddings(self, X) -> np.ndarray:
        """Embeddings of every network, shape (rows, K, n_outputs)."""
        return torch.cat([*self._in_chunks(X, lambda x: self.module_.embed(x).transpose(0, 1))]).numpy()

    @threads()
    def link(self, outputs: np.ndarray) -> np.ndarray:
        """Probabilities for raw outputs that were divided by their temperature."""
        return self.module_.cost.link(torch.from_numpy(outputs)).numpy()

    def votes(self, X) -> np.ndarray:
        """What is averaged over the networks, (rows, K, n): predictions, or the raw outputs of calibrated networks.

        Averaging probabilities of different networks makes them less certain, so that the average of
        calibrated ones is not calibrated (docs/step4_validation.md, "Calibration").
        """
        return self.network_outputs(X) if self._averages_outputs else self.network_predictions(X)

    @property
    def _averages_outputs(self) -> bool:
        """Whether raw outputs are averaged, and not predictions: those of calibrated networks for classes."""
        return self.module_.target_center is None and self.module_.is_calibrated

    def count(self, votes: np.ndarray) -> np.ndarray:
        """Prediction from an average of `votes`, or from one network's."""
        return self.link(votes) if self._averages_outputs else votes

    def calibrate(self, temperature: float | np.ndarray) -> None:
        """Give all networks a temperature, or factors (n_outputs,) of the steps between quantiles."""
        values = torch.as_tensor(temperature).to(self.module_.temperature)
        self.module_.temperature.copy_(values.expand_as(self.module_.temperature))

    @threads()
    def predict_proba(self, X):
        """Prediction of all networks together: probabilities, or values of shape (rows, n_values)."""
        # Callbacks' caches take the place of `forward_iter`.
        chunks = self._in_chunks(X, self._tempered) if self._averages_outputs else self.forward_iter(X)
        # Chunk by chunk: those of all networks take many times the memory of their mean.
        means = [_mean(chunk.numpy()) for chunk in chunks]
        return self.count(np.concatenate(means))

    @threads()
    def predict(self, X):
        """Class codes, values of shape (rows,) or (rows, n_targets), or 0 and 1 of shape (rows, n_labels)."""
        mean = self.module_.cost.point(self.predict_proba(X))
        if self.criterion.target_scaling == "indicators":
            return (mean > 0.5).astype(int)
        if self.module_.target_center is None:
            return mean.argmax(1)
        return mean[:, 0] if mean.shape[1] == 1 else mean


def _mean(predictions: np.ndarray) -> np.ndarray:
    """Mean over the networks, (rows, n), to the last bit that of all rows at once."""
    # numpy adds single values in another order where they do not lie side by side.
    return (np.ascontiguousarray(predictions) if predictions.shape[2] == 1 else predictions).mean(1)
