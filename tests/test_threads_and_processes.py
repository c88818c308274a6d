"""Fits side by side in threads and processes: the results of one after the other, and nothing left behind."""

import multiprocessing
import signal
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed, parallel_config
from sklearn.ensemble import BaggingRegressor
from sklearn.model_selection import RandomizedSearchCV, cross_val_score
from skorch.callbacks import Callback
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV, find_learning_rate
from sk_dlsteps.engine.device import choose_threads, threads

# What they run is counted by the tests of its own.
pytestmark = pytest.mark.no_cover

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
GAPS = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
GAPS[:, 1] = np.nan
Y = X @ [1.0, 2.0, 3.0]
LABELS = (Y > 0).astype(int)
X.flags.writeable = False
# Torch divides among its threads what has more than 32,768 numbers.
LARGE = np.tile(X, (200, 1)), np.tile(Y, 200)
QUICK = {"max_epochs": 3, "n_estimators": 2, "hidden_units": 5, "random_state": 0}
FORKED = "fork" in multiprocessing.get_all_start_methods()


class Net(nn.Module):
    """A module that draws from torch's global generator, at the beginning and in every step."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_inputs, 5), nn.Dropout(0.5), nn.Linear(5, n_outputs))

    def forward(self, x):
        return self.layers(x)


def regressor(**parameters):
    """A regressor that trains a moment only."""
    return StepwiseRegressor(**{**QUICK, "learning_rate": 0.05, **parameters})


def classifier(**parameters):
    """A classifier that trains a moment only."""
    return StepwiseClassifier(**{**QUICK, "learning_rate": 0.05, **parameters})


FITTED = regressor().fit(X, Y)
# What people do at the same time, each with an array as its result.
WORK = {
    "regressor": lambda: regressor(n_threads=2).fit(X, Y).predict(X),
    "classifier": lambda: classifier(dropout=0.5, augmentation="mixup").fit(X, LABELS).predict_proba(X),
    "robust scaler": lambda: regressor(scaler="robust").fit(GAPS, Y).predict(GAPS),
    "module": lambda: regressor(module=Net).fit(X, Y).predict(X),
    "another module": lambda: classifier(module=Net, random_state=1).fit(X, LABELS).predict_proba(X),
    "predictions": lambda: np.stack([FITTED.predict(X) for _ in range(20)]),
    "learning rate": lambda: find_learning_rate(regressor(max_epochs=40, batch_size=8), X, Y).losses,
    "search": lambda: (
        StepwiseSearchCV(regressor(), {"dropout": [0.0, 0.5]}, strategy="random", n_iter=2, cv=2, random_state=0)
        .fit(X, Y)
        .predict(X)
    ),
}


@pytest.fixture
def two_threads():
    """Torch with a pool of two threads that has been used."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    large = torch.ones(600, 600)
    assert (large @ large + large).sum() > 0
    yield
    torch.set_num_threads(before)


@pytest.fixture
def hasty():
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def process_state():
    """What belongs to all threads, and is nobody's to change."""
    with ThreadPoolExecutor(1) as new:
        threads_of_later = new.submit(torch.get_num_threads).result()
    return {
        "torch's generator": torch.get_rng_state().tolist(),
        "numpy's generator": str(np.random.get_state()),
        "threads": (torch.get_num_threads(), threads_of_later),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "numpy's errors": np.geterr(),
    }


def test_work_in_threads_gives_what_it_gives_one_after_the_other_and_leaves_nothing_behind(two_threads, hasty):
    before = process_state()
    expected = {name: act() for name, act in WORK.items()}
    start = threading.Barrier(len(WORK))

    def after_the_start(act):
        start.wait()
        return act()

    with ThreadPoolExecutor(len(WORK)) as pool:
        found = {name: pool.submit(after_the_start, act) for name, act in WORK.items()}
        for name, result in found.items():
            np.testing.assert_array_equal(result.result(), expected[name], err_msg=name)
    assert process_state() == before


def test_fits_searches_and_predictions_leave_the_filters_of_warnings_alone(monkeypatch):
    callers = []

    class Noted(warnings.catch_warnings):
        def __init__(self, *args, **kwargs):
            callers.append(sys._getframe(1).f_globals["__name__"])
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(warnings, "catch_warnings", Noted)
    for act in WORK.values():
        act()
    assert callers, "scikit-learn's checks change them"
    assert not [name for name in callers if name.startswith("sk_dlsteps")]


def test_threads_of_torch_are_counted_for_each_thread(two_threads):
    with ThreadPoolExecutor(1) as earlier, ThreadPoolExecutor(1) as later:
        assert earlier.submit(torch.get_num_threads).result() == 2
        with threads(1):
            assert torch.get_num_threads() == 1
            assert [pool.submit(torch.get_num_threads).result() for pool in (earlier, later)] == [2, 2]
    assert process_state()["threads"] == (2, 2)


def test_fits_that_end_in_another_order_than_they_began_leave_the_number_of_threads(two_threads):
    begun, ended = threading.Event(), threading.Event()

    def hold():
        with threads(1):
            begun.set()
            ended.wait()
        return torch.get_num_threads()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(hold)
        begun.wait()
        with threads(3):
            ended.set()
            assert first.result() == 2
            assert torch.get_num_threads() == 3
    assert process_state()["threads"] == (2, 2)


class Counting(Callback):
    """Notes torch's number of threads within a fit, and what a thread finds that begins there."""

    def __init__(self):
        self.found = []

    def on_epoch_begin(self, net, **kwargs):
        self.found.append(process_state()["threads"])


def test_a_thread_that_a_callback_begins_finds_as_many_threads_as_without_a_fit(two_threads):
    counting = Counting()
    regressor(n_threads=1, callbacks=[counting]).fit(X, Y)
    assert counting.found == [(1, 2)] * 3
    assert process_state()["threads"] == (2, 2)


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_a_ctrl_c_while_threads_are_counted_leaves_their_number(call, two_threads, monkeypatch):
    set_number, numbers = torch.set_num_threads, []

    def interrupted(number):
        set_number(number)
        numbers.append(number)
        if len(numbers) == call:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "set_num_threads", interrupted)
        with pytest.raises(KeyboardInterrupt), threads(1):
            assert torch.get_num_threads() == 1
    assert numbers == [1, 2, 2, 2]
    assert process_state()["threads"] == (2, 2)


def choose(flops):
    """Threads that a fit of so many operations would take."""
    return choose_threads(flops)


def test_threads_of_joblib_share_the_cores(two_threads):
    assert choose(1e12) == 2
    assert Parallel(n_jobs=2, backend="threading")(delayed(choose)(1e12) for _ in range(3)) == [1, 1, 1]


# -- processes -----------------------------------------------------------------------


def work_of_a_child(model, sender):
    """Predict with the parent's model, fit another, and tell how many threads there were within and are now."""
    counting = Counting()
    another = regressor(n_threads=2, callbacks=[counting]).fit(X, Y)
    sender.send((model.predict(X), another.predict(X), {own for own, _ in counting.found}, process_state()["threads"]))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_predicts_and_fits_as_its_parent_does_after_torch_has_used_its_threads(method, two_threads):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=work_of_a_child, args=(FITTED, sender))
    child.start()
    try:
        assert receiver.poll(120), "the child hangs"
        predicted, of_another, within, now = receiver.recv()
    finally:
        child.kill()
        child.join()
    np.testing.assert_array_equal(predicted, FITTED.predict(X))
    np.testing.assert_array_equal(of_another, WORK["regressor"]())
    assert within == {1 if method == "fork" else 2}
    assert method == "spawn" or now == (2, 2)


def large_work():
    """What computes with tensors so large that torch would divide them."""
    table, values = LARGE
    model = regressor(n_estimators=1, max_epochs=1, n_threads=2, learning_rate="auto").fit(table, values)
    module = model.to_torch()
    with threads(), torch.no_grad():
        assert len(module(torch.from_numpy(table))) == len(table)
    return model.partial_fit(table, values).predict(table)


@pytest.mark.skipif(not FORKED, reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_fits_large_tables_and_leaves_torch_to_others(two_threads):
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def work():
        torch.set_num_threads(3)
        sender.send((large_work(), torch.get_num_threads()))

    child = context.Process(target=work)
    child.start()
    try:
        assert receiver.poll(120), "the child hangs"
        predicted, n_threads = receiver.recv()
    finally:
        child.kill()
        child.join()
    np.testing.assert_allclose(predicted, large_work(), rtol=1e-4, atol=1e-4)
    assert n_threads == 3


class Forking(Net):
    """A module that waits for a thread of its own, which forks a process that trains a module."""

    exits: ClassVar[list] = []

    def forward(self, x):
        if self.training and not self.exits:
            helper = threading.Thread(target=self.fork, daemon=True)
            helper.start()
            helper.join(120)
            self.exits.append("the helper is done" if not helper.is_alive() else "the helper hangs")
        return super().forward(x)

    def fork(self):
        child = multiprocessing.get_context("fork").Process(target=WORK["module"])
        child.start()
        child.join(100)
        self.exits.append(child.exitcode)
        child.kill()


@pytest.mark.skipif(not FORKED, reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_module_may_wait_for_a_thread_that_forks(two_threads):
    Forking.exits.clear()
    regressor(module=Forking).fit(X, Y)
    assert Forking.exits == [0, "the helper is done"]


@pytest.mark.skipif(not FORKED, reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_forked_while_another_thread_trains_a_module_does_not_wait_for_it(two_threads):
    stop = threading.Event()

    def train_on():
        while not stop.is_set():
            WORK["module"]()

    trainer = threading.Thread(target=train_on)
    trainer.start()
    context = multiprocessing.get_context("fork")
    children = []
    try:
        for _ in range(3):
            receiver, sender = context.Pipe(duplex=False)
            child = context.Process(target=lambda sender=sender: sender.send(WORK["module"]()))
            child.start()
            children.append((child, receiver))
        found = [receiver.recv() if receiver.poll(120) else None for _, receiver in children]
    finally:
        stop.set()
        trainer.join()
        for child, _ in children:
            child.kill()
            child.join()
    for result in found:
        np.testing.assert_array_equal(result, WORK["module"]())


def threads_of_a_worker(model):
    """Threads that torch has in a worker, and that a fit took."""
    return torch.get_num_threads(), model.fit(X, Y).plan_.n_threads


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_joblibs_workers_give_what_a_single_process_gives_with_one_thread_each(backend, two_threads):
    scores = cross_val_score(regressor(), X, Y, cv=2)
    space = {"dropout": [0.0, 0.5]}
    searched = RandomizedSearchCV(regressor(), space, n_iter=2, cv=2, random_state=0).fit(X, Y)
    bagged = BaggingRegressor(regressor(), n_estimators=2, random_state=0).fit(X, Y)
    with parallel_config(backend, n_jobs=2):
        np.testing.assert_array_equal(cross_val_score(regressor(), X, Y, cv=2), scores)
        again = RandomizedSearchCV(regressor(), space, n_iter=2, cv=2, random_state=0).fit(X, Y)
        np.testing.assert_array_equal(again.cv_results_["mean_test_score"], searched.cv_results_["mean_test_score"])
        again = BaggingRegressor(regressor(), n_estimators=2, random_state=0).fit(X, Y)
        np.testing.assert_array_equal(again.predict(X), bagged.predict(X))
        counts = Parallel()(delayed(threads_of_a_worker)(regressor()) for _ in range(2))
    assert [of_a_fit for _, of_a_fit in counts] == [1, 1]
