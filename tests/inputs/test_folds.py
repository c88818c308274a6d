"""Who is held out by whom, and that nothing of it leaks into the networks' statistics."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sk_dlsteps.inputs.features import fit_scaler, network_statistics
from sk_dlsteps.inputs.folds import MIN_FOLD_ROWS, assign_folds, hold_out
from sk_dlsteps.inputs.target import LabelsTarget, RegressionTarget
from sk_dlsteps.step1_cost.choice import choose_cost


def rng():
    return np.random.default_rng(0)


@given(n_networks=st.integers(2, 12), n_rows=st.integers(2 * MIN_FOLD_ROWS, 400))
def test_every_row_is_held_out_once_and_folds_differ_by_one_row_at_most(n_networks, n_rows):
    folds = assign_folds(n_networks, n_rows, None, rng())
    n_folds = min(n_networks, n_rows // MIN_FOLD_ROWS)
    assert len(folds) == n_networks
    np.testing.assert_array_equal(np.sort(np.concatenate(folds[:n_folds])), np.arange(n_rows))
    sizes = [len(own) for own in folds]
    assert max(sizes) - min(sizes) <= 1
    for k, own in enumerate(folds):
        np.testing.assert_array_equal(own, folds[k % n_folds])


@given(counts=st.lists(st.integers(1, 80), min_size=2, max_size=5), n_networks=st.integers(2, 9))
def test_every_fold_has_every_classs_share(counts, n_networks):
    classes = rng().permutation(np.repeat(np.arange(len(counts)), counts))
    folds = assign_folds(n_networks, len(classes), classes, rng())
    if folds is None:
        assert len(classes) < 2 * MIN_FOLD_ROWS
        return
    n_folds = min(n_networks, len(classes) // MIN_FOLD_ROWS)
    for own in folds:
        shares = np.bincount(classes[own], minlength=len(counts))
        assert (np.abs(shares - np.array(counts) / n_folds) < 1).all()


@given(n_rare=st.integers(2, 20), n_networks=st.integers(2, 9), seed=st.integers(0, 99))
def test_every_network_trains_on_and_validates_with_rows_of_a_rare_class(n_rare, n_networks, seed):
    classes = np.random.default_rng(seed).permutation(np.repeat([0, 1], [200, n_rare]))
    folds = assign_folds(n_networks, len(classes), classes, rng())
    held = [int(classes[own].sum()) for own in folds]
    assert min(held) >= 1
    assert max(held) <= max(1, -(-n_rare // n_networks))
    assert n_rare - max(held) >= 1
    common = [own[classes[own] == 0] for own in folds]
    np.testing.assert_array_equal(np.sort(np.concatenate(common)), np.flatnonzero(classes == 0))


def test_the_only_row_of_a_class_is_held_out_once():
    classes = np.repeat([0, 1], [99, 1])
    assert sum(99 in own for own in assign_folds(8, 100, classes, rng())) == 1


@given(n_rare=st.integers(8, 30), seed=st.integers(0, 99))
def test_every_fold_has_its_share_of_each_of_the_two_rarest_labels(n_rare, seed):
    draw = np.random.default_rng(seed)
    y = draw.random((400, 5)) < 0.5
    for label in (1, 3):
        y[:, label] = False
        y[draw.choice(400, n_rare, replace=False), label] = True
    folds = assign_folds(8, 400, LabelsTarget(y).classes, rng())
    for label in (1, 3):
        shares = np.array([y[own, label].sum() for own in folds])
        assert (np.abs(shares - n_rare / 8) < 1).all()


def test_labels_that_exclude_each_other_are_in_every_fold():
    y = np.eye(20, dtype=int)[np.random.default_rng(0).permutation(np.repeat(np.arange(20), 8))]
    folds = assign_folds(8, len(y), LabelsTarget(y).classes, rng())
    assert (np.array([y[own].sum(0) for own in folds]) == 1).all()


@given(
    counts=st.lists(st.integers(1, 80), min_size=1, max_size=5),
    fraction=st.floats(0.05, 0.95),
)
def test_a_hold_out_has_the_fraction_asked_for_and_every_classs_share(counts, fraction):
    classes = rng().permutation(np.repeat(np.arange(len(counts)), counts))
    n_rows, n_valid = len(classes), round(fraction * len(classes))
    held_out = hold_out(fraction, n_rows, classes, rng())
    if min(n_valid, n_rows - n_valid) < MIN_FOLD_ROWS:
        assert held_out is None
        return
    assert len(np.unique(held_out)) == len(held_out) == n_valid
    shares = np.bincount(classes[held_out], minlength=len(counts))
    assert (np.abs(shares - np.array(counts) * n_valid / n_rows) <= 1).all()


@pytest.mark.parametrize("n_rows", [2, 2 * MIN_FOLD_ROWS - 1])
def test_too_few_rows_are_all_trained_on(n_rows):
    assert assign_folds(8, n_rows, None, rng()) is None
    assert hold_out(0.15, n_rows, None, rng()) is None


def test_rows_held_out_depend_on_the_generator():
    for draw in (lambda seed: assign_folds(3, 60, None, np.random.default_rng(seed))[0],
                 lambda seed: hold_out(0.2, 60, None, np.random.default_rng(seed))):  # fmt: skip
        np.testing.assert_array_equal(draw(1), draw(1))
        assert not np.array_equal(draw(1), draw(2))


def combined(X, rows):
    """Mean and scale that each network's inputs get from the scaler and its own statistics together."""
    scaler = fit_scaler(X)
    center, factor = network_statistics(X, scaler, rows)
    return center, 1 / factor


@pytest.fixture
def folds():
    valid = assign_folds(5, 200, None, rng())
    return valid, [np.setdiff1d(np.arange(200), own) for own in valid]


X = np.random.default_rng(1).lognormal(0, 1, (200, 3)) * [1, 1e-3, 1e4] + [0, 5, -1e5]
Y = np.random.default_rng(2).gamma(2.0, 3.0, (200, 2))


def test_inputs_are_scaled_by_the_statistics_of_the_networks_training_rows_alone(folds):
    _, train = folds
    mean, scale = combined(X, train)
    np.testing.assert_allclose(mean, [X[own].mean(0) for own in train], rtol=1e-9)
    np.testing.assert_allclose(scale, [X[own].std(0) for own in train], rtol=1e-9)


def test_poisoned_validation_rows_leave_their_networks_input_statistics_as_they_were(folds):
    valid, train = folds
    poisoned = X.copy()
    poisoned[valid[2]] = 1e6
    (mean, scale), (clean_mean, clean_scale) = combined(poisoned, train), combined(X, train)
    np.testing.assert_allclose(mean[2], clean_mean[2], rtol=1e-6)
    np.testing.assert_allclose(scale[2], clean_scale[2], rtol=1e-6)
    assert not np.allclose(scale[0], clean_scale[0], rtol=0.1)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_targets_are_scaled_by_the_networks_training_rows_alone_also_under_poison(folds, loss):
    valid, train = folds
    cost = choose_cost(loss, "regression")[0]
    poisoned = Y.copy()
    poisoned[valid[2]] = 1e6
    clean, found = (RegressionTarget(y).statistics(cost, train) for y in (Y, poisoned))
    for name in ("target_center", "target_scale"):
        assert torch.equal(found[name][2], clean[name][2])
    assert not torch.allclose(found["target_scale"][0], clean["target_scale"][0])
    means = np.stack([Y[own].mean(0) for own in train])[:, None]
    stds = np.stack([Y[own].std(0) for own in train])[:, None]
    expected = (means, stds) if loss == "squared_error" else (0 * means, means)
    np.testing.assert_allclose(clean["target_center"], expected[0])
    np.testing.assert_allclose(clean["target_scale"], expected[1])
