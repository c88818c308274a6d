"""The picture of gradients: whether every layer learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sk_dlsteps.displays.axes import MAIN, MARK, OTHER, axes_to_draw_on, legend_below
from sk_dlsteps.fitted import Fitted
from sk_dlsteps.step3_training.record import MANY_DEAD, VANISHED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

_NORM, _DEAD = "gradient_norm_", "dead_units"
# Lines that the legend names; of a deep network it leaves some out.
_NAMED = 6


class GradientFlowDisplay:
    """Norm of each layer's gradient against epochs, means over the networks, and the share of dead units.

    Make it with `from_estimator`. Dots are the epochs in which was looked. Below the dashed line the first layer's
    gradient has vanished, as the record of step 3 has it; the tick on the right is its bound on dead units.

    Parameters
    ----------
    history : sequence of dict
        A row for each epoch with "gradient_norm_1" and so on, and maybe "dead_units": `history_` of a model.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the norms were drawn; set by `plot`.
    figure_ : matplotlib Figure
        The figure that holds it.
    lines_ : list of Line2D
        The layers, from the inputs to the outputs.
    threshold_ : Line2D or None
        Where the first layer's gradient would count as vanished; None with a single layer.
    dead_ax_ : matplotlib Axes or None
        The axis of dead units, on the right; None if they are not known, as with a smooth activation.
    dead_line_ : Line2D or None
        Their share.

    See Also
    --------
    LossCurveDisplay : The losses of the same epochs.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_dlsteps import GradientFlowDisplay, StepwiseRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = StepwiseRegressor(n_hidden_layers=3, max_epochs=10, random_state=0).fit(X, y)
    >>> len(GradientFlowDisplay.from_estimator(model).lines_)
    4

    """

    ax_: Axes
    figure_: Figure | SubFigure
    lines_: list[Line2D]
    threshold_: Line2D | None
    dead_ax_: Axes | None
    dead_line_: Line2D | None

    def __init__(self, history: Sequence[dict[str, Any]]) -> None:
        self.history = history

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None) -> GradientFlowDisplay:
        """Draw the gradients of a fitted estimator's training.

        Parameters
        ----------
        estimator : estimator object
            A fitted StepwiseRegressor or StepwiseClassifier, a pipeline that ends with one, or a search over either.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        display : GradientFlowDisplay
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
        return cls(Fitted.of_ours(estimator, "to show its gradients").model.history_).plot(ax)

    def plot(self, ax: Axes | None = None) -> GradientFlowDisplay:
        """Draw the layers, the bound below which they have vanished, and the dead units.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        self : GradientFlowDisplay
            With `ax_`, `figure_`, `lines_`, `threshold_`, `dead_ax_` and `dead_line_`.

        Raises
        ------
        ImportError
            If matplotlib is missing.

        """
        ax = axes_to_draw_on(ax)
        self.ax_, self.figure_ = ax, ax.figure
        self.threshold_ = self.dead_ax_ = self.dead_line_ = None
        self._draw_layers()
        if _DEAD in self.history[-1]:
            self._draw_dead()
        self._scale()
        ax.set(xlabel="Epoch", ylabel="Norm of the gradient")
        ax.spines[["top", "right"]].set_visible(False)
        legend_below(ax)
        return self

    def _column(self, name: str) -> np.ndarray:
        """A column of the history."""
        return np.array([row.get(name, np.nan) for row in self.history], dtype=float)

    def _looks(self, columns: np.ndarray) -> np.ndarray:
        """Rows in which was looked: any of the columns (n, epochs) differs from the row before."""
        changed = ~((columns[:, 1:] == columns[:, :-1]) | np.isnan(columns[:, 1:])).all(0)
        return np.r_[0, np.flatnonzero(changed) + 1]

    def _draw_layers(self) -> None:
        """A line for each layer, and the first's bound as a share of the last."""
        names = [name for name in self.history[-1] if name.startswith(_NORM)]
        norms = np.array([self._column(name) for name in names])
        self._looked, n_layers = self._looks(norms), len(names)
        epochs = self._looked + 1
        named = set(np.linspace(0, n_layers - 1, min(n_layers, _NAMED)).round().astype(int))
        self.lines_ = []
        for i, values in enumerate(norms):
            label = _label(i, n_layers) if i in named else None
            style: dict[str, Any] = {"color": _between(MARK, MAIN, i / max(n_layers - 1, 1)), "linewidth": 1.8}
            self.lines_ += self.ax_.plot(epochs, values[self._looked], "o-", markersize=4.5, label=label, **style)
        if n_layers > 1:
            style = {"color": MARK, "linewidth": 1.0, "linestyle": "--", "zorder": 1}
            bounds = VANISHED * norms[-1, self._looked]
            (self.threshold_,) = self.ax_.plot(epochs, bounds, label="layer 1 vanished below", **style)

    def _draw_dead(self) -> None:
        """Dead units, in per cent, on an axis of their own."""
        self.dead_ax_ = ax = self.ax_.twinx()
        style: dict[str, Any] = {"color": OTHER, "linewidth": 1.4, "linestyle": ":"}
        (self.dead_line_,) = ax.plot(self._looked + 1, 100 * self._column(_DEAD)[self._looked], **style)
        self.ax_.plot([], [], label="dead units (right)", **style)
        ax.axhline(100 * MANY_DEAD, xmin=0.96, color=OTHER, linewidth=1.4)
        ax.set(ylim=(-2, 102), ylabel="Dead units, %")
        ax.spines["top"].set_visible(False)

    def _scale(self) -> None:
        """Epochs in doublings, as the looks are, and norms in decades."""
        from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

        ax, n_epochs = self.ax_, len(self.history)
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_locator(FixedLocator([2**i for i in range(n_epochs.bit_length())]))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
        if any((np.asarray(line.get_ydata()) > 0).any() for line in self.lines_):
            ax.set_yscale("log", nonpositive="clip")


def _label(i: int, n_layers: int) -> str:
    """What the legend calls a layer."""
    where = {0: " (inputs)", n_layers - 1: " (outputs)"}.get(i, "") if n_layers > 1 else ""
    return f"layer {i + 1}{where}"


def _between(first: str, last: str, share: float) -> tuple[float, ...]:
    """A colour between two."""
    from matplotlib.colors import to_rgb

    return tuple((1 - share) * np.array(to_rgb(first)) + share * np.array(to_rgb(last)))
