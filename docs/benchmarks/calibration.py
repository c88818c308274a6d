"""Calibration by temperature: log loss and expected calibration error before and after.

    python docs/benchmarks/calibration.py BENCH [--seeds 3]
    python docs/benchmarks/calibration.py BENCH --test

BENCH is the folder of the accuracy benchmark. On the development halves (development.py), one fit of each set
is judged in several ways: the mean of the networks' probabilities ("mean"), networks divided by the
temperature T that was fitted to their out-of-fold predictions ("mean, T"), the logarithm of the mean divided by T
("log mean / T"), the probabilities of the mean raw output ("raw mean") and of the same divided by T ("raw mean / T",
which is `calibrate=True`). With --test the first and the last are judged on the benchmark's test rows. Ratios of log
losses are geometric means, each logarithm held within +-0.15.
"""

import development  # first: it pins the threads before numpy is loaded

# isort: split
import argparse
import warnings

import numpy as np
import torch
from sklearn.metrics import log_loss

from sk_dlsteps import StepwiseClassifier
from sk_dlsteps.step4_validation.calibration import expected_calibration_error


def ways(model, X):
    """Probabilities of rows in every way, from a calibrated model."""
    net, T = model.pipeline_[-1], model.temperature_
    tempered = net.network_outputs(model.pipeline_[:-1].transform(X))
    mean = net.link(tempered * T).mean(1)
    powers = np.maximum(mean, 1e-300) ** (1 / T)
    return {
        "mean": mean,
        "mean, T": net.link(tempered).mean(1),
        "log mean / T": powers / powers.sum(1, keepdims=True),
        "raw mean": net.link(tempered.mean(1) * T),
        "raw mean / T": model.predict_proba(X),
    }


def judged(p, y, classes):
    """Log loss and expected calibration error."""
    return log_loss(y, p, labels=classes), expected_calibration_error(p, np.searchsorted(classes, y))


def main():
    """Print a line for each set, then the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--test", action="store_true")
    arguments = parser.parse_args()
    load = development.reader(arguments.bench)
    sizes, temperatures, figures = [], [], []
    print(
        "| set | rows | T | log loss before | after | calibration error before | after |\n|---|---|---|---|---|---|---|"
    )
    for name in development.names(load):
        own = []
        for seed in range(arguments.seeds):
            X, X_test, y, y_test, regression = development.halves(load, name, seed, arguments.test)
            if regression:
                continue
            model = StepwiseClassifier(calibrate=True, random_state=seed, n_threads=1).fit(X, y)
            known = np.isin(y_test, model.classes_)
            found = ways(model, X_test[known])
            own.append([judged(p, y_test[known], model.classes_) for p in found.values()])
            temperatures.append(model.temperature_)
        if own:
            sizes.append(len(X))
            figures.append(np.mean(own, 0))
            (loss, error), (loss_after, error_after) = figures[-1][[0, -1]]
            T = np.mean(temperatures[-len(own) :])
            print(
                f"| {name} | {len(X)} | {T:.2f} | {loss:.3f} | {loss_after:.3f} | {error:.3f} | {error_after:.3f} |",
                flush=True,
            )
    figures, sizes = np.array(figures), np.array(sizes)
    print(
        "\n| way | log loss / that of mean | wins | calibration error | of sets from 900 rows: ratio | wins | error |"
    )
    print("|---|---|---|---|---|---|---|")
    shown = {name: i for i, name in enumerate(found) if not arguments.test or i in (0, len(found) - 1)}
    for way, i in shown.items():
        cells = []
        for sets in (sizes > 0, sizes >= 900):
            losses, errors = figures[sets, :, 0], figures[sets, :, 1]
            ratio = np.log(np.maximum(losses[:, i], development.LEAST_LOSS))
            ratio -= np.log(np.maximum(losses[:, 0], development.LEAST_LOSS))
            wins = f"{(losses[:, i] < losses[:, 0]).sum()} of {len(losses)}"
            cells += [f"{np.exp(ratio.clip(-0.15, 0.15).mean()):.3f}", wins, f"{errors[:, i].mean():.4f}"]
        print(f"| {way} | {' | '.join(cells)} |")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    main()
