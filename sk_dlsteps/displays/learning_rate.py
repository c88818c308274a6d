"""The learning-rate finder's picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sk_dlsteps.displays.axes import FAINT, MAIN, MARK, OTHER, PLATE, axes_to_draw_on
from sk_dlsteps.fitted import Fitted
from sk_dlsteps.step3_training.lr_finder import LRCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

# Parts of the fall of the loss that the picture leaves free above and below the curve.
_HEADROOM, _FOOTROOM = 0.35, 0.3
# Labels of alternatives closer than this share of the axis stand in one line.
_NEAR = 0.035
# Width of the legend as a share of the axis.
_LEGEND = 0.42


class LearningRateDisplay:
    """Loss against learning rate, as the article's picture, with the pick marked.

    Make it with `from_estimator`, or from the `LRCurve` that `find_learning_rate` returns.

    Parameters
    ----------
    lr_curve : LRCurve
        What the range test saw.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the curve was drawn; set by `plot`.
    figure_ : matplotlib Figure
        The figure that holds it.
    line_ : matplotlib Line2D
        The smoothed median over the replicas.

    See Also
    --------
    find_learning_rate : Runs the range test by hand.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_dlsteps import LearningRateDisplay, StepwiseRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = StepwiseRegressor(random_state=0).fit(X, y)
    >>> display = LearningRateDisplay.from_estimator(model)
    >>> display.ax_.get_xlabel()
    'Learning rate'

    """

    ax_: Axes
    figure_: Figure | SubFigure
    line_: Line2D

    def __init__(self, lr_curve: LRCurve) -> None:
        self.lr_curve = lr_curve

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None, name: str | None = None) -> LearningRateDisplay:
        """Draw the curve that a fitted estimator chose its learning rate from.

        Parameters
        ----------
        estimator : estimator object
            A StepwiseRegressor or StepwiseClassifier, fitted with ``learning_rate="auto"``, a pipeline that ends with
            one, or a search over either.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        name : str, default=None
            Label of the curve in the legend; the number of replicas by default.

        Returns
        -------
        display : LearningRateDisplay
            After its `plot`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If it was given its learning rate and therefore has no curve, or if it is none of ours.
        ImportError
            If matplotlib is missing.

        """
        model = Fitted.of_ours(estimator, "to show its range test").model
        if model.lr_curve_ is None:
            raise ValueError(
                f"{type(model).__name__} was fitted with `learning_rate={model.learning_rate_:g}`, so there "
                'was no range test to draw. Fit it with `learning_rate="auto"`, or draw '
                "`LearningRateDisplay(find_learning_rate(estimator, X, y)).plot()`."
            )
        return cls(model.lr_curve_).plot(ax, name=name)

    def plot(self, ax: Axes | None = None, *, name: str | None = None) -> LearningRateDisplay:
        """Draw the replicas, their smoothed median, the pick and the alternatives.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        name : str, default=None
            Label of the curve in the legend; the number of replicas by default.

        Returns
        -------
        self : LearningRateDisplay
            With `ax_`, `figure_` and `line_`.

        Raises
        ------
        ImportError
            If matplotlib is missing.

        """
        ax = axes_to_draw_on(ax)
        self.ax_, self.figure_ = ax, ax.figure
        self._draw_curve(name)
        self._limit()
        self._mark_pick()
        self._mark_alternatives()
        ax.set(xlabel="Learning rate", ylabel="Minibatch loss")
        ax.spines[["top", "right"]].set_visible(False)
        handles, labels = ax.get_legend_handles_labels()
        ax.legend(handles[::-1], labels[::-1], loc="upper left", frameon=True, edgecolor="none", fontsize="small")
        return self

    def _draw_curve(self, name: str | None) -> None:
        """The replicas, faint, and their smoothed median."""
        curve, ax = self.lr_curve, self.ax_
        ax.set_xscale("log")
        n_replicas = curve.losses.shape[1]
        losses = np.where(np.isfinite(curve.losses), curve.losses, np.nan)
        for k in range(n_replicas):
            label = "the single networks" if k == 0 and n_replicas > 1 else None
            ax.plot(curve.rates, losses[:, k], color=FAINT, linewidth=0.8, alpha=0.55, zorder=1, label=label)
        label = name or (f"median of {n_replicas} networks, smoothed" if n_replicas > 1 else "loss, smoothed")
        (self.line_,) = ax.plot(curve.rates, curve.smoothed, color=MAIN, linewidth=2.4, zorder=3, label=label)

    def _limit(self) -> None:
        """Show the sweep's rates, and the losses up to a little above the curve: not the blow-up."""
        rates, smoothed = self.lr_curve.rates, self.lr_curve.smoothed
        if len(rates) > 1:
            self.ax_.set_xlim(rates[0], rates[-1])
        known = smoothed[np.isfinite(smoothed)]
        if len(known) and known.max() > known.min():
            fall = known.max() - known.min()
            self.ax_.set_ylim(known.min() - _FOOTROOM * fall, known.max() + _HEADROOM * fall)

    def _mark_pick(self) -> None:
        """A line and a dot at the rate chosen, with its value."""
        curve, ax = self.lr_curve, self.ax_
        pick = curve.learning_rate
        label = f"chosen: {pick:.2g}" if curve.reliable else f"default: {pick:.2g}"
        ax.axvline(pick, color=MARK, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
        known = np.isfinite(curve.smoothed)
        if known.any():
            height = np.interp(np.log(pick), np.log(curve.rates[known]), curve.smoothed[known])
            ax.plot(pick, height, "o", color=MARK, markersize=8, markeredgecolor="white", zorder=4)
        right, beside_legend = _position(ax, pick) > 0.75, _position(ax, pick) < _LEGEND
        ax.annotate(
            label,
            (pick, 0.8 if beside_legend else 0.98),
            xycoords=("data", "axes fraction"),
            xytext=(-6 if right else 6, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="top",
            color=MARK,
            fontweight="bold",
            bbox=PLATE,
        )

    def _mark_alternatives(self) -> None:
        """Ticks on the axis at the other points that people pick."""
        ax = self.ax_
        groups: list[tuple[float, list[str]]] = []
        for label, rate in sorted(self.lr_curve.alternatives.items(), key=lambda item: item[1]):
            if groups and _position(ax, rate) - _position(ax, groups[-1][0]) < _NEAR:
                groups[-1][1].append(label)
            else:
                groups.append((rate, [label]))
        for rate, labels in groups:
            ax.axvline(rate, ymax=0.035, color=OTHER, linewidth=1.2)
            ax.annotate(
                ", ".join(labels),
                (rate, 0.045),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="bottom",
                rotation=90,
                color=OTHER,
                fontsize="x-small",
                bbox=PLATE,
            )


def _position(ax: Axes, rate: float) -> float:
    """Where a rate stands on the axis, 0 left to 1 right."""
    low, high = np.log(ax.get_xlim())
    return float((np.log(rate) - low) / (high - low))
