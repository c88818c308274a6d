"""Gradients that vanish or explode, and units that are dead, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sk_dlsteps.diagnosis.actions import calm_the_rate
from sk_dlsteps.diagnosis.finding import Finding
from sk_dlsteps.diagnosis.subject import NotLooked, Subject
from sk_dlsteps.step3_training.record import MANY_DEAD, VANISHED, judge_signals


def look_at_gradients(subject: Subject) -> Iterator[Finding]:
    """Read what the training saw of gradients and units.

    Parameters
    ----------
    subject : Subject
        Its rows are not looked at.

    Yields
    ------
    finding : Finding
        exploding_gradients, vanishing_gradients, dead_units.

    """
    net = subject.net
    if not hasattr(net, "signals_"):
        raise NotLooked("a stream's networks keep no gradients; fit the model on a table")
    yield from _exploding(subject, np.asarray(net.rescues_))
    signals = judge_signals(net.signals_, np.asarray(net.best_losses_))
    layers = [
        {"layer": int(i), "mean gradient norm": float(np.nanmean(norms))}
        for i, norms in zip(signals.layers, signals.norms, strict=True)
    ]
    fixable = subject.parameters["module"] == "mlp" and not subject.model.plan_.batch_norm
    norm = "batch_norm=True" if fixable else "fewer layers"
    still = signals.still | signals.vanished
    if still.any():
        action = "activation='relu'" if subject.model.plan_.activation == "tanh" and fixable else norm
        yield Finding(
            4,
            "vanishing_gradients",
            f"the first layer's gradient is below {VANISHED:g} of the last one's, or none is left, in "
            f"{int(still.sum())} of {len(still)} networks",
            f"let it through: {action}",
            {"networks": int(still.sum()), "of": len(still), "share allowed": VANISHED, "layers": layers},
            severity=3,
        )
    dead = signals.dead > MANY_DEAD
    if dead.any():
        yield Finding(
            4,
            "dead_units",
            f"most hidden units of {int(dead.sum())} of {len(dead)} networks answer to no row any more",
            f"{calm_the_rate(subject.parameters, subject.model.plan_)}; or {norm}",
            {
                "dead share of each network": [round(float(share), 3) for share in signals.dead],
                "share allowed": MANY_DEAD,
                "layers": layers,
            },
        )


def _exploding(subject: Subject, rescues: np.ndarray) -> Iterator[Finding]:
    """Networks that had to be put back to a finite state."""
    n = int((rescues > 0).sum())
    if not n:
        return
    plan = subject.model.plan_
    clipped = plan.max_grad_norm is not None
    action = calm_the_rate(subject.parameters, plan) if clipped else "clip the gradients: max_grad_norm=1.0"
    yield Finding(
        4,
        "exploding_gradients",
        f"the loss or the weights of {n} of {len(rescues)} networks became infinite or NaN",
        action,
        {"rescues of each network": rescues.tolist(), "learning_rate": plan.learning_rate},
        severity=3,
    )
