"""Searches on joblib's workers: real processes, some of which are killed in the middle."""

import io
import os
import signal
import threading
import warnings
from contextlib import redirect_stderr
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from joblib.parallel import ThreadingBackend
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import RandomizedSearchCV
from torch import nn

from sk_dlsteps import StepwiseRegressor, StepwiseSearchCV
from sk_dlsteps.step4_validation import workers
from sk_dlsteps.step4_validation.candidates import Trial

# Also the fork of a worker's nanny, of which Python 3.12 and later warn in a process with threads.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

MODEL = StepwiseRegressor(n_estimators=1, max_epochs=3, learning_rate=0.01, random_state=0)
SPACE = {"hidden_units": [4, 6, 8, 10], "batch_size": [32, 64], "weight_decay": loguniform(1e-4, 1e-1)}
SEARCH = {"n_iter": 7, "cv": 3, "random_state": 0}


def deadly(estimator, X, y, *, here, once=None, weight_decay=None):
    """A scorer that kills the process that it runs in, unless that is `here`: once, or always for a candidate."""
    if os.getpid() != here:
        if once is not None and not once.exists():
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if estimator.weight_decay == weight_decay:
            os.kill(os.getpid(), signal.SIGKILL)
    return estimator.score(X, y)


def search(**kwargs):
    return StepwiseSearchCV(MODEL, SPACE, **{"strategy": "random", **SEARCH, **kwargs})


def assert_same_results(one, other, rtol=1e-4):
    assert one.cv_results_["params"] == other.cv_results_["params"]
    for fold in range(3):
        key = f"split{fold}_test_score"
        np.testing.assert_allclose(one.cv_results_[key], other.cv_results_[key], rtol=rtol, atol=1e-5)


@pytest.fixture(scope="module")
def data(diabetes):
    X, _, y, _ = diabetes
    return X, y


@pytest.fixture(scope="module")
def alone(data):
    """The search in this process."""
    return search().fit(*data)


@pytest.fixture(scope="module")
def client():
    """Two worker processes of Dask on this machine."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.parametrize("scattered", [True, False], ids=["scattered", "sent along"])
def test_a_worker_of_dask_that_is_killed_costs_no_results(scattered, client, data, alone, tmp_path):
    scoring = partial(deadly, here=os.getpid(), once=tmp_path / "killed")
    client.wait_for_workers(2)
    with joblib.parallel_config(backend="dask", **({"scatter": [*data]} if scattered else {})):
        found = search(scoring=scoring).fit(*data)
    assert (tmp_path / "killed").exists()
    assert_same_results(found, alone)
    np.testing.assert_allclose(found.predict(data[0]), alone.predict(data[0]), rtol=1e-4)


def test_randomized_search_over_our_estimators_runs_on_dask(client, data, alone):
    with joblib.parallel_config(backend="dask"):
        theirs = RandomizedSearchCV(MODEL, SPACE, **SEARCH).fit(*data)
    assert_same_results(theirs, alone)


def test_a_worker_of_loky_that_is_killed_costs_no_results(data, alone, tmp_path):
    scoring = partial(deadly, here=os.getpid(), once=tmp_path / "killed")
    found = search(scoring=scoring, n_jobs=2).fit(*data)
    assert (tmp_path / "killed").exists()
    assert_same_results(found, alone)


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite:UserWarning")
def test_a_candidate_that_always_kills_its_worker_is_one_that_fails(data, alone, monkeypatch):
    monkeypatch.setattr(workers, "MAX_RESTARTS", 0)
    bad = alone.cv_results_["params"][1]
    scoring = partial(deadly, here=os.getpid(), weight_decay=bad["weight_decay"])
    with pytest.warns(FitFailedWarning, match="3 fits failed[\\s\\S]*The worker process died each time"):
        found = search(scoring=scoring, n_jobs=2, n_iter=3).fit(*data)
    assert np.isnan(found.cv_results_["mean_test_score"]).tolist() == [False, True, False]


def test_an_error_in_a_worker_is_raised_here_if_wanted(data):
    with (
        joblib.parallel_config(backend="threading", n_jobs=2),
        pytest.raises(ValueError, match="`hidden_units` must"),
    ):
        StepwiseSearchCV(MODEL, {"hidden_units": [4, -1]}, strategy="random", n_iter=2, error_score="raise").fit(*data)


class Interrupted(io.StringIO):
    """A terminal on which the user presses Ctrl-C at the fourth line."""

    n_lines = 0

    def isatty(self):
        return True

    def write(self, text):
        self.n_lines += 1
        if self.n_lines == 4:
            raise KeyboardInterrupt
        return super().write(text)


def test_ctrl_c_keeps_the_batches_that_came_back(data, alone, monkeypatch):
    monkeypatch.setattr("sk_dlsteps.report.progress._TERMINAL", 0.0)
    # Not by a filter: those are shared by the threads, of which one still fits.
    told, before = [], {*threading.enumerate()}
    monkeypatch.setattr(warnings, "warn", lambda message, *args, **kwargs: told.append(str(message)))
    part = search(n_iter=4, verbose=1)
    with (
        joblib.parallel_config(backend="threading", n_jobs=2),
        redirect_stderr(Interrupted()),
        pytest.raises(KeyboardInterrupt),
    ):
        part.fit(*data)
    for thread in {*threading.enumerate()} - before:
        thread.join()
    assert any("1 of 4 candidates had finished" in message for message in told)
    (params,) = part.cv_results_["params"]
    row = alone.cv_results_["params"].index(params)
    assert part.best_score_ == pytest.approx(alone.cv_results_["mean_test_score"][row], rel=1e-4)


class Pool(ThreadingBackend):
    """A backend that gives all results at once, as those of multiprocessing and of Ray do."""

    supports_return_generator = False


@pytest.mark.parametrize("backend", ["threading", "pool"])
def test_any_backend_of_joblib_gives_the_results_of_this_process(backend, data, alone):
    joblib.register_parallel_backend("pool", Pool)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert_same_results(search().fit(*data), alone)


def test_ladders_climb_on_workers_too(data):
    ladders = []
    for n_jobs in (1, 2):
        with joblib.parallel_config(backend="threading", n_jobs=n_jobs):
            ladders.append(search(strategy="ladder", n_iter=5).fit(*data))
    assert_same_results(*ladders)
    assert ladders[0].ladder_.params == ladders[1].ladder_.params


def test_batches_keep_candidates_of_one_shape_together_and_lose_none():
    trial = Trial(MODEL, None, [], {}, {}, np.nan, False)
    shapes = [{"batch_size": size, "n_hidden_layers": depth} for depth in (1, 2) for size in (32, 64)] * 3
    batches = workers._deal(trial, shapes, list(range(12)), 2)
    assert sorted(number for batch in batches for number in batch) == list(range(12))
    assert [len({str(shapes[number]) for number in batch}) for batch in batches] == [1] * 8
    assert [len(batch) for batch in batches] == [2] * 4 + [1] * 4


def test_candidates_that_differ_in_epochs_or_widths_only_share_a_batch_by_their_depth():
    trial = Trial(MODEL, None, [], {}, {}, np.nan, False)
    alike = [{"max_epochs": 5, "hidden_units": (8, 4)}, {"max_epochs": 9, "hidden_units": 6, "n_hidden_layers": 2}]
    assert workers._deal(trial, [*alike, {"hidden_units": [8]}], [0, 1, 2], 1) == [[0, 1], [2]]


@pytest.mark.parametrize(
    ("n_alike", "n_workers", "lengths"),
    [(30, 2, [15, 15]), (31, 2, [11, 10, 10]), (3, 8, [1, 1, 1]), (8, 3, [3, 3, 2])],
)
def test_candidates_of_one_shape_are_dealt_to_all_workers_in_batches_that_are_not_too_long(n_alike, n_workers, lengths):
    trial = Trial(MODEL, None, [], {}, {}, np.nan, False)
    batches = workers._deal(trial, [{"weight_decay": i} for i in range(n_alike)], list(range(n_alike)), n_workers)
    assert [len(batch) for batch in batches] == lengths


def test_other_estimators_are_sent_in_batches_too(data):
    theirs = RandomizedSearchCV(Ridge(), {"alpha": loguniform(1e-3, 1e3)}, **SEARCH).fit(*data)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        ours = StepwiseSearchCV(Ridge(), {"alpha": loguniform(1e-3, 1e3)}, strategy="random", **SEARCH).fit(*data)
    assert_same_results(ours, theirs)


def dropping(n_inputs, n_outputs):
    """A network that takes its randomness from torch's global generator."""
    return nn.Sequential(nn.Linear(n_inputs, 6), nn.Dropout(0.5), nn.Linear(6, n_outputs))


def test_own_modules_train_in_threads_as_alone_and_leave_torchs_generator_as_it_was(data):
    X, y = data
    model = clone(MODEL).set_params(module=dropping, max_epochs=10)
    space = {"learning_rate": [0.001, 0.003, 0.01, 0.03]}
    options = {"strategy": "random", "n_iter": 4, "cv": 2, "random_state": 0, "refit": False}
    one = StepwiseSearchCV(model, space, **options).fit(X, y)
    before = torch.get_rng_state()
    with joblib.parallel_config(backend="threading", n_jobs=4):
        many = StepwiseSearchCV(model, space, **options).fit(X, y)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(one.cv_results_["mean_test_score"], many.cv_results_["mean_test_score"])
