"""The picture of a verification on a test set."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from sk_dlsteps.displays.axes import FAINT, MAIN, MARK, OTHER, PLATE, axes_to_draw_on, width_of
from sk_dlsteps.step5_test.verification import Verification, verify_test_set
from sk_dlsteps.step5_test.words import digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Characters of small and of ordinary text in an inch of width, and points from line to line.
_SMALL, _ORDINARY, _LINE = 14, 11, 12
# Inches below which there is room for names and numbers only.
_NARROW = 2.6
# Standard errors on each side of a score.
_N_ERRORS = 2.0


class VerificationDisplay:
    """Validation and test score with their intervals, and the gap beside zero and beside what would matter.

    Make it with `from_estimator`, or from the `Verification` that `verify_test_set` returns.

    Parameters
    ----------
    verification : Verification
        What the test set said.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The place of the picture; set by `plot`.
    axes_ : tuple of matplotlib Axes
        In it the scores, and the gap if there is a validation score.
    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    verify_test_set : Computes what is drawn here.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sk_dlsteps import VerificationDisplay
    >>> X, y = make_regression(600, 5, noise=50, random_state=0)
    >>> search = GridSearchCV(Ridge(), {"alpha": [0.1, 1, 10]}).fit(X[:400], y[:400])
    >>> display = VerificationDisplay.from_estimator(search, X[400:], y[400:])
    >>> display.verification.score_name, len(display.axes_)
    ('R2', 2)

    """

    ax_: Axes
    axes_: tuple[Axes, ...]
    figure_: Figure | SubFigure

    def __init__(self, verification: Verification) -> None:
        self.verification = verification

    @classmethod
    def from_estimator(
        cls, model_or_search: Any, X_test: Any, y_test: Any, *, ax: Axes | None = None, **parameters: Any
    ) -> VerificationDisplay:
        """Verify on a test set and draw what it says.

        Parameters
        ----------
        model_or_search : estimator object
            Fitted.
        X_test : array-like of shape (n_samples, n_features)
            The test rows.
        y_test : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        **parameters : dict
            Others of `verify_test_set`.

        Returns
        -------
        display : VerificationDisplay
            After its `plot`.

        Raises
        ------
        ImportError
            If matplotlib is missing.

        """
        return cls(verify_test_set(model_or_search, X_test, y_test, **parameters)).plot(ax)

    def plot(self, ax: Axes | None = None) -> VerificationDisplay:
        """Draw the scores, and below them the gap; in narrow axes without the sentences.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default. Its own axis lines are switched off.

        Returns
        -------
        self : VerificationDisplay
            With `ax_`, `axes_` and `figure_`.

        Raises
        ------
        ImportError
            If matplotlib is missing.

        """
        ax = axes_to_draw_on(ax)
        self.ax_, self.figure_ = ax, ax.figure
        ax.set_axis_off()
        known = self.verification.gap is not None
        scores = ax.inset_axes((0, 0.46, 1, 0.54) if known else (0, 0.1, 1, 0.9))
        self._draw_scores(scores)
        self.axes_ = (scores,)
        if known:
            gap = ax.inset_axes((0, 0.1, 1, 0.18))
            self._draw_gap(gap)
            self.axes_ = (scores, gap)
        self._head(ax)
        return self

    def _draw_scores(self, ax: Axes) -> None:
        """A dot with its interval for each score, from top to bottom."""
        found = self.verification
        rows: list[tuple[str, float, tuple[float, float], str]] = []
        if found.validation_score is not None and found.validation_error is not None:
            reach = _N_ERRORS * found.validation_error
            ends = found.validation_score - reach, found.validation_score + reach
            rows.append((f"with {_N_ERRORS:g} standard errors: validation", found.validation_score, ends, OTHER))
        if found.network_score is not None:
            rows.append(("test, single networks", found.network_score, (found.network_score,) * 2, FAINT))
        rows.append((f"with {100 * found.confidence:g} % interval: test", found.test_score, found.test_interval, MAIN))
        for place, (name, score, ends, colour) in enumerate(rows):
            how, _, what = name.rpartition(": ")
            label = f"{what} {digits(score)}"
            _whisker(ax, -place, score, ends, colour, f"{label}, {how}" if how and not _is_narrow(ax) else label)
        ax.set_ylim(0.5 - len(rows), 0.75)
        ax.set_xlabel("\n".join(_lines(found.score_name, ax, _ORDINARY)), parse_math=False)

    def _draw_gap(self, ax: Axes) -> None:
        """The gap with its interval, zero, and what would matter."""
        found = self.verification
        assert found.gap is not None
        assert found.gap_interval is not None
        colour = MARK if found.verdict == "validation overfitted" else MAIN
        ax.axvline(0, color=OTHER, linewidth=1.2)
        ax.axvspan(0, found.tolerance, ymax=0.55, color=FAINT, alpha=0.35, linewidth=0)
        luck = f" less {digits(found.optimism)} for luck" if found.optimism else ""
        label = f"gap {digits(found.gap)}"
        whole = label if _is_narrow(ax) else f"{label}: validation{luck}, less test"
        _whisker(ax, 0, found.gap, found.gap_interval, colour, whole)
        ax.set_ylim(-0.5, 0.75)
        shaded = f"shaded up to {digits(found.tolerance)}"
        label = shaded if _is_narrow(ax) else f"gap; {shaded}, which would matter"
        ax.set_xlabel("\n".join(_lines(label, ax, _ORDINARY)))

    def _head(self, ax: Axes) -> None:
        """The verdict as the title, and below it why."""
        found = self.verification
        lines = [] if _is_narrow(ax) else _lines(found.because, ax, _SMALL)
        verdict = found.verdict[:1].upper() + found.verdict[1:]
        ax.set_title(verdict, loc="left", fontsize="medium", fontweight="bold", pad=8 + _LINE * len(lines))
        ax.annotate(
            "\n".join(lines),
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 5),
            textcoords="offset points",
            fontsize="small",
            va="bottom",
            parse_math=False,
        )


def _is_narrow(ax: Axes) -> bool:
    """Whether sentences would run out of the axes."""
    return width_of(ax) < _NARROW


def _lines(text: str, ax: Axes, per_inch: int) -> list[str]:
    """A text in lines that are as wide as the axes, each as a whole word at the least."""
    return textwrap.wrap(text, max(12, int(per_inch * width_of(ax))), break_long_words=False)


def _whisker(ax: Axes, height: float, value: float, ends: tuple[float, float], colour: str, label: str) -> None:
    """A dot on a line, the label above it at the left; only the axis below is drawn."""
    ax.plot(ends, [height, height], color=colour, linewidth=2.5, solid_capstyle="butt")
    ax.plot([value], [height], "o", color=colour, markersize=8, markeredgecolor="white", zorder=4)
    across = ax.get_yaxis_transform()
    ax.text(0, height + 0.38, label, transform=across, fontsize="small", va="center", bbox=PLATE, parse_math=False)
    ax.set_yticks([])
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.grid(axis="x", alpha=0.25)
