"""What a random search may try: the article's ranges as distributions."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import ParameterSampler

from sk_dlsteps.plan import Plan
from sk_dlsteps.step2_architecture.custom import PREFIX
from sk_dlsteps.step2_architecture.hidden_units import CEILING, FLOOR
from sk_dlsteps.step3_training.budget import leaves_enough_batches
from sk_dlsteps.step3_training.lr_finder import sweep_of
from sk_dlsteps.step4_validation.effects import parameters_without_effect

# What the article turns in each step, in its order. Units and layers belong to both: more of them to
# fit the training set, more or fewer to fit the validation set.
SEARCHED = {
    3: ("learning_rate", "lr_schedule", "hidden_units", "batch_size", "n_hidden_layers"),
    4: ("dropout", "weight_decay", "batch_norm", "hidden_units", "n_hidden_layers"),
}

# The article's numbers.
LAYERS = (1, 2, 3)
BATCH_SIZES = (64, 128, 256, 512)
DROPOUT = (0.25, 0.50)
# No decay and the preferred one, with and without restarts. Staircase and plateau are left out: they
# are an exponential decay in steps.
LR_SCHEDULES = ("cosine_restarts", "cosine", "exponential", "constant")

# How far from the found rate, both ways, and how far from the default where none was searched for. On
# 36 sets the best fixed rates lay between 0.001 and 0.1 (docs/benchmarks.md, "Learning rate").
FOUND_FACTOR, DEFAULT_FACTOR = 4.0, 10.0
# Units: the rule's a at both ends, how far beyond, the bounds, and the range if the rows are not known.
MANY_UNITS_A, FEW_UNITS_A, BEYOND = 2, 10, 2
FEWEST_UNITS, MOST_UNITS = 8, 512
UNITS_WITHOUT_ROWS = (16, 512)
# Gorishniy et al. 2021 ("Revisiting deep learning models for tabular data") search from 1e-6 to 1e-3; our
# prototype gained most at 0.02, hence the higher end. The low end is as good as none, so few exact zeros do.
WEIGHT_DECAY, WEIGHT_DECAY_ZEROS = (1e-6, 0.1), 0.25


class Distribution:
    """Draws plain Python values; what scikit-learn's searches need of a scipy distribution."""

    def rvs(self, size: int | tuple[int, ...] | None = None, random_state: Any = None) -> Any:
        """Draw one value, or an array of them.

        Parameters
        ----------
        size : int, tuple of int or None, default=None
            Shape of the array; None for a single value.
        random_state : int, RandomState, Generator or None, default=None
            Where the draws come from; None takes fresh entropy, never numpy's global state.

        Returns
        -------
        value : object, or ndarray of shape `size`
            Python's own types, in an array of objects.

        """
        own = isinstance(random_state, np.random.RandomState | np.random.Generator)
        rng = random_state if own else np.random.RandomState(random_state)
        if size is None:
            return self._draw(rng.uniform)
        values = np.empty(size, dtype=object)
        for index in np.ndindex(values.shape):
            values[index] = self._draw(rng.uniform)
        return values

    def _draw(self, uniform: Callable[[float, float], float]) -> Any:
        """One value from numbers that are uniform between two bounds."""
        raise NotImplementedError


@dataclass(frozen=True)
class LogUniform(Distribution):
    """Numbers whose logarithm is uniform, with a share of exact zeros.

    Attributes
    ----------
    low, high : float
        Bounds, above 0.
    zeros : float
        Share of zeros.

    """

    low: float
    high: float
    zeros: float = 0.0

    def _draw(self, uniform: Callable[[float, float], float]) -> float:
        """Zero or one number between the bounds, also where rounding would leave them."""
        if self.zeros and uniform(0, 1) < self.zeros:
            return 0.0
        value = math.exp(uniform(math.log(self.low), math.log(self.high)))
        return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class LogUniformInteger(Distribution):
    """Integers, each as likely as the logarithm grows from it to the next.

    Attributes
    ----------
    low, high : int
        Bounds, both included.

    """

    low: int
    high: int

    def _draw(self, uniform: Callable[[float, float], float]) -> int:
        """One integer."""
        value = int(math.exp(uniform(math.log(self.low), math.log(self.high + 1))))
        return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Dropout(Distribution):
    """The article's dropout: none, before the last linear layer, or before the earlier ones too.

    Each of the three is as likely as the others. The last is a pair ``(earlier, last)``, which
    networks of any depth take.

    Attributes
    ----------
    low, high : float
        Bounds of each share.

    """

    low: float = DROPOUT[0]
    high: float = DROPOUT[1]

    def _draw(self, uniform: Callable[[float, float], float]) -> float | tuple[float, float]:
        """0.0, one share or two."""
        where = int(uniform(0, 3))
        if where == 0:
            return 0.0
        last = float(uniform(self.low, self.high))
        return last if where == 1 else (float(uniform(self.low, self.high)), last)


def check_distributions(param_distributions: Any, names: Iterable[str]) -> None:
    """Check a user's search space, before anything is trained for it.

    Parameters
    ----------
    param_distributions : dict or None
        Lists and distributions by name; None passes.
    names : iterable of str
        Parameters that the estimator has.

    Raises
    ------
    ValueError
        If several dicts are given, if the estimator lacks a parameter, or if there are no values for one.
    TypeError
        If values are neither a list nor a distribution.

    """
    if param_distributions is None:
        return
    if isinstance(param_distributions, list | tuple):
        raise ValueError(
            "`param_distributions` must be one dict for strategy='ladder', which tries one parameter after the other, "
            f"got {len(param_distributions)} of them"
        )
    known = list(names)
    for name, values in param_distributions.items():
        # As skorch's, these are parameters of the module, which says itself whether it knows them.
        of_module = f"__{PREFIX}" in f"__{name}"
        if name not in known and not of_module:
            close = difflib.get_close_matches(name, known, 1) or [own for own in known if own.endswith(f"__{name}")]
            hint = f"did you mean {close[0]!r}?" if close else "`estimator.get_params()` has those that there are"
            raise ValueError(f"`param_distributions` names {name!r}, which is no parameter of the estimator; {hint}")
        if isinstance(values, str):
            raise TypeError(
                f"`param_distributions` must have a list or a distribution for {name!r}, got {values!r}; "
                f"for a single value give [{values!r}]"
            )
        if not hasattr(values, "rvs") and hasattr(values, "__len__") and len(values) == 0:
            raise ValueError(f"`param_distributions` must have at least one value for {name!r}, got {values!r}")
    # The rest is scikit-learn's to check, and a broken distribution shows when it is drawn from.
    list(ParameterSampler(param_distributions, 1, random_state=0))


def searched_parameters(step: int | None, parameters: dict[str, Any]) -> tuple[str, ...]:
    """Names of the parameters to search in a step that have an effect on this estimator.

    Parameters
    ----------
    step : {3, 4} or None
        The article's step; None for both.
    parameters : dict
        The estimator's, checked.

    Returns
    -------
    names : tuple of str
        Without those that would fail or do nothing, see `parameters_without_effect`.

    Raises
    ------
    ValueError
        If there is no such step to search in.

    """
    if step not in (None, *SEARCHED):
        raise ValueError(f"`step` must be 3, 4 or None for both, got {step!r}; the other steps have nothing to search")
    names = dict.fromkeys([*SEARCHED[3], *SEARCHED[4]] if step is None else SEARCHED[step])
    without = parameters_without_effect(parameters)
    if np.size(parameters["dropout"]) > 2 and "dropout" not in names:
        # Given layer by layer, it fits its own number of layers only.
        without.add("n_hidden_layers")
    return tuple(name for name in names if name not in without)


def distributions(names: tuple[str, ...], optimizer: Any, plan: Plan | None = None, prefix: str = "") -> dict[str, Any]:
    """A distribution, or a list of values, for each name.

    Parameters
    ----------
    names : tuple of str
        What `searched_parameters` gave.
    optimizer : str or torch.optim.Optimizer class
        Whose default rate to search around without a plan.
    plan : Plan or None, default=None
        Decisions on the rows at hand, with the rate that was found if one is to be searched.
    prefix : str, default=""
        Of a pipeline's step, with or without the trailing "__".

    Returns
    -------
    space : dict
        For RandomizedSearchCV.

    """
    if not isinstance(prefix, str):
        raise ValueError(f"`prefix` must be a string such as 'stepwiseregressor__', or '' for none, got {prefix!r}")
    space = {
        "learning_rate": _rates(optimizer, plan),
        "lr_schedule": list(LR_SCHEDULES),
        "hidden_units": _units(plan),
        "batch_size": _batch_sizes(plan),
        "n_hidden_layers": list(LAYERS),
        "dropout": Dropout(),
        "weight_decay": LogUniform(*WEIGHT_DECAY, WEIGHT_DECAY_ZEROS),
        "batch_norm": [False, True],
    }
    prefix = f"{prefix.removesuffix('__')}__" if prefix else ""
    return {f"{prefix}{name}": space[name] for name in names}


def _rates(optimizer: Any, plan: Plan | None) -> LogUniform:
    """Around the rate found, or further around the optimizer's default."""
    if plan is None:
        rate, factor = sweep_of(optimizer).default, DEFAULT_FACTOR
    else:
        rate, factor = plan.learning_rate, FOUND_FACTOR
    return LogUniform(rate / factor, rate * factor)


def _units(plan: Plan | None) -> LogUniformInteger:
    """From half the rule's few units to twice its many, around the default's own bounds."""
    if plan is None:
        return LogUniformInteger(*UNITS_WITHOUT_ROWS)
    ratio = plan.n_rows / (plan.n_inputs + plan.n_outputs)
    # NOTE[ARTICLE]: on few rows the rule gives a handful of units. The default's width has a floor and
    # a ceiling; the range always reaches from below the one to above the other.
    low = round(min(ratio / FEW_UNITS_A, FLOOR) / BEYOND)
    high = round(max(ratio / MANY_UNITS_A, CEILING) * BEYOND)
    return LogUniformInteger(max(low, FEWEST_UNITS), min(high, MOST_UNITS))


def _batch_sizes(plan: Plan | None) -> list[int]:
    """The article's minibatches, as far as an epoch has enough of them."""
    if plan is None:
        return list(BATCH_SIZES)
    return [size for size in BATCH_SIZES if size == min(BATCH_SIZES) or leaves_enough_batches(size, plan.n_rows)]
