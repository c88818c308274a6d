"""When a second thread pays: steps of fleets of several sizes with one thread and with two.

python docs/benchmarks/threads.py
"""

import statistics
import time

import numpy as np
import torch

from sk_dlsteps.engine.batches import FleetData
from sk_dlsteps.step1_cost.cost import SquaredError
from sk_dlsteps.step2_architecture.mlp import MLPBuilder
from sk_dlsteps.step3_training.optimizers import OptimizerChoice

SIZES = ((1, 30, 64), (8, 30, 64), (8, 150, 64), (8, 150, 128), (8, 500, 128), (8, 500, 512), (8, 1000, 1024))
BATCH, ROWS, REPEATS = 128, 2560, 5


def seconds_per_step(n_networks, n_inputs, n_units, n_threads):
    """Seconds of one optimisation step, data included."""
    ones = torch.ones(n_networks, 1, n_inputs)
    stages = {
        "cost": SquaredError(),
        "input_center": 0 * ones,
        "input_factor": ones,
        "input_clip": 3.0,
        "target_center": torch.zeros(n_networks, 1, 1, dtype=torch.float64),
        "target_scale": torch.ones(n_networks, 1, 1, dtype=torch.float64),
    }
    seeds = tuple(range(n_networks))
    fleet = MLPBuilder((n_inputs, n_units, 1), "relu", seeds, torch.zeros(n_networks, 1, 1), stages)()
    optimizer = OptimizerChoice("adam")(fleet, 1e-3)
    X, y = torch.randn(ROWS, n_inputs), torch.randn(ROWS, 1, dtype=torch.float64)
    data = FleetData(X, y, [np.arange(ROWS)] * n_networks, [np.random.default_rng(k) for k in seeds], BATCH)
    torch.set_num_threads(n_threads)
    start = time.perf_counter()
    with torch.no_grad():
        for batch in data.epoch(fleet):
            fleet.gradients(*batch)
            optimizer.step()
    return (time.perf_counter() - start) / data.n_batches


if __name__ == "__main__":
    print("| networks | inputs | units | Mflop a step | ms, 1 thread | ms, 2 threads |\n|---|---|---|---|---|---|")
    for n_networks, n_inputs, n_units in SIZES:
        flops = 6 * n_networks * BATCH * n_units * (n_inputs + 1)
        rounds = [[seconds_per_step(n_networks, n_inputs, n_units, n) for n in (1, 2)] for _ in range(REPEATS)]
        one, two = (1e3 * statistics.median(times) for times in zip(*rounds, strict=True))
        print(f"| {n_networks} | {n_inputs} | {n_units} | {flops / 1e6:.0f} | {one:.2f} | {two:.2f} |")
