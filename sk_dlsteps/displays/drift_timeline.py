"""The picture of a stream: batches over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sk_dlsteps.displays.axes import FAINT, MAIN, MARK, OTHER, axes_to_draw_on, shortened
from sk_dlsteps.step6_real_world.detector import DriftDetector
from sk_dlsteps.step6_real_world.timeline import DriftTimeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# The smallest p-value that is told from 0, letters of a name below the axis, and names at the most.
_SMALLEST, _N_LETTERS, _N_NAMES = 1e-16, 12, 8


class DriftTimelineDisplay:
    """Batches over time: how unlikely each is if nothing has drifted.

    Parameters
    ----------
    timeline : DriftTimeline
        From `DriftDetector.check_batches`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What the picture was drawn on; set by `plot`.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> from sk_dlsteps import DriftDetector, DriftTimelineDisplay
    >>> rng = np.random.default_rng(0)
    >>> detector = DriftDetector().fit(rng.normal(size=(200, 3)))
    >>> timeline = detector.check_batches(rng.normal(shift, 1, size=(100, 3)) for shift in (0, 0, 1))
    >>> DriftTimelineDisplay(timeline).plot().ax_.get_ylabel()
    'p-value'

    """

    ax_: Axes
    figure_: Figure | SubFigure

    def __init__(self, timeline: DriftTimeline) -> None:
        self.timeline = timeline

    @classmethod
    def from_estimator(
        cls,
        model_or_search: Any,
        batches: Iterable[Any],
        times: Iterable[Any] | None = None,
        *,
        ax: Axes | None = None,
        **parameters: Any,
    ) -> Self:
        """Check batches of new rows with a fitted model's own sketch of its training rows, and draw them.

        Parameters
        ----------
        model_or_search : estimator object
            As for `DriftDetector.from_estimator`.
        batches : iterable
            Of tables, or of pairs ``(X, y)``.
        times : iterable, default=None
            What each batch is called.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        **parameters : object
            Of `DriftDetector.from_estimator`.

        Returns
        -------
        display : DriftTimelineDisplay

        """
        detector = DriftDetector.from_estimator(model_or_search, **parameters)
        return cls(detector.check_batches(batches, times)).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        self : DriftTimelineDisplay
            With `ax_` and `figure_`.

        Raises
        ------
        ImportError
            If matplotlib is missing.

        """
        ax = axes_to_draw_on(ax)
        rows = [row for row in self.timeline.table if row["rows"]]
        times = _positions([row["time"] for row in self.timeline.table])
        places = [place for place, row in zip(times, self.timeline.table, strict=True) if row["rows"]]
        p_values = np.array([max(row["p"], _SMALLEST) for row in rows])
        alarmed = np.array([row["verdict"] != "no drift" for row in rows], dtype=bool)
        ax.plot(places, p_values, color=FAINT, lw=1, zorder=1)
        for which, colour, label in ((~alarmed, MAIN, "no drift"), (alarmed, MARK, "drifted")):
            if which.any():
                own = [place for place, is_own in zip(places, which, strict=True) if is_own]
                ax.scatter(own, p_values[which], color=colour, s=28, zorder=2, label=label)
        ax.axhline(self.timeline.alpha, color=OTHER, ls="--", lw=1, label=f"alpha = {self.timeline.alpha:g}")
        ax.set(yscale="log", ylim=(min(p_values.min(initial=1.0) / 5, self.timeline.alpha / 10), 3))
        ax.set(ylabel="p-value", xlabel="batch")
        _name_places(ax, times, [row["time"] for row in self.timeline.table])
        ax.set_title(f"{len(self.timeline.alarms)} of {len(self.timeline.table)} batches drifted", loc="left")
        ax.legend(frameon=False, fontsize="small", loc="lower left")
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _positions(times: Sequence[Any]) -> list[Any]:
    """Times as an axis takes them: numbers and dates as they are, anything else one after the other."""
    if all(isinstance(time, int | float | np.number) and not isinstance(time, bool) for time in times):
        return list(times)
    if all(type(time) is type(times[0]) and isinstance(time, date | np.datetime64) for time in times):
        return list(times)
    return list(range(len(times)))


def _name_places(ax: Axes, places: Sequence[Any], times: Sequence[Any]) -> None:
    """Names below the axis where places are only numbers of them."""
    if list(places) == list(times):
        return
    step = max(1, len(places) // _N_NAMES)
    ax.set_xticks(list(places)[::step])
    ax.set_xticklabels([shortened(str(time), _N_LETTERS) for time in times[::step]], parse_math=False)
