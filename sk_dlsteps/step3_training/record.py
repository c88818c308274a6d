"""Step 3 in words."""

from __future__ import annotations

import numpy as np

from sk_dlsteps.plan import Plan, StepRecord
from sk_dlsteps.step3_training.lr_finder import LRCurve
from sk_dlsteps.step3_training.schedules import describe_schedule


def training_record(
    plan: Plan, curve: LRCurve | None, n_epochs: int, best_epochs: np.ndarray, best_losses: np.ndarray
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

    """
    decision = (
        f"{plan.optimizer}, learning rate {plan.learning_rate:g}, {describe_schedule(plan.lr_schedule)}; "
        f"minibatches of {plan.batch_size}, at most {plan.max_epochs} epochs"
    )
    evidence = {
        "learning_rate": plan.learning_rate,
        "alternatives": {} if curve is None else curve.alternatives,
        "networks": plan.n_networks,
        "epochs": n_epochs,
        "best_epochs": best_epochs.tolist(),
        "mean_best_loss": float(best_losses.mean()),
    }
    because = "the rate was chosen by you" if curve is None else f"rate: {curve.reason}"
    return StepRecord(3, "training", decision, because, evidence)
