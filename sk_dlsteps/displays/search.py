"""The picture of a search: what its candidates scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.utils.validation import check_is_fitted

from sk_dlsteps.displays.axes import FAINT, MAIN, MARK, OTHER, axes_to_draw_on, legend_below
from sk_dlsteps.displays.ladder import draw_ladder
from sk_dlsteps.displays.values import Values, bounds_of_scores, name_of_score
from sk_dlsteps.fitted import Fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

    from sk_dlsteps.step4_validation.rungs import Ladder


class SearchDisplay:
    """Scores of a search's candidates: along the rungs of a ladder, in the order of trial, or against one parameter.

    Make it with `from_estimator`. Training scores are faint, a cross stands for a candidate without a score, and a
    triangle on the edge for one far off.

    Parameters
    ----------
    cv_results : dict of str to ndarray
        `cv_results_` of a search.
    ladder : Ladder or None, default=None
        `ladder_` of a StepwiseSearchCV, which is drawn unless a parameter is given.
    best_index : int or None, default=None
        Number of the candidate that the search chose; of a ladder, it knows.
    metric : str, default="score"
        Which scores of `cv_results` are drawn: "score", or the name of one of several metrics.
    score_name : str, default="score"
        What they are called.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the scores were drawn; set by `plot`.
    figure_ : matplotlib Figure
        The figure that holds it.
    points_ : Line2D
        The candidates' validation scores.
    train_points_ : Line2D or None
        Their training scores; None if there are none.
    best_ : Line2D or None
        The candidates that were kept on a ladder, or the one that was chosen.

    See Also
    --------
    StepwiseSearchCV : The search.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_dlsteps import SearchDisplay, StepwiseRegressor, StepwiseSearchCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = StepwiseRegressor(n_estimators=1, max_epochs=10, learning_rate=0.01, random_state=0)
    >>> space = {"dropout": [0.0, 0.25, 0.5]}
    >>> search = StepwiseSearchCV(model, space, strategy="random", n_iter=3, cv=3, random_state=0).fit(X, y)
    >>> SearchDisplay.from_estimator(search, parameter="dropout").ax_.get_xlabel()
    'dropout'

    """

    ax_: Axes
    figure_: Figure | SubFigure
    points_: Line2D
    train_points_: Line2D | None
    best_: Line2D | None

    def __init__(
        self,
        cv_results: Mapping[str, Any],
        *,
        ladder: Ladder | None = None,
        best_index: int | None = None,
        metric: str = "score",
        score_name: str = "score",
    ) -> None:
        self.cv_results = cv_results
        self.ladder = ladder
        self.best_index = best_index
        self.metric = metric
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls, search: Any, *, parameter: str | None = None, metric: str | None = None, ax: Axes | None = None
    ) -> SearchDisplay:
        """Draw what a search has tried.

        Parameters
        ----------
        search : search object
            A fitted StepwiseSearchCV or one of scikit-learn's searches, or a pipeline that ends with one; it need
            not have refitted the best candidate.
        parameter : str, default=None
            Draw the scores against this parameter. None draws the ladder, or the order of trial.
        metric : str, default=None
            Of several metrics, the one to draw; None takes the one that `refit` names.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        display : SearchDisplay
            After its `plot`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the search is not fitted.
        ValueError
            If it is no search, or if it has no such parameter or metric.
        ImportError
            If matplotlib is missing.

        """
        search = _search_in(search)
        metric = _metric_of(search, metric)
        ladder = getattr(search, "ladder_", None)
        scored = metric == "score" or metric == search.refit
        return cls(
            search.cv_results_,
            ladder=ladder if scored else None,
            best_index=getattr(search, "best_index_", None),
            metric=metric,
            score_name=_score_name(search, metric),
        ).plot(ax, parameter=parameter)

    def plot(self, ax: Axes | None = None, *, parameter: str | None = None) -> SearchDisplay:
        """Draw the candidates, and which of them was chosen.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        parameter : str, default=None
            Draw the scores against this parameter. None draws the ladder, or the order of trial.

        Returns
        -------
        self : SearchDisplay
            With `ax_`, `figure_`, `points_`, `train_points_` and `best_`.

        Raises
        ------
        ValueError
            If no candidate has such a parameter.
        ImportError
            If matplotlib is missing.

        """
        values = None if parameter is None else Values.of(self.cv_results["params"], parameter)
        self.ax_ = ax = axes_to_draw_on(ax)
        self.figure_ = ax.figure
        ax.spines[["top", "right"]].set_visible(False)
        name = name_of_score(self.score_name)
        if self.ladder is not None and values is None:
            ax.set_xlabel(name, parse_math=False)
            self.points_, self.train_points_, self.best_ = draw_ladder(ax, self.ladder)
        else:
            ax.set_ylabel(name, parse_math=False)
            self._draw_candidates(values)
        return self

    def _draw_candidates(self, values: Values | None) -> None:
        """Scores with their spread over the folds, in the order of trial or against the values of a parameter."""
        ax, scores = self.ax_, self._column("mean_test")
        places = np.arange(1, len(scores) + 1) if values is None else values.places
        spread = np.nan_to_num(self._column("std_test"))
        low, high = bounds_of_scores(scores, spread)
        train = self._column("mean_train")
        self.train_points_ = None
        if np.isfinite(train).any():
            hollow: dict[str, Any] = {"color": OTHER, "markerfacecolor": "none", "markersize": 4.5, "zorder": 1}
            (self.train_points_,) = ax.plot(places, train, "o", label="training", **hollow)
            high = max(high, min(np.nanmax(train), high + 2 * (high - low)))
        room = 0.06 * (high - low)
        bottom = low - 2 * room
        (self.points_,) = ax.plot(places, scores, "o", color=MAIN, markersize=5.5, zorder=3, label="validation")
        bars: dict[str, Any] = {"color": FAINT, "linewidth": 1.2, "zorder": 1, "label": "spread over folds"}
        ax.vlines(places, scores - spread, scores + spread, **bars)
        if values is None:
            best_so_far = np.fmax.accumulate(np.where(scores < bottom, np.nan, scores))
            ax.step(places, best_so_far, where="post", color=MAIN, linewidth=1.2, zorder=2, label="best so far")
        self._mark(places, scores)
        ax.set_ylim(bottom, high + room)
        self._mark_edges(places, scores, bottom)
        legend_below(ax, _label_trials(ax) if values is None else values.label(ax))

    def _mark(self, places: np.ndarray, scores: np.ndarray) -> None:
        """A large dot for the candidate that was chosen."""
        self.best_ = None
        best = self.best_index if self.ladder is None else self.ladder.best_index
        if best is not None and np.isfinite(places[best]):
            style: dict[str, Any] = {"color": MARK, "markersize": 8, "markeredgecolor": "white", "zorder": 4}
            (self.best_,) = self.ax_.plot(places[best], scores[best], "o", label="chosen", **style)

    def _mark_edges(self, places: np.ndarray, scores: np.ndarray, bottom: float) -> None:
        """Marks at the bottom for candidates without a score, and for those far below the others."""
        for mask, marker, label in ((~np.isfinite(scores), "x", "failed"), (scores < bottom, "v", "far below")):
            if mask.any():
                self.ax_.plot(
                    places[mask],
                    np.full(mask.sum(), 0.02),
                    marker,
                    color=MARK,
                    markersize=6,
                    transform=self.ax_.get_xaxis_transform(),
                    label=label,
                )

    def _column(self, kind: str) -> np.ndarray:
        """A column of the results; NaN if it is not there."""
        n = len(self.cv_results["params"])
        return np.asarray(self.cv_results.get(f"{kind}_{self.metric}", np.full(n, np.nan)), dtype=float)


def _search_in(search: Any) -> Any:
    """The search itself, whether or not it has refitted, or the one in a pipeline."""
    found = search
    if not hasattr(search, "cv_results_"):
        if hasattr(search, "refit"):
            check_is_fitted(search)
        found = Fitted.of(search).search
    if found is None:
        raise ValueError(
            f"`search` must be a fitted search, or a pipeline that ends with one, got {type(search).__name__}; a "
            "fitted model shows how it was trained by LossCurveDisplay.from_estimator"
        )
    return found


def _label_trials(ax: Axes) -> float:
    """Name an axis of candidates in the order of trial; how many characters high its ticks are."""
    from matplotlib.ticker import MaxNLocator

    ax.set_xlabel("Candidate, in the order of trial")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return 1


def _metric_of(search: Any, metric: str | None) -> str:
    """The metric whose scores are drawn."""
    known = [name.removeprefix("mean_test_") for name in search.cv_results_ if name.startswith("mean_test_")]
    if metric is None:
        metric = search.refit if isinstance(search.refit, str) and search.refit in known else known[0]
        if len(known) > 1 and metric != search.refit:
            raise ValueError(
                f"`metric` must name one of {sorted(known)}, as `refit={search.refit!r}` names none; got None"
            )
    elif metric not in known:
        raise ValueError(f"`metric` must be one of {sorted(known)}, got {metric!r}")
    return metric


def _score_name(search: Any, metric: str) -> str:
    """What the scores are called."""
    if metric != "score":
        return metric
    if getattr(search, "ladder_", None) is not None:
        return search.ladder_.score_name
    if isinstance(search.scoring, str):
        return search.scoring
    known = search.scoring is None and (is_classifier(search) or is_regressor(search))
    return ("accuracy" if is_classifier(search) else "R2") if known else "score"
