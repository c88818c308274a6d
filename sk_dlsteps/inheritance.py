"""What a fit takes over with `init_from`: parameters, inputs and weights of a fitted estimator, or weights alone."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from torch import nn

from sk_dlsteps.engine.encoding import PiecewiseLinear
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.layers import calls_noted
from sk_dlsteps.engine.module_fleet import ModuleFleet
from sk_dlsteps.engine.taking_over import Taken, load_state, take_networks
from sk_dlsteps.inputs.features import RAMP_STD
from sk_dlsteps.inputs.scaler import ScaledInputs, Statistics, check_reach
from sk_dlsteps.inputs.target import Target
from sk_dlsteps.plan import StepRecord
from sk_dlsteps.sameness import same_setting
from sk_dlsteps.step1_cost.cost import Cost
from sk_dlsteps.step2_architecture.custom import PREFIX

# What is a fitted estimator's own, and goes on in the networks that begin as its.
INHERITED = (
    "hidden_units",
    "hidden_size_factor",
    "n_hidden_layers",
    "activation",
    "module",
    "input_shape",
    "scaler",
    "input_clip",
    "numeric_encoding",
    "batch_norm",
    "categorical_features",
)


def fitted_source(init_from: Any) -> Any:
    """The fitted estimator that `init_from` is, a frozen one unwrapped; None if it is a state or a module, or None."""
    source = init_from.estimator if isinstance(init_from, FrozenEstimator) else init_from
    return source if hasattr(source, "pipeline_") and hasattr(source, "plan_") else None


def with_inherited(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters of which those that a fitted source decides are the source's; the same without such a source.

    Raises
    ------
    ValueError
        If one of them was set to something else.

    """
    source = fitted_source(parameters.get("init_from"))
    if source is None:
        return _with_module(parameters)
    theirs = _settings(source)
    defaults = inspect.signature(type(source)).parameters
    names = [*INHERITED, *sorted({name for name in (*parameters, *theirs) if name.startswith(PREFIX)})]
    out = dict(parameters)
    for name in names:
        default = defaults[name].default if name in defaults else None
        given, known = parameters.get(name, default), theirs.get(name, default)
        if same_setting(given, default) or same_setting(given, known):
            chosen = known
        elif any(same_setting(given, value) for value in _resolved(source, name)):
            chosen = given if name == "input_shape" else known
        else:
            was = repr(known) if name in theirs else "the module's own default"
            raise ValueError(
                f"`{name}={given!r}` is not what the networks of `init_from` were made with, which is {was}; leave it "
                "out, or fit without `init_from`"
            )
        if name in theirs:
            # A ready module has a head for the source's target, which may not be this one.
            out[name] = WithHead(chosen) if name == "module" and isinstance(chosen, nn.Module) else chosen
    if out["n_estimators"] == "auto":
        out["n_estimators"] = source.plan_.n_networks
    return out


def _settings(source: Any) -> dict[str, Any]:
    """What a source's networks were made with, a ready module without what gave it another head."""
    settings = source._memory.settings
    return {name: value.module if isinstance(value, WithHead) else value for name, value in settings.items()}


def _resolved(source: Any, name: str) -> list[Any]:
    """What a parameter may be to say in so many words what a source's networks are."""
    if name == "input_shape":
        return [source.input_shape_]
    if name != "hidden_units":
        return []
    widths = source.plan_.hidden_units
    return [widths, *(widths[:1] if len(set(widths)) == 1 else ())]


def _with_module(parameters: dict[str, Any]) -> dict[str, Any]:
    """With a torch module to begin from, which is the architecture if no other one was named."""
    given = parameters.get("init_from")
    if isinstance(parameters.get("module"), str) and parameters["module"] == "mlp":
        if isinstance(given, nn.Module):
            return {**parameters, "module": WithHead(given)}
        if isinstance(given, Mapping):
            raise ValueError(
                "`init_from` is a state dict, and `module` is the built-in network, whose weights have other names; "
                "give the fitted estimator itself, or the `module` that the state belongs to"
            )
    return parameters


class WithHead:
    """Copies of a module, whose last linear layer is new where it has another number of outputs.

    Parameters
    ----------
    module : Module
        Stays as it is.

    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.__name__ = type(module).__name__

    def __call__(self, n_outputs: int, input_shape: tuple[int, ...]) -> nn.Module:
        """A copy with so many outputs; its last linear layer is the one that is called last."""
        own = copy.deepcopy(self.module)
        linear = [(name, part) for name, part in own.named_modules() if isinstance(part, nn.Linear)]
        ran = _called(own, input_shape)
        linear.sort(key=lambda pair: ran.index(pair[0]) if pair[0] in ran else -1)
        if not linear:
            raise ValueError(
                f"`init_from={self.__name__}` has no linear layer to make a new head of; give `module`, a factory of "
                "networks for this target, and the state dict of yours as `init_from`"
            )
        name, last = linear[-1]
        if last.out_features == n_outputs:
            return own
        bias = last.bias is not None
        lazy = isinstance(last, nn.LazyLinear)
        head = nn.LazyLinear(n_outputs, bias) if lazy else nn.Linear(last.in_features, n_outputs, bias)
        if not name:
            return head
        parent, _, child = name.rpartition(".")
        setattr(own.get_submodule(parent), child, head)
        return own


def _called(module: nn.Module, shape: tuple[int, ...]) -> list[str]:
    """Paths of a module's parts in the order in which they are called, as far as it comes with rows of that shape."""
    parts = copy.deepcopy(module).float().eval()
    # What is wrong with the module says the check of the one that is built.
    with calls_noted(parts) as called, torch.no_grad(), contextlib.suppress(Exception):
        parts(torch.zeros(2, *shape, dtype=torch.float32))
    return called


def inherited_inputs(source: Any, X: Any, n_networks: int) -> dict[str, Any]:
    """The table as a source's networks get it, with what each of them does to it; fields of `Inputs`.

    Parameters
    ----------
    source : fitted estimator
        Whose columns, scaler and statistics.
    X : array-like of shape (n_rows, n_features)
        Checked rows.
    n_networks : int
        Networks that begin as the source's, from the first one again where it has fewer.

    """
    steps, fleet = source.pipeline_.named_steps, source.pipeline_[-1].module_
    encoder, scaler = steps.get("columns"), steps["scaler"]
    Z = scaler.transform(X if encoder is None else encoder.transform(X))
    check_reach(Z)
    statistics = Statistics(
        chosen_networks(fleet.input_center, n_networks), chosen_networks(fleet.input_factor, n_networks)
    )
    ramps = fleet.input_encoding
    encoding = None
    if ramps is not None:
        parts = (chosen_networks(part, n_networks) for part in (ramps.slope, ramps.offset, ramps.low, ramps.high))
        encoding = PiecewiseLinear(ramps.columns.cpu().clone(), *parts)
    n_columns, n_added = fleet.input_center.shape[-1], 0 if ramps is None else ramps.n_added
    n_missing = int(np.isnan(Z).sum()) if isinstance(Z, np.ndarray) else 0
    record = StepRecord(
        2,
        "inputs",
        "columns, scaling and statistics of the networks that were taken over",
        "weights mean what they did only for inputs prepared as theirs were",
        {"columns": source.n_features_in_, "missing numbers": n_missing},
    )
    return {
        "encoder": encoder,
        "scaled": ScaledInputs(
            scaler, Z, n_columns, statistics, statistics, False, fleet.input_clip is not None, "scaled"
        ),
        "embeddings": _embeddings(fleet),
        "stages": {
            "input_center": statistics.center,
            "input_factor": statistics.factor,
            "input_clip": fleet.input_clip,
            "input_encoding": encoding,
            "fills_gaps": fleet.fills_gaps or n_missing > 0,
        },
        "n_inputs": source.plan_.n_inputs,
        "power": n_columns + n_added * RAMP_STD**2,
        "records": (record,),
    }


def chosen_networks(tensor: torch.Tensor, n_networks: int) -> torch.Tensor:
    """What belongs to a source's networks for so many that begin as they ended, from the first one again."""
    return tensor.cpu()[torch.arange(n_networks) % len(tensor)].clone()


def _embeddings(fleet: Fleet) -> tuple[tuple[int, int], ...]:
    """Codes and sizes of the vectors of each column of codes."""
    if not fleet.n_codes:
        return ()
    if isinstance(fleet, ModuleFleet):
        tables = cast(Any, fleet.modules_[0]).tables
        return tuple((table.num_embeddings, table.embedding_dim) for table in tables)
    return tuple((stack.shape[1], stack.shape[2]) for stack in cast(Any, fleet).embeddings.stacks)


@dataclass(frozen=True)
class Heritage:
    """Weights to begin from.

    Attributes
    ----------
    init_from : fitted estimator, dict of tensors or Module
        Where they come from.
    keeps_head : bool
        Whether a fitted estimator's last layer is taken over too.
    because : str
        Why, or why not.

    """

    init_from: Any
    keeps_head: bool = False
    because: str = "the tensors of the same name and shape"

    @classmethod
    def of(cls, init_from: Any, target: Target, cost: Cost, Z: Any, weight: np.ndarray | None) -> Heritage | None:
        """What there is to take over for the target of a scaled table; None without any."""
        if init_from is None:
            return None
        source = fitted_source(init_from)
        if source is None:
            return cls(init_from)
        return cls(source, *_head(source, target, cost, Z, weight))

    @property
    def statistics(self) -> dict[str, torch.Tensor]:
        """Of the targets, by the names of a fleet's, where the head is kept and means values in these units."""
        if not self.keeps_head:
            return {}
        fleet = self.init_from.pipeline_[-1].module_
        names = ("target_center", "target_scale", "target_origin", "target_unit")
        return {name: own for name in names if (own := getattr(fleet, name)) is not None}

    def fill(self, fleet: Fleet) -> Taken:
        """Give a fresh fleet its weights."""
        if fitted_source(self.init_from) is not None:
            return take_networks(fleet, self.init_from.pipeline_[-1].module_, self.keeps_head)
        state = self.init_from.state_dict() if isinstance(self.init_from, nn.Module) else self.init_from
        return load_state(cast(ModuleFleet, fleet), state)

    def record(self, taken: Taken, layers: Sequence[str], share: float = 1.0) -> StepRecord:
        """What was taken over, and what is new; hidden layers may be the source's by a share only."""
        source = fitted_source(self.init_from)
        kept = [layer for layer in layers if layer not in taken.new]
        new = f"; {', '.join(taken.new)} new" if taken.new else ""
        new += f"; hidden layers begin as {share:g} of theirs and {1 - share:g} of fresh ones" if share < 1 else ""
        evidence: dict[str, Any] = {"taken over": taken.names, "new layers": taken.new, "share of the source": share}
        if source is not None:
            evidence["networks of the source"] = source.plan_.n_networks
            evidence["task of the source"] = source.plan_.task
        return StepRecord(2, "transfer", f"{', '.join(kept)} taken over{new}", self.because, evidence)


def _head(source: Any, target: Target, cost: Cost, Z: Any, weight: np.ndarray | None) -> tuple[bool, str]:
    """Whether a source's last layer says what is to be predicted now, and why (not).

    It does for the same task, cost and number of outputs and, in a classification, the same classes. An embedding is
    none of any classes. Of a regression nobody tells what the values stand for: they are the same if the source's
    predictions of each column are better than its mean.
    """
    plan = source.plan_
    if cost.embeds and plan.loss == cost.name and plan.n_outputs == cost.n_outputs(target.n_columns):
        return True, "the head is kept as a start, since an embedding of the same size and cost suits other classes too"
    if plan.task != target.task:
        return False, f"the head is new, since the source's task was {plan.task}"
    if plan.n_outputs != cost.n_outputs(target.n_columns):
        return False, f"the head is new, since the source had {plan.n_outputs} outputs"
    if plan.loss != cost.name:
        return False, f"the head is new, since the source's cost was {plan.loss}"
    if target.classes is not None and not np.array_equal(source.classes_, target.labels):
        return False, "the head is new, since the source had other classes"
    if target.classes is not None:
        return True, "the head is kept as a start, since classes and cost are the source's"
    # A column that never varied is answered with a constant for ever.
    stuck = (source.pipeline_[-1].module_.target_scale == 0).any(0).flatten().cpu().numpy()
    if (stuck & (np.ptp(target.values, axis=0) > 0)).any():
        return False, "the head is new, since a column of the target did not vary in the source's rows"
    left = unexplained(cost.point(source.pipeline_[-1].predict_proba(Z)), target.values, weight)
    if not left < 1:
        return False, f"the head is new, since the source's predictions leave {left:.2f} of the target's variance"
    return (
        True,
        f"the head is kept as a start, since the source's predictions leave {left:.2f} of the target's variance",
    )


def unexplained(predicted: np.ndarray, values: np.ndarray, weight: np.ndarray | None) -> float:
    """Share of the variance of some values (n_rows, n_columns) that predictions leave, that of the worst column.

    Columns without variance do not count.
    """
    left = np.average((predicted - values) ** 2, 0, weight)
    variance = np.average((values - np.average(values, 0, weight)) ** 2, 0, weight)
    varies = variance > 0
    return float(np.max(left[varies] / variance[varies])) if varies.any() else np.inf


def check_columns(source: Any, names: Mapping[str, Any]) -> None:
    """Raise if a table has other columns than those that a source's networks know."""
    pairs: dict[str, tuple[Any, Any]] = {
        "shape of rows": (source.input_shape_, names["input_shape_"]),
        "number of columns": (source.n_features_in_, names["n_features_in_"]),
    }
    if hasattr(source, "feature_names_in_") and "feature_names_in_" in names:
        pairs["names of columns"] = list(source.feature_names_in_), list(names["feature_names_in_"])
    for what, (before, now) in pairs.items():
        if before != now:
            raise ValueError(
                f"X must have the columns that the networks of `init_from` were trained on: their {what} was "
                f"{before!r} and is {now!r} now. {_way_out(before, now)}"
            )


def _way_out(before: Any, now: Any) -> str:
    """What to do about other columns."""
    if isinstance(before, tuple) and now is None:
        return f"Give rows of that shape, or flat ones and `input_shape={before}`."
    if isinstance(before, tuple) and isinstance(now, tuple) and len(before) == len(now) == 2 and before[1] == now[1]:
        if now[0] < before[0]:
            return f"Pad the sequences with NaN to {before[0]} steps, as long as theirs."
        return (
            "For longer sequences give the weights of a network that reads any length, "
            "`source.pipeline_[-1].module_.modules_[0].state_dict()`, as `init_from`, and its `module`."
        )
    return "Give the same columns in the same order."
