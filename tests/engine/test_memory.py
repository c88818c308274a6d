"""When memory runs out, minibatches are computed in parts, to the same result, or an error says what to set."""

import multiprocessing
import resource
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_diabetes

from sk_dlsteps import StepwiseRegressor, StepwiseWarning
from sk_dlsteps.engine.memory import Steps, ran_out, telling_the_way_out
from sk_dlsteps.engine.mlp_fleet import MLPFleet

X, Y = load_diabetes(return_X_y=True)


def module(n_inputs, n_outputs):
    """A module of the user's own."""
    return torch.nn.Sequential(torch.nn.Linear(n_inputs, 9), torch.nn.Tanh(), torch.nn.Linear(9, n_outputs))


def in_parts(monkeypatch, n_parts):
    """Let all steps begin in parts, as they are after memory ran out."""
    monkeypatch.setattr(Steps, "__init__", lambda self: setattr(self, "n_parts", n_parts))


@pytest.mark.parametrize("n_parts", [3, 10**6], ids=["thirds", "rows"])
@pytest.mark.parametrize(
    ("parameters", "rows"),
    [
        ({"dropout": 0.3, "n_hidden_layers": 2}, X),
        ({"activation": "silu", "max_grad_norm": 0.1}, X),
        ({"mixed_precision": "bf16"}, X),
        ({"module": module}, X),
        ({}, sparse.csr_matrix(np.where(X > 0, X, 0))),
    ],
    ids=["dropout", "clipping", "precision", "module", "sparse"],
)
def test_parts_add_up_to_the_whole(monkeypatch, parameters, rows, n_parts):
    own = {"max_epochs": 2, "n_estimators": 2, "learning_rate": 0.01, "batch_size": 64, "random_state": 0}
    model = StepwiseRegressor(**own, **parameters)
    weight = np.linspace(0.5, 2, len(Y))
    whole = model.fit(rows, Y, sample_weight=weight).predict(rows)
    in_parts(monkeypatch, n_parts)
    tolerance = 2e-2 if "mixed_precision" in parameters else 1e-4
    np.testing.assert_allclose(model.fit(rows, Y, sample_weight=weight).predict(rows), whole, tolerance)


@pytest.mark.parametrize("parameters", [{"batch_norm": True}], ids=["batch_norm"])
def test_rows_that_need_each_other_stay_together(monkeypatch, parameters):
    model = StepwiseRegressor(max_epochs=2, n_estimators=2, learning_rate=0.01, random_state=0, **parameters)
    whole = model.fit(X, Y).predict(X)
    in_parts(monkeypatch, 4)
    np.testing.assert_array_equal(model.fit(X, Y).predict(X), whole)


def fit_in_little_memory(results, megabytes, parameters):
    """What a process does that may take so much more memory than it has."""
    rows = np.random.default_rng(0).normal(size=(1500, 10)).astype(np.float32)
    model = StepwiseRegressor(learning_rate=0.01, max_epochs=1, random_state=0, **parameters)
    model.fit(rows[:50], rows[:50, 0])
    if megabytes:
        lines = Path("/proc/self/status").read_text().splitlines()
        (status,) = (line for line in lines if line.startswith("VmSize"))
        most = int(status.split()[1]) * 1024 + megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            predictions = model.fit(rows, rows[:, 0]).predict(rows[:20])
        except MemoryError as error:
            predictions = str(error)
    results.send((predictions, [(warning.category, str(warning.message), warning.filename) for warning in heard]))


def outcome(megabytes, parameters):
    """Predictions or an error, and warnings, of a fit in a process of its own."""
    processes = multiprocessing.get_context("fork")
    here, there = processes.Pipe(duplex=False)
    child = processes.Process(target=fit_in_little_memory, args=(there, megabytes, parameters))
    child.start()
    there.close()
    result = here.recv()
    child.join()
    return result


def test_a_fit_goes_on_when_memory_runs_out_in_a_step():
    wide = {"hidden_units": 6000, "n_estimators": 2, "batch_size": 1500, "early_stopping": False}
    whole, _ = outcome(None, wide)
    predictions, ((category, words, filename),) = outcome(100, wide)
    np.testing.assert_allclose(predictions, whole, atol=1e-4)
    assert category is StepwiseWarning
    assert words.startswith("Memory ran out in a minibatch of ")
    assert "batch_size" in words
    assert filename == __file__


def test_an_error_says_what_to_set_where_nothing_can_be_cut():
    wide = {"hidden_units": 6000, "n_estimators": 2, "batch_size": 1500, "early_stopping": False, "batch_norm": True}
    words, _ = outcome(100, wide)
    assert words.startswith("Memory ran out (")
    assert "set a smaller `batch_size`" in words


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
    ids=["numpy", "cuda", "cpu", "shapes", "value"],
)
def test_what_says_that_memory_ran_out_is_told_from_what_does_not(error, expected):
    assert ran_out(error) is expected


def test_other_errors_stay_what_they_are():
    with pytest.raises(ValueError, match=r"^out of memory$"), telling_the_way_out():
        raise ValueError("out of memory")


def test_an_error_without_words_says_what_to_set_too():
    with pytest.raises(MemoryError, match="set a smaller `batch_size`"), telling_the_way_out():
        raise MemoryError


def test_rows_that_are_only_looked_at_come_fewer_at_a_time(monkeypatch):
    model = StepwiseRegressor(max_epochs=3, n_estimators=2, learning_rate=0.01, random_state=0)
    whole = model.fit(X, Y).predict(X)
    raw = MLPFleet.raw

    def with_little_memory(self, x):
        if x.shape[1] > 20:
            raise RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")
        return raw(self, x)

    monkeypatch.setattr(MLPFleet, "raw", with_little_memory)
    np.testing.assert_allclose(model.fit(X, Y).predict(X), whole, 1e-4)
