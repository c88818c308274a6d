import pickle
import pty
import sys

import numpy as np
import pytest
from skorch.callbacks import Callback

from sk_dlsteps import StepwiseRegressor
from sk_dlsteps.report import progress
from sk_dlsteps.report.progress import Progress

X = np.random.default_rng(0).normal(size=(60, 3))


@pytest.fixture
def fit(monkeypatch):
    """A function that fits four epochs and announces what is next, showing something every so many seconds."""

    def fit(seconds):
        monkeypatch.setattr(progress, "_TERMINAL", seconds)
        monkeypatch.setattr(progress, "_LOG", seconds)
        settings = {"learning_rate": 0.01, "max_epochs": 4, "early_stopping": False, "random_state": 0}
        StepwiseRegressor(callbacks=[Progress("trees")], **settings).fit(X, X[:, 0])
        progress.announce("next")
        progress.clear()

    return fit


def test_a_log_gets_lines_with_the_epoch_and_the_loss(fit, capfd):
    fit(seconds=0)
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("trees: epoch 1 of at most 4, training loss ")
    assert lines[-1] == "next ..."
    assert out == ""


def test_epochs_in_quick_succession_are_not_shown(fit, capfd):
    fit(seconds=1000)
    assert capfd.readouterr().err == "next ...\n"


def test_a_terminal_gets_one_line_that_is_wiped_in_the_end(fit, monkeypatch):
    reader, terminal = pty.openpty()
    with open(terminal, "w") as stderr, open(reader, "rb", buffering=0) as screen:
        monkeypatch.setattr(sys, "stderr", stderr)
        fit(seconds=0)
        seen = screen.read(10_000).decode()
    assert "\n" not in seen
    assert seen.count("\r\x1b[Ktrees: epoch") == 4
    assert seen.endswith("\r\x1b[Knext ...\r\x1b[K")


def test_it_listens_to_epochs_only():
    batch_events = ("on_batch_begin", "on_batch_end", "on_grad_computed")
    assert all(getattr(Progress, event) is getattr(Callback, event) for event in batch_events)


def test_a_model_that_was_watched_pickles():
    X = np.random.default_rng(0).normal(size=(40, 2))
    model = StepwiseRegressor(max_epochs=2, n_estimators=2, random_state=0, learning_rate=0.01, callbacks=[Progress()])
    model.fit(X, X[:, 0])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
