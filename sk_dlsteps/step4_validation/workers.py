"""Candidates of a search in batches on joblib's workers, of which any may die."""

from __future__ import annotations

import math
import warnings
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from sklearn.utils.parallel import Parallel, delayed

from sk_dlsteps.step4_validation.candidates import Scored, Trial, evaluate, last_step

# Most candidates of a batch: the more, the more networks train together, and the later their results come.
MOST_CANDIDATES = 15
# How often missing batches are run again before each candidate is tried by itself.
MAX_RESTARTS = 2
# Candidates that agree in these and in the number of layers can share a fleet.
SHAPE = ("module", "batch_size", "activation", "batch_norm", "augmentation", "optimizer", "momentum")


def has_workers(n_jobs: int | None) -> bool:
    """Whether candidates leave this process, by `n_jobs` and by joblib's active backend.

    Parameters
    ----------
    n_jobs : int or None
        As joblib takes it.

    Returns
    -------
    bool
        False also for a cluster of one worker, which joblib does not use.

    """
    return effective_n_jobs(n_jobs) > 1


def evaluate_on_workers(
    trial: Trial, X, y, candidates: list[dict[str, Any]], n_jobs: int | None
) -> Generator[Scored, None, None]:
    """Do what `evaluate` does, on joblib's workers.

    Parameters
    ----------
    trial : Trial
        What the candidates share.
    X, y : array-like
        All rows; joblib sends them once where its backend can.
    candidates : list of dict
        Parameters of each.
    n_jobs : int or None
        As joblib takes it.

    Yields
    ------
    scored : (int, int, dict)
        As `evaluate` does, a batch at a time.

    A worker that dies takes its batch with it, and with loky those of all others; what is missing
    is run again. A candidate whose worker dies even when it is alone counts as a failed fit.

    """
    missing = set(range(len(candidates)))
    for restart in range(MAX_RESTARTS + 1):
        if not missing:
            return
        # Smaller batches after a death, so that more is finished before the next.
        batches = _deal(trial, candidates, sorted(missing), effective_n_jobs(n_jobs) * 2**restart)
        try:
            for scored in _run(trial, X, y, candidates, batches, n_jobs):
                missing -= {number for number, _, _ in scored}
                yield from scored
        except BaseException as error:
            if not _is_death(error):
                raise
    for number in sorted(missing):
        yield from _alone(trial, X, y, candidates, number, n_jobs)


def _alone(trial: Trial, X, y, candidates: list[dict[str, Any]], number: int, n_jobs: int | None) -> Iterator[Scored]:
    """A candidate by itself, so that it is known who kills the workers."""
    try:
        for scored in _run(trial, X, y, candidates, [[number]], n_jobs):
            yield from scored
    except BaseException as error:
        if not _is_death(error):
            raise
        reason = RuntimeError(
            f"The worker process died each time it fitted {candidates[number]}. It may have run short of memory: give "
            "it more, or search in this process with `n_jobs=1` outside of `joblib.parallel_config`"
        )
        reason.__cause__ = error
        for fold, (_, test) in enumerate(trial.splits):
            yield number, fold, trial.failed(reason, len(test))


def _is_death(error: BaseException) -> bool:
    """Whether the worker died, in loky's words or Dask's, rather than what it was doing failed."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, BrokenExecutor) or bool(names & {"KilledWorker", "FutureCancelledError"})


def _run(trial: Trial, X, y, candidates, batches: list[list[int]], n_jobs: int | None) -> Iterator[list[Scored]]:
    """The results of each batch, in the order in which they come back."""
    backend, _ = get_active_backend()
    kind = "generator_unordered" if backend.supports_return_generator else "list"
    # One of our batches is one task of joblib's, and all are handed out at once: workers may join later.
    parallel = Parallel(n_jobs=n_jobs, return_as=kind, batch_size=1, pre_dispatch="all")
    results = parallel(
        delayed(_work)(trial, X, y, [candidates[number] for number in batch], batch) for batch in batches
    )
    try:
        for scored in results:  # noqa: UP028 (`yield from` would close the results itself, and joblib would warn)
            yield scored
    finally:
        if kind != "list":
            # Of batches that nobody waits for any more; an interruption wants just that.
            with warnings.catch_warnings(action="ignore"):
                results.close()


def _work(trial: Trial, X, y, candidates: list[dict[str, Any]], numbers: list[int]) -> list[Scored]:
    """What a worker does with a batch."""
    return [(numbers[i], fold, result) for i, fold, result in evaluate(trial, X, y, candidates)]


def _deal(trial: Trial, candidates: list[dict[str, Any]], numbers: list[int], n_workers: int) -> list[list[int]]:
    """Batches of candidates that can share a fleet, each kind dealt out to all workers; the largest first."""
    kinds: dict[tuple[str, ...], list[int]] = {}
    for number in numbers:
        kinds.setdefault(_shape(trial, candidates[number]), []).append(number)
    batches = []
    for alike in kinds.values():
        n_batches = min(len(alike), max(n_workers, math.ceil(len(alike) / MOST_CANDIDATES)))
        batches += [alike[start::n_batches] for start in range(n_batches)]
    return sorted(batches, key=len, reverse=True)


def _shape(trial: Trial, params: dict[str, Any]) -> tuple[str, ...]:
    """Equal for candidates that can share a fleet."""
    last = last_step(trial.with_parameters(params))[0].get_params(deep=False)
    units = last.get("hidden_units")
    n_layers = len(units) if isinstance(units, Sequence | np.ndarray) and not isinstance(units, str) else None
    return (str(n_layers or last.get("n_hidden_layers")), *(str(last.get(name)) for name in SHAPE))
