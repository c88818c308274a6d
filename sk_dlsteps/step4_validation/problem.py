"""What a ladder searches, and how well any model does on it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing

from sk_dlsteps.step2_architecture.custom import PREFIX, ModuleChoice
from sk_dlsteps.step4_validation.candidates import Trial, evaluate
from sk_dlsteps.step4_validation.techniques import Situation


@dataclass(frozen=True)
class FoldScores:
    """Scores of one model in every fold, higher is better.

    Attributes
    ----------
    test, train : ndarray of shape (n_splits,)
        On the rows held out, and on those fitted; NaN where it failed.

    """

    test: np.ndarray
    train: np.ndarray

    @property
    def complete(self) -> bool:
        """Whether no fold failed."""
        return bool(np.isfinite(self.test).all() and np.isfinite(self.train).all())


@dataclass(frozen=True)
class Problem:
    """An estimator on rows, folds, and the score that counts.

    Attributes
    ----------
    estimator : estimator
        Ours, or a pipeline around it; not fitted here.
    X, y : array-like
        The rows to search on.
    splits : list of (train, test)
        Row numbers of the folds.
    scorer : callable
        ``scorer(estimator, X, y)``, higher is better.
    task : {"regression", "classification", "multilabel"}
        What is to be done.
    prefix : str
        Of our parameters, "stepwiseregressor__" in a pipeline, "" otherwise.
    score_name : str
        Of the score, for verdicts.
    fit_params, score_params : dict
        What was routed to the estimator's `fit` and to the scorer.
    compared : callable
        The score that counts, of what the scorer gives.
    reshuffled : callable or None
        A RandomState to other folds of the same kind; None if there are none.

    """

    estimator: Any
    X: Any
    y: Any
    splits: list
    scorer: Any
    task: str
    prefix: str = ""
    score_name: str = "score"
    fit_params: dict[str, Any] = field(default_factory=dict)
    score_params: dict[str, Any] = field(default_factory=dict)
    compared: Callable[[Any], float] = float
    reshuffled: Callable[[np.random.RandomState], list] | None = None

    @property
    def perfect(self) -> float:
        """The score of a model without errors."""
        return perfect_score(self.scorer, self.score_name)

    @property
    def fold_ratio(self) -> float:
        """n_test/n_train of the folds, for the noise."""
        return sum(len(test) for _, test in self.splits) / sum(len(train) for train, _ in self.splits)

    @property
    def parameters(self) -> dict[str, Any]:
        """Our own parameters, names without the prefix."""
        own = self._own(self.estimator.get_params())
        return {name: value for name, value in own.items() if "__" not in name or name.startswith(PREFIX)}

    def situation(self, params: Mapping[str, Any]) -> Situation:
        """The problem seen from parameters that were kept."""
        return Situation({**self.parameters, **self._own(params)}, **self.start)

    def _own(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of ours, names without the prefix."""
        return {name.removeprefix(self.prefix): v for name, v in params.items() if name.startswith(self.prefix)}

    @cached_property
    def start(self) -> dict[str, Any]:
        """Rows, inputs and outputs of one network at the start, and of what kind the rows are that reach it.

        They are those of the estimator's own plan on a fold, since neither the columns that leave a
        pipeline, nor the ramps of step 2, nor the rows that are held out are seen in the table.
        What could change them on the way is tried in the last rung.
        """
        for train, _ in self.splits:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    return _start(clone(self.estimator), _safe_indexing(self.X, train), _safe_indexing(self.y, train))
                except Exception:  # a fold that cannot be fitted, which its scores have told already
                    continue
        shape = np.shape(self.X)
        n_rows, n_inputs = min(len(train) for train, _ in self.splits), shape[1] if len(shape) > 1 else 1
        return {"n_rows": n_rows, "n_inputs": n_inputs, "n_outputs": 1}

    def in_place(self, model: Any) -> Any:
        """Another model where ours stands: behind the same transformers, if there are any."""
        if not self.prefix:
            return model
        return clone(self.estimator).set_params(**{self.prefix.removesuffix("__"): model})

    def score_candidate(self, params: Mapping[str, Any], y: Any = None) -> FoldScores:
        """Scores of the estimator with other parameters, fitted as candidates are, on other labels if given."""
        return self.score(clone(self.estimator).set_params(**params), y, self.fit_params)

    def score(self, model: Any, y: Any = None, fit_params: Mapping[str, Any] | None = None) -> FoldScores:
        """Scores of a model in every fold, on other labels if given; NaN where it fails, without its warnings."""
        trial = Trial(model, self.scorer, self.splits, dict(fit_params or {}), self.score_params, np.nan, True)
        test, train = np.full((2, len(self.splits)), np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _, fold, result in evaluate(trial, self.X, self.y if y is None else y, [{}]):
                test[fold], train[fold] = (self.compared(result[key]) for key in ("test_scores", "train_scores"))
        return FoldScores(test, train)


def _start(estimator: Any, X: Any, y: Any) -> dict[str, Any]:
    """What our estimator plans for the rows that reach it, and of what kind those are: fields of a `Situation`."""
    while isinstance(estimator, Pipeline):
        if len(estimator) > 1:
            X = estimator[:-1].fit_transform(X, y)
        estimator = estimator.steps[-1][1]
    plan = estimator._plan(X, y)
    keeps_gaps = ModuleChoice.of(estimator.get_params(deep=False)).keeps_gaps
    return {
        "n_rows": plan.n_rows,
        "n_inputs": plan.n_inputs,
        "n_outputs": plan.n_outputs,
        "is_sparse": issparse(X),
        "is_image": plan.input_shape is not None and len(plan.input_shape) == 3,
        "has_gaps": keeps_gaps and bool(np.isnan(np.ma.filled(X, np.nan)).any()),
    }


def perfect_score(scorer: Any, name: str) -> float:
    """The score of a model without errors: 0 for negated losses, 1 for R squared, accuracy and their kind.

    Parameters
    ----------
    scorer : callable
        As scikit-learn's `check_scoring` gives it; a metric turned round says so itself.
    name : str
        Of the metric: which one counts, where there are several, and "neg_..." where the scorer says nothing.

    Examples
    --------
    >>> from sklearn.metrics import get_scorer
    >>> perfect_score(get_scorer("neg_log_loss"), "score"), perfect_score(get_scorer("r2"), "score")
    (0.0, 1.0)

    """
    own = getattr(scorer, "_scorers", {}).get(name, scorer)
    sign = getattr(own, "_sign", -1 if name.startswith("neg_") else 1)
    return 0.0 if sign < 0 else 1.0
