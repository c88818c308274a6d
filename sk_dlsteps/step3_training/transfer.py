"""Transfer learning: which layers train from which epoch on, and at which share of the rate."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from sk_dlsteps.plan import Stage, StepRecord

# Share of the epochs in which the new layers train alone, and of those in which the upper half of the others trains
# with them; what multiplies the rate from the last layer to the first one; and what is left of a stage's rate in the
# next one, if no rate can be found there. By measurement (docs/transfer.md, "Choosing the defaults").
HEAD_SHARE, UPPER_SHARE = 0.2, 0.2
RATE_RATIO = 1 / 2.6
NEXT_RATE = 0.5
# Share of the rate found at which built-in layers that were taken over are trained, and, if the last layer is new and
# `unfreeze` is left to the recipe, share of the built-in hidden layers' weights that is the source's, the rest being
# fresh: weights that fit one target well are a bad start for another one (Ash & Adams 2020).
RATE_SHARE = 0.3
SOURCE_SHARE = 0.3


def is_staged(parameters: Mapping[str, Any]) -> bool:
    """Whether a fit with these parameters goes through stages, or has rates for each layer."""
    return parameters["init_from"] is not None or any(
        not isinstance(parameters[name], str) for name in ("unfreeze", "differential_rates")
    )


def choose_stages(
    unfreeze: Any,
    layers: Sequence[str],
    new: Collection[str],
    n_epochs: int,
    inherits: bool,
    depths: Mapping[str, int] | None = None,
) -> tuple[Stage, ...]:
    """Resolve which layers train in which epochs.

    Parameters
    ----------
    unfreeze : "auto", bool, int or dict
        The user's.
    layers : sequence of str
        Names of the layers, from the inputs to the outputs.
    new : collection of str
        Layers with nothing to keep; they train from the start, as the last one does.
    n_epochs : int
        Epochs of all stages together.
    inherits : bool
        Whether the other layers hold anything worth keeping: without it "auto" trains all from the start.
    depths : dict, optional
        How deep each layer lies; what lies equally deep belongs together. None: each layer by itself.

    Returns
    -------
    stages : tuple of Stage
        One after the other.

    Raises
    ------
    ValueError
        If a pattern fits no layer, or layers would join after the last epoch.

    Examples
    --------
    >>> for stage in choose_stages(10, ["hidden_1", "output"], ["output"], 50, True):
    ...     print(stage.n_epochs, stage.trained, stage.frozen)
    10 ('output',) ('hidden_1',)
    40 ('hidden_1', 'output') ()

    """
    from_the_start = {*new, layers[-1]}
    body = [layer for layer in layers if layer not in from_the_start]
    joins = {**dict.fromkeys(layers, 0), **_joins(unfreeze, layers, new, body, n_epochs, inherits, depths)}
    joins |= dict.fromkeys(from_the_start, 0)
    starts = sorted({epoch for epoch in joins.values() if epoch is not None})
    if starts[-1] >= n_epochs:
        raise ValueError(
            f"`unfreeze={unfreeze!r}` lets layers join after {starts[-1]} epochs, but `max_epochs` is {n_epochs}; "
            "let them join earlier, or raise `max_epochs`"
        )
    stages = []
    for start, end in zip(starts, [*starts[1:], n_epochs], strict=True):
        trained = tuple(layer for layer in layers if (own := joins[layer]) is not None and own <= start)
        stages.append(Stage(trained, tuple(layer for layer in layers if layer not in trained), end - start))
    return tuple(stages)


def _joins(
    unfreeze: Any,
    layers: Sequence[str],
    new: Collection[str],
    body: Sequence[str],
    n_epochs: int,
    inherits: bool,
    depths: Mapping[str, int] | None,
) -> dict[str, int | None]:
    """Epoch after which each layer of the body joins, None for never; those left out train from the start."""
    if isinstance(unfreeze, Mapping):
        found = matching("unfreeze", unfreeze, layers)
        return {layer: min(found[layer]) if layer in found else None for layer in body}
    if isinstance(unfreeze, str):
        # A last layer that was taken over has nothing to catch up with.
        return _gradually(body, n_epochs, depths or _one_by_one(layers)) if inherits and layers[-1] in new else {}
    if unfreeze is True or unfreeze is False:
        return {} if unfreeze else dict.fromkeys(body)
    return dict.fromkeys(body, int(unfreeze))


def _one_by_one(layers: Sequence[str]) -> dict[str, int]:
    """Each layer deeper than the one before it."""
    return {layer: depth for depth, layer in enumerate(layers)}


def _gradually(body: Sequence[str], n_epochs: int, depths: Mapping[str, int]) -> dict[str, int | None]:
    """The new layers alone, then the upper half of the others with them, then all; in few epochs fewer stages."""
    head, upper = max(1, round(HEAD_SHARE * n_epochs)), max(1, round(UPPER_SHARE * n_epochs))
    if not body or n_epochs < 2:
        return {}
    levels = sorted({depths[layer] for layer in body})
    if len(levels) == 1 or head + upper >= n_epochs:
        return dict.fromkeys(body, head)
    first_upper = levels[len(levels) - len(levels) // 2]
    return {layer: head if depths[layer] >= first_upper else head + upper for layer in body}


def choose_scales(
    differential_rates: Any, layers: Sequence[str], inherits: bool, depths: Mapping[str, int] | None = None
) -> dict[str, float]:
    """What multiplies the rate of each layer; empty if nothing does.

    Parameters
    ----------
    differential_rates : "auto", float or dict
        The user's.
    layers : sequence of str
        Names of the layers, from the inputs to the outputs.
    inherits : bool
        Whether the layers hold what "auto" moves more slowly: without it that gives all one rate.
    depths : dict, optional
        How deep each layer lies, as in `choose_stages`.

    Returns
    -------
    scales : dict
        By the names of the layers.

    Raises
    ------
    ValueError
        If a pattern fits no layer.

    Examples
    --------
    >>> choose_scales(0.5, ["hidden_1", "hidden_2", "output"], True)
    {'hidden_1': 0.25, 'hidden_2': 0.5, 'output': 1.0}

    """
    if isinstance(differential_rates, Mapping):
        found = matching("differential_rates", differential_rates, layers)
        return {layer: float(found[layer][0]) if layer in found else 1.0 for layer in layers}
    depths = depths or _one_by_one(layers)
    last = depths[layers[-1]]
    if isinstance(differential_rates, str):
        # From the first layer to the last one, however many there are between them.
        ratio = RATE_RATIO ** (1 / max(1, last)) if inherits else 1.0
    else:
        ratio = float(differential_rates)
    if ratio == 1:
        return {}
    return {layer: ratio ** (last - depths[layer]) for layer in layers}


def mixes(unfreeze: Any, layers: Sequence[str], new: Collection[str]) -> bool:
    """Whether the layers before a new last one begin as a mixture of the source's weights and fresh ones."""
    return isinstance(unfreeze, str) and layers[-1] in new


def matching(name: str, patterns: Mapping[str, Any], layers: Sequence[str]) -> dict[str, list[Any]]:
    """Values of the patterns that fit each layer, in their order; an error for a pattern that fits none."""
    found: dict[str, list[Any]] = {}
    for pattern, value in patterns.items():
        own = [layer for layer in layers if fnmatchcase(layer, pattern)]
        if not own:
            raise ValueError(f"`{name}` names {pattern!r}, which fits no layer; there are {', '.join(layers)}")
        for layer in own:
            found.setdefault(layer, []).append(value)
    return found


def stage_record(number: int, stages: Sequence[Stage], reason: str, n_epochs: int) -> StepRecord:
    """What trained in a stage, and at which rates.

    Parameters
    ----------
    number : int
        Of the stage, from 0.
    stages : sequence of Stage
        All of the fit.
    reason : str
        Where the rate comes from.
    n_epochs : int
        Epochs that were run.

    """
    stage, start = stages[number], sum(before.n_epochs for before in stages[:number])
    what = ", ".join(stage.trained) if stage.frozen else "all layers"
    frozen = f"; {', '.join(stage.frozen)} frozen" if stage.frozen else ""
    rates = {layer: stage.learning_rate * stage.scales.get(layer, 1.0) for layer in stage.trained}
    shown = f"{min(rates.values()):.2g} to {max(rates.values()):.2g}"
    decision = f"{what} at {shown if stage.scales else f'rate {stage.learning_rate:.2g}'}{frozen}"
    evidence = {
        "planned epochs": f"{start + 1} to {start + stage.n_epochs}",
        "epochs": n_epochs,
        "rates": rates,
        "frozen": stage.frozen,
    }
    return StepRecord(3, f"stage {number + 1} of {len(stages)}", decision, reason, evidence)
