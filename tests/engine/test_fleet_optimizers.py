"""Fleet optimizers against torch's own on each network alone."""

import numpy as np
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


def test_no_two_networks_share_a_state_after_one_of_them_was_reset():
    networks = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    sgd = torch.optim.SGD([{"params": [p], "network": k} for k, p in enumerate(networks)], lr=1.0, momentum=0.5)
    for k, p in enumerate(networks):
        p.grad = torch.full((2,), float(k + 1))
    sgd.step()
    optimizers.reset(sgd, [2])
    optimizers.reorder(sgd, [1, 2, 0], 2)
    assert [float(sgd.state[p]["momentum_buffer"][0]) if p in sgd.state else None for p in networks] == [2.0, None, 1.0]


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


def random_gradients(stacks, generator):
    """The same gradients for the stacks as they are given to each network alone."""
    gradients = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in stacks]
    for stack, gradient in zip(stacks, gradients, strict=True):
        stack.grad = gradient.clone()
    return gradients


@pytest.mark.parametrize("decays", [[0.1, 0.0, 0.3, 2.0], [0.2, 0.2, 0.2, 0.2]], ids=["different", "equal"])
@pytest.mark.parametrize("rates", [None, [1.0, 0.5, 0.0, 2.0]], ids=["one rate", "own rates"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_network_decays_at_its_own_rate_as_torch_decays_it_alone(kind, rates, decays):
    fleet_kind, torch_kind, options = KINDS[kind]
    weight, bias = random_stacks()
    alone = [(nn.Parameter(weight[k].detach().clone()), nn.Parameter(bias[k].detach().clone())) for k in range(4)]
    singles = [torch_kind(groups([w], [b], own), lr=0.1, **options) for (w, b), own in zip(alone, decays, strict=True)]
    fleet = fleet_kind(groups([weight], [bias], np.array(decays)), lr=0.1, **options)
    generator = torch.Generator().manual_seed(1)
    order = [0, 1, 2, 3]
    for n_active in [4] * 10 + [3] * 10:
        if n_active == 3 and len(order) == 4 and order[0] == 0:
            new = [2, 0, 3, 1]
            optimizers.reorder(fleet, new, 3)
            for stack in (weight, bias):
                stack.data.copy_(stack.data[torch.tensor(new)])
            order = new
        fleet.forget_slices()
        gradients = random_gradients((weight, bias), generator)
        optimizers.set_rate(fleet, 0.05, None if rates is None else [rates[k] for k in order[:n_active]])
        fleet.step()
        for place, k in enumerate(order[:n_active]):
            for group in singles[k].param_groups:
                group["lr"] = 0.05 * (1.0 if rates is None else rates[k])
            for p, gradient in zip(alone[k], gradients, strict=True):
                p.grad = gradient[place].clone()
            singles[k].step()
    for place, k in enumerate(order):
        torch.testing.assert_close(weight[place], alone[k][0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(bias[place], alone[k][1], rtol=1e-12, atol=1e-12)
    assert fleet.param_groups[0]["weight_decay"].tolist() == [decays[k] for k in order]


@pytest.mark.parametrize("decay", [0.1, np.array([0.1, 0.2, 0.0, 0.3])], ids=["one", "own"])
@pytest.mark.parametrize("kind", KINDS)
def test_networks_with_fewer_steps_an_epoch_take_those_that_torch_would_take(kind, decay):
    fleet_kind, torch_kind, options = KINDS[kind]
    weight, bias = random_stacks()
    decays = np.broadcast_to(decay, 4)
    alone = [(nn.Parameter(weight[k].detach().clone()), nn.Parameter(bias[k].detach().clone())) for k in range(4)]
    singles = [
        torch_kind(groups([w], [b], float(own)), lr=0.1, **options) for (w, b), own in zip(alone, decays, strict=True)
    ]
    fleet = fleet_kind(groups([weight], [bias], decay), lr=0.1, **options)
    n_steps, order = [5, 5, 3, 1], [0, 1, 2, 3]
    fleet.expect(n_steps)
    generator = torch.Generator().manual_seed(1)
    for epoch in range(6):
        if epoch == 3:
            # The first network stops.
            new = [1, 2, 3, 0]
            optimizers.reorder(fleet, new, 3)
            for stack in (weight, bias):
                stack.data.copy_(stack.data[torch.tensor(new)])
            order = new
        active = order[: fleet.n_active]
        for step in range(5):
            moving = [k for k in active if step < n_steps[k]]
            fleet.forget_slices()
            gradients = random_gradients((weight, bias), generator)
            optimizers.step_first(fleet, len(moving))
            for place, k in enumerate(moving):
                for p, gradient in zip(alone[k], gradients, strict=True):
                    p.grad = gradient[place].clone()
                singles[k].step()
    for place, k in enumerate(order):
        torch.testing.assert_close(weight[place], alone[k][0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(bias[place], alone[k][1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["momentum", "adam", "torch"])
def test_what_was_gathered_of_a_networks_gradients_can_be_forgotten(kind):
    if kind == "torch":
        stacks = [nn.Parameter(torch.ones(2)) for _ in range(3)]
        optimizer = torch.optim.SGD([{"params": [p], "network": k} for k, p in enumerate(stacks)], lr=1.0, momentum=0.9)
        states = [lambda p=p: optimizer.state.get(p) for p in stacks]
    else:
        stacks = random_stacks(3)
        optimizer = KINDS[kind][0](stacks, lr=0.1, **KINDS[kind][2])
        states = [
            lambda k=k: any(bool(t[k].any()) for s in optimizer.state.values() for t in s.values()) for k in range(3)
        ]
    for p in stacks:
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert all(state() for state in states)
    optimizers.reset(optimizer, [1])
    assert [bool(state()) for state in states] == [True, False, True]


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_begins_anew_moves_as_under_a_new_optimizer(kind):
    fleet_kind, torch_kind, options = KINDS[kind]
    weight, bias = random_stacks(3)
    fleet = fleet_kind([weight, bias], lr=0.1, **options)
    generator = torch.Generator().manual_seed(1)
    alone = [(nn.Parameter(weight[k].detach().clone()), nn.Parameter(bias[k].detach().clone())) for k in range(3)]
    singles = [torch_kind(own, lr=0.1, weight_decay=0.0, **options) for own in alone]
    for step in range(9):
        if step in (3, 6):
            optimizers.reset(fleet, [1])
            singles[1] = torch_kind(alone[1], lr=0.1, weight_decay=0.0, **options)
        fleet.forget_slices()
        gradients = random_gradients((weight, bias), generator)
        optimizers.step_first(fleet, 3)
        for k, own in enumerate(alone):
            for p, gradient in zip(own, gradients, strict=True):
                p.grad = gradient[k].clone()
            singles[k].step()
    for k, own in enumerate(alone):
        torch.testing.assert_close(weight[k], own[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(bias[k], own[1], rtol=1e-12, atol=1e-12)


def test_factors_multiply_the_rates_that_somebody_else_sets():
    networks = [nn.Parameter(torch.zeros(1)) for _ in range(3)]
    sgd = torch.optim.SGD([{"params": [p], "network": k} for k, p in enumerate(networks)], lr=1.0)
    stack = nn.Parameter(torch.zeros(3, 1, 1))
    fleet = FleetSGD([stack], lr=1.0)
    for p in (*networks, stack):
        p.grad = torch.ones_like(p)
    for rate in (1.0, 0.5):
        for optimizer in (sgd, fleet):
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizers.set_factors(optimizer, [1.0, 0.1, 0.01])
            optimizers.step_first(optimizer, 3)
            assert {group["lr"] for group in optimizer.param_groups} == {rate}
    expected = [-1.5, -0.15, -0.015]
    assert [p.item() for p in networks] == pytest.approx(expected)
    assert stack.flatten().tolist() == pytest.approx(expected)
