"""Dropout: how often, how strong, and whose random numbers."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch

from sk_dlsteps.engine.dropout import Dropout
from sk_dlsteps.engine.mlp_fleet import ACTIVATIONS, MLPFleet
from sk_dlsteps.step1_cost.choice import choose_cost

TORCH = {"relu": torch.relu, "tanh": torch.tanh, "silu": torch.nn.functional.silu, "gelu": torch.nn.functional.gelu}


def dropout(rates, widths, seeds):
    """Masks of networks that agree in rates and widths."""
    shape = (len(rates), len(seeds))
    rates, widths = (np.broadcast_to(np.array(own)[:, None], shape) for own in (rates, widths))
    return Dropout(rates, widths, seeds)


def ones(n_networks, n_rows, units):
    """Activations of 1."""
    return torch.ones(n_networks, n_rows, units, dtype=torch.float64)


def sizes(like):
    """Every row counts."""
    return np.full(like.shape[0], like.shape[1])


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_masks_drop_their_share_and_keep_the_expectation(rate):
    like = ones(2, 500, 400)
    mask = dropout([rate], [400], [1, 2]).mask(0, sizes(like), like)
    level = round(rate * 256) / 256
    assert torch.unique(mask).tolist() == pytest.approx([0, 1 / (1 - level)])
    for own in mask:
        error = 4 / np.sqrt(own.numel())
        assert float((own == 0).double().mean()) == pytest.approx(level, abs=error * np.sqrt(level * (1 - level)))
        assert float(own.mean()) == pytest.approx(1, abs=error * np.sqrt(level / (1 - level)))
        # No row and no unit is favoured.
        for dim in (0, 1):
            spread = own.mean(dim).var() * own.shape[dim] * (1 - level) / level
            assert 0.7 < float(spread) < 1.3


def test_a_rate_is_rounded_to_a_256th_and_never_drops_everything():
    like = ones(1, 1000, 256)
    assert dropout([0.001], [256], [0]).mask(0, sizes(like), like) is None
    nearly_all = dropout([0.9999], [256], [0]).mask(0, sizes(like), like)
    assert torch.unique(nearly_all).tolist() == [0, 256]
    assert dropout([0.0, 0.5], [256, 256], [0]).mask(0, sizes(like), like) is None


def test_networks_and_looks_differ_but_the_same_seed_gives_the_same_masks():
    like = ones(3, 10, 16)
    masks, again = dropout([0.5], [16], [1, 2, 1]), dropout([0.5], [16], [1, 2, 1])
    first, second = (masks.mask(0, sizes(like), like) for _ in range(2))
    assert torch.equal(first, again.mask(0, sizes(like), like))
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)


def test_a_networks_masks_do_not_depend_on_its_mates_their_rows_or_what_fills_it_up():
    rates, widths = np.array([[0.25, 0.5, 0.0], [0.5, 0.3, 0.4]]), np.array([[7, 20, 9], [5, 3, 13]])
    together = Dropout(rates, widths, [1, 2, 3])
    alone = [Dropout(rates[:, k : k + 1], widths[:, k : k + 1], [k + 1]) for k in range(3)]
    for rows in ([4, 6, 5], [6, 1, 2], [3, 3, 3]):
        for layer in range(2):
            mask = together.mask(layer, np.array(rows), ones(3, 6, 20))
            for k in range(3):
                own = ones(1, rows[k], widths[layer, k])
                expected = alone[k].mask(layer, np.array(rows[k : k + 1]), own)
                expected = own if expected is None else expected
                assert torch.equal(mask[k, : rows[k], : widths[layer, k]], expected[0])


def test_masks_follow_their_network_into_another_order():
    rates, widths = np.array([[0.25, 0.5, 0.75]]), np.array([[4, 8, 6]])
    moved, stayed = Dropout(rates, widths, [1, 2, 3]), Dropout(rates, widths, [1, 2, 3])
    order = [2, 0, 1]
    moved.reorder(order)
    mask, expected = (d.mask(0, np.full(3, 5), ones(3, 5, 8)) for d in (moved, stayed))
    for place, k in enumerate(order):
        assert torch.equal(mask[place, :, : widths[0, k]], expected[k, :, : widths[0, k]])
    # Only the first ones that still train draw.
    two = moved.mask(0, np.full(2, 5), ones(2, 5, 8))
    assert torch.equal(two[0, :, :6], stayed.mask(0, np.full(3, 5), ones(3, 5, 8))[2, :, :6])


def dropped_fleet(activation="relu", widths=(3, 8, 6, 2), rates=(0.25, 0.5), n_networks=3):
    """Random float64 networks with dropout."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(n_networks, a, b, generator=generator, dtype=torch.float64) for a, b in pairwise(widths)]
    weights[-1] = weights[-1].mT.contiguous()
    biases = [torch.randn(n_networks, 1, b, generator=generator, dtype=torch.float64) for b in widths[1:]]
    zeros = torch.zeros(n_networks, 1, widths[0], dtype=torch.float64)
    return MLPFleet(
        weights,
        biases,
        activation,
        dropout=dropout(rates, widths[1:-1], range(n_networks)),
        cost=choose_cost("squared_error", "regression")[0],
        input_center=zeros,
        input_factor=zeros + 1,
    )


def batch(n_networks=3, n_rows=12, n_inputs=3, n_outputs=2):
    """Inputs and targets."""
    generator = torch.Generator().manual_seed(1)
    shapes = (n_networks, n_rows, n_inputs), (n_networks, n_rows, n_outputs)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rates", [(0.0, 0.5), (0.25, 0.0), (0.25, 0.5)])
def test_gradients_behind_masks_equal_autograd(activation, rates):
    fleet = dropped_fleet(activation, rates=rates)
    x, target = batch()
    masks = copy.deepcopy(fleet.dropout)
    losses, raw = fleet.gradients(x, target)
    parameters = [p.detach().clone().requires_grad_() for p in (*fleet.weights, *fleet.biases)]
    *weights, last = parameters[:3]
    a = x
    for layer, (w, b) in enumerate(zip(weights, parameters[3:], strict=False)):
        a = TORCH[activation](a @ w + b)
        mask = masks.mask(layer, np.full(3, 12), a)
        a = a if mask is None else a * mask
    expected_raw = a @ last.mT + parameters[-1]
    expected = fleet.cost(expected_raw, target)
    expected.mean(1).sum().backward()
    torch.testing.assert_close(raw, expected_raw.detach(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(losses, expected.detach(), rtol=1e-10, atol=1e-10)
    for p, q in zip((*fleet.weights, *fleet.biases), parameters, strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-10, atol=1e-10)


def test_nothing_is_dropped_in_predictions_nor_where_gradients_are_only_looked_at():
    fleet, plain = dropped_fleet(), dropped_fleet()
    plain.dropout = None
    x, target = batch()
    assert torch.equal(fleet.raw(x), plain.raw(x))
    untouched = copy.deepcopy(fleet.dropout)
    norms, dead = fleet.signals(x, target)
    expected_norms, expected_dead = plain.signals(x, target)
    assert torch.equal(norms, expected_norms)
    assert torch.equal(dead, expected_dead)
    like = ones(3, 4, 8)
    assert torch.equal(fleet.dropout.mask(0, sizes(like), like), untouched.mask(0, sizes(like), like))


@pytest.mark.parametrize("other", [copy.deepcopy, lambda fleet: pickle.loads(pickle.dumps(fleet))])
def test_a_copied_fleet_goes_on_with_the_masks_of_the_original(other):
    fleet = dropped_fleet()
    x, target = batch()
    fleet.gradients(x, target)
    twin = other(fleet)
    for _ in range(2):
        losses, _ = fleet.gradients(x, target)
        assert torch.equal(twin.gradients(x, target)[0], losses)


def test_the_mean_over_many_masks_is_near_the_network_without_any():
    fleet = dropped_fleet(widths=(3, 400, 2), rates=(0.5,), n_networks=1)
    x = batch(1)[0].expand(1, 12, 3)
    raws = torch.stack([fleet.gradients(x, torch.zeros(1, 12, 2, dtype=torch.float64))[1] for _ in range(300)])
    error = raws.std(0) / np.sqrt(len(raws))
    assert (raws.std(0) > 0).all()
    assert ((raws.mean(0) - fleet.raw(x)).abs() < 5 * error).all()


def test_a_training_with_dropout_is_repeatable_and_differs_from_one_without(small_fleets):
    fleets = small_fleets()
    build = {"dropout": (0.25, 0.5), "widths": (6, 5)}
    first, again = (fleets.fit(build=build, max_epochs=4).network_predictions(fleets.Z) for _ in range(2))
    without = fleets.fit(build={"widths": (6, 5)}, max_epochs=4).network_predictions(fleets.Z)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, without)
