"""One training: best epochs, networks that explode, the thread count, interrupts."""

import pickle

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from sk_dlsteps.engine.device import choose_device, choose_threads, threads
from sk_dlsteps.exceptions import StepwiseWarning
from sk_dlsteps.step3_training.schedules import Cosine
from sk_dlsteps.step4_validation.early_stopping import CycleEnds, Patience


class Recorder(Callback):
    """Keeps every network's parameters after each epoch."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.states = []

    def on_epoch_end(self, net, **kwargs):
        self.states.append({n: p.clone() for n, p in net.module_.state_dict().items() if n[0] in "wb"})


def test_a_fleet_of_one_trains_like_a_plain_torch_loop(small_fleets):
    fleets = small_fleets()
    settings = {"optimizer": "adam", "lr": 0.03, "batch_size": 3, "schedule": Cosine()}
    net = fleets.fit([2], build={"activation": "relu"}, validated=False, **settings)
    fleet = fleets.builder([2], activation="relu")()
    hidden, output = nn.Linear(4, 5).double(), nn.Linear(5, 2).double()
    with torch.no_grad():
        hidden.weight.copy_(fleet.weights[0][0].T)
        hidden.bias.zero_()
        output.weight.copy_(fleet.weights[1][0])
        output.bias.copy_(fleet.biases[1][0, 0])
    model = nn.Sequential(hidden, nn.ReLU(), output)
    rows = fleets.train[2]
    X, y = fleets.X[rows], fleets.target.values[rows]
    z = (X - X.mean(0)) / X.std(0)
    z = torch.from_numpy(z / np.sqrt(1 + (z / 3) ** 2))
    t = torch.from_numpy((y - y.mean(0)) / y.std(0))
    adam = torch.optim.Adam(model.parameters(), lr=0.03)
    shuffles, step = np.random.default_rng(net.seeds[0]), 0
    for _ in range(5):
        order = shuffles.permutation(rows) - rows[0]
        for batch in order.reshape(10, 3):
            for group in adam.param_groups:
                group["lr"] = 0.03 * Cosine()(step / 50)
            adam.zero_grad()
            nn.functional.mse_loss(model(z[batch]), t[batch]).backward()
            adam.step()
            step += 1
    expected = model(z).detach().numpy() * y.std(0) + y.mean(0)
    np.testing.assert_allclose(net.network_predictions(fleets.Z[rows])[:, 0], expected, rtol=1e-9, atol=1e-9)


def test_every_network_ends_with_the_parameters_of_its_best_epoch(small_fleets):
    recorder = Recorder()
    net = small_fleets().fit(max_epochs=20, lr=0.1, callbacks=[("recorder", recorder)])
    assert len(set(net.best_epochs_)) > 1
    for k, epoch in enumerate(net.best_epochs_):
        for name, p in recorder.states[epoch - 1].items():
            assert torch.equal(net.module_.state_dict()[name][k], p[k])


def test_the_best_epoch_is_that_of_the_lowest_validation_loss(small_fleets):
    net = small_fleets().fit([1], max_epochs=20, lr=0.1)
    losses = net.history[:, "valid_loss"]
    assert net.best_epochs_[0] == 1 + int(np.argmin(losses))
    assert [row["valid_loss_best"] for row in net.history] == [
        loss < min(losses[:i], default=np.inf) for i, loss in enumerate(losses)
    ]


def test_without_validation_the_last_epoch_counts(small_fleets):
    recorder = Recorder()
    net = small_fleets().fit(validated=False, max_epochs=4, callbacks=[recorder])
    assert net.best_epochs_.tolist() == [4] * 7
    assert "valid_loss" not in net.history[-1]
    for name, p in recorder.states[-1].items():
        assert torch.equal(net.module_.state_dict()[name], p)


@pytest.mark.parametrize("stopping", [Patience(3), CycleEnds((2, 6, 12))])
def test_networks_return_to_their_own_places_after_some_have_stopped(small_fleets, stopping):
    fleets = small_fleets()
    net = fleets.fit(max_epochs=12, stopping=stopping)
    fleet, fresh = net.module_, fleets.builder()()
    assert torch.equal(fleet.input_center, fresh.input_center)
    assert torch.equal(fleet.target_scale, fresh.target_scale)
    assert fleet.order.tolist() == list(range(7))
    assert fleet.n_active == 7
    assert not fleet.training


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("settings", [{}, {"build": {"module": nn.Linear}}, {"optimizer": torch.optim.RMSprop}])
def test_a_network_that_explodes_is_put_back_and_the_others_train_on_unharmed(small_fleets, settings, validated):
    fleets = small_fleets("regression", "squared_error")
    fleets.Z = fleets.Z.copy()
    fleets.Z[fleets.train[3]] = np.nan
    with pytest.warns(
        StepwiseWarning, match=r"network 3 became infinite or NaN in epoch 1\. .*smaller `learning_rate`"
    ):
        net = fleets.fit(validated=validated, max_epochs=6, **settings)
    assert np.isfinite(net.history[:, "train_loss"]).all()
    clean = small_fleets()
    predictions = net.network_predictions(clean.Z)
    untrained = fleets.net(**settings).initialize().network_predictions(clean.Z)
    np.testing.assert_array_equal(predictions[:, 3], untrained[:, 3])
    for k in (0, 6):
        alone = clean.fit([k], validated=validated, max_epochs=6, **settings)
        np.testing.assert_allclose(predictions[:, k], alone.network_predictions(clean.Z)[:, 0], rtol=1e-8, atol=1e-8)


class TooFast:
    """A schedule under which training goes well for three epochs and then explodes."""

    def __call__(self, progress):
        return 1.0 if progress < 0.5 else 1e200


@pytest.mark.parametrize("stopping", [None, Patience(2), CycleEnds((2, 4, 6))])
def test_a_fleet_that_explodes_altogether_ends_in_its_best_state(small_fleets, stopping):
    fleets = small_fleets()
    with pytest.warns(StepwiseWarning, match="networks 0, 1, 2 became infinite or NaN in epoch 4"):
        net = fleets.fit([0, 2, 4], optimizer="sgd", lr=0.01, schedule=TooFast(), max_epochs=6, stopping=stopping)
    assert (net.best_epochs_ <= 3).all()
    assert np.isfinite(net.network_predictions(fleets.Z)).all()


def test_an_interrupt_leaves_the_networks_in_their_best_state_and_their_own_places(small_fleets):
    class CtrlC(Callback):
        """What happens when the user presses Ctrl-C in the fifth epoch."""

        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 5:
                press_ctrl_c()

    def press_ctrl_c():
        raise KeyboardInterrupt

    fleets = small_fleets()
    net = fleets.net(max_epochs=12, stopping=Patience(1), callbacks=[CtrlC()])
    with pytest.raises(KeyboardInterrupt):
        net.fit(fleets.Z, fleets.target.values, rows=fleets.rows())
    assert net.module_.order.tolist() == list(range(7))
    shorter = fleets.fit(max_epochs=4, stopping=Patience(1))
    np.testing.assert_array_equal(net.network_predictions(fleets.Z), shorter.network_predictions(fleets.Z))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", torch.optim.RMSprop])
def test_training_can_go_on_after_a_fit_and_after_a_pickle(small_fleets, optimizer):
    fleets = small_fleets()
    net = fleets.fit(max_epochs=3, optimizer=optimizer, lr=0.01, stopping=Patience(2))
    copy = pickle.loads(pickle.dumps(net))
    for one in (net, copy):
        one.partial_fit(fleets.Z, fleets.target.values, rows=fleets.rows())
        assert len(one.history) > 3
    np.testing.assert_array_equal(copy.network_predictions(fleets.Z), net.network_predictions(fleets.Z))


def test_training_leaves_nothing_behind_that_only_training_needs(small_fleets):
    net = small_fleets().fit(max_epochs=3)
    assert not net.optimizer_.state
    assert all(p.grad is None for p in net.module_.parameters())
    assert torch.is_grad_enabled()


def test_the_thread_count_is_restored_also_after_an_exception():
    before = torch.get_num_threads()
    with threads(before + 2):
        assert torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before
    with pytest.raises(RuntimeError, match="inside"), threads(before + 2):
        raise RuntimeError("inside")
    assert torch.get_num_threads() == before


def test_a_fit_leaves_the_thread_count_alone_also_when_it_fails(small_fleets):
    class Failing(Callback):
        def on_epoch_end(self, net, **kwargs):
            assert torch.get_num_threads() == before + 1
            raise RuntimeError("a callback failed")

    before = torch.get_num_threads()
    net = small_fleets().fit(max_epochs=1, n_threads=before + 1)
    net.network_predictions(small_fleets().Z)
    assert torch.get_num_threads() == before
    with pytest.raises(RuntimeError, match="a callback failed"):
        small_fleets().fit(max_epochs=1, n_threads=before + 1, callbacks=[Failing()])
    assert torch.get_num_threads() == before


def test_small_steps_get_one_thread_and_none_more_than_torch_has(monkeypatch):
    for allowed in (1, 2, 8):
        monkeypatch.setattr(torch, "get_num_threads", lambda allowed=allowed: allowed)
        assert choose_threads(1e8) == 1
        assert choose_threads(4.1e8) == min(2, allowed)
        assert choose_threads(1e15) == allowed


def test_a_device_is_resolved_or_refused():
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="`device='gpu'` is no torch device; use 'auto', 'cpu'"):
        choose_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has such a device")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="torch sees no such device here"):
        choose_device("cuda")
