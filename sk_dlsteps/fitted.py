"""A fitted model, seen through the pipelines and the search around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted


@dataclass(frozen=True)
class Fitted:
    """What predicts, what stands before it, and what chose it.

    Attributes
    ----------
    whole : estimator object
        Predicts from the user's table: what was looked into.
    search : search object or None
        The scikit-learn search that chose the model.
    leading : tuple of transformer
        Fitted steps of pipelines that a table passes on its way to the model.
    model : estimator object
        Stands behind them all; a StepwiseRegressor or StepwiseClassifier, if `is_ours`.

    """

    whole: Any
    search: Any
    leading: tuple[Any, ...]
    model: Any

    @classmethod
    def of(cls, model_or_search: Any) -> Fitted:
        """Look into a fitted estimator, pipeline or search.

        Parameters
        ----------
        model_or_search : estimator object
            A fitted estimator, a pipeline that ends with one, or a scikit-learn search over either.

        Returns
        -------
        fitted : Fitted

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If it is not fitted.
        ValueError
            If it is a search without a `best_estimator_`.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from sklearn.linear_model import RidgeCV
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.preprocessing import StandardScaler
        >>> fitted = Fitted.of(make_pipeline(StandardScaler(), RidgeCV()).fit(*load_diabetes(return_X_y=True)))
        >>> fitted.model, len(fitted.leading), fitted.search, fitted.is_ours
        (RidgeCV(), 1, None, False)

        """
        check_is_fitted(model_or_search)
        search, leading, model = None, [], model_or_search
        while True:
            if isinstance(model, Pipeline):
                leading += [step for _, step in model.steps[:-1] if step not in (None, "passthrough")]
                model = model.steps[-1][1]
            elif hasattr(model, "cv_results_"):
                if not hasattr(model, "best_estimator_"):
                    raise ValueError(
                        f"{type(model).__name__} has no `best_estimator_`, as it was fitted with `refit={model.refit}` "
                        "or interrupted; fit it with `refit=True`"
                    )
                search, model = search or model, model.best_estimator_
            else:
                return cls(model_or_search, search, tuple(leading), model)

    @classmethod
    def of_ours(cls, model_or_search: Any, purpose: str) -> Fitted:
        """Look into what must end with a model of ours.

        Parameters
        ----------
        model_or_search : estimator object
            As for `of`.
        purpose : str
            What is wanted of it, for the error.

        Returns
        -------
        fitted : Fitted

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If it is not fitted.
        ValueError
            If the model is none of ours.

        """
        fitted = cls.of(model_or_search)
        if not fitted.is_ours:
            raise ValueError(
                "a fitted StepwiseRegressor or StepwiseClassifier, or a pipeline or search that ends with one, is "
                f"needed {purpose}; got {type(fitted.model).__name__}"
            )
        return fitted

    @property
    def is_ours(self) -> bool:
        """Whether the model is a StepwiseRegressor or StepwiseClassifier."""
        return hasattr(self.model, "plan_") and hasattr(self.model, "steps_")

    def rows(self, X: Any) -> Any:
        """A table as it reaches the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As the user has it.

        """
        for step in self.leading:
            X = step.transform(X)
        return X
