"""Drift: false alarms on clean splits of real data, power for small shifts, time, and what a sketch costs a fit.

    python docs/benchmarks/drift.py alarms [--sets adult,iris] [--splits 15] [--models] [--alpha 0.01]   # clean splits
    python docs/benchmarks/drift.py power     # half a standard deviation in one of 20 columns, 500 rows
    python docs/benchmarks/drift.py levels    # few new rows of categories and ratings, with and without drift
    python docs/benchmarks/drift.py speed     # 100,000 rows of 50 columns
    python docs/benchmarks/drift.py cost      # seconds and bytes of `reference_` beside those of a fit

Data sets are tables of scikit-learn's own, or CSV files of the folder that BENCH_DATA names (with a column "target").
"""

import argparse
import os
import pickle
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn import datasets

from sk_dlsteps import DriftDetector, StepwiseClassifier, StepwiseRegressor
from sk_dlsteps.step6_real_world.column_reader import ColumnValues
from sk_dlsteps.step6_real_world.column_tests import compare_column
from sk_dlsteps.step6_real_world.fit_sketch import sketch_fit

OWN = {"diabetes": "regression", "breast_cancer": "classes", "digits": "classes", "wine": "classes"}
FILES = {
    "adult": "classes",
    "california_housing": "regression",
    "concrete": "regression",
    "diamonds": "regression",
    "german_credit": "classes",
    "power-plant": "regression",
    "telco_churn": "classes",
    "titanic": "classes",
    "uci121_contrac": "classes",
    "uci121_spambase": "classes",
    "uci121_waveform-noise": "classes",
    "uci121_yeast": "classes",
}
# Rows of a split at the most: the more, the finer the differences that would be found.
MOST = 4000


def load(name):
    """Inputs, target and task."""
    task = {**OWN, **FILES}[name]
    if name in OWN:
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True, as_frame=True)
        return X, y.to_numpy(), task
    X = pd.read_csv(Path(os.environ["BENCH_DATA"]) / f"{name}.csv.gz", keep_default_na=False, na_values=[""])
    y = X.pop("target").to_numpy()
    X = X.drop(columns=[column for column in ("Ticket", "Cabin") if column in X])
    return X, y if task == "regression" else y.astype(str), task


def halves(X, y, seed):
    """A random half of the rows, and the other."""
    order = np.random.default_rng(seed).permutation(len(X))[:MOST]
    old, new = order[: len(order) // 2], order[len(order) // 2 :]
    return X.iloc[old], y[old], X.iloc[new], y[new]


def alarms(sets, n_splits, with_models, alpha):
    """Count verdicts other than "no drift" on halves of one table, and the kinds of tests that raised them."""
    total = {}
    for name in sets:
        X, y, task = load(name)
        counts, kinds = {}, {}
        for seed in range(n_splits):
            X_old, y_old, X_new, y_new = halves(X, y, seed)
            checks = {"rows": DriftDetector(alpha=alpha, random_state=seed).fit(X_old, y_old)}
            if with_models:
                kind = StepwiseRegressor if task == "regression" else StepwiseClassifier
                model = kind(max_epochs=15, learning_rate=0.01, random_state=seed).fit(X_old, y_old)
                checks["model"] = DriftDetector.from_estimator(model, alpha=alpha, random_state=seed)
                checks["model and rows"] = DriftDetector.from_estimator(model, X_old, alpha=alpha, random_state=seed)
            for how, detector in checks.items():
                report = detector.check(X_new, y_new)
                counts.setdefault(how, []).append(report.verdict != "no drift")
                for alarm in report.alarms:
                    kinds[alarm] = kinds.get(alarm, 0) + 1
        print(name, X.shape, {how: f"{sum(found)} of {len(found)}" for how, found in counts.items()}, kinds, flush=True)
        for how, found in counts.items():
            total.setdefault(how, []).extend(found)
    for how, found in total.items():
        interval = binomtest(sum(found), len(found)).proportion_ci(method="exact")
        print(f"{how}: {sum(found)} of {len(found)}, 95 % interval {interval.low:.4f} to {interval.high:.4f}")


def power(n_runs=200):
    """Count how often a shift of half a standard deviation in one of 20 columns is found, and in which column."""
    print("| training rows | new rows | drift found | the column named | other columns named |\n|---|---|---|---|---|")
    for n_old, n_new in ((500, 500), (5000, 500), (500, 100)):
        found = right = named = 0
        for seed in range(n_runs):
            rng = np.random.default_rng(seed)
            X_new = rng.normal(size=(n_new, 20))
            X_new[:, 7] += 0.5
            report = DriftDetector(random_state=seed).fit(rng.normal(size=(n_old, 20))).check(X_new)
            found += report.verdict == "inputs drifted"
            right += "column 7" in report.drifted_columns
            named += len({*report.drifted_columns} - {"column 7"})
        print(f"| {n_old:,} | {n_new} | {found} of {n_runs} | {right} | {named} |", flush=True)


def some_levels(kind, n, rng):
    """Rows of a column of levels, as codes; ratings and weighted rows too."""
    if kind == "uniform":
        return rng.integers(0, 20, n)
    if kind == "zipf":
        return rng.choice(200, n, p=1 / np.arange(1, 201) / (1 / np.arange(1, 201)).sum())
    if kind == "rare":
        return np.where(rng.random(n) < 0.9, 0, rng.integers(1, 300, n))
    if kind == "gaps":
        return np.where(rng.random(n) < 0.2, -1, rng.integers(0, 20, n))
    return rng.integers(0, 10, n)


def column_of(kind, values):
    """Ratings as numbers, the others as codes of levels; -1 is a missing one."""
    if kind == "ratings":
        return ColumnValues(values.astype(float))
    found, codes = np.unique(values, return_inverse=True)
    n_missing = int((found == -1).sum())
    return ColumnValues(codes - n_missing, found[n_missing:].tolist())


def drifted_levels(kind, n, rng):
    """The same with drift: unseen levels, half of the levels, no values, or ratings that are higher."""
    if kind == "gaps":
        return np.full(n, -1)
    if kind == "ratings":
        return rng.integers(4, 14, n)
    return rng.integers(10_000, 10_003, n) if kind == "rare" else some_levels(kind, n, rng) // 2


def levels(n_runs=2000):
    """Count p-values of one column below 0.05, 0.01 and 0.001, and below 0.01 where it has drifted."""
    for kind in ("uniform", "zipf", "rare", "gaps", "ratings", "weighted"):
        for n_new in (10, 20, 40, 60, 100):
            p_values = []
            for seed in range(n_runs + n_runs // 10):
                rng, is_clean = np.random.default_rng(seed), seed < n_runs
                own = "zipf" if kind == "weighted" else kind
                old = some_levels(own, 500, rng)
                new = some_levels(own, n_new, rng) if is_clean else drifted_levels(own, n_new, rng)
                weight = rng.gamma(1, size=500) if kind == "weighted" else None
                sketch = column_of(kind, old).sketch(weight, 256)
                p_values.append(compare_column("", sketch, column_of(kind, new)).p_value)
            clean, drifted = np.array(p_values[:n_runs]), np.array(p_values[n_runs:])
            alarms = {level: int((clean <= level).sum()) for level in (0.05, 0.01, 0.001)}
            found = f"{(drifted <= 0.01).sum()} of {len(drifted)}"
            print(f"{kind}, {n_new} new rows: {alarms} of {n_runs}; drift found in {found}", flush=True)


def speed():
    """Seconds for 100,000 rows of 50 columns."""
    rng = np.random.default_rng(0)
    X_old, X_new = (rng.normal(size=(100_000, 50)) for _ in range(2))
    start = time.perf_counter()
    detector = DriftDetector().fit(X_old)
    middle = time.perf_counter()
    verdict = detector.check(X_new).verdict
    print(f"fit {middle - start:.2f} s, check {time.perf_counter() - middle:.2f} s: {verdict}")


def cost():
    """Seconds of the sketch beside those of the fit, and bytes of both."""
    import sk_dlsteps.recipe

    spent = []

    def timed(*arguments):
        start = time.perf_counter()
        try:
            return sketch_fit(*arguments)
        finally:
            spent.append(time.perf_counter() - start)

    sk_dlsteps.recipe.sketch_fit = timed
    rng = np.random.default_rng(0)
    for n_rows, n_columns in ((442, 10), (2000, 20), (10_000, 50), (500, 2000)):
        X = rng.normal(size=(n_rows, n_columns))
        y = X[:, 0] + rng.normal(size=n_rows)
        start = time.perf_counter()
        model = StepwiseRegressor(random_state=0).fit(X, y)
        whole = time.perf_counter() - start
        sizes = len(pickle.dumps(model.reference_)), len(pickle.dumps(model))
        print(
            f"{n_rows} x {n_columns}: fit {whole:.2f} s, sketch {spent[-1]:.4f} s ({spent[-1] / whole:.2%}); pickle "
            f"{sizes[1] / 1e3:.0f} kB, of which {sizes[0] / 1e3:.0f} kB",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["alarms", "power", "levels", "speed", "cost"])
    parser.add_argument("--sets", type=lambda text: text.split(","), default=[*OWN, *FILES])
    parser.add_argument("--splits", type=int, default=15)
    parser.add_argument("--alpha", type=float, default=0.01)
    parser.add_argument("--models", action="store_true", help="also by way of fitted models")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.what == "alarms":
        alarms(options.sets, options.splits, options.models, options.alpha)
    else:
        {"power": power, "levels": levels, "speed": speed, "cost": cost}[options.what]()
