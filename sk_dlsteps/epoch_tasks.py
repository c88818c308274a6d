"""Epochs as the tasks that scikit-learn's callbacks are told of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from skorch.callbacks import Callback

from sk_dlsteps.callback_support import callback_management_context, callbacks_of
from sk_dlsteps.engine.centers import place_centers
from sk_dlsteps.engine.members import gather_tables
from sk_dlsteps.engine.net import FleetNet
from sk_dlsteps.preparation import Prepared, as_pipeline, make_net

if TYPE_CHECKING:
    from sk_dlsteps.recipe import StepwiseEstimator


@contextmanager
def told_to_callbacks(
    estimator: StepwiseEstimator,
    prepared: Prepared,
    names: dict[str, Any],
    X: Any,
    y: Any,
    sample_weight: Any,
    n_before: int = 0,
) -> Iterator[Prepared]:
    """Let scikit-learn's callbacks follow a fit, whose `prepared` this gives back; without any, nothing is done.

    If one of them raises an error, the estimator stays as it was. A warm start has `n_before` epochs in its history.
    """
    if not callbacks_of(estimator):
        yield prepared
        return
    before = vars(estimator).copy()
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    task = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
    try:
        with callback_management_context(estimator):
            # Epochs have numbers of their own: those that come from a checkpoint are not told again.
            n_epochs = prepared.plan.max_epochs
            context = estimator._init_callback_context(max_subtasks=n_epochs, sequential_subtasks=False)
            context.call_on_fit_task_begin(**task)
            yield replace(prepared, epoch_tasks=EpochTasks(context, task, prepared, names, n_before))
            context.call_on_fit_task_end(**task, reconstruction_attributes={})
    except BaseException:
        estimator.__dict__ = before
        raise


@dataclass(eq=False)
class EpochTasks(Callback):
    """A skorch callback that makes each epoch a task of scikit-learn's.

    Attributes
    ----------
    context : CallbackContext
        That of the fit.
    task : dict
        What is told of each task: the estimator and what its `fit` was given.
    prepared : Prepared
        What was decided for the fit.
    names : dict
        Fitted attributes that describe the table.
    n_before : int
        Epochs in the history that are none of this fit's.

    """

    context: Any
    task: dict[str, Any]
    prepared: Prepared
    names: dict[str, Any]
    n_before: int

    def on_epoch_begin(self, net: FleetNet, dataset_train=None, dataset_valid=None, **kwargs: Any) -> None:
        """Begin a task."""
        # This epoch has its row in the history already.
        n_epochs = len(net.history) - 1
        self.epoch = self.context.subcontext(task_name="epoch", task_id=n_epochs - self.n_before)
        self.epoch.call_on_fit_task_begin(**self.task, reconstruction_attributes=lambda: self.fitted(net, n_epochs))

    def on_epoch_end(self, net: FleetNet, dataset_train=None, dataset_valid=None, **kwargs: Any) -> None:
        """End the task, and the training if a callback says so."""
        n_epochs = len(net.history)
        if self.epoch.call_on_fit_task_end(**self.task, reconstruction_attributes=lambda: self.fitted(net, n_epochs)):
            net.ended_by_callback_ = True

    def __reduce__(self) -> tuple[Any, ...]:
        """What a net has in its place that is pickled or copied while it trains: a callback that does nothing."""
        return Callback, ()

    def fitted(self, net: FleetNet, n_epochs: int) -> dict[str, Any]:
        """What the estimator would predict with if training ended now; it shares nothing that training changes."""
        prepared, plan = self.prepared, replace(self.prepared.plan, learning_rate=net.lr)
        fleet = net.module_.as_if_ended()
        if fleet.class_centers is not None:
            place_centers(fleet, gather_tables([prepared.table], fleet, net.seeds, [net.batch_size], None, net.dtype))
        own = make_net(prepared, plan).initialize_on(fleet)
        own.expect(prepared.data.target.values)
        own.history_ = type(net.history)(list(net.history)[:n_epochs])
        of_now = {"plan_": plan, "history_": own.history, "n_iter_": n_epochs}
        return {**self.names, **of_now, "pipeline_": as_pipeline(prepared, own)}
