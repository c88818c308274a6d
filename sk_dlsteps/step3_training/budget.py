"""Minibatches and epochs: how large, how many."""

from __future__ import annotations

import math
from bisect import bisect_right

from sk_dlsteps.plan import Plan, StepRecord
from sk_dlsteps.step3_training.schedules import N_CYCLES

# By measurement (docs/benchmarks.md, "Choosing the defaults") on up to 10,000 rows; minibatches of
# more than 128 rows, for more rows than that, are for speed.
ROWS_PER_BATCH_ROW = 64
MIN_BATCH, MAX_BATCH = 32, 1024
# Rows of each class, and rows, that a minibatch has at the least on average where a cost compares rows, by
# measurement on 10 classes (docs/benchmarks.md, "Metric learning").
ROWS_PER_CLASS, MIN_COMPARED = 4, 64
N_STEPS = 4000
MIN_EPOCHS, MAX_EPOCHS = 45, 240
# Rows that a network goes through in all its epochs, at the most.
MAX_ROW_PASSES = 15_000_000
# Networks of the default ensemble, by measurement (docs/benchmarks.md, "Choosing the defaults"), and how many there
# are from so many rows on, so that a fit of a million rows ends within minutes.
N_NETWORKS, MANY_ROWS, FEWER_NETWORKS = 8, (100_000, 400_000), (4, 2)
# An epoch of fewer minibatches leaves the most epochs with less than 1,000 steps, a quarter of the budget.
ENOUGH_BATCHES = 4


def choose_batch_size(batch_size: str | int, n_rows: int, n_compared: int = 0) -> int:
    """A power of two near ``n_rows / 64``, between 32 and 1024, for "auto".

    A cost that compares rows of `n_compared` classes needs some of each: at least 64, and 4 rows a class.
    """
    if batch_size != "auto":
        return int(batch_size)
    power = 2 ** round(math.log2(max(1, n_rows / ROWS_PER_BATCH_ROW)))
    least = MIN_BATCH
    if n_compared:
        least = max(MIN_COMPARED, 2 ** math.ceil(math.log2(ROWS_PER_CLASS * n_compared)))
    return min(max(power, least), MAX_BATCH)


def leaves_enough_batches(batch_size: int, n_rows: int) -> bool:
    """Whether minibatches of this size are worth a trial: whether an epoch has some of them."""
    return n_rows >= ENOUGH_BATCHES * batch_size


def choose_max_epochs(max_epochs: str | int, n_batches: int, n_rows: int, n_steps: int | None = None) -> int:
    """Epochs that hold about `N_STEPS` optimisation steps and whole doubling cycles, for "auto".

    An architecture may want another number of steps, which are then no fewer than one round of cycles.
    """
    if max_epochs != "auto":
        return int(max_epochs)
    whole = 2**N_CYCLES - 1
    least = MIN_EPOCHS if n_steps is None else whole
    epochs = min(max((n_steps or N_STEPS) / n_batches, least), MAX_EPOCHS, MAX_ROW_PASSES / n_rows)
    if epochs >= whole:
        return whole * round(epochs / whole)
    return max(1, 2 ** int(math.log2(epochs + 1)) - 1) if epochs > 1 else 1


def choose_n_networks(n_estimators: str | int, n_rows: int, wanted: int | None = None) -> int:
    """Networks of the ensemble: for "auto" fewer where rows are many, of which each then has more than enough.

    An architecture may want another number.
    """
    if n_estimators != "auto":
        return int(n_estimators)
    if wanted is not None:
        return wanted
    return (N_NETWORKS, *FEWER_NETWORKS)[bisect_right(MANY_ROWS, n_rows)]


def choose_n_folds(n_estimators: str | int, n_networks: int) -> int:
    """Folds of which each network holds out one: with fewer networks for "auto" no more rows are held out."""
    return max(n_networks, N_NETWORKS) if n_estimators == "auto" and n_networks > 1 else n_networks


def size_record(n_estimators: str | int, max_epochs: str | int, plan: Plan, n_rows: int) -> tuple[StepRecord, ...]:
    """The record of a table so large that "auto" asks for fewer networks or epochs; none for others."""
    fewer = []
    if n_estimators == "auto" and plan.n_networks < N_NETWORKS:
        fewer.append(f"{plan.n_networks} networks instead of {N_NETWORKS}")
    if max_epochs == "auto" and plan.max_epochs < MIN_EPOCHS:
        fewer.append(f"at most {plan.max_epochs} epochs instead of {MIN_EPOCHS}")
    if not fewer:
        return ()
    because = f"{n_rows} rows are many: with fewer of both, training ends within minutes"
    evidence = {"rows": n_rows, "networks": plan.n_networks, "max_epochs": plan.max_epochs}
    return (StepRecord(3, "size of the training", " and ".join(fewer), because, evidence),)


def in_turn_record(n_estimators: str | int, max_epochs: str | int, plan: Plan, name: str) -> tuple[StepRecord, ...]:
    """The record of what "auto" asks for where networks are large and trained in turn; none if all was chosen."""
    chosen = []
    if n_estimators == "auto":
        chosen.append(f"{plan.n_networks} network{'s' if plan.n_networks > 1 else ''}")
    if max_epochs == "auto":
        chosen.append(f"at most {plan.max_epochs} epochs")
    if not chosen:
        return ()
    because = f"networks of the kind {name} are trained one after the other, not side by side"
    evidence = {"networks": plan.n_networks, "max_epochs": plan.max_epochs}
    return (StepRecord(3, "size of the training", " and ".join(chosen), because, evidence),)
