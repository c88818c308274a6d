"""What to do next, in the article's order: the first that the model does not do yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sk_dlsteps.plan import Plan
from sk_dlsteps.step4_validation.effects import parameters_without_effect
from sk_dlsteps.step4_validation.techniques import DECOUPLED_DECAY, DROPOUT, MAX_LAYERS, WEIGHT_DECAY


def fit_training_better(parameters: Mapping[str, Any], plan: Plan) -> str:
    """The next thing to try where the training rows are not fitted (step 3).

    Parameters
    ----------
    parameters : dict
        The estimator's.
    plan : Plan
        What came of them.

    """
    without = parameters_without_effect(parameters)
    units = max(plan.hidden_units, default=0)
    tries = [
        (_regularises(plan), "fit the training rows first: set dropout=0.0, weight_decay=0.0, augmentation=None"),
        (parameters["learning_rate"] != "auto", "let the range test choose: learning_rate='auto'"),
        (
            parameters["max_epochs"] != "auto" and parameters["max_epochs"] < 100,
            f"train longer: max_epochs='auto', or more than the {parameters['max_epochs']} set",
        ),
        (plan.optimizer not in ("adam", "adamw"), "change the optimizer: optimizer='adam'"),
        (
            parameters["lr_schedule"] not in ("auto", "cosine", "cosine_restarts") and "lr_schedule" not in without,
            "let the rate decay: lr_schedule='cosine_restarts'",
        ),
        (
            parameters["hidden_units"] != "auto" and units < 64 and "hidden_units" not in without,
            f"take more units: hidden_units='auto', or more than {units}",
        ),
        (
            parameters["batch_size"] != "auto" and plan.batch_size > 256,
            f"take smaller minibatches than {plan.batch_size}: batch_size='auto'",
        ),
        (
            len(plan.hidden_units) < MAX_LAYERS and "n_hidden_layers" not in without,
            f"take more layers: n_hidden_layers={len(plan.hidden_units) + 1}",
        ),
    ]
    return next((words for holds, words in tries if holds), "refine the objective, or look for other inputs")


def fit_validation_better(parameters: Mapping[str, Any], plan: Plan) -> str:
    """The next thing to try where the rows held out are predicted worse than those trained on (step 4).

    Parameters
    ----------
    parameters : dict
        The estimator's.
    plan : Plan
        What came of them.

    """
    without = parameters_without_effect(parameters)
    decay = (DECOUPLED_DECAY if plan.optimizer == "adamw" else WEIGHT_DECAY)[0]
    dropout = plan.dropout
    tries = [
        (
            "dropout" not in without and not any(dropout),
            f"drop units out before the last layer: dropout={DROPOUT[0]:g}, up to {DROPOUT[1]:g}",
        ),
        (
            "dropout" not in without and len(dropout) > 1 and not all(dropout),
            f"drop units out in all layers: dropout=({DROPOUT[0]:g}, {max(dropout, default=0):g})",
        ),
        ("weight_decay" not in without and plan.weight_decay == 0, f"keep weights small: weight_decay={decay:g}"),
        ("batch_norm" not in without and not plan.batch_norm, "normalise hidden activations: batch_norm=True"),
        (
            plan.augmentation is None and parameters["augmentation"] is None,
            "get more training rows, or make some: "
            f"augmentation={'image' if np.size(plan.input_shape or ()) == 3 else 'mixup'!r}",
        ),
    ]
    last = "get more training rows, or look at the architecture: fewer hidden_units, another n_hidden_layers"
    return next((words for holds, words in tries if holds), last)


def calm_the_rate(parameters: Mapping[str, Any], plan: Plan) -> str:
    """How to lower the rate.

    Parameters
    ----------
    parameters : dict
        The estimator's.
    plan : Plan
        What came of them.

    """
    if parameters["learning_rate"] != "auto":
        return f"let the range test choose: learning_rate='auto', instead of {plan.learning_rate:g}"
    return f"lower the rate: learning_rate={plan.learning_rate / 3:.2g}"


def _regularises(plan: Plan) -> bool:
    """Whether anything holds the training fit back."""
    return any(plan.dropout) or plan.weight_decay > 0 or plan.augmentation is not None
