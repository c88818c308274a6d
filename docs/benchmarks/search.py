"""Seconds of a search: StepwiseSearchCV against scikit-learn's over the same estimator, and over others.

    python docs/benchmarks/search.py            # ratios, about half an hour
    python docs/benchmarks/search.py --memory 30   # peak memory on 100,000 x 50
    python docs/benchmarks/search.py --fleets   # other bounds of a fleet than those in together.py

Thirty candidates on five folds, one thread. "Networks that are alike" draws what a search for the validation set
would: the rate, units, dropout and weight decay of networks that stop early. "Whole space" is
`model.param_distributions(X=X, y=y)`, whose candidates differ in depth, minibatch and batch norm too. Against others,
candidates differ in rate, units and decay, and everybody trains the same number of epochs on the same minibatches.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import argparse
import resource
import time
import warnings

import numpy as np
import torch
from scipy.stats import loguniform
from sklearn.datasets import load_breast_cancer, load_diabetes, make_classification
from sklearn.model_selection import RandomizedSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch import NeuralNetClassifier, NeuralNetRegressor

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV, together

N_CANDIDATES, N_FOLDS, BATCH, UNITS = 30, 5, 64, [32, 64, 128]
RATES, DECAYS = loguniform(0.002, 0.05), loguniform(1e-6, 1e-2)


def tables():
    """Name, table, whether it is a regression, and epochs for the comparison with others."""
    made = make_classification(5000, 30, n_informative=10, n_clusters_per_class=4, flip_y=0.1, random_state=0)
    return [
        ("diabetes", load_diabetes(return_X_y=True), True, 100),
        ("breast_cancer", load_breast_cancer(return_X_y=True), False, 100),
        ("5,000 x 30", made, False, 20),
    ]


class Net(torch.nn.Module):
    """The network of stock skorch: one hidden layer."""

    def __init__(self, n_inputs, n_outputs, units=64):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(n_inputs, units), torch.nn.ReLU(), torch.nn.Linear(units, n_outputs)
        )

    def forward(self, X):
        """Raw outputs."""
        return self.layers(X)


def as_float32(X):
    """What stock skorch wants."""
    return X.astype(np.float32)


def rivals(regression, n_inputs, epochs):
    """Estimators that train so many epochs, each with its space, by name."""
    same = {"early_stopping": False, "batch_size": BATCH, "max_epochs": epochs, "lr_schedule": "constant"}
    ours = (StepwiseRegressor if regression else StepwiseClassifier)(
        n_estimators=1, numeric_encoding=None, random_state=0, **same
    )
    mlp = (MLPRegressor if regression else MLPClassifier)(
        batch_size=BATCH, max_iter=epochs, n_iter_no_change=epochs, tol=0, random_state=0
    )
    kind = NeuralNetRegressor if regression else NeuralNetClassifier
    options = {} if regression else {"criterion": torch.nn.CrossEntropyLoss}
    stock = kind(
        Net,
        module__n_inputs=n_inputs,
        module__n_outputs=1 if regression else 2,
        optimizer=torch.optim.Adam,
        batch_size=BATCH,
        max_epochs=epochs,
        train_split=None,
        verbose=0,
        **options,
    )
    name = type(mlp).__name__.lower()
    return {
        "ours": (ours, {"learning_rate": RATES, "hidden_units": UNITS, "weight_decay": DECAYS}),
        "scikit-learn's MLP": (
            make_pipeline(StandardScaler(), mlp),
            {f"{name}__learning_rate_init": RATES, f"{name}__hidden_layer_sizes": UNITS, f"{name}__alpha": DECAYS},
        ),
        "stock skorch": (
            make_pipeline(StandardScaler(), FunctionTransformer(as_float32), stock),
            {
                f"{kind.__name__.lower()}__lr": RATES,
                f"{kind.__name__.lower()}__module__units": UNITS,
                f"{kind.__name__.lower()}__optimizer__weight_decay": DECAYS,
            },
        ),
    }


def seconds(search, X, y):
    """CPU seconds of a search."""
    start = time.process_time()
    search.fit(X, y)
    return time.process_time() - start


def searches(estimator, space):
    """Ours and scikit-learn's over the same candidates."""
    options = {"n_iter": N_CANDIDATES, "cv": N_FOLDS, "random_state": 0, "refit": False}
    return StepwiseSearchCV(estimator, space, strategy="random", **options), RandomizedSearchCV(
        estimator, space, **options
    )


def spaces(model, X, y):
    """What a search for the validation set would draw, and the article's whole space."""
    whole = model.param_distributions(X=X, y=y)
    typical = {"learning_rate": RATES, "hidden_units": UNITS, **{k: whole[k] for k in ("dropout", "weight_decay")}}
    return {"networks that are alike": typical, "whole space": whole}


def against_scikit_learn(name, X, y, regression):
    """Print how much faster the batched search is on the same estimator."""
    model = (StepwiseRegressor if regression else StepwiseClassifier)(n_estimators=1, random_state=0)
    for title, space in spaces(model, X, y).items():
        ours, theirs = searches(model, space)
        first, other, second = seconds(ours, X, y), seconds(theirs, X, y), seconds(ours, X, y)
        difference = ours.cv_results_["mean_test_score"] - theirs.cv_results_["mean_test_score"]
        print(
            f"| {name} | {title} | {2 * other / (first + second):.1f} | {difference.mean():+.4f} "
            f"| {np.abs(difference).max():.4f} |",
            flush=True,
        )


def against_others(name, X, y, regression, epochs):
    """Print how much faster the batched search is than scikit-learn's over other estimators."""
    y = y.astype(np.float32).reshape(-1, 1) if regression else y
    found = {}
    for rival, (estimator, space) in rivals(regression, X.shape[1], epochs).items():
        target = y.ravel() if regression and rival != "stock skorch" else y
        search = searches(estimator, space)[0 if rival == "ours" else 1]
        found[rival] = seconds(search, X, target), search.cv_results_["mean_test_score"].max()
    again = searches(*rivals(regression, X.shape[1], epochs)["ours"])[0]
    ours = (found["ours"][0] + seconds(again, X, y.ravel())) / 2
    for rival in ("scikit-learn's MLP", "stock skorch"):
        print(
            f"| {name} | {rival} | {found[rival][0] / ours:.1f} | {found['ours'][1]:.3f} | {found[rival][1]:.3f} |",
            flush=True,
        )


def memory(candidates):
    """Print the peak memory of a search above that of its data, in MB."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100_000, 50))
    y = X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=len(X))
    model = StepwiseRegressor(n_estimators=1, max_epochs=1, random_state=0)
    model.fit(X[:2000], y[:2000])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    search, _ = searches(model, {"learning_rate": RATES, "hidden_units": UNITS, "dropout": [0.0, 0.25, 0.5]})
    search.set_params(n_iter=candidates).fit(X, y)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{(after - before) / 1024:.0f} MB above the data's {X.nbytes / 2**20:.0f} MB and what was loaded before")


def fleets():
    """Print seconds with other bounds of a fleet, by those with the present ones."""
    bounds = [
        (together.FLEET_NUMBERS * a, together.STEP_FLOPS * b) for a, b in ((1, 1), (1 / 8, 1), (8, 1), (1, 0), (1, 8))
    ]
    print("| set | space | numbers | operations | seconds by those of the present bounds |\n|---|---|---:|---:|---:|")
    for name, (X, y), regression, _ in tables()[::2]:
        model = (StepwiseRegressor if regression else StepwiseClassifier)(n_estimators=1, random_state=0)
        for title, space in spaces(model, X, y).items():
            found = []
            for together.FLEET_NUMBERS, together.STEP_FLOPS in [*bounds, bounds[0]]:
                found.append(seconds(searches(model, space)[0], X, y))
            present = (found[0] + found[-1]) / 2
            for (numbers, flops), own in zip(bounds[1:], found[1:], strict=False):
                print(f"| {name} | {title} | {numbers:.2g} | {flops:.2g} | {own / present:.2f} |", flush=True)


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fleets", action="store_true", help="measure other bounds of a fleet")
    parser.add_argument("--memory", type=int, metavar="N", help="measure memory of N candidates instead of time")
    arguments = parser.parse_args()
    if arguments.memory:
        memory(arguments.memory)
        return
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if arguments.fleets:
        fleets()
        return
    print("| set | search space | times faster | mean difference of scores | largest |\n|---|---|---:|---:|---:|")
    for name, (X, y), regression, _ in tables():
        against_scikit_learn(name, X, y, regression)
    print("\n| set | rival | times faster | our best score | its best |\n|---|---|---:|---:|---:|")
    for name, (X, y), regression, epochs in tables():
        against_others(name, X, y, regression, epochs)


if __name__ == "__main__":
    main()
