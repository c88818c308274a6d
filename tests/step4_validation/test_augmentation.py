"""Augmentations, against their definitions: distributions, bounds, and what stays as it was."""

import pickle

import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from sk_dlsteps.inputs.parameters import TABLE
from sk_dlsteps.step4_validation.augmentation import (
    AUGMENTATIONS,
    NAMED,
    GaussianNoise,
    InShape,
    Mixup,
    SwapNoise,
    choose_augmentation,
    symmetric_beta,
)
from sk_dlsteps.step4_validation.regularisation import _name


def generator(seed=0):
    """A fresh source of randomness."""
    return torch.Generator().manual_seed(seed)


def minibatch(task="regression", n_rows=64, n_features=5):
    """Standardised inputs, and standardised targets or class codes."""
    rows = generator(1)
    X = torch.randn(n_rows, n_features, generator=rows)
    if task == "regression":
        return X, torch.randn(n_rows, 2, generator=rows, dtype=torch.float64)
    return X, torch.randint({"binary": 2, "multiclass": 4}[task], (n_rows,), generator=rows)


N_OUTPUTS = {"regression": None, "binary": 1, "multiclass": 4}
EVERY = [(name, task) for name in AUGMENTATIONS for task in N_OUTPUTS]


@pytest.mark.parametrize(("name", "task"), EVERY)
def test_rows_and_columns_keep_their_number_and_the_arguments_their_values(name, task):
    X, y = minibatch(task)
    X_before, y_before = X.clone(), y.clone()
    changed, target = choose_augmentation(name, N_OUTPUTS[task])(X, y, generator())
    assert torch.equal(X, X_before)
    assert torch.equal(y, y_before)
    assert changed.shape == X.shape
    assert changed.dtype == X.dtype
    assert not torch.equal(changed, X)
    assert target.shape == ((64, 4) if (name, task) == ("mixup", "multiclass") else y.shape)
    assert torch.equal(target, y) == (name != "mixup")


@pytest.mark.parametrize(("name", "task"), EVERY)
def test_the_same_generator_gives_the_same_and_another_gives_other_batches(name, task):
    augmentation = choose_augmentation(name, N_OUTPUTS[task])
    state = torch.random.get_rng_state()
    first, again, other = (augmentation(*minibatch(task), generator(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_generator_goes_on_from_batch_to_batch(name):
    augmentation, source = choose_augmentation(name), generator()
    X, y = minibatch()
    assert not torch.equal(augmentation(X, y, source)[0], augmentation(X, y, source)[0])


@pytest.mark.parametrize(("name", "task"), EVERY)
def test_a_single_row_is_taken(name, task):
    X, y = minibatch(task, n_rows=1)
    changed, target = choose_augmentation(name, N_OUTPUTS[task])(X, y, generator())
    assert changed.shape == X.shape
    assert len(target) == 1
    if name != "gaussian_noise":
        assert torch.equal(changed, X)


# -- noise ------------------------------------------------------------------------------


@pytest.mark.parametrize("std", [0.1, 0.7])
def test_noise_is_gaussian_of_the_given_size(std):
    X, y = minibatch(n_rows=4000)
    noise = (GaussianNoise(std=std)(X, y, generator())[0] - X).flatten()
    assert stats.kstest(noise.numpy(), stats.norm(scale=std).cdf).pvalue > 0.01


@pytest.mark.parametrize("augmentation", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_what_is_drawn_does_not_depend_on_torchs_default_dtype(augmentation):
    X, y = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(40, 1)
    drawn = []
    for dtype in (torch.float32, torch.float64):
        torch.set_default_dtype(dtype)
        try:
            drawn.append(augmentation(X, y, torch.Generator().manual_seed(1))[0])
        finally:
            torch.set_default_dtype(torch.float32)
    assert torch.equal(*drawn)


def test_swapped_entries_come_from_the_same_column_of_another_row():
    n_rows, share = 500, 0.3
    X = torch.arange(n_rows * 4.0).reshape(n_rows, 4)
    swapped, _ = SwapNoise(share=share)(X, torch.zeros(n_rows, 1), generator())
    assert all(torch.isin(swapped[:, column], X[:, column]).all() for column in range(4))
    # No two entries are equal, so every swap shows.
    assert stats.binomtest(int((swapped != X).sum()), X.numel(), share).pvalue > 0.01
    assert (SwapNoise(share=1.0)(X, torch.zeros(n_rows, 1), generator())[0] != X).all()


def test_every_other_row_is_as_likely_to_be_the_source():
    X = torch.arange(5.0)[:, None].expand(5, 2000)
    swapped, _ = SwapNoise(share=1.0)(X, torch.zeros(5, 1), generator())
    counts = torch.bincount(swapped[0].long(), minlength=5)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:].numpy()).pvalue > 0.01


@pytest.mark.parametrize("augmentation", [GaussianNoise(std=0.0), SwapNoise(share=0.0)])
def test_no_noise_changes_nothing(augmentation):
    X, y = minibatch()
    assert torch.equal(augmentation(X, y, generator())[0], X)


# -- mixup ------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 3.0, 100.0])
def test_the_shares_follow_the_beta_distribution(alpha):
    shares = symmetric_beta(alpha, 5000, generator()).numpy()
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.01


@pytest.mark.parametrize("alpha", [1e-8, 1e-3, 1e8])
def test_extreme_shares_are_finite(alpha):
    shares = symmetric_beta(alpha, 1000, generator())
    assert ((shares >= 0) & (shares <= 1)).all()
    expected = 0.5 if alpha < 1 else 0.0
    assert (shares - 0.5).abs().mean() == pytest.approx(expected, abs=0.01)


def pairs(X, mixed):
    """Partner and share of the first part of each mixed row, found by trying all."""
    found = []
    for row, result in zip(X, mixed, strict=True):
        away = X - row
        share = ((result - row) * away).sum(1) / away.square().sum(1).clamp(min=1e-30)
        misfit = (row + share[:, None] * away - result).norm(dim=1)
        partner = int(misfit.argmin())
        found.append((partner, 1 - float(share[partner])))
    return found


@pytest.mark.parametrize("task", N_OUTPUTS)
def test_targets_are_mixed_as_their_rows_are(task):
    X, y = minibatch(task)
    X = X.double()
    mixed, target = Mixup(alpha=1.0, n_outputs=N_OUTPUTS[task])(X, y, generator())
    columns = y.double() if task != "multiclass" else F.one_hot(y, 4).double()
    partners, shares = zip(*pairs(X, mixed), strict=True)
    assert min(shares) >= 0.5 - 1e-9
    shares = torch.tensor(shares, dtype=torch.float64).view(-1, *[1] * (columns.dim() - 1))
    torch.testing.assert_close(target, shares * columns + (1 - shares) * columns[list(partners)], rtol=1e-8, atol=1e-8)
    assert len(set(partners)) > 50


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_mixed_class_codes_are_probabilities(task):
    X, y = minibatch(task)
    _, soft = choose_augmentation("mixup", N_OUTPUTS[task])(X, y, generator())
    assert soft.dtype == X.dtype
    assert ((soft >= 0) & (soft <= 1)).all()
    if task == "multiclass":
        torch.testing.assert_close(soft.sum(1), torch.ones(64))
        assert torch.equal(soft.argmax(1), y)


def test_two_classes_with_two_outputs_get_two_probabilities():
    X, y = minibatch("binary")
    one, two = (Mixup(n_outputs=n)(X, y, generator())[1] for n in (1, 2))
    torch.testing.assert_close(two, torch.stack([1 - one, one], 1))


def test_codes_cannot_be_mixed_without_knowing_the_outputs():
    with pytest.raises(ValueError, match="`n_outputs` must say how many raw outputs"):
        Mixup()(*minibatch("binary"), generator())


# -- choosing ---------------------------------------------------------------------------


def test_the_door_knows_exactly_the_named_ones():
    test, text = TABLE["augmentation"]
    assert all(test(name) and repr(name) in text for name in NAMED)
    assert text.count("'") == 2 * len(NAMED)


def test_nothing_and_functions_are_passed_on():
    assert choose_augmentation(None) is None
    assert choose_augmentation(len, 3) is len
    assert choose_augmentation(Mixup(0.4), 3) == Mixup(0.4, n_outputs=3)


# -- inputs in another shape than a row's -----------------------------------------------


def count_columns(X, y, generator):
    """Add the number of each column to every image's."""
    assert X.shape[1:] == (2, 3, 4)
    return X + torch.arange(4), y


def test_a_function_gets_inputs_in_their_own_shape():
    X, y = torch.zeros(5, 24), torch.zeros(5, 1)
    changed, _ = choose_augmentation(count_columns, shape=(2, 3, 4))(X, y, generator())
    assert torch.equal(changed, torch.arange(4.0).tile(5, 6))


@pytest.mark.parametrize(("name", "task"), EVERY)
def test_what_does_not_mind_shapes_gets_plain_rows(name, task):
    X, y = minibatch(task, n_features=6)
    flat, shaped = (choose_augmentation(name, N_OUTPUTS[task], shape=shape) for shape in (None, (2, 3)))
    assert all(torch.equal(a, b) for a, b in zip(flat(X, y, generator()), shaped(X, y, generator()), strict=True))


def test_a_changed_shape_is_told_in_the_users_own_terms():
    with pytest.raises(ValueError, match=r"keep the shape of X, \(4, 2, 3\); it returned \(4, 3, 2\)"):
        InShape(lambda X, y, generator: (X.mT, y), (2, 3))(torch.zeros(4, 6), torch.zeros(4), generator())


@pytest.mark.parametrize("result", [None, torch.zeros(3), (1, 2), (torch.zeros(4, 2, 3),)], ids=repr)
def test_what_is_no_pair_of_tensors_is_left_to_the_engine(result):
    assert InShape(lambda X, y, generator: result, (2, 3))(torch.zeros(4, 6), torch.zeros(4), generator()) is result


def test_the_record_names_what_is_done_not_in_which_shape():
    assert _name(choose_augmentation(GaussianNoise(0.3))) == "GaussianNoise(std=0.3)"
    assert _name(choose_augmentation(count_columns, shape=(2, 3, 4))) == "count_columns"


@pytest.mark.parametrize("augmentation", [GaussianNoise(0.3), SwapNoise(0.3), Mixup(0.3, 2)], ids=repr)
def test_augmentations_are_values(augmentation):
    assert pickle.loads(pickle.dumps(augmentation)) == augmentation
    assert augmentation != type(augmentation)()
    assert hash(augmentation) == hash(type(augmentation)(**vars(augmentation)))


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        (GaussianNoise, "std", (-0.1, float("nan"), float("inf"), "a")),
        (SwapNoise, "share", (-0.1, 1.1, float("nan"), None)),
        (Mixup, "alpha", (0, -1, float("nan"), float("inf"), "x")),
    ],
)
def test_strengths_that_make_no_sense_are_refused(kind, name, values):
    for value in values:
        with pytest.raises(ValueError, match=f"^`{name}` must be .* got {value!r}"):
            kind(**{name: value})
