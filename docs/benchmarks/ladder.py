"""What the ladder and a random search gain over the default fit, as peers of the accuracy benchmark.

    python docs/benchmarks/ladder.py BENCH OUT             # measure; goes on where it stopped
    python docs/benchmarks/ladder.py BENCH OUT --compare   # the searches beside the default fit
    python BENCH/summary.py OUT/rows.csv peers.csv --ours ours_ladder --markdown

BENCH is the benchmark's folder, and peers.csv what its accuracy.py wrote with the same --max-train and --splits 1.
Searches use five folds, one thread and, for classifiers, the log loss. OUT gets a file of rows like accuracy.py's,
and for each set and peer the losses of its test rows: squared errors or log losses.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import argparse
import csv
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from sk_dlsteps import StepwiseSearchCV

# The ladder at its defaults, which tries about sixteen; ten random candidates take about as long.
FOLDS, CANDIDATES = 5, {"ours_ladder": 30, "ours_random": 10}
# Standard errors beyond which a difference on the test rows is no noise.
BEYOND = 2.0


def make_model(peers, peer, task):
    """Our defaults, or a search over them, behind the benchmark's preparation of mixed columns."""
    model = peers.ours_with(task, 1, 0)
    if peer in CANDIDATES:
        model = StepwiseSearchCV(
            model,
            strategy=peer.removeprefix("ours_"),
            n_iter=CANDIDATES[peer],
            cv=FOLDS,
            scoring=None if peers.is_reg(task) else "neg_log_loss",
            random_state=0,
        )
    return peers.OursAuto(model)


def measure(accuracy, load, peers, name, peer, max_train):
    """A row of the benchmark, and the loss of each test row."""
    X, y, meta = load.load(name)
    task = meta["task"]
    train, test = load.split(name, 0, y, task)
    train = load.cap(train, y, task, max_train, 0)
    X_train, X_test = (X.iloc[rows].reset_index(drop=True) for rows in (train, test))
    model, start = make_model(peers, peer, task), time.process_time()
    model.fit(X_train, y[train])
    row = {"dataset": name, "task": task, "peer": peer, "split": 0, "max_train": max_train, "status": "ok"}
    row |= {"n_train": len(train), "n_test": len(test), "n_features": X.shape[1], "threads": 1}
    row |= {"fit_cpu_s": time.process_time() - start, "when": time.strftime("%F %T")}
    predicted = model.predict(X_test)
    if peers.is_reg(task):
        return row | accuracy.score_regression(y[test], predicted), (y[test] - predicted) ** 2
    proba = model.predict_proba(X_test)
    row |= accuracy.score_classes(y[test], predicted, proba, model.classes_, int(y.max()) + 1)
    of_the_label = (proba * (np.asarray(model.classes_) == y[test][:, None])).sum(1)
    return row, -np.log(np.maximum(of_the_label, 1e-15))


def compare(out, peers):
    """Print each search beside the default fit, over all sets, and the sets where the difference is no noise."""
    print("| search | sets | error | better | worse | CPU |\n|---|---:|---:|---|---|---:|")
    with (out / "rows.csv").open() as file:
        rows = {(row["peer"], row["dataset"]): row for row in csv.DictReader(file)}
    for peer in peers[1:]:
        ratios, times, better, worse = [], [], [], []
        for name in (name for of, name in rows if of == peer):
            own, default = (np.load(out / f"{name}-{of}.npy") for of in (peer, peers[0]))
            error = "rmse" if rows[peer, name]["rmse"] else "logloss"
            ratios.append(float(rows[peer, name][error]) / float(rows[peers[0], name][error]))
            times.append(float(rows[peer, name]["fit_cpu_s"]) / float(rows[peers[0], name]["fit_cpu_s"]))
            gain = default - own
            errors = gain.mean() / max(gain.std(ddof=1) / np.sqrt(len(gain)), 1e-300)
            if abs(errors) > BEYOND:
                (better if errors > 0 else worse).append(f"{name} {ratios[-1]:.3f}")
        print(
            f"| {peer} | {len(ratios)} | {np.exp(np.log(ratios).mean()):.3f} | {len(better)}: {', '.join(better)} "
            f"| {len(worse)}: {', '.join(worse)} | {np.median(times):.0f} |"
        )


def main():
    """Measure each set and peer that OUT lacks, or compare what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", help="folder of the benchmark")
    parser.add_argument("out", type=Path, help="folder for what is measured")
    parser.add_argument("--peers", default=",".join(["ours", *CANDIDATES]), help="the default fit first")
    parser.add_argument("--sets", help="names, separated by commas; all by default")
    parser.add_argument("--max-train", type=int, default=1000, help="most training rows")
    parser.add_argument("--compare", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    chosen = arguments.peers.split(",")
    if arguments.compare:
        compare(arguments.out, chosen)
        return
    warnings.simplefilter("ignore")
    sys.path.insert(0, arguments.bench)
    import accuracy
    import load
    import peers

    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "rows.csv").open("a", newline="") as file:
        writer = csv.DictWriter(file, accuracy.COLUMNS)
        if not file.tell():
            writer.writeheader()
        for name in arguments.sets.split(",") if arguments.sets else load.index():
            for peer in chosen:
                path = arguments.out / f"{name}-{peer}.npy"
                if path.exists():
                    continue
                row, losses = measure(accuracy, load, peers, name, peer, arguments.max_train)
                writer.writerow(row)
                file.flush()
                np.save(path, losses)
                print(name, peer, *(f"{key} {row[key]:.4g}" for key in ("rmse", "logloss", "fit_cpu_s") if key in row))


if __name__ == "__main__":
    main()
