"""Which score is verified: the one that step 4 went by."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import (
    accuracy_score,
    check_scoring,
    get_scorer_names,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
)
from sklearn.metrics._scorer import _PassthroughScorer, _Scorer
from sklearn.utils.multiclass import type_of_target

from sk_dlsteps.fitted import Fitted

# Scores that are made of losses of rows, by scikit-learn's metrics.
_OF_ROWS: dict[Any, str] = {
    r2_score: "R2",
    accuracy_score: "accuracy",
    mean_squared_error: "squared error",
    mean_absolute_error: "absolute error",
    log_loss: "log loss",
}


@dataclass(frozen=True)
class Metric:
    """A score by which models are judged, higher is better.

    Attributes
    ----------
    name : str
        What to call it.
    scorer : callable
        ``scorer(estimator, X, y)`` gives a number, or a dict of several.
    key : str or None
        Which of several.
    kind : str or None
        "R2", "accuracy", "squared error", "absolute error" or "log loss" where it is made of losses of rows.
    column : str or None
        Its name in `cv_results_`, "score" for a single one; None if step 4 has not seen it.
    is_loss : bool
        Whether 0 is the best.

    """

    name: str
    scorer: Callable[..., Any]
    key: str | None
    kind: str | None
    column: str | None
    is_loss: bool

    @classmethod
    def of(cls, fitted: Fitted, scoring: Any, y: Any) -> Metric:
        """Choose the score: the one given, that of the search, or that of the model's `score`.

        Raises
        ------
        ValueError
            If a search had several and none was chosen.

        """
        if isinstance(scoring, list | tuple | set | dict):
            raise ValueError(f"`scoring` must be a single metric, by name or as a scorer, got {scoring!r}; verify one")
        key = column = None
        if fitted.search is None:
            scorer = check_scoring(fitted.whole, scoring)
            if _kind(scorer, fitted.model) in ("R2", "accuracy"):
                column = "score"
        else:
            scorer, key, column = _of_search(fitted, scoring)
        kind = _kind(scorer, fitted.model)
        is_loss = getattr(scorer, "_sign", 1) < 0
        return cls(_name(fitted, scoring, key, kind, y), scorer, key, kind, column, is_loss)

    @property
    def in_code(self) -> str:
        """How to ask a search for it."""
        return f"`scoring={self.name!r}`" if self.name in get_scorer_names() else "the same `scoring`"

    @property
    def asks_for_weights(self) -> bool:
        """Whether the scorer is one that a search gives the weights of validation rows."""
        if not hasattr(self.scorer, "get_metadata_routing"):
            return False
        requests = getattr(self.scorer.get_metadata_routing(), "score", None)
        asked = getattr(requests, "requests", {}).get("sample_weight")
        return asked is True or (isinstance(asked, str) and asked.isidentifier())

    def check_takes_weights(self) -> None:
        """Raise if rows cannot count differently in this score."""
        function = getattr(self.scorer, "_score_func", self.scorer)
        if isinstance(function, _PassthroughScorer) or not inspect.isroutine(function):
            return
        names = inspect.signature(function).parameters.values()
        if not any(name.name == "sample_weight" or name.kind is name.VAR_KEYWORD for name in names):
            raise ValueError(
                f"`sample_weight` has no place in the {self.name}, which takes none; leave it out, or give another "
                "`scoring`"
            )

    @property
    def best(self) -> float:
        """The score of no loss, where it is made of losses of rows."""
        return 1.0 if self.kind in ("R2", "accuracy") else 0.0

    def __call__(self, estimator: Any, X: Any, y: Any, weight: Any = None) -> float:
        """The score of rows."""
        scores = self.scorer(estimator, X, y, **({} if weight is None else {"sample_weight": weight}))
        return float(scores if self.key is None or not isinstance(scores, dict) else scores[self.key])


def _of_search(fitted: Fitted, scoring: Any) -> tuple[Any, str | None, str | None]:
    """Scorer, which of several, and its name in `cv_results_`, for a search."""
    search = fitted.search
    known, several = search.scorer_, bool(getattr(search, "multimetric_", False))
    if scoring is not None:
        if several and isinstance(scoring, str) and isinstance(known, dict) and scoring in known:
            return known[scoring], None, scoring
        scorer = check_scoring(fitted.whole, scoring)
        for name in known if several and isinstance(known, dict) else ():
            if _are_same(scorer, known[name]):
                return known[name], None, name
        same = not several and (
            scoring == search.scoring
            or _are_same(scorer, known)
            or _kind(scorer, fitted.model) == (_kind(known, fitted.model) or "none")
        )
        return (known if same else scorer), None, "score" if same else None
    if not several:
        return known, None, "score"
    if not isinstance(search.refit, str):
        raise ValueError(
            f"`scoring` must name one of the metrics of the search, whose `refit` names none, got None; give one of "
            f"{sorted(known) if isinstance(known, dict) else 'them'}"
        )
    return (known[search.refit] if isinstance(known, dict) else known), search.refit, search.refit


def _are_same(one: Any, other: Any) -> bool:
    """Whether two scorers give the same."""
    if not (isinstance(one, _Scorer) and isinstance(other, _Scorer)):
        return one is other
    names = ("_score_func", "_sign", "_kwargs", "_response_method")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _kind(scorer: Any, model: Any) -> str | None:
    """What a score is made of, if that is losses of rows."""
    if isinstance(scorer, _Scorer):
        return None if scorer._kwargs else _OF_ROWS.get(scorer._score_func)
    if isinstance(scorer, _PassthroughScorer):
        own = getattr(type(model), "score", None)
        return "R2" if own is RegressorMixin.score else "accuracy" if own is ClassifierMixin.score else None
    return None


def _name(fitted: Fitted, scoring: Any, key: str | None, kind: str | None, y: Any) -> str:
    """What to call a score: as it was asked for, or by its kind."""
    if kind == "R2":
        return "R2"
    if kind == "accuracy":
        return "subset accuracy" if type_of_target(y) == "multilabel-indicator" else "accuracy"
    asked = key or scoring or getattr(fitted.search, "scoring", None)
    if isinstance(asked, str):
        return asked
    return str(getattr(getattr(asked, "_score_func", asked), "__name__", "score"))
