"""How many units a hidden layer gets."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from sk_dlsteps.plan import StepRecord

# Bounds of the rule's width, by measurement (docs/benchmarks.md, "Choosing the defaults").
FLOOR, CEILING = 64, 128


def choose_hidden_units(
    hidden_units: str | int | Sequence[int],
    hidden_size_factor: float,
    n_hidden_layers: int,
    *,
    n_rows: int,
    n_inputs: int,
    n_outputs: int,
) -> tuple[tuple[int, ...], StepRecord]:
    """Resolve the widths of the hidden layers.

    Parameters
    ----------
    hidden_units : {"auto", "midpoint"}, int or sequence of int
        The rule, or the units of each hidden layer.
    hidden_size_factor : float
        The rule's a.
    n_hidden_layers : int
        How often a single width is repeated.
    n_rows, n_inputs, n_outputs : int
        N_s, N_i and N_o of the rule.

    Returns
    -------
    widths : tuple of int
        Units of each hidden layer.
    record : StepRecord
        Rule, a, raw and clamped value.

    """
    if not isinstance(hidden_units, str | int | Integral):
        widths = tuple(int(units) for units in hidden_units)
        return widths, width_record(widths, "chosen by you", {"rule": "given"})
    evidence: dict[str, Any]
    if hidden_units == "auto":
        # NOTE[ARTICLE]: the article's formula has no bounds; it gives 24,000 units for a
        # million rows of 20 columns and none for 100 rows of 500 columns.
        raw = n_rows / (hidden_size_factor * (n_inputs + n_outputs))
        units = min(max(round(raw), FLOOR), CEILING)
        formula = f"N_s / (a (N_i + N_o)) = {n_rows} / ({hidden_size_factor:g} ({n_inputs} + {n_outputs})) = {raw:.4g}"
        bound = {FLOOR: f", raised to the floor {FLOOR}", CEILING: f", lowered to the ceiling {CEILING}"}
        because = formula + (bound[units] if units in bound and units != round(raw) else "")
        evidence = {"rule": "auto", "a": hidden_size_factor, "raw": raw, "clamped": units}
    elif hidden_units == "midpoint":
        raw = (n_inputs + n_outputs) / 2
        units = max(1, round(raw))
        because = f"midpoint of {n_inputs} inputs and {n_outputs} outputs"
        evidence = {"rule": "midpoint", "raw": raw, "clamped": units}
    else:
        units = int(hidden_units)
        because, evidence = "chosen by you", {"rule": "given"}
    widths = (units,) * n_hidden_layers
    return widths, width_record(widths, because, evidence)


def width_record(widths: tuple[int, ...], because: str, evidence: dict[str, Any]) -> StepRecord:
    """The record of step 2."""
    layers = f"{len(widths)} hidden layer" + ("s" if len(widths) > 1 else "")
    units = " and ".join(map(str, widths if len(set(widths)) > 1 else widths[:1]))
    return StepRecord(2, "network architecture", f"{layers} of {units} units", because, {**evidence, "units": widths})
