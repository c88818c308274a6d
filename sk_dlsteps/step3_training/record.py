"""Step 3 in words."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sk_dlsteps.exceptions import StepwiseWarning, level_of_the_caller
from sk_dlsteps.plan import Plan, StepRecord
from sk_dlsteps.step3_training.lr_finder import LRCurve
from sk_dlsteps.step3_training.schedules import describe_schedule

# A first layer whose gradient is shorter than this share of the last one's learns hardly anything, and
# a network with more dead units than this has lost much of its width.
VANISHED, MANY_DEAD = 1e-3, 0.5


def training_record(
    plan: Plan,
    curve: LRCurve | None,
    n_epochs: int,
    best_epochs: np.ndarray,
    best_losses: np.ndarray,
    rescues: np.ndarray,
    signals: Mapping[str, np.ndarray],
) -> StepRecord:
    """What was decided for training, and how it went.

    Parameters
    ----------
    plan : Plan
        The decisions.
    curve : LRCurve or None
        What the range test saw; None if the rate was given.
    n_epochs : int
        Epochs that were run.
    best_epochs, best_losses : ndarray of shape (K,)
        The epoch each network was kept from and its loss then: on validation
        rows where there are such, else on training rows.
    rescues : int ndarray of shape (K,)
        How often each network had to be put back to a finite state.
    signals : dict of ndarray of shape (K,)
        What the last look at each network saw: "gradient_norm_1" and so on, layer by layer, and "dead_units".

    """
    decision = (
        f"{plan.optimizer}, learning rate {plan.learning_rate:g}, {describe_schedule(plan.lr_schedule)}; "
        f"minibatches of {plan.batch_size}{_means(plan)}, at most {plan.max_epochs} "
        f"epoch{'s' if plan.max_epochs > 1 else ''}"
    )
    if len(plan.stages) > 1:
        decision += f"; each of the {len(plan.stages)} stages had a rate and a schedule of its own"
    evidence = {
        "learning_rate": plan.learning_rate,
        "alternatives": {} if curve is None else curve.alternatives,
        "networks": plan.n_networks,
        "epochs": n_epochs,
        "best_epochs": best_epochs.tolist(),
        "mean_best_loss": float(best_losses.mean()),
    }
    if plan.mixed_precision is not None:
        evidence["mixed_precision"] = plan.mixed_precision
    if plan.n_processes > 1:
        evidence["processes"] = plan.n_processes
    because = "the rate was chosen by you" if curve is None else f"rate: {curve.reason}"
    troubles = [
        *_exploded(rescues, evidence),
        *_unvalidated(best_losses, rescues),
        *_vanished(signals, best_losses, evidence),
    ]
    return StepRecord(3, "training", decision, "; ".join([because, *troubles]), evidence)


def interruption_record(interrupted: bool, n_epochs: int, max_epochs: int) -> tuple[StepRecord, ...]:
    """What ended a training before its time.

    Parameters
    ----------
    interrupted : bool
        Whether it was interrupted; there is nothing to tell otherwise.
    n_epochs, max_epochs : int
        Epochs that were run, and that there might have been.

    """
    if not interrupted:
        return ()
    decision = f"Ctrl-C ended training after {n_epochs} of at most {max_epochs} epochs"
    return (StepRecord(3, "interruption", decision, "on_interrupt='keep'; the best networks so far are the model"),)


def warn_of_interruption(n_epochs: int, max_epochs: int, is_stored: bool) -> None:
    """Tell that a fit ended before its time, and how it goes on.

    Parameters
    ----------
    n_epochs, max_epochs : int
        Epochs that were run, and that there might have been.
    is_stored : bool
        Whether the next fit goes on from a checkpoint.

    """
    way_on = (
        "`fit` on the same rows goes on from its `checkpoint`"
        if is_stored
        else "`fit` goes on from these networks with `warm_start=True`, and begins anew without"
    )
    warnings.warn(
        f"Training was interrupted after {n_epochs} of at most {max_epochs} epochs; the best networks so far are the "
        f"model. To train longer: {way_on}.",
        StepwiseWarning,
        stacklevel=level_of_the_caller(),
    )


def _means(plan: Plan) -> str:
    """How minibatches are computed, where that is out of the ordinary."""
    precision = "" if plan.mixed_precision is None else f" in {plan.mixed_precision}"
    return precision + (f" shared by {plan.n_processes} processes" if plan.n_processes > 1 else "")


def _exploded(rescues: np.ndarray, evidence: dict[str, Any]) -> Iterator[str]:
    """Tell of exploding gradients, if there were any."""
    if rescues.any():
        evidence["rescues"] = rescues.tolist()
        yield (
            f"gradients exploded in {int((rescues > 0).sum())} of {len(rescues)} networks, which went on from their "
            "last finite state with a smaller rate and clipped gradients"
        )


def _unvalidated(best_losses: np.ndarray, rescues: np.ndarray) -> Iterator[str]:
    """Tell of networks whose validation loss was never finite although nothing exploded."""
    lost = ~np.isfinite(best_losses) & (rescues == 0)
    if lost.any():
        yield f"no validation loss of {_share(lost)} was finite: there may be extreme values in the validation rows"


@dataclass(frozen=True)
class Signals:
    """What the last look at gradients and units says of each network.

    Attributes
    ----------
    layers : tuple of int
        Layers that train, from 1.
    norms : ndarray of shape (n_layers, K)
        Norms of their gradients.
    still, vanished : ndarray of bool of shape (K,)
        Whether no gradient is left at all, and whether the first layer's has nearly vanished.
    dead : ndarray of shape (K,), or (0,) if unknown
        Share of hidden units that answer to no row.

    """

    layers: tuple[int, ...]
    norms: np.ndarray
    still: np.ndarray
    vanished: np.ndarray
    dead: np.ndarray


def judge_signals(signals: Mapping[str, np.ndarray], best_losses: np.ndarray) -> Signals:
    """Tell networks whose gradients have vanished from those that learn.

    Parameters
    ----------
    signals : dict of ndarray of shape (K,)
        As for `training_record`.
    best_losses : ndarray of shape (K,)
        Where there is no loss there is no gradient either, and nothing is wrong.

    """
    names = [name for name in signals if name.startswith("gradient_norm_")]
    # Of a frozen layer nobody computed any.
    names = [name for name in names if not np.isnan(signals[name]).all()]
    norms = np.array([signals[name] for name in names])
    still = (norms == 0).all(0) & (best_losses > 0) if len(norms) else np.zeros(len(best_losses), dtype=bool)
    vanished = norms[0] < VANISHED * norms[-1] if len(norms) > 1 else np.zeros_like(still)
    layers = tuple(int(name.removeprefix("gradient_norm_")) for name in names)
    return Signals(layers, norms, still, vanished, signals.get("dead_units", np.zeros(0)))


def _vanished(signals: Mapping[str, np.ndarray], best_losses: np.ndarray, evidence: dict[str, Any]) -> Iterator[str]:
    """Tell of networks whose gradients have vanished, or many of whose units are dead."""
    judged = judge_signals(signals, best_losses)
    still, vanished, dead = judged.still, judged.vanished, judged.dead
    if still.any():
        yield f"no gradient is left in {_share(still)}, which learn nothing more; a smaller learning rate may help"
    if vanished.any():
        yield (
            f"the first layer's gradient has nearly vanished in {_share(vanished)}; fewer layers, relu, or "
            "batch_norm=True let it learn again"
        )
    if (still | vanished).any():
        evidence["gradient_norms"] = judged.norms.tolist()
    if (dead > MANY_DEAD).any():
        evidence["dead_units"] = dead.tolist()
        yield (
            f"most units of {_share(dead > MANY_DEAD)} no longer answer to any row; a smaller learning rate or "
            "batch_norm=True helps"
        )


def _share(mask: np.ndarray) -> str:
    """How many of the networks."""
    return f"{int(mask.sum())} of {len(mask)} networks"
