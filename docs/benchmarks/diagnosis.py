"""False alarms of `diagnose`: every finding on 20 clean data sets.

A clean set has a signal that is easily learnt, all columns in use, balanced classes and enough rows. The default
estimator is fitted, and diagnosed with its rows. With ``--real DIR``, a folder of ``NAME.csv.gz`` files whose last
column is the target, those are diagnosed instead: up to 1,500 rows of each. ``--base N`` makes other sets of the same
kinds, whose seeds are N higher.

    OMP_NUM_THREADS=1 python docs/benchmarks/diagnosis.py
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import make_blobs, make_classification, make_friedman1, make_regression

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, diagnose


def linear(n, d, seed, noise=0.2):
    """Values by a linear rule in which every column counts alike."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    return X, X @ rng.choice([-1.0, 1.0], d) + noise * np.sqrt(d) * rng.normal(size=n)


def weighed(n, d, seed):
    """Values by a linear rule in which columns count by chance."""
    return make_regression(n, d, n_informative=d, noise=15, random_state=seed)


def waves(n, seed):
    """Values by a smooth rule of four columns."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.5, 1.5, (n, 4))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] ** 2 - X[:, 2] + X[:, 2] * X[:, 3] + 0.15 * rng.normal(size=n)


def table(n, seed):
    """Values by two numbers and two categories, as a DataFrame."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    size, age = rng.normal(size=(2, n))
    colour, town = rng.choice(["red", "green", "blue"], n), rng.choice(list("abcde"), n)
    y = size - age + 2 * (colour == "red") + np.select([town == c for c in "abcde"], [0, 1, 2, 3, 4]) / 2
    return pd.DataFrame({"size": size, "age": age, "colour": colour, "town": town}), y + 0.2 * rng.normal(size=n)


def classes(n, d, k, seed, sep=2.0):
    """Well separated classes; every column is informative."""
    return make_classification(
        n,
        d,
        n_informative=d,
        n_redundant=0,
        n_classes=k,
        n_clusters_per_class=1,
        class_sep=sep,
        flip_y=0,
        random_state=seed,
    )


def two_sums(n, d, seed):
    """Two classes by the sign of a sum, noisy at the border."""
    X, y = linear(n, d, seed, noise=0.1)
    return X, np.where(y > 0, "yes", "no")


CLEAN = {
    "linear 300 x 4": lambda base=0: linear(300, 4, 1 + base),
    "linear 500 x 8": lambda base=0: linear(500, 8, 2 + base),
    "linear 1000 x 10": lambda base=0: linear(1000, 10, 3 + base),
    "linear 2000 x 15": lambda base=0: linear(2000, 15, 4 + base),
    "make_regression 600 x 6": lambda base=0: weighed(600, 6, 5 + base),
    "make_regression 1500 x 12": lambda base=0: make_regression(
        1500, 12, n_informative=12, noise=15, random_state=3 + base
    ),
    "friedman1 1000 x 5": lambda base=0: make_friedman1(1000, 5, noise=0.5, random_state=7 + base),
    "friedman1 3000 x 5": lambda base=0: make_friedman1(3000, 5, noise=1.0, random_state=8 + base),
    "waves 800 x 4": lambda base=0: waves(800, 9 + base),
    "waves 2000 x 4": lambda base=0: waves(2000, 10 + base),
    "table 1000 x 4": lambda base=0: table(1000, 11 + base),
    "blobs 300 x 3, 3 classes": lambda base=0: make_blobs(300, 3, centers=3, cluster_std=1.5, random_state=2 + base),
    "blobs 600 x 5, 4 classes": lambda base=0: make_blobs(600, 5, centers=4, cluster_std=2.0, random_state=13 + base),
    "classes 500 x 5, 2": lambda base=0: classes(500, 5, 2, 14 + base),
    "classes 800 x 6, 3": lambda base=0: classes(800, 6, 3, 15 + base),
    "classes 1500 x 8, 4": lambda base=0: classes(1500, 8, 4, 16 + base),
    "classes 3000 x 10, 5": lambda base=0: classes(3000, 10, 5, 17 + base),
    "two sums 600 x 5": lambda base=0: two_sums(600, 5, 18 + base),
    "two sums 1200 x 8": lambda base=0: two_sums(1200, 8, 19 + base),
    "two sums 2500 x 10": lambda base=0: two_sums(2500, 10, 20 + base),
}


def fitted(X, y):
    """The default estimator."""
    kind = StepwiseRegressor if np.asarray(y).dtype.kind == "f" else StepwiseClassifier
    return kind(random_state=0).fit(X, y)


def real(folder):
    """Up to 1,500 rows of each file."""
    import pandas as pd

    for path in sorted(Path(folder).glob("*.csv.gz")):
        frame = pd.read_csv(path)
        frame = frame.sample(min(1500, len(frame)), random_state=0)
        X, y = frame.iloc[:, :-1], frame.iloc[:, -1].to_numpy()
        if y.dtype.kind in "iu":
            y = y if len(np.unique(y)) <= 30 else y.astype(float)
        yield path.name.removesuffix(".csv.gz"), X, y


def main():
    """Print every finding, and how many sets have any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", metavar="DIR")
    parser.add_argument("--only", default="")
    parser.add_argument("--base", type=int, default=0)
    arguments = parser.parse_args()
    sets = real(arguments.real) if arguments.real else ((name, *make(arguments.base)) for name, make in CLEAN.items())
    n_sets = n_alarms = 0
    for name, X, y in sets:
        if arguments.only not in name:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = fitted(X, y)
        except ValueError as error:
            print(f"{name}: {error}")
            continue
        started = time.perf_counter()
        diagnosis = diagnose(model, X, y)
        seconds = time.perf_counter() - started
        n_sets, n_alarms = n_sets + 1, n_alarms + bool(diagnosis.codes)
        print(
            f"{name:28} {X.shape!s:12} training {model.training_score_:.3f} validation {model.validation_score_:.3f} "
            f"{seconds:5.1f} s  {', '.join(diagnosis.codes) or '-'}",
            flush=True,
        )
        for finding in diagnosis:
            print(f"    {finding.code}: {finding.title}\n        {finding.action}", flush=True)
    print(f"{n_alarms} of {n_sets} sets have a finding")


if __name__ == "__main__":
    main()
