"""Targets: their scale, their labels, where outputs start."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sk_dlsteps.inputs.target import ClassTarget, LabelsTarget, RegressionTarget, as_labels
from sk_dlsteps.step1_cost.cost import (
    BinaryCrossEntropy,
    CrossEntropy,
    LabelsBinaryCrossEntropy,
    PoissonLoss,
    SquaredError,
)


def test_statistics_are_those_of_each_networks_rows():
    y = np.random.default_rng(0).normal(3, 2, size=(30, 2))
    rows = [np.arange(20), np.arange(10, 30)]
    statistics = RegressionTarget(y).statistics(SquaredError(), rows)
    for k, own in enumerate(rows):
        np.testing.assert_allclose(statistics["target_center"][k, 0], y[own].mean(0))
        np.testing.assert_allclose(statistics["target_scale"][k, 0], y[own].std(0))


@given(st.floats(-1e300, 1e300, allow_subnormal=False))
def test_a_constant_column_keeps_its_value_and_has_no_scale(value):
    y = np.column_stack([np.full(7, value), np.arange(7.0)])
    with np.errstate(over="ignore"):
        statistics = RegressionTarget(y).statistics(SquaredError(), [np.arange(7)])
    assert statistics["target_center"][0, 0, 0] == value
    assert statistics["target_scale"][0, 0].tolist() == [0.0, pytest.approx(2.0)]


@given(exponent=st.integers(-300, 150), offset=st.sampled_from([0.0, 1.0, -50.0]))
def test_the_scale_follows_the_target_over_all_magnitudes(exponent, offset):
    y = (np.arange(9.0) + offset) * 10.0**exponent
    scale = RegressionTarget(y).statistics(SquaredError(), [np.arange(9)])["target_scale"]
    assert scale.item() == pytest.approx(np.arange(9.0).std() * 10.0**exponent, rel=1e-9)


@pytest.mark.parametrize(("y", "name"), [([1e300, -1e300], "`y`"), ([[1.0, 1e200], [1.0, 0.0]], "Column 1 of `y`")])
def test_values_too_large_for_their_variance_are_refused(y, name):
    with pytest.raises(ValueError, match=f"^{name} has values too large .*TransformedTargetRegressor"):
        RegressionTarget(np.array(y)).check(SquaredError())


@pytest.mark.parametrize("y", [[1.0, -1.0], [0.0, 0.0]])
def test_poisson_refuses_targets_it_cannot_have_made(y):
    with pytest.raises(ValueError, match=r"`loss='poisson'` needs a target of values >= 0 that are not all 0"):
        RegressionTarget(np.array(y)).check(PoissonLoss())


def test_poisson_divides_by_the_mean():
    statistics = RegressionTarget(np.array([1.0, 2.0, 6.0])).statistics(PoissonLoss(), [np.arange(3)])
    assert statistics["target_center"].item() == 0
    assert statistics["target_scale"].item() == 3


def test_a_constant_count_keeps_its_value_but_zeros_stay_above_zero():
    y = np.column_stack([np.full(4, 3.0), np.zeros(4), [1.0, 2.0, 3.0, 6.0]])
    statistics = RegressionTarget(y).statistics(PoissonLoss(), [np.arange(4)])
    assert statistics["target_center"][0, 0].tolist() == [3.0, 0.0, 0.0]
    assert statistics["target_scale"][0, 0].tolist() == [0.0, 1.0, 3.0]


def test_outputs_start_at_each_networks_class_shares():
    y = np.repeat(["a", "b", "c"], [10, 20, 70])
    target = ClassTarget(y)
    bias = target.output_bias(CrossEntropy(), [np.arange(100), np.arange(30)], torch.float64)
    np.testing.assert_allclose(bias[0, 0].softmax(-1), [0.1, 0.2, 0.7], atol=0.01)
    np.testing.assert_allclose(bias[1, 0].softmax(-1), [1 / 3, 2 / 3, 0], atol=0.02)


def test_one_logit_starts_at_the_log_odds():
    target = ClassTarget(np.repeat([0, 1], [25, 75]))
    bias = target.output_bias(BinaryCrossEntropy(), [np.arange(100)], torch.float64)
    assert bias.sigmoid().item() == pytest.approx(0.75, abs=0.005)


@pytest.mark.parametrize("label", ["yes", 3, 1.0, True])
def test_one_class_is_refused_by_name(label):
    with pytest.raises(ValueError, match=f"`y` holds only one class, {label!r}; a classifier needs two"):
        ClassTarget(np.array([label] * 4))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, "a"], r"several types \(int, str\); make them one, for example by y.astype\(str\)"),
        ([None, "a"], "missing labels; drop those rows"),
        ([0, 1], r"int labels as objects; .* y.astype\(int\)"),
    ],
)
def test_labels_as_objects_must_be_text(labels, message):
    with pytest.raises(ValueError, match=message):
        as_labels(np.array(labels, dtype=object))


@pytest.mark.parametrize("labels", [np.array(["b", "a"], object), np.array(["b", "a"]), np.array([True, False])])
def test_good_labels_stay_as_they_are(labels):
    assert as_labels(labels) is labels


def test_labels_start_at_their_log_odds_also_where_all_or_none_apply():
    y = np.column_stack([np.repeat([0, 1], [25, 75]), np.zeros(100), np.ones(100)])
    bias = LabelsTarget(y).output_bias(LabelsBinaryCrossEntropy(), [np.arange(100), np.arange(50)], torch.float64)
    np.testing.assert_allclose(bias.sigmoid()[0, 0], [0.75, 0, 1], atol=0.006)
    np.testing.assert_allclose(bias.sigmoid()[1, 0], [0.5, 0, 1], atol=0.011)


def test_label_sets_have_a_code_each():
    y = np.random.default_rng(0).integers(0, 2, (50, 4))
    codes = LabelsTarget(y).classes
    for i in range(50):
        np.testing.assert_array_equal(codes == codes[i], (y == y[i]).all(1))


@pytest.mark.parametrize("y", [[[0, 2], [1, 0]], [[-1, 1], [1, 1]]])
def test_labels_other_than_0_and_1_are_refused(y):
    with pytest.raises(ValueError, match=r"`y` of several columns must hold 1 .*MultiLabelBinarizer"):
        LabelsTarget(np.array(y))
