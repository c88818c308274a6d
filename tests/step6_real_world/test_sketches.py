import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sk_dlsteps.step6_real_world.sketches import (
    MAX_SKETCH_LEVELS,
    MAX_SKETCH_ROWS,
    LevelSketch,
    NumberSketch,
    some_rows,
)

few_values = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0, np.nan]), min_size=1, max_size=40)
many_values = st.lists(st.floats(-1e6, 1e6) | st.just(np.nan), min_size=1, max_size=60)
codes = st.lists(st.integers(-1, 3), min_size=1, max_size=40)


def levels_of(own):
    """A sketch of some codes of four colours."""
    return LevelSketch.of(np.array(own), ["red", "green", "blue", "grey"])


@given(many_values)
@settings(deadline=None)
def test_shares_are_those_of_the_values_at_every_knot(values):
    X = np.array(values)
    sketch = NumberSketch.of(X, n_knots=16)
    own = sketch.rounded(X[~np.isnan(X)])
    np.testing.assert_allclose(sketch.shares, [(own <= knot).mean() for knot in sketch.knots], rtol=1e-6)
    assert sketch.missing == pytest.approx(np.isnan(X).mean())
    if len(own):
        assert (own.min(), own.max()) == (sketch.knots[0], sketch.knots[-1])
        np.testing.assert_allclose(
            sketch.points[[0, -1]], (np.nanmin(X), np.nanmax(X)), atol=1e-6 * np.nanmax(abs(X)) + 1e-40
        )
        assert (sketch.low, sketch.high) == (np.nanmin(X), np.nanmax(X))


@given(few_values, few_values)
@settings(deadline=None)
def test_two_sketches_of_few_values_merge_to_the_sketch_of_all_rows(first, second):
    merged = NumberSketch.of(np.array(first)).merged(NumberSketch.of(np.array(second)))
    whole = NumberSketch.of(np.array(first + second))
    np.testing.assert_array_equal(merged.knots, whole.knots)
    np.testing.assert_allclose(merged.shares, whole.shares, rtol=1e-5)
    assert (merged.n_rows, merged.n_eff) == pytest.approx((whole.n_rows, whole.n_eff))
    assert merged.missing == pytest.approx(whole.missing)


@given(codes, codes)
@settings(deadline=None)
def test_two_sketches_of_levels_merge_to_the_sketch_of_all_rows(first, second):
    merged, whole = levels_of(first).merged(levels_of(second)), levels_of(first + second)
    assert merged.shares == pytest.approx(whole.shares)
    assert (merged.missing, merged.n_eff, merged.n_rows) == pytest.approx((whole.missing, whole.n_eff, whole.n_rows))


def test_many_merged_chunks_stay_near_the_distribution_of_all_rows():
    X = np.random.default_rng(0).gamma(2, size=30_000)
    sketch = NumberSketch.of(X[:1000])
    for start in range(1000, len(X), 1000):
        sketch = sketch.merged(NumberSketch.of(X[start : start + 1000]))
    at = np.quantile(X, np.linspace(0, 1, 200))
    exact = np.searchsorted(np.sort(X), at, "right") / len(X)
    assert np.abs(sketch.share_at_most(at) - exact).max() < 0.01
    assert len(sketch.knots) < 300
    assert (sketch.low, sketch.high) == (X.min(), X.max())


@pytest.mark.parametrize("offset", [0.0, 1.7e9, -3e12])
def test_chunks_far_from_zero_merge_without_loss(offset):
    X = offset + np.random.default_rng(0).normal(size=3000)
    sketch = NumberSketch.of(X[:1])
    for start in range(1, len(X), 500):
        sketch = sketch.merged(NumberSketch.of(X[start : start + 500]))
    at = np.quantile(X, np.linspace(0.01, 0.99, 50))
    exact = np.searchsorted(np.sort(X), at, "right") / len(X)
    assert np.abs(sketch.share_at_most(at) - exact).max() < 0.01
    assert sketch.quantile(np.array([0.5]))[0] == pytest.approx(np.median(X), abs=0.05)
    kept = pickle.loads(pickle.dumps(sketch))
    np.testing.assert_array_equal(kept.points, sketch.points)
    assert np.all(np.diff(sketch.knots) > 0)


def test_values_are_rounded_alike_whatever_their_offset():
    X = 1.7e9 + np.random.default_rng(0).normal(size=200)
    sketch = NumberSketch.of(X)
    np.testing.assert_array_equal(sketch.rounded(sketch.points), sketch.knots)
    assert sketch.knots.dtype == np.float32


def test_weights_count_as_copies_do():
    values, weight = np.array([1.0, 2.0, np.nan, 5.0]), np.array([1.0, 3.0, 2.0, 2.0])
    weighted, copied = NumberSketch.of(values, weight), NumberSketch.of(np.repeat(values, weight.astype(int)))
    np.testing.assert_allclose(weighted.shares, copied.shares, rtol=1e-6)
    assert weighted.missing == copied.missing
    assert weighted.n_eff == pytest.approx(36 / 14)


def test_a_high_step_keeps_both_its_sides():
    values = np.concatenate([np.zeros(500), np.random.default_rng(0).normal(size=500)])
    sketch = NumberSketch.of(values, n_knots=32)
    at = np.flatnonzero(sketch.knots == 0)[0]
    assert sketch.shares[at] - sketch.shares[at - 1] == pytest.approx(0.5, abs=0.005)


def test_long_columns_are_sketched_from_some_rows_but_their_range_is_that_of_all():
    values = np.arange(3.0 * MAX_SKETCH_ROWS)
    sketch = NumberSketch.of(values)
    assert sketch.n_eff == MAX_SKETCH_ROWS
    assert (sketch.low, sketch.high, sketch.n_rows) == (0, values[-1], len(values))
    assert not sketch.exact


def test_of_very_many_levels_the_same_ones_are_kept_whatever_their_order():
    levels = [f"level {i}" for i in range(3 * MAX_SKETCH_LEVELS)]
    own = np.arange(len(levels))
    sketch = LevelSketch.of(own, levels)
    other = LevelSketch.of(own, levels[::-1])
    assert len(sketch.shares) == MAX_SKETCH_LEVELS
    assert sketch.shares == other.shares
    assert sketch.others == pytest.approx(2 / 3)
    assert all(sketch.is_told_apart(level) for level in sketch.shares)
    assert not sketch.is_told_apart(next(level for level in levels if level not in sketch.shares))
    assert sketch.merged(other).shares == pytest.approx(sketch.shares)


def test_columns_without_values_have_sketches():
    empty, other = NumberSketch.of(np.full(3, np.nan)), NumberSketch.of(np.array([1.0, 2.0]))
    assert (empty.missing, len(empty.knots)) == (1.0, 0)
    merged = empty.merged(other)
    assert merged.missing == pytest.approx(0.6)
    assert merged.knots.tolist() == [1, 2]
    assert other.merged(empty).missing == pytest.approx(0.6)


def test_some_rows_are_the_same_every_time_and_leave_numpys_random_numbers_alone():
    before = np.random.get_state()[1].copy()
    first, second = some_rows(1000, 10), some_rows(1000, 10)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(before, np.random.get_state()[1])
    assert len(set(first.tolist())) == 10


def test_a_sketch_is_small():
    assert len(pickle.dumps(NumberSketch.of(np.random.default_rng(0).normal(size=100_000)))) < 2500
