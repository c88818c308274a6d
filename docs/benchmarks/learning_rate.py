"""The rate that the finder picks, beside fixed rates, set by set.

    python docs/benchmarks/learning_rate.py BENCH [--seeds 1]

BENCH is the folder of the accuracy benchmark (its ``load.py`` reads the sets). Models are trained
on 80 % of the training rows of each set's split 0, at most 10,000 of them, and judged on the rest:
the benchmark's test rows are not touched. Regret is 100 times the logarithm of a model's error
(RMSE or log loss) over that of the best fixed rate.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import argparse
import sys
import warnings

import numpy as np
import torch
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.model_selection import train_test_split

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor

FIXED = (0.001, 0.003, 0.01, 0.02, 0.03, 0.1)


def table(load, name, seed):
    """Numeric inputs of a set's training rows, halves to train and to judge on, and the task."""
    import pandas as pd

    X, y, meta = load.load(name)
    rows = load.cap(load.split(name, 0, y, meta["task"])[0], y, meta["task"], 10_000, 0)
    X = pd.get_dummies(X.iloc[rows], dtype=float).to_numpy()
    X = np.where(np.isnan(X), np.nanmedian(X, axis=0), X)
    y, regression = y[rows], meta["task"] == "regression"
    stratify = y if not regression and np.bincount(y)[np.unique(y)].min() > 1 else None
    return (*train_test_split(X, y, test_size=0.2, random_state=seed, stratify=stratify), regression)


def error(data, rate, seed):
    """Error on the judging rows of a default fit at a rate, and the rate it used."""
    X, X_test, y, y_test, regression = data
    model = (StepwiseRegressor if regression else StepwiseClassifier)(learning_rate=rate, random_state=seed)
    model.set_params(n_threads=1).fit(X, y)
    if regression:
        return root_mean_squared_error(y_test, model.predict(X_test)), model.learning_rate_
    known = np.isin(y_test, model.classes_)
    loss = log_loss(y_test[known], model.predict_proba(X_test[known]), labels=model.classes_)
    return max(loss, 1e-3), model.learning_rate_


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sets", default="")
    arguments = parser.parse_args()
    sys.path.insert(0, arguments.bench)
    import load

    print("| set | picked | best fixed | regret of the pick | regret of 0.02 |\n|---|---|---|---|---|", flush=True)
    regrets = []
    for name in filter(None, arguments.sets.split(",")) if arguments.sets else load.index():
        errors = {rate: [] for rate in ("auto", *FIXED)}
        picks = []
        for seed in range(arguments.seeds):
            data = table(load, name, seed)
            for rate in errors:
                value, used = error(data, rate, seed)
                errors[rate].append(np.log(value))
                picks += [used] if rate == "auto" else []
        mean = {rate: 100 * np.mean(values) for rate, values in errors.items()}
        best = min(FIXED, key=mean.get)
        regrets.append((mean["auto"] - mean[best], mean[0.02] - mean[best], data[-1]))
        shown = ", ".join(f"{pick:g}" for pick in picks)
        print(f"| {name} | {shown} | {best:g} | {regrets[-1][0]:.1f} | {regrets[-1][1]:.1f} |", flush=True)
    for regression, kind in ((True, "regression"), (False, "classification")):
        own = np.array([r[:2] for r in regrets if r[2] == regression])
        if len(own):
            print(f"| median, {kind} ({len(own)}) | | | {np.median(own[:, 0]):.1f} | {np.median(own[:, 1]):.1f} |")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    main()
