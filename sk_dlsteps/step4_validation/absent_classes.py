"""Scores of probabilities where a fold lacks a class."""

from __future__ import annotations

import warnings
from inspect import signature
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics._scorer import _MultimetricScorer, _Scorer
from sklearn.utils.multiclass import type_of_target

from sk_dlsteps.exceptions import StepwiseWarning, level_of_the_caller


class AllClassesScorer(_Scorer):
    """A scorer of probabilities that knows the classes of all rows.

    Where neither the model nor the rows to score lack one, it is the scorer given.
    Otherwise the metric is told of all classes, and those that the model does not
    know have a probability of 0, as in scikit-learn's ``cross_val_predict``.

    Parameters
    ----------
    scorer : scorer
        Made by scikit-learn of a metric that has a parameter `labels`.
    labels : ndarray of shape (n_classes,)
        The classes, sorted.

    """

    def __init__(self, scorer: Any, labels: np.ndarray) -> None:
        super().__init__(scorer._score_func, scorer._sign, scorer._kwargs, scorer._response_method)
        self._labels = labels
        if hasattr(scorer, "_metadata_request"):
            self._metadata_request = scorer._metadata_request

    def _score(self, method_caller: Any, estimator: Any, X: Any, y_true: Any, **kwargs: Any) -> float:
        """The metric's value, turned round where lower is better."""
        known = np.asarray(estimator.classes_)
        if np.array_equal(known, self._labels) and len(np.unique(y_true)) == len(self._labels):
            return super()._score(method_caller, estimator, X, y_true, **kwargs)
        # Not by `method_caller`, which gives a single column where the model knows two classes.
        probabilities = estimator.predict_proba(X)
        whole = np.zeros((len(probabilities), len(self._labels)))
        whole[:, np.searchsorted(self._labels, known)] = probabilities
        return self._sign * self._score_func(y_true, whole, labels=self._labels, **{**self._kwargs, **kwargs})


def knowing_all_classes(scorer: Any, estimator: Any, y: Any, splits: list[tuple[np.ndarray, np.ndarray]]) -> Any:
    """A scorer, or several, that also scores folds without some of the classes.

    Parameters
    ----------
    scorer : callable
        As scikit-learn's searches make it.
    estimator : estimator
        Scorers for one that is no classifier stay as they are.
    y : array-like of shape (n_rows,)
        The classes of all rows.
    splits : list of (train, test)
        Row numbers of the folds.

    Returns
    -------
    scorer : callable
        The one given, if none of its metrics takes probabilities and the classes' names.

    Warns
    -----
    StepwiseWarning
        If a fold trains without a class and a metric takes probabilities.

    """
    if not is_classifier(estimator) or type_of_target(y) not in ("binary", "multiclass"):
        return scorer
    labels, codes = np.unique(y, return_inverse=True)
    if isinstance(scorer, _MultimetricScorer):
        several = {name: _knowing(own, labels) for name, own in scorer._scorers.items()}
        knowing: Any = _MultimetricScorer(scorers=several, raise_exc=scorer._raise_exc)
        changed = any(several[name] is not own for name, own in scorer._scorers.items())
    else:
        knowing = _knowing(scorer, labels)
        changed = knowing is not scorer
    if not changed:
        return scorer
    _warn_of_absent(labels, codes, splits)
    return knowing


def _knowing(scorer: Any, labels: np.ndarray) -> Any:
    """A scorer with all classes, if its metric takes probabilities and can be told of them."""
    if not isinstance(scorer, _Scorer) or scorer._response_method != "predict_proba" or "labels" in scorer._kwargs:
        return scorer
    return AllClassesScorer(scorer, labels) if "labels" in signature(scorer._score_func).parameters else scorer


def _warn_of_absent(labels: np.ndarray, codes: np.ndarray, splits: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Tell once of classes that a fold cannot learn."""
    absent = np.zeros(len(labels), dtype=bool)
    for train, _ in splits:
        absent |= np.bincount(codes[train], minlength=len(labels)) == 0
    if absent.any():
        warnings.warn(
            f"No training row of some folds belongs to {labels[absent][:5].tolist()}: models of those folds give such "
            "a class a probability of 0, which weighs heavily on scores of probabilities, equally for all "
            "candidates. Use a `cv` that stratifies with fewer folds, or drop or merge rare classes.",
            StepwiseWarning,
            stacklevel=level_of_the_caller(),
        )
