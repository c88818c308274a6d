"""Networks whose loss or weights are no longer finite: put back, slowed down, and the others left alone."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, LRScheduler
from torch import nn

from sk_dlsteps.engine.training import MAX_RESCUES, RATE_CUT, RESCUE_NORM
from sk_dlsteps.exceptions import StepwiseWarning
from sk_dlsteps.step3_training.schedules import Cosine, choose_schedule
from sk_dlsteps.step4_validation.early_stopping import Patience

SGD = {"optimizer": "sgd", "lr": 0.02, "max_epochs": 6}
KINDS = {
    "sgd": SGD,
    "adam": {"max_epochs": 6},
    "batch norm": {"build": {"batch_norm": True}, "max_epochs": 6},
    "torch's own optimizer": {"optimizer": torch.optim.RMSprop, "lr": 0.01, "max_epochs": 6},
    "module": {"build": {"module": nn.Linear}, **SGD},
    "LRScheduler": {**SGD, "callbacks": [("rates", LRScheduler("ExponentialLR", gamma=0.9))]},
    "module, LRScheduler": {
        "build": {"module": nn.Linear},
        **SGD,
        "callbacks": [("rates", LRScheduler("ExponentialLR", gamma=0.9))],
    },
    "schedule": {**SGD, "schedule": Cosine()},
    "plateau": {**SGD, "schedule": choose_schedule("plateau", "auto", 2, 6)},
}


class Blow(Callback):
    """Makes one network's weights infinite or NaN in one epoch, by its gradient, and keeps what follows."""

    def __init__(self, network=3, epochs=(4,), value=np.inf):
        self.network, self.epochs, self.value = network, epochs, value

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.states = [self.state(net)]

    def on_grad_computed(self, net, named_parameters=(), **kwargs):
        if len(net.history) not in self.epochs:
            return
        fleet = net.module_
        place = fleet.order.tolist().index(self.network)
        own = [p for _, p in fleet.networks()[place]]
        if place < fleet.n_active and torch.equal(own[0], named_parameters[0][1]):
            for p in own:
                p.grad.fill_(self.value)

    def on_epoch_end(self, net, **kwargs):
        self.states.append(self.state(net))

    def state(self, net):
        """Copies of the network's parameters."""
        place = net.module_.order.tolist().index(self.network)
        return [p.detach().clone() for _, p in net.module_.networks()[place]]


def fitted(fleets, blow, settings, **more):
    """A net in which a network explodes."""
    callbacks = [*settings.get("callbacks", []), ("blow", blow)]
    return fleets.fit(**{**settings, **more, "callbacks": callbacks})


@pytest.mark.parametrize(("validated", "value"), [(True, np.inf), (False, np.nan)])
@pytest.mark.parametrize("kind", KINDS)
def test_an_exploded_network_goes_on_from_its_last_finite_state_and_its_mates_are_left_alone(
    small_fleets, kind, validated, value
):
    fleets, blow = small_fleets("regression", "squared_error"), Blow(value=value)
    with pytest.warns(StepwiseWarning, match=r"network 3 became infinite or NaN in epoch 4\.") as caught:
        net = fitted(fleets, blow, KINDS[kind], validated=validated)
    assert len(caught) == 1
    assert net.rescues_.tolist() == [0, 0, 0, 1, 0, 0, 0]
    # Epoch 4 did not happen, and those after it did.
    assert all(map(torch.equal, blow.states[3], blow.states[4]))
    assert not all(map(torch.equal, blow.states[4], blow.states[5]))
    predictions = net.network_predictions(fleets.Z)
    assert np.isfinite(predictions).all()
    assert np.isfinite(net.history[:, "train_loss"]).all()
    calm = fitted(fleets, Blow(epochs=()), KINDS[kind], validated=validated)
    others = [0, 1, 2, 4, 5, 6]
    np.testing.assert_allclose(
        predictions[:, others], calm.network_predictions(fleets.Z)[:, others], rtol=1e-11, atol=1e-11
    )


@pytest.mark.parametrize("kind", ["sgd", "module", "LRScheduler", "module, LRScheduler", "schedule"])
def test_an_exploded_network_goes_on_at_a_smaller_rate_with_clipped_gradients(small_fleets, kind):
    fleets, blow = small_fleets("regression", "squared_error"), Blow()
    with pytest.warns(StepwiseWarning):
        fitted(fleets, blow, KINDS[kind], validated=False, batch_size=30)
    # Full batches: the first step after the rescue has no momentum, and begins where epoch 4 ended.
    step = torch.cat([(b - a).flatten() for a, b in zip(blow.states[4], blow.states[5], strict=True)]).norm()
    rate = 0.02 * {"sgd": 1, "module": 1, "schedule": Cosine()(4 / 6)}.get(kind, 0.9**4)
    assert float(step) <= rate * RATE_CUT * RESCUE_NORM * (1 + 1e-9)
    assert float(step) >= 0.01 * rate * RATE_CUT * RESCUE_NORM


class Spike:
    """A schedule whose rate is far too high in the fifth of 16 epochs."""

    def __call__(self, progress):
        return 1e200 if 4 / 16 <= progress < 5 / 16 else 1.0


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_rescued_network_learns_on(small_fleets, activation):
    fleets = small_fleets("regression", "squared_error")
    settings = {"optimizer": "sgd", "lr": 0.1, "max_epochs": 16, "build": {"activation": activation, "widths": (5, 5)}}
    with pytest.warns(StepwiseWarning, match="learning rate was divided by 10 and its gradient clipped to a norm of 1"):
        net = fleets.fit([0], schedule=Spike(), **settings)
    losses = net.history[:, "train_loss"]
    assert net.rescues_.tolist() == [1]
    assert losses[-1] < losses[3] == losses[4]
    assert np.isfinite(net.network_predictions(fleets.Z)).all()


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("build", [{}, {"module": nn.Linear}, {"batch_norm": True}], ids=["mlp", "module", "norm"])
def test_a_network_that_explodes_again_and_again_is_stopped_in_its_best_state(small_fleets, build, validated):
    fleets = small_fleets("regression", "squared_error")
    blow = Blow(epochs=range(3, 20))
    with pytest.warns(StepwiseWarning, match=f"network 3 exploded {MAX_RESCUES + 1} times and stopped") as caught:
        net = fitted(fleets, blow, {**SGD, "build": build, "max_epochs": 14}, validated=validated)
    assert len(caught) == 1
    assert net.rescues_[3] == MAX_RESCUES + 1
    assert len(net.history) == 14
    predictions = net.network_predictions(fleets.Z)
    assert np.isfinite(predictions).all()
    if not validated:
        last = [p.detach() for _, p in net.module_.networks()[3]]
        assert all(map(torch.equal, last, blow.states[2]))
    calm = fitted(fleets, Blow(epochs=()), {**SGD, "build": build, "max_epochs": 14}, validated=validated)
    np.testing.assert_allclose(
        predictions[:, [0, 6]], calm.network_predictions(fleets.Z)[:, [0, 6]], rtol=1e-11, atol=1e-11
    )


class TooFast:
    """Nothing survives the second half."""

    def __call__(self, progress):
        return 1.0 if progress < 0.5 else 1e300


@pytest.mark.parametrize("stopping", [None, Patience(30)])
@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("build", [{}, {"module": nn.Linear}], ids=["mlp", "module"])
def test_a_fleet_in_which_everybody_explodes_for_good_ends_early_in_its_best_state(
    small_fleets, build, validated, stopping
):
    fleets = small_fleets("regression", "squared_error")
    with pytest.warns(StepwiseWarning, match="networks 0, 1 exploded") as caught:
        net = fleets.fit(
            [0, 2], validated=validated, **{**SGD, "max_epochs": 40}, schedule=TooFast(), build=build, stopping=stopping
        )
    assert len(caught) == 1
    assert len(net.history) == 20 + MAX_RESCUES + 1
    half = fleets.fit([0, 2], validated=validated, **{**SGD, "max_epochs": 20}, build=build)
    np.testing.assert_array_equal(net.network_predictions(fleets.Z), half.network_predictions(fleets.Z))
    if validated:
        np.testing.assert_array_equal(net.best_epochs_, half.best_epochs_)


def test_networks_that_were_never_finite_leave_the_means_to_the_others(small_fleets):
    fleets = small_fleets("regression", "squared_error")
    fleets.Z = fleets.Z.copy()
    fleets.Z[fleets.train[3]] = np.nan
    with pytest.warns(StepwiseWarning):
        net = fleets.fit([2, 3], **SGD)
    alone = small_fleets("regression", "squared_error").fit([2], **SGD)
    np.testing.assert_allclose(net.history[:, "train_loss"], alone.history[:, "train_loss"], rtol=1e-9)
    fleets.Z[:] = np.nan
    with pytest.warns(StepwiseWarning):
        nobody = fleets.fit([2, 3], **SGD)
    assert np.isnan(nobody.history[-1, "train_loss"])
    assert not nobody.history[-1, "train_loss_best"]


def test_a_loss_that_is_infinite_while_the_weights_are_finite_counts_as_exploded(small_fleets):
    def overflowing(output, target):
        """Infinite once an output is far off, with a gradient of zero."""
        error = (output - target).square().sum(-1)
        return torch.where(error > 20, float("inf"), error)

    fleets = small_fleets("regression", overflowing)
    with pytest.warns(StepwiseWarning, match="became infinite or NaN"):
        net = fleets.fit(max_epochs=3, schedule=TooFast(), optimizer="sgd", lr=0.01)
    assert net.rescues_.any()
    assert np.isfinite(net.network_predictions(fleets.Z)).all()
