"""Small fleets in float64: every network has rows, noise and a seed of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from sk_dlsteps.engine.batches import Rows
from sk_dlsteps.engine.encoding import PiecewiseLinear
from sk_dlsteps.engine.net import FleetNet
from sk_dlsteps.inputs.features import fit_scaler, network_statistics
from sk_dlsteps.inputs.target import ClassTarget, LabelsTarget, RegressionTarget
from sk_dlsteps.step1_cost.choice import choose_cost
from sk_dlsteps.step2_architecture.custom import ModuleBuilder, ModuleChoice
from sk_dlsteps.step2_architecture.mlp import MLPBuilder
from sk_dlsteps.step3_training.optimizers import OptimizerChoice

N_NETWORKS, N_TRAIN, N_VALID, N_INPUTS = 7, 30, 10, 4
SEEDS = (3, 14, 15, 92, 65, 35, 89)


@dataclass
class SmallFleets:
    """Seven blocks of 40 rows, one per network; the target of every other block is mostly noise.

    Networks that learn from noise stop early, the others go on. `net` builds
    the fleet of any of the seven networks, with the same rows and seeds.
    """

    task: str = "regression"
    loss: Any = "auto"
    n_networks: int = N_NETWORKS
    dtype: torch.dtype = torch.float64
    X: np.ndarray = field(init=False)
    target: Any = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        n_block = N_TRAIN + N_VALID
        self.X = rng.normal(1.0, 3.0, (self.n_networks * n_block, N_INPUTS))
        signal = np.repeat(np.arange(self.n_networks) % 2 == 0, n_block)
        latent = np.where(signal, np.sin(self.X[:, 0]) + self.X[:, 1] / 3, 3 * rng.normal(size=len(self.X)))
        self.cost, _ = choose_cost(self.loss, self.task)
        self.target = self._target(latent)
        blocks = np.arange(len(self.X)).reshape(self.n_networks, n_block)
        self.train = [block[:N_TRAIN] for block in blocks]
        self.valid = [block[N_TRAIN:] for block in blocks]
        self.scaler = fit_scaler(self.X)
        self.Z = self.X

    def _target(self, latent: np.ndarray) -> Any:
        if self.task == "binary":
            return ClassTarget(latent > 0)
        if self.task == "multiclass":
            return ClassTarget(np.digitize(latent, [-0.5, 0.5]))
        if self.task == "multilabel":
            return LabelsTarget(np.stack([latent > 0, latent > 0.5, self.X[:, 2] > 1], axis=1))
        if self.cost.target_scaling == "scale":
            return RegressionTarget(np.exp(latent / 2))
        return RegressionTarget(np.stack([latent, 5 - latent**2], axis=1))

    @property
    def n_outputs(self) -> int:
        return self.cost.n_outputs(self.target.n_columns)

    def builder(
        self, networks=None, widths=(5,), activation="tanh", module=None, encode=False, dropout=(), batch_norm=False
    ):
        """Builds the fleet of the numbered networks: the built-in ones, or a user's module."""
        networks = list(range(self.n_networks) if networks is None else networks)
        train = [self.train[k] for k in networks]
        seeds = tuple(SEEDS[k] for k in networks)
        statistics = network_statistics(self.X, self.scaler, train)
        center, factor = (torch.from_numpy(part[:, None, :]).to(self.dtype) for part in statistics)
        stages = {
            "cost": self.cost,
            "input_center": center,
            "input_factor": factor,
            "input_clip": 3.0,
            **self.target.statistics(self.cost, train),
        }
        n_inputs = N_INPUTS
        if encode:
            stages["input_encoding"] = self._ramps(networks, *((0, 2), 3) if encode is True else encode)
            n_inputs += stages["input_encoding"].n_added
        if module is not None:
            return ModuleBuilder(ModuleChoice(module), n_inputs, self.n_outputs, seeds, stages)
        bias = self.target.output_bias(self.cost, train, self.dtype)
        layers = (n_inputs, *widths, self.n_outputs)
        return MLPBuilder(layers, activation, seeds, bias, stages, dropout=dropout, batch_norm=batch_norm)

    def _ramps(self, networks, columns, n_ramps):
        """Ramps for some of the columns, others for every network."""
        rise = torch.tensor(networks, dtype=self.dtype).view(-1, 1, 1, 1) / 5 + 1
        slope = rise * torch.ones(1, 1, len(columns), n_ramps, dtype=self.dtype)
        offset = torch.linspace(-1, 1, n_ramps, dtype=self.dtype).expand_as(slope).contiguous()
        low, high = torch.full_like(slope, -0.5), torch.full_like(slope, 0.5)
        return PiecewiseLinear(torch.tensor(columns), slope, offset, low, high)

    def net(self, networks=None, *, build=None, optimizer="adam", lr=0.02, weight_decay=0.0, max_epochs=5, **kwargs):
        """An untrained net of the numbered networks."""
        networks = range(self.n_networks) if networks is None else networks
        settings = {"batch_size": 6, "n_threads": 1, "verbose": 0, "dtype": self.dtype, **kwargs}
        return FleetNet(
            self.builder(networks, **(build or {})),
            self.cost,
            make_optimizer=OptimizerChoice(optimizer, 0.9, weight_decay),
            seeds=tuple(SEEDS[k] for k in networks),
            lr=lr,
            max_epochs=max_epochs,
            **settings,
        )

    def rows(self, networks=None, validated=True) -> Rows:
        """Training and validation rows of the numbered networks."""
        networks = range(self.n_networks) if networks is None else networks
        valid = [self.valid[k] for k in networks] if validated else None
        return Rows([self.train[k] for k in networks], valid)

    def fit(self, networks=None, *, validated=True, **settings) -> FleetNet:
        """A trained net of the numbered networks."""
        net = self.net(networks, **settings)
        return net.fit(self.Z, self.target.values, rows=self.rows(networks, validated))


@pytest.fixture
def small_fleets():
    """The class that makes small fleets."""
    return SmallFleets


@pytest.fixture
def one_network_at_a_time():
    """A function that shows the parameters of each network of a trained net."""

    def parameters(net: FleetNet) -> list[list[np.ndarray]]:
        fleet = net.module_
        found = [[p.detach().numpy().copy() for _, p in own] for own in fleet.networks()]
        fleet.forget()
        return found

    return parameters
