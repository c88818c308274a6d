"""Frozen layers and rates for each layer: who moves, how far, and what is at rest."""

import numpy as np
import pytest
import torch
from torch import nn

from sk_dlsteps.engine.layers import layers_of
from sk_dlsteps.step3_training.schedules import CosineRestarts
from sk_dlsteps.step4_validation.early_stopping import Patience

OPTIMIZERS = {
    "sgd": {"optimizer": "sgd", "lr": 0.01, "weight_decay": 0.1},
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
    "RMSprop": {"optimizer": torch.optim.RMSprop, "lr": 0.005, "weight_decay": 0.01},
}


class Deep(nn.Module):
    """A body with a batch norm and dropout, and a head."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_inputs, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3))
        self.middle = nn.Sequential(nn.Linear(6, 5), nn.ReLU())
        self.head = nn.Linear(5, n_outputs)

    def forward(self, x):
        return self.head(self.middle(self.body(x)))


BUILDS = {
    "mlp": ({"widths": (5, 4)}, ("hidden_1",), {"hidden_1": 0.1, "hidden_2": 0.3, "output": 1.0}),
    "batch norm": ({"widths": (5, 4), "batch_norm": True, "dropout": (0.2, 0.3)}, ("hidden_2",), {"hidden_1": 0.5}),
    "module": ({"module": Deep}, ("body",), {"body": 0.1, "middle": 0.3, "head": 1.0}),
}


def trained(fleets, networks=None, frozen=(), scales=None, validated=True, **settings):
    """A trained net some of whose layers were frozen, and a copy of its state before."""
    net = fleets.net(networks, **settings).initialize()
    net.module_.freeze(frozen)
    net.module_.rate_scales = scales
    before = {name: tensor.clone() for name, tensor in net.module_.state_dict().items()}
    return net.partial_fit(fleets.Z, fleets.target.values, rows=fleets.rows(networks, validated)), before


def moved_layers(net, before):
    """Layers of which any parameter has moved."""
    fleet, changed = net.module_, set()
    stacks = dict(fleet.named_stacks()) if hasattr(fleet, "named_stacks") else {}
    own = stacks or {
        n.removeprefix("modules_.0."): p for n, p in fleet.named_parameters() if n.startswith("modules_.0")
    }
    for name, parameter in own.items():
        full = name if name in before else f"modules_.0.{name}"
        if not torch.equal(parameter.data, before[full]):
            changed.add(fleet.layer_of(name))
    return changed


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", BUILDS)
def test_frozen_layers_do_not_move_whatever_decays_or_has_momentum(small_fleets, kind, optimizer):
    build, frozen, scales = BUILDS[kind]
    net, before = trained(small_fleets(), None, frozen, scales, validated=False, build=build, **OPTIMIZERS[optimizer])
    assert moved_layers(net, before) == set(net.module_.layers) - set(frozen)
    net.module_.freeze(())
    net.partial_fit(small_fleets().Z, small_fleets().target.values, rows=small_fleets().rows(None, False))
    assert moved_layers(net, before) == set(net.module_.layers)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", BUILDS)
def test_a_network_with_frozen_layers_and_rates_of_its_own_equals_itself_alone(small_fleets, kind, optimizer):
    build, frozen, scales = BUILDS[kind]
    settings = {"build": build, "schedule": CosineRestarts((2, 6)), "stopping": Patience(2), "max_epochs": 6}
    settings |= OPTIMIZERS[optimizer]
    fleets = small_fleets()
    together, _ = trained(fleets, None, frozen, scales, **settings)
    for k in (1, 4):
        alone, _ = trained(fleets, [k], frozen, scales, **settings)
        assert together.best_epochs_[k] == alone.best_epochs_[0]
        np.testing.assert_allclose(
            together.network_predictions(fleets.Z)[:, k], alone.network_predictions(fleets.Z)[:, 0], atol=1e-8
        )


def gradients(fleet, x, target):
    """Gradients by name, and the losses."""
    losses, _ = fleet.gradients(x, target)
    return {name: stack.grad.clone() for name, stack in fleet.named_stacks() if stack.grad is not None}, losses


@pytest.mark.parametrize("frozen", [("hidden_1",), ("hidden_2",), ("hidden_1", "hidden_2"), ("hidden_1", "output")])
def test_freezing_changes_no_gradient_of_what_trains(small_fleets, frozen):
    fleet = small_fleets().net(build={"widths": (5, 4)}).initialize().module_
    x, target = torch.randn(7, 8, 4, dtype=torch.float64), torch.randn(7, 8, 2, dtype=torch.float64)
    every, _ = gradients(fleet, x, target)
    fleet.forget()
    fleet.freeze(frozen)
    some, _ = gradients(fleet, x, target)
    for name, gradient in some.items():
        expected = every[name] if fleet.layer_of(name) not in frozen else torch.zeros_like(gradient)
        torch.testing.assert_close(gradient, expected)
    assert len(fleet.gradient_tensors(7)) == 2 * (3 - len(frozen))


def test_the_derivative_goes_through_a_frozen_batch_norm(small_fleets):
    fleet = small_fleets().net(build={"widths": (5, 4), "batch_norm": True}).initialize().module_
    generator = torch.Generator().manual_seed(0)
    x, target = (torch.randn(7, 8, n, dtype=torch.float64, generator=generator) for n in (4, 2))
    fleet.gradients(x, target)
    fleet.freeze(["hidden_2"])
    averages = fleet.batch_norms[1].mean.clone()
    found, _ = gradients(fleet, x, target)
    weight, step = fleet.weights[0].data, 1e-6
    for k, i, j in [(0, 0, 0), (3, 2, 4), (6, 3, 1)]:
        losses = []
        for sign in (1, -1):
            weight[k, i, j] += sign * step
            losses.append(fleet.gradients(x, target)[0].mean(1)[k])
            weight[k, i, j] -= sign * step
        slope = float(losses[0] - losses[1]) / (2 * step)
        assert slope == pytest.approx(float(found["weights.0"][k, i, j]), rel=1e-4, abs=1e-9)
    assert torch.equal(fleet.batch_norms[1].mean, averages)


@pytest.mark.parametrize("kind", BUILDS)
def test_a_layer_s_step_is_its_share_of_the_rate(small_fleets, kind):
    build, _, _ = BUILDS[kind]
    fleets = small_fleets()
    steps = []
    for scales in (None, "half of the first"):
        net = fleets.net(build=build, optimizer="sgd", lr=0.01).initialize()
        first = net.module_.layers[0]
        net.module_.rate_scales = scales and {first: 0.5}
        net.make_optimizer = type(net.make_optimizer)("sgd", 0.0)
        before = {name: p.data.clone() for name, p in net.module_.named_parameters()}
        net.set_params(max_epochs=1, batch_size=30)
        net.partial_fit(fleets.Z, fleets.target.values, rows=fleets.rows(None, False))
        steps.append({name: p.data - before[name] for name, p in net.module_.named_parameters()})
    fleet = net.module_
    for name, step in steps[0].items():
        short = name.removeprefix("modules_.").partition(".")[2] if name.startswith("modules_") else name
        share = 0.5 if fleet.layer_of(short) == first else 1.0
        torch.testing.assert_close(steps[1][name], share * step, rtol=1e-6, atol=1e-12)


def test_batch_norm_and_dropout_of_a_frozen_layer_of_a_module_rest(small_fleets):
    net, before = trained(small_fleets(), None, ("body",), build={"module": Deep})
    state = net.module_.state_dict()
    for name in state:
        if ".body." in name:
            assert torch.equal(state[name], before[name])
    net.module_.train()
    assert not net.module_.modules_[0].body.training
    assert not net.module_.modules_[0].body[3].training
    assert net.module_.modules_[0].middle.training


def test_what_the_user_has_frozen_stays_frozen(small_fleets):
    def partly_frozen(n_inputs, n_outputs):
        module = Deep(n_inputs, n_outputs)
        module.middle.requires_grad_(False)
        return module

    fleet = small_fleets().net(build={"module": partly_frozen}).initialize().module_
    fleet.freeze(["body"])
    fleet.freeze([])
    trains = {name: p.requires_grad for name, p in fleet.modules_[0].named_parameters()}
    assert all(trains[name] != name.startswith("middle") for name in trains)


@pytest.mark.parametrize("kind", BUILDS)
def test_frozen_layers_do_not_count_in_a_norm_and_have_no_signal(small_fleets, kind):
    build, frozen, _ = BUILDS[kind]
    fleet = small_fleets().net(build=build).initialize().module_
    fleet.freeze(frozen)
    x, target = torch.randn(7, 8, 4, dtype=torch.float64), torch.randn(7, 8, 2, dtype=torch.float64)
    fleet.gradients(x, target)
    fleet.clip(7, torch.full((7,), 1e-3, dtype=torch.float64), None)
    total = torch.zeros(7, dtype=torch.float64)
    for k, own in enumerate(fleet.networks()):
        total[k] = sum(float(p.grad.square().sum()) for _, p in own if p.requires_grad)
    torch.testing.assert_close(total.sqrt(), torch.full((7,), 1e-3, dtype=torch.float64), rtol=1e-2, atol=0)
    norms, _ = fleet.signals(x, target)
    assert (norms.isnan().all(1) == norms.isnan().any(1)).all()
    assert int(norms.isnan().any(1).sum()) == len(frozen)


class Crossed(nn.Module):
    """Parts that are made in another order than they are called in, one inside of a list, one never."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.head = nn.Linear(5, n_outputs)
        self.unused = nn.Linear(2, 2)
        self.norm = nn.BatchNorm1d(6)
        self.blocks = nn.ModuleList([nn.Linear(6, 5)])
        self.first = nn.Linear(n_inputs, 6)

    def forward(self, x):
        return self.head(self.blocks[0](self.norm(self.first(x))))


def test_layers_are_in_the_order_in_which_they_are_called(small_fleets):
    fleet = small_fleets().net(build={"module": Crossed}).initialize().module_
    before = {name: tensor.clone() for name, tensor in fleet.state_dict().items()}
    assert fleet.layers == ["first", "norm", "blocks", "head", "unused"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in fleet.state_dict().items())
    assert fleet.depths == {"first": 0, "norm": 0, "blocks": 1, "head": 2, "unused": 3}


def test_layers_are_named_as_the_module_names_them():
    assert list(layers_of(Deep(3, 2))) == ["body", "middle", "head"]
    assert layers_of(nn.Sequential(Deep(3, 2)))["middle"] == "0.middle"
    assert layers_of(nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))) == {"0": "0", "2": "2"}
    assert layers_of(nn.Linear(3, 2)) == {"output": ""}
    assert layers_of(nn.Sequential(nn.Linear(3, 2))) == {"0": "0"}
