"""The learning-rate finder by hand."""

from __future__ import annotations

import copy
from typing import Any

from sk_dlsteps.fine_tuning import stage_finder
from sk_dlsteps.inputs.parameters import check_parameters
from sk_dlsteps.preparation import prepare
from sk_dlsteps.recipe import StepwiseEstimator
from sk_dlsteps.step3_training.lr_finder import LRCurve, warn_if_unreliable
from sk_dlsteps.step3_training.transfer import is_staged
from sk_dlsteps.sweep import find_rate


def find_learning_rate(estimator: StepwiseEstimator, X: Any, y: Any) -> LRCurve:
    """Run the learning-rate finder by hand (article, step 3).

    Fresh replicas of the networks that `estimator` would train are swept, with `init_from` as in
    the first stage; the estimator itself is neither fitted nor changed, nor is a `RandomState` that it holds.

    Parameters
    ----------
    estimator : StepwiseRegressor or StepwiseClassifier
        Whose networks, optimizer and minibatches to use; its `learning_rate` is ignored.
    X : DataFrame, array-like or sparse matrix of shape (n_samples, n_features) or (n_samples, ...)
        The rows, as for `fit`.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        The target.

    Returns
    -------
    curve : LRCurve
        Rates, losses, the pick with its reason, and the alternatives.

    Raises
    ------
    TypeError
        If `estimator` is none of the two, for example a pipeline around one.
    ValueError
        If a parameter or the data are not what they may be.

    Warns
    -----
    StepwiseWarning
        If the curve says nothing and the default is taken.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_dlsteps import StepwiseRegressor, find_learning_rate
    >>> X, y = load_diabetes(return_X_y=True)
    >>> curve = find_learning_rate(StepwiseRegressor(random_state=0), X, y)
    >>> bool(curve.alternatives["steepest"] < curve.learning_rate < 1)
    True

    """
    if not isinstance(estimator, StepwiseEstimator):
        raise TypeError(
            "`estimator` must be a StepwiseRegressor or a StepwiseClassifier, got "
            f"{type(estimator).__name__}; of a pipeline, give the last step and the rows that reach it"
        )
    parameters = estimator.get_params(deep=False)
    check_parameters(parameters)
    data, _ = estimator._receive(X, y)
    prepared = prepare({**parameters, "random_state": copy.deepcopy(estimator.random_state)}, data)
    curve = find_rate(stage_finder(prepared, parameters) if is_staged(parameters) else prepared)
    warn_if_unreliable(curve)
    return curve
