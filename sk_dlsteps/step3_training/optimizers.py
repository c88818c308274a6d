"""Which optimizer trains the fleet."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.mlp_fleet import MLPFleet
from sk_dlsteps.engine.optimizers import FleetAdam, FleetSGD

OPTIMIZERS = ("sgd", "adam", "adamw")
_TORCH = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
# Devices for which torch has Adam in one pass.
_FUSED = ("cpu", "cuda", "mps")


@dataclass(frozen=True)
class OptimizerChoice:
    """Builds the optimizer of a fleet.

    The built-in networks are moved by one kernel for all. A torch class, and
    any optimizer of the user's own modules, gets groups of each network's own
    parameters. Decay acts on weights, never on biases or norm parameters.

    Attributes
    ----------
    optimizer : str or torch.optim.Optimizer class
        One of `OPTIMIZERS`, or a class.
    momentum : float
        Of "sgd".
    weight_decay : float, or array of shape (K,) for the built-in networks
        lambda in lambda/2 * sum of w**2; decoupled for "adamw".

    """

    optimizer: str | type[torch.optim.Optimizer]
    momentum: float = 0.9
    weight_decay: float | np.ndarray = 0.0

    @property
    def name(self) -> str:
        """Name for records."""
        return self.optimizer if isinstance(self.optimizer, str) else self.optimizer.__name__

    def __call__(self, fleet: Fleet, lr: float) -> torch.optim.Optimizer:
        """The optimizer over the fleet's parameters."""
        options: dict[str, Any] = {"momentum": self.momentum} if self.optimizer == "sgd" else {}
        if isinstance(self.optimizer, str) and isinstance(fleet, MLPFleet):
            decayed, undecayed = fleet.decayed(), fleet.undecayed()
            groups = [
                {**group, **of_layer}
                for of_layer, own in _by_layer(fleet, list(fleet.named_stacks()), lr)
                for group in self._groups([p for p in decayed if id(p) in own], [p for p in undecayed if id(p) in own])
            ]
            if self.optimizer == "sgd":
                return FleetSGD(groups, lr=lr, **options)
            return FleetAdam(groups, lr=lr, decoupled=self.optimizer == "adamw")
        kind = _TORCH[self.optimizer] if isinstance(self.optimizer, str) else self.optimizer
        if self.weight_decay and not has_weight_decay(kind):
            raise ValueError(
                f"`optimizer={kind.__name__}` knows no weight decay, but `weight_decay={self.weight_decay:g}`; "
                "set it to 0 or use another optimizer"
            )
        if self.optimizer in ("adam", "adamw") and _can_be_fused(fleet):
            options["fused"] = True
        groups = []
        for k, parameters in enumerate(fleet.networks()):
            trained = [(n, p) for n, p in parameters if p.requires_grad]
            for of_layer, own in _by_layer(fleet, trained, lr):
                weights = [p for _, p in trained if id(p) in own and p.dim() > 1]
                others = [p for _, p in trained if id(p) in own and p.dim() <= 1]
                split = self._groups(weights, others) if has_weight_decay(kind) else [{"params": [*weights, *others]}]
                groups += [{**group, "network": k, **of_layer} for group in split]
        try:
            return kind(groups, lr=lr, **options)
        except (NotImplementedError, TypeError, ValueError) as error:
            raise ValueError(
                f"`optimizer={kind.__name__}` cannot train the networks ({error}); use another, such as "
                "torch.optim.RMSprop"
            ) from error

    def _groups(self, weights: list, others: list) -> list[dict[str, Any]]:
        """One parameter group, or two where weights decay and the others do not."""
        if not np.any(self.weight_decay):
            # An explicit zero: torch's AdamW would decay by 0.01 of its own accord.
            return [{"params": [*weights, *others], "weight_decay": 0.0}]
        return [
            {"params": weights, "weight_decay": self.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]


def _by_layer(fleet: Fleet, named: list, lr: float) -> list[tuple[dict[str, float], set[int]]]:
    """What the groups of layers with one rate have in common, and the ids of their parameters."""
    if not fleet.rate_scales:
        return [({}, {id(p) for _, p in named})]
    layers: dict[str, set[int]] = {}
    for name, parameter in named:
        layers.setdefault(fleet.layer_of(name), set()).add(id(parameter))
    scales = {layer: fleet.rate_scales.get(layer, 1.0) for layer in layers}
    return [({"scale": scale, "lr": lr * scale}, layers[layer]) for layer, scale in scales.items()]


def _can_be_fused(fleet: Fleet) -> bool:
    """Whether torch can move all of a fleet's parameters in one pass, which is faster."""
    return all(p.device.type in _FUSED for own in fleet.networks() for _, p in own)


def has_weight_decay(kind: type[torch.optim.Optimizer]) -> bool:
    """Whether an optimizer class has a weight decay."""
    return "weight_decay" in inspect.signature(kind).parameters
