"""Layers of a user's module, by name: what can be frozen, and have a rate of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from sk_dlsteps.engine.embedding import Embedded

# Vectors of categories, before the first layer.
EMBEDDINGS = "embeddings"


def layers_of(module: nn.Module, called: Sequence[str] = ()) -> dict[str, str]:
    """Path of each layer of a module by the layer's name, from the inputs to the outputs.

    Layers are the direct children that have parameters; a module with a single one is only a wrapper of it. Parameters
    beside such children are layers of their own, before them. A child that is never called stands behind the one
    before it.

    Parameters
    ----------
    module : Module
        One network.
    called : sequence of str
        Paths of its parts in the order in which they are called; empty: the order in which they were made.

    Returns
    -------
    paths : dict
        A parameter whose name is a path, or begins with one and a dot, belongs to that layer.

    Examples
    --------
    >>> body = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> layers_of(nn.Sequential(body))
    {'0': '0.0', '2': '0.2'}

    """
    paths, at = {}, ""
    if isinstance(module, Embedded):
        paths[EMBEDDINGS], at, module = "tables", "module.", module.module
    while True:
        own = [name for name, _ in module.named_parameters(recurse=False)]
        children = [name for name, child in module.named_children() if any(True for _ in child.parameters())]
        if own or len(children) != 1:
            break
        child = module.get_submodule(children[0])
        if not any(any(True for _ in inner.parameters()) for inner in child.children()):
            break
        at, module = f"{at}{children[0]}.", child
    if not children:
        # A module that is one layer.
        return {**paths, "output": at.removesuffix(".")}
    children = _in_order(children, at, called)
    return {**paths, **{name: f"{at}{name}" for name in (*own, *children)}}


def _in_order(children: Sequence[str], at: str, called: Sequence[str]) -> list[str]:
    """Children in the order in which they, or anything in them, are first called."""
    first: dict[str, int] = {}
    for place, path in enumerate(called):
        if path.startswith(at):
            first.setdefault(path.removeprefix(at).partition(".")[0], place)
    places, last = {}, -1
    for name in children:
        last = places[name] = first.get(name, last)
    return sorted(children, key=places.__getitem__)


@contextmanager
def calls_noted(module: nn.Module) -> Iterator[list[str]]:
    """Note the paths of a module's parts while it runs inside, in the order in which they are called."""
    called: list[str] = []
    with ExitStack() as hooks:
        for name, part in module.named_modules():
            # Compiled scripts take no hooks.
            if name and not isinstance(part, torch.jit.ScriptModule):
                hooks.enter_context(part.register_forward_pre_hook(_note(called, name)))
        yield called


def _note(called: list[str], name: str) -> Callable[..., None]:
    """A hook that notes a call."""
    return lambda *_: called.append(name)


def layer_at(name: str, paths: dict[str, str]) -> str:
    """Layer that a parameter of that name belongs to."""
    return next(layer for layer, path in paths.items() if not path or name == path or name.startswith(f"{path}."))
