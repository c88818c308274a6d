import numpy as np
import pytest
from scipy.stats import fisher_exact

from sk_dlsteps.step6_real_world.column_reader import ColumnValues
from sk_dlsteps.step6_real_world.column_tests import compare_column
from sk_dlsteps.step6_real_world.count_tests import MISSING, compare_counts, p_unseen
from sk_dlsteps.step6_real_world.sketches import MAX_SKETCH_LEVELS, LevelSketch


def compared(old, new):
    """The test of a category of any values; None is a missing one."""
    levels = [*dict.fromkeys(value for value in [*old, *new] if value is not None)]
    place = {level: code for code, level in enumerate(levels)} | {None: -1}
    of_old, of_new = (np.array([place[value] for value in own]) for own in (old, new))
    return compare_column("x", LevelSketch.of(of_old, levels), ColumnValues(of_new, levels))


@pytest.fixture(scope="module")
def twenty():
    """500 rows of 20 levels."""
    return np.random.default_rng(0).integers(0, 20, 500).tolist()


@pytest.mark.parametrize("n", [10, 19, 30, 50, 60, 100])
def test_few_rows_of_an_unseen_level_are_found(twenty, n):
    test = compared(twenty, ["new"] * n)
    assert test.unseen == n
    assert test.p_value < 1e-6


def test_few_rows_of_different_unseen_levels_are_found(twenty):
    assert compared(twenty, [f"new {i}" for i in range(19)]).p_value < 1e-6


def test_levels_that_are_always_new_are_no_drift_and_cannot_be_compared():
    test = compared([f"a {i}" for i in range(500)], [f"b {i}" for i in range(40)])
    assert test.test == "none"
    assert test.is_blind
    assert test.p_value == 1.0
    assert not compared(["a"] * 50, ["a"] * 20).is_blind


@pytest.mark.parametrize("n", [10, 30])
def test_few_rows_without_a_value_are_found(twenty, n):
    assert compared(twenty, [None] * n).p_value < 1e-6


@pytest.mark.parametrize("n", [10, 19, 50])
def test_few_rows_that_are_all_of_one_level_are_found(twenty, n):
    assert compared(twenty, [3] * n).p_value < 1e-6


def test_a_frequent_level_that_few_new_rows_have_is_found():
    old = [0 if i % 5 < 3 else i % 13 for i in range(500)]
    assert compared(old, [1 + i % 12 for i in range(15)]).p_value < 1e-3


def test_levels_are_put_into_a_frequent_and_a_rare_half_if_the_rows_are_few():
    test = compare_counts({"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1}, {"a": 2, "b": 2, "c": 3, "d": 2}, 100)
    assert test.test == "Fisher"
    assert test.is_pooled
    np.testing.assert_allclose(test.table, [[40, 60], [2, 7]])
    assert test.p_values["distribution"] == pytest.approx(fisher_exact([[40, 60], [2, 7]]).pvalue)


def test_missing_values_are_compared_by_fishers_test():
    test = compare_counts({"a": 0.5, "b": 0.3, MISSING: 0.2}, {"a": 5, "b": 5, MISSING: 10}, 100)
    assert test.p_values["missing"] == pytest.approx(fisher_exact([[80, 20], [10, 10]]).pvalue)


def test_unseen_levels_are_no_more_likely_than_the_bound():
    rng = np.random.default_rng(0)
    levels = np.concatenate([np.arange(30), 30 + np.repeat(np.arange(20), 3)])
    totals = np.bincount(levels)
    unseen = []
    for _ in range(5000):
        rows = rng.permutation(levels)
        new, old = rows[:20], rows[20:]
        unseen.append((~np.isin(new, old)).sum())
    unseen = np.array(unseen)
    for n in range(1, 16):
        assert (unseen >= n).mean() <= p_unseen(n, totals, 20) + 0.005
    assert p_unseen(17, totals, 20) < 0.02


@pytest.mark.parametrize("n", [200, 4 * MAX_SKETCH_LEVELS])
def test_numbered_rows_are_no_drift(n):
    assert compared([f"level {i}" for i in range(n)], [f"level {i}" for i in range(n, 2 * n)]).p_value > 0.01
    assert compared([f"level {i}" for i in range(n)], [f"new {i}" for i in range(n // 2)]).p_value > 0.01


def test_more_levels_than_are_told_apart_have_no_number_of_unseen_rows():
    old = list(range(2 * MAX_SKETCH_LEVELS))
    assert compared(old, old[:50]).unseen is None
    assert compared(old[:50], old[:60]).unseen == 10


@pytest.mark.parametrize("n_new", [10, 40, 100])
@pytest.mark.parametrize("kind", ["uniform", "rare", "gaps"])
def test_p_values_of_few_clean_rows_are_no_smaller_than_they_say(kind, n_new):
    rng = np.random.default_rng(n_new)

    def rows(n):
        levels = np.where(rng.random(n) < 0.9, 0, rng.integers(1, 200, n)) if kind == "rare" else rng.integers(0, 20, n)
        return [None if kind == "gaps" and i % 5 == 0 else level for i, level in enumerate(levels.tolist())]

    p_values = np.array([compared(rows(300), rows(n_new)).p_value for _ in range(200)])
    assert np.mean(p_values <= 0.05) <= 0.07
    assert np.mean(p_values <= 0.01) <= 0.02
