"""What keeps a network from learning the training rows by heart: dropout, decay, batch norm, clipping, augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sk_dlsteps.plan import Plan, StepRecord


def choose_dropout(dropout: float | Sequence[float], n_hidden_layers: int) -> tuple[float, ...]:
    """Dropout rate of every hidden layer's output.

    Parameters
    ----------
    dropout : float or sequence of float
        A number acts before the last linear layer, a pair is ``(earlier, last)``, a longer
        sequence has one entry per hidden layer.
    n_hidden_layers : int
        How many there are.

    Returns
    -------
    rates : tuple of float
        One per hidden layer.

    Raises
    ------
    ValueError
        If a sequence of three or more has not one entry per hidden layer.

    Examples
    --------
    >>> choose_dropout(0.5, 3)
    (0.0, 0.0, 0.5)
    >>> choose_dropout((0.25, 0.5), 3)
    (0.25, 0.25, 0.5)

    """
    given = [float(p) for p in np.ravel(dropout)]
    if len(given) <= 2:
        earlier = given[0] if len(given) == 2 else 0.0
        return (*[earlier] * (n_hidden_layers - 1), given[-1])
    if len(given) != n_hidden_layers:
        raise ValueError(
            f"`dropout` must be a number, a pair (earlier layers, last layer) or one number for each of the "
            f"{n_hidden_layers} hidden layers, got {dropout!r}"
        )
    return tuple(given)


def regularisation_record(plan: Plan, max_grad_norm: Any) -> tuple[StepRecord, ...]:
    """The record of what was set, or is on for this architecture with ``max_grad_norm="auto"``; none for nothing."""
    bounds = {"norm": plan.max_grad_norm, "value": plan.max_grad_value}
    words = {
        "dropout": any(plan.dropout) and f"dropout {' and '.join(f'{p:g}' for p in plan.dropout)}",
        "weight_decay": plan.weight_decay and f"weight decay {plan.weight_decay:g}",
        "batch_norm": plan.batch_norm and "batch normalisation",
        "clipping": any(bounds.values())
        and f"gradients clipped to a {' and a '.join(f'{k} of {v:g}' for k, v in bounds.items() if v)}",
        "augmentation": plan.augmentation is not None and f"augmentation by {_name(plan.augmentation)}",
    }
    used = {name: phrase for name, phrase in words.items() if phrase}
    if not used:
        return ()
    because = "chosen by you"
    if isinstance(max_grad_norm, str) and plan.max_grad_norm is not None:
        because = "over many steps of a sequence gradients can explode"
        if len(used) > 1 or bounds["value"]:
            because = f"clipping: {because}; the rest was chosen by you"
    return (StepRecord(4, "regularisation", "; ".join(map(str, used.values())), because, {}),)


def _name(augmentation: Any) -> str:
    """An augmentation in words and on one line, without the shape it is given its inputs in."""
    augmentation = getattr(augmentation, "inner", augmentation)
    return getattr(augmentation, "__name__", None) or " ".join(repr(augmentation).split())
