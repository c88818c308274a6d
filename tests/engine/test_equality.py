"""The equality test: a network trained in a fleet equals the same network trained alone."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from sk_dlsteps.step3_training.schedules import CosineRestarts, choose_schedule
from sk_dlsteps.step4_validation.early_stopping import CycleEnds, Patience

# So many fits that counting lines would double the suite's longest file, and other tests reach them.
pytestmark = pytest.mark.no_cover
N_EPOCHS = 20  # of 10 minibatches each: 200 steps; modules, which are trained one by one, take half as many
CYCLES = (2, 6, 12, 20)
TOLERANCE = 1e-8


def warm_up(progress):
    """A user's own schedule."""
    return min(1.0, 0.1 + 3 * progress)


def pseudo_huber(output, target):
    """A user's own cost."""
    return (1 + (output - target) ** 2).sqrt().sum(-1) - 1


def error_beside_the_mean(output, target):
    """A user's own cost that compares rows: how far the error of each lies from the mean of those shown with it."""
    error = (output - target).square().sum(-1)
    return error + (error - error.mean()).abs()


OPTIMIZERS = {
    "sgd": {"optimizer": "sgd", "lr": 0.01},
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
    "RMSprop": {"optimizer": torch.optim.RMSprop, "lr": 0.005, "weight_decay": 0.01},
}
SCHEDULES = {
    **{
        name: choose_schedule(name, "auto", 2, N_EPOCHS)
        for name in ("constant", "exponential", "staircase", "plateau", "cosine")
    },
    "cosine_restarts": CosineRestarts(CYCLES),
    "callable": warm_up,
}
STOPPING = {"never": None, "patience": Patience(3), "cycle ends": CycleEnds(CYCLES, tolerance=0.05)}
COSTS = [
    ("regression", "squared_error"),
    ("regression", "absolute_error"),
    ("regression", "huber"),
    ("regression", "poisson"),
    ("regression", pseudo_huber),
    ("regression", error_beside_the_mean),
    ("regression", nn.SmoothL1Loss(beta=0.5)),
    ("binary", "binary_cross_entropy"),
    ("binary", "cross_entropy"),
    ("binary", nn.BCEWithLogitsLoss),
    ("multiclass", "cross_entropy"),
    ("multiclass", "smoothed_cross_entropy"),
    ("multiclass", nn.NLLLoss),
    ("multilabel", "binary_cross_entropy"),
    ("multilabel", nn.BCEWithLogitsLoss),
]


class DropoutNet(nn.Module):
    """A user's network with a source of randomness and running statistics."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_inputs, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, n_outputs)
        )

    def forward(self, x):
        return self.layers(x)


def assert_equals_alone(fleets, networks, **settings):
    """Compare networks of a trained fleet of seven with each trained alone; give the fleet."""
    settings = {"batch_size": 3, **settings}
    together = fleets.fit(**settings)
    predictions = together.network_predictions(fleets.Z)
    for k in networks:
        alone = fleets.fit([k], **settings)
        assert together.best_epochs_[k] == alone.best_epochs_[0]
        np.testing.assert_allclose(
            predictions[:, k], alone.network_predictions(fleets.Z)[:, 0], rtol=TOLERANCE, atol=TOLERANCE
        )
        own = [p for name, p in together.module_.state_dict().items() if name.startswith(("weights", "biases"))]
        single = [p for name, p in alone.module_.state_dict().items() if name.startswith(("weights", "biases"))]
        for p, q in zip(own, single, strict=True):
            torch.testing.assert_close(p[k], q[0], rtol=TOLERANCE, atol=TOLERANCE)
    return together


@pytest.mark.parametrize("stopping", STOPPING)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_network_equals_itself_alone_for_every_optimizer_and_schedule(small_fleets, optimizer, schedule, stopping):
    assert_equals_alone(
        small_fleets(),
        [1, 4],
        schedule=SCHEDULES[schedule],
        stopping=STOPPING[stopping],
        max_epochs=N_EPOCHS,
        **OPTIMIZERS[optimizer],
    )


@pytest.mark.parametrize("stopping", STOPPING)
@pytest.mark.parametrize(("task", "loss"), COSTS)
def test_a_network_equals_itself_alone_for_every_cost(small_fleets, task, loss, stopping):
    assert_equals_alone(
        small_fleets(task, loss),
        [1, 4],
        schedule=CosineRestarts(CYCLES),
        stopping=STOPPING[stopping],
        max_epochs=N_EPOCHS,
    )


@pytest.mark.parametrize("stopping", STOPPING)
@pytest.mark.parametrize(
    ("schedule", "optimizer"), [("plateau", "sgd"), ("cosine_restarts", "adamw"), ("exponential", "RMSprop")]
)
def test_a_users_module_with_dropout_equals_itself_alone(small_fleets, schedule, optimizer, stopping):
    assert_equals_alone(
        small_fleets(),
        [1, 4],
        build={"module": DropoutNet},
        batch_size=6,
        schedule=SCHEDULES[schedule],
        stopping=STOPPING[stopping],
        max_epochs=N_EPOCHS,
        **OPTIMIZERS[optimizer],
    )


@pytest.mark.parametrize("module", [None, DropoutNet], ids=["mlp", "module"])
def test_all_seven_networks_equal_themselves_alone_without_validation(small_fleets, module):
    settings = {"optimizer": "sgd", "lr": 0.01, "weight_decay": 0.1, "schedule": warm_up, "max_epochs": N_EPOCHS}
    assert_equals_alone(small_fleets(), range(7), build={"module": module}, validated=False, batch_size=6, **settings)


@pytest.mark.parametrize("stopping", STOPPING)
def test_a_network_with_encoded_inputs_equals_itself_alone(small_fleets, stopping):
    build = {"encode": True, "widths": (5, 4), "activation": "silu"}
    assert_equals_alone(
        small_fleets(),
        [1, 4],
        build=build,
        stopping=STOPPING[stopping],
        schedule=CosineRestarts(CYCLES),
        max_epochs=N_EPOCHS,
    )


@pytest.mark.parametrize("stopping", ["patience", "cycle ends"])
def test_the_networks_of_the_equality_test_do_stop_at_different_epochs(small_fleets, stopping):
    fleets = small_fleets()
    settings = {"schedule": CosineRestarts(CYCLES), "stopping": STOPPING[stopping], "max_epochs": N_EPOCHS}
    together = partial(fleets.fit, batch_size=3, **settings)
    ends = [len(together([k]).history) for k in range(7)]
    assert len(set(ends)) >= 3
    assert min(ends) < N_EPOCHS
