"""Costs that compare rows see those of their own network, and of those only such as are there."""

import numpy as np
import pytest
import torch

from sk_dlsteps.engine.batches import to_tensors
from sk_dlsteps.engine.merge import merge, split
from sk_dlsteps.engine.validation_rows import ValidationData
from sk_dlsteps.step1_cost.metric import ContrastiveLoss, TripletLoss

LOSSES = [TripletLoss(0.5, 3), ContrastiveLoss(2.0, 3)]
N_NETWORKS = 7


def spread(output, target):
    """A user's own cost: how far each output lies from the mean of those shown with it."""
    return (output - output.mean(0)).square().sum(-1) + output[torch.arange(len(output)), target]


class Linear(torch.nn.Linear):
    """A user's own module."""


def uneven(fleets):
    """The same networks, each with another number of validation rows."""
    fleets.valid = [own[: 3 + k] for k, own in enumerate(fleets.valid)]
    return fleets


@pytest.mark.parametrize("module", [None, Linear], ids=["mlp", "module"])
@pytest.mark.parametrize("loss", [*LOSSES, spread], ids=["triplet", "contrastive", "callable"])
def test_a_network_equals_itself_alone_with_folds_of_different_sizes(small_fleets, loss, module):
    # A shift of all embeddings changes no distance, so that the gradient of the last bias is rounding, of which Adam
    # would make whole steps.
    settings = {"optimizer": "sgd", "lr": 0.01, "build": {"module": module}, "max_epochs": 10, "batch_size": 8}
    fleets = uneven(small_fleets("multiclass", loss))
    together = fleets.fit(**settings)
    predictions = together.network_predictions(fleets.Z)
    for k in (0, 3, 6):
        alone = fleets.fit([k], **settings)
        assert together.best_epochs_[k] == alone.best_epochs_[0]
        assert together.best_losses_[k] == pytest.approx(alone.best_losses_[0], rel=1e-9)
        np.testing.assert_allclose(predictions[:, k], alone.network_predictions(fleets.Z)[:, 0], rtol=1e-8, atol=1e-8)


def batch_of(fleets, fleet, n_rows=12):
    """A minibatch of the first rows of every network, prepared."""
    index = np.stack([own[:n_rows] for own in fleets.train])
    x, y = to_tensors(fleets.Z, fleets.target.values, fleet, torch.float64)
    return fleet.prepare(x[index]), y[index]


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("loss", [*LOSSES, spread], ids=["triplet", "contrastive", "callable"])
def test_rows_that_fill_up_smaller_minibatches_have_no_part_in_losses_or_gradients(small_fleets, loss, weighted):
    fleets = small_fleets("multiclass", loss)
    fleet = fleets.builder()()
    x, target = batch_of(fleets, fleet)
    sizes = np.array([12, 11, 10, 9, 8, 7, 6])
    weight = torch.rand(N_NETWORKS, 12, generator=torch.Generator().manual_seed(0), dtype=x.dtype) if weighted else None
    losses, _ = fleet.gradients(x, target, sizes, weight)
    together = [g.clone() for g in fleet.gradient_tensors(N_NETWORKS)]
    for k, size in enumerate(sizes):
        alone = fleets.builder([k])()
        own_weight = None if weight is None else weight[k : k + 1, :size]
        expected, _ = alone.gradients(x[k : k + 1, :size], target[k : k + 1, :size], None, own_weight)
        torch.testing.assert_close(losses[k, :size], expected[0])
        assert not losses[k, size:].any()
        for own, single in zip(together, alone.gradient_tensors(1), strict=True):
            torch.testing.assert_close(own[k], single[0])


@pytest.mark.parametrize("module", [None, Linear], ids=["mlp", "module"])
@pytest.mark.parametrize("loss", [*LOSSES, spread], ids=["triplet", "contrastive", "callable"])
def test_rows_of_weight_0_change_nothing(small_fleets, loss, module):
    fleets = small_fleets("multiclass", loss)
    fleet = fleets.builder(module=module)()
    x, target = batch_of(fleets, fleet)
    weight = torch.ones(N_NETWORKS, 12, dtype=x.dtype)
    weight[:, ::4] = 0
    fleet.gradients(x, target, None, weight)
    before = [g.clone() for g in fleet.gradient_tensors(N_NETWORKS)]
    x[:, ::4], target[:, ::4] = 7.0, 1
    fleet.gradients(x, target, None, weight)
    for one, other in zip(before, fleet.gradient_tensors(N_NETWORKS), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("loss", [*LOSSES, spread], ids=["triplet", "contrastive", "callable"])
def test_many_validation_rows_are_compared_in_blocks_that_depend_on_their_own_network_alone(small_fleets, loss):
    fleets = small_fleets("multiclass", loss)
    fleet = fleets.builder([0, 1])()
    x, y = to_tensors(fleets.Z, fleets.target.values, fleet, torch.float64)
    few, many = np.arange(100), np.resize(np.arange(280), 700)
    losses, raw = ValidationData(x, y, [few, many], fleet).evaluate(fleet)
    assert raw.shape[:2] == (2, 700)
    for k, rows in enumerate((few, many)):
        n_blocks = -(-len(rows) // 256)
        anywhere = np.random.default_rng(len(rows)).permutation(len(rows))
        blocks = [anywhere[i::n_blocks] for i in range(n_blocks)]
        total = sum(float(fleet.cost(raw[k : k + 1, own], y[rows[own]][None]).sum()) for own in blocks)
        assert float(losses[k]) == pytest.approx(total / len(rows))


def test_merged_fleets_give_the_centres_back(small_fleets):
    fleets = small_fleets("multiclass", LOSSES[0])
    parts = [fleets.builder([0, 1])(), fleets.builder([2])()]
    merged = merge(parts)
    merged.class_centers.copy_(torch.arange(27.0).view(3, 3, 3))
    merged.class_shares.copy_(torch.arange(9.0).view(3, 3, 1))
    split(merged, parts)
    assert torch.equal(torch.cat([p.class_centers for p in parts]), merged.class_centers)
    assert torch.equal(torch.cat([p.class_shares for p in parts]), merged.class_shares)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda cost: cost.name)
def test_centres_are_the_mean_embeddings_of_each_networks_own_training_rows(small_fleets, loss):
    fleets = small_fleets("multiclass", loss)
    net = fleets.fit(max_epochs=6, optimizer="sgd", lr=0.01)
    embeddings, classes = net.embeddings(fleets.Z), fleets.target.values
    for k, own in enumerate(fleets.train):
        expected = [embeddings[own[classes[own] == c], k].mean(0) for c in range(3)]
        np.testing.assert_allclose(net.module_.class_centers[k], expected)
        shares = np.bincount(classes[own], minlength=3) / len(own)
        squared = ((embeddings[:, k, None] - np.array(expected)) ** 2).sum(-1)
        scores = np.exp(-squared) * shares
        predicted = net.network_predictions(fleets.Z)[:, k]
        np.testing.assert_allclose(predicted, scores / scores.sum(1, keepdims=True), atol=1e-9)


def test_a_class_without_rows_is_the_least_likely(small_fleets):
    fleets = small_fleets("multiclass", LOSSES[0])
    net = fleets.fit([0], max_epochs=2)
    net.module_.class_shares.fill_(1 / 3)
    net.module_.class_centers[0, 2] = torch.nan
    predictions = net.network_predictions(fleets.Z)
    assert np.isfinite(predictions).all()
    assert (predictions.argmin(-1) == 2).all()
    net.module_.class_centers.fill_(torch.nan)
    np.testing.assert_allclose(net.network_predictions(fleets.Z), 1 / 3)
