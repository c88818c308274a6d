"""One fit in two real processes on the CPU, over gloo: this file is also the script that each of them runs."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from sklearn.base import clone
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, LRScheduler, ProgressBar, TensorBoard
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV
from sk_dlsteps.engine.processes import without_writers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(203, 5))
Y = X[:, 0] + np.sin(2 * X[:, 1]) + 0.3 * RNG.normal(size=203)
C = np.digitize(Y, [-0.7, 0.7])
WEIGHT = RNG.uniform(0.5, 1.5, 203)
SETTINGS = {"max_epochs": 12, "n_estimators": 3, "batch_size": 25, "random_state": 0}


class Net(nn.Sequential):
    """A network of the user's own."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(nn.Linear(n_inputs, 8), nn.Tanh(), nn.Linear(8, n_outputs))


class Dropped(nn.Sequential):
    """One that draws random numbers, and keeps averages of its own."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(nn.Linear(n_inputs, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, n_outputs))


class Batches(Callback):
    """Listens to batches, so that all validation rows are shown to it."""

    def on_batch_end(self, net, batch, training, **kwargs):
        self.n_rows = len(batch[0])


class Stop(Callback):
    """Ends training in the second process only."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 4 and os.environ.get("RANK", "1") == "1":
            raise KeyboardInterrupt


class Die(Callback):
    """Ends the second process."""

    def on_epoch_end(self, net, **kwargs):
        if os.environ.get("RANK") == "1":
            os._exit(3)


def regressor(**parameters):
    return StepwiseRegressor(**{**SETTINGS, **parameters})


def classifier(**parameters):
    return StepwiseClassifier(**{**SETTINGS, **parameters})


# Fits whose result is that of one process: the estimator, the target, and what else `fit` gets.
FITS = {
    "a regression": (regressor(), Y, {}),
    "a classification": (classifier(), C, {}),
    "two classes": (classifier(learning_rate=0.01), C > 0, {"sample_weight": WEIGHT}),
    "weights": (regressor(), Y, {"sample_weight": WEIGHT}),
    "validation data": (
        regressor(weight_decay=0.01),
        Y,
        {"X_val": X[:61], "y_val": Y[:61], "sample_weight_val": WEIGHT[:61]},
    ),
    "few validation rows": (regressor(n_estimators=1), Y, {"X_val": X[:1], "y_val": Y[:1]}),
    "no validation": (regressor(early_stopping=False, optimizer="sgd"), Y, {}),
    "dropout": (regressor(dropout=(0.2, 0.5), n_hidden_layers=2, hidden_units=12), Y, {}),
    "augmentation": (classifier(augmentation="mixup"), C, {}),
    "clipping": (regressor(max_grad_norm=0.1, max_grad_value=0.05), Y, {}),
    "a module": (regressor(module=Net, optimizer=torch.optim.RMSprop), Y, {}),
    "callbacks": (regressor(callbacks=[Batches(), LRScheduler("StepLR", step_size=3)]), Y, {}),
    "a callback that ends it": (regressor(callbacks=[Stop()]), Y, {}),
    "a search": (
        StepwiseSearchCV(regressor(), {"hidden_units": [4, 8]}, strategy="random", n_iter=2, cv=2, random_state=0),
        Y,
        {},
    ),
}
# Fits that come out the same in both processes, and not as in one.
AGREED = {
    "fresh entropy": regressor(random_state=None),
    "a module that draws": regressor(module=Dropped),
    "bf16": regressor(mixed_precision="bf16"),
}


def with_accelerator(estimator, accelerator):
    """A clone that trains in these processes."""
    search = isinstance(estimator, StepwiseSearchCV)
    return clone(estimator).set_params(**{"estimator__accelerator" if search else "accelerator": accelerator})


def summary(model):
    """What is compared of a fitted estimator."""
    own = getattr(model, "best_estimator_", model)
    predict = getattr(model, "predict_proba", None) or model.predict
    epochs = own.pipeline_[-1].best_epochs_.tolist()
    return {"prediction": predict(X), "rate": own.learning_rate_, "epochs": epochs, "n_iter": own.n_iter_}


def error_of(model, X, y):
    """The error that a fit raises, in words."""
    try:
        model.fit(X, y)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def train_here(folder):
    """What each process does."""
    accelerator = Accelerator(cpu=True)
    rank = accelerator.process_index
    fitted = {name: with_accelerator(m, accelerator).fit(X, y, **more) for name, (m, y, more) in FITS.items()}
    fitted |= {name: with_accelerator(m, accelerator).fit(X, Y) for name, m in AGREED.items()}
    # Each process has a generator of its own: the first one's counts.
    generator = np.random.RandomState(rank)
    fitted["a generator"] = regressor(random_state=generator, accelerator=accelerator).fit(X, Y)
    regressor(accelerator=accelerator, verbose=1, learning_rate=0.01).fit(X, Y)
    found = {name: summary(model) for name, model in fitted.items()}
    again = pickle.loads(pickle.dumps(fitted["a regression"]))
    found["pickled"] = {"prediction": again.predict(X), "accelerator": again.accelerator}
    found["record"] = [step.decision for step in fitted["a regression"].steps_ if step.number == 3]
    broken = np.where(rank == 1, np.inf, X)
    found["errors"] = {
        "other rows": error_of(regressor(accelerator=accelerator), X, Y + rank),
        "broken rows": error_of(regressor(accelerator=accelerator), broken, Y),
        "broken plan": error_of(regressor(accelerator=accelerator, batch_norm=rank == 1), X, Y),
        "batch norm": error_of(regressor(accelerator=accelerator, batch_norm=True), X, Y),
        "single rows": error_of(regressor(accelerator=accelerator, batch_size=1), X, Y),
    }
    joblib.dump(found, Path(folder) / f"{rank}.joblib")
    # Last of all, one of them dies in training.
    regressor(accelerator=accelerator, callbacks=[Die()], learning_rate=0.01).fit(X, Y)
    (Path(folder) / f"{rank}.survived").touch()


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """What each of two processes found, and the launcher that started them, once both have ended."""
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", __file__]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    process = subprocess.run(
        [*command, str(folder)], env=environment, capture_output=True, text=True, timeout=540, check=False
    )
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["0.joblib", "1.joblib"], process.stderr[-3000:]
    return [joblib.load(folder / name) for name in left], process


def assert_same(one, other, **tolerance):
    assert one["rate"] == other["rate"]
    assert (one["epochs"], one["n_iter"]) == (other["epochs"], other["n_iter"])
    np.testing.assert_allclose(one["prediction"], other["prediction"], **tolerance)


@pytest.mark.no_cover  # plain fits, whose lines other tests reach
@pytest.mark.parametrize("name", FITS)
def test_two_processes_find_what_one_finds(launched, name):
    (first, second), _ = launched
    estimator, y, more = FITS[name]
    alone = summary(clone(estimator).fit(X, y, **more))
    assert_same(first[name], alone, atol=2e-4)
    assert_same(first[name], second[name], rtol=0)


@pytest.mark.parametrize("name", [*AGREED, "a generator"])
def test_both_processes_end_with_the_same_networks(launched, name):
    (first, second), _ = launched
    assert_same(first[name], second[name], rtol=0)
    assert np.isfinite(first[name]["prediction"]).all()


def test_fresh_entropy_is_fresh_and_a_generator_is_the_first_processs(launched):
    (first, _), _ = launched
    assert not np.allclose(first["fresh entropy"]["prediction"], first["a regression"]["prediction"])
    alone = regressor(random_state=np.random.RandomState(0)).fit(X, Y)
    np.testing.assert_allclose(first["a generator"]["prediction"], alone.predict(X), atol=2e-4)


def test_only_the_first_process_prints(launched):
    assert launched[1].stdout.count("train_loss") == 1


def test_a_fitted_estimator_is_pickled_without_its_accelerator(launched):
    for found in launched[0]:
        assert found["pickled"]["accelerator"] is None
        np.testing.assert_array_equal(found["pickled"]["prediction"], found["a regression"]["prediction"])


def test_the_record_of_step_3_says_who_trained(launched):
    assert "minibatches of 25 shared by 2 processes" in launched[0][0]["record"][0]


@pytest.mark.parametrize(
    ("case", "of_first", "of_second"),
    [
        ("other rows", "ValueError: `y` is not the same in all processes", None),
        ("broken rows", "RuntimeError: Process 1 could not begin to train: ValueError", "ValueError: Input X contains"),
        ("broken plan", "RuntimeError: Process 1 could not begin", "ValueError: `batch_norm=True` takes statistics"),
        ("batch norm", "ValueError: `batch_norm=True` takes statistics of whole minibatches", None),
        ("single rows", "ValueError: `batch_size=1` leaves minibatches of 1 rows to the 2 processes", None),
    ],
)
def test_an_error_before_training_is_raised_in_both(launched, case, of_first, of_second):
    (first, second), _ = launched
    assert first["errors"][case].startswith(of_first)
    assert second["errors"][case].startswith(of_second or of_first)


def test_a_process_that_dies_takes_the_other_with_it(launched):
    # Neither went on to say that it survived, and the launcher has ended.
    assert launched[1].returncode != 0


def test_an_accelerator_of_one_process_changes_nothing():
    accelerator = Accelerator(cpu=True)
    model = regressor(accelerator=accelerator).fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), regressor().fit(X, Y).predict(X))
    assert clone(model).accelerator is accelerator


def test_writers_are_left_to_the_first_process():
    kept = [EarlyStopping(), ("rate", LRScheduler()), Batches]
    writers = [Checkpoint(), ("bar", ProgressBar()), TensorBoard.__new__(TensorBoard)]
    assert without_writers([*kept, *writers]) == kept
    assert without_writers(None) == []


if __name__ == "__main__":
    train_here(sys.argv[1])
