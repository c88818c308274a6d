"""Widths of intervals: as many held-out values inside as the levels say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sk_dlsteps.engine.batches import Rows
from sk_dlsteps.step1_cost.quantile import QuantileLoss
from sk_dlsteps.step4_validation.intervals import calibrate_intervals, fit_widths

FIVE = (0.05, 0.25, 0.5, 0.75, 0.95)


def some_quantiles(rng, n_rows, n_targets, n_levels):
    """Quantiles that do not fall."""
    return np.sort(rng.normal(size=(n_rows, n_targets, n_levels)), -1)


def half_a_deviation(Z):
    """The same quantiles from two networks, whatever the row."""
    return np.tile([-0.5, 0.0, 0.5], (len(Z), 2, 1))


@given(seed=st.integers(0, 10**6), n_rows=st.integers(1, 60), n_targets=st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_at_least_the_wanted_share_is_inside_and_nothing_crosses(seed, n_rows, n_targets):
    rng = np.random.default_rng(seed)
    values, y = some_quantiles(rng, n_rows, n_targets, 5), 3 * rng.normal(size=(n_rows, n_targets))
    factors, widened = fit_widths(values, y, FIVE, 2)
    assert (np.diff(widened) >= 0).all()
    np.testing.assert_array_equal(widened[..., 2], values[..., 2])
    for level, column in zip(FIVE[3:], (3, 4), strict=True):
        slack = 1e-9 * (1 + np.abs(widened[..., column]))
        assert ((y <= widened[..., column] + slack).mean(0) >= level - 1e-9).all()
        assert ((y >= widened[..., 4 - column] - slack).mean(0) >= level - 1e-9).all()
    middle, steps = values[..., 2:3], np.diff(values) * factors[:, [0, 1, 3, 4]]
    below = middle - steps[..., 1::-1].cumsum(-1)[..., ::-1]
    above = middle + steps[..., 2:].cumsum(-1)
    np.testing.assert_allclose(widened, np.concatenate([below, middle, above], -1))


def test_true_quantiles_keep_their_width():
    rng = np.random.default_rng(0)
    size = rng.uniform(1, 5, (20_000, 1))
    normal = np.array([-1.6449, -0.6745, 0.0, 0.6745, 1.6449])
    factors, _ = fit_widths(size[..., None] * normal, size * rng.normal(size=size.shape), FIVE, 2)
    np.testing.assert_allclose(factors, 1, atol=0.05)


def test_the_record_tells_how_many_held_out_values_were_inside():
    rng = np.random.default_rng(0)
    y, halves = rng.normal(size=(400, 1)), [np.arange(200), np.arange(200, 400)]
    found = calibrate_intervals(
        half_a_deviation, QuantileLoss((0.1, 0.5, 0.9)), np.zeros((400, 2)), y, Rows(halves[::-1], halves)
    )
    evidence = found.record.evidence
    assert evidence["coverage_before"] == pytest.approx((np.abs(y) <= 0.5).mean())
    assert evidence["coverage"] == pytest.approx(0.8, abs=0.02)
    assert found.record.decision.startswith("80 % intervals: ")


def test_a_single_quantile_and_no_held_out_rows_have_no_widths():
    y, everything = np.zeros((10, 1)), Rows([np.arange(10)])
    assert (
        calibrate_intervals(half_a_deviation, QuantileLoss((0.1, 0.5, 0.9)), np.zeros((10, 1)), y, everything) is None
    )
    assert calibrate_intervals(half_a_deviation, QuantileLoss((0.5,)), np.zeros((10, 1)), y, everything) is None
