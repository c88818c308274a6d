"""Weights of one network in another: of trained fleets, and of states that torch saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.mlp_fleet import MLPFleet
from sk_dlsteps.engine.module_fleet import ModuleFleet


class Taken(NamedTuple):
    """What a fleet has taken over.

    Attributes
    ----------
    names : tuple of str
        Tensors of a network that were taken over.
    new : tuple of str
        Layers that hold anything which was not.

    """

    names: tuple[str, ...]
    new: tuple[str, ...]


def take_networks(fleet: Fleet, source: Fleet, keep_head: bool) -> Taken:
    """Give network k the weights of network k of a source, from the first one again where that has fewer.

    Parameters
    ----------
    fleet : Fleet
        Networks of the source's shape, but for the last layer.
    source : Fleet
        Trained; stays as it is.
    keep_head : bool
        Whether the last layer is taken over too.

    """
    head = fleet.layers[-1]
    if isinstance(fleet, MLPFleet) and isinstance(source, MLPFleet):
        chosen = torch.arange(fleet.n_networks) % source.n_networks
        stacks = dict(source.named_stacks())
        taken = [(n, p) for n, p in fleet.named_stacks() if keep_head or fleet.layer_of(n) != head]
        for name, stack in taken:
            stack.data.copy_(stacks[name].data[chosen.to(stacks[name].device)])
        for norm, theirs in zip(fleet.batch_norms, source.batch_norms, strict=True):
            for own, other in ((norm.mean, theirs.mean), (norm.variance, theirs.variance)):
                own.copy_(other[chosen.to(other.device)])
        return Taken(tuple(name for name, _ in taken), () if keep_head else (head,))
    assert isinstance(fleet, ModuleFleet) and isinstance(source, ModuleFleet)
    taken_by_each = []
    for k, module in enumerate(fleet.modules_):
        state = source.modules_[k % source.n_networks].state_dict()
        if not keep_head:
            state = {name: tensor for name, tensor in state.items() if fleet.layer_of(name) != head}
        taken_by_each.append(_fill(module, state))
    return _taken(fleet, taken_by_each[0])


def mix_hidden_layers(fleet: MLPFleet, fresh: MLPFleet, share: float) -> None:
    """Let the hidden layers be a share of what they are and the rest of those of a fresh fleet (Ash & Adams 2020)."""
    for own, other in zip(_hidden(fleet), _hidden(fresh), strict=True):
        own.lerp_(other.to(own), 1 - share)


def _hidden(fleet: MLPFleet) -> list[Tensor]:
    """Weights and biases of the hidden layers."""
    return [stack.data for stacks in (fleet.weights, fleet.biases) for stack in list(stacks)[:-1]]


def load_state(fleet: ModuleFleet, state: Mapping[str, Tensor]) -> Taken:
    """Give every network those tensors of a state that it has, by name and shape.

    Raises
    ------
    ValueError
        If it has none of them.

    """
    prefixes = _prefixes(fleet.modules_[0])
    known = fleet.modules_[0].state_dict()
    named = [_named(own, prefix) for own in _unwrapped(state) for prefix in prefixes]
    best = max(named, key=lambda own: len(_fitting(known, own)))
    taken = [_fill(module, best) for module in fleet.modules_]
    if not taken[0]:
        if any(map(is_lazy, state.values())):
            raise ValueError(
                "`init_from` has lazy layers, which have no weights before the first rows, and nothing else that the "
                "networks have; give it as `module`, or a module that has seen rows"
            )
        own = [name.removeprefix(prefixes[-1]) for name in known]
        raise ValueError(
            f"`init_from` holds no tensor that the networks have, by name and shape: it has {_some(list(state))}, the "
            f"networks have {_some(own)}. Give the state dict of a module of the same kind as `module`."
        )
    return _taken(fleet, taken[0])


def _fill(module: nn.Module, state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Copy what fits by name and shape into a module; names of what was copied."""
    own = module.state_dict()
    fitting = _fitting(own, state)
    for name in fitting:
        own[name].copy_(state[name])
    return tuple(fitting)


def _fitting(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that two states have in one shape."""
    known = {name: state[name] for name in own if name in state and not is_lazy(state[name])}
    return [name for name, tensor in known.items() if own[name].shape == tensor.shape]


def _named(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """A state with something before each name."""
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def _unwrapped(state: Mapping[str, Tensor]) -> list[Mapping[str, Tensor]]:
    """A state as it is, and without what stands before all names: DataParallel and compiled modules put it there."""
    states = [state]
    while all("." in name for name in states[-1]) and len({name.split(".")[0] for name in states[-1]}) == 1:
        states.append({name.partition(".")[2]: tensor for name, tensor in states[-1].items()})
    return states


def _taken(fleet: ModuleFleet, names: tuple[str, ...]) -> Taken:
    """What was taken over, given its names in a network's state."""
    missing = [name for name, _ in fleet.modules_[0].named_parameters() if name not in names]
    new = {fleet.layer_of(name) for name in missing}
    return Taken(names, tuple(layer for layer in fleet.layers if layer in new))


def _prefixes(module: nn.Module) -> list[str]:
    """What may stand before the names of the user's own module: what is around it calls it `module`."""
    prefixes = [""]
    while isinstance(getattr(module, "module", None), nn.Module):
        module = module.get_submodule("module")
        prefixes.append(f"{prefixes[-1]}module.")
    return prefixes


def _some(names: list[str]) -> str:
    """The first of some names."""
    return ", ".join([*names[:5], *(["..."] if len(names) > 5 else [])])
