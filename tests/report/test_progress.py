import os
import pickle
import pty
import subprocess
import sys

import numpy as np
from skorch.callbacks import Callback

from sk_dlsteps import StepwiseRegressor
from sk_dlsteps.report.progress import Progress

FIT = """
import numpy as np
from sk_dlsteps import StepwiseRegressor
from sk_dlsteps.report import progress
progress._TERMINAL = progress._LOG = {seconds}
X = np.random.default_rng(0).normal(size=(60, 3))
StepwiseRegressor(learning_rate=0.01, max_epochs=4, early_stopping=False, random_state=0,
                  callbacks=[progress.Progress("trees")]).fit(X, X[:, 0])
progress.announce("next")
progress.clear()
"""


def test_a_log_gets_lines_with_the_epoch_and_the_loss():
    run = subprocess.run([sys.executable, "-c", FIT.format(seconds=0)], capture_output=True, text=True, check=True)
    lines = run.stderr.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("trees: epoch 1 of at most 4, training loss ")
    assert lines[-1] == "next ..."
    assert run.stdout == ""


def test_epochs_in_quick_succession_are_not_shown():
    run = subprocess.run([sys.executable, "-c", FIT.format(seconds=1000)], capture_output=True, text=True, check=True)
    assert run.stderr == "next ...\n"


def test_a_terminal_gets_one_line_that_is_wiped_in_the_end():
    reader, terminal = pty.openpty()
    subprocess.run([sys.executable, "-c", FIT.format(seconds=0)], stderr=terminal, check=True)
    os.close(terminal)
    seen = os.read(reader, 10_000).decode()
    os.close(reader)
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
