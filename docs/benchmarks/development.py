"""The halves that defaults are chosen on: training rows of the benchmark's sets, never its test rows.

Of each set's split 0, at most 10,000 training rows are taken; 80 % of them train, the rest judge.
Six regression sets are few, so eight more are made of classification sets: one column is predicted
from the others.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import sys
import time

import numpy as np
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.model_selection import train_test_split

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor

DERIVED = {
    "derived letter": ("uci121_letter", 3),
    "derived waveform": ("uci121_waveform-noise", 5),
    "derived optical": ("uci121_optical", 20),
    "derived spambase": ("uci121_spambase", 20),
    "derived vehicle": ("uci121_statlog-vehicle", 6),
    "derived breast": ("uci121_breast-cancer-wisc-diag", 9),
    "derived image": ("uci121_image-segmentation", 10),
    "derived adult": ("adult", "age"),
}
# A log loss below this is as good as perfect; without the bound such sets would decide everything.
LEAST_LOSS = 1e-3


def reader(bench):
    """The benchmark's module that reads its sets, from its folder."""
    sys.path.insert(0, bench)
    import load

    return load


def names(load, derived=False):
    """Names of the sets."""
    return [*load.index(), *(DERIVED if derived else [])]


def halves(load, name, seed, test=False):
    """Inputs and targets to train and to judge on, and whether it is a regression.

    With `test`, all training rows train and the benchmark's test rows judge: for a last report, not for choices.
    """
    import pandas as pd

    base, column = DERIVED.get(name, (name, None))
    X, y, meta = load.load(base)
    regression = column is not None or meta["task"] == "regression"
    rows, test_rows = load.split(base, 0, y, meta["task"])
    rows = load.cap(rows, y, meta["task"], 10_000, 0)
    n_train = len(rows)
    if test:
        rows = np.concatenate([rows, test_rows])
    X, y = X.iloc[rows].reset_index(drop=True), y[rows]
    if column is not None:
        y = X.pop(X.columns[column] if isinstance(column, int) else column).to_numpy(float)
    X = pd.get_dummies(X, dtype=float).to_numpy()
    X = np.where(np.isnan(X), np.nanmedian(X, axis=0), X)
    if test:
        return X[:n_train], X[n_train:], y[:n_train], y[n_train:], regression
    stratify = y if not regression and np.bincount(y)[np.unique(y)].min() > 1 else None
    return (*train_test_split(X, y, test_size=0.2, random_state=seed, stratify=stratify), regression)


def judge(data, seed, **parameters):
    """Error (RMSE or log loss) of a fit on the judging rows, its CPU seconds, and the model."""
    X, X_test, y, y_test, regression = data
    model = (StepwiseRegressor if regression else StepwiseClassifier)(random_state=seed, n_threads=1, **parameters)
    start = time.process_time()
    model.fit(X, y)
    seconds = time.process_time() - start
    if regression:
        return root_mean_squared_error(y_test, model.predict(X_test)), seconds, model
    known = np.isin(y_test, model.classes_)
    loss = log_loss(y_test[known], model.predict_proba(X_test[known]), labels=model.classes_)
    return max(loss, LEAST_LOSS), seconds, model
