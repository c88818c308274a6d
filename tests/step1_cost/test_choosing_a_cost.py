"""Which cost a target, a name, a torch criterion or a function leads to."""

import pickle
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sk_dlsteps.step1_cost.choice import COSTS, choose_cost
from sk_dlsteps.step1_cost.cost import PoissonLoss


def pinball(output, target):
    """A user's cost: the loss of the 0.9 quantile."""
    error = (target - output)[:, 0]
    return torch.maximum(0.9 * error, -0.1 * error)


def total(output, target):
    """A user's cost that is linear in the output."""
    return output.sum(-1)


@pytest.mark.parametrize(
    ("task", "name", "title"),
    [
        ("regression", "squared_error", "MSE"),
        ("binary", "binary_cross_entropy", "BCE with logits"),
        ("multiclass", "cross_entropy", "CE"),
        ("multilabel", "binary_cross_entropy", "BCE with logits, label by label"),
    ],
)
def test_the_article_decides_by_the_target(task, name, title):
    cost, record = choose_cost("auto", task)
    assert (cost.name, cost.title) == (name, title)
    assert (record.number, record.decision, record.evidence["loss"]) == (1, title, name)
    assert record.because.startswith(("the target", "each row"))


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, costs in COSTS.items() for name in costs])
def test_a_name_is_what_the_user_gets_and_the_record_says_so(task, name):
    cost, record = choose_cost(name, task)
    assert cost.name == name
    assert record.because == "chosen by you"


@pytest.mark.parametrize(
    ("loss", "task", "message"),
    [
        ("squared_error", "binary", "is a cost for a regression target; this one is binary"),
        ("poisson", "multiclass", "is a cost for a regression target"),
        ("cross_entropy", "regression", "is a cost for a binary or multiclass target"),
        ("binary_cross_entropy", "multiclass", "is a cost for a binary or multilabel target"),
        ("cross_entropy", "multilabel", "is a cost for a binary or multiclass target; this one is multilabel"),
        (nn.CrossEntropyLoss, "multilabel", "`loss=CrossEntropyLoss` does not fit a multilabel target"),
        ("squared_eror", "regression", r"is unknown; did you mean 'squared_error'\? Use"),
        ("zzz", "regression", r"is unknown\. Use 'auto' or one of \['absolute_error', 'huber'"),
        (nn.MSELoss, "binary", "`loss=MSELoss` does not fit a binary target"),
        (nn.L1Loss(), "multiclass", "`loss=L1Loss` does not fit a multiclass target"),
        (nn.CrossEntropyLoss, "regression", "`loss=CrossEntropyLoss` does not fit a regression target"),
        (nn.BCEWithLogitsLoss(), "multiclass", "`loss=BCEWithLogitsLoss` does not fit a multiclass target"),
        (nn.BCELoss, "binary", "`loss=BCELoss` does not fit a binary target"),
        (nn.BCELoss, "regression", "`loss=BCELoss` does not fit a regression target"),
    ],
)
def test_a_cost_that_does_not_fit_the_task_is_an_error(loss, task, message):
    with pytest.raises(ValueError, match=message):
        choose_cost(loss, task)


@pytest.mark.parametrize("as_instance", [False, True], ids=["class", "instance"])
@pytest.mark.parametrize(
    ("criterion", "task", "reference"),
    [
        (nn.MSELoss, "regression", lambda raw, y: F.mse_loss(raw, y, reduction="none").mean(-1)),
        (nn.SmoothL1Loss, "regression", lambda raw, y: F.smooth_l1_loss(raw, y, reduction="none").mean(-1)),
        (nn.PoissonNLLLoss, "regression", lambda raw, y: F.poisson_nll_loss(raw, y, reduction="none").mean(-1)),
        (nn.CrossEntropyLoss, "multiclass", lambda raw, y: F.cross_entropy(raw, y, reduction="none")),
        (nn.MultiMarginLoss, "multiclass", lambda raw, y: F.multi_margin_loss(raw, y, reduction="none")),
        (nn.NLLLoss, "multiclass", lambda raw, y: F.cross_entropy(raw, y, reduction="none")),
        (
            nn.BCEWithLogitsLoss,
            "binary",
            lambda raw, y: F.binary_cross_entropy_with_logits(raw[:, 0], y.to(raw.dtype), reduction="none"),
        ),
    ],
)
def test_a_torch_criterion_works_as_class_and_as_instance(criterion, task, reference, as_instance):
    cost, _ = choose_cost(criterion() if as_instance else criterion, task)
    generator = torch.Generator().manual_seed(0)
    n_columns = {"regression": 2, "binary": 2, "multiclass": 3}[task]
    raw = torch.randn(2, 5, cost.n_outputs(n_columns), generator=generator)
    y = raw.abs() + 1 if task == "regression" else torch.randint(n_columns, (2, 5), generator=generator)
    losses, gradient = cost.value_and_gradient(raw, y)
    flat = raw.flatten(0, 1).requires_grad_()
    expected = reference(flat, y.flatten(0, 1))
    torch.testing.assert_close(losses.flatten(), expected.detach())
    torch.testing.assert_close(gradient.flatten(0, 1), torch.autograd.grad(expected.sum(), flat)[0])


def test_a_criterions_own_settings_are_kept_and_the_users_instance_is_left_alone():
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]), label_smoothing=0.2)
    cost, record = choose_cost(criterion, "multiclass")
    raw, y = torch.eye(3), torch.tensor([2, 0, 1])
    expected = F.cross_entropy(raw, y, weight=criterion.weight, label_smoothing=0.2, reduction="none")
    torch.testing.assert_close(cost(raw, y), expected)
    assert criterion.reduction == "mean"
    assert record.decision == "CrossEntropyLoss"


def test_torchs_poisson_criterion_becomes_the_poisson_cost_with_its_log_link():
    assert isinstance(choose_cost(nn.PoissonNLLLoss, "regression")[0], PoissonLoss)


def test_torchs_poisson_criterion_without_a_log_link_is_refused():
    with pytest.raises(ValueError, match="no log link"):
        choose_cost(nn.PoissonNLLLoss(log_input=False), "regression")


@pytest.mark.parametrize("criterion", [nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss])
def test_predictions_of_class_criteria_are_a_softmax(criterion):
    raw = torch.tensor([[1.0, 2.0, 0.5]])
    torch.testing.assert_close(choose_cost(criterion, "multiclass")[0].link(raw), raw.softmax(-1))


def test_predictions_of_a_one_logit_criterion_are_both_classes_probabilities():
    cost, _ = choose_cost(nn.BCEWithLogitsLoss, "binary")
    raw = torch.tensor([[-1.0], [2.0]])
    torch.testing.assert_close(cost.link(raw), torch.cat([1 - raw.sigmoid(), raw.sigmoid()], 1))


def test_a_function_is_called_on_flat_rows_of_standardised_targets():
    cost, record = choose_cost(pinball, "regression")
    raw, y = torch.randn(3, 4, 1, generator=torch.Generator().manual_seed(0)), torch.zeros(3, 4, 1)
    torch.testing.assert_close(cost(raw, y), torch.maximum(-0.9 * raw, 0.1 * raw)[..., 0])
    assert (cost.target_scaling, record.decision) == ("standard", "pinball")
    assert cost.link(raw) is raw


def test_a_function_with_a_loss_per_output_is_averaged_over_the_outputs():
    cost, _ = choose_cost(lambda output, target: (output - target) ** 4, "regression")
    raw, y = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 4, 3)
    torch.testing.assert_close(cost(raw, y), (raw**4).mean(-1))


@pytest.mark.parametrize(
    "function",
    [
        lambda output, target: ((output - target) ** 2).mean(),
        lambda output, target: (output[:, 0] - target) ** 2,
        lambda output, target: (output - target)[:3, 0] ** 2,
    ],
    ids=["scalar", "every row with every other", "too few"],
)
def test_a_function_that_gives_no_loss_per_row_is_an_error_with_the_way_out(function):
    cost, _ = choose_cost(function, "regression")
    with pytest.raises(ValueError, match=r"one loss per row, shape \(4,\).*reduction='none'"):
        cost(torch.zeros(2, 4, 1), torch.zeros(2, 4, 1))


def test_a_function_that_returns_nothing_is_an_error():
    cost, _ = choose_cost(lambda output, target: None, "regression")
    with pytest.raises(ValueError, match="must return a tensor with one loss per row, got NoneType"):
        cost(torch.zeros(2, 4, 1), torch.zeros(2, 4, 1))


def test_the_gradient_of_a_linear_function_can_be_scaled_in_place():
    cost, _ = choose_cost(total, "regression")
    _, gradient = cost.value_and_gradient(torch.zeros(2, 4, 3), torch.zeros(2, 4, 3))
    gradient /= 4
    torch.testing.assert_close(gradient, torch.full((2, 4, 3), 0.25))


def test_a_cost_around_a_users_function_pickles():
    cost, _ = choose_cost(pinball, "regression")
    raw, y = torch.ones(4, 1), torch.zeros(4, 1)
    torch.testing.assert_close(pickle.loads(pickle.dumps(cost))(raw, y), cost(raw, y))


def test_a_callable_object_is_named_after_its_class():
    class Doubled:
        def __call__(self, output, target):
            return 2 * (output - target).abs().sum(-1)

    assert choose_cost(Doubled(), "regression")[0].name == "Doubled"


@pytest.mark.parametrize(
    ("criterion", "task"),
    [
        (nn.KLDivLoss, "regression"),
        (nn.GaussianNLLLoss, "regression"),
        (nn.SoftMarginLoss, "binary"),
        (nn.CosineEmbeddingLoss(), "multiclass"),
    ],
)
def test_a_criterion_of_torch_that_fits_no_table_is_refused(criterion, task):
    with pytest.raises(ValueError, match=f"does not fit a {task} target"):
        choose_cost(criterion, task)


@pytest.mark.parametrize(
    "criterion", [nn.BCEWithLogitsLoss, nn.BCEWithLogitsLoss(), F.binary_cross_entropy_with_logits]
)
def test_torchs_binary_cross_entropy_on_labels_is_averaged_over_them(criterion):
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(2, 5, 3, generator=generator)
    y = torch.randint(2, raw.shape, generator=generator).float()
    if not isinstance(criterion, nn.Module | type):
        criterion = partial(criterion, reduction="none")
    cost, _ = choose_cost(criterion, "multilabel")
    expected = F.binary_cross_entropy_with_logits(raw, y, reduction="none").mean(-1)
    torch.testing.assert_close(cost(raw, y), expected)
    torch.testing.assert_close(cost.link(raw), raw.sigmoid())


def test_labels_may_weigh_differently_in_torchs_criterion():
    raw, y = torch.zeros(1, 1, 2), torch.ones(1, 1, 2)
    weights = torch.tensor([1.0, 3.0])
    cost, _ = choose_cost(nn.BCEWithLogitsLoss(pos_weight=weights), "multilabel")
    torch.testing.assert_close(cost(raw, y), torch.full((1, 1), 2 * torch.tensor(2.0).log().item()))
