import numpy as np
import pytest
import torch

from sk_dlsteps.engine.encoding import PiecewiseLinear
from sk_dlsteps.engine.mlp_fleet import MLPFleet
from sk_dlsteps.engine.rescaling import move_inputs, move_target
from sk_dlsteps.step1_cost.cost import PoissonLoss, SquaredError
from sk_dlsteps.step1_cost.custom import CustomCost

K, N, H, OUT = 3, 4, 5, 2
RNG = np.random.default_rng(0)
X = RNG.normal(5.0, 3.0, (50, N))


def tensor(*shape):
    return torch.from_numpy(RNG.normal(size=shape))


def fleet(cost, center, factor, clip=None, ramps=True, scale=None):
    """A fleet in float64 with statistics of its own."""
    encoding = None
    if ramps:
        shape = (K, 1, 2, 3)
        low, high = -tensor(*shape).abs(), tensor(*shape).abs()
        encoding = PiecewiseLinear(torch.tensor([1, 3]), tensor(*shape), tensor(*shape), low, high)
    n_inputs = N + (6 if ramps else 0)
    statistics = {
        "input_center": torch.from_numpy(center[:, None]),
        "input_factor": torch.from_numpy(factor[:, None]),
        "target_center": torch.zeros(K, 1, OUT, dtype=torch.float64)
        if cost.target_scaling == "scale"
        else tensor(K, 1, OUT),
        "target_scale": tensor(K, 1, OUT).abs() + 0.5 if scale is None else scale,
    }
    weights = [tensor(K, n_inputs, H), tensor(K, OUT, H)]
    biases = [tensor(K, 1, H), tensor(K, 1, OUT)]
    return MLPFleet(weights, biases, "relu", cost=cost, input_clip=clip, input_encoding=encoding, **statistics)


def asked(networks, Z):
    return networks(torch.from_numpy(Z)).numpy()


def test_new_input_statistics_leave_predictions_and_ramps_where_they_are():
    center, factor = RNG.normal(size=(K, N)), RNG.uniform(0.5, 2.0, (K, N))
    networks = fleet(SquaredError(), center, factor)
    before = asked(networks, X)
    middle, width = np.array([5.0, 4.0, 6.0, 5.5]), np.array([3.0, 2.0, 0.1, 30.0])
    move_inputs(networks, (center, factor), (middle, 1 / width), np.ones(N))
    np.testing.assert_allclose(asked(networks, (X - middle) / width), before, rtol=1e-10)


def test_a_column_that_was_constant_begins_without_a_say_and_one_that_still_is_keeps_its_weights():
    center, factor = np.tile(X.mean(0), (K, 1)), np.tile([1.0, 0.0, 0.0, 0.5], (K, 1))
    networks = fleet(SquaredError(), center, factor, ramps=False)
    before, weights = asked(networks, X), networks.weights[0].data.clone()
    new_factor = np.array([2.0, 0.3, 0.0, 0.5])
    final = np.array([1.0, 1.0, 0.0, 1.0])
    move_inputs(networks, (center, factor), (X.mean(0) + 1, new_factor), final)
    Z = (X - X.mean(0) - 1) * np.where(new_factor > 0, new_factor, 1.0)
    np.testing.assert_allclose(asked(networks, Z), before, rtol=1e-10)
    assert not networks.weights[0].data[:, 1].any()
    torch.testing.assert_close(networks.weights[0].data[:, 2], weights[:, 2])


def test_behind_a_clip_only_far_values_move_much():
    center, factor = np.zeros((K, N)), np.ones((K, N))
    networks = fleet(SquaredError(), center, factor, clip=3.0, ramps=False)
    Z = RNG.normal(size=(200, N)) * 0.2
    before = asked(networks, Z)
    jump = abs(asked(networks, (Z - 0.05) / 1.1) - before).max()
    move_inputs(networks, (center, factor), (np.full(N, 0.05), np.full(N, 1 / 1.1)), np.ones(N))
    assert abs(asked(networks, (Z - 0.05) / 1.1) - before).max() < jump / 10


def test_new_target_statistics_leave_predictions_where_they_are():
    networks = fleet(SquaredError(), np.zeros((K, N)), np.ones((K, N)))
    before = asked(networks, X)
    assert move_target(networks, np.array([100.0, -3.0]), np.array([7.0, 1e-3]))
    np.testing.assert_allclose(asked(networks, X), before, rtol=1e-9)
    assert networks.target_scale[:, 0].tolist() == [[7.0, 1e-3]] * K


def test_counts_are_moved_by_their_logarithm():
    networks = fleet(PoissonLoss(), np.zeros((K, N)), np.full((K, N), 0.05))
    before = asked(networks, X)
    weight = networks.weights[-1].data.clone()
    assert move_target(networks, np.zeros(2), np.array([4.0, 0.1]))
    np.testing.assert_allclose(asked(networks, X), before, rtol=1e-10)
    torch.testing.assert_close(networks.weights[-1].data, weight)


def test_a_target_that_was_constant_begins_at_its_constant():
    scale = torch.zeros(K, 1, OUT, dtype=torch.float64)
    networks = fleet(SquaredError(), np.zeros((K, N)), np.ones((K, N)), scale=scale)
    constant = asked(networks, X)
    assert (constant == constant[:1]).all()
    move_target(networks, np.array([10.0, 2.0]), np.array([3.0, 0.0]))
    moved = asked(networks, X)
    np.testing.assert_allclose(moved[..., 0], constant[..., 0], rtol=1e-10)
    assert (moved[..., 1] == 2.0).all()


class Squared(SquaredError):
    """A link that nobody here knows how to undo."""

    def link(self, raw):
        return raw.square()


def test_a_link_that_cannot_be_undone_keeps_its_statistics():
    networks = fleet(Squared(), np.zeros((K, N)), np.ones((K, N)))
    before, scale = asked(networks, X), networks.target_scale.clone()
    assert not move_target(networks, np.zeros(2), np.ones(2))
    np.testing.assert_array_equal(asked(networks, X), before)
    torch.testing.assert_close(networks.target_scale, scale)


@pytest.mark.parametrize(("task", "expected"), [("regression", True), ("multiclass", False)])
def test_a_cost_of_ones_own_has_the_identity_for_numbers_only(task, expected):
    assert CustomCost(lambda output, target: (output - target) ** 2, "mine", task).has_identity_link is expected
