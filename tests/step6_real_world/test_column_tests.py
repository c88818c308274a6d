import numpy as np
import pytest
from scipy.stats import chi2_contingency, fisher_exact, ks_2samp

from sk_dlsteps.step6_real_world.column_reader import ColumnValues
from sk_dlsteps.step6_real_world.column_tests import (
    combined,
    compare_column,
    compare_columns,
    kolmogorov_smirnov,
    p_outside,
    smallest_shift,
)
from sk_dlsteps.step6_real_world.sketches import LevelSketch, NumberSketch


def numbers(old, new, **options):
    """The test of a column of numbers."""
    return compare_column("x", NumberSketch.of(np.asarray(old, float), **options), ColumnValues(np.asarray(new, float)))


def colours(old, new, names=("red", "green", "blue")):
    """The test of a category, from counts of its levels."""
    of_old, of_new = (np.repeat(np.arange(len(counts)), counts) for counts in (old, new))
    return compare_column("x", LevelSketch.of(of_old, list(names)), ColumnValues(of_new, list(names)))


@pytest.mark.parametrize(("n", "m"), [(200, 150), (150, 40), (30, 250)])
def test_an_exact_sketch_gives_scipys_kolmogorov_smirnov(n, m):
    rng = np.random.default_rng(n)
    old, new = rng.normal(size=n), rng.normal(0.3, 1, size=m).round(1)
    found = kolmogorov_smirnov(NumberSketch.of(old, n_knots=500), np.sort(new))
    expected = ks_2samp(old, new, method="asymp")
    assert found == pytest.approx((expected.statistic, expected.pvalue), rel=1e-5)


def test_a_coarse_sketch_sees_hardly_less_of_a_distance_and_never_more():
    rng = np.random.default_rng(0)
    for seed in range(20):
        old, new = rng.normal(size=5000), rng.normal(0.02 * seed, 1, size=700)
        coarse, _ = kolmogorov_smirnov(NumberSketch.of(old, n_knots=128), np.sort(new))
        exact = ks_2samp(old, new).statistic
        assert exact - 0.017 < coarse <= exact + 1e-6


def test_levels_are_tested_by_scipys_chi_square():
    test = colours([300, 120, 80], [90, 80, 40])
    expected = chi2_contingency([[300, 120, 80], [90, 80, 40]], correction=False)
    assert test.test == "chi-square"
    assert (test.statistic, test.p_values["distribution"]) == pytest.approx((expected.statistic, expected.pvalue))


def test_two_levels_are_tested_by_fishers_test():
    test = colours([300, 100], [60, 60], ("yes", "no"))
    assert test.test == "Fisher"
    assert test.p_value == pytest.approx(fisher_exact([[300, 100], [60, 60]]).pvalue)


def test_rare_levels_are_pooled_by_both_samples_together():
    names = ("red", "green", *(f"rare {i}" for i in range(40)))
    test = colours([300, 120, *[1] * 20, *[0] * 20], [300, 120, *[0] * 20, *[1] * 20], names)
    assert test.p_value > 0.9
    assert test.unseen == 20


def test_a_frequent_unseen_level_is_found():
    test = colours([300, 120, 0], [300, 120, 60])
    assert test.unseen == 60
    assert test.p_value < 1e-6


def test_numbers_of_few_values_are_compared_value_by_value():
    rng = np.random.default_rng(0)
    old, new = rng.integers(0, 4, 400), rng.integers(0, 5, 400)
    test = numbers(old, new)
    table = [np.bincount(old, minlength=5), np.bincount(new, minlength=5)]
    assert test.test == "chi-square"
    assert test.p_values["distribution"] == pytest.approx(chi2_contingency(table, correction=False).pvalue, rel=1e-4)
    assert test.p_values["order"] == pytest.approx(ks_2samp(old, new, method="asymp").pvalue, rel=1e-4)
    assert test.unseen == test.outside == int((new == 4).sum())


def test_a_number_that_hardly_repeats_is_not_counted():
    rng = np.random.default_rng(0)
    test = numbers(rng.normal(size=19), rng.normal(10, 1, size=100))
    assert test.test == "KS"
    assert test.p_value < 1e-6


def test_ratings_that_moved_are_found_in_few_rows():
    rng = np.random.default_rng(0)
    test = numbers(rng.integers(1, 11, 500), rng.integers(5, 15, 40))
    assert test.test == "KS"
    assert test.p_value < 1e-4


def test_numbers_far_from_zero_and_close_to_each_other_are_told_apart():
    rng = np.random.default_rng(0)
    old, new = 1.7e9 + rng.normal(size=500), 1.7e9 + rng.normal(size=500)
    assert numbers(old, new).p_value > 0.01
    expected = ks_2samp(old, new + 1, method="asymp")
    found = numbers(old, new + 1)
    assert found.statistic == pytest.approx(expected.statistic, abs=0.02)
    assert found.p_value < 1e-20
    assert found.psi > 0.5


def test_missing_values_are_found_beside_an_equal_distribution():
    rng = np.random.default_rng(0)
    old, new = rng.normal(size=500), rng.normal(size=500)
    new[rng.random(500) < 0.1] = np.nan
    test = numbers(old, new)
    assert (test.missing_before, test.missing) == (0, pytest.approx(np.isnan(new).mean()))
    assert test.p_values["missing"] < 1e-9 < test.p_values["distribution"]
    assert test.p_value == pytest.approx(test.p_values["missing"] / 0.1)


def test_rows_outside_are_as_likely_as_simulated():
    rng = np.random.default_rng(0)
    old, new = rng.random((20_000, 30)), rng.random((20_000, 20))
    outside = ((new < old.min(1, keepdims=True)) | (new > old.max(1, keepdims=True))).sum(1)
    for k in (1, 2, 4, 6):
        assert p_outside(k, 20, 30) == pytest.approx((outside >= k).mean(), abs=0.01)


def test_a_main_test_keeps_most_of_the_level():
    assert combined({"distribution": 0.01, "missing": 1.0, "outside": 1.0}) == pytest.approx(0.0125)
    assert combined({"distribution": 1.0, "missing": 1.0, "outside": 0.01}) == pytest.approx(0.1)


def test_the_population_stability_index_is_its_formula_and_has_its_null_distribution():
    rng = np.random.default_rng(0)
    tests = [numbers(rng.normal(size=1000), rng.normal(size=500)) for _ in range(400)]
    above = np.mean([test.psi > test.psi_limit for test in tests])
    assert above == pytest.approx(0.01, abs=0.015)
    assert np.mean([test.psi_p_value < 0.1 for test in tests]) == pytest.approx(0.1, abs=0.05)
    counts = np.array([[300, 120, 80], [90, 80, 40]]) + 0.5
    p, q = counts / counts.sum(1, keepdims=True)
    assert colours([300, 120, 80], [90, 80, 40]).psi == pytest.approx(((p - q) * np.log(p / q)).sum())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (np.ones(50), np.ones(20)),
        (np.full(50, np.nan), np.full(20, np.nan)),
        (np.arange(50.0), np.array([25.0])),
        (np.arange(50.0), np.full(3, 20.0)),
    ],
)
def test_constant_empty_and_tiny_columns_raise_no_alarm(old, new):
    assert numbers(old, new).p_value > 0.05


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (np.ones(50), np.full(50, 2.0)),
        (np.full(50, np.nan), np.arange(50.0)),
        (np.arange(50.0), np.full(50, np.nan)),
    ],
)
def test_columns_that_become_something_else_do(old, new):
    assert numbers(old, new).p_value < 1e-6


def test_float32_values_are_those_of_float64_before():
    values = np.random.default_rng(0).choice([0.1, 0.2, 0.3], 200)
    for old, new in ((np.float64, np.float32), (np.float32, np.float64)):
        test = compare_column("x", NumberSketch.of(values.astype(old)), ColumnValues(values.astype(new)))
        assert (test.p_value, test.unseen) == (pytest.approx(1.0), 0)


def test_p_values_of_clean_columns_are_no_smaller_than_they_say():
    rng = np.random.default_rng(1)
    p_values = []
    for _ in range(150):
        old = [NumberSketch.of(rng.normal(size=400)), NumberSketch.of(rng.poisson(1, 400).astype(float))]
        levels = list(range(60))
        old.append(LevelSketch.of(rng.integers(0, 60, 400) * rng.integers(0, 2, 400), levels))
        new = [ColumnValues(rng.normal(size=200)), ColumnValues(rng.poisson(1, 200).astype(float))]
        new.append(ColumnValues(rng.integers(0, 60, 200) * rng.integers(0, 2, 200), levels))
        p_values += [test.p_value for test in compare_columns("abc", old, new, 10)]
    assert np.mean(np.array(p_values) < 0.05) < 0.07
    assert np.mean(np.array(p_values) < 0.005) < 0.012


def test_the_smallest_shift_is_found_at_least_four_times_in_five():
    shift = smallest_shift(500, 500, 0.001)
    rng = np.random.default_rng(0)
    found = [
        ks_2samp(rng.normal(size=500), rng.normal(shift, 1, 500), method="asymp").pvalue < 0.001 for _ in range(300)
    ]
    assert 0.8 < np.mean(found) < 0.98
    assert smallest_shift(500, 2, 0.001) == np.inf
