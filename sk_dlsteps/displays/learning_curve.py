"""The picture of a learning curve."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from sk_dlsteps.displays.axes import MAIN, MARK, OTHER, axes_to_draw_on
from sk_dlsteps.step4_validation.learning_curve import TRAIN_SIZES, LearningCurve, learning_curve
from sk_dlsteps.step4_validation.more_rows import LEVEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

_BAND = 0.15
# Part of the height that is left free above and below the curves.
_MARGIN = 0.12
# A size that scores worse than so many times the spread of the others is let out of the picture.
_OUTLIER = 3.0
# Sizes closer than this share of the axis do not both have a label.
_NEAR = 0.06
# Characters of a line below the title, and points from line to line.
_WIDTH, _LINE = 92, 12


class LearningCurveDisplay:
    """Scores against training rows, continued to twice the rows, with the verdict.

    Make it with `from_estimator`, or from the `LearningCurve` that `learning_curve` returns.

    Parameters
    ----------
    curve : LearningCurve
        Sizes, scores and the verdict.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the curve was drawn; set by `plot`.
    figure_ : matplotlib Figure
        The figure that holds it.
    lines_ : list of matplotlib Line2D
        The mean training and validation scores, as in scikit-learn's display of this name.

    See Also
    --------
    learning_curve : Computes what is drawn here.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import RidgeCV
    >>> from sk_dlsteps import LearningCurveDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> display = LearningCurveDisplay.from_estimator(RidgeCV(), X, y, random_state=0)
    >>> display.curve.more_rows_help
    False

    """

    ax_: Axes
    figure_: Figure | SubFigure
    lines_: list[Line2D]

    def __init__(self, curve: LearningCurve) -> None:
        self.curve = curve

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        groups: Any = None,
        train_sizes: Any = TRAIN_SIZES,
        cv: Any = 5,
        scoring: Any = None,
        random_state: Any = None,
        error_score: Any = np.nan,
        ax: Axes | None = None,
    ) -> LearningCurveDisplay:
        """Compute a learning curve and draw it.

        Parameters
        ----------
        estimator : estimator object
            Stays unfitted.
        X : array-like of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        groups, train_sizes, cv, scoring, random_state, error_score : object
            As in `learning_curve`.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        display : LearningCurveDisplay
            After its `plot`.

        Raises
        ------
        ImportError
            If matplotlib is missing.

        """
        curve = learning_curve(
            estimator,
            X,
            y,
            groups=groups,
            train_sizes=train_sizes,
            cv=cv,
            scoring=scoring,
            random_state=random_state,
            error_score=error_score,
        )
        return cls(curve).plot(ax)

    def plot(self, ax: Axes | None = None) -> LearningCurveDisplay:
        """Draw the mean scores with one standard deviation over folds, and the way to twice the rows.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        self : LearningCurveDisplay
            With `ax_`, `figure_` and `lines_`.

        Raises
        ------
        ImportError
            If matplotlib is missing.

        """
        ax = axes_to_draw_on(ax)
        self.ax_, self.figure_ = ax, ax.figure
        curve = self.curve
        self.lines_ = [
            self._draw(curve.train_scores, OTHER, "training"),
            self._draw(curve.test_scores, MAIN, "validation"),
        ]
        self._draw_expected()
        self._scale()
        score = curve.score_name[:1].upper() + curve.score_name[1:]
        ax.set(xlabel="Training rows", ylabel=score)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(loc="lower right", frameon=True, edgecolor="none", fontsize="small")
        self._head()
        return self

    def _draw(self, scores: np.ndarray, colour: str, label: str) -> Line2D:
        """Mean over folds, with a band."""
        ax, sizes = self.ax_, self.curve.train_sizes
        mean, spread = _moments(scores)
        ax.fill_between(sizes, mean - spread, mean + spread, color=colour, alpha=_BAND, linewidth=0)
        (line,) = ax.plot(sizes, mean, "o-", color=colour, linewidth=2, markersize=5, zorder=3, label=label)
        return line

    def _draw_expected(self) -> None:
        """A dashed line from the largest size to twice that, with the interval there."""
        curve, ax = self.curve, self.ax_
        if not np.isfinite(curve.expected_score):
            return
        n, last = curve.train_sizes[-1], _moments(curve.test_scores)[0][-1]
        low, high = curve.expected_interval
        label = f"expected, {100 * LEVEL:g} % interval"
        ends = [last, curve.expected_score]
        ax.plot([n, 2 * n], ends, "--", color=MARK, linewidth=1.8, zorder=2, label=label)
        ax.plot([2 * n, 2 * n], [low, high], color=MARK, linewidth=1.8, solid_capstyle="butt", label="_interval")
        ax.plot(2 * n, curve.expected_score, "o", color=MARK, markersize=7, markeredgecolor="white", zorder=4)

    def _head(self) -> None:
        """The verdict as the title, and below it in the scorer's units."""
        decision, lines = self.curve.record.decision, textwrap.wrap(self.curve.because, _WIDTH)
        self.ax_.set_title(
            decision[:1].upper() + decision[1:],
            loc="left",
            fontsize="medium",
            fontweight="bold",
            pad=8 + _LINE * len(lines),
        )
        self.ax_.annotate(
            "\n".join(lines),
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 5),
            textcoords="offset points",
            fontsize="small",
            va="bottom",
        )

    def _scale(self) -> None:
        """Doublings of the rows stand equally far apart; a collapse at few rows does not squeeze the rest."""
        from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

        curve, ax = self.curve, self.ax_
        n = curve.train_sizes[-1]
        expected = np.isfinite(curve.expected_score)
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(FixedLocator(_apart([*curve.train_sizes, *([2 * n] if expected else [])])))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        ax.xaxis.set_minor_locator(NullLocator())
        shown = [_moments(curve.train_scores), _moments(curve.test_scores)]
        values = np.concatenate([mean + sign * spread for mean, spread in shown for sign in (-1, 1)])
        if expected:
            values = np.append(values, curve.expected_interval)
        values = values[np.isfinite(values)]
        if not len(values):
            return
        low, middle, high = np.quantile(values, (0.25, 0.5, 1))
        bottom = max(values.min(), middle - _OUTLIER * max(high - middle, middle - low))
        if high > bottom:
            ax.set_ylim(bottom - _MARGIN * (high - bottom), high + _MARGIN * (high - bottom))


def _apart(sizes: list[int]) -> list[int]:
    """The largest size, and those before it whose labels do not touch."""
    kept = [sizes[-1]]
    for size in sizes[-2::-1]:
        if np.log(kept[-1] / size) > _NEAR * np.log(sizes[-1] / sizes[0]):
            kept.append(size)
    return kept[::-1]


def _moments(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the folds that have a score, NaN where none has."""
    known = np.isfinite(scores)
    count = np.where(known.any(1), known.sum(1), np.nan)
    mean = np.where(known, scores, 0).sum(1) / count
    return mean, np.sqrt(np.where(known, (scores - mean[:, None]) ** 2, 0).sum(1) / count)
