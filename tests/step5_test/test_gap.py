"""The interval of the gap, its verdict, and the rows that it takes."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from sk_dlsteps.step5_test.bootstrap import Measured
from sk_dlsteps.step5_test.gap import Gap
from sk_dlsteps.step5_test.promise import Promise


def gap_of(promised, kept, tolerance=0.5, optimism=0.0):
    """The gap of two samples of scores of rows."""
    error, test_error = (rows.std(ddof=1) / np.sqrt(len(rows)) for rows in (promised, kept))
    promise = Promise(promised.mean(), error, error, len(promised) - 1, len(promised), optimism=optimism)
    return Gap.between(promise, Measured(kept.mean(), (0.0, 0.0), test_error), len(kept), tolerance, 0.95)


def sample(seed, n, mean=0.0, scale=1.0):
    """Scores of rows."""
    return np.random.default_rng(seed).normal(mean, scale, n)


def test_the_interval_is_welch_s():
    one, other = sample(0, 30, 1.0), sample(1, 12, scale=3.0)
    expected = ttest_ind(one, other, equal_var=False).confidence_interval(0.9)
    np.testing.assert_allclose(gap_of(one, other).interval, (expected.low, expected.high))


def test_no_gap_is_called_overfitted_in_five_of_a_hundred_cases_and_optimism_is_taken_away():
    found = [gap_of(sample(i, 60, 0.3), sample(i + 1000, 40), optimism=0.3).verdict for i in range(400)]
    assert 0.02 < found.count("validation overfitted") / 400 < 0.08


def test_a_gap_as_large_as_the_detectable_one_is_found_in_eighty_of_a_hundred_cases():
    error = np.sqrt(1 / 60 + 1 / 40)
    found = [gap_of(sample(i, 60, 2.52 * error), sample(i + 1000, 40)) for i in range(400)]
    assert np.mean([gap.verdict == "validation overfitted" for gap in found]) == pytest.approx(0.8, abs=0.06)
    assert np.mean([gap.detectable for gap in found]) == pytest.approx(2.52 * error, rel=0.03)


@pytest.mark.parametrize(("n", "verdict"), [(2000, "confirmed"), (20, "inconclusive")])
def test_only_many_rows_confirm(n, verdict):
    rows = sample(0, n)
    assert gap_of(rows, rows, tolerance=0.2).verdict == verdict


@pytest.mark.parametrize("more", ["validation", "test"])
def test_the_rows_asked_for_are_enough_to_see_what_would_matter(more):
    one, other = sample(0, 100), sample(1, 100)
    gap = gap_of(one, other, tolerance=0.3)
    factor = gap.validation_factor if more == "validation" else gap.test_factor
    assert 1 < factor < 5
    n = int(np.ceil(100 * factor))
    # The same scores, of more rows.
    larger = {"validation": (np.resize(one, n), other), "test": (one, np.resize(other, n))}[more]
    assert gap_of(*larger, tolerance=0.3).detectable == pytest.approx(0.3, rel=0.03)


def test_no_number_of_validation_rows_makes_up_for_a_small_test_set():
    gap = gap_of(sample(0, 1000), sample(1, 10), tolerance=0.3)
    assert gap.validation_factor == np.inf
    assert np.isfinite(gap.test_factor)


def test_where_neither_kind_of_rows_is_enough_both_have_to_grow():
    one, other = sample(0, 40), sample(1, 40)
    gap = gap_of(one, other, tolerance=0.2)
    assert (gap.validation_factor, gap.test_factor) == (np.inf, np.inf)
    n = int(np.ceil(40 * gap.both_factor))
    assert gap_of(np.resize(one, n), np.resize(other, n), tolerance=0.2).detectable == pytest.approx(0.2, rel=0.04)


def test_scores_without_any_noise_have_no_interval_to_speak_of():
    gap = Gap.between(Promise(0.9, 0.0, 0.0, 99, 100), Measured(0.9, (0.9, 0.9), 0.0), 50, 0.05, 0.95)
    assert (gap.interval, gap.verdict) == ((0.0, 0.0), "confirmed")
