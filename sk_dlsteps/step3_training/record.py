"""Step 3 in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    history: Sequence[Mapping[str, Any]],
    best_epochs: np.ndarray,
    best_losses: np.ndarray,
    rescues: np.ndarray,
) -> StepRecord:
    """What was decided for training, and how it went.

    Parameters
    ----------
    plan : Plan
        The decisions.
    curve : LRCurve or None
        What the range test saw; None if the rate was given.
    history : sequence of dict
        One row per epoch that was run.
    best_epochs, best_losses : ndarray of shape (K,)
        The epoch each network was kept from and its loss then: on validation
        rows where there are such, else on training rows.
    rescues : int ndarray of shape (K,)
        How often each network had to be put back to a finite state.

    """
    decision = (
        f"{plan.optimizer}, learning rate {plan.learning_rate:g}, {describe_schedule(plan.lr_schedule)}; "
        f"minibatches of {plan.batch_size}, at most {plan.max_epochs} epochs"
    )
    evidence = {
        "learning_rate": plan.learning_rate,
        "alternatives": {} if curve is None else curve.alternatives,
        "networks": plan.n_networks,
        "epochs": len(history),
        "best_epochs": best_epochs.tolist(),
        "mean_best_loss": float(best_losses.mean()),
    }
    because = "the rate was chosen by you" if curve is None else f"rate: {curve.reason}"
    troubles = [*_exploded(rescues, evidence), *_vanished(history, evidence)]
    return StepRecord(3, "training", decision, "; ".join([because, *troubles]), evidence)


def _exploded(rescues: np.ndarray, evidence: dict[str, Any]) -> Iterator[str]:
    """Tell of exploding gradients, if there were any."""
    if rescues.any():
        evidence["rescues"] = rescues.tolist()
        yield (
            f"gradients exploded in {int((rescues > 0).sum())} of {len(rescues)} networks, which went on from their "
            "last finite state with a smaller rate and clipped gradients"
        )


def _vanished(history: Sequence[Mapping[str, Any]], evidence: dict[str, Any]) -> Iterator[str]:
    """Tell of vanishing gradients and dead units, if there are many."""
    last = history[-1] if len(history) else {}
    norms = [value for name, value in last.items() if name.startswith("gradient_norm_")]
    if len(norms) > 1 and norms[0] < VANISHED * norms[-1]:
        evidence["gradient_norms"] = norms
        yield (
            "the first layer's gradient has nearly vanished; fewer layers, relu, or batch_norm=True let it learn again"
        )
    dead = last.get("dead_units", 0.0)
    if dead > MANY_DEAD:
        evidence["dead_units"] = dead
        yield f"{dead:.0%} of the units no longer answer to any row; a smaller learning rate or batch_norm=True helps"
