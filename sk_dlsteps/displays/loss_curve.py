"""The picture of a training: losses of every network, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sk_dlsteps.displays.axes import MAIN, MARK, OTHER, axes_to_draw_on, label_in_numbers, legend_below
from sk_dlsteps.engine.loss_curves import LossCurves
from sk_dlsteps.fitted import Fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

# The axis of losses is logarithmic if the highest is so many times the lowest.
_WIDE = 10


class LossCurveDisplay:
    """Training and validation loss against epochs: the means, and each network as a thin line.

    Make it with `from_estimator`. Dots are the best epochs, from which the networks were kept; a dotted line stands
    where the learning rate rises again.

    Parameters
    ----------
    history : sequence of dict
        A row for each epoch with "train_loss", "lr" and, with validation rows, "valid_loss": `history_` of a model.
    loss_curves : LossCurves
        Losses of each network: `loss_curves_` of a model.
    loss_name : str, default=""
        What the loss is called.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the curves were drawn; set by `plot`.
    figure_ : matplotlib Figure
        The figure that holds it.
    lines_ : list of Line2D
        The means: training, and validation if there is one.
    network_lines_ : list of Line2D
        Those of single networks, if there are several: all of training, then all of validation.
    best_ : Line2D or None
        The best epochs; None without validation rows.

    See Also
    --------
    GradientFlowDisplay : Whether every layer learns.
    LearningRateDisplay : Where the rate comes from.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_dlsteps import LossCurveDisplay, StepwiseRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = StepwiseRegressor(max_epochs=20, random_state=0).fit(X, y)
    >>> display = LossCurveDisplay.from_estimator(model)
    >>> len(display.lines_), len(display.network_lines_) == 2 * model.plan_.n_networks
    (2, True)

    """

    ax_: Axes
    figure_: Figure | SubFigure
    lines_: list[Line2D]
    network_lines_: list[Line2D]
    best_: Line2D | None

    def __init__(self, history: Sequence[dict[str, Any]], loss_curves: LossCurves, loss_name: str = "") -> None:
        self.history = history
        self.loss_curves = loss_curves
        self.loss_name = loss_name

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None) -> LossCurveDisplay:
        """Draw how a fitted estimator was trained, over all its stages, warm starts and calls of `partial_fit`.

        Parameters
        ----------
        estimator : estimator object
            A fitted StepwiseRegressor or StepwiseClassifier, a pipeline that ends with one, or a search over either.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        display : LossCurveDisplay
            After its `plot`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If it is none of ours.
        ImportError
            If matplotlib is missing.

        """
        model = Fitted.of_ours(estimator, "to show its losses").model
        return cls(model.history_, model.loss_curves_, model.loss_.replace("_", " ")).plot(ax)

    def plot(self, ax: Axes | None = None) -> LossCurveDisplay:
        """Draw the networks, their means, the best epochs and the restarts.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        self : LossCurveDisplay
            With `ax_`, `figure_`, `lines_`, `network_lines_` and `best_`.

        Raises
        ------
        ImportError
            If matplotlib is missing.

        """
        ax = axes_to_draw_on(ax)
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_, self.network_lines_, self.best_ = [], [], None
        train, valid = self.loss_curves.train, self.loss_curves.valid
        self._draw("train_loss", train, OTHER, "training", "single networks" if valid is None else None)
        if valid is not None:
            self._draw("valid_loss", valid, MAIN, "validation", "single networks")
            self._mark_best(valid)
        self._mark_restarts()
        self._scale()
        ax.set_xlabel("Epoch")
        ax.set_ylabel(f"Loss ({self.loss_name})" if self.loss_name else "Loss", parse_math=False)
        ax.spines[["top", "right"]].set_visible(False)
        legend_below(ax)
        return self

    @property
    def _epochs(self) -> np.ndarray:
        """Numbers of the epochs."""
        return np.arange(1, len(self.history) + 1)

    def _draw(self, column: str, losses: np.ndarray, colour: str, label: str, of_networks: str | None) -> None:
        """The mean, and thin lines of the networks, if there are several; `of_networks` is their label."""
        ax, n_networks = self.ax_, losses.shape[1]
        means = [row.get(column, np.nan) for row in self.history]
        name = f"{label}, mean" if n_networks > 1 else label
        # A single epoch makes no line.
        marker = "o" if len(means) == 1 else None
        self.lines_ += ax.plot(self._epochs, means, marker=marker, color=colour, linewidth=2.2, label=name)
        thin: dict[str, Any] = {"color": colour, "linewidth": 0.7, "alpha": 0.45, "zorder": 1}
        for k in range(n_networks if n_networks > 1 else 0):
            label_of_one = of_networks if k == 0 else None
            self.network_lines_ += ax.plot(self._epochs, losses[:, k], label=label_of_one, **thin)

    def _mark_best(self, losses: np.ndarray) -> None:
        """A dot for each network at the epoch it was kept from."""
        best = self.loss_curves.best_epochs
        kept = np.flatnonzero(best > 0)
        label = "best epoch" if len(best) == 1 else "best epochs"
        (self.best_,) = self.ax_.plot(
            best[kept],
            losses[best[kept] - 1, kept],
            "o",
            color=MARK,
            markersize=6,
            markeredgecolor="white",
            zorder=4,
            label=label,
        )

    def _mark_restarts(self) -> None:
        """Dotted lines before the epochs in which the rate begins to rise after it fell."""
        rates = np.array([row["lr"] for row in self.history], dtype=float)
        falls, rises = rates[1:-1] < rates[:-2], rates[2:] > rates[1:-1]
        for i, epoch in enumerate(self._epochs[2:][falls & rises]):
            label = "rate restarts" if i == 0 else None
            self.ax_.axvline(epoch - 0.5, color=OTHER, linewidth=0.9, linestyle=":", zorder=0, label=label)

    def _scale(self) -> None:
        """Whole epochs; a logarithmic axis of losses where they spread wide."""
        from matplotlib.ticker import MaxNLocator

        ax = self.ax_
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        parts = [losses for losses in (self.loss_curves.train, self.loss_curves.valid) if losses is not None]
        losses = np.concatenate([part.ravel() for part in parts])
        losses = losses[np.isfinite(losses)]
        if len(losses) and losses.min() > 0 and losses.max() > _WIDE * losses.min():
            ax.set_yscale("log")
            label_in_numbers(ax.yaxis)
