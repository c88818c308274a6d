import math

import numpy as np
import pytest

from sk_dlsteps.step4_validation.noise import Difference, paired_difference


def test_the_error_is_that_of_nadeau_and_bengio():
    scores, reference = np.array([0.9, 0.7, 0.8]), np.array([0.8, 0.7, 0.6])
    difference = paired_difference(scores, reference, 0.5)
    assert difference.mean == pytest.approx(0.1)
    assert difference.error == pytest.approx(math.sqrt(0.01 * (1 / 3 + 0.5)))


def test_what_all_folds_share_is_no_noise():
    reference = np.array([0.2, 0.9, 0.5])
    assert paired_difference(reference + 0.01, reference, 0.5).beyond_noise
    assert not paired_difference(reference - 0.01, reference, 0.5).beyond_noise


def test_ties_and_rounding_are_no_improvement():
    reference = np.array([0.5, 0.6, 0.7])
    assert not paired_difference(reference, reference, 0.25).beyond_noise
    assert not paired_difference(reference + 1e-9, reference, 0.25).beyond_noise
    assert not paired_difference(np.zeros(3), np.zeros(3), 0.25).beyond_noise
    assert not paired_difference(np.array([0.5 + 1e-9]), np.array([0.5]), 0.25).beyond_noise


def test_one_fold_shows_no_noise_so_that_the_better_score_counts():
    difference = paired_difference(np.array([0.6]), np.array([0.5]), 0.25)
    assert difference.beyond_noise
    assert str(difference) == "+0.1000"


@pytest.mark.parametrize("failed", [np.nan, np.inf, -np.inf])
def test_a_fold_that_failed_is_never_an_improvement(failed):
    difference = paired_difference(np.array([0.9, failed]), np.array([0.1, 0.1]), 0.25)
    assert not difference.beyond_noise
    assert str(difference) == "-"


def test_few_differences_of_pure_noise_count():
    rng = np.random.default_rng(0)
    # Folds share most of their training rows: differences are correlated by about n_test / n.
    shared = rng.normal(size=(2000, 1)) * math.sqrt(0.2)
    differences = shared + rng.normal(size=(2000, 5)) * math.sqrt(0.8)
    counted = [paired_difference(row, np.zeros(5), 0.25).beyond_noise for row in differences]
    assert 0.1 < np.mean(counted) < 0.25


def test_a_difference_shows_its_noise():
    assert str(Difference(-0.012, 0.0034)) == "-0.0120 ± 0.0034"
