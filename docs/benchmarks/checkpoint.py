"""What checkpoints cost: times of fits with and without, in turns, and the size of a stored training.

OMP_NUM_THREADS=1 python docs/benchmarks/checkpoint.py
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, make_regression
from skorch.callbacks import Callback

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor


class Size(Callback):
    """Notes how large the stored training is in the last epoch."""

    def __init__(self, folder):
        self.folder, self.kilobytes_ = folder, 0.0

    def on_epoch_end(self, net, **kwargs):
        self.kilobytes_ = sum(path.stat().st_size for path in Path(self.folder).rglob("*.pt")) / 1000


def seconds(models, X, y, repeats=5):
    """Median time of a fit for each of several estimators, fitted in turns."""
    times = np.empty((repeats, len(models)))
    for row in times:
        for i, model in enumerate(models):
            start = time.perf_counter()
            model.fit(X, y)
            row[i] = time.perf_counter() - start
    return np.median(times, axis=0)


def main():
    """Print the table."""
    cases = {
        "breast_cancer, default": (StepwiseClassifier, load_breast_cancer(return_X_y=True), {}),
        "digits, default": (StepwiseClassifier, load_digits(return_X_y=True), {}),
        "20,000 x 30, 3 layers of 256": (
            StepwiseRegressor,
            make_regression(20_000, 30, noise=1.0, random_state=0),
            {"hidden_units": (256, 256, 256), "n_estimators": 2, "max_epochs": 10},
        ),
    }
    print("| fit | without (s) | every 10 epochs | every epoch | stored (kB) |")
    print("|---|---|---|---|---|")
    for name, (estimator, (X, y), parameters) in cases.items():
        own = {"random_state": 0, "learning_rate": 0.003, **parameters}
        with tempfile.TemporaryDirectory() as folder:
            every = [{"checkpoint": folder, "checkpoint_every": n} for n in (10, 1)]
            without, ten, one = seconds([estimator(**own, **more) for more in ({}, *every)], X, y)
            size = Size(folder)
            estimator(**own, **every[1], callbacks=[size]).fit(X, y)
        print(f"| {name} | {without:.2f} | {ten / without:.2f} | {one / without:.2f} | {size.kilobytes_:.0f} |")


if __name__ == "__main__":
    main()
