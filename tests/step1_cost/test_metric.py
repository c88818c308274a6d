"""Costs on distances: losses against brute force over all triplets and pairs, gradients, rows that are not there."""

import pickle
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sk_dlsteps.step1_cost.choice import choose_cost, learns_embeddings
from sk_dlsteps.step1_cost.cost import CrossEntropy, SquaredError
from sk_dlsteps.step1_cost.metric import ContrastiveLoss, MetricCost, TripletLoss

COSTS = [TripletLoss(0.7, 3), ContrastiveLoss(2.0, 3)]
few = settings(max_examples=20, deadline=None)


def rows(seed, n_rows=9, n_classes=3, size=1.0):
    """Embeddings of three numbers and classes of a few rows."""
    generator = torch.Generator().manual_seed(seed)
    raw = size * torch.randn(n_rows, 3, generator=generator, dtype=torch.float64)
    return raw, torch.randint(n_classes, (n_rows,), generator=generator)


def hardest_triplets(raw, y, margin):
    """The largest hinge over all triplets of each anchor, one by one."""
    losses = []
    for a in range(len(raw)):
        positive = [p for p in range(len(raw)) if y[p] == y[a] and p != a]
        negative = [n for n in range(len(raw)) if y[n] != y[a]]
        distance = [float((raw[a] - other).norm()) for other in raw]
        hinges = [max(0.0, margin + distance[p] - distance[n]) for p, n in product(positive, negative)]
        losses.append(max(hinges, default=0.0))
    return torch.tensor(losses, dtype=raw.dtype)


def pairs_one_by_one(raw, y, margin, counts):
    """Means of the losses of a row's pairs, weighted by the partner's count."""
    losses = []
    for a in range(len(raw)):
        means = []
        for same in (True, False):
            partners = [j for j in range(len(raw)) if j != a and (y[j] == y[a]).item() is same and counts[j] > 0]
            distance = [float((raw[a] - raw[j]).norm()) for j in partners]
            each = [d**2 / 2 if same else max(0.0, margin - d) ** 2 / 2 for d in distance]
            means.append(np.average(each, weights=[float(counts[j]) for j in partners]) if each else 0.0)
        losses.append(sum(means))
    return torch.tensor(losses, dtype=raw.dtype)


@given(seed=st.integers(0, 10**6), n_classes=st.integers(1, 5))
@few
def test_the_triplet_loss_is_the_hardest_of_all_triplets(seed, n_classes):
    raw, y = rows(seed, n_classes=n_classes)
    torch.testing.assert_close(TripletLoss(0.7, 3)(raw, y), hardest_triplets(raw, y, 0.7))


@given(seed=st.integers(0, 10**6), n_classes=st.integers(1, 5))
@few
def test_the_contrastive_loss_is_the_mean_over_all_pairs_of_each_kind(seed, n_classes):
    raw, y = rows(seed, n_classes=n_classes)
    counts = torch.rand(len(raw), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    cost = ContrastiveLoss(2.0, 3)
    torch.testing.assert_close(cost(raw, y), pairs_one_by_one(raw, y, 2.0, torch.ones(len(raw))))
    torch.testing.assert_close(cost(raw, y, counts), pairs_one_by_one(raw, y, 2.0, counts))


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.name)
@given(seed=st.integers(0, 10**6))
@few
def test_the_gradient_is_right(cost, seed):
    raw, y = rows(seed)
    counts = torch.tensor([1.0, 0.5, 0.0, 2.0, 1.0, 1.0, 0.0, 1.0, 3.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda raw: cost(raw, y), raw.requires_grad_())
    assert torch.autograd.gradcheck(lambda raw: cost(raw, y, counts), raw)


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.name)
@given(seed=st.integers(0, 10**6))
@few
def test_losses_go_with_their_rows_in_any_order(cost, seed):
    raw, y = rows(seed)
    order = torch.randperm(len(raw), generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(cost(raw[order], y[order]), cost(raw, y)[order])


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.name)
@given(seed=st.integers(0, 10**6))
@few
def test_rows_that_count_nothing_are_not_there(cost, seed):
    raw, y = rows(seed)
    there = torch.tensor([1, 1, 0, 1, 0, 1, 1, 1, 0], dtype=torch.bool)
    losses, gradient = cost.counted_gradient(raw, y, there.double())
    expected, by_raw = cost.value_and_gradient(raw[there], y[there])
    torch.testing.assert_close(losses[there], expected)
    torch.testing.assert_close(gradient[there], by_raw)
    assert not losses[~there].any()
    assert not gradient[~there].any()


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.name)
def test_rows_of_a_fleet_are_compared_within_their_network(cost):
    pairs = [rows(seed) for seed in range(3)]
    raw, y = (torch.stack(part) for part in zip(*pairs, strict=True))
    torch.testing.assert_close(cost(raw, y), torch.stack([cost(*pair) for pair in pairs]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.name)
@pytest.mark.parametrize("size", [0.0, 1e-20, 1e6])
def test_losses_and_gradients_of_equal_and_of_far_rows_are_finite(cost, dtype, size):
    raw, y = rows(0, size=size)
    raw[3] = raw[4]
    losses, gradient = cost.value_and_gradient(raw.to(dtype), y)
    assert losses.isfinite().all()
    assert gradient.isfinite().all()


def test_rows_that_are_almost_equal_get_gradients_of_bounded_size():
    raw = 1 + 1e-4 * torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    y = torch.arange(40) % 2
    for cost in (TripletLoss(0.7, 3), ContrastiveLoss(1.0, 3)):
        _, gradient = cost.value_and_gradient(raw, y)
        assert gradient.norm(dim=1).max() < 100


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.name)
def test_a_row_whose_partners_are_missing_loses_nothing(cost):
    raw, _ = rows(0, n_rows=2)
    assert float(TripletLoss(0.7, 3)(raw, torch.tensor([0, 1])).sum()) == 0
    assert float(TripletLoss(0.7, 3)(raw, torch.tensor([0, 0])).sum()) == 0
    assert float(cost(raw[:1], torch.tensor([0])).sum()) == 0


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.name)
def test_soft_labels_are_refused_with_the_way_out(cost):
    with pytest.raises(ValueError, match=f"`loss='{cost.name}'` compares rows by their class.*gaussian_noise"):
        cost(torch.zeros(2, 3), torch.tensor([[0.5, 0.5], [1.0, 0.0]]))


@pytest.mark.parametrize("kind", [TripletLoss, ContrastiveLoss])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"margin": 0}, "`margin` must be a number above 0, got 0"),
        ({"margin": float("inf")}, "`margin` must be"),
        ({"margin": True}, "`margin` must be"),
        ({"embedding_size": 0}, "`embedding_size` must be an integer of at least 1, got 0"),
        ({"embedding_size": 2.5}, "`embedding_size` must be"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_cost_is_taken_as_it_is_on_a_copy(task):
    mine = TripletLoss(0.5, 7)
    cost, record = choose_cost(mine, task)
    assert (cost.margin, cost.n_outputs(3)) == (0.5, 7)
    assert cost is not mine
    assert "margin 0.5" in record.decision
    assert isinstance(choose_cost(ContrastiveLoss, task)[0], ContrastiveLoss)


class Cosine(MetricCost):
    """A user's own cost: how far a row turns from those of its class."""

    name, title = "cosine", "cosine distance"

    def compare(self, embedding, positive, negative, counts):
        unit = torch.nn.functional.normalize(embedding, dim=-1)
        return ((1 - unit @ unit.mT) * positive).sum(-1)


@pytest.mark.parametrize(
    ("loss", "task", "message"),
    [
        ("triplet", "regression", "`loss='triplet'` is a cost for a binary or multiclass target; this one is regress"),
        (TripletLoss(), "multilabel", "`loss='triplet'` is a cost for a binary or multiclass target.*Use 'auto'"),
        (SquaredError(), "multiclass", "is a cost for a regression target"),
        (Cosine(1.0), "regression", "`loss=Cosine` takes targets as 'codes', which does not fit a regression target"),
    ],
)
def test_a_cost_for_another_task_is_refused(loss, task, message):
    with pytest.raises(ValueError, match=message):
        choose_cost(loss, task)


def test_a_cost_of_ones_own_is_a_few_lines():
    cost, _ = choose_cost(Cosine(1.0, 2), "multiclass")
    raw = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    torch.testing.assert_close(cost(raw, torch.tensor([0, 0, 1])), torch.tensor([1.0, 1.0, 0.0]))


def test_a_metric_cost_without_a_comparison_says_so():
    with pytest.raises(TypeError, match="MetricCost defines no loss"):
        MetricCost(1.0, 3)(*rows(0))


def test_embeddings_are_told_from_other_losses():
    assert all(map(learns_embeddings, ["triplet", "contrastive", TripletLoss, ContrastiveLoss(), Cosine(1.0)]))
    assert not any(
        map(learns_embeddings, ["auto", "cross_entropy", CrossEntropy, SquaredError(), len, torch.nn.Linear])
    )


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.name)
def test_a_metric_cost_pickles_and_has_nothing_to_train(cost):
    torch.testing.assert_close(pickle.loads(pickle.dumps(cost))(*rows(0)), cost(*rows(0)))
    assert not list(cost.parameters())
