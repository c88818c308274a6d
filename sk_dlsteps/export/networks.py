"""Trained networks as values by name, and back."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from sk_dlsteps.engine.device import device_to_load_onto
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.mlp_fleet import MLPFleet
from sk_dlsteps.engine.module_fleet import ModuleFleet
from sk_dlsteps.engine.net import FleetNet
from sk_dlsteps.step2_architecture.custom import ModuleBuilder

# Parameters of the net, and what a training leaves beside the networks.
_PARAMETERS = (
    "module",
    "criterion",
    "make_optimizer",
    "seeds",
    "schedule",
    "stopping",
    "max_grad_norm",
    "max_grad_value",
    "augmentation",
    "n_threads",
    "dtype",
    "lr",
    "max_epochs",
    "batch_size",
    "device",
    "verbose",
)
_LEFT = (
    "history_",
    "loss_curves_",
    "best_epochs_",
    "best_losses_",
    "rescues_",
    "signals_",
    "classes_",
    "ended_by_callback_",
)
_STAGES = tuple(name for name in inspect.signature(Fleet).parameters if name != "n_codes")


def take_net_apart(net: FleetNet) -> dict[str, Any]:
    """A net's parameters, what its training left, and its networks."""
    fleet = net.module_
    return {
        **{name: vars(net)[name] for name in _PARAMETERS},
        "left": {name: vars(net)[name] for name in _LEFT if name in vars(net)},
        "stages": {name: getattr(fleet, name) for name in _STAGES},
        "class_shares": fleet.class_shares,
        "frozen": fleet.frozen,
        "rate_scales": fleet.rate_scales,
        "networks": (_stacks if isinstance(fleet, MLPFleet) else _modules)(fleet, vars(net)["module"]),
    }


def put_net_together(parts: dict[str, Any]) -> FleetNet:
    """The net again, on a device that is here."""
    networks, stages = parts["networks"], parts["stages"]
    fleet: Fleet
    if isinstance(parts["module"], ModuleBuilder):
        fleet = _of_modules(networks, stages)
    else:
        fleet = MLPFleet(**networks, **stages)
    fleet.class_shares = parts["class_shares"]
    if parts["rate_scales"] is not None:
        fleet.rate_scales = parts["rate_scales"]
    if parts["frozen"]:
        fleet.freeze(parts["frozen"])
    given = {name: parts[name] for name in _PARAMETERS}
    net = FleetNet(**{**given, "device": device_to_load_onto(parts["device"]), "callbacks": []})
    net.initialize_on(fleet.eval())
    for name, value in parts["left"].items():
        if name not in _LEFT:
            raise ValueError(f"it holds a net with an attribute {name!r}")
        setattr(net, name, value)
    return net


def _stacks(fleet: MLPFleet, builder: Any) -> dict[str, Any]:
    """The stacks of multilayer perceptrons."""
    return {
        "weights": list(fleet.weights),
        "biases": list(fleet.biases),
        "activation": fleet.activation,
        "dropout": fleet.dropout,
        "norms": list(fleet.norms),
        "units": fleet.units,
        "embeddings": [] if fleet.embeddings is None else fleet.embeddings.stacks,
    }


def _modules(fleet: ModuleFleet, builder: ModuleBuilder) -> dict[str, Any]:
    """The states of modules, and what builds modules of their shape."""
    return {
        "builder": replace(builder, choice=builder.choice.of_trained(fleet.modules_[0]), stages={}),
        "states": [dict(module.state_dict()) for module in fleet.modules_],
        "random_states": list(fleet.random_states),
    }


def _of_modules(networks: dict[str, Any], stages: dict[str, Any]) -> ModuleFleet:
    """Modules in the states that they had."""
    builder, states = networks["builder"], networks["states"]
    # What modules want to see of gaps, they say themselves.
    stages = {name: value for name, value in stages.items() if name != "keeps_gaps"}
    builder = replace(builder, stages=stages, seeds=(0,) * len(states))
    _check_size(builder, states)
    fleet = builder()
    for module, state in zip(fleet.modules_, states, strict=True):
        module.load_state_dict(state)
    fleet.random_states = networks["random_states"]
    return fleet


def _check_size(builder: ModuleBuilder, states: list[dict[str, torch.Tensor]]) -> None:
    """Raise if modules would be larger than the states that are there for them; nothing is allocated."""
    choice, center, ramps = builder.choice, builder.stages["input_center"], builder.stages["input_encoding"]
    n_inputs = center.shape[-1] + sum(size for _, size in builder.embeddings) + (0 if ramps is None else ramps.n_added)
    if n_inputs != builder.n_inputs or (builder.shape is not None and math.prod(builder.shape) != n_inputs):
        raise ValueError("it holds modules for other inputs than there are")
    if not isinstance(choice.module, str):
        return
    choice.check()
    if "weights" in choice.parameters:
        raise ValueError("it holds a module that reads a file of weights")
    if choice.parameters.get("num_layers", 1) > len(states[0]):
        raise ValueError("it holds a module of more layers than there are weights for")
    with torch.device("meta"):
        module: nn.Module = choice.build(builder.n_inputs, builder.n_outputs, builder.shape or (builder.n_inputs,))
    n_numbers = sum(tensor.numel() for tensor in module.state_dict().values())
    n_numbers += sum(n_levels * size for n_levels, size in builder.embeddings)
    if any(n_numbers != sum(own.numel() for own in state.values()) for state in states):
        raise ValueError("it holds a module of another size than the weights that are there for it")
