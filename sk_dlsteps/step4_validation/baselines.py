"""What a network has to beat: a constant guess and a linear model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_dlsteps.inputs.columns import find_categorical
from sk_dlsteps.inputs.encoder import TableEncoder
from sk_dlsteps.inputs.folds import MIN_FOLD_ROWS, assign_folds
from sk_dlsteps.inputs.levels import MAX_LEVELS
from sk_dlsteps.inputs.shapes import as_rows
from sk_dlsteps.plan import StepRecord

SCORES = {"regression": ("R2", r2_score), "classification": ("accuracy", accuracy_score)}


@dataclass(frozen=True)
class Baseline:
    """A fitted simple model and its scores.

    Attributes
    ----------
    name : str
        "linear" or "dummy".
    model : estimator
        Fitted on all training rows.
    training_score : float
        R squared or accuracy on those rows.
    validation_score : float
        The same of out-of-fold predictions.

    """

    name: str
    model: Any
    training_score: float
    validation_score: float


class Standardised(TransformerMixin, BaseEstimator):
    """Any table, images and sequences too, that our estimators take, as standardised numbers for a linear model.

    Attributes
    ----------
    encoder_ : TableEncoder or None
        Makes numbers of categories and fills gaps; None for sparse tables.
    scaler_ : StandardScaler
        Behind it.

    """

    def fit(self, X, y=None):
        """Learn levels, means and standard deviations."""
        self.encoder_ = None
        X, _ = as_rows(X, None)
        if not sparse.issparse(X):
            encoder = TableEncoder(find_categorical(X), impute=True, one_hot_levels=MAX_LEVELS)
            self.encoder_ = encoder.set_output(transform="default").fit(X)
        scaler = StandardScaler(with_mean=self.encoder_ is not None).set_output(transform="default")
        self.scaler_ = scaler.fit(self._encoded(X))
        return self

    def transform(self, X):
        """Encode and standardise rows."""
        return self.scaler_.transform(self._encoded(as_rows(X, None)[0]))

    def _encoded(self, X: Any) -> Any:
        """The table as numbers."""
        return X if self.encoder_ is None else self.encoder_.transform(X)


def baseline_models(task: str) -> dict[str, Any]:
    """The unfitted models by name: the linear one, then the dummy.

    Parameters
    ----------
    task : {"regression", "classification", "multilabel"}
        What is to be done.

    """
    if task == "regression":
        return {
            "linear": make_pipeline(Standardised(), RidgeCV(np.logspace(-3, 5, 17))),
            "dummy": DummyRegressor(),
        }
    linear: Any = LogisticRegression(max_iter=1000)
    if task == "multilabel":
        linear = OneVsRestClassifier(linear)
    return {"linear": make_pipeline(Standardised(), linear), "dummy": DummyClassifier()}


def fit_baselines(task: str, X: Any, y: np.ndarray, *, n_folds: int, seed: int) -> tuple[Baseline, ...]:
    """Fit and cross-validate the linear and the dummy baseline.

    Parameters
    ----------
    task : {"regression", "classification"}
        What is to be done.
    X : array-like of shape (n_rows, n_columns)
        Training rows, at least ten.
    y : ndarray of shape (n_rows,)
        Their targets.
    n_folds : int
        Folds of the cross-validation; fewer if there are few rows.
    seed : int
        Of the folds.

    Returns
    -------
    baselines : tuple of Baseline
        The linear one (RidgeCV or LogisticRegression on standardised columns), then the
        dummy (the mean or the most frequent class).

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> linear, dummy = fit_baselines("regression", *load_diabetes(return_X_y=True), n_folds=8, seed=0)
    >>> linear.validation_score > 0.4 > 0 > dummy.validation_score
    True

    """
    _, score = SCORES[task]
    classes = None if task == "regression" else y
    n_folds = max(2, min(n_folds, len(y) // MIN_FOLD_ROWS))
    folds = assign_folds(n_folds, len(y), classes, np.random.default_rng(seed))
    assert folds is not None
    splits = [(np.setdiff1d(np.arange(len(y)), fold), fold) for fold in folds]
    return tuple(
        Baseline(
            name,
            model.fit(X, y),
            float(score(y, model.predict(X))),
            float(score(y, cross_val_predict(model, X, y, cv=splits))),
        )
        for name, model in baseline_models(task).items()
    )


def baselines_record(
    task: str, training_score: float, validation_score: float | None, baselines: tuple[Baseline, ...]
) -> StepRecord:
    """The network's scores beside those of the baselines, the second record of step 4.

    Parameters
    ----------
    task : {"regression", "classification"}
        What is to be done.
    training_score, validation_score : float
        The network's.
    baselines : tuple of Baseline
        What `fit_baselines` gave.

    """
    name, _ = SCORES[task]
    best = max(baselines, key=lambda baseline: baseline.validation_score)
    if validation_score is None:
        decision, because = "not compared", "the networks have no validation score"
    else:
        ahead = validation_score - best.validation_score
        place = f"{name} {abs(ahead):.3f} {'ahead of' if ahead >= 0 else 'behind'} the {best.name} model"
        decision = place if ahead >= 0 else f"{place}, which is simpler: prefer it unless you can do better"
        because = "both predicted rows that they were not fitted on"
    scores: list[tuple[str, float, float | None]] = [("network", training_score, validation_score)]
    scores += [(baseline.name, baseline.training_score, baseline.validation_score) for baseline in baselines]
    rows = [
        {"model": model, "training": round(training, 4), "validation": None if valid is None else round(valid, 4)}
        for model, training, valid in scores
    ]
    return StepRecord(4, "baselines", decision, because, {name: rows})
