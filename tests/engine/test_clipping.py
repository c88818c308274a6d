"""Bounds on gradients, against torch's on each network alone."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from sk_dlsteps.engine.batch_norm import BatchNorm
from sk_dlsteps.engine.clipping import as_bound, bounds_of_networks
from sk_dlsteps.engine.mlp_fleet import MLPFleet
from sk_dlsteps.engine.module_fleet import ModuleFleet
from sk_dlsteps.step1_cost.choice import choose_cost

COST = choose_cost("squared_error", "regression")[0]
WIDTHS = (3, 5, 4, 2)
BOUNDS = {
    "norm": (torch.tensor([0.5, 1e6, float("inf"), 0.01]), None),
    "value": (None, torch.tensor([0.05, 1e6, float("inf"), 0.001])),
    "both": (torch.tensor([0.5, float("inf"), 0.2, 0.01]), torch.tensor([0.3, 0.05, float("inf"), 0.001])),
}


def generator():
    """The same random numbers for every test."""
    return torch.Generator().manual_seed(0)


def mlp_fleet():
    """Four built-in networks with batch norm; the last has gradients a thousand times as large."""
    own = generator()

    def normal(*shape):
        return torch.randn(*shape, generator=own, dtype=torch.float64)

    weights = [normal(4, a, b) for a, b in pairwise(WIDTHS)]
    weights[-1] = weights[-1].mT.contiguous()
    biases = [normal(4, 1, b) for b in WIDTHS[1:]]
    biases[-1][3] += 1000
    norms = [BatchNorm(normal(4, 1, b), normal(4, 1, b)) for b in WIDTHS[1:-1]]
    zeros = torch.zeros(4, 1, 3, dtype=torch.float64)
    return MLPFleet(weights, biases, "tanh", norms=norms, cost=COST, input_center=zeros, input_factor=zeros + 1)


def module_fleet():
    """The same with modules of a user's own."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        modules = [nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double() for _ in range(4)]
    with torch.no_grad():
        modules[3][2].bias += 1000
    zeros = torch.zeros(4, 1, 3, dtype=torch.float64)
    states = [torch.get_rng_state()] * 4
    return ModuleFleet(modules, states, cost=COST, input_center=zeros, input_factor=zeros + 1)


def gradients(fleet):
    """The gradients of each network, after a minibatch."""
    own = generator()
    x, target = (torch.randn(4, 6, n, generator=own, dtype=torch.float64) for n in (3, 2))
    fleet.train().gradients(x, target)
    return [[p.grad for _, p in network] for network in fleet.networks()]


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("make", [mlp_fleet, module_fleet])
def test_every_network_is_clipped_as_torch_clips_it_alone_values_before_norms(make, bounds):
    max_norm, max_value = BOUNDS[bounds]
    expected = [[nn.Parameter(g.clone()) for g in own] for own in gradients(make())]
    for k, parameters in enumerate(expected):
        for p in parameters:
            p.grad = p.detach().clone()
        if max_value is not None:
            nn.utils.clip_grad_value_(parameters, float(max_value[k]))
        if max_norm is not None and torch.isfinite(max_norm[k]):
            nn.utils.clip_grad_norm_(parameters, float(max_norm[k]))
    fleet = make()
    before = [[g.clone() for g in own] for own in gradients(fleet)]
    fleet.clip(4, max_norm, max_value)
    for k, own in enumerate(fleet.networks()):
        for (_, p), q in zip(own, expected[k], strict=True):
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-12, atol=0)
    # Each of these is clipped by one of the bounds, the second by none.
    changed = [
        any(not torch.equal(p.grad, g) for (_, p), g in zip(own, of_network, strict=True))
        for own, of_network in zip(fleet.networks(), before, strict=True)
    ]
    assert changed == ([True] * 4 if bounds == "both" else [True, False, False, True])


@pytest.mark.parametrize("make", [mlp_fleet, module_fleet])
def test_only_the_first_networks_are_clipped(make):
    fleet = make()
    before = [[g.clone() for g in own] for own in gradients(fleet)]
    fleet.clip(2, torch.full((4,), 1e-3), None)
    after = [[p.grad for _, p in own] for own in fleet.networks()]
    for k in range(4):
        same = all(torch.equal(p, q) for p, q in zip(before[k], after[k], strict=True))
        assert same == (k >= 2)


def test_bounds_are_one_for_each_network_and_none_where_nobody_has_any():
    assert bounds_of_networks([None, 2], [1, 3]).tolist() == [np.inf, 2, 2, 2]
    assert as_bound(np.array([np.inf, np.inf])) is None
    assert as_bound(np.array([np.inf, 1.0])).tolist() == [np.inf, 1.0]


@pytest.mark.parametrize("settings", [{"optimizer": "sgd"}, {"build": {"module": nn.Linear}, "optimizer": "sgd"}])
def test_a_mate_with_large_gradients_does_not_shrink_the_others(small_fleets, settings):
    fleets = small_fleets("regression", "squared_error")
    bounds = {"max_grad_norm": 0.3, "max_grad_value": 0.2, "lr": 0.01, "max_epochs": 3, **settings}
    wild = small_fleets("regression", "squared_error")
    wild.Z = wild.Z.copy()
    wild.Z[wild.train[3]] *= 1e3
    together = wild.fit(**bounds).network_predictions(fleets.Z)
    free = fleets.fit(**{**bounds, "max_grad_norm": None, "max_grad_value": None}).network_predictions(fleets.Z)
    for k in (0, 6):
        alone = fleets.fit([k], **bounds).network_predictions(fleets.Z)[:, 0]
        np.testing.assert_allclose(together[:, k], alone, rtol=1e-8, atol=1e-8)
        assert not np.allclose(free[:, k], alone)
