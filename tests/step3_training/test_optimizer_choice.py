"""Which optimizer moves a fleet, and what decays."""

import pickle

import pytest
import torch
from torch import nn

from sk_dlsteps.engine.module_fleet import ModuleFleet
from sk_dlsteps.engine.optimizers import FleetAdam, FleetSGD
from sk_dlsteps.step1_cost.choice import choose_cost
from sk_dlsteps.step2_architecture.custom import ModuleBuilder, ModuleChoice
from sk_dlsteps.step2_architecture.mlp import MLPBuilder
from sk_dlsteps.step3_training.optimizers import OPTIMIZERS, OptimizerChoice


class Normed(nn.Module):
    """A user's network with a norm layer."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_inputs, 3), nn.BatchNorm1d(3), nn.Linear(3, n_outputs))

    def forward(self, x):
        return self.layers(x)


def fleet(module=None, n_networks=2):
    """A small fleet of one kind or the other."""
    stages = {
        "cost": choose_cost("auto", "regression")[0],
        "input_center": torch.zeros(n_networks, 1, 4),
        "input_factor": torch.ones(n_networks, 1, 4),
    }
    seeds = tuple(range(n_networks))
    if module is not None:
        return ModuleBuilder(ModuleChoice(module), 4, 1, seeds, stages)()
    return MLPBuilder((4, 3, 1), "relu", seeds, torch.zeros(n_networks, 1, 1), stages)()


@pytest.mark.parametrize(("name", "kind"), [("sgd", FleetSGD), ("adam", FleetAdam), ("adamw", FleetAdam)])
def test_built_in_networks_are_moved_by_one_optimizer_for_all(name, kind):
    own = fleet()
    optimizer = OptimizerChoice(name)(own, 0.1)
    assert type(optimizer) is kind
    assert {p for group in optimizer.param_groups for p in group["params"]} == set(own.parameters())


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, torch.optim.NAdam])
@pytest.mark.parametrize("module", [None, Normed], ids=["mlp", "module"])
def test_decay_acts_on_weights_and_never_on_biases_or_norms(optimizer, module):
    own = fleet(module)
    with torch.no_grad():
        for p in own.parameters():
            p.fill_(1.0)
    moved = OptimizerChoice(optimizer, momentum=0.0, weight_decay=0.1)(own, 0.01)
    own.gradients(torch.zeros(2, 5, 4), torch.zeros(2, 5, 1))
    for group in moved.param_groups:
        for p in group["params"]:
            p.grad.zero_()
    moved.step()
    for name, p in own.named_parameters():
        is_weight = name.startswith("weights") if module is None else p.dim() > 1
        assert bool((p < 1).all()) == is_weight, name
        assert bool((p == 1).all()) != is_weight, name


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("module", [None, Normed], ids=["mlp", "module"])
def test_without_weight_decay_nothing_decays(name, module):
    own = fleet(module)
    before = [p.detach().clone() for p in own.parameters()]
    moved = OptimizerChoice(name)(own, 0.1)
    own.gradients(torch.zeros(2, 5, 4), torch.zeros(2, 5, 1))
    for group in moved.param_groups:
        for p in group["params"]:
            p.grad.zero_()
    moved.step()
    assert all(torch.equal(p, q) for p, q in zip(own.parameters(), before, strict=True))


def test_a_torch_class_gets_groups_of_each_networks_own_parameters():
    for module in (None, Normed):
        optimizer = OptimizerChoice(torch.optim.Rprop)(fleet(module), 0.01)
        assert isinstance(optimizer, torch.optim.Rprop)
        assert [group["network"] for group in optimizer.param_groups] == [0, 1]


def test_users_modules_are_moved_by_torchs_own_optimizers():
    own = fleet(Normed)
    assert isinstance(own, ModuleFleet)
    sgd = OptimizerChoice("sgd", momentum=0.7, weight_decay=0.1)(own, 0.01)
    assert isinstance(sgd, torch.optim.SGD)
    assert {group["momentum"] for group in sgd.param_groups} == {0.7}
    assert [group["weight_decay"] for group in sgd.param_groups] == [0.1, 0.0, 0.1, 0.0]


def test_a_choice_has_a_name_and_pickles():
    assert OptimizerChoice("adam").name == "adam"
    choice = OptimizerChoice(torch.optim.RMSprop, weight_decay=0.1)
    assert choice.name == "RMSprop"
    assert pickle.loads(pickle.dumps(choice)) == choice


def test_a_torch_optimizer_decays_by_the_estimators_weight_decay_alone():
    optimizer = OptimizerChoice(torch.optim.AdamW)(fleet(), 0.01)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0}


def test_decay_for_an_optimizer_without_one_is_an_error():
    with pytest.raises(ValueError, match=r"`optimizer=Rprop` knows no weight decay, but `weight_decay=0\.1`"):
        OptimizerChoice(torch.optim.Rprop, weight_decay=0.1)(fleet(), 0.01)


@pytest.mark.parametrize("kind", [torch.optim.LBFGS, torch.optim.Optimizer])
def test_a_class_that_cannot_train_the_networks_is_an_error(kind):
    with pytest.raises(ValueError, match=f"`optimizer={kind.__name__}` cannot train the networks .*; use another"):
        OptimizerChoice(kind)(fleet(), 0.01)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_a_modules_adam_in_one_pass_moves_as_torchs_does(name):
    plain, own = fleet(nn.Linear), fleet(nn.Linear)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    reference, chosen = kind(plain.parameters(), lr=0.1, weight_decay=0.0), OptimizerChoice(name)(own, 0.1)
    assert chosen.defaults["fused"]
    source = torch.Generator().manual_seed(0)
    for _ in range(3):
        X, y = torch.randn(2, 5, 4, generator=source), torch.randn(2, 5, 1, generator=source)
        for networks, optimizer in ((plain, reference), (own, chosen)):
            networks.gradients(X, y)
            optimizer.step()
    for p, q in zip(plain.parameters(), own.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)
