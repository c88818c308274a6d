"""What a single column tells of a target."""

import numpy as np
import pytest
from scipy.stats import f_oneway

from sk_dlsteps.diagnosis.association import LEVEL, SHARE, _groups, tells_alone


@pytest.mark.parametrize("n", [100, 1000])
def test_noise_is_hardly_ever_taken_to_tell_something(n):
    found = []
    for seed in range(500):
        rng = np.random.default_rng(seed)
        found.append(tells_alone(rng.normal(size=n), rng.normal(size=(n, 1))))
        found.append(tells_alone(rng.normal(size=n), np.eye(3)[rng.integers(3, size=n)]))
    assert np.mean(found) <= LEVEL + 0.02


def test_it_is_the_f_test_of_the_levels_groups():
    rng = np.random.default_rng(1)
    for seed in range(30):
        levels, y = np.random.default_rng(seed).integers(4, size=120).astype(float), rng.normal(size=120)
        y += 0.15 * levels
        groups = [y[levels == level] for level in range(4)]
        p = f_oneway(*groups).pvalue
        share = 1 - (sum(((own - own.mean()) ** 2).sum() for own in groups) / 116) / y.var(ddof=1)
        assert tells_alone(levels, y[:, None]) == (p < LEVEL and share > SHARE)


def test_shapes_gaps_and_rarer_values_tell_as_well():
    rng = np.random.default_rng(2)
    x = rng.normal(size=300)
    assert tells_alone(x, np.abs(x)[:, None] + 0.5 * rng.normal(size=(300, 1)))
    missing = np.where(rng.random(300) < 0.3, np.nan, x)
    assert tells_alone(missing, np.isnan(missing)[:, None].astype(float))
    assert tells_alone(x, np.column_stack([rng.normal(size=300), x]))


def test_one_value_tells_nothing_and_more_groups_than_rows_do_not_either():
    assert not tells_alone(np.ones(50), np.arange(50.0)[:, None])
    assert not tells_alone(np.arange(5.0), np.arange(5.0)[:, None])
    assert not tells_alone(np.arange(50.0), np.ones((50, 1)))


def test_groups_hold_equal_values_together_and_are_of_about_equal_size():
    groups = _groups(np.random.default_rng(0).normal(size=80))
    np.testing.assert_array_equal(np.bincount(groups), [10] * 8)
    tied = np.repeat(np.arange(20.0), 5)
    for value in range(20):
        assert len(np.unique(_groups(tied)[tied == value])) == 1
