"""Speed beside scikit-learn and skorch: the same work, one thread, medians of interleaved repeats.

    python docs/benchmarks/speed.py

The same work for all: the table, the network, the minibatches and the epochs below, Adam, and no validation. Ratios of
one run count; absolute times of shared machines say little.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import statistics
import subprocess
import sys
import time
import warnings

import numpy as np
import torch
from sklearn.datasets import load_iris, make_regression
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetRegressor

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor

ROWS, COLUMNS, UNITS, BATCH, EPOCHS, REPEATS = 10_000, 30, 64, 128, 20, 5


def ours(n_estimators):
    """Plain training: no validation, no schedule, no range test, no encoding."""
    return StepwiseRegressor(
        n_estimators=n_estimators,
        hidden_units=UNITS,
        batch_size=BATCH,
        max_epochs=EPOCHS,
        learning_rate=1e-3,
        lr_schedule="constant",
        early_stopping=False,
        numeric_encoding=None,
        n_threads=1,
        random_state=0,
    )


def scikit_learn():
    """The same network by scikit-learn."""
    return MLPRegressor(
        hidden_layer_sizes=(UNITS,),
        batch_size=BATCH,
        max_iter=EPOCHS,
        tol=0,
        n_iter_no_change=EPOCHS + 1,
        random_state=0,
    )


class Perceptron(torch.nn.Sequential):
    """One hidden layer."""

    def __init__(self):
        super().__init__(torch.nn.Linear(COLUMNS, UNITS), torch.nn.ReLU(), torch.nn.Linear(UNITS, 1))


def stock_skorch():
    """The same network by skorch as it comes."""
    return NeuralNetRegressor(
        Perceptron,
        max_epochs=EPOCHS,
        batch_size=BATCH,
        lr=1e-3,
        optimizer=torch.optim.Adam,
        train_split=None,
        verbose=0,
    )


def seconds(function):
    """Wall seconds of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def interleaved(tasks):
    """Median seconds of each task over rounds in which all take their turn."""
    rounds = [{name: seconds(task) for name, task in tasks.items()} for _ in range(REPEATS)]
    return {name: statistics.median(r[name] for r in rounds) for name in tasks}


def training():
    """The same work by each."""
    X, y = make_regression(ROWS, COLUMNS, noise=10, random_state=0)
    X, y = StandardScaler().fit_transform(X).astype(np.float32), ((y - y.mean()) / y.std()).astype(np.float32)
    tasks = {
        "scikit-learn MLPRegressor": lambda: scikit_learn().fit(X, y),
        "sk_dlsteps, 1 network": lambda: ours(1).fit(X, y),
        "sk_dlsteps, fleet of 8": lambda: ours(8).fit(X, y),
        "skorch as it comes": lambda: stock_skorch().fit(X, y[:, None]),
    }
    for task in tasks.values():
        task()
    times = interleaved(tasks)
    base = times["scikit-learn MLPRegressor"]
    print("| training | seconds | by scikit-learn's |\n|---|---|---|")
    for name, t in times.items():
        print(f"| {name} | {t:.2f} | {t / base:.2f} |")


def small_things():
    """Iris, one row, and the import."""
    X, y = load_iris(return_X_y=True)
    fits = [seconds(lambda: StepwiseClassifier(random_state=0).fit(X, y)) for _ in range(REPEATS)]
    print("\n| what | seconds |\n|---|---|")
    print(f"| default fit on iris | {statistics.median(fits):.3f} |")
    model = StepwiseClassifier(random_state=0).fit(X, y)
    model.predict(X[:1])
    times = [seconds(lambda: model.predict(X[:1])) for _ in range(200)]
    print(f"| predict of one row | {statistics.median(times):.6f} |")
    code = (
        "import time, torch, sklearn.pipeline, sklearn.linear_model, skorch; t = time.perf_counter(); "
        "import sk_dlsteps; print(time.perf_counter() - t)"
    )
    imports = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(REPEATS)]
    print(f"| import sk_dlsteps after torch, scikit-learn and skorch | {statistics.median(imports):.3f} |")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    training()
    small_things()
