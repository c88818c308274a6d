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


def record(plan, signals=(), rescues=(0, 0, 0), losses=(0.5, 0.25, 0.75), n_epochs=2):
    """A record of a training with such an end."""
    seen = {name: np.array(values, dtype=float) for name, values in dict(signals).items()}
    return training_record(
        plan, None, n_epochs, np.array([1, 2, 2]), np.array(losses, dtype=float), np.array(rescues), seen
    )


def norms_of(*layers):
    """What a look saw of three networks' gradients, layer by layer."""
    return {f"gradient_norm_{i}": norms for i, norms in enumerate(layers, 1)}


def test_a_training_without_trouble_is_recorded_in_figures(plan):
    step = record(plan, {**norms_of([1.0] * 3, [1.0] * 3), "dead_units": [0.1] * 3})
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
        ((1e-9,), False),
        ((np.nan, np.nan), False),
    ],
)
def test_a_first_layer_that_hardly_learns_is_recorded(plan, norms, vanished):
    layers = [[norm, 1.0, 1.0] for norm in norms]
    step = record(plan, norms_of(*layers))
    assert ("gradient has nearly vanished in 1 of 3 networks" in step.because) == vanished
    assert step.evidence.get("gradient_norms") == (layers if vanished else None)


@pytest.mark.parametrize("layers", [1, 3])
def test_networks_without_any_gradient_are_recorded_unless_they_have_no_loss(plan, layers):
    still = norms_of(*[[0.0, 1.0, 0.0]] * layers)
    step = record(plan, still)
    assert "no gradient is left in 2 of 3 networks" in step.because
    assert "vanished" not in step.because
    assert step.evidence["gradient_norms"] == [[0.0, 1.0, 0.0]] * layers
    assert "no gradient is left in 1 of 3 networks" in record(plan, still, losses=(0.5, 0.5, 0)).because
    assert record(plan, still, losses=(0, 0.5, 0)).because == "the rate was chosen by you"


@pytest.mark.parametrize(
    ("share", "many"), [(MANY_DEAD + 0.1, True), (MANY_DEAD, False), (np.nan, False), (0.0, False)]
)
def test_many_dead_units_are_recorded_network_by_network(plan, share, many):
    step = record(plan, {"dead_units": [0.0, share, 0.0]})
    assert ("most units of 1 of 3 networks no longer answer to any row" in step.because) == many
    assert step.evidence.get("dead_units") == ([0.0, share, 0.0] if many else None)


def test_validation_losses_that_were_never_finite_are_recorded_unless_the_network_exploded(plan):
    words = "no validation loss of {} of 3 networks was finite"
    assert words.format(2) in record(plan, losses=(np.inf, 0.5, np.inf)).because
    assert words.format(1) in record(plan, rescues=(3, 0, 0), losses=(np.inf, 0.5, np.inf)).because
    assert "validation loss" not in record(plan, rescues=(3, 0, 0), losses=(np.inf, 0.5, 0.5)).because


def test_troubles_stand_side_by_side(plan):
    step = record(plan, {**norms_of([1e-9] * 3, [1.0] * 3), "dead_units": [0.9] * 3}, (1, 0, 0))
    assert len(step.because.split("; ")) >= 4
    assert {"rescues", "gradient_norms", "dead_units"} <= step.evidence.keys()


def test_a_training_without_any_epoch_has_a_record(plan):
    assert record(dataclasses.replace(plan, learning_rate=0.5), n_epochs=0).evidence["epochs"] == 0
