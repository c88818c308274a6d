"""Minibatches and epochs: how large, how many."""

from __future__ import annotations

import math

from sk_dlsteps.step3_training.schedules import N_CYCLES

# By measurement (docs/benchmarks.md, "Choosing the defaults") on up to 10,000 rows; minibatches of
# more than 128 rows, for more rows than that, are for speed.
ROWS_PER_BATCH_ROW = 64
MIN_BATCH, MAX_BATCH = 32, 1024
N_STEPS = 4000
MIN_EPOCHS, MAX_EPOCHS = 45, 240
# An epoch of fewer minibatches leaves the most epochs with less than 1,000 steps, a quarter of the budget.
ENOUGH_BATCHES = 4


def choose_batch_size(batch_size: str | int, n_rows: int) -> int:
    """A power of two near ``n_rows / 64``, between 32 and 1024, for "auto"."""
    if batch_size != "auto":
        return int(batch_size)
    power = 2 ** round(math.log2(max(1, n_rows / ROWS_PER_BATCH_ROW)))
    return min(max(power, MIN_BATCH), MAX_BATCH)


def leaves_enough_batches(batch_size: int, n_rows: int) -> bool:
    """Whether minibatches of this size are worth a trial: whether an epoch has some of them."""
    return n_rows >= ENOUGH_BATCHES * batch_size


def choose_max_epochs(max_epochs: str | int, n_batches: int) -> int:
    """Epochs that hold about `N_STEPS` optimisation steps and whole doubling cycles, for "auto"."""
    if max_epochs != "auto":
        return int(max_epochs)
    epochs = min(max(N_STEPS / n_batches, MIN_EPOCHS), MAX_EPOCHS)
    whole = 2**N_CYCLES - 1
    return whole * max(1, round(epochs / whole))
