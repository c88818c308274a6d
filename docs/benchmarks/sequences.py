"""Sequences: an LSTM and a GRU on the adding problem and on two recorded series, against simpler models.

    python docs/benchmarks/sequences.py adding [--rows 5000] [--seeds 3] [--models lstm,gru,mlp,sklearn_mlp,ridge]
    python docs/benchmarks/sequences.py membrane [--seeds 3]
    python docs/benchmarks/sequences.py eeg [--seeds 3]

**adding**: rows of 50 steps of two values: a uniform number, and a mark that is 1 at two steps. The target is the
sum of the two marked numbers; the best constant has a mean squared error of 1/6. Judged on 2,000 other rows.

**membrane** and **eeg** come with matplotlib. The membrane potential of a neuron that fires, 12,000 samples at
2 kHz: from the last 50 samples (25 ms) its value 10 samples (5 ms) ahead. Four channels of an EEG, 800 samples at
80 Hz: from the last 40 samples (0.5 s) of all four their values 4 samples (50 ms) ahead. Both are split in time:
models see the first 75 % of the samples, and are judged on windows that lie in the rest. Networks hold out the last
15 % of their windows for early stopping, given as `X_val`; Ridge chooses its penalty there. "last value" predicts
that nothing changes. Errors are mean squared errors in units of the variance of the values to predict.

All run with one thread. Models other than lstm and gru get the flattened windows, standardised by column.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

# isort: split
import argparse
import time
import warnings

import numpy as np
from matplotlib.cbook import get_sample_data
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_dlsteps import StepwiseRegressor

N_TEST = 2000


def adding(n_rows, n_steps, seed):
    """Rows (n_rows, n_steps, 2) of numbers and marks, and the sums of the marked numbers."""
    generator = np.random.default_rng(seed)
    X = np.zeros((n_rows, n_steps, 2), np.float32)
    X[..., 0] = generator.random((n_rows, n_steps))
    marked = generator.random((n_rows, n_steps)).argpartition(2)[:, :2]
    np.put_along_axis(X[..., 1], marked, 1.0, axis=1)
    return X, X.prod(-1).sum(1)


def windows(series, n_steps, ahead):
    """All windows (n, n_steps, d) of a series (samples, d), and the values so many samples after each, (n, d)."""
    own = np.lib.stride_tricks.sliding_window_view(series[:-ahead], n_steps, axis=0)
    return np.ascontiguousarray(own.swapaxes(1, 2)), series[n_steps + ahead - 1 :]


def membrane():
    """Windows of the membrane potential: training rows, validation rows, test rows."""
    with get_sample_data("membrane.dat") as file:
        series = np.frombuffer(file.read(), np.float32).reshape(-1, 1)
    return split(series, 50, 10)


def eeg():
    """Windows of the four channels: training rows, validation rows, test rows."""
    with get_sample_data("eeg.dat") as file:
        series = np.frombuffer(file.read(), np.float64).reshape(-1, 4)
    return split(series, 40, 4)


def split(series, n_steps, ahead):
    """Three pairs (X, y) of windows, one stretch of time after the other; the last is of 25 % of the samples."""
    end = len(series) * 3 // 4
    X, y = windows(series[:end], n_steps, ahead)
    n_train = int(0.85 * len(X))
    gap = n_steps + ahead  # so that no sample lies in a training window and in a validation window
    return (X[: n_train - gap], y[: n_train - gap]), (X[n_train:], y[n_train:]), windows(series[end:], n_steps, ahead)


def recurrent(name, seed):
    """The network of that name at its defaults."""
    return StepwiseRegressor(module=name, n_threads=1, random_state=seed)


class Flat:
    """A model that reads a window as one row."""

    def __init__(self, model):
        self.model = model

    def fit(self, X, y, **validation):
        """Fit the flattened windows."""
        if "X_val" in validation:
            validation["X_val"] = flat(validation["X_val"])
        self.model.fit(flat(X), y, **validation)
        return self

    def predict(self, X):
        """Predict those of others."""
        return self.model.predict(flat(X))


class ChosenRidge:
    """Ridge with the penalty that is best on the validation rows, or on every fifth row if there are none."""

    def fit(self, X, y, X_val=None, y_val=None):
        """Try seven penalties, then fit all rows."""
        if X_val is None:
            held = np.arange(len(X)) % 5 == 0
            X, y, X_val, y_val = X[~held], y[~held], X[held], y[held]
        models = [make_pipeline(StandardScaler(), Ridge(penalty)).fit(X, y) for penalty in np.logspace(-2, 4, 7)]
        best = min(models, key=lambda model: error(y_val, model.predict(X_val)))
        self.best = best.fit(np.concatenate([X, X_val]), np.concatenate([y, y_val]))
        return self

    def predict(self, X):
        """What the best predicts."""
        return self.best.predict(X)


class SklearnMLP:
    """MLPRegressor at its defaults behind a StandardScaler; it holds no rows out, and gets the validation rows too."""

    def __init__(self, seed):
        self.model = make_pipeline(StandardScaler(), MLPRegressor(random_state=seed))

    def fit(self, X, y, X_val=None, y_val=None):
        """Fit all rows."""
        if X_val is not None:
            X, y = np.concatenate([X, X_val]), np.concatenate([y, y_val])
        self.model.fit(X, y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y)
        return self

    def predict(self, X):
        """What it predicts."""
        return self.model.predict(X)


MODELS = {
    "lstm": lambda seed: recurrent("lstm", seed),
    "gru": lambda seed: recurrent("gru", seed),
    "mlp": lambda seed: Flat(StepwiseRegressor(n_threads=1, random_state=seed)),
    "sklearn_mlp": lambda seed: Flat(SklearnMLP(seed)),
    "ridge": lambda seed: Flat(ChosenRidge()),
}


def flat(X):
    """Windows as rows of a table."""
    return X.reshape(len(X), -1)


def error(y, prediction):
    """Mean squared error."""
    return float(((y - prediction.reshape(y.shape)) ** 2).mean())


def rows_of(task, n_rows, seed):
    """Training rows, validation rows or None, test rows, and the name and the error of the model that knows nothing."""
    if task == "adding":
        train, test = adding(n_rows, 50, seed), adding(N_TEST, 50, 1000 + seed)
        return train, None, test, "mean", error(test[1], np.full(N_TEST, train[1].mean()))
    train, valid, test = {"membrane": membrane, "eeg": eeg}[task]()
    return train, valid, test, "last value", error(test[1], test[0][:, -1]) / test[1].var(0).mean()


def main():
    """Print a line for each model: mean and range of its errors over the seeds, mean seconds of a fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["adding", "membrane", "eeg"])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", default=",".join(MODELS))
    arguments = parser.parse_args()
    print("| model | test error | smallest | largest | seconds |\n|---|---|---|---|---|")
    figures = {}
    for name in arguments.models.split(","):
        errors, seconds = [], []
        for seed in range(arguments.seeds):
            train, valid, test, nothing, least = rows_of(arguments.task, arguments.rows, seed)
            validation = {} if valid is None else {"X_val": valid[0], "y_val": valid[1]}
            start = time.perf_counter()
            model = MODELS[name](seed).fit(*train, **validation)
            seconds.append(time.perf_counter() - start)
            unit = 1.0 if arguments.task == "adding" else test[1].var(0).mean()
            errors.append(error(test[1], model.predict(test[0])) / unit)
            figures.setdefault(nothing, []).append(least)
        print(line(name, errors, f"{np.mean(seconds):.0f}"), flush=True)
    for name, errors in figures.items():
        print(line(name, errors, ""))


def line(name, errors, seconds):
    """One line of the table."""
    return f"| {name} | {np.mean(errors):.2g} | {min(errors):.2g} | {max(errors):.2g} | {seconds} |"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
