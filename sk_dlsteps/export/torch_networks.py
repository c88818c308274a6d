"""The networks of a fleet, as a torch module without anything that training needs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sk_dlsteps.engine.batch_norm import EPS
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.mlp_fleet import MLPFleet
from sk_dlsteps.engine.module_fleet import ModuleFleet

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU, "gelu": nn.GELU}


class TorchMLPs(nn.Module):
    """K multilayer perceptrons as batched products.

    Parameters
    ----------
    weights : sequence of Tensor of shape (K, n_in, n_out)
        One for each layer.
    biases : sequence of Tensor of shape (K, 1, n_out)
        One for each layer.
    activation : str
        Between the layers.

    """

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor], activation: str) -> None:
        super().__init__()
        self.weights = nn.ParameterList(weights)
        self.biases = nn.ParameterList(biases)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """Raw outputs (K, rows, n_outputs) for inputs (K, rows, n_inputs)."""
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, self.activation(x) if layer else x, weight)
        return x


class TorchModules(nn.Module):
    """K copies of a module, each with weights of its own.

    Parameters
    ----------
    modules : sequence of Module
        Each maps (rows, n_inputs) to (rows, n_outputs).

    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        """Raw outputs (K, rows, n_outputs) for inputs (K, rows, n_inputs)."""
        raw = [network(own) for network, own in zip(self.networks, x.unbind(), strict=True)]
        return torch.stack([own if own.dim() == 2 else own.unsqueeze(-1) for own in raw])


def networks_of(fleet: Fleet) -> TorchMLPs | TorchModules:
    """The networks of a fleet; batch norms of perceptrons become part of their layers."""
    if isinstance(fleet, ModuleFleet):
        return TorchModules(list(fleet.modules_))
    assert isinstance(fleet, MLPFleet)
    weights, biases = [w.data.double() for w in fleet.weights], [b.data.double() for b in fleet.biases]
    weights[-1] = weights[-1].mT
    for layer, norm in enumerate(fleet.batch_norms):
        gain = norm.gain.data.double() * (norm.variance.double() + EPS).rsqrt()
        weights[layer] = weights[layer] * gain
        biases[layer] = (biases[layer] - norm.mean) * gain + norm.shift.data
    weights, biases = ([own.to(fleet.input_center).contiguous() for own in kind] for kind in (weights, biases))
    return TorchMLPs(weights, biases, fleet.activation)
