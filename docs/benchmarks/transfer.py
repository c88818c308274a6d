"""Fine-tuned against from scratch: ``python docs/benchmarks/transfer.py [BENCH] [--tuning] [--module conv]``.

BENCH is the folder of the accuracy benchmark, for the pairs of tables; without it there are the digits only. Source and
target are parts of one set: by class for the digits, by a column for the tables. All of the source's rows (at most
4,000) train the source; few rows of the target train the target; the error is that on the target's other rows (at most
5,000). Printed are the mean error over the seeds, the mean difference from scratch with its standard error, and on how
many seeds fine-tuning was better. ``--tuning`` takes the other pairs and seeds, by which the defaults were chosen.
``--module`` is another network for the digits: "conv", a small one with batch norms in fleets of four, whose source has
30 epochs, or a name that `module` takes.
"""

import argparse
import sys
import time
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor

MOST_SOURCE, MOST_TEST = 4_000, 5_000
VARIANTS = {
    "fine-tuned": {},
    "everything from the start": {"unfreeze": True},
    "body frozen": {"unfreeze": False},
    "one rate": {"differential_rates": 1.0},
    "rates that fall": {"differential_rates": 2.6 ** (-1 / 3)},
}


def conv(n_outputs):
    """Three convolutions with batch norms, and a head."""

    def block(n_in, n_out, stride):
        return nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()

    body = *block(1, 16, 1), *block(16, 32, 2), *block(32, 32, 1)
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, n_outputs))


def of_digits(source_low):
    """Digits of which five are the source's and five the target's."""
    X, y = load_digits(return_X_y=True)
    return X, y, (y < 5) == source_low, 20, True


def of_table(load, name, column, is_target, n_rows):
    """A table whose target part is told by a column."""
    X, y, meta = load(name)
    values = X[column].to_numpy()
    return X, y, ~is_target(values), n_rows, meta["task"] != "regression"


def pairs(bench, tuning):
    """Name and (X, y, which rows are the source's, rows of the target or of each class, whether it is classes)."""
    yield f"digits {'5-9 to 0-4' if tuning else '0-4 to 5-9'}, 20 a class", of_digits(not tuning)
    if bench is None:
        return
    sys.path.insert(0, bench)
    from load import load

    chosen = [
        ("california_housing, coast to inland, 60 rows", "california_housing", "ocean_proximity", "INLAND", 60),
        ("diamonds, other cuts to fair, 60 rows", "diamonds", "cut", "Fair", 60),
        ("adult, private to self-employed, 100 rows", "adult", "workclass", "Self-emp-not-inc", 100),
    ]
    if tuning:
        chosen = [
            ("california_housing, south to north, 100 rows", "california_housing", "latitude", 36.0, 100),
            ("diamonds, other colours to J, 50 rows", "diamonds", "color", "J", 50),
            ("diamonds, other colours to D, 200 rows", "diamonds", "color", "D", 200),
            ("adult, other to sales, 80 rows", "adult", "occupation", "Sales", 80),
            ("telco_churn, other to fiber, 60 rows", "telco_churn", "InternetService", "Fiber optic", 60),
        ]
    for title, name, column, value, n_rows in chosen:
        is_target = (lambda v, at=value: v > at) if isinstance(value, float) else (lambda v, at=value: v == at)
        yield title, of_table(load, name, column, is_target, n_rows)


def chosen_rows(y, from_source, n_rows, classes, rng):
    """Rows of the source, and of the target those that train and those that test."""
    source, target = np.flatnonzero(from_source), rng.permutation(np.flatnonzero(~from_source))
    source = rng.permutation(source)[:MOST_SOURCE]
    if n_rows == 20 and classes:
        train = np.concatenate([target[y[target] == label][:n_rows] for label in np.unique(y[target])])
    else:
        train = target[:n_rows]
    return source, train, np.setdiff1d(target, train)[:MOST_TEST] if n_rows == 20 else target[n_rows:][:MOST_TEST]


def error_of(model, X, y, classes, digits):
    """Share of wrong labels for the digits, log loss for other classes, RMSE for values."""
    if digits:
        return 1 - model.score(X, y)
    if classes:
        return log_loss(y, model.predict_proba(X), labels=model.classes_)
    return float(np.sqrt(np.mean((model.predict(X) - y) ** 2)))


def errors(pair, seed, variants, settings):
    """Error of the source as it is (NaN for other classes) and of each variant, and the seconds of each variant."""
    X, y, from_source, n_rows, classes = pair
    rows = X.iloc if hasattr(X, "iloc") else X
    source, train, test = chosen_rows(y, from_source, n_rows, classes, np.random.default_rng(seed))
    kind = StepwiseClassifier if classes else StepwiseRegressor
    model = kind(**settings, random_state=seed)
    known = kind(**settings, random_state=seed)
    if settings.get("module") is conv:
        known.set_params(max_epochs=30)
    known.fit(rows[source], y[source])
    digits = n_rows == 20 and classes
    own = rows[test], y[test], classes, digits
    out = [np.nan if digits else error_of(known, *own)]
    seconds = []
    for parameters in variants:
        start = time.perf_counter()
        if parameters is None:
            fitted = model.fit(rows[train], y[train])
        else:
            fitted = known.fine_tune(rows[train], y[train], max_epochs="auto", **parameters)
        seconds.append(time.perf_counter() - start)
        out.append(error_of(fitted, *own))
    return out, seconds


def main(bench, tuning, module, variants, n_seeds=10):
    """Print a table for each pair."""
    warnings.simplefilter("ignore")
    first = 100 if tuning else 0
    names = ["source as it is", "from scratch", *variants]
    for title, pair in pairs(bench, tuning):
        settings = {}
        if module != "mlp":
            if not title.startswith("digits"):
                continue
            settings = {"module": module, "input_shape": (1, 8, 8)}
            if module == "conv":
                settings |= {"module": conv, "n_estimators": 4}
        found = []
        for i in range(n_seeds):
            found.append(errors(pair, first + i, [None, *variants.values()], settings))
            print(first + i, *(f"{value:.4f}" for value in found[-1][0]), flush=True)
        values, seconds = np.array([own for own, _ in found]), np.mean([own for _, own in found], axis=0)
        print(f"\n{title}")
        for i, name in enumerate(names):
            difference = values[:, i] - values[:, 1]
            spread = difference.std(ddof=1) / np.sqrt(n_seeds)
            ratio = np.exp(np.mean(np.log(np.maximum(values[:, i], 1e-4) / np.maximum(values[:, 1], 1e-4))))
            took = "" if i == 0 else f"  {seconds[i - 1]:.2f} s"
            print(
                f"  {name:42s} {values[:, i].mean():10.4g}  {difference.mean():+10.3g} +- {spread:8.2g}  "
                f"{(difference < 0).sum():2d} of {n_seeds}  x{ratio:.3f}{took}",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", nargs="?")
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--module", default="mlp")
    arguments = parser.parse_args()
    main(arguments.bench, arguments.tuning, arguments.module, VARIANTS)
