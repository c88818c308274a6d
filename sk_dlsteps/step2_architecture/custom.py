"""A network of the user's own: K copies of a module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sk_dlsteps.engine.embedding import Embedded
from sk_dlsteps.engine.module_fleet import ModuleFleet
from sk_dlsteps.engine.randomness import borrowed_generators
from sk_dlsteps.plan import StepRecord
from sk_dlsteps.step2_architecture.mlp import fresh


def module_record(factory: Callable[[int, int], nn.Module]) -> StepRecord:
    """The record of step 2: the rules for hidden layers do not apply."""
    name = getattr(factory, "__name__", type(factory).__name__)
    return StepRecord(2, "network architecture", f"module {name}", "chosen by you", {"rule": "module", "units": ()})


@dataclass(frozen=True)
class ModuleBuilder:
    """Builds the fleet of a user's modules; network k depends on ``seeds[k]`` alone.

    Attributes
    ----------
    factory : callable
        ``(n_inputs, n_outputs) -> torch.nn.Module``, a class or a function.
    n_inputs, n_outputs : int
        What the factory is told.
    seeds : tuple of int
        One per network.
    stages : dict
        Cost and statistics for the fleet.
    embeddings : tuple of (n_levels, size)
        One for each column of codes, of which the module sees the vectors.

    """

    factory: Callable[[int, int], nn.Module]
    n_inputs: int
    n_outputs: int
    seeds: tuple[int, ...]
    stages: dict[str, Any]
    embeddings: tuple[tuple[int, int], ...] = ()

    def __call__(self) -> ModuleFleet:
        """A fresh fleet."""
        modules, states = [], []
        with borrowed_generators():
            for seed in self.seeds:
                # torch.manual_seed would also reseed every GPU, and nothing would put them back.
                torch.default_generator.manual_seed(seed)
                modules.append(self._module())
                states.append(torch.get_rng_state())
        return ModuleFleet(modules, states, n_codes=len(self.embeddings), **fresh(self.stages))

    def _module(self) -> nn.Module:
        """One module, checked on two rows of zeros."""
        dtype = self.stages["input_center"].dtype
        module = self.factory(self.n_inputs, self.n_outputs)
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"`module` must be 'mlp', a torch.nn.Module class or a factory (n_inputs, n_outputs) -> module; "
                f"calling it gave {type(module).__name__}"
            )
        module = module.to(dtype)
        training = module.training
        with torch.no_grad():
            shape = tuple(module.eval()(torch.zeros(2, self.n_inputs, dtype=dtype)).shape)
        module.train(training)
        if shape != (2, self.n_outputs) and not (self.n_outputs == 1 and shape == (2,)):
            raise ValueError(
                f"`module` must map (rows, {self.n_inputs}) to (rows, {self.n_outputs}), "
                f"but gave shape {shape} for 2 rows"
            )
        return Embedded(module, self.embeddings).to(dtype) if self.embeddings else module
