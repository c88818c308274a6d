"""Seconds of a search in one process, on two processes, on a Dask cluster of two; an estimate for more.

    python docs/benchmarks/distributed.py

The estimate: with ten workers or more every batch is one candidate with its folds. Their times alone are
measured here, one after the other; workers take the next batch when they are done with one, so that the search
lasts max(longest candidate, sum / workers), plus what a task costs on the cluster.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import time
import warnings

import joblib
from dask.distributed import Client, LocalCluster
from scipy.stats import loguniform
from sklearn.datasets import make_classification

from sk_dlsteps import StepwiseClassifier, StepwiseSearchCV

N_CANDIDATES = 30


def search(**options):
    """A random search of thirty candidates on five folds."""
    model = StepwiseClassifier(n_estimators=1, random_state=0)
    space = {
        "learning_rate": loguniform(0.002, 0.05),
        "weight_decay": loguniform(1e-6, 1e-2),
        "hidden_units": [32, 64, 128],
    }
    options = {"n_iter": N_CANDIDATES, "cv": 5, "random_state": 0, "refit": False, **options}
    return StepwiseSearchCV(model, space, strategy="random", **options)


def seconds(work):
    """Wall seconds of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def nothing():
    """A task that costs what any task costs."""


def main():
    """Print the table."""
    warnings.simplefilter("ignore")
    X, y = make_classification(5000, 30, n_informative=10, n_clusters_per_class=4, flip_y=0.1, random_state=0)
    one = search()
    found = {"one process": seconds(lambda: one.fit(X, y))}
    joblib.Parallel(n_jobs=2)(joblib.delayed(search(n_iter=1, cv=2).fit)(X[:200], y[:200]) for _ in range(2))
    found["loky, 2 processes, warm"] = seconds(lambda: search(n_jobs=2).fit(X, y))
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        with joblib.parallel_config(backend="dask", scatter=[X, y]):
            search(n_iter=2, cv=2).fit(X, y)
            found["Dask, 2 workers, warm"] = seconds(lambda: search().fit(X, y))
        task = seconds(lambda: [client.submit(nothing, pure=False).result() for _ in range(50)]) / 50
    alone = [
        seconds(lambda params=params: search(n_iter=1).set_params(param_distributions=single(params)).fit(X, y))
        for params in one.cv_results_["params"]
    ]
    for name, time_taken in found.items():
        print(f"| {name} | {time_taken:.1f} | {found['one process'] / time_taken:.1f} |")
    print(
        f"one candidate alone: {sum(alone) / len(alone):.2f} s, the longest {max(alone):.2f} s, all {sum(alone):.1f} s"
    )
    print(f"a task on the cluster: {1000 * task:.0f} ms")
    for n_workers in (10, 100):
        estimate = max(max(alone), sum(alone) / n_workers) + task * -(-N_CANDIDATES // n_workers)
        print(f"| {n_workers} workers, estimated | {estimate:.1f} | {found['one process'] / estimate:.1f} |")


def single(params):
    """A space of one candidate."""
    return {name: [value] for name, value in params.items()}


if __name__ == "__main__":
    main()
