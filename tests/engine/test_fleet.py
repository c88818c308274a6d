"""Gradients, stages and bookkeeping of a fleet of networks."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.mlp_fleet import ACTIVATIONS, MLPFleet
from sk_dlsteps.engine.module_fleet import ModuleFleet
from sk_dlsteps.step1_cost.choice import choose_cost

COSTS = [
    ("regression", "squared_error"),
    ("regression", "absolute_error"),
    ("regression", "huber"),
    ("regression", "poisson"),
    ("regression", nn.SmoothL1Loss),
    ("binary", "binary_cross_entropy"),
    ("multiclass", "cross_entropy"),
    ("multiclass", "smoothed_cross_entropy"),
    ("multiclass", nn.MultiMarginLoss),
]
TORCH = {"relu": torch.relu, "tanh": torch.tanh, "silu": nn.functional.silu, "gelu": nn.functional.gelu}


def random_fleet(widths, activation="relu", cost=None, n_networks=3, seed=0, **stages):
    """An `MLPFleet` of random float64 parameters."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weights = [normal(n_networks, a, b) for a, b in pairwise(widths)]
    weights[-1] = weights[-1].mT.contiguous()
    biases = [normal(n_networks, 1, b) for b in widths[1:]]
    center, factor = normal(n_networks, 1, widths[0]), normal(n_networks, 1, widths[0]).exp()
    cost = choose_cost("auto", "regression")[0] if cost is None else cost
    return MLPFleet(weights, biases, activation, cost=cost, input_center=center, input_factor=factor, **stages)


def random_batch(cost, n_outputs, n_inputs, n_networks=3, n_rows=6):
    """Prepared inputs and targets that fit a cost."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n_networks, n_rows, n_inputs, generator=generator, dtype=torch.float64)
    if cost.target_scaling == "codes":
        return x, torch.randint(max(2, n_outputs), (n_networks, n_rows), generator=generator)
    y = torch.randn(n_networks, n_rows, n_outputs, generator=generator, dtype=torch.float64)
    return x, y.abs() if cost.target_scaling == "scale" else y


def raw_with_autograd(parameters, x, activation):
    """Raw outputs of one network, written with plain torch."""
    *hidden, (weight, bias) = parameters
    for w, b in hidden:
        x = TORCH[activation](x @ w + b)
    return x @ weight.T + bias


@pytest.mark.parametrize("hidden", [(), (4,), (4, 3), (5, 4, 3)], ids=len)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("task", "loss"), COSTS)
def test_closed_form_gradients_equal_autograd(task, loss, activation, hidden):
    cost, _ = choose_cost(loss, task)
    for n_columns in (1, 3) if task == "regression" else (2,) if task == "binary" else (3, 5):
        n_outputs = cost.n_outputs(n_columns)
        fleet = random_fleet((2, *hidden, n_outputs), activation, cost)
        x, target = random_batch(cost, n_outputs, 2)
        losses, raw = fleet.gradients(x, target)
        for k in range(3):
            own = [
                (w.detach()[k].requires_grad_(), b.detach()[k].requires_grad_())
                for w, b in zip(fleet.weights, fleet.biases, strict=True)
            ]
            expected_raw = raw_with_autograd(own, x[k], activation)
            expected = cost(expected_raw, target[k])
            expected.mean().backward()
            torch.testing.assert_close(raw[k], expected_raw.detach(), rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(losses[k], expected.detach(), rtol=1e-10, atol=1e-10)
            for (w, b), weight, bias in zip(own, fleet.weights, fleet.biases, strict=True):
                torch.testing.assert_close(weight.grad[k], w.grad, rtol=1e-10, atol=1e-10)
                torch.testing.assert_close(bias.grad[k], b.grad, rtol=1e-10, atol=1e-10)


def test_raw_outputs_while_training_equal_those_while_predicting():
    fleet = random_fleet((2, 4, 3, 1))
    x, target = random_batch(fleet.cost, 1, 2)
    _, raw = fleet.gradients(x, target)
    torch.testing.assert_close(fleet.raw(x), raw)


def test_inputs_are_standardised_per_network_and_clipped_smoothly():
    fleet = random_fleet((2, 1), input_clip=3.0)
    x = torch.linspace(-50, 50, 12, dtype=torch.float64).reshape(6, 2)
    z = (x - fleet.input_center) * fleet.input_factor
    torch.testing.assert_close(fleet.prepare(x), z / (1 + (z / 3) ** 2).sqrt())
    assert fleet.prepare(x * 1e6).abs().max() <= 3
    fleet.input_clip = None
    torch.testing.assert_close(fleet.prepare(x), z)


def test_targets_go_to_the_networks_units_and_back():
    center = torch.tensor([[[1.0]], [[2.0]], [[3.0]]], dtype=torch.float64)
    scale = torch.tensor([[[4.0]], [[5.0]], [[6.0]]], dtype=torch.float64)
    fleet = random_fleet((2, 1), target_center=center, target_scale=scale)
    y = torch.arange(6, dtype=torch.float64).reshape(1, 6, 1).expand(3, 6, 1)
    prepared = fleet.prepare_target(y, torch.float64)
    torch.testing.assert_close(prepared[1], (y[1] - 2) / 5)
    torch.testing.assert_close(fleet.original_target(prepared), y)


def test_only_the_first_networks_are_asked_and_trained_after_a_reorder():
    fleet = random_fleet((2, 4, 1))
    x = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    before = fleet(x)
    fleet.reorder([2, 0, 1], 2)
    torch.testing.assert_close(fleet(x), before[:, [2, 0]])
    batch, target = random_batch(fleet.cost, 1, 2, n_networks=2)
    fleet.gradients(batch, target)
    assert (fleet.weights[0].grad[:2] != 0).any()
    assert (fleet.weights[0].grad[2] == 0).all()
    fleet.reorder([1, 2, 0], 3)
    torch.testing.assert_close(fleet(x), before)


def users_fleet(n_networks=3):
    torch_states = [torch.get_rng_state() for _ in range(n_networks)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        modules = [nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)) for _ in range(n_networks)]
    ones = torch.ones(n_networks, 1, 2)
    cost = choose_cost("auto", "regression")[0]
    return ModuleFleet(modules, torch_states, cost=cost, input_center=ones, input_factor=ones)


@pytest.mark.parametrize("make", [lambda: random_fleet((2, 4, 1)), users_fleet], ids=["mlp", "module"])
def test_networks_come_back_to_what_was_kept_of_them(make):
    fleet = make().eval()
    x = torch.linspace(-1, 1, 8).reshape(4, 2)
    start = fleet(x).clone().detach()

    def disturb():
        with torch.no_grad():
            for p in fleet.parameters():
                p.add_(0.5)

    fleet.remember(torch.ones(3, dtype=torch.bool))
    disturb()
    changed = fleet(x).clone().detach()
    fleet.remember(torch.tensor([False, True, False]))
    disturb()
    fleet.recall(torch.tensor([True, False, False]))
    torch.testing.assert_close(fleet(x)[:, 0], start[:, 0])
    assert not torch.allclose(fleet(x)[:, 1], changed[:, 1])
    fleet.recall()
    torch.testing.assert_close(fleet(x), torch.stack([start[:, 0], changed[:, 1], start[:, 2]], 1))


@pytest.mark.parametrize("make", [lambda: random_fleet((2, 4, 1)), users_fleet], ids=["mlp", "module"])
def test_what_was_kept_moves_with_its_network(make):
    fleet = make().eval()
    x = torch.linspace(-1, 1, 8).reshape(4, 2)
    start = fleet(x).clone().detach()
    fleet.remember(torch.ones(3, dtype=torch.bool))
    fleet.reorder([1, 2, 0], 2)
    with torch.no_grad():
        for p in fleet.parameters():
            p.mul_(2)
    fleet.recall()
    fleet.reorder([2, 0, 1], 3)
    torch.testing.assert_close(fleet(x), start)


def test_a_fleet_in_another_order_loads_into_its_own_order():
    fleet, other = random_fleet((2, 4, 1)), random_fleet((2, 4, 1), seed=5)
    x = torch.linspace(-1, 1, 8, dtype=torch.float64).reshape(4, 2)
    expected = fleet(x)
    fleet.reorder([2, 0, 1], 2)
    other.load_state_dict(fleet.state_dict())
    torch.testing.assert_close(other(x), expected)


def test_gradients_of_a_users_module_leave_the_global_generator_alone():
    fleet = users_fleet()
    before = torch.get_rng_state()
    fleet.train().gradients(torch.ones(3, 4, 2), torch.zeros(3, 4, 1))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_users_module_may_give_one_number_per_row():
    ones = torch.ones(1, 1, 2)
    module = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    cost = choose_cost("auto", "regression")[0]
    fleet = ModuleFleet([module], [torch.get_rng_state()], cost=cost, input_center=ones, input_factor=ones)
    losses, raw = fleet.gradients(torch.ones(1, 4, 2), torch.zeros(1, 4, 1))
    assert losses.shape == (1, 4)
    assert raw.shape == (1, 4, 1)


def test_a_pickled_fleet_predicts_and_trains_the_same():
    fleet = random_fleet((2, 4, 1))
    x, target = random_batch(fleet.cost, 1, 2)
    fleet.gradients(x, target)
    copy = pickle.loads(pickle.dumps(fleet))
    torch.testing.assert_close(copy(x[0]), fleet(x[0]))
    copy.gradients(x, target)
    torch.testing.assert_close(copy.weights[0].grad, fleet.weights[0].grad)


def test_a_fleet_without_networks_says_so():
    ones = torch.ones(1, 1, 1)
    fleet = Fleet(choose_cost("auto", "regression")[0], ones, ones)
    calls = [
        lambda: fleet.raw(ones),
        lambda: fleet.gradients(ones, ones),
        lambda: fleet.clip(1, ones, None),
        lambda: fleet.signals(ones, ones),
        fleet.is_finite,
        fleet.networks,
        lambda: fleet.remember(ones),
        fleet.recall,
        fleet.forget,
    ]
    for call in calls:
        with pytest.raises(TypeError, match="Fleet defines no networks"):
            call()


def test_widths_count_the_numbers_held_per_row():
    assert random_fleet((2, 4, 3, 1)).widths == [2, 4, 3, 1]
    assert users_fleet().widths == [2]


def test_predictions_are_made_in_float64_on_the_cpu_whatever_the_networks_dtype():
    fleet = random_fleet((2, 4, 1)).float()
    assert fleet.prediction_dtype == torch.float64
    assert fleet(torch.ones(3, 2, dtype=torch.float64)).dtype == torch.float64
    assert users_fleet().prediction_dtype == torch.float32
    np.testing.assert_array_equal(fleet(torch.ones(3, 2, dtype=torch.float64)).shape, (3, 3, 1))
