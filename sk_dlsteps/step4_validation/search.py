"""StepwiseSearchCV: a scikit-learn search that trains its candidates together."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.model_selection import ParameterSampler, check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._validation import _insert_error_scores, _warn_or_raise_about_fit_failures
from sklearn.pipeline import Pipeline
from sklearn.utils import indexable
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_method_params

from sk_dlsteps.exceptions import StepwiseWarning
from sk_dlsteps.step4_validation.candidates import Trial, evaluate


class StepwiseSearchCV(BaseSearchCV):
    """Search."""

    _parameter_constraints = {
        **{name: rule for name, rule in BaseSearchCV._parameter_constraints.items() if name != "pre_dispatch"},
        "param_distributions": [dict, list, None],
        "strategy": [StrOptions({"ladder", "random"})],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "max_seconds": [Interval(Real, 0, None, closed="neither"), None],
        "training_target": [StrOptions({"auto"}), Real],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator,
        param_distributions=None,
        *,
        strategy="ladder",
        n_iter=30,
        max_seconds=None,
        training_target="auto",
        scoring=None,
        n_jobs=None,
        refit=True,
        cv=5,
        verbose=0,
        random_state=None,
        error_score=np.nan,
        return_train_score=False,
    ):
        self.estimator = estimator
        self.param_distributions = param_distributions
        self.strategy = strategy
        self.n_iter = n_iter
        self.max_seconds = max_seconds
        self.training_target = training_target
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.refit = refit
        self.cv = cv
        self.verbose = verbose
        self.random_state = random_state
        self.error_score = error_score
        self.return_train_score = return_train_score

    def fit(self, X, y=None, **params):
        """Try candidates, keep the best, and fit it on all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows to search on.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            The target.
        **params : dict
            For the estimator's `fit`, the scorer and the splitter (`groups`), routed as in
            scikit-learn's searches. With any for `fit`, candidates are fitted one by one.

        Returns
        -------
        self : object
            The search. If it fails, it stays as it was.

        Raises
        ------
        ValueError
            If a parameter is not what it may be, or if all fits failed.

        """
        self._check_parameters()
        scorer, metric = self._get_scorers()
        X, y = indexable(X, y)
        routed = self._get_routed_params_for_fit(_check_method_params(X, params=params))
        space = self._space()
        # The candidates before the folds, as scikit-learn draws them: both may come from one RandomState.
        candidates = self._draw(space) if self.strategy == "random" else []
        trial = Trial(
            clone(self.estimator),
            scorer,
            self._splits(X, y, routed.splitter.split),
            routed.estimator.fit,
            routed.scorer.score,
            self.error_score,
            self.return_train_score,
        )
        tried = Tried(len(trial.splits))
        try:
            self._try(trial, X, y, candidates, tried)
            fitted = self._summary(tried.candidates, tried.results(), trial, metric)
            if self.refit:
                fitted |= self._refit(trial, fitted["best_params_"], X, y)
        except KeyboardInterrupt:
            self._keep(tried, trial, metric)
            raise
        self._publish(fitted)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is something to predict with, if there should be; after an interruption there is not."""
        return hasattr(self, "cv_results_") and (not self.refit or hasattr(self, "best_estimator_"))

    def _check_parameters(self) -> None:
        """Raise if a parameter is not what it may be."""
        self._validate_params()
        if self.strategy == "random" and self.max_seconds is not None:
            raise ValueError(
                f"`max_seconds` belongs to strategy='ladder', got {self.max_seconds!r} with strategy='random'; "
                "bound a random search by `n_iter`"
            )

    def _space(self) -> Any:
        """The distributions given, or those that the estimator offers."""
        if self.param_distributions is not None:
            return self.param_distributions
        # Without X and y: a learning rate searched on all rows would know those of every fold.
        estimator, prefix = self.estimator, ""
        while isinstance(estimator, Pipeline):
            name, estimator = estimator.steps[-1]
            prefix += f"{name}__"
        if not hasattr(estimator, "param_distributions"):
            raise ValueError(
                f"`param_distributions` must be given, as {type(estimator).__name__} offers none of its own, got None"
            )
        return estimator.param_distributions(prefix=prefix)

    def _draw(self, space: Any) -> list[dict[str, Any]]:
        """The candidates that RandomizedSearchCV would draw."""
        rng = np.random.RandomState() if self.random_state is None else self.random_state
        return list(ParameterSampler(space, self.n_iter, random_state=rng))

    def _splits(self, X, y, split_params: dict[str, Any]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows of each fold."""
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        n_splits = cv.get_n_splits(X, y, **split_params)
        splits = list(cv.split(X, y, **split_params))
        if len(splits) != n_splits:
            raise ValueError(f"`cv` says that it makes {n_splits} splits, and made {len(splits)}")
        return splits

    def _try(self, trial: Trial, X, y, candidates: list[dict[str, Any]], tried: Tried) -> None:
        """Fit and score candidates on all folds, and note each result as it comes in."""
        for params in candidates:
            trial.with_parameters(params)  # a wrong name is an error at once, not that of one candidate
        first = tried.add(candidates)
        for number, fold, result in evaluate(trial, X, y, candidates):
            tried.note(first + number, fold, result)

    def _summary(self, candidates, out, trial: Trial, metric: Any) -> dict[str, Any]:
        """The fitted attributes that follow from the results, but for those of refitting."""
        if not out:
            raise ValueError("There was nothing to fit: no candidates, or no folds from `cv`")
        _warn_or_raise_about_fit_failures(out, self.error_score)
        if callable(self.scoring):
            _insert_error_scores(out, self.error_score)
        results = self._format_results(candidates, len(trial.splits), out)
        multimetric = isinstance(out[0]["test_scores"], dict)
        if callable(self.scoring) and multimetric:
            self._check_refit_for_multimetric(out[0]["test_scores"])
            metric = self.refit
        fitted = {
            "cv_results_": results,
            "n_splits_": len(trial.splits),
            "multimetric_": multimetric,
            "scorer_": getattr(trial.scorer, "_scorers", trial.scorer),
        }
        if self.refit or not multimetric:
            best = self._select_best_index(self.refit, metric, results)
            fitted |= {"best_index_": best, "best_params_": results["params"][best]}
            if not callable(self.refit):
                fitted["best_score_"] = results[f"mean_test_{metric}"][best]
        return fitted

    def _refit(self, trial: Trial, params: dict[str, Any], X, y) -> dict[str, Any]:
        """Fit the best candidate on all rows."""
        best = trial.with_parameters(params)
        started = time.perf_counter()
        best.fit(X, **trial.fit_params) if y is None else best.fit(X, y, **trial.fit_params)
        fitted = {"best_estimator_": best, "refit_time_": time.perf_counter() - started}
        if hasattr(best, "feature_names_in_"):
            fitted["feature_names_in_"] = best.feature_names_in_
        return fitted

    def _keep(self, tried: Tried, trial: Trial, metric: Any) -> None:
        """After an interruption: the results of the candidates that have finished, if any."""
        finished = tried.finished()
        if not finished:
            return
        candidates = [tried.candidates[row] for row in finished]
        self._publish(self._summary(candidates, tried.results(finished), trial, metric))
        warnings.warn(
            f"The search was interrupted; {len(finished)} of {len(tried.candidates)} candidates had finished and are "
            "kept in `cv_results_`. There is no `best_estimator_`: to have one, fit "
            "`clone(search.estimator).set_params(**search.best_params_)`, or search again.",
            StepwiseWarning,
            stacklevel=3,
        )

    def _publish(self, fitted: dict[str, Any]) -> None:
        """Replace the fitted attributes, all at once."""
        kept = {name: value for name, value in vars(self).items() if name.startswith("_") or not name.endswith("_")}
        self.__dict__ = {**kept, **fitted}


class Tried:
    """Candidates in the order in which they were tried, and their results so far.

    Parameters
    ----------
    n_splits : int
        Folds.

    """

    def __init__(self, n_splits: int) -> None:
        self.n_splits = n_splits
        self.candidates: list[dict[str, Any]] = []
        self._results: dict[tuple[int, int], dict[str, Any]] = {}

    def add(self, candidates: list[dict[str, Any]]) -> int:
        """Number of the first of some more candidates."""
        self.candidates += candidates
        return len(self.candidates) - len(candidates)

    def note(self, row: int, fold: int, result: dict[str, Any]) -> None:
        """Take in a result."""
        self._results[row, fold] = result

    def finished(self) -> list[int]:
        """Candidates with results on all folds."""
        folds = range(self.n_splits)
        return [row for row in range(len(self.candidates)) if all((row, fold) in self._results for fold in folds)]

    def results(self, rows: Iterable[int] | None = None) -> list[dict[str, Any]]:
        """Results of these candidates, or of all, fold by fold."""
        rows = range(len(self.candidates)) if rows is None else rows
        return [self._results[row, fold] for row in rows for fold in range(self.n_splits)]
