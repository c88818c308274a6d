"""Schedules at their key points, and the manual cuts against a plain loop."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_dlsteps.step3_training.schedules import (
    SCHEDULES,
    Cosine,
    CosineRestarts,
    Exponential,
    Plateau,
    Staircase,
    choose_schedule,
    cycle_ends,
    describe_schedule,
)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (Exponential(0.01), {0.0: 1.0, 0.5: 0.1, 1.0: 0.01}),
        (Staircase(0.001, 4), {0.0: 1.0, 0.24: 1.0, 0.25: 0.1, 0.5: 0.01, 0.75: 0.001, 1.0: 0.001}),
        (Staircase(0.01, 1), {0.0: 1.0, 1.0: 1.0}),
        (Cosine(), {0.0: 1.0, 1 / 3: 0.75, 0.5: 0.5, 1.0: 0.0}),
        (CosineRestarts((10, 30)), {0.0: 1.0, 1 / 6: 0.5, 1 / 3: 1.0, 2 / 3: 0.5, 1.0: 0.0}),
        (Plateau(), {0.0: 1.0, 1.0: 1.0}),
    ],
)
def test_schedules_at_their_key_points(schedule, values):
    for progress, factor in values.items():
        assert schedule(progress) == pytest.approx(factor, abs=1e-9)


@given(ends=st.sets(st.integers(1, 300), min_size=1, max_size=6), n_batches=st.integers(1, 40))
def test_every_cycle_starts_at_the_full_rate_in_its_first_step_and_ends_low(ends, n_batches):
    ends = tuple(sorted(ends))
    schedule, n_steps = CosineRestarts(ends), ends[-1] * n_batches
    starts = [0, *ends[:-1]]
    for start, end in zip(starts, ends, strict=True):
        first, last = start * n_batches, end * n_batches - 1
        assert schedule(first / n_steps) == pytest.approx(1, abs=1e-6)
        assert schedule(last / n_steps) == pytest.approx(
            0.5 * (1 + np.cos(np.pi * (last - first) / (last + 1 - first))), abs=1e-6
        )


@given(progress=st.floats(0, 1))
def test_factors_lie_between_nothing_and_all(progress):
    for schedule in (Exponential(), Staircase(), Cosine(), CosineRestarts((3, 9, 21))):
        assert 0 <= schedule(progress) <= 1


@given(mult=st.integers(1, 4), max_epochs=st.integers(1, 1000))
def test_cycles_by_themselves_grow_by_the_factor_and_end_with_the_fit(mult, max_epochs):
    ends = cycle_ends("auto", mult, max_epochs)
    lengths = np.diff([0, *ends])
    assert ends[-1] == max_epochs
    assert (lengths > 0).all()
    assert len(ends) <= 4
    np.testing.assert_allclose(lengths[1:], mult * lengths[:-1], atol=1 + mult)


@given(period=st.integers(1, 50), mult=st.integers(1, 3), max_epochs=st.integers(1, 300))
def test_cycles_of_a_given_period_fill_the_fit_and_the_last_is_cut_short(period, mult, max_epochs):
    lengths = np.diff([0, *cycle_ends(period, mult, max_epochs)])
    expected = period * mult ** np.arange(len(lengths))
    np.testing.assert_array_equal(lengths[:-1], expected[:-1])
    assert 0 < lengths[-1] <= expected[-1]
    assert lengths.sum() == max_epochs


def test_a_restart_each_epoch_as_in_the_article():
    assert cycle_ends(1, 1, 5) == (1, 2, 3, 4, 5)


def reference_plateau(losses, factor, patience, threshold):
    """One network's factors after each epoch, as a plain loop."""
    best, waited, rate, factors = float("inf"), 0, 1.0, []
    for loss in losses:
        if best == float("inf") or loss < best - threshold * abs(best):
            best, waited = loss, 0
        else:
            waited += 1
        if waited > patience:
            rate, waited = rate * factor, 0
        factors.append(rate)
    return factors


@given(
    losses=st.lists(st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=3, max_size=3), min_size=1, max_size=40),
    patience=st.integers(0, 4),
    threshold=st.sampled_from([0.0, 1e-4, 0.1]),
)
def test_the_manual_way_cuts_each_networks_rate_like_a_plain_loop(losses, patience, threshold):
    schedule = Plateau(0.5, patience, threshold)
    state, found = None, []
    for epoch in np.array(losses):
        state = schedule.update(state, epoch)
        found.append(state["factors"])
    expected = [reference_plateau(own, 0.5, patience, threshold) for own in np.array(losses).T]
    np.testing.assert_allclose(np.array(found).T, expected)


def test_a_loss_that_was_never_finite_counts_as_no_progress():
    schedule, state = Plateau(patience=1), None
    for _ in range(2):
        state = schedule.update(state, np.array([np.nan, np.inf]))
    assert state["factors"].tolist() == [0.2, 0.2]


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_named_schedule_pickles_and_compares_equal_to_its_copy(name):
    schedule = choose_schedule(name, "auto", 2, 30)
    assert pickle.loads(pickle.dumps(schedule)) == schedule


def test_names_lead_to_schedules_and_a_callable_stays_itself():
    kinds = [type(choose_schedule(name, "auto", 2, 30)) for name in SCHEDULES]
    assert kinds == [CosineRestarts, type(None), Exponential, Staircase, Plateau, Cosine, CosineRestarts]
    assert choose_schedule(np.sqrt, "auto", 2, 30) is np.sqrt
    assert choose_schedule("cosine_restarts", 5, 2, 30).ends == (5, 15, 30)


def own_schedule(progress):
    return 1 - progress


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (None, "a constant rate unless a callback steers it"),
        (Cosine(), "a cosine over the whole fit"),
        (CosineRestarts((1, 3, 7)), "a cosine in 3 cycles that end with epoch 1, 3, 7"),
        (CosineRestarts(tuple(range(1, 9))), "a cosine in 8 cycles that end with epoch 1, 2, 3, 4, 5, 6, ..."),
        (Exponential(0.1), "an exponential decay to 0.1 of the rate"),
        (Staircase(0.1, 3), "3 stairs down to 0.1 of the rate"),
        (Plateau(0.5, 2), "a cut to 0.5 of the rate after 2 epochs without a lower loss"),
        (own_schedule, "a schedule of your own, own_schedule"),
    ],
)
def test_a_schedule_is_described_in_words(schedule, words):
    assert describe_schedule(schedule) == words
