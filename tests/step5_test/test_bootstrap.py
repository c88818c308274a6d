"""Scores of resamples, against loops over the same rows and closed forms."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score

from sk_dlsteps.step5_test import bootstrap
from sk_dlsteps.step5_test.bootstrap import RowLosses, Units, measure_losses, measure_score
from sk_dlsteps.step5_test.rows import losses_of_predictions

RNG = np.random.default_rng(0)
Y = RNG.normal(100, 3, (80, 2))
NEAR = Y + RNG.normal(0, 1, (80, 2))
WEIGHT = RNG.uniform(0.5, 3, 80)
GROUPS = RNG.integers(0, 15, 80)
LABELS, GUESSES = np.array(list("abcabcaabb")), np.array(list("abcabcabba"))


def drawn_rows(groups, n_rows, n_resamples, seed):
    """The rows of the resamples, one after the other."""
    codes = Units.of(n_rows, groups).codes
    drawn = np.random.default_rng(seed).integers(codes.max() + 1, size=(n_resamples, codes.max() + 1))
    return [np.concatenate([np.flatnonzero(codes == unit) for unit in units]) for units in drawn]


@pytest.mark.parametrize("groups", [None, GROUPS], ids=["rows", "groups"])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["equal", "weighted"])
def test_resampled_r2_equals_a_loop_over_the_same_rows(groups, weight):
    losses = RowLosses(*losses_of_predictions("R2", Y, NEAR), weight)
    expected = [
        r2_score(Y[rows], NEAR[rows], sample_weight=None if weight is None else weight[rows])
        for rows in drawn_rows(groups, 80, 50, 3)
    ]
    np.testing.assert_allclose(losses.resampled(Units.of(80, groups), 50, 3), expected, atol=1e-9)
    assert losses.score == pytest.approx(r2_score(Y, NEAR, sample_weight=weight))


def test_resampled_accuracy_equals_a_loop_over_the_same_rows():
    losses = RowLosses(*losses_of_predictions("accuracy", LABELS, GUESSES))
    expected = [accuracy_score(LABELS[rows], GUESSES[rows]) for rows in drawn_rows(None, 10, 50, 3)]
    np.testing.assert_allclose(losses.resampled(Units.of(10), 50, 3), expected)


def test_a_score_of_losses_is_the_metric_turned_round():
    losses = RowLosses(*losses_of_predictions("absolute error", Y, NEAR), best=0.0)
    assert losses.score == pytest.approx(-mean_absolute_error(Y, NEAR))


def test_resamples_of_one_value_are_scored_as_scikit_learn_does():
    y, guess = np.array([1.0, 2.0]), np.array([1.0, 3.0])
    losses = RowLosses(*losses_of_predictions("R2", y, guess))
    expected = [r2_score(y[rows], guess[rows]) for rows in drawn_rows(None, 2, 40, 0)]
    np.testing.assert_allclose(losses.resampled(Units.of(2), 40, 0), expected)


def test_the_size_of_the_chunks_does_not_matter(monkeypatch):
    losses = RowLosses(*losses_of_predictions("R2", Y, NEAR))
    whole = losses.resampled(Units.of(80), 100, 0)
    monkeypatch.setattr(bootstrap, "_CHUNK", 1000)
    np.testing.assert_array_equal(losses.resampled(Units.of(80), 100, 0), whole)


def test_a_score_that_is_computed_anew_is_the_same_as_one_of_losses():
    losses = RowLosses(*losses_of_predictions("R2", Y, NEAR), WEIGHT)
    units = Units.of(80, GROUPS)
    anew = measure_score(lambda rows: r2_score(Y[rows], NEAR[rows], sample_weight=WEIGHT[rows]), units, n_resamples=200)
    quick = measure_losses(losses, units, n_resamples=200)
    np.testing.assert_allclose([anew.score, anew.error, *anew.interval], [quick.score, quick.error, *quick.interval])


def test_the_interval_of_a_mean_is_the_normal_one():
    errors = np.random.default_rng(1).exponential(size=(3000, 1))
    found = measure_losses(RowLosses(errors, best=0.0), Units.of(3000))
    error = errors.std() / np.sqrt(3000)
    np.testing.assert_allclose(found.interval, norm.interval(0.95, -errors.mean(), error), atol=0.2 * error)
    assert found.error == pytest.approx(error, rel=0.05)


def test_the_interval_of_an_accuracy_is_the_binomial_one():
    found = measure_losses(RowLosses(np.repeat([0.0, 1.0], [160, 40])[:, None]), Units.of(200))
    assert found.score == 0.8
    np.testing.assert_allclose(found.interval, binom.ppf([0.025, 0.975], 200, 0.8) / 200, atol=0.005)


def test_groups_of_equal_rows_count_as_single_rows():
    single = RowLosses(np.random.default_rng(2).normal(size=(100, 1)))
    tenfold = RowLosses(np.repeat(single.losses, 10, axis=0))
    alone = measure_losses(single, Units.of(100))
    together = measure_losses(tenfold, Units.of(1000, np.repeat(np.arange(100), 10)))
    np.testing.assert_allclose(together.interval, alone.interval)
    assert measure_losses(tenfold, Units.of(1000)).error < 0.5 * alone.error


def test_ten_rows_that_are_all_right_do_not_show_that_all_are():
    found = measure_losses(RowLosses(np.zeros((10, 1))), Units.of(10))
    assert (found.score, found.error) == (1.0, 0.1)


@pytest.mark.parametrize(("wrong", "n"), [(0, 10), (0, 200), (25, 25)])
def test_a_rate_of_none_or_all_has_the_exact_interval(wrong, n):
    exact = binomtest(n - wrong, n).proportion_ci(0.95, method="exact")
    for weight in (None, np.full(n, 3.0)):
        found = measure_losses(RowLosses(np.repeat([1.0, 0.0], [wrong, n - wrong])[:, None], None, weight), Units.of(n))
        assert found.interval == pytest.approx((exact.low, exact.high))


def test_weights_and_groups_leave_fewer_rows_to_count_on():
    right = RowLosses(np.zeros((100, 1)), None, np.repeat([100.0, 0.001], [10, 90]))
    ten = binomtest(10, 10).proportion_ci(0.95, method="exact")
    assert measure_losses(right, Units.of(100)).interval == pytest.approx((ten.low, 1.0), abs=1e-3)
    together = measure_losses(RowLosses(np.zeros((100, 1))), Units.of(100, np.arange(100) // 10))
    assert together.interval == pytest.approx((ten.low, 1.0))


def test_errors_of_values_that_happen_to_be_zero_are_no_rate():
    found = measure_losses(RowLosses(np.zeros((30, 1)), best=0.0), Units.of(30))
    assert (found.interval, found.error) == ((0.0, 0.0), 0.0)


def test_resamples_without_a_score_are_left_out_and_too_many_of_them_are_an_error():
    def score(rows):
        if 0 not in rows:
            raise ValueError("the class of row 0 is missing")
        return float(np.mean(rows))

    assert np.isfinite(measure_score(score, Units.of(6), n_resamples=100).interval).all()
    with pytest.raises(ValueError, match=r"of 100 resamples of `X_test` have no score, .* give more test rows"):
        measure_score(lambda rows: score(rows) if len(set(rows)) == 6 else score([]), Units.of(6), n_resamples=100)


def test_groups_may_be_of_any_kind():
    units = Units.of(5, np.array(["x", None, 3, None, "x"], dtype=object))
    assert (units.codes.tolist(), units.n) == ([0, 1, 2, 1, 0], 3)


def test_rows_on_their_own_and_groups_of_one_are_drawn_alike():
    drawn = []
    units = Units.of(5, ["d", "b", "a", "c", "e"])
    for own in (Units.of(5), units):
        seen = []
        measure_score(lambda rows, seen=seen: float(seen.append(rows.tolist()) or 0), own, n_resamples=100)
        drawn.append(seen)
    assert drawn[0] == drawn[1]
    assert drawn[0][1:] == [rows.tolist() for rows in drawn_rows(None, 5, 100, 0)]
