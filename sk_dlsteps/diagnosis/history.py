"""The loss curves: a rate that is too high or too low, a training that ended too early or went on too long."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from sk_dlsteps.diagnosis.actions import calm_the_rate
from sk_dlsteps.diagnosis.finding import Finding
from sk_dlsteps.diagnosis.subject import NotLooked, Subject
from sk_dlsteps.step3_training.budget import N_STEPS

# A training loss that rises by so many losses of a constant guess altogether, where the rate does not, or whose
# first epoch's mean is so many of them. By measurement (docs/diagnosis.md): rates that the range test found stay
# below 0.2 and 2; ten times as high they are above.
RISES, FIRST_LOSS = 1.0, 5.0
# Most networks were best in the last tenth of the epochs, and the loss fell in the last quarter of them by more than
# this share of a constant guess's.
LATE, STILL_FALLS = 0.9, 0.01
# A first epoch with no less than this share of a constant guess's loss has learnt nothing yet; then so large a share of
# all progress is enough in the last quarter.
NOTHING_YET, STEADY = 0.9, 0.05
# A training loss below this share of a constant guess's is low enough, where there is no validation loss.
BY_HEART = 0.5
# With fewer steps than this share of the recipe's, epochs are missing; otherwise the rate is too low.
FEW_STEPS = 0.25
# All networks were best in this first part of the epochs, and the validation loss has risen since by this share.
EARLY, ROSE = 0.5, 0.1


def look_at_losses(subject: Subject) -> Iterator[Finding]:
    """Read the loss curves of the fit.

    Parameters
    ----------
    subject : Subject
        Its rows are not looked at.

    Yields
    ------
    finding : Finding
        rate_too_high, or rate_too_low or stopped_too_early; trained_too_long.

    """
    if any(record.title == "stream" for record in subject.model.steps_):
        raise NotLooked("the calls of partial_fit are no epochs of one training")
    rows = subject.model.history_
    train = np.array([row.get("train_loss", np.nan) for row in rows], dtype=float)
    if len(train) == 0 or not np.isfinite(train).any():
        raise NotLooked("the history holds no finite loss")
    valid = np.array([np.nan if row.get("valid_loss") is None else row["valid_loss"] for row in rows], dtype=float)
    rates = np.array([row["lr"] for row in rows], dtype=float)
    unsteady = _unsteady(subject, train, rates)
    if unsteady is not None:
        yield unsteady
    else:
        yield from _ended_early(subject, train, valid)
    yield from _went_on(subject, valid)


def _constant_loss(subject: Subject, first: float) -> float:
    """The loss of a constant guess, as far as it is known; else that of the first epoch."""
    plan = subject.model.plan_
    if plan.loss == "squared_error":
        return 1.0
    if plan.loss in ("cross_entropy", "binary_cross_entropy"):
        return math.log(plan.n_outputs if plan.loss == "cross_entropy" else 2)
    return first


def _unsteady(subject: Subject, train: np.ndarray, rates: np.ndarray) -> Finding | None:
    """A training loss that jumps about, or began far above a constant guess's."""
    known = np.isfinite(train)
    losses, rates = train[known], rates[known]
    constant = _constant_loss(subject, losses[0])
    falling = rates[1:] <= rates[:-1]
    rises = float(np.clip(np.diff(losses), 0, None)[falling].sum()) / constant
    first = float(losses[0]) / constant
    if rises <= RISES and first <= FIRST_LOSS:
        return None
    plan = subject.model.plan_
    return Finding(
        3,
        "rate_too_high",
        f"the training loss rose by {rises:.3g} times the loss of a constant guess altogether, and was {first:.3g} "
        "times that in the first epoch",
        calm_the_rate(subject.parameters, plan),
        {
            "learning_rate": plan.learning_rate,
            "rises": rises,
            "rises allowed": RISES,
            "first epoch": first,
            "first epoch allowed": FIRST_LOSS,
        },
    )


def _ended_early(subject: Subject, train: np.ndarray, valid: np.ndarray) -> Iterator[Finding]:
    """A loss that was still falling when the training ended."""
    plan, n = subject.model.plan_, len(train)
    if len(plan.stages) > 1:
        return
    validated = bool(np.isfinite(valid).any())
    losses = valid if validated else train
    constant = _constant_loss(subject, float(losses[np.isfinite(losses)][0]))
    lowest = np.fmin.accumulate(losses)
    fell = float(lowest[max(0, int(0.75 * n) - 1)] - lowest[-1]) / constant if n > 1 else np.inf
    late = float(np.mean(np.asarray(subject.net.best_epochs_) >= LATE * n))
    progress = float(lowest[np.isfinite(lowest)][0] - lowest[-1]) / constant
    is_slow = losses[0] >= NOTHING_YET * constant and fell > STEADY * progress
    # Without validation the last epoch is always the best, and the loss of rows learnt by heart always falls.
    by_heart = not validated and lowest[-1] < BY_HEART * constant
    if late <= 0.5 or by_heart or (fell < STILL_FALLS and not is_slow):
        return
    n_steps = n * math.ceil(plan.n_rows / plan.batch_size)
    evidence: dict[str, Any] = {
        "epochs": n,
        "steps": n_steps,
        "networks best at the end": late,
        "fall in the last quarter": fell if n > 1 else None,
        "fall since the first epoch": progress,
        "fall allowed": STILL_FALLS,
        "learning_rate": plan.learning_rate,
    }
    seen = f"the loss was still falling after {n} epoch{'s' if n > 1 else ''}"
    used_up = subject.parameters["max_epochs"] != "auto" and n >= plan.max_epochs
    if used_up and n_steps < FEW_STEPS * N_STEPS:
        yield Finding(3, "stopped_too_early", seen, f"train longer: max_epochs='auto', or more than {n}", evidence)
    elif subject.parameters["learning_rate"] != "auto":
        action = f"let the range test choose: learning_rate='auto', instead of {plan.learning_rate:g}"
        yield Finding(3, "rate_too_low", f"{seen} and {n_steps} steps", action, evidence)
    else:
        action = f"raise the rate: learning_rate={3 * plan.learning_rate:.2g}, or train longer: max_epochs={2 * n}"
        yield Finding(3, "stopped_too_early", f"{seen} and {n_steps} steps", action, evidence)


def _went_on(subject: Subject, valid: np.ndarray) -> Iterator[Finding]:
    """A training without early stopping whose validation loss rose for long."""
    if subject.parameters["early_stopping"] or not np.isfinite(valid).any() or len(valid) < 4:
        return
    best, rose = np.asarray(subject.net.best_epochs_), float(valid[-1] / np.nanmin(valid) - 1)
    if best.max() > EARLY * len(valid) or rose < ROSE:
        return
    yield Finding(
        4,
        "trained_too_long",
        f"the validation loss was lowest by epoch {best.max()} of {len(valid)} and has risen by {rose:.0%} since",
        "stop where it is lowest: early_stopping=True",
        {"best epochs": best.tolist(), "epochs": len(valid), "rise": rose, "rise allowed": ROSE},
        severity=1,
    )
