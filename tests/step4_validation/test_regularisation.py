"""Which layers drop how much, and what the record says."""

import numpy as np
import pytest

from sk_dlsteps import StepwiseRegressor
from sk_dlsteps.step4_validation.augmentation import GaussianNoise
from sk_dlsteps.step4_validation.regularisation import choose_dropout

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 2)), RNG.normal(size=40)
QUICK = {"max_epochs": 1, "n_estimators": 1, "learning_rate": 0.01, "random_state": 0}


@pytest.mark.parametrize(
    ("dropout", "n_layers", "rates"),
    [
        (0.5, 1, (0.5,)),
        (0.5, 3, (0.0, 0.0, 0.5)),
        ([0.5], 2, (0.0, 0.5)),
        ((0.25, 0.5), 1, (0.5,)),
        ((0.25, 0.5), 2, (0.25, 0.5)),
        ((0.25, 0.5), 4, (0.25, 0.25, 0.25, 0.5)),
        ([0.1, 0.2, 0.3], 3, (0.1, 0.2, 0.3)),
        (np.array([0.1, 0.2, 0.3, 0.0]), 4, (0.1, 0.2, 0.3, 0.0)),
        (0, 2, (0.0, 0.0)),
        (np.float32(0.5), 2, (0.0, 0.5)),
    ],
)
def test_a_number_is_for_the_last_layer_a_pair_for_earlier_and_last_and_more_for_each(dropout, n_layers, rates):
    assert choose_dropout(dropout, n_layers) == rates


@pytest.mark.parametrize("n_layers", [1, 2, 4])
def test_a_sequence_that_fits_no_layers_is_an_error(n_layers):
    with pytest.raises(ValueError, match=rf"for each of the {n_layers} hidden layers, got \[0.1, 0.2, 0.3\]"):
        choose_dropout([0.1, 0.2, 0.3], n_layers)


def records(**settings):
    """What step 4 was told, as decisions."""
    model = StepwiseRegressor(**{**QUICK, **settings}).fit(X, Y)
    return [r.decision for r in model.steps_ if (r.number, r.title) == (4, "regularisation")]


def test_there_is_no_record_where_everything_is_as_by_default():
    assert records() == []
    assert records(dropout=(0.0, 0.0)) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dropout": 0.5, "n_hidden_layers": 2}, "dropout 0 and 0.5"),
        ({"weight_decay": 1e-4}, "weight decay 0.0001"),
        ({"batch_norm": True}, "batch normalisation"),
        ({"max_grad_norm": 1.5}, "gradients clipped to a norm of 1.5"),
        ({"max_grad_value": 0.5}, "gradients clipped to a value of 0.5"),
        ({"max_grad_norm": 1.5, "max_grad_value": 0.5}, "gradients clipped to a norm of 1.5 and a value of 0.5"),
        ({"augmentation": "mixup"}, "augmentation by Mixup(alpha=0.2, n_outputs=None)"),
        ({"augmentation": GaussianNoise(0.3)}, "augmentation by GaussianNoise(std=0.3)"),
        ({"dropout": 0.5, "weight_decay": 0.1}, "dropout 0.5; weight decay 0.1"),
    ],
)
def test_the_record_names_what_was_set(settings, words):
    assert records(**settings) == [words]


def test_a_users_augmentation_goes_by_its_name():
    def shaken(X, y, generator):
        return X, y

    assert records(augmentation=shaken) == ["augmentation by shaken"]
