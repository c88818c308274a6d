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
            groups = self._groups(fleet.decayed(), fleet.undecayed())
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
            weights = [p for _, p in parameters if p.dim() > 1]
            others = [p for _, p in parameters if p.dim() <= 1]
            own = self._groups(weights, others) if has_weight_decay(kind) else [{"params": [*weights, *others]}]
            groups += [{**group, "network": k} for group in own]
        return kind(groups, lr=lr, **options)

    def _groups(self, weights: list, others: list) -> list[dict[str, Any]]:
        """One parameter group, or two where weights decay and the others do not."""
        if not np.any(self.weight_decay):
            # An explicit zero: torch's AdamW would decay by 0.01 of its own accord.
            return [{"params": [*weights, *others], "weight_decay": 0.0}]
        return [
            {"params": weights, "weight_decay": self.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]


def _can_be_fused(fleet: Fleet) -> bool:
    """Whether torch can move all of a fleet's parameters in one pass, which is faster."""
    return all(p.device.type in _FUSED for own in fleet.networks() for _, p in own)


def has_weight_decay(kind: type[torch.optim.Optimizer]) -> bool:
    """Whether an optimizer class has a weight decay."""
    return "weight_decay" in inspect.signature(kind).parameters
