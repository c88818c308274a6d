"""The picture of drift: the columns that drifted most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sk_dlsteps.displays.axes import FAINT, MAIN, MARK, OTHER, axes_to_draw_on, shortened
from sk_dlsteps.step6_real_world.column_tests import ColumnTest
from sk_dlsteps.step6_real_world.detector import DriftDetector
from sk_dlsteps.step6_real_world.drift_report import DriftReport
from sk_dlsteps.step6_real_world.sketches import MAX_COUNTED, LevelSketch, NumberSketch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Bins of a column of numbers, bars of a category, and letters of a name.
_N_BINS, _N_BARS, _N_LETTERS = 24, 8, 22


class _Others:
    """Levels that are not told apart."""

    def __str__(self) -> str:
        return "others"


_OTHERS = _Others()


class DriftDisplay:
    """The columns that drifted most, one below the other: training rows against new rows.

    Parameters
    ----------
    report : DriftReport
        From `DriftDetector.check`.
    n_columns : int, default=6
        Columns to show, those with the smallest p-values.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What the picture was drawn on; set by `plot`.
    figure_ : matplotlib Figure
        Its figure.

    See Also
    --------
    DriftTimelineDisplay : Batches over time.

    Examples
    --------
    >>> from sk_dlsteps import DriftDetector, DriftDisplay
    >>> rng = np.random.default_rng(0)
    >>> report = DriftDetector().fit(rng.normal(size=(200, 3))).check(rng.normal(1, 1, size=(200, 3)))
    >>> display = DriftDisplay.from_report(report)
    >>> len(display.columns)
    3

    """

    ax_: Axes
    figure_: Figure | SubFigure

    def __init__(self, report: DriftReport, *, n_columns: int = 6) -> None:
        if not isinstance(n_columns, int) or n_columns < 1:
            raise ValueError(f"`n_columns` must be an integer of at least 1, got {n_columns!r}")
        self.report = report
        self.n_columns = n_columns

    @classmethod
    def from_report(cls, report: DriftReport, *, n_columns: int = 6, ax: Axes | None = None) -> Self:
        """Draw a report; see the class for its parameters.

        Parameters
        ----------
        report : DriftReport
            From `DriftDetector.check`.
        n_columns : int, default=6
            Columns to show.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        display : DriftDisplay

        """
        return cls(report, n_columns=n_columns).plot(ax)

    @classmethod
    def from_estimator(
        cls,
        model_or_search: Any,
        X_new: Any,
        y_new: Any = None,
        *,
        n_columns: int = 6,
        ax: Axes | None = None,
        **parameters: Any,
    ) -> Self:
        """Check new rows with a fitted model's own sketch of its training rows, and draw the report.

        Parameters
        ----------
        model_or_search : estimator object
            As for `DriftDetector.from_estimator`.
        X_new : array-like of shape (n_rows, n_columns)
            New rows.
        y_new : array-like of shape (n_rows,), default=None
            Their true values.
        n_columns : int, default=6
            Columns to show.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        **parameters : object
            Of `DriftDetector.from_estimator`.

        Returns
        -------
        display : DriftDisplay

        """
        report = DriftDetector.from_estimator(model_or_search, **parameters).check(X_new, y_new)
        return cls(report, n_columns=n_columns).plot(ax)

    @property
    def columns(self) -> tuple[ColumnTest, ...]:
        """What is drawn, from top to bottom."""
        return self.report.most_drifted[: self.n_columns]

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        self : DriftDisplay
            With `ax_` and `figure_`.

        Raises
        ------
        ImportError
            If matplotlib is missing.

        """
        columns = self.columns
        ax = axes_to_draw_on(ax, 1.2 + 0.75 * len(columns))
        drifted = {*self.report.drifted_columns}
        for i, test in enumerate(columns):
            _draw_column(ax, test, -i, test.name in drifted)
        ax.fill_between([], [], color=FAINT, alpha=0.6, label=f"{self.report.n_reference} training rows")
        ax.plot([], [], color=MAIN, label=f"{self.report.n_rows} new rows")
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize="small")
        ax.set_title(self.report.verdict.capitalize(), loc="left", parse_math=False)
        ax.set(xlim=(-0.02, 1.5), ylim=(0.75 - len(columns), 0.95), xticks=[])
        ax.set_yticks([-i + 0.25 for i in range(len(columns))])
        ax.set_yticklabels([shortened(test.name, _N_LETTERS) for test in columns], parse_math=False)
        ax.tick_params(length=0)
        for side in ax.spines.values():
            side.set_visible(False)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _draw_column(ax: Axes, test: ColumnTest, bottom: float, drifted: bool) -> None:
    """Old and new values of a column, and its PSI beside them."""
    old, new, edges, names = _heights(test)
    top = max(old.max(initial=0.0), new.max(initial=0.0)) or 1.0
    scale = 0.78 / top
    ax.stairs(bottom + scale * old, edges, baseline=bottom, fill=True, color=FAINT, alpha=0.6)
    ax.stairs(bottom + scale * new, edges, baseline=bottom, color=MAIN, lw=1.6)
    for x, name, align in names:
        ax.text(x, bottom - 0.02, name, ha=align, va="top", fontsize="xx-small", color=OTHER, parse_math=False)
    colour = MARK if drifted else OTHER
    words = f"PSI {test.psi:.2f} (chance {test.psi_limit:.2f})\np {test.adjusted:.2g}"
    if test.missing or test.missing_before:
        words += f", missing {test.missing_before:.0%} to {test.missing:.0%}"
    ax.text(1.04, bottom + 0.3, words, va="center", fontsize="x-small", color=colour, parse_math=False)


def _heights(test: ColumnTest) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[float, str, str]]]:
    """Shares of old and new values, the edges between them on an axis from 0 to 1, and names below it."""
    old, new = test.old, test.new
    if isinstance(old, NumberSketch) and isinstance(new, NumberSketch):
        if old.is_counted and new.exact and len(new.knots) <= MAX_COUNTED:
            return _bars(old.levels(), new.levels(), sort=True)
        low, high = _range(old, new)
        edges = np.linspace(low, high, _N_BINS + 1)
        # What lies further out counts in the outer bins.
        inner = edges[1:-1]
        before, after = (_between(own, inner) for own in (old, new))
        # As many digits as tell the ends apart.
        digits = next((n for n in range(3, 17) if f"{low:.{n}g}" != f"{high:.{n}g}"), 17)
        names = [(0.0, f"{low:.{digits}g}", "left"), (1.0, f"{high:.{digits}g}", "right")]
        return before, after, np.linspace(0, 1, _N_BINS + 1), names
    assert isinstance(old, LevelSketch)
    assert isinstance(new, LevelSketch)
    return _bars(_told_apart(old, old), _told_apart(new, old), sort=False)


def _told_apart(own: LevelSketch, old: LevelSketch) -> dict[Any, float]:
    """Shares of the levels that the old sketch tells apart, and of all others together."""
    shares, others = {}, own.others
    for level, share in own.shares.items():
        if old.is_told_apart(level):
            shares[level] = share
        else:
            others += share
    return {**shares, _OTHERS: others} if others else shares


def _between(own: NumberSketch, inner: np.ndarray) -> np.ndarray:
    """Shares of the values between edges; none of a column without values."""
    if not len(own.knots):
        return np.zeros(len(inner) + 1)
    return np.diff(np.concatenate([[0.0], own.share_at_most(inner), [1.0]]))


def _bars(
    old: dict[Any, float], new: dict[Any, float], sort: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[float, str, str]]]:
    """Shares of the levels that are most frequent in either, with a gap after each, and their names."""
    largest = sorted({**old, **new}, key=lambda level: (-max(old.get(level, 0.0), new.get(level, 0.0)), str(level)))
    shown = largest[:_N_BARS]
    if sort:
        shown = sorted(shown)
    heights = [np.zeros(2 * len(shown)) for _ in range(2)]
    for own, shares in zip(heights, (old, new), strict=True):
        own[::2] = [shares.get(level, 0.0) for level in shown]
    edges = np.arange(2 * len(shown) + 1) // 2 + np.arange(2 * len(shown) + 1) % 2 * 0.8
    n = max(len(shown), 1)
    shorter = 48 // n
    names = [
        ((i + 0.4) / n, shortened(f"{level:g}" if sort else str(level), shorter), "center")
        for i, level in enumerate(shown)
    ]
    return heights[0], heights[1], edges / n, names


def _range(old: NumberSketch, new: NumberSketch) -> tuple[float, float]:
    """What both samples' values span, but for a hundredth on each side."""
    ends = np.array([own.quantile(np.array([0.01, 0.99])) for own in (old, new) if len(own.knots)])
    if not len(ends):
        return 0.0, 1.0
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)
