"""A network of the user's own, or one that goes by a name: K copies of a module."""

from __future__ import annotations

import copy
import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from sk_dlsteps.engine.embedding import Embedded
from sk_dlsteps.engine.module_fleet import ModuleFleet
from sk_dlsteps.engine.randomness import borrowed_generators
from sk_dlsteps.plan import StepRecord
from sk_dlsteps.step2_architecture.architectures import ARCHITECTURES, channel_axis
from sk_dlsteps.step2_architecture.mlp import fresh

# What `module__*` parameters begin with, as in skorch.
PREFIX = "module__"


@dataclass(frozen=True)
class ModuleChoice:
    """What `module` and `module__*` ask for.

    Attributes
    ----------
    module : str, torch.nn.Module class or instance, or callable
        One of `ARCHITECTURES` or the user's own.
    parameters : dict
        Values of `module__*`, without that prefix.

    """

    module: Any
    parameters: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> ModuleChoice:
        """The choice among an estimator's parameters."""
        own = {name.removeprefix(PREFIX): value for name, value in parameters.items() if name.startswith(PREFIX)}
        return cls(parameters["module"], own)

    @property
    def is_own(self) -> bool:
        """Whether it is another network than the built-in one."""
        return not (isinstance(self.module, str) and self.module == "mlp")

    @property
    def factory(self) -> Any:
        """What is called for a module; a ready instance is copied instead."""
        return ARCHITECTURES.get(self.module) if isinstance(self.module, str) else self.module

    @property
    def name(self) -> str:
        """For records."""
        if isinstance(self.module, str):
            return self.module
        return getattr(self.factory, "__name__", type(self.factory).__name__)

    @property
    def keeps_gaps(self) -> bool:
        """Whether the module wants to see what is missing as NaN, as far as it tells before it is built."""
        return wants_gaps(getattr(self.factory, "func", self.factory))

    def default(self, name: str) -> Any:
        """What a named architecture wants where a parameter of training is "auto"; None: what others get."""
        return getattr(self.factory, name, None) if isinstance(self.module, str) else None

    def check(self) -> None:
        """Raise for `module__*` parameters that the module does not take."""
        if not self.parameters:
            return
        first = next(iter(self.parameters))
        if not self.is_own:
            raise ValueError(
                f"`{PREFIX}{first}` is for a `module` other than 'mlp', whose layers are set by `hidden_units`, "
                "`n_hidden_layers`, `activation`, `dropout` and `batch_norm`."
            )
        if isinstance(self.module, nn.Module):
            raise ValueError(
                f"`{PREFIX}{first}` is for a class or a factory, and `module` is a ready {self.name}; give "
                f"`module={self.name}`, or drop the parameter."
            )
        known = _arguments(self.factory)
        if any(p.kind is p.VAR_KEYWORD for p in known.values()):
            return
        for name in self.parameters:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                meant = f"; did you mean `{PREFIX}{near[0]}`?" if near else f"; it takes {', '.join(known)}"
                raise ValueError(f"`{PREFIX}{name}` is no parameter of {self.name}{meant}")

    def of_trained(self, network: nn.Module) -> ModuleChoice:
        """The choice for networks that get a trained one's weights: those that it began with are not read again."""
        parameters_of = self.default("parameters_of")
        return self if parameters_of is None else replace(self, parameters=parameters_of(network, self.parameters))

    def build(self, n_inputs: int, n_outputs: int, shape: tuple[int, ...]) -> nn.Module:
        """A module for inputs of that shape; sizes are passed by name where it takes them."""
        if isinstance(self.module, nn.Module):
            return copy.deepcopy(self.module)
        sizes = {
            "n_inputs": n_inputs,
            "n_outputs": n_outputs,
            "input_shape": shape,
            "in_channels": shape[channel_axis(shape)],
            "in_features": n_inputs,
            "out_features": n_outputs,
            "num_classes": n_outputs,
        }
        known = _arguments(self.factory)
        named = {name: value for name, value in sizes.items() if name in known and name not in self.parameters}
        open_ones = {
            name: p.kind
            for name, p in known.items()
            if p.default is p.empty
            and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
            and name not in named
            and name not in self.parameters
        }
        # A factory whose parameters have other names gets both sizes in this order.
        by_place = len(open_ones) == 2 and not named and inspect.Parameter.KEYWORD_ONLY not in open_ones.values()
        if open_ones and not by_place:
            raise ValueError(
                f"`module={self.name}` needs {', '.join(f'`{name}`' for name in open_ones)}: give "
                f"{', '.join(PREFIX + name for name in open_ones)}, or call a size by one of the names "
                f"{', '.join(sizes)}."
            )
        # Networks have no weights in common.
        own = {name: copy.deepcopy(v) if isinstance(v, nn.Module) else v for name, v in self.parameters.items()}
        try:
            module = self.factory(*((n_inputs, n_outputs) if by_place else ()), **named, **own)
        except (TypeError, KeyError) as error:
            passed = (
                "its two sizes" if by_place else ", ".join([*named, *own]) or "nothing, as it asks for no size by name"
            )
            raise ValueError(f"`module={self.name}` could not be made, it was given {passed}: {error!r}") from error
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"`module` must be 'mlp', the name of another architecture, a torch.nn.Module class or instance or a "
                f"factory (n_inputs, n_outputs) -> module; calling it gave {type(module).__name__}"
            )
        return module


def wants_gaps(module: Any) -> bool:
    """Whether a module, or its class, says that it wants to see what is missing as NaN."""
    return getattr(module, "keeps_gaps", False) is True


def _arguments(factory: Any) -> dict[str, inspect.Parameter]:
    """What a class or a factory can be called with; nothing if it does not tell."""
    try:
        return dict(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        return {}


def module_record(choice: ModuleChoice, shape: tuple[int, ...] | None) -> StepRecord:
    """The record of step 2: the rules for hidden layers do not apply."""
    given = ", ".join(f"{name}={_short(value)}" for name, value in choice.parameters.items())
    decision = f"module {choice.name}" + (f" with {given}" if given else "")
    evidence = {"rule": "module", "units": (), **({} if shape is None else {"input shape": shape})}
    return StepRecord(2, "network architecture", decision, "chosen by you", evidence)


def _short(value: Any) -> str:
    """A parameter's value in a record."""
    text = repr(value)
    return text if len(text) <= 40 else type(value).__name__


class Shaped(nn.Module):
    """A module that gets each row in its own shape.

    Parameters
    ----------
    module : Module
        Maps (rows, *shape) to (rows, n_outputs).
    shape : tuple of int
        Of one row.

    """

    def __init__(self, module: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.module = module
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of the module for flat rows."""
        return self.module(x.unflatten(-1, self.shape))


@dataclass(frozen=True)
class ModuleBuilder:
    """Builds the fleet of K modules; network k depends on ``seeds[k]`` alone.

    Attributes
    ----------
    choice : ModuleChoice
        Class, factory, instance or name, and its parameters.
    n_inputs, n_outputs : int
        Numbers of a row that enter the module, and its raw outputs.
    seeds : tuple of int
        One per network.
    stages : dict
        Cost and statistics for the fleet.
    embeddings : tuple of (n_levels, size)
        One for each column of codes, of which the module sees the vectors.
    shape : tuple of int or None
        Of a row as the module gets it; None for rows of a table.

    """

    choice: ModuleChoice
    n_inputs: int
    n_outputs: int
    seeds: tuple[int, ...]
    stages: dict[str, Any]
    embeddings: tuple[tuple[int, int], ...] = ()
    shape: tuple[int, ...] | None = None

    def __call__(self) -> ModuleFleet:
        """A fresh fleet."""
        modules, states = [], []
        with borrowed_generators():
            for seed in self.seeds:
                # torch.manual_seed would also reseed every GPU, and nothing would put them back.
                torch.default_generator.manual_seed(seed)
                modules.append(self._module())
                states.append(torch.get_rng_state())
        return ModuleFleet(
            modules,
            states,
            n_codes=len(self.embeddings),
            keeps_gaps=self.choice.keeps_gaps or any(wants_gaps(part) for part in modules[0].modules()),
            **fresh(self.stages),
        )

    @property
    def _meaning(self) -> str:
        """What the outputs are, where they are neither targets nor classes."""
        if not self.stages["cost"].embeds:
            return ""
        return f"; {self.n_outputs} is the `embedding_size` of the loss, which it takes as `n_outputs`"

    def _module(self) -> nn.Module:
        """One module, checked on two rows of zeros, which also give lazy layers their sizes."""
        dtype = self.stages["input_center"].dtype
        shape = self.shape or (self.n_inputs,)
        module = self.choice.build(self.n_inputs, self.n_outputs, shape).to(dtype)
        training = module.training
        try:
            with torch.no_grad():
                output = module.eval()(torch.zeros(2, *shape, dtype=dtype))
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(
                f"`module={self.choice.name}` failed on two rows of zeros of shape {(2, *shape)}: {error}"
            ) from error
        module.train(training)
        given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        if given != (2, self.n_outputs) and not (self.n_outputs == 1 and given == (2,)):
            rows = ", ".join(map(str, ("rows", *shape)))
            raise ValueError(
                f"`module` must map ({rows}) to (rows, {self.n_outputs}), but gave "
                f"{'shape ' if isinstance(given, tuple) else ''}{given} for 2 rows{self._meaning}"
            )
        if not any(p.requires_grad for p in module.parameters()):
            raise ValueError(f"`module={self.choice.name}` has no parameter to train: none requires a gradient")
        if self.shape is not None:
            module = Shaped(module, self.shape)
        return Embedded(module, self.embeddings).to(dtype) if self.embeddings else module
