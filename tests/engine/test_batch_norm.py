"""Batch normalisation against torch's, network by network."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from sk_dlsteps.engine.batch_norm import EPS, MOMENTUM, BatchNorm
from sk_dlsteps.engine.mlp_fleet import ACTIVATIONS, MLPFleet
from sk_dlsteps.step1_cost.choice import choose_cost
from sk_dlsteps.step4_validation.early_stopping import Patience

TORCH = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU, "gelu": nn.GELU}
N_NETWORKS = 3


def random_fleet(widths, activation):
    """Networks whose norms have random gains and shifts."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weights = [normal(N_NETWORKS, a, b) for a, b in pairwise(widths)]
    weights[-1] = weights[-1].mT.contiguous()
    biases = [normal(N_NETWORKS, 1, b) for b in widths[1:]]
    norms = [BatchNorm(normal(N_NETWORKS, 1, b), normal(N_NETWORKS, 1, b)) for b in widths[1:-1]]
    zeros = torch.zeros(N_NETWORKS, 1, widths[0], dtype=torch.float64)
    cost = choose_cost("squared_error", "regression")[0]
    return MLPFleet(
        weights, biases, activation, norms=norms, cost=cost, input_center=zeros, input_factor=zeros + 1
    ).train()


def as_torch(fleet, k, activation):
    """Network k in torch's own modules."""
    layers = []
    *hidden, (last, last_bias) = zip(fleet.weights, fleet.biases, strict=True)
    for (w, b), norm in zip(hidden, fleet.norms, strict=True):
        linear, own = nn.Linear(*w.shape[1:]).double(), nn.BatchNorm1d(w.shape[2]).double()
        with torch.no_grad():
            for mine, theirs in [(linear.weight, w[k].T), (linear.bias, b[k, 0])]:
                mine.copy_(theirs)
            for mine, theirs in [(own.weight, norm.gain[k, 0]), (own.bias, norm.shift[k, 0])]:
                mine.copy_(theirs)
        layers += [linear, own, TORCH[activation]()]
    output = nn.Linear(last.shape[2], last.shape[1]).double()
    with torch.no_grad():
        output.weight.copy_(last[k])
        output.bias.copy_(last_bias[k, 0])
    return nn.Sequential(*layers, output)


def assert_gradients_equal(fleet, k, network):
    """Gradients and running averages of network k are those of torch's modules."""
    close = {"rtol": 1e-9, "atol": 1e-11}
    linear = [m for m in network if isinstance(m, nn.Linear)]
    for layer, (own, w, b) in enumerate(zip(linear, fleet.weights, fleet.biases, strict=True)):
        gradient = w.grad[k] if layer == len(linear) - 1 else w.grad[k].T
        torch.testing.assert_close(gradient, own.weight.grad, **close)
        torch.testing.assert_close(b.grad[k, 0], own.bias.grad, **close)
    for own, norm in zip((m for m in network if isinstance(m, nn.BatchNorm1d)), fleet.norms, strict=True):
        torch.testing.assert_close(norm.gain.grad[k, 0], own.weight.grad, **close)
        torch.testing.assert_close(norm.shift.grad[k, 0], own.bias.grad, **close)
        torch.testing.assert_close(norm.mean[k, 0], own.running_mean, **close)
        torch.testing.assert_close(norm.variance[k, 0], own.running_var, **close)


def test_torchs_settings_are_ours():
    assert (nn.BatchNorm1d(1).momentum, nn.BatchNorm1d(1).eps) == (MOMENTUM, EPS)


@pytest.mark.parametrize("n_rows", [[7, 7, 7], [7, 5, 2]], ids=["even", "uneven"])
@pytest.mark.parametrize("hidden", [(5,), (5, 4), (6, 5, 4)], ids=len)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_fleet_goes_there_and_back_as_torch_does(activation, hidden, n_rows):
    fleet = random_fleet((3, *hidden, 2), activation)
    networks = [as_torch(fleet, k, activation) for k in range(N_NETWORKS)]
    generator = torch.Generator().manual_seed(1)
    sizes = None if len(set(n_rows)) == 1 else np.array(n_rows)
    for _ in range(3):
        x, target = (torch.randn(3, 7, n, generator=generator, dtype=torch.float64) for n in (3, 2))
        losses, raw = fleet.gradients(x, target, sizes)
        for k, (network, n) in enumerate(zip(networks, n_rows, strict=True)):
            network.zero_grad()
            expected = network(x[k, :n])
            loss = fleet.cost(expected, target[k, :n])
            loss.mean().backward()
            torch.testing.assert_close(raw[k, :n], expected.detach(), rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(losses[k, :n], loss.detach(), rtol=1e-9, atol=1e-9)
            assert not losses[k, n:].any()
            assert_gradients_equal(fleet, k, network)
    x = torch.randn(3, 4, 3, generator=generator, dtype=torch.float64)
    for k, network in enumerate(networks):
        torch.testing.assert_close(fleet.raw(x)[k], network.eval()(x[k]).detach(), rtol=1e-9, atol=1e-9)


def test_looking_at_gradients_leaves_the_averages_alone():
    fleet = random_fleet((3, 5, 2), "relu")
    before = [t.clone() for t in fleet.state_tensors()]
    fleet.signals(torch.ones(3, 4, 3, dtype=torch.float64), torch.ones(3, 4, 2, dtype=torch.float64))
    assert all(map(torch.equal, before, fleet.state_tensors()))


def test_a_prediction_does_not_depend_on_the_rows_beside_it(small_fleets):
    fleets = small_fleets()
    net = fleets.fit(build={"batch_norm": True}, max_epochs=3)
    together = net.network_predictions(fleets.Z)
    np.testing.assert_allclose(net.network_predictions(fleets.Z[3:4]), together[3:4], rtol=1e-12)


@pytest.mark.parametrize("batch_size", [2, 3, 7, 29, 30])
def test_a_network_with_batch_norm_equals_itself_alone_for_any_batch_size(small_fleets, batch_size):
    fleets = small_fleets()
    settings = {
        "build": {"batch_norm": True, "widths": (5, 4), "activation": "relu"},
        "batch_size": batch_size,
        "max_epochs": 8,
        "stopping": Patience(2),
    }
    together = fleets.fit(**settings)
    assert len(set(together.best_epochs_)) > 1
    for k in (1, 4):
        alone = fleets.fit([k], **settings)
        assert alone.best_epochs_[0] == together.best_epochs_[k]
        np.testing.assert_allclose(
            together.network_predictions(fleets.Z)[:, k],
            alone.network_predictions(fleets.Z)[:, 0],
            rtol=1e-8,
            atol=1e-8,
        )


class Recorder(Callback):
    """Keeps every network's state after each epoch."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.states = []

    def on_epoch_end(self, net, **kwargs):
        self.states.append({n: p.clone() for n, p in net.module_.state_dict().items() if n.startswith("norms")})


def test_a_network_ends_with_the_averages_of_its_best_epoch(small_fleets):
    recorder = Recorder()
    net = small_fleets().fit(build={"batch_norm": True}, max_epochs=12, lr=0.1, callbacks=[recorder])
    assert len(set(net.best_epochs_)) > 1
    assert set(recorder.states[0]) == {f"norms.0.{name}" for name in ("gain", "shift", "mean", "variance")}
    for k, epoch in enumerate(net.best_epochs_):
        for name, p in recorder.states[epoch - 1].items():
            assert torch.equal(net.module_.state_dict()[name][k], p[k])


def test_averages_move_with_their_network_and_are_saved_and_loaded(small_fleets, tmp_path):
    fleets = small_fleets()
    net = fleets.fit(build={"batch_norm": True}, max_epochs=3)
    expected = net.network_predictions(fleets.Z)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(net)).network_predictions(fleets.Z), expected)
    net.save_params(f_params=tmp_path / "params.pt")
    fresh = fleets.net(build={"batch_norm": True}).initialize()
    assert not np.allclose(fresh.network_predictions(fleets.Z), expected)
    fresh.load_params(f_params=tmp_path / "params.pt")
    np.testing.assert_array_equal(fresh.network_predictions(fleets.Z), expected)
    net.module_.reorder([3, 1, 2, 0, 4, 5, 6], 7)
    np.testing.assert_array_equal(net.network_predictions(fleets.Z), expected[:, [3, 1, 2, 0, 4, 5, 6]])
