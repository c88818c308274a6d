"""What another default would do: one configuration against the present one.

    python docs/benchmarks/defaults.py BENCH --parameter activation=silu
    python docs/benchmarks/defaults.py BENCH --constant step3_training.budget.N_STEPS=8000

BENCH is the folder of the accuracy benchmark. Both are trained on the same development halves
(development.py). Printed is the geometric mean over the sets of the ratio of errors (RMSE, log
loss), each ratio's logarithm held within +-0.15 so that no small set decides, and that of CPU seconds.
"""

import development  # first: it pins the threads before numpy is loaded

# isort: split
import argparse
import ast
import importlib
import warnings
from contextlib import contextmanager

import numpy as np
import torch


def assignment(text):
    """A name and a Python value from "name=value"; a value that is no literal is a string."""
    name, value = text.split("=", 1)
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


@contextmanager
def changed(constants):
    """The package with some of its constants changed, wherever they were imported."""
    before = []
    for name, value in constants:
        home, constant = name.rsplit(".", 1)
        old = getattr(importlib.import_module(f"sk_dlsteps.{home}"), constant)
        for module in [m for key, m in importlib.sys.modules.items() if key.startswith("sk_dlsteps")]:
            if hasattr(module, constant):
                before.append((module, constant, old))
                setattr(module, constant, value)
    try:
        yield
    finally:
        for module, constant, old in before:
            setattr(module, constant, old)


def main():
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("--parameter", action="append", default=[], type=assignment)
    parser.add_argument("--constant", action="append", default=[], type=assignment)
    parser.add_argument("--task", choices=["regression", "classification"])
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    load = development.reader(arguments.bench)
    rows = []
    for name in development.names(load, derived=True):
        for seed in range(arguments.seeds):
            data = development.halves(load, name, seed)
            if arguments.task and (arguments.task == "regression") != data[-1]:
                continue
            base, base_seconds, _ = development.judge(data, seed)
            with changed(arguments.constant):
                other, seconds, _ = development.judge(data, seed, **dict(arguments.parameter))
            rows.append((name, data[-1], np.log(other / base), np.log(seconds / base_seconds)))
            print(f"{name:40s} error {np.exp(rows[-1][2]):6.3f}  seconds {np.exp(rows[-1][3]):5.2f}", flush=True)
    for regression, kind in ((True, "regression"), (False, "classification")):
        own = [r for r in rows if r[1] == regression]
        if own:
            errors, seconds = np.array([r[2] for r in own]), np.array([r[3] for r in own])
            held = np.exp(errors.clip(-0.15, 0.15).mean())
            print(f"{kind} ({len(own)} fits): error {held:.3f}, seconds {np.exp(np.median(seconds)):.2f}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    main()
