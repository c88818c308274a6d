"""The range test and the choice of a rate on its curve."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import make_regression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_dlsteps import StepwiseRegressor, StepwiseWarning, find_learning_rate
from sk_dlsteps.step3_training.lr_finder import (
    MANY_CLASSES,
    MAX_STEPS,
    MIN_STEPS,
    OTHER_SWEEP,
    SWEEPS,
    choose_rate,
    range_test,
    sweep_of,
    sweep_rates,
)

DEFAULT = 0.0123
STEEPEST, DIVERGENCE = 10**-2.5, 10**-0.15


def curve(noise=0.0, seed=0, n_steps=100, n_replicas=8):
    """A plateau, a drop around 10**-2.5, and a blow-up near 1, with noise on every replica."""
    rates = np.geomspace(1e-4, 1.0, n_steps)
    decades = np.log10(rates)
    clean = 1 - 0.6 / (1 + np.exp(-(decades + 2.5) / 0.15)) + np.exp((decades + 0.15) / 0.06)
    noises = np.random.default_rng(seed).normal(size=(n_steps, n_replicas))
    return rates, clean[:, None] + noise * noises


@pytest.mark.parametrize("n_replicas", [8, 1])
@pytest.mark.parametrize("n_steps", [100, 50, 30])
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05, 0.1])
def test_the_pick_lies_between_the_steepest_point_and_the_minimum_far_from_divergence(noise, n_steps, n_replicas):
    for seed in range(20):
        rates, losses = curve(noise, seed, n_steps, n_replicas)
        found = choose_rate(rates, losses, DEFAULT)
        lowest = rates[np.nanargmin(found.smoothed)]
        assert found.reliable
        assert found.alternatives["steepest"] < found.learning_rate < lowest
        assert STEEPEST < found.learning_rate < DIVERGENCE / 3
        assert found.alternatives["minimum/10"] == pytest.approx(lowest / 10)
        assert rates[0] <= found.alternatives["valley"] <= DIVERGENCE


def test_on_a_clean_curve_the_steepest_point_is_the_drops_centre():
    rates, losses = curve()
    assert choose_rate(rates, losses, DEFAULT).alternatives["steepest"] == pytest.approx(STEEPEST, rel=0.2)


def test_the_curve_is_cut_before_it_is_smoothed():
    """A loss that explodes to 1e30 must not be smeared over the rates before it."""
    rates, losses = curve(0.02)
    mild = choose_rate(rates, losses, DEFAULT)
    after = losses.copy()
    after[rates > 0.8] = 1e30
    assert choose_rate(rates, after, DEFAULT).learning_rate == mild.learning_rate
    assert np.nanmax(choose_rate(rates, after, DEFAULT).smoothed) < 2
    assert np.isnan(choose_rate(rates, after, DEFAULT).smoothed[rates > 0.8]).all()


@pytest.mark.parametrize("factor", [1e-3, 1e3, 1e-12, 1e12])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_the_scale_of_the_loss_does_not_matter(noise, factor):
    rates, losses = curve(noise)
    expected = choose_rate(rates, losses, DEFAULT)
    found = choose_rate(rates, factor * losses, DEFAULT)
    assert (found.learning_rate, found.alternatives) == (expected.learning_rate, expected.alternatives)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_loss_that_is_negative_or_shifted_leads_to_the_same_pick(noise):
    rates, losses = curve(noise)
    expected = choose_rate(rates, losses, DEFAULT).learning_rate
    for shift in (-10.0, 10.0):
        assert choose_rate(rates, losses + shift, DEFAULT).learning_rate == expected


@pytest.mark.parametrize("share", [3 / 8, 1 / 8])
def test_replicas_that_are_not_finite_do_not_matter_while_most_are(share):
    rates, losses = curve()
    losses[:, : int(8 * share)] = np.nan
    assert choose_rate(rates, losses, DEFAULT).learning_rate == choose_rate(*curve(), DEFAULT).learning_rate


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_curve_ends_where_most_replicas_are_no_longer_finite(value):
    rates, losses = curve(0.02)
    losses[rates > 0.1] = value
    found = choose_rate(rates, losses, DEFAULT)
    assert found.reliable
    assert STEEPEST < found.learning_rate < 0.1


@pytest.mark.parametrize(
    ("losses", "reason"),
    [
        (np.ones((100, 8)), "did not fall"),
        (np.full((100, 8), 0.7) + 1e-12 * np.arange(100)[:, None], "rose from the start"),
        (np.linspace(1, 5, 100)[:, None] * np.ones((100, 8)), "from the start"),
        (np.full((100, 8), np.nan), "was not finite from the start"),
        (np.full((100, 8), np.inf), "was not finite from the start"),
        (curve(n_steps=MIN_STEPS - 1)[1], "too few minibatches"),
        (np.empty((0, 8)), "too few minibatches"),
    ],
    ids=["flat", "rising a little", "rising", "nan", "inf", "short", "empty"],
)
def test_a_curve_that_says_nothing_leads_to_the_default(losses, reason):
    rates = np.geomspace(1e-4, 1, len(losses)) if len(losses) else np.empty(0)
    found = choose_rate(rates, losses, DEFAULT)
    assert not found.reliable
    assert found.learning_rate == DEFAULT
    assert reason in found.reason
    assert found.reason.endswith("the default is used")


def test_noise_alone_rarely_passes_for_a_fall():
    rates = np.geomspace(1e-4, 1, 100)
    noise = [np.random.default_rng(seed).normal(1, 0.1, (100, 8)) for seed in range(50)]
    assert np.mean([choose_rate(rates, losses, DEFAULT).reliable for losses in noise]) <= 0.2


def test_a_pick_above_the_ceiling_is_lowered_to_it():
    rates, losses = curve()
    found = choose_rate(rates, losses, DEFAULT, ceiling=0.005)
    assert found.learning_rate == 0.005
    assert "lowered to the ceiling of 0.005" in found.reason


def test_a_curve_pickles():
    found = choose_rate(*curve(0.02), DEFAULT)
    copy = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(copy.smoothed, found.smoothed)
    assert (copy.learning_rate, copy.reason, copy.alternatives) == (
        found.learning_rate, found.reason, found.alternatives,
    )  # fmt: skip


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "RMSprop"])
def test_a_sweep_is_a_bounded_share_of_the_fit_and_rises_exponentially(optimizer):
    for n_steps in (MIN_STEPS, 500, 10_000_000):
        rates = sweep_rates(optimizer, n_steps)
        assert MIN_STEPS <= len(rates) <= MAX_STEPS
        np.testing.assert_allclose(rates[1:] / rates[:-1], rates[1] / rates[0])
        sweep = SWEEPS.get(optimizer, OTHER_SWEEP)
        assert (rates[0], rates[-1]) == pytest.approx((sweep.low, sweep.high))
    assert not len(sweep_rates(optimizer, MIN_STEPS - 1))


def test_a_range_test_takes_one_step_at_each_rate():
    asked = []

    def take_step(rate):
        asked.append(rate)
        return np.array([rate, 2 * rate])

    rates = np.geomspace(0.1, 1, 5)
    np.testing.assert_array_equal(range_test(take_step, rates), np.stack([rates, 2 * rates], 1))
    assert asked == rates.tolist()


def test_a_range_test_ends_when_every_replica_has_blown_up():
    rows = iter([[1.0, 2.0], [np.nan, 1.0], [np.nan, np.inf]])
    losses = range_test(lambda rate: np.array(next(rows)), np.geomspace(0.1, 1, 5))
    np.testing.assert_array_equal(losses, [[1, 2], [np.nan, 1], [np.nan, np.inf], [np.nan] * 2, [np.nan] * 2])


X, Y = make_regression(120, 4, noise=5.0, random_state=0)


def test_finding_a_rate_leaves_no_trace_and_the_fit_is_the_same_bit_for_bit():
    model = StepwiseRegressor(learning_rate=0.01, max_epochs=15, random_state=3)
    before = model.fit(X, Y).predict(X)
    np.random.seed(1)
    torch.manual_seed(1)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads(), torch.get_default_dtype()
    other = StepwiseRegressor(max_epochs=15, random_state=3)
    found = find_learning_rate(other, X, Y)
    assert not hasattr(other, "plan_")
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])
    assert (torch.get_num_threads(), torch.get_default_dtype()) == states[2:]
    np.testing.assert_array_equal(model.fit(X, Y).predict(X), before)
    swept = StepwiseRegressor(max_epochs=15, random_state=3).fit(X, Y)
    assert swept.learning_rate_ == found.learning_rate
    given = StepwiseRegressor(learning_rate=found.learning_rate, max_epochs=15, random_state=3).fit(X, Y)
    np.testing.assert_array_equal(swept.predict(X), given.predict(X))


def test_finding_a_rate_draws_nothing_from_the_users_random_state():
    state = np.random.RandomState(5)
    found = find_learning_rate(StepwiseRegressor(max_epochs=15, random_state=state), X, Y)
    assert state.randint(1000) == np.random.RandomState(5).randint(1000)
    fitted = StepwiseRegressor(max_epochs=15, random_state=np.random.RandomState(5)).fit(X, Y)
    assert fitted.learning_rate_ == found.learning_rate


def test_a_pipeline_has_no_learning_rate_to_find():
    with pytest.raises(TypeError, match="got Pipeline; of a pipeline, give the last step"):
        find_learning_rate(make_pipeline(StandardScaler(), StepwiseRegressor()), X, Y)


def test_finding_by_hand_warns_in_the_users_line():
    with pytest.warns(StepwiseWarning, match="too few minibatches") as caught:
        find_learning_rate(StepwiseRegressor(max_epochs=1, random_state=0), X, Y)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_many_classes_lower_adams_ceiling_by_the_root_of_their_number(optimizer):
    usual = SWEEPS[optimizer]
    assert sweep_of(optimizer, MANY_CLASSES) == usual
    many = sweep_of(optimizer, 4 * MANY_CLASSES)
    assert many == usual._replace(ceiling=usual.ceiling / 2)
    most = sweep_of(optimizer, 100 * MANY_CLASSES)
    assert most.default == most.ceiling == pytest.approx(usual.ceiling / 10)


def test_many_classes_leave_other_optimizers_alone():
    assert sweep_of("sgd", 1000) == SWEEPS["sgd"]
