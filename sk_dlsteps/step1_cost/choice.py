"""Where the cost is chosen: from the target, by name, or as the user's own."""

from __future__ import annotations

import copy
import difflib
import inspect
from collections.abc import Sequence
from typing import Any

from torch import nn

from sk_dlsteps.plan import StepRecord
from sk_dlsteps.step1_cost.cost import (
    AbsoluteError,
    BinaryCrossEntropy,
    Cost,
    CrossEntropy,
    HuberLoss,
    LabelsBinaryCrossEntropy,
    PoissonLoss,
    SmoothedCrossEntropy,
    SquaredError,
)
from sk_dlsteps.step1_cost.custom import CustomCost, LogProbabilityCost, OneLogitCost
from sk_dlsteps.step1_cost.metric import ContrastiveLoss, TripletLoss
from sk_dlsteps.step1_cost.quantile import QUANTILES, QuantileLoss

_AUTO = {
    "regression": SquaredError,
    "binary": BinaryCrossEntropy,
    "multiclass": CrossEntropy,
    "multilabel": LabelsBinaryCrossEntropy,
}
_WHY = {
    "regression": "the target is a number",
    "binary": "the target has two classes",
    "multiclass": "the target has more than two classes",
    "multilabel": "each row may have several labels",
}
_REGRESSION: dict[str, type[Cost]] = {
    cost.name: cost for cost in (SquaredError, AbsoluteError, HuberLoss, PoissonLoss, QuantileLoss)
}
_CLASSES: dict[str, type[Cost]] = {
    cost.name: cost for cost in (CrossEntropy, SmoothedCrossEntropy, TripletLoss, ContrastiveLoss)
}
COSTS: dict[str, dict[str, type[Cost]]] = {
    "regression": _REGRESSION,
    "binary": {BinaryCrossEntropy.name: BinaryCrossEntropy, **_CLASSES},
    "multiclass": _CLASSES,
    "multilabel": {LabelsBinaryCrossEntropy.name: LabelsBinaryCrossEntropy},
}
# How costs that fit each task want their targets.
_SCALINGS = {"regression": ("standard", "scale"), "multilabel": ("indicators",)}
# Torch's criteria that fit each task; the others want probabilities, pairs or further inputs.
_CLASS_CRITERIA: tuple[type[nn.Module], ...] = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)
_CRITERIA: dict[str, tuple[type[nn.Module], ...]] = {
    "regression": (nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss, nn.PoissonNLLLoss),
    "binary": (*_CLASS_CRITERIA, nn.BCEWithLogitsLoss),
    "multiclass": _CLASS_CRITERIA,
    "multilabel": (nn.BCEWithLogitsLoss,),
}


def choose_cost(loss: Any, task: str, quantiles: Sequence[float] = QUANTILES) -> tuple[Cost, StepRecord]:
    """Resolve `loss` for a task.

    Parameters
    ----------
    loss : str, Cost or torch criterion (class or instance) or callable
        "auto" follows the article's step 1.
    task : {"regression", "binary", "multiclass", "multilabel"}
        What the target asks for.
    quantiles : sequence of float
        Levels for "quantile".

    Returns
    -------
    cost : Cost
        The cost to train with.
    record : StepRecord
        The decision and its reason.

    Raises
    ------
    ValueError
        If the cost is unknown or does not fit the task.

    """
    if isinstance(loss, str):
        kind = _AUTO[task] if loss == "auto" else _named(loss, task)
        cost = QuantileLoss(quantiles) if kind is QuantileLoss else kind()
    elif isinstance(loss, Cost) or (inspect.isclass(loss) and issubclass(loss, Cost)):
        cost = _given(loss, task)
    elif isinstance(loss, nn.Module) or inspect.isclass(loss):
        cost = _from_criterion(loss, task)
    else:
        cost = CustomCost(loss, getattr(loss, "__name__", type(loss).__name__), task)
    because = _WHY[task] if loss == "auto" else "chosen by you"
    return cost, StepRecord(1, "cost function", cost.title, because, {"loss": cost.name})


def learns_embeddings(loss: Any) -> bool:
    """Whether a value of `loss` is a cost that learns embeddings: by name, as a class or as an instance."""
    kind = _CLASSES.get(loss) if isinstance(loss, str) else loss
    return isinstance(kind, Cost | type) and getattr(kind, "embeds", False) is True


def _named(loss: str, task: str) -> type[Cost]:
    """The kind of cost of that name, or an error that lists those that fit the task."""
    if loss in COSTS[task]:
        return COSTS[task][loss]
    elsewhere = [other for other, costs in COSTS.items() if loss in costs]
    if elsewhere:
        problem = f"is a cost for a {' or '.join(elsewhere)} target; this one is {task}."
    else:
        near = difflib.get_close_matches(loss, ["auto", *COSTS[task]], n=1)
        problem = f"is unknown; did you mean {near[0]!r}?" if near else "is unknown."
    raise ValueError(f"`loss={loss!r}` {problem} Use 'auto' or one of {sorted(COSTS[task])}.")


def _given(loss: Cost | type[Cost], task: str) -> Cost:
    """A copy of a cost that is given as such, or an error if it is for another task."""
    cost = loss() if inspect.isclass(loss) else copy.deepcopy(loss)
    if any(type(cost) in costs.values() for costs in COSTS.values()):
        _named(cost.name, task)
    elif cost.target_scaling not in _SCALINGS.get(task, ("codes",)):
        raise ValueError(
            f"`loss={type(cost).__name__}` takes targets as {cost.target_scaling!r}, which does not fit a {task} "
            f"target. Use 'auto' or one of {sorted(COSTS[task])}."
        )
    return cost


def _from_criterion(loss: Any, task: str) -> Cost:
    """A cost around a torch criterion, reduced to one loss per row."""
    kind = loss if inspect.isclass(loss) else type(loss)
    known = tuple(criterion for fitting in _CRITERIA.values() for criterion in fitting)
    torchs_own = kind.__module__.startswith("torch.nn.")
    of_torch = torchs_own or issubclass(kind, known)
    if of_torch and not issubclass(kind, _CRITERIA[task]):
        raise ValueError(
            f"`loss={kind.__name__}` does not fit a {task} target. Use 'auto' or one of {sorted(COSTS[task])}."
        )
    criterion: Any = kind() if inspect.isclass(loss) else copy.deepcopy(loss)
    if hasattr(criterion, "reduction"):
        criterion.reduction = "none"
    if issubclass(kind, nn.PoissonNLLLoss):
        if not criterion.log_input:
            raise ValueError(
                "`loss=PoissonNLLLoss(log_input=False)` has no log link, without which predictions could be negative. "
                "Use loss='poisson'."
            )
        return PoissonLoss()
    wrapper: type[CustomCost] = CustomCost
    if issubclass(kind, nn.NLLLoss):
        wrapper = LogProbabilityCost
    elif issubclass(kind, nn.BCEWithLogitsLoss) and task == "binary":
        wrapper = OneLogitCost
    return wrapper(criterion, kind.__name__, task, compares_rows=not torchs_own)
