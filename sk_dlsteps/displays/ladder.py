"""The picture of a ladder: its rungs from top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sk_dlsteps.displays.axes import FAINT, MAIN, MARK, OTHER, legend_below
from sk_dlsteps.displays.values import bounds_of_scores
from sk_dlsteps.step4_validation.noise import NOISE, Difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from sk_dlsteps.step4_validation.rungs import Ladder

# Candidates of a rung stand side by side within this share of its height.
_HEIGHT = 0.5
# Characters of a rung's name.
_LONG = 26
# How many times the width of the validation scores the axis may give to training scores.
_FOR_TRAINING = 1.5
# Before it there was nothing to differ from.
_OF_THE_START = (Difference(np.nan, np.nan),)


def draw_ladder(ax: Axes, ladder: Ladder) -> tuple[Line2D, Line2D, Line2D]:
    """Draw a ladder.

    Parameters
    ----------
    ax : matplotlib Axes
        Where.
    ladder : Ladder
        Its rungs.

    Returns
    -------
    points, train_points, kept : Line2D
        Validation scores and training scores of all candidates, and the validation scores of those kept.

    """
    heights = [_heights(i, len(rung.candidates)) for i, rung in enumerate(ladder)]
    y, test, train = np.concatenate(heights), _joined(ladder, "test_scores"), _joined(ladder, "train_scores")
    errors = NOISE * np.array([own.error for rung in ladder for own in rung.differences or _OF_THE_START])
    low, high = bounds_of_scores(test, np.nan_to_num(errors))
    style: dict[str, Any] = {"markerfacecolor": "none", "markersize": 4.5, "zorder": 1}
    (train_points,) = ax.plot(train, y, "o", color=OTHER, alpha=0.7, label="training", **style)
    right = max(high, min(np.nanmax(train, initial=high), high + _FOR_TRAINING * (high - low)))
    ax.hlines(y, test - errors, test + errors, color=FAINT, linewidth=1.2, zorder=1, label="noise of the change")
    (points,) = ax.plot(test, y, "o", color=MAIN, markersize=5, zorder=3, label="validation")
    kept_at = [_first(ladder, i) + rung.best for i, rung in enumerate(ladder) if rung.kept and rung.best is not None]
    _draw_level(ax, ladder)
    style = {"color": MARK, "markersize": 8, "markeredgecolor": "white", "zorder": 4}
    (kept,) = ax.plot(test[kept_at], y[kept_at], "o", label="kept", **style)
    if kept_at and ladder.best_index != kept_at[-1]:
        style = {"markerfacecolor": "none", "markeredgecolor": MARK, "markersize": 13, "zorder": 4}
        ax.plot(test[ladder.best_index], y[ladder.best_index], "o", label="taken in the end", **style)
    room = 0.05 * (right - low)
    ax.set_xlim(low - 2 * room, right + room)
    _mark_edges(ax, y, test, train)
    _name_rungs(ax, ladder)
    legend_below(ax)
    return points, train_points, kept


def _heights(i: int, n: int) -> np.ndarray:
    """Where the candidates of a rung stand."""
    return i + (np.linspace(-0.5, 0.5, n) * _HEIGHT if n > 1 else np.zeros(1))


def _joined(ladder: Ladder, name: str) -> np.ndarray:
    """Scores of all candidates."""
    return np.array([score for rung in ladder for score in getattr(rung, name)], dtype=float)


def _first(ladder: Ladder, i: int) -> int:
    """Number of the first candidate of a rung."""
    return sum(len(rung.candidates) for rung in ladder[:i])


def _draw_level(ax: Axes, ladder: Ladder) -> None:
    """What the ladder had reached before each rung, as a line that steps where one is kept."""
    x, y, level = [], [], np.nan
    for i, rung in enumerate(ladder):
        x += [level, level]
        y += [i - 0.5 if i > 1 else 0.0, i + 0.5]
        if rung.kept and rung.best is not None:
            level = rung.test_scores[rung.best]
    ax.plot(x, y, color=MARK, linewidth=1, zorder=2, label="level to beat")


def _mark_edges(ax: Axes, y: np.ndarray, test: np.ndarray, train: np.ndarray) -> None:
    """Marks on the edges for what has no score, or lies beyond."""
    low, right = ax.get_xlim()
    edges = (
        (~np.isfinite(test), "x", MARK, 0.015, "no score"),
        (test < low, "<", MARK, 0.015, "far below"),
        (train > right, ">", OTHER, 0.985, "training, beyond"),
    )
    for mask, marker, colour, place, label in edges:
        if mask.any():
            style: dict[str, Any] = {"color": colour, "markersize": 5, "transform": ax.get_yaxis_transform()}
            ax.plot(np.full(mask.sum(), place), y[mask], marker, label=label, **style)


def _name_rungs(ax: Axes, ladder: Ladder) -> None:
    """Names of the rungs, and a line between the steps."""
    names = [" ".join(rung.name.split()) for rung in ladder]
    names = [name if len(name) <= _LONG else f"{name[: _LONG - 1]}…" for name in names]
    ax.set_yticks(range(len(names)), names, parse_math=False, fontsize="small")
    ax.set_ylim(len(names) - 0.4, -0.6)
    steps = [rung.step for rung in ladder]
    for i in range(1, len(steps)):
        if steps[i] != steps[i - 1]:
            ax.axhline(i - 0.5, color=FAINT, linewidth=0.8, zorder=0)
    for step in sorted(set(steps)):
        place = float(np.mean([i for i, own in enumerate(steps) if own == step]))
        style: dict[str, Any] = {"ha": "left", "va": "center", "fontsize": "small", "color": OTHER}
        ax.annotate(f"step {step}", (1.01, place), xycoords=ax.get_yaxis_transform(), **style)
