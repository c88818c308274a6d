"""Seconds of a search in one process, on two processes, on a Dask cluster of two; an estimate for more.

    python docs/benchmarks/processes.py

The estimate takes every batch to be one candidate with its folds. Their times alone are
measured here, one after the other; workers take the next batch when they are done with one, so that the search
lasts max(longest candidate, sum / workers), plus what a task costs on the cluster.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import time
import warnings

import dask
import joblib
from dask.distributed import Client, LocalCluster
from scipy.stats import loguniform
from sklearn.datasets import load_breast_cancer, make_classification

from sk_dlsteps import StepwiseClassifier, StepwiseSearchCV

N_CANDIDATES = 30


def search(space, **options):
    """A random search of thirty candidates on five folds."""
    model = StepwiseClassifier(n_estimators=1, random_state=0)
    options = {"n_iter": N_CANDIDATES, "cv": 5, "random_state": 0, "refit": False, **options}
    return StepwiseSearchCV(model, space, strategy="random", **options)


def seconds(work):
    """Wall seconds of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def nothing():
    """A task that costs what any task costs."""


def tables():
    """Name, table, and the space that is searched: networks that are alike, and all that may vary."""
    alike = {
        "learning_rate": loguniform(0.002, 0.05),
        "weight_decay": loguniform(1e-6, 1e-2),
        "hidden_units": [32, 64, 128],
    }
    made = make_classification(5000, 30, n_informative=10, n_clusters_per_class=4, flip_y=0.1, random_state=0)
    return [
        ("5,000 x 30, alike", made, alike),
        ("breast_cancer, whole space", load_breast_cancer(return_X_y=True), None),
    ]


def measure(name, X, y, space, client):
    """Print the rows of one search."""
    one = search(space)
    found = {"one process": seconds(lambda: one.fit(X, y))}
    joblib.Parallel(n_jobs=2)(joblib.delayed(search(space, n_iter=1, cv=2).fit)(X[:200], y[:200]) for _ in range(2))
    found["loky, 2 processes, warm"] = seconds(lambda: search(space, n_jobs=2).fit(X, y))
    with joblib.parallel_config(backend="dask", scatter=[X, y]):
        search(space, n_iter=2, cv=2).fit(X, y)
        found["Dask, 2 workers, warm"] = seconds(lambda: search(space).fit(X, y))
    task = seconds(lambda: [client.submit(nothing, pure=False).result() for _ in range(50)]) / 50
    alone = [
        seconds(lambda params=params: search(single(params), n_iter=1).fit(X, y))
        for params in one.cv_results_["params"]
    ]
    for where, time_taken in found.items():
        print(f"| {name} | {where} | {time_taken:.1f} | {found['one process'] / time_taken:.1f} |")
    for n_workers in (10, 100):
        estimate = max(max(alone), sum(alone) / n_workers) + task * -(-N_CANDIDATES // n_workers)
        print(f"| {name} | {n_workers} workers, estimated | {estimate:.1f} | {found['one process'] / estimate:.1f} |")
    print(f"candidates alone: the longest {max(alone):.2f} s, all {sum(alone):.1f} s; a task: {1000 * task:.0f} ms")


def main():
    """Print the table."""
    warnings.simplefilter("ignore")
    # docs/distributed.md says why.
    dask.config.set({"distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 2**25})
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        for name, (X, y), space in tables():
            measure(name, X, y, space, client)


def single(params):
    """A space of one candidate."""
    return {name: [value] for name, value in params.items()}


if __name__ == "__main__":
    main()
