"""The rate that the finder picks, beside fixed rates, set by set.

    python docs/benchmarks/learning_rate.py BENCH [--seeds 1]

BENCH is the folder of the accuracy benchmark. Models are trained and judged on the development
halves (development.py). Regret is 100 times the logarithm of a model's error (RMSE or log loss) over
that of the best fixed rate.
"""

import development  # first: it pins the threads before numpy is loaded

# isort: split
import argparse
import warnings

import numpy as np
import torch

FIXED = (0.001, 0.003, 0.01, 0.02, 0.03, 0.1)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    load = development.reader(arguments.bench)
    print("| set | picked | best fixed | regret of the pick | regret of 0.02 |\n|---|---|---|---|---|", flush=True)
    regrets = []
    for name in development.names(load):
        errors = {rate: [] for rate in ("auto", *FIXED)}
        picks = []
        for seed in range(arguments.seeds):
            data = development.halves(load, name, seed)
            for rate in errors:
                error, _, model = development.judge(data, seed, learning_rate=rate)
                errors[rate].append(np.log(error))
                picks += [model.learning_rate_] if rate == "auto" else []
        mean = {rate: 100 * np.mean(values) for rate, values in errors.items()}
        best = min(FIXED, key=mean.get)
        regrets.append((mean["auto"] - mean[best], mean[0.02] - mean[best], data[-1]))
        shown = ", ".join(f"{pick:g}" for pick in picks)
        print(f"| {name} | {shown} | {best:g} | {regrets[-1][0]:.1f} | {regrets[-1][1]:.1f} |", flush=True)
    for regression, kind in ((True, "regression"), (False, "classification")):
        own = np.array([r[:2] for r in regrets if r[2] == regression])
        print(f"| median, {kind} ({len(own)}) | | | {np.median(own[:, 0]):.1f} | {np.median(own[:, 1]):.1f} |")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    main()
