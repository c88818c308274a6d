"""Parameters that fail or do nothing for an estimator as it is set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sk_dlsteps.step3_training.optimizers import has_weight_decay
from sk_dlsteps.step3_training.schedules import steers_the_rate

# Without effect on a network of the user's own.
OF_THE_MLP = frozenset({"hidden_units", "hidden_size_factor", "n_hidden_layers", "dropout", "batch_norm"})


def parameters_without_effect(parameters: Mapping[str, Any]) -> set[str]:
    """Names of parameters that are not worth a search.

    Parameters
    ----------
    parameters : dict
        The estimator's, names without a prefix.

    Returns
    -------
    names : set of str
        Layers of the built-in network if there is a `module`, or weights to begin from, decay if the optimizer
        class knows none, the schedule if a callback steers the rate.

    Examples
    --------
    >>> import torch
    >>> from sk_dlsteps import StepwiseRegressor
    >>> parameters_without_effect(StepwiseRegressor(optimizer=torch.optim.Rprop).get_params())
    {'weight_decay'}

    """
    without: set[str] = set()
    if parameters["module"] != "mlp":
        without |= OF_THE_MLP
    if parameters.get("init_from") is not None:
        without |= OF_THE_MLP - {"dropout"}
    if not isinstance(parameters["optimizer"], str) and not has_weight_decay(parameters["optimizer"]):
        without.add("weight_decay")
    if steers_the_rate(parameters["callbacks"]):
        without.add("lr_schedule")
    return without
