"""Large tables: seconds an epoch, peak memory, prediction, and the default fit of a million rows.

    python docs/benchmarks/size.py epochs    # 10^4 to 10^6 rows, one network, beside scikit-learn's MLP
    python docs/benchmarks/size.py memory    # peak above the imports, in units of the table's own size
    python docs/benchmarks/size.py predict   # a million rows, beside the bare matrix products
    python docs/benchmarks/size.py default   # a million rows with no setting but the seed

Every measurement runs in a process of its own. Tables are float32 and made up: nothing is learnt from them but time.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

UNITS, MINIBATCH = 128, 1024


def table(n_rows, n_columns, task):
    """A table that fills no more memory than its own."""
    rng = np.random.default_rng(0)
    X = np.empty((n_rows, n_columns), np.float32)
    y = np.empty(n_rows)
    direction = rng.standard_normal(n_columns) / np.sqrt(n_columns)
    for start in range(0, n_rows, 10_000):
        own = slice(start, start + 10_000)
        rng.standard_normal(out=X[own], dtype=np.float32)
        y[own] = np.tanh(X[own] @ direction) + 0.3 * rng.standard_normal(len(X[own]))
    return X, y if task == "regression" else (y > 0).astype(int)


def peak():
    """Peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def estimator(task, **parameters):
    """One of ours."""
    import sk_dlsteps

    kind = sk_dlsteps.StepwiseRegressor if task == "regression" else sk_dlsteps.StepwiseClassifier
    return kind(random_state=0, **parameters)


def epoch(n_rows, n_columns, task, whose):
    """Seconds of an epoch: a fit of four less a fit of one, so that what happens once drops out."""
    X, y = table(n_rows, n_columns, task)
    seconds = []
    for n_epochs in (1, 4):
        if whose == "ours":
            model = estimator(
                task,
                n_estimators=1,
                hidden_units=UNITS,
                numeric_encoding=None,
                batch_size=MINIBATCH,
                max_epochs=n_epochs,
                learning_rate=0.001,
                early_stopping=False,
                n_threads=1,
            )
            model.fit(X, y)
            seconds.append(float(np.sum(model.history_[:, "dur"])))
        else:
            from sklearn.neural_network import MLPClassifier, MLPRegressor

            kind = MLPRegressor if task == "regression" else MLPClassifier
            model = kind((UNITS,), batch_size=MINIBATCH, max_iter=n_epochs, tol=0, random_state=0)
            start = time.perf_counter()
            model.fit(X, y)
            seconds.append(time.perf_counter() - start)
    return {"seconds": (seconds[1] - seconds[0]) / 3}


def memory(n_rows, n_columns, task, whose):
    """Peak above the imports in units of X and y together, with and without a file in the place of X."""
    import tempfile

    estimator(task, max_epochs=2).fit(np.random.default_rng(0).random((64, 3)), np.arange(64) % 2)
    base = peak()
    X, y = table(n_rows, n_columns, task)
    size = X.nbytes + y.nbytes
    if whose == "memmap":
        with tempfile.NamedTemporaryFile(suffix=".npy") as file:
            np.save(file.name, X)
            X = np.load(file.name, mmap_mode="r")
            estimator(task, max_epochs=2).fit(X, y)
    else:
        estimator(task, max_epochs=2).fit(X, y)
    return {"table_mb": size / 1e6, "above_imports": (peak() - base) / size}


def predict(n_rows, n_columns, task, whose):
    """Seconds to predict, and those of the same matrix products in chunks that fit the cache; the best of three."""
    import torch

    X, y = table(n_rows, n_columns, task)
    settings = {"hidden_units": UNITS, "numeric_encoding": None, "max_epochs": 1, "learning_rate": 0.01}
    torch.set_num_threads(1)
    model = estimator(task, n_estimators=8, **settings).fit(X[:20_000], y[:20_000])
    fleet = model.pipeline_[-1].module_
    layers = {dtype: [w.data.to(dtype) for w in fleet.weights] for dtype in (torch.float64, torch.float32)}
    tables = {dtype: torch.from_numpy(X).to(dtype) for dtype in layers}

    def products(dtype):
        first, last = layers[dtype]
        with torch.no_grad():
            for chunk in tables[dtype].split(512):
                torch.bmm(torch.bmm(chunk.expand(8, -1, -1), first), last.mT)

    times = {"ours": [], "products_float64": [], "products_float32": []}
    for _ in range(3):
        for name, run in (
            ("ours", lambda: model.predict(X)),
            ("products_float64", lambda: products(torch.float64)),
            ("products_float32", lambda: products(torch.float32)),
        ):
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: min(seconds) for name, seconds in times.items()}


def default(n_rows, n_columns, task, whose):
    """Seconds of a fit without settings, and what "auto" made of it."""
    X, y = table(n_rows, n_columns, task)
    start = time.perf_counter()
    model = estimator(task).fit(X, y)
    size = next(r.decision for r in model.steps_ if r.title == "size of the training")
    return {
        "minutes": (time.perf_counter() - start) / 60,
        "size": size,
        "epochs": model.n_iter_,
        "validation_score": model.validation_score_,
    }


MEASUREMENTS = {"epochs": epoch, "memory": memory, "predict": predict, "default": default}
CASES = {
    "epochs": [(n, 30, "classification", who) for n in (10**4, 10**5, 10**6) for who in ("ours", "scikit-learn")],
    "memory": [
        (n, p, task, who)
        for n, p in ((10**6, 30), (10**5, 500))
        for task in ("classification", "regression")
        for who in ("array", "memmap")
    ],
    "predict": [(10**6, 30, "classification", "ours")],
    "default": [(10**6, 30, task, "ours") for task in ("classification", "regression")],
}


def main():
    """Run the cases of a measurement, each in its own process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=MEASUREMENTS)
    parser.add_argument("case", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        n_rows, n_columns, task, whose = options.case
        print(json.dumps(MEASUREMENTS[options.what](int(n_rows), int(n_columns), task, whose)))
        return
    for case in CASES[options.what]:
        run = subprocess.run(
            [sys.executable, __file__, options.what, *map(str, case)], capture_output=True, text=True, check=True
        )
        found = {k: round(v, 3) if isinstance(v, float) else v for k, v in json.loads(run.stdout).items()}
        print(*case, json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
