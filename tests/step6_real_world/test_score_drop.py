import numpy as np
import pytest
from scipy.stats import ttest_ind

from sk_dlsteps.step6_real_world.model_outputs import Losses
from sk_dlsteps.step6_real_world.score_drop import OPTIMISM, compare_losses


def test_the_p_value_and_the_interval_are_those_of_welchs_test():
    rng = np.random.default_rng(0)
    old, new = rng.gamma(1, size=300), 1.3 * rng.gamma(1, size=80)
    drop = compare_losses("R2", Losses.of(old), new)
    flattered = Losses.of(old).error * OPTIMISM
    expected = ttest_ind(new - flattered, old, equal_var=False, alternative="greater")
    assert drop.p_value == pytest.approx(expected.pvalue)
    interval = ttest_ind(new, old, equal_var=False).confidence_interval(0.95)
    assert drop.interval == pytest.approx((interval.low, interval.high))
    assert (drop.before, drop.after) == pytest.approx((1 - old.mean(), 1 - new.mean()))


def test_a_few_rows_without_an_error_are_no_alarm_and_too_few_no_test():
    old = Losses(0.1, 0.09, 500)
    assert compare_losses("accuracy", old, np.zeros(10)).p_value > 0.5
    assert compare_losses("accuracy", old, np.zeros(4)) is None
    assert compare_losses("accuracy", Losses(0.0, 0.0, 500), np.zeros(10)).p_value == 1.0
    assert compare_losses("accuracy", Losses(0.0, 0.0, 500), np.ones(10)).p_value == 0.0


def test_a_drop_that_is_not_there_is_found_as_seldom_as_stated():
    rng = np.random.default_rng(0)
    p_values = [
        compare_losses("R2", Losses.of(rng.gamma(0.5, size=200)), rng.gamma(0.5, size=50)).p_value for _ in range(1000)
    ]
    assert np.mean(np.array(p_values) < 0.05) < 0.07
