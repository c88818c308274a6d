"""What a training leaves for the next one of the same networks: moments, shuffles, what rescues cost."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from sk_dlsteps.engine import optimizers

if TYPE_CHECKING:
    from sk_dlsteps.engine.training import Training


@dataclass
class Carried:
    """State that goes from one training of a net to the next; empty before the first.

    Attributes
    ----------
    fresh_schedule : bool
        Whether the next training's schedule begins anew: what a plateau left of the rates is forgotten.
    optimizer : dict
        What the optimizer gathered, see `optimizers.state_of`.
    generators : list of numpy Generator
        Each network's source of shuffles.
    noise : list of Tensor
        State of each network's generator of augmentations.
    cuts : ndarray of shape (K,) or None
        What rescues left of each network's rate.
    max_norms : ndarray of shape (K,) or None
        Bounds on the gradients of networks that were rescued, infinite for others.
    schedule_state : dict or None
        What a schedule has seen of the losses.

    """

    fresh_schedule: bool = False
    optimizer: dict[str, Any] = field(default_factory=dict)
    generators: list[np.random.Generator] = field(default_factory=list)
    noise: list[Tensor] = field(default_factory=list)
    cuts: np.ndarray | None = None
    max_norms: np.ndarray | None = None
    schedule_state: dict[str, np.ndarray] | None = None

    def copy(self, fresh_schedule: bool) -> Carried:
        """The same for a training that may fail: it shares nothing with this one."""
        own = copy.deepcopy(self)
        own.fresh_schedule = fresh_schedule
        return own

    def give(self, training: Training) -> None:
        """Let a training of one net go on from here."""
        optimizers.restore(training.optimizer, self.optimizer)
        if self.generators:
            training.data.generators = copy.deepcopy(self.generators)
        for generator, state in zip(training.data.noise, self.noise, strict=False):
            generator.set_state(state)
        if self.cuts is not None and self.max_norms is not None:
            training.factors *= self.cuts
            training.max_norms = np.minimum(training.max_norms, self.max_norms)
        if self.schedule_state is not None and not self.fresh_schedule:
            training.members[0].schedule_state = self.schedule_state
            training.factors *= self.schedule_state["factors"]

    def take(self, training: Training, cuts: np.ndarray, max_norms: np.ndarray) -> None:
        """Keep what a training has come to, its networks being back in their own places."""
        self.optimizer = optimizers.state_of(training.optimizer)
        self.generators = training.data.generators
        self.noise = [generator.get_state() for generator in training.data.noise] or self.noise
        self.cuts = cuts if self.cuts is None else self.cuts * cuts
        self.max_norms = max_norms if self.max_norms is None else np.minimum(self.max_norms, max_norms)
        self.schedule_state = training.members[0].schedule_state
