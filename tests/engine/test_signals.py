"""Gradients that vanish and units that are dead: what the history says of them."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from sk_dlsteps.engine import training
from sk_dlsteps.engine.merge import merge
from sk_dlsteps.step4_validation.early_stopping import Patience

DEEP = {"widths": (5,) * 10, "activation": "tanh"}


def test_a_deep_net_of_saturated_units_has_a_first_gradient_that_has_vanished(small_fleets):
    fleets = small_fleets()
    net = fleets.net(build=DEEP, max_epochs=2, lr=1e-4).initialize()
    for w in list(net.module_.weights)[:-1]:
        w.data.mul_(20)
    net.partial_fit(fleets.Z, fleets.target.values, rows=fleets.rows())
    norms = [net.history[-1, f"gradient_norm_{layer}"] for layer in range(1, 12)]
    assert norms[0] < 1e-3 * norms[-1]
    normal = fleets.fit(build={"widths": (5,), "activation": "tanh"}, max_epochs=2)
    assert normal.history[-1, "gradient_norm_1"] > 0.1 * normal.history[-1, "gradient_norm_2"]


def networks_signals(fleet, x, target):
    """Gradient norms and dead units of every network by autograd and by counting."""
    norms, dead = [], []
    for k in range(len(x)):
        own = [(w.detach()[k].requires_grad_(), b[k]) for w, b in zip(fleet.weights, fleet.biases, strict=True)]
        a, n_dead, n_units = x[k], 0, 0
        for (w, b), units in zip(own[:-1], fleet.units[:, k], strict=True):
            a = torch.relu(a @ w + b)
            n_dead += sum(not bool((a[:, j] > 0).any()) for j in range(units))
            n_units += units
        raw = a @ own[-1][0].T + own[-1][1]
        fleet.cost(raw, target[k]).mean().backward()
        norms.append([float(w.grad.norm()) for w, _ in own])
        dead.append(n_dead / n_units)
    return np.array(norms).T, np.array(dead)


@pytest.mark.parametrize("merged", [False, True])
def test_signals_equal_autograd_and_a_count_by_hand(small_fleets, merged):
    fleets = small_fleets()
    if merged:
        parts = [fleets.builder([k], widths=(4 + 2 * k, 7 - k), activation="relu")() for k in range(3)]
        fleet = merge(parts)
    else:
        fleet = fleets.builder([0, 1, 2], widths=(8, 6), activation="relu")()
    with torch.no_grad():
        for layer, k, unit in [(0, 0, 1), (0, 0, 3), (1, 1, 2), (0, 2, 0)]:
            fleet.biases[layer][k, 0, unit] = -100
    generator = torch.Generator().manual_seed(0)
    x, target = (torch.randn(3, 9, n, generator=generator, dtype=torch.float64) for n in (4, 2))
    norms, dead = fleet.signals(x, target)
    expected_norms, expected_dead = networks_signals(fleet, x, target)
    np.testing.assert_allclose(norms.numpy(), expected_norms, rtol=1e-10)
    np.testing.assert_allclose(dead.numpy(), expected_dead, rtol=1e-6)
    assert (dead > 0).all()
    _, of_some = fleet.signals(x[:2], target[:2])
    assert torch.equal(of_some, dead[:2])


def test_the_history_has_the_signals_from_the_first_epoch_on(small_fleets):
    fleets = small_fleets()
    net = fleets.fit(build={"widths": (6, 5), "activation": "relu"}, max_epochs=5, stopping=Patience(2))
    for row in net.history:
        assert {"gradient_norm_1", "gradient_norm_2", "gradient_norm_3", "dead_units"} <= row.keys()
        assert "gradient_norm_4" not in row
        assert 0 <= row["dead_units"] <= 1
    # They are looked at in epochs 1, 2, 4, 8, ...
    norms = net.history[:, "gradient_norm_1"]
    assert norms[1] == norms[2]
    assert norms[0] != norms[1] != norms[3]


def test_a_smooth_network_and_a_users_have_no_dead_units(small_fleets):
    for build in ({"activation": "silu"}, {"module": nn.Linear}):
        net = small_fleets().fit(build=build, max_epochs=2)
        assert "dead_units" not in net.history[-1]
        assert net.history[-1, "gradient_norm_1"] > 0


def test_a_users_module_without_matrices_or_with_frozen_ones_has_signals_all_the_same(small_fleets):
    class Scale(nn.Module):
        """One number per output, and a matrix that does not learn."""

        def __init__(self, n_inputs, n_outputs):
            super().__init__()
            self.frozen = nn.Linear(n_inputs, n_outputs).requires_grad_(False)
            self.gain = nn.Parameter(torch.ones(n_outputs))

        def forward(self, x):
            return self.frozen(x) * self.gain

    net = small_fleets().fit(build={"module": Scale}, max_epochs=2)
    assert net.history[-1, "gradient_norm_1"] == 0


def test_dead_units_are_those_of_rows_from_everywhere(small_fleets, monkeypatch):
    monkeypatch.setattr(training, "_LOOK_ROWS", 5)
    fleets = small_fleets()
    # Sorted by a column to which one half of the units answers only where it is large.
    for own in fleets.train:
        fleets.Z[own] = fleets.Z[own][np.argsort(fleets.Z[own][:, 0])]
    net = fleets.net([0, 2], build={"widths": (2,), "activation": "relu"}, lr=1e-9, max_epochs=1).initialize()
    with torch.no_grad():
        net.module_.weights[0].zero_()
        net.module_.weights[0][:, 0] = torch.tensor([1.0, -1.0], dtype=torch.float64)
    net.partial_fit(fleets.Z, fleets.target.values, rows=fleets.rows([0, 2]))
    assert net.history[-1, "dead_units"] == 0


@pytest.mark.parametrize("build", [{**DEEP, "activation": "relu"}, {"activation": "relu"}], ids=["deep", "shallow"])
def test_the_printed_table_leaves_the_signals_out(small_fleets, capsys, build):
    small_fleets().fit(build=build, max_epochs=2, verbose=1)
    header = capsys.readouterr().out.splitlines()[0]
    assert re.findall(r"\w+", header) == ["epoch", "lr", "train_loss", "valid_loss", "dur"]
