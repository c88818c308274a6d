"""What is diagnosed: a fitted model and its rows, with the fits that several checks look at."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import check_scoring
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import _safe_indexing

from sk_dlsteps.callback_support import without_callbacks
from sk_dlsteps.diagnosis.folds import split_rows
from sk_dlsteps.fitted import Fitted
from sk_dlsteps.step3_training.schedules import steers_the_rate
from sk_dlsteps.step4_validation.baselines import Standardised, baseline_models
from sk_dlsteps.step4_validation.candidates import Trial, evaluate
from sk_dlsteps.step4_validation.noise import Difference, paired_difference
from sk_dlsteps.step4_validation.problem import FoldScores, Problem
from sk_dlsteps.step4_validation.scores import score_name

# Numbers of a table, at the most, on which boosted trees are fitted as a baseline.
MOST_NUMBERS = 5_000_000


class NotLooked(Exception):
    """A check cannot be made; the message says why."""


@dataclass(frozen=True)
class CrossValidated:
    """The model, fitted anew on each fold.

    Attributes
    ----------
    scores : FoldScores
        Of every fold.
    estimators : list
        Fitted, one for each fold.
    predictions : ndarray
        Out of fold, by rows: values, or probabilities of the classes or labels; NaN for rows of no fold.

    """

    scores: FoldScores
    estimators: list[Any]
    predictions: np.ndarray


@dataclass(frozen=True)
class Subject:
    """A fitted model and, perhaps, rows.

    Attributes
    ----------
    fitted : Fitted
        The model and what stands around it.
    X, y : array-like or None
        The training rows.
    sample_weight : ndarray or None
        What each counts.
    cv : int, splitter or iterable
        Folds.
    seed : int
        Of all that is drawn.
    deadline : float
        Of `time.monotonic`; infinite for none.
    announce : callable
        Hears what is fitted.

    """

    fitted: Fitted
    X: Any = None
    y: Any = None
    sample_weight: np.ndarray | None = None
    cv: Any = 5
    seed: int = 0
    deadline: float = np.inf
    announce: Callable[[str], None] = field(default=lambda words: None)

    @property
    def model(self) -> Any:
        """Our estimator."""
        return self.fitted.model

    @property
    def net(self) -> Any:
        """Its networks."""
        return self.model.pipeline_[-1]

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """What our estimator was set to."""
        return self.model.get_params(deep=False)

    @property
    def task(self) -> str:
        """Of "regression", "classification" and "multilabel"."""
        task = self.model.plan_.task
        return task if task in ("regression", "multilabel") else "classification"

    @property
    def score_name(self) -> str:
        """What `score` gives."""
        return score_name(self.task)

    @property
    def labels(self) -> np.ndarray | None:
        """The rows' class codes; None where there is no class for each row."""
        return np.searchsorted(self.model.classes_, self.y) if self.task == "classification" else None

    @cached_property
    def estimator(self) -> Any:
        """The model unfitted, behind what stands before it, ready to be fitted several times alike."""
        model = without_callbacks(clone(self.model))
        silent = {"verbose": 0, "warm_start": False}
        if not steers_the_rate(model.callbacks):
            silent["callbacks"] = None  # type: ignore[assignment]
        if not isinstance(model.random_state, int):
            silent["random_state"] = self.seed
        return self.behind_the_others(model.set_params(**silent))

    def behind_the_others(self, model: Any) -> Any:
        """A model after the transformers that a table passes first."""
        return make_pipeline(*map(clone, self.fitted.leading), model) if self.fitted.leading else model

    def with_parameters(self, **parameters: Any) -> Any:
        """The estimator with other parameters of ours."""
        changed = clone(self.estimator)
        (changed.steps[-1][1] if isinstance(changed, Pipeline) else changed).set_params(**parameters)
        return changed

    @cached_property
    def splits(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows that train and rows that are held out, fold by fold."""
        return split_rows(self.cv, self.X, self.y, self.labels, self.seed)

    @property
    def fold_ratio(self) -> float:
        """Rows held out by rows that train, for the noise."""
        return sum(len(test) for _, test in self.splits) / sum(len(train) for train, _ in self.splits)

    def over(self, scores: np.ndarray, reference: np.ndarray) -> Difference:
        """A paired difference over the folds."""
        return paired_difference(scores, reference, self.fold_ratio)

    def check_time(self, n_fits: int) -> None:
        """Raise if so many fits of the model would not end in time."""
        expected = n_fits * sum(row["dur"] for row in self.model.history_)
        if time.monotonic() + expected > self.deadline:
            raise NotLooked(f"{n_fits} more fits would take about {expected:.0f} s; raise `max_seconds`")

    def cross_validate(self, estimator: Any, X: Any = None) -> CrossValidated:
        """Fit an estimator of ours on each fold, on other inputs if given."""
        self.check_time(len(self.splits))
        X = self.X if X is None else X
        seen: list[tuple[Any, Any]] = []
        weighted = {} if self.sample_weight is None else {"sample_weight": self.sample_weight}
        scorer = check_scoring(estimator)

        def keep(estimator: Any, X: Any, y: Any, **params: Any) -> float:
            """Score an estimator, and remember it and the rows."""
            seen.append((estimator, X))
            return scorer(estimator, X, y, **params)

        trial = Trial(estimator, keep, self.splits, self._fit_params(estimator), weighted, "raise", True)
        test, train = np.full((2, len(self.splits)), np.nan)
        estimators: list[Any] = [None] * len(self.splits)
        predictions: np.ndarray | None = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _, fold, result in evaluate(trial, X, self.y, [{}]):
                test[fold], train[fold] = result["test_scores"], result["train_scores"]
                (estimators[fold], X_test), seen = seen[0], []
                own = self.predict(estimators[fold], X_test)
                if predictions is None:
                    predictions = np.full((len(self.y), *own.shape[1:]), np.nan)
                predictions[self.splits[fold][1]] = own
        assert predictions is not None
        return CrossValidated(FoldScores(test, train), estimators, predictions)

    def _fit_params(self, estimator: Any) -> dict[str, Any]:
        """The weights under the name by which an estimator's last step gets them."""
        if self.sample_weight is None:
            return {}
        name = f"{estimator.steps[-1][0]}__sample_weight" if isinstance(estimator, Pipeline) else "sample_weight"
        return {name: self.sample_weight}

    def predict(self, estimator: Any, X: Any) -> np.ndarray:
        """Values, or probabilities in the order of all classes."""
        if self.task == "regression":
            return estimator.predict(X)
        p = estimator.predict_proba(X)
        if self.task == "multilabel":
            return p
        whole = np.zeros((len(p), len(self.model.classes_)))
        whole[:, np.searchsorted(self.model.classes_, estimator.classes_)] = p
        return whole

    @property
    def own(self) -> CrossValidated:
        """The model, cross-validated."""
        if isinstance(self._own_or_why_not, str):
            raise NotLooked(self._own_or_why_not)
        return self._own_or_why_not

    @cached_property
    def _own_or_why_not(self) -> CrossValidated | str:
        """The model, cross-validated, or why that is not possible; tried once."""
        self.announce(f"diagnosis: fitting the model on {len(self.splits)} folds")
        try:
            return self.cross_validate(self.estimator)
        except NotLooked as reason:
            return str(reason)
        except ValueError as error:
            return f"the model could not be fitted on a fold: {error}"

    @cached_property
    def baselines(self) -> dict[str, FoldScores]:
        """Scores of a constant guess, a linear model and boosted trees on the same folds, without those that fail."""
        self.announce("diagnosis: fitting the baselines")
        models = dict(baseline_models(self.task))
        if np.prod(np.shape(self.X), dtype=float) <= MOST_NUMBERS:
            models["boosted trees"] = make_pipeline(Standardised(), self.boosted_trees())
        scored = {name: self.score(self.behind_the_others(model)) for name, model in models.items()}
        return {name: scores for name, scores in scored.items() if scores.complete}

    def boosted_trees(self) -> Any:
        """HistGradientBoosting for the task."""
        if self.task == "regression":
            trees = HistGradientBoostingRegressor(random_state=self.seed)
            return MultiOutputRegressor(trees) if np.ndim(self.y) == 2 else trees
        trees = HistGradientBoostingClassifier(random_state=self.seed)
        return MultiOutputClassifier(trees) if self.task == "multilabel" else trees

    @cached_property
    def explained(self) -> np.ndarray:
        """What the model explains of the rows held out, fold by fold: R squared, of probabilities where there are any.

        Accuracy hardly tells a network that knows a rare class from one that knows nothing.
        """
        target = self.indicators(self.y)
        return np.array([_explained(target[test], self.own.predictions[test]) for _, test in self.splits])

    def indicators(self, y: np.ndarray) -> np.ndarray:
        """A target as columns of numbers: values, or zeros and ones for each class or label."""
        if self.task == "classification":
            return (y[:, None] == self.model.classes_).astype(float)
        return np.asarray(y, dtype=float).reshape(len(y), -1)

    def score_explained(self, estimator: Any, X: Any, y: np.ndarray) -> float:
        """A scorer: what an estimator explains of rows, for several labels the share that is all right."""
        if self.task == "multilabel":
            return float(estimator.score(X, y))
        return _explained(self.indicators(y), self.predict(estimator, X))

    def score(self, model: Any, X: Any = None, y: Any = None, scorer: Any = None) -> FoldScores:
        """Scores of any model on the folds, on other inputs or targets if given; NaN where it fails."""
        X, y = self.X if X is None else X, self.y if y is None else y
        scorer = check_scoring(model) if scorer is None else scorer
        return Problem(model, X, y, self.splits, scorer, self.task).score(model)

    @property
    def dummy(self) -> FoldScores:
        """Scores of a constant guess."""
        if "dummy" not in self.baselines:
            raise NotLooked("a constant guess has no score on these folds")
        return self.baselines["dummy"]

    @property
    def span(self) -> float:
        """From a constant guess's score to a perfect one: what there is to win."""
        return max(1.0 - float(self.dummy.test.mean()), 1e-9)

    def rows(self, index: np.ndarray, X: Any = None) -> Any:
        """Some rows of the table, or of another one."""
        return _safe_indexing(self.X if X is None else X, index)


def _explained(target: np.ndarray, predictions: np.ndarray) -> float:
    """Share of the squared deviations from the mean that predictions explain, over all columns together."""
    spread = ((target - target.mean(0)) ** 2).sum()
    return float(1 - ((predictions.reshape(target.shape) - target) ** 2).sum() / spread) if spread > 0 else 0.0
