"""Step 3 in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

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


def _vanished(signals: Mapping[str, np.ndarray], best_losses: np.ndarray, evidence: dict[str, Any]) -> Iterator[str]:
    """Tell of networks whose gradients have vanished, or many of whose units are dead."""
    norms = np.array([values for name, values in signals.items() if name.startswith("gradient_norm_")])
    # Of a frozen layer nobody computed any.
    norms = norms[~np.isnan(norms).all(1)] if len(norms) else norms
    # Where there is no loss there is no gradient either, and nothing is wrong.
    still = (norms == 0).all(0) & (best_losses > 0) if len(norms) else np.zeros(len(best_losses), dtype=bool)
    if still.any():
        yield f"no gradient is left in {_share(still)}, which learn nothing more; a smaller learning rate may help"
    vanished = norms[0] < VANISHED * norms[-1] if len(norms) > 1 else np.zeros_like(still)
    if vanished.any():
        yield (
            f"the first layer's gradient has nearly vanished in {_share(vanished)}; fewer layers, relu, or "
            "batch_norm=True let it learn again"
        )
    if (still | vanished).any():
        evidence["gradient_norms"] = norms.tolist()
    dead = signals.get("dead_units", np.zeros(0))
    if (dead > MANY_DEAD).any():
        evidence["dead_units"] = dead.tolist()
        yield (
            f"most units of {_share(dead > MANY_DEAD)} no longer answer to any row; a smaller learning rate or "
            "batch_norm=True helps"
        )


def _share(mask: np.ndarray) -> str:
    """How many of the networks."""
    return f"{int(mask.sum())} of {len(mask)} networks"
