"""Layers of a user's module, by name: what can be frozen, and have a rate of its own."""

from __future__ import annotations

from torch import nn

from sk_dlsteps.engine.embedding import Embedded

# Vectors of categories, before the first layer.
EMBEDDINGS = "embeddings"


def layers_of(module: nn.Module) -> dict[str, str]:
    """Path of each layer of a module by the layer's name, from the inputs to the outputs.

    Layers are the direct children that have parameters; a module with a single one is only a wrapper of it. Parameters
    beside such children are layers of their own, before them.

    Parameters
    ----------
    module : Module
        One network.

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
    return {**paths, **{name: f"{at}{name}" for name in (*own, *children)}}


def layer_at(name: str, paths: dict[str, str]) -> str:
    """Layer that a parameter of that name belongs to."""
    return next(layer for layer, path in paths.items() if not path or name == path or name.startswith(f"{path}."))
