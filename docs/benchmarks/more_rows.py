"""How often the verdict on more rows is right, where the truth is known: ``python docs/benchmarks/more_rows.py``."""

import warnings
from collections import Counter

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVR

from sk_dlsteps import learning_curve
from sk_dlsteps.step4_validation.more_rows import LEAST_SHARE

N_ROWS = (100, 300, 1000, 4000)
N_CURVES = 12
N_TEST = 4000


def linear(n, rng):
    """A linear target with as much noise."""
    X, weights = rng.normal(size=(n, 20)), np.linspace(1, 0.1, 20)
    return X, X @ weights + np.sqrt(weights @ weights) * rng.normal(size=n)


def friedman(n, rng):
    """Friedman's first function."""
    return make_friedman1(n, n_features=10, noise=2.0, random_state=int(rng.integers(2**31)))


def curved(n, rng):
    """Two classes with a curved border, a tenth of the labels wrong."""
    X = rng.normal(size=(n, 10))
    y = (X[:, 0] * X[:, 1] + X[:, 2] + 0.5 * X[:, 3] ** 2 > 0.5).astype(int)
    return X, np.where(rng.random(n) < 0.1, 1 - y, y)


def blobs(n, rng):
    """Three overlapping clouds."""
    y, centres = rng.integers(3, size=n), 0.6 * np.random.default_rng(0).normal(size=(3, 20))
    return centres[y] + rng.normal(size=(n, 20)), y


TASKS = [
    (linear, [LinearRegression(), Ridge(10.0), KNeighborsRegressor(8), ExtraTreesRegressor(20)]),
    (friedman, [LinearRegression(), KNeighborsRegressor(5), ExtraTreesRegressor(20), SVR(C=10)]),
    (curved, [LogisticRegression(), KNeighborsClassifier(7), GaussianNB()]),
    (blobs, [LogisticRegression(), KNeighborsClassifier(7), GaussianNB()]),
]


def truth(draw, model, n_rows, seed):
    """Scores on new rows, trained on a fold's rows and on twice as many."""
    rng, n = np.random.default_rng(10_000 + seed), int(0.8 * n_rows)
    (X, y), new = draw(2 * n, rng), draw(N_TEST, rng)
    return [clone(model).fit(X[:rows], y[:rows]).score(*new) for rows in (n, 2 * n)]


def judged(draw, model, n_rows, seed):
    """The verdict and the interval of the gain."""
    warnings.simplefilter("ignore")
    curve = learning_curve(model, *draw(n_rows, np.random.default_rng(seed)), random_state=seed)
    last = curve.test_scores[-1].mean()
    return curve.more_rows_help, *(bound - last for bound in curve.expected_interval)


if __name__ == "__main__":
    verdicts, held = Counter(), []
    parallel = Parallel(n_jobs=2)
    for draw, model, n_rows in [(draw, model, n) for draw, models in TASKS for model in models for n in N_ROWS]:
        n_draws = 40 if n_rows < 4000 else 12
        before, after = np.mean(parallel(delayed(truth)(draw, model, n_rows, i) for i in range(n_draws)), axis=0)
        share = (after - before) / (1 - before)
        kind = "worth it" if share >= LEAST_SHARE else "half of it" if share >= LEAST_SHARE / 2 else "less than half"
        for verdict, low, high in parallel(delayed(judged)(draw, model, n_rows, i) for i in range(N_CURVES)):
            verdicts[kind, verdict] += 1
            held.append(low <= after - before <= high)
    print(f"{len(held)} curves; {np.mean(held):.0%} of the intervals hold the truth")
    for (kind, verdict), n in sorted(verdicts.items(), key=str):
        print(f"true gain {kind:15s} more_rows_help {verdict!s:6s} {n}")
