"""Values of a searched parameter, and scores, on an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sk_dlsteps.displays.axes import label_in_numbers, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Values that spread as wide as this stand on a logarithmic axis.
_SPREAD = 20
# Characters of a label, inches that one of them takes, and its height in font sizes if it is turned.
_LONG, _CHARACTER, _TURNED = 18, 0.085, 0.3
# Scores below the median by so many times the distance from there to the best are drawn on the edge.
_FAR = 4


@dataclass(frozen=True)
class Values:
    """One parameter's value for each candidate.

    Attributes
    ----------
    name : str
        Of the parameter.
    places : float ndarray of shape (n_candidates,)
        Where each stands on the axis: a number itself, the number of a category; NaN where it is not set.
    categories : tuple of str or None
        Texts of the categories; None for numbers.

    """

    name: str
    places: np.ndarray
    categories: tuple[str, ...] | None

    @classmethod
    def of(cls, params: Sequence[Mapping[str, Any]], parameter: str) -> Self:
        """Read a parameter, which may be named without the prefix of a pipeline.

        Parameters
        ----------
        params : sequence of dict
            Those of each candidate.
        parameter : str
            The name.

        Raises
        ------
        ValueError
            If no candidate has it, or if several begin differently and end alike.

        """
        names = sorted({name for own in params for name in own})
        meant = [name for name in names if name == parameter] or [n for n in names if n.endswith(f"__{parameter}")]
        if len(meant) != 1:
            raise ValueError(f"`parameter` must be one of those searched, {names}, got {parameter!r}")
        values: list[Any] = [own.get(meant[0]) for own in params]
        known = [meant[0] in own for own in params]
        if all(_is_number(value) for value, has in zip(values, known, strict=True) if has):
            return cls(parameter, np.array([own.get(meant[0], np.nan) for own in params], dtype=float), None)
        texts = [_text(value) if has else None for value, has in zip(values, known, strict=True)]
        # Numbers in their order, then the others.
        order = {_text(value): float(value) if _is_number(value) else np.inf for value in values}
        categories = sorted({text for text in texts if text is not None}, key=lambda text: (order[text], text))
        return cls(
            parameter,
            np.array([np.nan if text is None else categories.index(text) for text in texts]),
            tuple(categories),
        )

    def label(self, ax: Axes) -> float:
        """Give an axis of these values its scale, its ticks and its name; how many characters high the ticks are."""
        ax.set_xlabel(self.name, parse_math=False)
        if self.categories is not None:
            labels = [text if len(text) <= _LONG else f"{text[: _LONG - 1]}…" for text in self.categories]
            needed = _CHARACTER * len(labels) * max(map(len, labels))
            fits = needed < width_of(ax)
            turned: dict[str, Any] = {} if fits else {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
            ax.set_xticks(range(len(labels)), labels, parse_math=False, fontsize="small", **turned)
            ax.set_xlim(-0.5, len(labels) - 0.5)
            return 1 if fits else 1 + _TURNED * max(map(len, labels))
        known = self.places[np.isfinite(self.places)]
        if known.min() > 0 and known.max() >= _SPREAD * known.min():
            ax.set_xscale("log")
            label_in_numbers(ax.xaxis)
        return 1


def bounds_of_scores(scores: np.ndarray, spread: np.ndarray) -> tuple[float, float]:
    """Lowest and highest value that an axis of scores shows: not those far below the others."""
    known = np.isfinite(scores)
    if not known.any():
        return 0.0, 1.0
    values = scores[known]
    low, middle, high = values.min(), np.median(values), values.max()
    near = max(low, middle - _FAR * max(high - middle, np.median(spread[known])))
    shown = known & (scores >= near)
    # Bars may leave the picture at the bottom.
    low = min(scores[shown].min(), max((scores - spread)[shown].min(), near))
    high = (scores + spread)[shown].max()
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(high) + 0.5)


def name_of_score(name: str) -> str:
    """What to write at an axis: scikit-learn's names in words."""
    words = name.replace("neg_", "negative ", 1) if name.startswith("neg_") else name
    words = words.replace("_", " ")
    return words[:1].upper() + words[1:]


def _is_number(value: Any) -> bool:
    """Whether it has a place on an axis of numbers."""
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_) and bool(np.isfinite(float(value)))


def _text(value: Any) -> str:
    """A value in one short line."""
    if _is_number(value):
        return f"{value:g}"
    return " ".join(str(getattr(value, "__name__", value)).split())
