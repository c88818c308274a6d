"""What the record of training tells of trouble."""

import dataclasses

import numpy as np
import pytest

from sk_dlsteps import StepwiseRegressor
from sk_dlsteps.step3_training.record import MANY_DEAD, VANISHED, training_record

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def plan():
    """The plan of a small fit."""
    X = RNG.normal(size=(20, 2))
    return StepwiseRegressor(max_epochs=2, n_estimators=3, learning_rate=0.01, random_state=0).fit(X, X[:, 0]).plan_


def record(plan, history=({"epoch": 1},), rescues=(0, 0, 0)):
    """A record of a training with such an end."""
    return training_record(plan, None, history, np.array([1, 2, 2]), np.array([0.5, 0.25, 0.75]), np.array(rescues))


def last_row(**columns):
    """A history whose last row says this."""
    return ({"epoch": 1, "gradient_norm_1": 0.0, "gradient_norm_2": 1.0, "dead_units": 1.0}, {"epoch": 2, **columns})


def test_a_training_without_trouble_is_recorded_in_figures(plan):
    step = record(plan, last_row(gradient_norm_1=1.0, gradient_norm_2=1.0, dead_units=0.1))
    assert (step.number, step.title) == (3, "training")
    assert step.decision.startswith("adam, learning rate 0.01, a cosine in")
    assert step.decision.endswith(f"minibatches of {plan.batch_size}, at most 2 epochs")
    assert step.because == "the rate was chosen by you"
    assert step.evidence == {
        "learning_rate": 0.01,
        "alternatives": {},
        "networks": 3,
        "epochs": 2,
        "best_epochs": [1, 2, 2],
        "mean_best_loss": 0.5,
    }


def test_rescues_are_recorded(plan):
    step = record(plan, rescues=(0, 2, 1))
    assert step.evidence["rescues"] == [0, 2, 1]
    assert "gradients exploded in 2 of 3 networks" in step.because


@pytest.mark.parametrize(
    ("norms", "vanished"),
    [
        ((VANISHED * 0.9, 1.0), True),
        ((VANISHED * 1.1, 1.0), False),
        ((1e-9, 0.1, 2e-6), True),
        ((1e-9, 1.0, 5e-7), False),
        ((0.0,), False),
        ((np.nan, np.nan), False),
    ],
)
def test_a_first_layer_that_hardly_learns_is_recorded(plan, norms, vanished):
    history = last_row(**{f"gradient_norm_{i}": norm for i, norm in enumerate(norms, 1)})
    step = record(plan, history)
    assert ("gradient has nearly vanished" in step.because) == vanished
    assert step.evidence.get("gradient_norms") == (list(norms) if vanished else None)


@pytest.mark.parametrize(
    ("share", "many"), [(MANY_DEAD + 0.1, True), (MANY_DEAD, False), (np.nan, False), (0.0, False)]
)
def test_many_dead_units_are_recorded(plan, share, many):
    step = record(plan, last_row(dead_units=share))
    assert ("of the units no longer answer to any row" in step.because) == many
    assert step.evidence.get("dead_units") == (share if many else None)
    if many:
        assert "60%" in step.because


def test_troubles_stand_side_by_side(plan):
    step = record(plan, last_row(gradient_norm_1=1e-9, gradient_norm_2=1.0, dead_units=0.9), (1, 0, 0))
    assert len(step.because.split("; ")) >= 4
    assert {"rescues", "gradient_norms", "dead_units"} <= step.evidence.keys()


def test_a_training_without_any_epoch_has_a_record(plan):
    assert record(dataclasses.replace(plan, learning_rate=0.5), ()).evidence["epochs"] == 0
