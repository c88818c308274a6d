"""StepwiseRegressor."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.exceptions import DataConversionWarning

from sk_dlsteps.inputs.target import RegressionTarget
from sk_dlsteps.recipe import StepwiseEstimator


class StepwiseRegressor(RegressorMixin, StepwiseEstimator):
    """X"""

    def predict(self, X, return_std: bool = False):
        """Predict values: the mean of the networks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite numbers.
        return_std : bool, default=False
            Also give the standard deviation between the networks, in the units of `y`: what
            they disagree about, not the noise of the target.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predicted values.
        y_std : ndarray, shaped as `y`
            Only with ``return_std=True``.

        """
        X = self._network_inputs(X)
        if not return_std:
            return self.pipeline_.predict(X)
        predictions = self.pipeline_[-1].network_predictions(self.pipeline_[:-1].transform(X))
        mean, std = predictions.mean(1), predictions.std(1)
        return (mean[:, 0], std[:, 0]) if mean.shape[1] == 1 else (mean, std)

    def __sklearn_tags__(self):
        """Several targets are welcome."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _target(self, y: np.ndarray) -> RegressionTarget:
        """The target for the recipe."""
        if y.ndim == 2 and y.shape[1] == 1:
            warnings.warn(
                "A column-vector y was passed when a 1d array was expected. Please change the shape of y to "
                "(n_samples,), for example using ravel().",
                DataConversionWarning,
                stacklevel=4,
            )
        return RegressionTarget(_numbers(y))

    def _validation_target(self, target: RegressionTarget, y: np.ndarray) -> np.ndarray:
        """Validation values, shaped as the training ones."""
        values = _numbers(y).reshape(len(y), -1)
        if values.shape[1] != target.n_columns:
            raise ValueError(f"`y_val` has {values.shape[1]} columns, `y` has {target.n_columns}")
        return values


def _numbers(y: np.ndarray) -> np.ndarray:
    """The target as float64."""
    try:
        return np.asarray(y, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError("`y` must hold numbers for a regressor; use StepwiseClassifier for labels") from error
