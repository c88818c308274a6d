"""What each rung of the ladder tries: the article's techniques in its order."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.model_selection import ParameterSampler

from sk_dlsteps.step1_cost.choice import learns_embeddings
from sk_dlsteps.step2_architecture.hidden_units import choose_hidden_units
from sk_dlsteps.step3_training.budget import choose_batch_size, leaves_enough_batches
from sk_dlsteps.step3_training.lr_finder import sweep_of
from sk_dlsteps.step4_validation.augmentation import AUGMENTATIONS, IMAGE_AUGMENTATIONS, MIX_ROWS
from sk_dlsteps.step4_validation.effects import OF_THE_MLP, parameters_without_effect

# Candidates of a rung at the most; values drawn from a user's distributions.
RUNG_SIZE = 4
# Factors of the rate around the one given, or around the finder's default: about the distance
# from the found rate to the best fixed one on most sets (docs/benchmarks.md, "Learning rate").
RATE_FACTORS = (1 / 3, 3.0)
# The article's range, ends and middle.
DROPOUT = (0.25, 0.5, 0.375)
# lambda of L2 beside the gradient of a mean loss; and decoupled, which shrinks weights by the rate times it.
WEIGHT_DECAY, DECOUPLED_DECAY = (1e-3, 1e-2), (0.02, 0.1)
# Minibatches in the article's powers of two.
BATCH_SIZES = (32, 64, 128, 256, 512)
MAX_LAYERS, MIN_UNITS, MAX_UNITS = 3, 8, 1024


@dataclass(frozen=True)
class Situation:
    """Where the ladder stands: the parameters so far, and the size of the problem.

    Attributes
    ----------
    parameters : dict
        Parameters of the estimator with what was kept, names without the prefix.
    n_rows : int
        Rows that train one network in one fold.
    n_inputs, n_outputs : int
        Columns that enter a network, ramps included, and outputs that leave it.
    is_sparse : bool
        Whether the rows are those of a sparse matrix.
    is_image : bool
        Whether a module gets each row as an image.
    has_gaps : bool
        Whether rows hold NaN that a module wants to see.

    """

    parameters: Mapping[str, Any]
    n_rows: int
    n_inputs: int
    n_outputs: int
    is_sparse: bool = False
    is_image: bool = False
    has_gaps: bool = False

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of each hidden layer, as the rule of step 2 gives them."""
        p = self.parameters
        widths, _ = choose_hidden_units(
            p["hidden_units"],
            p["hidden_size_factor"],
            p["n_hidden_layers"],
            n_rows=self.n_rows,
            n_inputs=self.n_inputs,
            n_outputs=self.n_outputs,
        )
        return widths


Change = dict[str, Any]


@dataclass(frozen=True)
class Technique:
    """One thing to try: a rung before it is climbed.

    Attributes
    ----------
    step : int
        3, for the training fit, or 4, for the validation gap.
    name : str
        What the rung is called.
    because : str
        What the article says about it.
    parameters : tuple of str
        Names of what it changes, without the prefix.
    propose : callable
        A `Situation` to changes of parameters, the most promising first.
    distributions : dict or None
        A user's values or distributions, names with the prefix; drawn from instead of `propose`.

    """

    step: int
    name: str
    because: str
    parameters: tuple[str, ...]
    propose: Callable[[Situation], list[Change]]
    distributions: Mapping[str, Any] | None = None

    def candidates(self, situation: Situation, prefix: str, random_state: Any) -> list[Change]:
        """Changes to try from here, `RUNG_SIZE` at the most, names with the prefix."""
        if self.distributions is not None:
            return _draw(self.distributions, random_state)
        without = parameters_without_effect(situation.parameters)
        changes = [change for change in self.propose(situation) if not without.intersection(change)]
        return [{prefix + name: value for name, value in change.items()} for change in changes[:RUNG_SIZE]]


def _draw(distributions: Mapping[str, Any], random_state: Any) -> list[Change]:
    """Some draws from a user's lists and distributions; all of a small grid."""
    lists = all(not hasattr(values, "rvs") for values in distributions.values())
    size = math.prod(len(values) for values in distributions.values()) if lists else RUNG_SIZE
    return list(ParameterSampler(distributions, min(RUNG_SIZE, size), random_state=random_state))


def choose_techniques(
    param_distributions: Mapping[str, Any] | None, parameters: Mapping[str, Any], prefix: str
) -> tuple[Technique, ...]:
    """The rungs to climb, in order.

    Parameters
    ----------
    param_distributions : dict or None
        A user's lists and distributions, names with the prefix. Only rungs over parameters
        named there are climbed, with values from there; names that no rung knows share one rung
        at the end. None for the article's.
    parameters : dict
        Parameters of the estimator, names without the prefix.
    prefix : str
        Of the names, "" unless the estimator sits in a pipeline.

    Returns
    -------
    techniques : tuple of Technique
        Those of step 3 first.

    Examples
    --------
    >>> from sk_dlsteps import StepwiseRegressor
    >>> parameters = StepwiseRegressor().get_params()
    >>> [technique.name for technique in choose_techniques({"dropout": [0.1, 0.2]}, parameters, "")]
    ['dropout']

    """
    own = parameters.get("module", "mlp") != "mlp"
    known = [technique for technique in TECHNIQUES if not own or technique.parameters[0] not in OF_THE_MLP]
    if param_distributions is None:
        return tuple(known)
    chosen: list[Technique] = []
    for technique in known:
        taken = {name for earlier in chosen if earlier.step == technique.step for name in earlier.parameters}
        names = [prefix + name for name in technique.parameters if name not in taken]
        given = {name: param_distributions[name] for name in names if name in param_distributions}
        if given:
            chosen.append(replace(technique, distributions=given))
    named = {name for technique in chosen for name in technique.distributions or ()}
    others = {name: values for name, values in param_distributions.items() if name not in named}
    if others:
        because = "you named these parameters, and no rung of the article knows them"
        chosen.append(Technique(4, "other parameters", because, tuple(others), lambda _: [], others))
    return tuple(chosen)


def _rate(situation: Situation) -> list[Change]:
    """Rates around the one given; around the finder's default where it is found in each fold."""
    p = situation.parameters
    rate = p["learning_rate"]
    if rate == "auto":
        default = sweep_of(p["optimizer"]).default
        return [{"learning_rate": _round(default * factor)} for factor in (1.0, *RATE_FACTORS)]
    return [{"learning_rate": _round(rate * factor)} for factor in RATE_FACTORS] + [{"learning_rate": "auto"}]


def _optimizer(situation: Situation) -> list[Change]:
    """Adam for gradient descent, with a rate of its own."""
    if situation.parameters["optimizer"] in ("adam", "adamw"):
        return []
    return [{"optimizer": "adam", "learning_rate": "auto"}]


def _cosine(situation: Situation) -> list[Change]:
    """One cosine over the whole fit."""
    return _others("lr_schedule", ["cosine"], situation)


def _restarts(situation: Situation) -> list[Change]:
    """The cosine in cycles; "auto" has them."""
    if situation.parameters["lr_schedule"] == "auto":
        return []
    return _others("lr_schedule", ["cosine_restarts"], situation)


def _more_units(situation: Situation) -> list[Change]:
    """Twice and four times as many units."""
    return _scaled_widths(situation, [(2.0,), (4.0,)])


def _minibatches(situation: Situation) -> list[Change]:
    """The powers of two next to the present minibatch that leave an epoch some steps."""
    now = min(choose_batch_size(situation.parameters["batch_size"], situation.n_rows), situation.n_rows)
    fitting = [size for size in BATCH_SIZES if size != now and leaves_enough_batches(size, situation.n_rows)]
    nearest = sorted(fitting, key=lambda size: abs(math.log2(size / now)))
    return [{"batch_size": size} for size in nearest[:3]]


def _more_layers(situation: Situation) -> list[Change]:
    """Deeper networks."""
    depth = len(situation.widths)
    return [_with_depth(situation, more) for more in range(depth + 1, MAX_LAYERS + 1)]


def _dropout(situation: Situation) -> list[Change]:
    """Dropout before the last linear layer."""
    return _others("dropout", DROPOUT, situation)


def _earlier_dropout(situation: Situation) -> list[Change]:
    """Dropout in the earlier layers as well, beside what the last has, where there are earlier layers."""
    if len(situation.widths) < 2:
        return []
    now = situation.parameters["dropout"]
    last = float(np.ravel(now)[-1])
    pairs = [(p, q) for q in ([last] if last else [DROPOUT[0], DROPOUT[1]]) for p in (DROPOUT[0], DROPOUT[1])]
    return _others("dropout", pairs, situation)


def _weight_decay(situation: Situation) -> list[Change]:
    """L2 for any optimizer; decoupled decay for Adam's kind."""
    optimizer = situation.parameters["optimizer"]
    l2 = [] if optimizer == "adamw" else _others("weight_decay", WEIGHT_DECAY, situation)
    if optimizer not in ("adam", "adamw"):
        return l2
    if optimizer == "adamw":
        return _others("weight_decay", DECOUPLED_DECAY, situation)
    return [*l2, *({"optimizer": "adamw", "weight_decay": decay} for decay in DECOUPLED_DECAY)]


def _batch_norm(situation: Situation) -> list[Change]:
    """Batch normalisation where there is none."""
    return _others("batch_norm", [True], situation)


def _augmentation(situation: Situation) -> list[Change]:
    """The built-in ways to change a minibatch, which needs to be dense.

    Classes that are compared cannot be mixed, and rows with gaps neither mixed nor swapped.
    """
    without = {"mixup"} if learns_embeddings(situation.parameters.get("loss")) else set()
    if situation.has_gaps:
        without |= MIX_ROWS
    known = {**(IMAGE_AUGMENTATIONS if situation.is_image else {}), **AUGMENTATIONS}
    names = [name for name in known if name not in without]
    return [] if situation.is_sparse else _others("augmentation", names, situation)


def _other_units(situation: Situation) -> list[Change]:
    """Smaller and larger layers; with several, also more in one and fewer in another."""
    factors: list[tuple[float, ...]] = [(0.5,), (2.0,)]
    if len(situation.widths) > 1:
        factors += [(2.0, 0.5), (0.5, 2.0)]
    return _scaled_widths(situation, factors)


def _other_layers(situation: Situation) -> list[Change]:
    """One layer more, one less, or two more."""
    depth = len(situation.widths)
    depths = [d for d in (depth + 1, depth - 1, depth + 2) if 1 <= d <= MAX_LAYERS]
    return [_with_depth(situation, d) for d in depths]


def _others(name: str, values: Sequence[Any], situation: Situation) -> list[Change]:
    """A change for each value that the parameter does not have already."""
    return [{name: value} for value in values if repr(value) != repr(situation.parameters.get(name))]


def _scaled_widths(situation: Situation, factors: list[tuple[float, ...]]) -> list[Change]:
    """The widths times a factor, or times one for the first layer and one for the rest; equal widths stay a number."""
    now, changes = situation.widths, []
    for first, *rest in factors:
        scaled = [units * (first if i == 0 or not rest else rest[0]) for i, units in enumerate(now)]
        widths = tuple(min(max(round(units), MIN_UNITS), MAX_UNITS) for units in scaled)
        if widths != now:
            number = len(set(widths)) == 1 and situation.parameters["n_hidden_layers"] == len(widths)
            changes.append({"hidden_units": widths[0] if number else widths})
    return changes


def _with_depth(situation: Situation, depth: int) -> Change:
    """So many layers: a number where one width is repeated, else the widths cut, or the last repeated."""
    units, dropout, now = situation.parameters["hidden_units"], situation.parameters["dropout"], situation.widths
    # Dropout given layer by layer would not fit another depth; a pair fits any.
    fitting = {"dropout": (dropout[0], dropout[-1])} if np.size(dropout) > 2 else {}
    if np.ndim(units):
        return {"hidden_units": (*now, *now[-1:] * (depth - len(now)))[:depth], **fitting}
    return {"n_hidden_layers": depth, **fitting}


def _round(value: float) -> float:
    """A rate with one digit, two where it begins with 1."""
    return float(f"{value:.1g}") if f"{value:e}"[0] != "1" else float(f"{value:.2g}")


TECHNIQUES = (
    Technique(
        3,
        "learning rate",
        "the rate matters most for the training fit, and another than the finder's may suit",
        ("learning_rate",),
        _rate,
    ),
    Technique(
        3,
        "optimizer",
        "where gradient descent is slow or gets stuck, Adam takes its place",
        ("optimizer", "momentum"),
        _optimizer,
    ),
    Technique(
        3,
        "cosine decay",
        "a rate that falls along a cosine lets training settle",
        ("lr_schedule",),
        _cosine,
    ),
    Technique(
        3,
        "restarts",
        "the decayed rate may start again at its full height",
        ("lr_schedule", "restart_period", "restart_mult"),
        _restarts,
    ),
    Technique(3, "units", "more hidden units can fit more", ("hidden_units", "hidden_size_factor"), _more_units),
    Technique(
        3,
        "minibatch",
        "minibatches in powers of two are the next to tune",
        ("batch_size",),
        _minibatches,
    ),
    Technique(3, "layers", "more hidden layers can fit more", ("n_hidden_layers",), _more_layers),
    Technique(
        4, "dropout", "dropout before the last linear layer, from 0.25 up to 0.50, comes first", ("dropout",), _dropout
    ),
    Technique(
        4,
        "dropout, earlier layers",
        "earlier layers may need dropout of the same range as well",
        ("dropout",),
        _earlier_dropout,
    ),
    Technique(
        4,
        "weight decay",
        "large weights overfit, and lambda has to be tuned",
        ("weight_decay",),
        _weight_decay,
    ),
    Technique(4, "batch norm", "hidden activations can be normalised like the inputs", ("batch_norm",), _batch_norm),
    Technique(
        4,
        "augmentation",
        "more data overfit least, and changed rows stand in for new ones",
        ("augmentation",),
        _augmentation,
    ),
    Technique(
        4,
        "layer sizes",
        "too many activations fit noise: layers may shrink, or grow",
        ("hidden_units", "hidden_size_factor"),
        _other_units,
    ),
    Technique(4, "number of layers", "the last resort is another depth", ("n_hidden_layers",), _other_layers),
    Technique(
        4,
        "dropout, new layers",
        "layers that were added on the way may need dropout",
        ("dropout",),
        _earlier_dropout,
    ),
)
