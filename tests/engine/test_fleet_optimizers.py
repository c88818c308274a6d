"""Fleet optimizers against torch's own on each network alone."""

import pytest
import torch
from torch import nn

from sk_dlsteps.engine import optimizers
from sk_dlsteps.engine.optimizers import FleetAdam, FleetOptimizer, FleetSGD

KINDS = {
    "sgd": (FleetSGD, torch.optim.SGD, {}),
    "momentum": (FleetSGD, torch.optim.SGD, {"momentum": 0.9}),
    "adam": (FleetAdam, torch.optim.Adam, {"betas": (0.8, 0.95), "eps": 1e-6}),
    "adamw": (lambda *a, **k: FleetAdam(*a, decoupled=True, **k), torch.optim.AdamW, {}),
}


def random_stacks(n_networks=4):
    """Weights and biases of a few networks, float64."""
    generator = torch.Generator().manual_seed(0)
    shapes = (n_networks, 3, 2), (n_networks, 1, 2)
    return [nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64)) for shape in shapes]


def groups(weights, biases, weight_decay):
    """Weights decay, biases do not."""
    return [{"params": weights, "weight_decay": weight_decay}, {"params": biases, "weight_decay": 0.0}]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("kind", KINDS)
def test_fleet_optimizers_equal_torchs_on_each_network_also_with_factors_stops_and_reorders(kind, weight_decay):
    fleet_kind, torch_kind, options = KINDS[kind]
    weight, bias = random_stacks()
    alone = [(nn.Parameter(weight[k].detach().clone()), nn.Parameter(bias[k].detach().clone())) for k in range(4)]
    singles = [torch_kind(groups([w], [b], weight_decay), lr=0.1, **options) for w, b in alone]
    fleet = fleet_kind(groups([weight], [bias], weight_decay), lr=0.1, **options)
    generator = torch.Generator().manual_seed(1)
    order, rates = [0, 1, 2, 3], [1.0, 0.5, 0.3, 2.0]

    def take_steps(n_active, with_factors):
        for _ in range(5):
            gradients = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in (weight, bias)]
            for stack, gradient in zip((weight, bias), gradients, strict=True):
                stack.grad = gradient if stack.grad is None else stack.grad.copy_(gradient)
            factors = [rates[k] for k in order[:n_active]] if with_factors else None
            optimizers.set_rate(fleet, 0.05, factors)
            fleet.step()
            for place in range(n_active):
                k = order[place]
                for group in singles[k].param_groups:
                    group["lr"] = 0.05 * (rates[k] if with_factors else 1.0)
                for p, gradient in zip(alone[k], gradients, strict=True):
                    p.grad = gradient[place].clone()
                singles[k].step()

    def reorder(new, n_active):
        optimizers.reorder(fleet, new, n_active)
        for stack in (weight, bias):
            stack.data.copy_(stack.data[torch.tensor(new)])
        order[:] = [order[place] for place in new]

    take_steps(4, with_factors=False)
    take_steps(4, with_factors=True)
    reorder([2, 0, 3, 1], 3)
    take_steps(3, with_factors=True)
    take_steps(3, with_factors=False)
    for place, k in enumerate(order):
        torch.testing.assert_close(weight[place], alone[k][0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(bias[place], alone[k][1], rtol=1e-12, atol=1e-12)


def test_a_torch_optimizer_is_given_each_networks_own_rate():
    networks = [nn.Parameter(torch.ones(2)) for _ in range(3)]
    sgd = torch.optim.SGD([{"params": [p], "network": k} for k, p in enumerate(networks)], lr=1.0)
    optimizers.set_rate(sgd, 0.1, [1.0, 0.5])
    assert [group["lr"] for group in sgd.param_groups] == [0.1, 0.05, 1.0]
    optimizers.set_rate(sgd, 0.2)
    assert [group["lr"] for group in sgd.param_groups] == [0.2, 0.2, 0.2]


def test_a_torch_optimizers_state_moves_with_its_network_and_stopped_ones_stand_still():
    networks = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    sgd = torch.optim.SGD([{"params": [p], "network": k} for k, p in enumerate(networks)], lr=1.0, momentum=0.5)
    for k, p in enumerate(networks):
        p.grad = torch.full((2,), float(k + 1))
    sgd.step()
    optimizers.reorder(sgd, [2, 1, 0], 2)
    assert [float(sgd.state[p]["momentum_buffer"][0]) for p in networks] == [3.0, 2.0, 1.0]
    before = networks[2].detach().clone()
    sgd.step()
    assert torch.equal(networks[2], before)


def test_a_cleared_optimizer_starts_afresh():
    weight, bias = random_stacks()
    adam = FleetAdam([weight, bias], lr=0.1)
    start = weight.detach().clone()
    for stack in (weight, bias):
        stack.grad = torch.ones_like(stack)
    adam.step()
    first = weight.detach() - start
    adam.step()
    optimizers.clear(adam)
    assert not adam.state
    before = weight.detach().clone()
    adam.step()
    torch.testing.assert_close(weight.detach() - before, first)


def test_an_optimizer_that_does_not_say_how_it_moves_is_an_error():
    weight, _ = random_stacks()
    weight.grad = torch.ones_like(weight)
    with pytest.raises(TypeError, match="FleetOptimizer defines no move"):
        FleetOptimizer([weight], {"lr": 0.1, "weight_decay": 0.0}).step()
