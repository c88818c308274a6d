"""Quantiles in one network: they never cross, their loss is the pinball loss, their levels can be chosen afterwards."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import mean_pinball_loss

from sk_dlsteps.inputs.target import RegressionTarget
from sk_dlsteps.step1_cost.choice import choose_cost
from sk_dlsteps.step1_cost.quantile import MIN_START, QuantileLoss

LEVELS = st.lists(st.integers(1, 99), min_size=1, max_size=7, unique=True).map(lambda v: tuple(np.sort(v) / 100))
FIVE = (0.05, 0.25, 0.5, 0.75, 0.95)
NUMBERS = st.floats(-(2.0**100), 2.0**100, width=32)


def values_of(cost, raw, n_targets):
    """Quantiles (..., n_targets, n_levels) by a sum for each."""
    n, m = len(cost.quantiles), cost.middle
    raw = raw.reshape(*raw.shape[:-1], n_targets, n)
    steps = np.logaddexp(raw, 0)
    columns = [raw[..., m] + steps[..., m + 1 : i + 1].sum(-1) - steps[..., i:m].sum(-1) for i in range(n)]
    return np.stack(columns, -1)


@given(levels=LEVELS, raw=hnp.arrays(np.float32, (4, 14), elements=NUMBERS), double=st.booleans())
def test_quantiles_never_fall_with_the_level(levels, raw, double):
    cost = QuantileLoss(levels)
    raw = torch.from_numpy(raw[:, : cost.n_outputs(2)]).to(torch.float64 if double else torch.float32)
    values = cost.link(raw).unflatten(-1, (2, len(levels)))
    assert values.isfinite().all()
    assert (values.diff(dim=-1) >= 0).all()


@given(levels=LEVELS, seed=st.integers(0, 10**6), n_targets=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_the_loss_is_scikit_learns_pinball_loss_of_the_quantiles(levels, seed, n_targets):
    cost, rng = QuantileLoss(levels), np.random.default_rng(seed)
    raw, y = 3 * rng.normal(size=(6, cost.n_outputs(n_targets))), rng.normal(size=(6, n_targets))
    expected = values_of(cost, raw, n_targets)
    values = cost.link(torch.from_numpy(raw)).numpy().reshape(expected.shape)
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-9)
    losses = [mean_pinball_loss(y, expected[..., i], alpha=level) for i, level in enumerate(levels)]
    found = cost(torch.from_numpy(raw), torch.from_numpy(y))
    assert found.shape == (6,)
    assert float(found.mean()) == pytest.approx(np.mean(losses))


@given(levels=LEVELS, seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_the_gradient_is_the_numerical_one(levels, seed):
    cost, generator = QuantileLoss(levels), torch.Generator().manual_seed(seed)
    raw = torch.randn(3, cost.n_outputs(2), generator=generator, dtype=torch.float64)
    y = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    _, gradient = cost.value_and_gradient(raw, y)
    for column in range(raw.shape[1]):
        step = torch.zeros_like(raw)
        step[:, column] = 1e-7
        numerical = (cost(raw + step, y) - cost(raw - step, y)) / 2e-7
        torch.testing.assert_close(gradient[:, column], numerical, rtol=1e-4, atol=1e-6)


@given(levels=LEVELS, seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_raw_outputs_can_be_found_for_quantiles(levels, seed):
    cost, rng = QuantileLoss(levels), np.random.default_rng(seed)
    values = np.sort(rng.normal(size=(5, 2, 1)) + np.cumsum(rng.uniform(MIN_START, 1, (5, 2, len(levels))), -1))
    raw = cost.raw_for(torch.from_numpy(values))
    np.testing.assert_allclose(cost.link(raw), values.reshape(5, -1), rtol=1e-9, atol=1e-9)


def test_networks_start_at_the_quantiles_of_their_own_training_rows():
    y = np.random.default_rng(0).gamma(2.0, 3.0, (60, 2))
    cost, target, rows = QuantileLoss(FIVE), RegressionTarget(y), [np.arange(40), np.arange(20, 60)]
    raw = target.output_bias(cost, rows, torch.float64)
    statistics = target.statistics(cost, rows)
    values = cost.link(raw).unflatten(-1, (2, 5)) * statistics["target_scale"][..., None]
    values += statistics["target_center"][..., None]
    for own, found in zip(rows, values, strict=True):
        np.testing.assert_allclose(found[0].T, np.quantile(y[own], FIVE, axis=0))


def test_a_start_where_quantiles_coincide_has_a_gradient():
    cost, target = QuantileLoss(FIVE), RegressionTarget(np.repeat([0.0, 5.0], [90, 10]))
    raw = target.output_bias(cost, [np.arange(100)], torch.float32)
    _, gradient = cost.value_and_gradient(raw, torch.ones(1, 1, 1))
    assert raw.isfinite().all()
    assert (gradient != 0).all()


@given(levels=LEVELS, wanted=st.lists(st.floats(0, 1), min_size=1, max_size=6), seed=st.integers(0, 10**6))
def test_other_levels_are_interpolated_as_numpy_does(levels, wanted, seed):
    cost = QuantileLoss(levels)
    wanted = levels[0] + (levels[-1] - levels[0]) * np.array(wanted)
    wanted = wanted.clip(levels[0], levels[-1])
    values = np.sort(np.random.default_rng(seed).normal(size=(4, 3, len(levels))), -1)
    found = cost.at(wanted, values.reshape(4, -1))
    assert found.shape == (4, 3, len(wanted))
    for row, own in zip(found.reshape(-1, len(wanted)), values.reshape(-1, len(levels)), strict=True):
        np.testing.assert_allclose(row, np.interp(wanted, levels, own))


@given(
    values=hnp.arrays(np.float64, (3, 5), elements=st.floats(-1e300, 1e300)).map(np.sort),
    wanted=st.lists(st.floats(0.05, 0.95), min_size=2, max_size=8).map(np.sort),
)
def test_interpolated_quantiles_never_cross_not_even_by_rounding(values, wanted):
    with np.errstate(over="ignore"):
        found = QuantileLoss(FIVE).at(wanted, values)
    assert (np.diff(found) >= 0).all()
    np.testing.assert_array_equal(QuantileLoss(FIVE).at(np.array(FIVE), values)[:, 0], values)


@pytest.mark.parametrize(
    ("levels", "point"),
    [(FIVE, 3.0), ((0.4, 0.6), 1.5), ((0.6, 0.9), 1.0), ((0.1, 0.2), 2.0), ((0.7,), 1.0)],
    ids=["the median", "between its neighbours", "the lowest", "the highest", "the only one"],
)
def test_the_value_of_a_prediction_is_the_median_or_what_is_nearest(levels, point):
    prediction = np.arange(1.0, len(levels) + 1)[None]
    np.testing.assert_allclose(QuantileLoss(levels).point(prediction), [[point]])


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (0.96, "`quantiles=0.96` must lie between 0.05 and 0.95"),
        ([0.5, 0.01], "fit again"),
        (float("nan"), "between"),
        ([], "non-empty"),
        ([[0.5]], "non-empty sequence of numbers"),
        ("high", "numbers, got 'high'"),
    ],
)
def test_levels_that_were_not_learnt_are_an_error(levels, message):
    with pytest.raises(ValueError, match=message):
        QuantileLoss(FIVE).check_levels(levels)


def test_the_record_names_the_levels():
    _, record = choose_cost("quantile", "regression", (0.1, 0.9))
    assert record.decision == "pinball loss of the quantiles 0.1, 0.9"
