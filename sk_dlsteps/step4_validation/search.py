"""StepwiseSearchCV: a scikit-learn search that trains its candidates together."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import KFold, ParameterSampler, StratifiedKFold, check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._validation import _insert_error_scores, _warn_or_raise_about_fit_failures
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags, indexable
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _check_method_params

from sk_dlsteps.exceptions import StepwiseWarning, level_of_the_caller
from sk_dlsteps.inputs.folds import row_numbers
from sk_dlsteps.inputs.target import as_labels
from sk_dlsteps.step4_validation.absent_classes import knowing_all_classes
from sk_dlsteps.step4_validation.candidates import Trial, evaluate, last_step
from sk_dlsteps.step4_validation.ladder import climb
from sk_dlsteps.step4_validation.problem import Problem
from sk_dlsteps.step4_validation.search_tasks import SearchTasks
from sk_dlsteps.step4_validation.tried import Tried
from sk_dlsteps.step4_validation.workers import evaluate_on_workers, has_workers

if TYPE_CHECKING:
    from sk_dlsteps.report.report import Report


class StepwiseSearchCV(BaseSearchCV):
    """Search for better parameters, with cross-validation (article, step 4).

    A scikit-learn search, used like ``RandomizedSearchCV``. What makes it quick is that it hands
    candidates and folds over together, so that many networks train in one batched pass.

    Parameters
    ----------
    estimator : estimator object
        A StepwiseRegressor or StepwiseClassifier, or a pipeline that ends with one. With
        strategy="random" any other scikit-learn estimator too, whose candidates are fitted one by one.
    param_distributions : dict or list of dict, default=None
        Parameters with the values or scipy distributions to draw from. None asks the estimator for
        the article's: for strategy="random" its ``param_distributions()``. They do not depend on the
        rows, as those of the folds should not be known beforehand.
    strategy : {"ladder", "random"}, default="ladder"
        "random" tries `n_iter` draws, the same candidates on the same folds as
        ``RandomizedSearchCV`` with the same integer `random_state`.
        "ladder" goes through the article's techniques one after the other, first those that fit the
        training set, then those that close the gap to the validation set, and keeps what improves
        the score beyond its noise. In the end it compares what it kept with the start on other
        folds, if `cv` is a number or shuffles, and takes the start if that is as good.
    n_iter : int, default=30
        Candidates, each of which is fitted once per fold. The ladder may stop before.
    max_seconds : float, default=None
        Of the ladder: no rung is begun that would not end within it. None for no limit.
    training_target : "auto" or float, default="auto"
        Of the ladder: the training score at which it goes over from step 3 to step 4. "auto" judges
        it by a dummy, a linear model and the noise of the scores.
    scoring : str, callable, list, tuple or dict, default=None
        As in scikit-learn's searches; None takes the estimator's `score`. With several metrics,
        `refit` names the one that counts.
    n_jobs : int, default=None
        None and 1 search in this process. More send batches of candidates to joblib's workers, and
        so does an active backend of more than one worker, whatever it runs on.
    refit : bool, str or callable, default=True
        Whether the best candidate is fitted on all rows in the end; or the metric that decides, or
        a function from `cv_results_` to the best index.
    cv : int, splitter or iterable, default=5
        The folds, as in scikit-learn's searches.
    verbose : int, default=0
        1 shows on standard error how far the search is.
    random_state : int, RandomState instance or None, default=None
        For the draws. With None, new ones every time; global random states are never touched.
    error_score : "raise" or number, default=np.nan
        Score of a candidate that fails, with a warning; "raise" raises its error.
    return_train_score : bool, default=False
        Whether `cv_results_` has training scores too.

    Attributes
    ----------
    cv_results_ : dict of str to ndarray
        The keys and shapes of ``RandomizedSearchCV``. What trained together shares its time, so
        `mean_fit_time` is the mean over a batch. After a ladder also "rung", the rung of each candidate.
    best_params_ : dict
        Of the best candidate; of the one that the ladder ended with.
    best_index_ : int
        Its place in `cv_results_`.
    best_score_ : float
        Its mean test score. Not there if `refit` is a callable.
    best_estimator_ : estimator object
        It, fitted on all rows, unless `refit=False`.
    refit_time_ : float
        Seconds that took.
    ladder_ : Ladder
        Only with strategy="ladder": the rungs, what was tried, the evidence and the verdict.
    scorer_ : callable or dict of callable
        The metric, or metrics.
    n_splits_ : int
        Folds.
    n_validation_rows_ : int
        Rows that validate in one fold or more.
    multimetric_ : bool
        Whether there were several metrics.
    classes_ : ndarray
        Labels, if `best_estimator_` is a classifier.
    n_features_in_ : int
        Columns that `best_estimator_` saw.
    feature_names_in_ : ndarray
        Their names, if it saw any.

    Notes
    -----
    Ctrl-C keeps the results of the candidates that have finished on all folds: `cv_results_` and
    `best_params_` are set from them, and the interruption goes on. A search that fails, or that is
    interrupted before, stays as it was.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_dlsteps import StepwiseRegressor, StepwiseSearchCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = StepwiseRegressor(n_estimators=1, max_epochs=20, learning_rate=0.01, random_state=0)
    >>> space = {"dropout": [0.0, 0.25, 0.5], "hidden_units": [16, 64]}
    >>> search = StepwiseSearchCV(model, space, strategy="random", n_iter=3, cv=3, random_state=0).fit(X, y)
    >>> len(search.cv_results_["params"]), sorted(search.best_params_)
    (3, ['dropout', 'hidden_units'])
    >>> search.predict(X[:2]).shape
    (2,)

    """

    _parameter_constraints: ClassVar[dict] = {
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
        estimator: Any,
        param_distributions: Any = None,
        *,
        strategy: str = "ladder",
        n_iter: int = 30,
        max_seconds: float | None = None,
        training_target: float | str = "auto",
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = 5,
        verbose: int = 0,
        random_state: Any = None,
        error_score: float | str = np.nan,
        return_train_score: bool = False,
    ) -> None:
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

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Try candidates, keep the best, and fit it on all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows to search on.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            The target.
        **params : dict
            For the estimator's `fit`, the scorer and the splitter (`groups`), routed as in
            scikit-learn's searches. Weights are trained with together, too; where steps before the
            estimator want some of them, candidates are fitted one by one.

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
        self._check_target(y)
        routed = self._get_routed_params_for_fit(_check_method_params(X, params=params))
        space, prefix = self._space()
        # The candidates before the folds, as scikit-learn draws them: both may come from one RandomState.
        candidates = self._draw(space) if self.strategy == "random" else []
        splits = self._splits(X, y, routed.splitter.split)
        trial = Trial(
            clone(self.estimator),
            knowing_all_classes(scorer, self.estimator, y, splits),
            splits,
            routed.estimator.fit,
            routed.scorer.score,
            self.error_score,
            self.return_train_score or self.strategy == "ladder",
        )
        tried = Tried(len(trial.splits), self._compared, self.verbose)
        try:
            with SearchTasks.of(self, X, y, params.get("sample_weight")) as tasks:
                if self.strategy == "random":
                    with tasks.part("search", len(candidates) * len(splits), of_candidates=True) as part:
                        self._try(trial, X, y, candidates, tried, part)
                else:
                    with tasks.part("ladder") as part:
                        self._climb(trial, X, y, space, prefix, tried, part)
                fitted = self._summary(tried, range(len(tried.candidates)), trial, metric)
                if self.refit:
                    fitted |= self._refit(trial, fitted["best_params_"], X, y, tasks)
        except KeyboardInterrupt:
            # If every candidate failed, or if warnings are errors, keeping them raises.
            with suppress(Exception):
                self._keep(tried, trial, metric)
            raise
        finally:
            tried.end()
        self._publish(fitted)
        return self

    def report(self) -> Report:
        """Tell what was decided at each step, what the search tried, and what was not done.

        Returns
        -------
        report : Report
            Prints as text, shows itself in a notebook, and has `to_markdown`, `to_html` and `add`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the search is not fitted.
        ValueError
            If there is no `best_estimator_`, or if it is not one of ours.

        """
        from sk_dlsteps.report.report import Report

        return Report.of(self)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is something to predict with, if there should be; after an interruption there is not."""
        return hasattr(self, "cv_results_") and (not self.refit or hasattr(self, "best_estimator_"))

    def _check_parameters(self) -> None:
        """Raise if a parameter is not what it may be."""
        self._validate_params()
        if self.strategy == "ladder":
            target = self.training_target
            if target != "auto" and (isinstance(target, bool) or not np.isfinite(target)):
                raise ValueError(f"`training_target` must be 'auto' or a score, a finite number, got {target!r}")
            if isinstance(self.scoring, (list, tuple, dict)):
                self._check_one_counts()
            return
        for name, default in (("max_seconds", None), ("training_target", "auto")):
            if getattr(self, name) != default:
                raise ValueError(
                    f"`{name}` belongs to strategy='ladder', got {getattr(self, name)!r} with strategy='random'; "
                    f"leave it at {default!r} and bound a random search by `n_iter`"
                )

    def _check_target(self, y) -> None:
        """Raise for what no splitter can make folds of."""
        if y is None and get_tags(self.estimator).target_tags.required:
            raise ValueError(f"`y` must be given: {type(self.estimator).__name__} learns to predict it, got None")
        if is_classifier(self.estimator) and getattr(y, "dtype", None) == np.dtype(object) and y.ndim == 1:
            as_labels(np.asarray(y))

    def _check_one_counts(self) -> None:
        """Raise if no metric is named, of several, that the ladder could climb by."""
        if not isinstance(self.refit, str):
            raise ValueError(
                f"`refit` must name the metric that counts, as the ladder climbs by one, got {self.refit!r} with "
                "several of them"
            )

    def _space(self) -> tuple[Any, str]:
        """The distributions given, or those that the estimator offers, and the prefix of its parameters."""
        estimator, prefix = last_step(self.estimator)
        # A search has an attribute of that name too, which is no method.
        offers = callable(getattr(estimator, "param_distributions", None))
        if self.strategy == "ladder" and not offers:
            raise ValueError(
                "`strategy='ladder'` climbs the parameters of a StepwiseRegressor or StepwiseClassifier, or of a "
                f"pipeline that ends with one, got {type(estimator).__name__}; use strategy='random' with "
                "`param_distributions`"
            )
        if self.param_distributions is not None:
            return self.param_distributions, prefix
        if not offers:
            raise ValueError(
                f"`param_distributions` must be given, as {type(estimator).__name__} offers none of its own, got None"
            )
        # Without X and y: a learning rate searched for on all rows would know those of every fold.
        return None if self.strategy == "ladder" else estimator.param_distributions(prefix=prefix), prefix

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

    def _reshuffled(self, X, y) -> Callable[[np.random.RandomState], list] | None:
        """What makes other folds of rows in a random order, if theirs does not matter: that of a splitter may."""
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        by_number = self.cv is None or isinstance(self.cv, Integral)
        if type(cv) not in (KFold, StratifiedKFold) or not (by_number or cv.shuffle):
            return None

        def reshuffled(rng: np.random.RandomState) -> list:
            # A seed that is drawn: `random_state` itself may be that of `cv`, and give its folds again.
            return list(type(cv)(cv.n_splits, shuffle=True, random_state=rng.randint(2**31 - 1)).split(X, y))

        return reshuffled

    def _try(self, trial: Trial, X, y, candidates: list[dict[str, Any]], tried: Tried, tasks: SearchTasks) -> None:
        """Fit and score candidates on all folds, and note each result as it comes in."""
        first, n_splits = tried.add(candidates), len(trial.splits)
        end = tasks.begin(len(candidates) * n_splits)
        scored = (
            evaluate_on_workers(trial, X, y, candidates, self.n_jobs)
            if has_workers(self.n_jobs)
            else evaluate(trial, X, y, candidates)
        )
        with closing(scored):
            for number, fold, result in scored:
                tried.note(first + number, fold, result)
                end(number * n_splits + fold)

    def _climb(self, trial: Trial, X, y, space: Any, prefix: str, tried: Tried, tasks: SearchTasks) -> None:
        """Climb the ladder, and keep its state after each rung."""

        def evaluate_rung(candidates: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
            first = len(tried.candidates)
            with warnings.catch_warnings():
                if first:
                    # The start has told of it, or the rate to be found is an idea of the ladder's own.
                    warnings.filterwarnings("ignore", "No learning rate could be found", StepwiseWarning)
                n_fits = len(candidates) * len(trial.splits)
                with tasks.part(f"rung: {tried.doing}", n_fits, of_candidates=True) as part:
                    self._try(trial, X, y, candidates, tried, part)
            rows = range(first, len(tried.candidates))
            return tried.scores(rows, "test_scores"), tried.scores(rows, "train_scores")

        problem = Problem(
            trial.estimator,
            X,
            y,
            trial.splits,
            trial.scorer,
            task=self._task(y),
            prefix=prefix,
            score_name=self._score_name(),
            fit_params=trial.fit_params,
            score_params=trial.score_params,
            compared=self._compared,
            reshuffled=self._reshuffled(X, y),
        )
        for ladder in climb(
            evaluate_rung,
            problem,
            n_iter=self.n_iter,
            max_seconds=self.max_seconds,
            training_target=self.training_target,
            param_distributions=space,
            random_state=self.random_state,
            announce=tried.begin,
        ):
            tried.ladder = ladder

    def __sklearn_tags__(self):
        """As scikit-learn's searches; gaps are welcome where the estimator welcomes them."""
        tags = super().__sklearn_tags__()
        steps = [step for _, step in self.estimator.steps] if isinstance(self.estimator, Pipeline) else [self.estimator]
        tags.input_tags.allow_nan = all(get_tags(step).input_tags.allow_nan for step in steps)
        return tags

    def _task(self, y) -> str:
        """What the target asks for, seen from models to compare with."""
        if not is_classifier(self.estimator):
            return "regression"
        return "multilabel" if type_of_target(y) == "multilabel-indicator" else "classification"

    def _compared(self, scores: Any) -> float:
        """The score that candidates are compared by, of all that the scorer gave; NaN if none of them counts."""
        if not isinstance(scores, dict):
            return scores
        if self.strategy == "ladder":
            # A scorer of the user's own shows only now how many metrics it has.
            self._check_one_counts()
            self._check_refit_for_multimetric(scores)
        return scores.get(self.refit, np.nan) if isinstance(self.refit, str) else np.nan

    def _score_name(self) -> str:
        """What to call that score."""
        if isinstance(self.refit, str):
            return self.refit
        if isinstance(self.scoring, str):
            return self.scoring
        if self.scoring is None and (is_classifier(self.estimator) or is_regressor(self.estimator)):
            return "accuracy" if is_classifier(self.estimator) else "R2"
        return "score"

    def _summary(self, tried: Tried, rows: Sequence[int], trial: Trial, metric: Any) -> dict[str, Any]:
        """The fitted attributes that follow from the results, but for those of refitting."""
        candidates, out = [tried.candidates[row] for row in rows], tried.results(rows)
        if not out:
            raise ValueError("There was nothing to fit: no candidates, or no folds from `cv`")
        _warn_or_raise_about_fit_failures(out, self.error_score)
        if callable(self.scoring):
            _insert_error_scores(out, self.error_score)
        results = self._format_results(candidates, len(trial.splits), out, tried.more(rows))
        multimetric = isinstance(out[0]["test_scores"], dict)
        if callable(self.scoring) and multimetric:
            self._check_refit_for_multimetric(out[0]["test_scores"])
            metric = self.refit
        fitted = {
            "cv_results_": results,
            "n_splits_": len(trial.splits),
            "n_validation_rows_": _n_validation_rows(trial.splits),
            "multimetric_": multimetric,
            "scorer_": getattr(trial.scorer, "_scorers", trial.scorer),
        }
        if tried.ladder is not None:
            fitted["ladder_"] = tried.ladder
        if self.refit or not multimetric:
            if tried.ladder is None or callable(self.refit):
                best = self._select_best_index(self.refit, metric, results)
            else:
                best = tried.ladder.best_index
            fitted |= {"best_index_": best, "best_params_": results["params"][best]}
            if not callable(self.refit):
                fitted["best_score_"] = results[f"mean_test_{metric}"][best]
        return fitted

    def _refit(self, trial: Trial, params: dict[str, Any], X, y, tasks: SearchTasks) -> dict[str, Any]:
        """Fit the best candidate on all rows."""
        best = trial.with_parameters(params)
        started = time.perf_counter()
        with tasks.final_fit(best):
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
        self._publish(self._summary(tried, finished, trial, metric))
        warnings.warn(
            f"The search was interrupted; {len(finished)} of {len(tried.candidates)} candidates had finished and are "
            "kept in `cv_results_`. There is no `best_estimator_`: to have one, fit "
            "`clone(search.estimator).set_params(**search.best_params_)`, or search again.",
            StepwiseWarning,
            stacklevel=level_of_the_caller(),
        )

    def _publish(self, fitted: dict[str, Any]) -> None:
        """Replace the fitted attributes, all at once."""
        kept = {name: value for name, value in vars(self).items() if name.startswith("_") or not name.endswith("_")}
        self.__dict__ = {**kept, **fitted}


def _n_validation_rows(splits: list[tuple[np.ndarray, np.ndarray]]) -> int:
    """Rows that validate in some fold, which are given by number or by a mask."""
    return len(np.unique(np.concatenate([row_numbers(test) for _, test in splits])))
