"""What rows count: the door for weights, the weights of classes, and rows that are merged or left out."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from sk_dlsteps.inputs.features import fit_robust_scaler, fit_scaler, quantiles
from sk_dlsteps.inputs.target import ClassTarget, LabelsTarget, RegressionTarget
from sk_dlsteps.inputs.weights import ONE_MINIBATCH, CountedRows, check_weight, class_weights
from sk_dlsteps.step1_cost.choice import choose_cost

RNG = np.random.default_rng(0)
ROWS = np.zeros((4, 2))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, 2, 3], r"sample_weight.shape == \(3,\), expected \(4,\): one weight for each row of X"),
        ([[1], [2], [3], [4]], "must be 1D array or scalar, got 2D array for `sample_weight`"),
        ([1, 1, -1, 1], "Negative values in data passed to `sample_weight`, first in row 2"),
        ([0, 0, 0, 0], "`sample_weight` holds only zeros"),
        ([1, np.nan, 1, 1], "sample_weight contains NaN"),
        ([1, np.inf, 1, 1], "sample_weight contains infinity"),
        (["a", "b", "c", "d"], "`sample_weight` must be numbers .* could not convert string to float"),
        ("balanced", "`sample_weight` must be numbers .* could not convert string to float"),
        ([1e-300, 0, 0, 0], "`sample_weight` must hold numbers whose largest is from 1e-100 .* got 1e-300"),
        (1e200, r"`sample_weight` must hold .* got 1e\+200; divide them by their mean"),
        (0.0, "`sample_weight` holds only zeros"),
    ],
)
def test_weights_that_say_nothing_are_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        check_weight(weight, ROWS)


def test_errors_name_the_weights_they_are_about():
    with pytest.raises(ValueError, match=r"sample_weight_val\.shape"):
        check_weight([1.0], ROWS, "sample_weight_val")


@pytest.mark.parametrize("weight", [None, 1, 1.0, [1, 1, 1, 1], np.ones(4, np.float32)])
def test_weights_of_one_are_none(weight):
    assert check_weight(weight, ROWS) is None


def test_weights_may_be_anything_that_is_a_number_for_each_row():
    for weight in ([0, 1, 2, 3], pd.Series([0, 1, 2, 3], index=list("dcba")), np.arange(4, dtype=np.int8)):
        np.testing.assert_array_equal(check_weight(weight, ROWS), [0.0, 1.0, 2.0, 3.0])
    np.testing.assert_array_equal(check_weight(2, ROWS), [2.0, 2.0, 2.0, 2.0])


# -- classes ------------------------------------------------------------------------------


@pytest.mark.parametrize("class_weight", ["balanced", {"a": 3.0, "b": 1.0, "c": 0.5}, {"a": 3.0}])
def test_weights_of_classes_are_those_of_scikit_learn(class_weight):
    y = RNG.choice(list("abc"), 60, p=[0.7, 0.2, 0.1])
    labels, codes = np.unique(y, return_inverse=True)
    np.testing.assert_allclose(class_weights(class_weight, labels, codes, None), compute_sample_weight(class_weight, y))


@given(arrays(float, 30, elements=st.floats(0.01, 10)))
def test_balanced_classes_have_equal_sums_of_weights(weight):
    codes = np.repeat([0, 1, 2], [20, 7, 3])
    total = np.bincount(codes, weight * class_weights("balanced", np.arange(3), codes, weight))
    np.testing.assert_allclose(total, weight.sum() / 3)


def test_balanced_weights_of_weighted_rows_are_those_of_their_copies():
    codes, weight = np.array([0, 0, 1, 1, 1]), np.array([1, 4, 2, 1, 3])
    copies = class_weights("balanced", np.arange(2), np.repeat(codes, weight), None)
    np.testing.assert_allclose(np.repeat(class_weights("balanced", np.arange(2), codes, weight), weight), copies)


def test_class_weights_of_labels_that_do_not_occur_are_refused():
    with pytest.raises(ValueError, match=r"labels that `y` does not: \['cat'\]; the labels are \['dog', 'emu'\]"):
        class_weights({"cat": 2.0, "dog": 1.0}, np.array(["dog", "emu"]), np.array([0, 1]), None)
    with pytest.raises(ValueError, match="holds only zeros"):
        class_weights({0: 0.0, 1: 0.0}, np.array([0, 1]), np.array([0, 1]), None)


# -- rows ---------------------------------------------------------------------------------


def table(kind, X):
    return {"array": X, "frame": pd.DataFrame(X), "sparse": sparse.csr_array(X)}[kind]


@pytest.mark.parametrize("kind", ["array", "frame", "sparse"])
def test_rows_of_weight_zero_are_left_out(kind):
    X, y = RNG.normal(size=(80, 3)), RNG.normal(size=80)
    weight = RNG.choice([0.0, 1.0, 2.5], 80)
    there = weight > 0
    counted = CountedRows(table(kind, X), y, weight)
    kept = counted.of(table(kind, X))
    np.testing.assert_array_equal(kept.toarray() if kind == "sparse" else kept, X[there])
    np.testing.assert_array_equal(counted.of(y), y[there])
    np.testing.assert_array_equal(counted.weight, weight[there])
    given_back = counted.given(y[there])
    np.testing.assert_array_equal(given_back, np.where(there, y, np.nan))


def test_where_nothing_is_left_out_the_table_itself_is_trained_on():
    X, y = RNG.normal(size=(80, 3)), RNG.normal(size=80)
    for weight in (None, RNG.uniform(0.5, 2, 80)):
        counted = CountedRows(X, y, weight)
        assert counted.of(X) is X
        assert counted.given(y) is y
        assert counted.weight is weight


def test_what_is_left_of_zeros_and_ones_has_no_weights():
    assert CountedRows(np.eye(50), np.arange(50), np.repeat([0.0, 1.0], 25)).weight is None


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 3)), min_size=2, max_size=12))
def test_in_a_small_table_a_weight_is_as_many_copies_in_any_order(rows):
    x, y, weight = (np.array(column) for column in zip(*rows, strict=True))
    copies = np.repeat(np.arange(len(x)), weight)
    if len(copies) == 0 or len(copies) > ONE_MINIBATCH or len({*zip(x[copies], y[copies], strict=True)}) < 2:
        return
    X = x[:, None].astype(float)
    shuffled = RNG.permutation(copies)
    expected = CountedRows(X[shuffled], y[shuffled], None)
    for own in (X, sparse.csr_array(X)):
        counted = CountedRows(own, y, check_weight(weight, X))
        kept = counted.of(own)
        np.testing.assert_array_equal(kept.toarray() if sparse.issparse(kept) else kept, expected.of(X[shuffled]))
        np.testing.assert_array_equal(counted.of(y), expected.of(y[shuffled]))
        np.testing.assert_array_equal(counted.weight, expected.weight)
        np.testing.assert_array_equal(counted.given(counted.of(x)), np.where(weight > 0, x, np.nan))


def test_merged_rows_differ_in_inputs_or_target_and_a_table_of_one_row_stays():
    X, y = np.array([[1.0], [1.0], [0.0], [1.0]]), np.array([5.0, 6.0, 5.0, 5.0])
    counted = CountedRows(X, y, None)
    np.testing.assert_array_equal(counted.of(X)[:, 0], [0, 1, 1])
    np.testing.assert_array_equal(counted.of(y), [5, 5, 6])
    np.testing.assert_array_equal(counted.weight, [1, 2, 1])
    np.testing.assert_array_equal(counted.origin, [1, 2, 0, 1])
    assert CountedRows(np.ones((4, 1)), np.ones(4), None).kept is None


def test_columns_of_several_targets_are_compared_each():
    y = np.array([[0, 1], [0, 2], [0, 1]])
    np.testing.assert_array_equal(CountedRows(np.ones((3, 1)), y, None).weight, [2, 1])


def test_larger_tables_and_frames_are_not_merged():
    copies = np.repeat(np.eye(3), 20, axis=0)
    assert CountedRows(copies, np.zeros(60), None).kept is None
    frame = pd.DataFrame({"a": ["x", "x", "y"]})
    assert CountedRows(frame, np.zeros(3), None).kept is None


# -- statistics: a weight is as many copies -------------------------------------------------

X = RNG.normal(size=(40, 3))
COUNTS = RNG.integers(1, 4, 40)
AGAIN = np.repeat(np.arange(40), COUNTS)
WEIGHT = COUNTS.astype(float)
HALF = np.arange(0, 40, 2)
HALF_AGAIN = np.repeat(HALF, COUNTS[HALF])


@pytest.mark.parametrize(("rows", "again"), [(None, AGAIN), (HALF, HALF_AGAIN)])
def test_the_standard_scaler_counts_weights(rows, again):
    scaler, copies = fit_scaler(X, rows, WEIGHT), StandardScaler().fit(X[again])
    np.testing.assert_allclose(scaler.mean_, copies.mean_)
    np.testing.assert_allclose(scaler.scale_, copies.scale_)


@pytest.mark.parametrize(("rows", "again"), [(None, AGAIN), (HALF, HALF_AGAIN)])
def test_the_robust_scaler_counts_weights(rows, again):
    scaler = fit_robust_scaler(X, rows, WEIGHT)
    low, middle, high = np.quantile(X[again], [0.25, 0.5, 0.75], axis=0, method="inverted_cdf")
    np.testing.assert_array_equal(scaler.center_, middle)
    np.testing.assert_allclose(scaler.scale_, high - low)


def test_quantiles_count_weights_and_pass_over_gaps():
    gaps = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
    gaps[:, 2] = np.nan
    levels = [0, 0.1, 0.5, 1]
    found = quantiles(gaps, levels, WEIGHT)
    for column in (0, 1):
        own = gaps[AGAIN, column]
        expected = np.quantile(own[~np.isnan(own)], levels, method="inverted_cdf")
        np.testing.assert_array_equal(found[:, column], expected)
    assert np.isnan(found[:, 2]).all()


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_statistics_of_the_target_count_weights(loss):
    cost, _ = choose_cost(loss, "regression")
    y = RNG.uniform(1, 9, (40, 2))
    weighted = RegressionTarget(y).statistics(cost, [np.arange(40), HALF], WEIGHT)
    copies = RegressionTarget(y[np.concatenate([AGAIN, HALF_AGAIN])])
    rows = [np.arange(len(AGAIN)), len(AGAIN) + np.arange(len(HALF_AGAIN))]
    for name, expected in copies.statistics(cost, rows).items():
        np.testing.assert_allclose(weighted[name], expected)


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (lambda y: ClassTarget(y % 2), "binary"),
        (ClassTarget, "multiclass"),
        (lambda y: LabelsTarget(np.stack([y > 0, y > 1], 1)), "multilabel"),
    ],
)
def test_outputs_start_at_weighted_shares(target, task):
    cost, _ = choose_cost("auto", task)
    y = RNG.integers(0, 3, 40)
    weighted = target(y).output_bias(cost, [np.arange(40)], torch.float64, WEIGHT)
    copies = target(y[AGAIN]).output_bias(cost, [np.arange(len(AGAIN))], torch.float64)
    np.testing.assert_allclose(weighted, copies)
