"""The picture of probabilities: how often what was said to happen did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn import calibration
from sklearn.utils import check_consistent_length

from sk_dlsteps.displays.axes import MAIN, OTHER, axes_to_draw_on, legend_below
from sk_dlsteps.fitted import Fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Characters of what is on an axis.
_LONG = 26


class CalibrationDisplay(calibration.CalibrationDisplay):
    """The calibration curve of scikit-learn, also of rows that a model has held out itself, and of several classes.

    Make it with `from_estimator`. Above the diagonal things happen more often than was said, below it less often.

    Parameters
    ----------
    prob_true : ndarray of shape (n_bins,)
        Share of the rows of each bin in which it happened.
    prob_pred : ndarray of shape (n_bins,)
        Mean probability of each bin.
    y_prob : ndarray of shape (n_samples,)
        Probability of each row.
    estimator_name : str, default=None
        Label of the curve.
    pos_label : int, float, bool or str, default=None
        The class whose probabilities they are.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the curve was drawn; set by `plot`.
    figure_ : matplotlib Figure
        The figure that holds it.
    line_ : matplotlib Line2D
        The curve.

    See Also
    --------
    sklearn.calibration.CalibrationDisplay : What it is made of.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sk_dlsteps import CalibrationDisplay, StepwiseClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = StepwiseClassifier(max_epochs=10, random_state=0).fit(X, y)
    >>> display = CalibrationDisplay.from_estimator(model, y=y)
    >>> len(display.y_prob)
    569

    """

    _event = ""

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        y: Any = None,
        *,
        n_bins: int = 10,
        strategy: str = "quantile",
        pos_label: Any = None,
        name: str | None = None,
        ax: Axes | None = None,
        ref_line: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Compute a calibration curve and draw it.

        Parameters
        ----------
        estimator : estimator object
            A fitted classifier with `predict_proba`, a pipeline that ends with one, or a search over either.
        X : array-like of shape (n_samples, n_features), default=None
            Rows that it was not trained on. None takes the training rows of a StepwiseClassifier, each predicted by
            the networks that held it out.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Their labels; without `X` those it was fitted to.
        n_bins : int, default=10
            Bins.
        strategy : {"quantile", "uniform"}, default="quantile"
            Bins of equally many rows, or of equal width.
        pos_label : int, float, bool or str, default=None
            The class whose probabilities are drawn. None takes the second of two; of more classes the one that is
            most likely in each row, and whether it was right; of rows with several labels all labels together.
        name : str, default=None
            Label of the curve; the estimator's class by default.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        ref_line : bool, default=True
            Whether to draw the diagonal.
        **kwargs : dict
            For ``Axes.plot``.

        Returns
        -------
        display : CalibrationDisplay
            After its `plot`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If there are no held-out rows, if `y` is missing or does not fit, or if there is no such class.
        ImportError
            If matplotlib is missing.

        """
        if y is None:
            raise ValueError("`y` is missing: give the labels of `X`, or without `X` those that it was fitted to")
        if X is None:
            model = Fitted.of_ours(estimator, "to show its held-out rows").model
            classes, probabilities = getattr(model, "classes_", None), _held_out(model)
            name = name or f"{type(model).__name__}, held-out rows"
        else:
            probabilities, classes = np.asarray(estimator.predict_proba(X)), estimator.classes_
            name = name or type(estimator).__name__
        y = np.asarray(y)
        check_consistent_length(y, probabilities)
        known = ~np.isnan(probabilities).any(1)
        happened, probability, event = _event_of(y[known], probabilities[known], classes, pos_label)
        curve = calibration.calibration_curve(happened, probability, n_bins=n_bins, strategy=strategy)
        display = cls(*curve, probability, estimator_name=name, pos_label=pos_label)
        display._event = event
        return display.plot(ax=ax, ref_line=ref_line, **kwargs)

    def plot(self, *, ax: Axes | None = None, name: str | None = None, ref_line: bool = True, **kwargs: Any) -> Self:
        """Draw the curve, and the diagonal.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        name : str, default=None
            Label of the curve.
        ref_line : bool, default=True
            Whether to draw the diagonal.
        **kwargs : dict
            For ``Axes.plot``.

        Returns
        -------
        self : CalibrationDisplay
            With `ax_`, `figure_` and `line_`.

        Raises
        ------
        ImportError
            If matplotlib is missing.

        """
        ax = axes_to_draw_on(ax)
        style = {"color": MAIN, "marker": "o", "markersize": 5, "linewidth": 2, **kwargs}
        super().plot(ax=ax, name=name, ref_line=ref_line, **style)
        for line in ax.lines:
            if line.get_label() == "Perfectly calibrated":
                line.set(color=OTHER, linewidth=1.2)
        if self._event:
            ax.set_xlabel(f"Mean probability of {self._event}", parse_math=False)
            ax.set_ylabel("Observed share")
        ax.spines[["top", "right"]].set_visible(False)
        legend_below(ax)
        return self


def _held_out(model: Any) -> np.ndarray:
    """Probabilities of the training rows, each by the networks that held it out."""
    if not hasattr(model, "classes_"):
        raise ValueError(f"`estimator` must be a classifier to have probabilities, got {type(model).__name__}")
    if model.oof_prediction_ is None:
        raise ValueError(
            f"{type(model).__name__} was fitted without held-out rows, and its training rows give no honest picture; "
            "give `X` and `y` that it was not trained on"
        )
    return model.oof_prediction_


def _event_of(
    y: np.ndarray, probabilities: np.ndarray, classes: Any, pos_label: Any
) -> tuple[np.ndarray, np.ndarray, str]:
    """Whether something happened, its probability, and what it was."""
    if y.ndim > 1 and y.shape[1] > 1:
        if pos_label is not None:
            raise ValueError(f"`pos_label` must be None where rows have several labels, got {pos_label!r}")
        return y.ravel(), probabilities.ravel(), "a label"
    y = y.ravel()
    labels = list(classes)
    if pos_label is None and len(labels) > 2:
        right = np.asarray(labels, dtype=object)[probabilities.argmax(1)] == y.astype(object)
        return right.astype(int), probabilities.max(1), "the most likely class"
    pos_label = labels[1] if pos_label is None else pos_label
    if pos_label not in labels:
        raise ValueError(f"`pos_label` must be one of the classes {labels}, got {pos_label!r}")
    return (y == pos_label).astype(int), probabilities[:, labels.index(pos_label)], _shortened(f"class {pos_label}")


def _shortened(text: str) -> str:
    """A text in one line, not longer than a label of an axis."""
    text = " ".join(text.split())
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"
