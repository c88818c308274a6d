"""Losses, gradients and links of every cost, against torch."""

import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from sk_dlsteps.step1_cost.choice import COSTS, choose_cost
from sk_dlsteps.step1_cost.cost import Cost, CrossEntropy

# Of one row at a time: test_metric.py has those that compare rows.
EVERY = [(task, name) for task, costs in COSTS.items() for name, cost in costs.items() if not cost.compares_rows]
CLASSES = [pair for pair in EVERY if pair[0] in ("binary", "multiclass")]


def pinball(raw, y):
    """Mean pinball loss of five quantiles, the third of which is a raw output and the others are steps from it."""
    raw = raw.unflatten(-1, (-1, 5))
    down, middle, up = F.softplus(raw[..., :2]), raw[..., 2:3], F.softplus(raw[..., 3:])
    values = torch.cat([middle - down.flip(-1).cumsum(-1).flip(-1), middle, middle + up.cumsum(-1)], -1)
    error, levels = y[..., None] - values, torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=raw.dtype)
    return torch.where(error > 0, levels * error, (levels - 1) * error).mean((-1, -2))


REFERENCE = {
    "squared_error": lambda raw, y: F.mse_loss(raw, y, reduction="none").mean(-1),
    "absolute_error": lambda raw, y: F.l1_loss(raw, y, reduction="none").mean(-1),
    "huber": lambda raw, y: F.huber_loss(raw, y, reduction="none").mean(-1),
    "poisson": lambda raw, y: F.poisson_nll_loss(raw, y, reduction="none").mean(-1),
    "quantile": lambda raw, y: pinball(raw, y),
    "binary_cross_entropy": lambda raw, y: F.binary_cross_entropy_with_logits(
        raw, y.double().view(len(y), -1), reduction="none"
    ).mean(-1),
    "cross_entropy": lambda raw, y: F.cross_entropy(raw, y, reduction="none"),
    "smoothed_cross_entropy": lambda raw, y: F.cross_entropy(raw, y, reduction="none", label_smoothing=0.1),
}


def random_rows(task, cost, n_columns, seed, n_rows=7, size=3.0):
    """Raw outputs and targets of a few rows."""
    generator = torch.Generator().manual_seed(seed)
    raw = size * torch.randn(n_rows, cost.n_outputs(n_columns), generator=generator, dtype=torch.float64)
    if task == "multilabel":
        return raw, torch.randint(2, raw.shape, generator=generator).double()
    if task != "regression":
        return raw, torch.randint(n_columns, (n_rows,), generator=generator)
    y = size * torch.randn(n_rows, n_columns, generator=generator, dtype=torch.float64)
    return raw, y.abs() if cost.target_scaling == "scale" else y


def columns(task):
    """Numbers of target columns or classes to try."""
    return {"regression": (1, 4), "binary": (2,), "multiclass": (3, 9), "multilabel": (2, 6)}[task]


@pytest.mark.parametrize(("task", "name"), EVERY)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([0.01, 1.0, 4.0]))
@settings(max_examples=15, deadline=None)
def test_the_loss_is_torchs_own(task, name, seed, size):
    cost, _ = choose_cost(name, task)
    for n_columns in columns(task):
        raw, y = random_rows(task, cost, n_columns, seed, size=size)
        torch.testing.assert_close(cost(raw, y), REFERENCE[name](raw, y), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("task", "name"), EVERY)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([0.01, 1.0, 4.0]))
@settings(max_examples=15, deadline=None)
def test_the_closed_form_gradient_equals_autograd(task, name, seed, size):
    cost, _ = choose_cost(name, task)
    for n_columns in columns(task):
        raw, y = random_rows(task, cost, n_columns, seed, size=size)
        losses, gradient = cost.value_and_gradient(raw, y)
        expected_losses, expected = Cost.value_and_gradient(cost, raw, y)
        torch.testing.assert_close(losses, expected_losses, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("task", "name"), [pair for pair in EVERY if pair[1] != "poisson"])
def test_losses_and_gradients_of_huge_outputs_are_finite(task, name):
    cost, _ = choose_cost(name, task)
    losses, gradient = cost.value_and_gradient(*random_rows(task, cost, columns(task)[-1], 0, size=1e6))
    assert losses.isfinite().all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_losses_of_a_fleet_are_those_of_its_networks(task, name):
    cost, _ = choose_cost(name, task)
    pairs = [random_rows(task, cost, columns(task)[-1], seed) for seed in range(3)]
    raw, y = (torch.stack(part) for part in zip(*pairs, strict=True))
    torch.testing.assert_close(cost(raw, y), torch.stack([cost(*pair) for pair in pairs]))


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_raw_outputs_and_targets_are_left_as_they_were(task, name):
    cost, _ = choose_cost(name, task)
    raw, y = random_rows(task, cost, columns(task)[-1], 0)
    raw_before, y_before = raw.clone(), y.clone()
    cost(raw, y)
    cost.value_and_gradient(raw, y)
    cost.link(raw)
    assert torch.equal(raw, raw_before)
    assert torch.equal(y, y_before)


@pytest.mark.parametrize(("task", "name"), CLASSES)
def test_class_predictions_are_probabilities_in_the_order_of_the_codes(task, name):
    cost, _ = choose_cost(name, task)
    n_classes = columns(task)[-1]
    probabilities = cost.link(random_rows(task, cost, n_classes, 0, size=100.0)[0])
    assert probabilities.shape == (7, n_classes)
    assert (probabilities >= 0).all()
    torch.testing.assert_close(probabilities.sum(1), torch.ones(7, dtype=torch.float64))
    raw = torch.zeros(1, cost.n_outputs(n_classes), dtype=torch.float64)
    raw[0, -1] = 5.0
    assert cost.link(raw).argmax() == n_classes - 1


def soften(y, cost, n_classes, seed=0):
    """Class codes as probabilities: of the second class for a single logit, or of all classes."""
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(len(y), 1, generator=generator, dtype=torch.float64)
    other = torch.randint(n_classes, y.shape, generator=generator)
    soft = share * F.one_hot(y, n_classes) + (1 - share) * F.one_hot(other, n_classes)
    return soft[:, 1] if cost.n_outputs(n_classes) == 1 else soft


@pytest.mark.parametrize(("task", "name"), CLASSES)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([0.01, 1.0, 4.0]))
@settings(max_examples=15, deadline=None)
def test_soft_labels_give_torchs_loss_and_autograds_gradient(task, name, seed, size):
    cost, _ = choose_cost(name, task)
    for n_classes in columns(task):
        raw, y = random_rows(task, cost, n_classes, seed, size=size)
        soft = soften(y, cost, n_classes, seed)
        before = soft.clone()
        expected_losses, expected = Cost.value_and_gradient(cost, raw, soft)
        torch.testing.assert_close(cost(raw, soft), REFERENCE[name](raw, soft), rtol=1e-10, atol=1e-10)
        losses, gradient = cost.value_and_gradient(raw, soft)
        torch.testing.assert_close(losses, expected_losses, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-10)
        assert torch.equal(soft, before)


@pytest.mark.parametrize(("task", "name"), CLASSES)
def test_certain_soft_labels_are_codes(task, name):
    cost, _ = choose_cost(name, task)
    n_classes = columns(task)[-1]
    raw, y = random_rows(task, cost, n_classes, 0)
    certain = y.double() if cost.n_outputs(n_classes) == 1 else F.one_hot(y, n_classes).double()
    for soft, hard in zip(cost.value_and_gradient(raw, certain), cost.value_and_gradient(raw, y), strict=True):
        torch.testing.assert_close(soft, hard, rtol=1e-10, atol=1e-10)


def test_labels_have_a_probability_each_which_need_not_sum_to_one():
    cost, _ = choose_cost("auto", "multilabel")
    raw = torch.tensor([[0.0, 5.0, -5.0]], dtype=torch.float64)
    torch.testing.assert_close(cost.link(raw), torch.sigmoid(raw))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_the_loss_of_labels_is_linear_in_them_so_that_they_may_be_soft(seed):
    cost, _ = choose_cost("auto", "multilabel")
    (raw, one), (_, other) = (random_rows("multilabel", cost, 4, seed + i) for i in range(2))
    torch.testing.assert_close(cost(raw, one.lerp(other, 0.3)), cost(raw, one).lerp(cost(raw, other), 0.3))


def test_probabilities_too_small_for_normal_numbers_leave_the_gradient_of_cross_entropy_as_it_is():
    raw = torch.tensor([[0.0, -95.0, -300.0]], dtype=torch.float64)
    _, gradient = CrossEntropy().value_and_gradient(raw.float(), torch.tensor([0]))
    torch.testing.assert_close(gradient.double(), torch.zeros_like(raw), rtol=0, atol=1e-37)
    _, soft = CrossEntropy().value_and_gradient(raw.float(), torch.tensor([1]))
    torch.testing.assert_close(soft, torch.tensor([[1.0, -1.0, 0.0]]))


def test_poisson_predictions_are_positive():
    cost, _ = choose_cost("poisson", "regression")
    raw = torch.linspace(-50, 50, 11, dtype=torch.float64)
    torch.testing.assert_close(cost.link(raw), raw.exp())
    assert (cost.link(raw) > 0).all()


@pytest.mark.parametrize("name", ["squared_error", "absolute_error", "huber"])
def test_other_regression_predictions_are_the_raw_outputs(name):
    raw = torch.linspace(-5, 5, 11)
    assert choose_cost(name, "regression")[0].link(raw) is raw


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_every_cost_pickles(task, name):
    cost, _ = choose_cost(name, task)
    raw, y = random_rows(task, cost, columns(task)[0], 0)
    torch.testing.assert_close(pickle.loads(pickle.dumps(cost))(raw, y), cost(raw, y))


def test_smoothing_nothing_is_plain_cross_entropy():
    raw, y = random_rows("multiclass", CrossEntropy(), 3, 0)
    torch.testing.assert_close(CrossEntropy(0.0)(raw, y), F.cross_entropy(raw, y, reduction="none"))


def test_a_printed_cost_shows_its_name():
    assert repr(CrossEntropy()) == "CrossEntropy(cross_entropy)"


def test_a_cost_without_a_loss_says_so():
    with pytest.raises(TypeError, match="Cost defines no loss"):
        Cost()(torch.zeros(1, 1), torch.zeros(1, 1))


def test_a_cost_in_a_network_has_no_parameters_to_train():
    for task, name in EVERY:
        assert not list(choose_cost(name, task)[0].parameters())
    assert isinstance(choose_cost("auto", "binary")[0], nn.Module)
