"""The built-in network: hidden layers, He initialisation, output bias at the prior."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sk_dlsteps.engine.batch_norm import BatchNorm
from sk_dlsteps.engine.dropout import Dropout
from sk_dlsteps.engine.mlp_fleet import MLPFleet

# Standard deviation of the numbers of the vector at which all levels of a category begin.
VECTOR_STD = 0.1


@dataclass(frozen=True)
class MLPBuilder:
    """Builds the fleet of multilayer perceptrons; network k depends on ``seeds[k]`` alone.

    Attributes
    ----------
    widths : tuple of int
        Inputs, hidden layers, outputs.
    activation : str
        Non-linearity of the hidden layers.
    seeds : tuple of int
        One per network.
    output_bias : Tensor of shape (K, 1, n_outputs)
        Where each network's raw output starts.
    stages : dict
        Cost and statistics for the fleet.
    input_power : float or None
        Sum of the inputs' variances; None if each is 1, as after a StandardScaler.
    dropout : tuple of float
        Share of each hidden layer's activations that is zeroed in training; empty for none.
    batch_norm : bool
        Whether hidden layers normalise their sums.
    embeddings : tuple of (n_levels, size)
        One for each column of codes.

    """

    widths: tuple[int, ...]
    activation: str
    seeds: tuple[int, ...]
    output_bias: Tensor
    stages: dict[str, Any]
    input_power: float | None = None
    dropout: tuple[float, ...] = ()
    batch_norm: bool = False
    embeddings: tuple[tuple[int, int], ...] = ()

    def __call__(self) -> MLPFleet:
        """A fresh fleet."""
        dtype = self.output_bias.dtype
        networks = [he_weights(self.widths, seed, self.input_power) for seed in self.seeds]
        *hidden, last = zip(*networks, strict=True)
        weights = [torch.stack(layer).to(dtype) for layer in hidden]
        # Transposed before stacking: transposing a stack of single columns leaves strides that
        # matrix products are slow with.
        weights.append(torch.stack([weight.mT for weight in last]).to(dtype))
        biases = [torch.zeros(len(self.seeds), 1, width, dtype=dtype) for width in self.widths[1:-1]]
        return MLPFleet(
            weights,
            [*biases, self.output_bias.clone()],
            self.activation,
            dropout=self._dropout(),
            embeddings=self._vectors(),
            norms=[BatchNorm(torch.ones_like(b), torch.zeros_like(b)) for b in biases] if self.batch_norm else [],
            **fresh(self.stages),
        )

    def _vectors(self) -> list[Tensor]:
        """Vectors (K, n_levels, size) of each column of codes, all levels of which begin at one place."""
        sources = [np.random.default_rng([seed, len(self.embeddings)]) for seed in self.seeds]
        return [
            torch.from_numpy(np.stack([source.normal(0, VECTOR_STD, size) for source in sources]))
            .to(self.output_bias.dtype)
            .unsqueeze(1)
            .repeat(1, n_levels, 1)
            for n_levels, size in self.embeddings
        ]

    def _dropout(self) -> Dropout | None:
        """Masks with a stream for each network; None where nothing is dropped."""
        if not any(self.dropout):
            return None
        shape = (len(self.dropout), len(self.seeds))
        rates, widths = (np.array(own)[:, None] for own in (self.dropout, self.widths[1:-1]))
        return Dropout(np.broadcast_to(rates, shape).copy(), np.broadcast_to(widths, shape).copy(), self.seeds)


def fresh(stages: dict[str, Any]) -> dict[str, Any]:
    """Stages whose tensors belong to nobody else."""
    return {name: copy.deepcopy(value) for name, value in stages.items()}


def he_weights(widths: tuple[int, ...], seed: int, input_power: float | None = None) -> list[Tensor]:
    """Weights (n_in, n_out) of each layer, Gaussian with std sqrt(2 / n_in) (He et al. 2015).

    In the first layer n_in is the sum of the inputs' variances, `input_power`,
    which is their number where each has variance 1.

    NOTE[ARTICLE]: the article prints sqrt(2 / (l - 1)); meant is the number of
    units in layer l - 1.
    """
    generator = torch.Generator().manual_seed(seed)
    powers = [input_power or widths[0], *widths[1:-1]]
    return [
        torch.randn(n_in, n_out, generator=generator, dtype=torch.float64).mul_(math.sqrt(2 / max(1, power)))
        for (n_in, n_out), power in zip(pairwise(widths), powers, strict=True)
    ]
