"""StepwiseClassifier."""

from __future__ import annotations

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from sk_dlsteps.inputs.target import ClassTarget, as_labels
from sk_dlsteps.recipe import StepwiseEstimator


class StepwiseClassifier(ClassifierMixin, StepwiseEstimator):
    """X"""

    def predict(self, X):
        """Predict labels: the class of the highest mean probability.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite numbers.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels out of `classes_`.

        """
        X = self._network_inputs(X)
        return self.classes_[self.pipeline_.predict(X)]

    def predict_proba(self, X):
        """Predict probabilities: the mean of the networks'.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite numbers.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            One column per class, in the order of `classes_`.

        """
        X = self._network_inputs(X)
        return self.pipeline_.predict_proba(X)

    def predict_log_proba(self, X):
        """Predict logarithms of probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite numbers.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            One column per class, in the order of `classes_`.

        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _target(self, y: np.ndarray) -> ClassTarget:
        """The target for the recipe."""
        labels = as_labels(column_or_1d(y, warn=True))
        check_classification_targets(labels)
        return ClassTarget(labels)

    def _validation_target(self, target: ClassTarget, y: np.ndarray) -> np.ndarray:
        """Codes of the validation labels."""
        y = as_labels(column_or_1d(y))
        unknown = np.setdiff1d(y, target.labels)
        if len(unknown):
            raise ValueError(f"`y_val` holds labels that `y` does not: {unknown.tolist()}")
        return np.searchsorted(target.labels, y)
