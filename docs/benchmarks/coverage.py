"""Honest intervals: how many held-out values lie between two predicted quantiles, and how far apart these are.

    python docs/benchmarks/coverage.py BENCH [--seeds 2]

BENCH is the folder of the accuracy benchmark. On the development halves (development.py), a default
model with `loss="quantile"` is trained, and HistGradientBoosting with one model for each quantile.
Widths are in standard deviations of the target. "pinball" is the pinball loss of all five quantiles, divided
by that of the training values' own quantiles: 1 is as good as knowing nothing of the inputs.
"""

import development  # first: it pins the threads before numpy is loaded

# isort: split
import argparse
import warnings

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_pinball_loss

from sk_dlsteps import StepwiseRegressor

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def ours(X, y, X_test, seed):
    """Quantiles of the networks together."""
    model = StepwiseRegressor(loss="quantile", quantiles=LEVELS, random_state=seed, n_threads=1).fit(X, y)
    return model.predict(X_test, quantiles=LEVELS)


def boosting(X, y, X_test, seed):
    """Quantiles of five models."""
    models = [HistGradientBoostingRegressor(loss="quantile", quantile=q, random_state=seed) for q in LEVELS]
    return np.column_stack([model.fit(X, y).predict(X_test) for model in models])


def judged(quantiles, y, y_test):
    """Coverage and width of the intervals of 90 % and 50 %, relative pinball loss, share of crossed rows."""
    found = []
    for low, high in ((0, 4), (1, 3)):
        inside = (quantiles[:, low] <= y_test) & (y_test <= quantiles[:, high])
        found += [inside.mean(), (quantiles[:, high] - quantiles[:, low]).mean() / y.std()]
    loss, nothing = (
        sum(
            mean_pinball_loss(y_test, np.broadcast_to(q, y_test.shape), alpha=a)
            for q, a in zip(values, LEVELS, strict=True)
        )
        for values in (quantiles.T, np.quantile(y, LEVELS))
    )
    return [*found, loss / nothing, (np.diff(quantiles) < 0).any(1).mean()]


def main():
    """Print a line for each set, then the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    load = development.reader(arguments.bench)
    line = "| {:20s} | {:5d} | {:.2f} | {:.2f} | {:.2f} | {:.2f} | {:.3f} | {:.2f} | {:.2f} | {:.3f} | {:.2f} |"
    print("| set | rows | in 90 % | width | in 50 % | width | pinball | hgb: in 90 % | in 50 % | pinball | crossed |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    every = []
    for name in development.names(load, derived=True):
        figures = []
        for seed in range(arguments.seeds):
            X, X_test, y, y_test, regression = development.halves(load, name, seed)
            if regression:
                by_us, by_boosting = (judged(f(X, y, X_test, seed), y, y_test) for f in (ours, boosting))
                figures.append([*by_us[:5], *np.take(by_boosting, [0, 2, 4, 5])])
        if figures:
            every.append(np.mean(figures, 0))
            print(line.format(name, len(X), *every[-1]), flush=True)
    print(line.format("mean", 0, *np.mean(every, 0)))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    main()
