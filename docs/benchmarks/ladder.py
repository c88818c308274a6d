"""What the ladder and a random search gain over the default fit, on the benchmark's sets.

    python docs/benchmarks/ladder.py BENCH default,ladder,random --sets diabetes,wine --out rows.jsonl
    python docs/benchmarks/ladder.py BENCH --summary rows.jsonl

Split 0 of each set, at most 1,000 training rows, three folds; a classifier's searches go by log loss. Each
row holds the test error and the CPU seconds of one strategy on one set, with one thread.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, log_loss, root_mean_squared_error
from sklearn.pipeline import make_pipeline

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV

ROWS, FOLDS, CANDIDATES = 1000, 3, {"ladder": 30, "random": 15}


def modules(bench):
    """The benchmark's modules that read its sets and prepare mixed columns."""
    sys.path.insert(0, bench)
    import load
    import peers

    return load, peers


def table(load, name):
    """Training and test rows of split 0, and whether it is a regression."""
    X, y, meta = load.load(name)
    train, test = load.split(name, 0, y, meta["task"])
    train = load.cap(train, y, meta["task"], ROWS, 0)
    parts = [X.iloc[rows].reset_index(drop=True) for rows in (train, test)]
    return (*parts, y[train], y[test], meta["task"] == "regression")


def estimator(peers, X, regression):
    """The default estimator, behind a one-hot encoder where columns are mixed."""
    model = (StepwiseRegressor if regression else StepwiseClassifier)(random_state=0)
    plain = not peers.cat_names(X) and not X.isna().any().any()
    return model if plain else make_pipeline(peers.onehot_prep(scale=False), model)


def run(load, peers, name, strategy):
    """Test error, CPU seconds and what was chosen."""
    X, X_test, y, y_test, regression = table(load, name)
    model = estimator(peers, X, regression)
    if strategy != "default":
        scoring = None if regression else "neg_log_loss"
        model = StepwiseSearchCV(
            model, strategy=strategy, n_iter=CANDIDATES[strategy], cv=FOLDS, scoring=scoring, random_state=0
        )
    start = time.process_time()
    model.fit(X, y)
    row = {"set": name, "strategy": strategy, "cpu": time.process_time() - start}
    if strategy != "default":
        row |= {"n": len(model.cv_results_["params"]), "chosen": str(model.best_params_)}
    if regression:
        return row | {"rmse": root_mean_squared_error(y_test, model.predict(X_test))}
    known = np.isin(y_test, model.classes_)
    loss = log_loss(y_test[known], model.predict_proba(X_test[known]), labels=model.classes_)
    return row | {"logloss": loss, "accuracy": accuracy_score(y_test, model.predict(X_test))}


def summary(rows):
    """Print how the strategies compare with the default on the sets that both were run on."""
    by_strategy = {}
    for row in rows:
        by_strategy.setdefault(row["strategy"], {})[row["set"]] = row
    default = by_strategy.pop("default")
    print("| strategy | sets | error | better / equal / worse | worst | accuracy | CPU |")
    print("|---|---:|---:|---|---:|---:|---:|")
    for strategy, own in by_strategy.items():
        sets = [name for name in own if name in default]
        error = {name: "rmse" if "rmse" in own[name] else "logloss" for name in sets}
        ratios = np.array([own[name][error[name]] / default[name][error[name]] for name in sets])
        gains = [own[n]["accuracy"] - default[n]["accuracy"] for n in sets if "accuracy" in own[n]]
        times = [own[name]["cpu"] / default[name]["cpu"] for name in sets]
        equal = np.abs(np.log(ratios)) < 1e-4
        print(
            f"| {strategy} | {len(sets)} | {np.exp(np.log(ratios).mean()):.3f} | {(ratios < 1)[~equal].sum()} / "
            f"{equal.sum()} / {(ratios > 1)[~equal].sum()} | {ratios.max():.3f} | {100 * np.mean(gains):+.2f} "
            f"| {np.median(times):.0f} |"
        )


def main():
    """Run the strategies on the sets, or print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", help="folder of the benchmark")
    parser.add_argument("strategies", nargs="?", default="default,ladder,random")
    parser.add_argument("--sets", help="names, separated by commas; all by default")
    parser.add_argument("--out", default="ladder.jsonl", help="where rows are added")
    parser.add_argument("--summary", nargs="+", metavar="FILE", help="only print what is in these files")
    arguments = parser.parse_args()
    if arguments.summary:
        lines = [line for name in arguments.summary for line in Path(name).read_text().splitlines()]
        summary([json.loads(line) for line in lines])
        return
    warnings.simplefilter("ignore")
    load, peers = modules(arguments.bench)
    for name in arguments.sets.split(",") if arguments.sets else load.index():
        for strategy in arguments.strategies.split(","):
            row = run(load, peers, name, strategy)
            print(row, flush=True)
            with open(arguments.out, "a") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
