"""The model that a picture is drawn of."""

from __future__ import annotations

from typing import Any

from sk_dlsteps.fitted import Fitted


def fitted_model(estimator: Any, shown: str) -> Any:
    """Find the fitted StepwiseRegressor or StepwiseClassifier in what a display was given.

    Parameters
    ----------
    estimator : estimator object
        One of the two, a pipeline that ends with one, or a search over either.
    shown : str
        What of it is to be drawn, for the error.

    Returns
    -------
    model : StepwiseRegressor or StepwiseClassifier

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    ValueError
        If the model is none of ours.

    """
    fitted = Fitted.of(estimator)
    if not fitted.is_ours:
        raise ValueError(
            f"`estimator` must be a fitted StepwiseRegressor or StepwiseClassifier, or a pipeline or search that ends "
            f"with one, to show {shown}; got {type(fitted.model).__name__}"
        )
    return fitted.model
