"""Ctrl-C in a fit: the earlier fit stays or, if asked, the best networks so far become the model."""

import signal
import threading

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from skorch.callbacks import Callback
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV, StepwiseWarning

X, Y = load_diabetes(return_X_y=True)
OWN = {"max_epochs": 8, "n_estimators": 3, "learning_rate": 0.01, "random_state": 0}


class CtrlC(Callback):
    """Sends real SIGINTs at some step, counted from 1."""

    def __init__(self, step, times=1):
        self.step, self.times, self.n_steps_ = step, times, 0

    def on_batch_begin(self, net, training=False, **kwargs):
        self.n_steps_ += training
        if training and self.n_steps_ == self.step:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


def weights(model):
    """All that the networks of a fitted model have learnt."""
    return {name: tensor.numpy() for name, tensor in model.pipeline_[-1].module_.state_dict().items()}


def interrupted(estimator, rows, target, step, n_epochs, **parameters):
    """A model that was kept when Ctrl-C came in some step."""
    model = estimator(**parameters, on_interrupt="keep", callbacks=[CtrlC(step)])
    with pytest.warns(StepwiseWarning, match=rf"interrupted after {n_epochs} of at most 8 epochs; .*warm_start=True"):
        return model.fit(rows, target)


KINDS = {
    "regressor": (StepwiseRegressor, {}),
    "no_validation": (StepwiseRegressor, {"early_stopping": False}),
    "classifier": (StepwiseClassifier, {"batch_norm": True, "calibrate": True}),
    "own_module": (StepwiseRegressor, {"module": lambda n_inputs, n_outputs: nn.Linear(n_inputs, n_outputs)}),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_best_networks_of_the_whole_epochs_so_far_are_kept(kind):
    estimator, parameters = KINDS[kind]
    rows, target = load_iris(return_X_y=True) if estimator is StepwiseClassifier else (X, Y)
    own = {**OWN, "lr_schedule": "constant", **parameters}
    n_batches = len(StepCounter.steps(estimator(**own), rows, target)) // 8
    model = interrupted(estimator, rows, target, 4 * n_batches + 1, 4, **own)
    reference = estimator(**{**own, "max_epochs": 4}).fit(rows, target)
    for name, tensor in weights(model).items():
        np.testing.assert_array_equal(tensor, weights(reference)[name])
    np.testing.assert_array_equal(model.oof_prediction_, reference.oof_prediction_)
    np.testing.assert_array_equal(model.history_[:, "train_loss"], reference.history_[:, "train_loss"])
    assert model.n_iter_ == 4
    assert model.plan_.max_epochs == 8
    assert "Ctrl-C ended training after 4 of at most 8 epochs" in str(model.report())


class StepCounter(Callback):
    """Counts training steps."""

    def on_batch_begin(self, net, training=False, **kwargs):
        self.steps_ += [training] * training

    @classmethod
    def steps(cls, model, rows, target):
        """Steps of a whole fit."""
        counter = cls()
        counter.steps_ = []
        model.set_params(callbacks=[counter]).fit(rows, target)
        return counter.steps_


def test_without_a_whole_epoch_there_is_nothing_to_keep_and_the_earlier_fit_stays():
    model = StepwiseRegressor(**OWN).fit(X, -Y)
    before = model.predict(X)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(on_interrupt="keep", callbacks=[CtrlC(1)]).fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), before)


def test_a_second_interrupt_is_one_at_once():
    model = StepwiseRegressor(**OWN, on_interrupt="keep", callbacks=[CtrlC(20, times=2)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    assert not hasattr(model, "pipeline_")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_by_default_an_interrupt_is_one():
    with pytest.raises(KeyboardInterrupt):
        StepwiseRegressor(**OWN, callbacks=[CtrlC(20)]).fit(X, Y)


def test_a_kept_fit_goes_on_from_its_checkpoint(tmp_path):
    own = {**OWN, "checkpoint": tmp_path, "checkpoint_every": 1}
    reference = StepwiseRegressor(**OWN).fit(X, Y)
    model = StepwiseRegressor(**own, on_interrupt="keep", callbacks=[CtrlC(50)])
    with pytest.warns(StepwiseWarning, match="goes on from its `checkpoint`"):
        model.fit(X, Y)
    assert model.n_iter_ < 8
    model.set_params(callbacks=None).fit(X, Y)
    for name, tensor in weights(model).items():
        np.testing.assert_array_equal(tensor, weights(reference)[name])


def test_a_kept_fit_goes_on_with_a_warm_start():
    model = StepwiseRegressor(**OWN, warm_start=True, on_interrupt="keep", callbacks=[CtrlC(50)])
    with pytest.warns(StepwiseWarning, match="interrupted"):
        model.fit(X, Y)
    n_epochs = model.n_iter_
    assert model.set_params(callbacks=None).fit(X, Y).n_iter_ == n_epochs + 8


class AtEpochEnd(Callback):
    """Sends a real SIGINT as an epoch ends, counted from 1 over all stages."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("interrupt", "n_stages", "n_epochs"),
    [(CtrlC(3), 1, 2), (AtEpochEnd(4), 1, 4), (CtrlC(5), 1, 4), (CtrlC(6), 2, 5)],
    ids=["first_stage", "between", "first_epoch_of_the_second", "second_stage"],
)
def test_stages_end_with_the_last_whole_epoch(interrupt, n_stages, n_epochs):
    rows, target = load_iris(return_X_y=True)
    own = {**OWN, "unfreeze": {"output": 0, "*": 4}, "batch_size": 150}
    model = StepwiseClassifier(**own, on_interrupt="keep", callbacks=[interrupt])
    with pytest.warns(StepwiseWarning, match="interrupted"):
        model.fit(rows, target)
    assert len(model.plan_.stages) == n_stages
    assert model.n_iter_ == n_epochs
    assert model.score(rows, target) > 0.5


def test_an_interrupt_as_an_epoch_ends_keeps_that_epoch():
    model = StepwiseRegressor(**OWN, on_interrupt="keep", callbacks=[AtEpochEnd(3)])
    with pytest.warns(StepwiseWarning, match="after 3 of at most 8"):
        model.fit(X, Y)
    assert model.n_iter_ == 3


class Interrupting(nn.Linear):
    """A module that sends a real SIGINT in its third pass, which is one of the range test."""

    n_passes = 0

    def forward(self, x):
        Interrupting.n_passes += self.training
        if Interrupting.n_passes == 3 and self.training:
            signal.raise_signal(signal.SIGINT)
        return super().forward(x)


def test_an_interrupt_in_the_range_test_is_one_at_once():
    Interrupting.n_passes = 0
    own = {**OWN, "learning_rate": "auto", "max_epochs": 40, "n_estimators": 1, "module": Interrupting}
    with pytest.raises(KeyboardInterrupt):
        StepwiseRegressor(**own, on_interrupt="keep").fit(X, Y)
    assert Interrupting.n_passes == 3


class AtTheEnd(Callback):
    """Sends a real SIGINT when training is done."""

    def on_train_end(self, net, **kwargs):
        signal.raise_signal(signal.SIGINT)


def test_trained_networks_are_not_given_up():
    model = StepwiseRegressor(**OWN, on_interrupt="keep", callbacks=[AtTheEnd()]).fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), StepwiseRegressor(**OWN).fit(X, Y).predict(X))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_our_search_as_a_whole_is_interrupted_and_not_one_of_its_fits():
    model = StepwiseRegressor(**OWN, on_interrupt="keep", callbacks=[CtrlC(5)])
    with pytest.raises(KeyboardInterrupt):
        StepwiseSearchCV(model, strategy="random", n_iter=2, cv=2, random_state=0).fit(X, Y)


def test_a_handler_of_the_users_own_hears_the_interrupt():
    heard = []
    handler = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        model = StepwiseRegressor(**OWN, on_interrupt="keep", callbacks=[CtrlC(20)]).fit(X, Y)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert heard == [1]
    assert model.n_iter_ == 8


def test_a_fit_in_another_thread_is_none_of_python_s_interrupts():
    model = StepwiseRegressor(**OWN, on_interrupt="keep")
    thread = threading.Thread(target=model.fit, args=(X, Y))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(model.predict(X), StepwiseRegressor(**OWN).fit(X, Y).predict(X))


@pytest.mark.parametrize("value", ["stop", None, True], ids=repr)
def test_on_interrupt_is_a_word(value):
    with pytest.raises(ValueError, match=r"`on_interrupt` must be .raise. or .keep., got"):
        StepwiseRegressor(on_interrupt=value).fit(X, Y)
