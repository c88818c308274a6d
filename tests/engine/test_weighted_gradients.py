"""Weights in the engine: gradients and losses of weighted minibatches and validation rows, against autograd."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from sk_dlsteps.engine.batch_norm import BatchNorm
from sk_dlsteps.engine.batches import FleetData
from sk_dlsteps.engine.mlp_fleet import MLPFleet
from sk_dlsteps.engine.module_fleet import ModuleFleet
from sk_dlsteps.engine.validation_rows import ValidationData
from sk_dlsteps.step1_cost.choice import choose_cost

K, N_ROWS, WIDTHS = 3, 7, (2, 4, 3)
SIZES = np.array([7, 6, 6])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def statistics():
    """Inputs as they are."""
    return {"input_center": torch.zeros(K, 1, 2).double(), "input_factor": torch.ones(K, 1, 2).double()}


def mlp_fleet(task, batch_norm=False):
    cost, _ = choose_cost("auto", task)
    weights = [normal(K, a, b, seed=b) for a, b in pairwise(WIDTHS)]
    weights[-1] = weights[-1].mT.contiguous()
    biases = [normal(K, 1, b, seed=9 + b) for b in WIDTHS[1:]]
    norms = [BatchNorm(torch.ones(K, 1, 4).double(), torch.zeros(K, 1, 4).double())] if batch_norm else []
    return MLPFleet(weights, biases, "tanh", norms=norms, cost=cost, **statistics())


def module_fleet(task):
    cost, _ = choose_cost("auto", task)
    modules = [nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3)).double() for _ in range(K)]
    return ModuleFleet(modules, [torch.get_rng_state()] * K, cost=cost, **statistics())


def minibatch(task):
    x, weight = normal(K, N_ROWS, 2, seed=1), normal(K, N_ROWS, seed=2).exp()
    if task == "multiclass":
        return x, torch.randint(3, (K, N_ROWS), generator=torch.Generator().manual_seed(3)), weight
    y = normal(K, N_ROWS, 3, seed=4)
    return x, (y > 0).double() if task == "multilabel" else y, weight


def autograd(fleet, k, x, target, weight, n_rows):
    """Losses of one network's rows, and the gradients of the mean of the weighted ones."""
    if isinstance(fleet, ModuleFleet):
        own = [p.detach().clone().requires_grad_() for p in fleet.modules_[k].parameters()]
        w1, b1, w2, b2 = own
        raw = torch.tanh(x @ w1.T + b1) @ w2.T + b2
    else:
        stacks = zip(fleet.weights, fleet.biases, strict=True)
        own = [p.detach()[k].clone().requires_grad_() for pair in stacks for p in pair]
        w1, b1, w2, b2 = own
        raw = torch.tanh(x @ w1 + b1) @ w2.T + b2
    losses = fleet.cost(raw, target) * weight
    (losses.sum() / n_rows).backward()
    return losses.detach(), [p.grad for p in own]


@pytest.mark.parametrize("task", ["regression", "multiclass", "multilabel"])
@pytest.mark.parametrize("make", [mlp_fleet, module_fleet])
def test_gradients_are_those_of_the_mean_weighted_loss(make, task):
    fleet, (x, target, weight) = make(task), minibatch(task)
    losses, _ = fleet.gradients(x, target, None, weight)
    for k, parameters in enumerate(fleet.networks()):
        expected_losses, expected = autograd(fleet, k, x[k], target[k], weight[k], N_ROWS)
        torch.testing.assert_close(losses[k], expected_losses)
        for (_, parameter), gradient in zip(parameters, expected, strict=True):
            torch.testing.assert_close(parameter.grad.reshape(gradient.shape), gradient)


@pytest.mark.parametrize("task", ["regression", "multiclass", "multilabel"])
def test_rows_that_fill_up_count_nothing_whatever_their_weight(task):
    fleet, (x, target, weight) = mlp_fleet(task), minibatch(task)
    losses, _ = fleet.gradients(x, target, SIZES, weight)
    for k, size in enumerate(SIZES):
        expected_losses, expected = autograd(fleet, k, x[k, :size], target[k, :size], weight[k, :size], size)
        torch.testing.assert_close(losses[k, :size], expected_losses)
        assert not losses[k, size:].any()
        for (_, parameter), gradient in zip(fleet.networks()[k], expected, strict=True):
            torch.testing.assert_close(parameter.grad.reshape(gradient.shape), gradient)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_weights_of_one_change_no_bit_of_a_gradient(batch_norm):
    x, target, weight = minibatch("regression")
    plain, weighted = (mlp_fleet("regression", batch_norm) for _ in range(2))
    plain.gradients(x, target, SIZES)
    weighted.gradients(x, target, SIZES, torch.ones_like(weight))
    for one, other in zip(plain.gradient_tensors(K), weighted.gradient_tensors(K), strict=True):
        assert torch.equal(one, other)


# -- minibatches and validation rows --------------------------------------------------------


def epoch(rows, weight, n_batches):
    """The minibatches of networks on those rows of a table whose only target is the row's number."""
    n = len(weight)
    X, y = normal(n, 2), torch.arange(n).double()[:, None]
    generators = [np.random.default_rng(k) for k in range(K)]
    n_rows = np.array([len(own) for own in rows])
    data = FleetData(X, y, rows, generators, n_rows, n_batches, weight=weight)
    return list(data.epoch(mlp_fleet("regression")))


def test_every_row_comes_with_its_weight_beside_the_mean_of_its_network():
    weight = normal(30, seed=5).exp()
    rows = [np.arange(0, 13), np.arange(13, 26), np.arange(15, 27)]
    seen = [{} for _ in range(K)]
    for batch in epoch(rows, weight, np.array([4, 4, 3])):
        for k in range(len(batch.target)):
            size = batch.x.shape[1] if batch.sizes is None else batch.sizes[k]
            numbers = batch.target[k, :size, 0].long().tolist()
            seen[k].update(zip(numbers, batch.weight[k, :size].tolist(), strict=True))
    for own, found in zip(rows, seen, strict=True):
        assert sorted(found) == own.tolist()
        expected = weight[own] / weight[own].mean()
        np.testing.assert_allclose([found[row] for row in own], expected)


def test_validation_losses_are_weighted_means_of_rows_that_differ_in_number():
    fleet, weight = mlp_fleet("regression"), normal(20, seed=6).exp()
    X, y = normal(20, 2, seed=7), normal(20, 3, seed=8)
    rows = [np.arange(9), np.arange(9, 14), np.array([19])]
    losses, _ = ValidationData(X, y, rows, fleet, weight).evaluate(fleet)
    each = fleet.cost(fleet.raw(X.expand(K, -1, -1)), y.expand(K, -1, -1)).detach()
    expected = [np.average(each[k, own], weights=weight[own]) for k, own in enumerate(rows)]
    np.testing.assert_allclose(losses, expected)
