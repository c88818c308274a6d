"""Candidates of a search: trained together where they can be, one by one as scikit-learn does otherwise."""

from __future__ import annotations

import copy
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.model_selection._validation import _fit_and_score, _score
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params, _num_samples

from sk_dlsteps.callback_support import callbacks_of

# Rows of folds that are cut out at any time, and transformed tables that wait for their fleets: many repeated folds,
# or a pipeline whose candidates also vary the transformers, would otherwise fill the memory.
MOST_BYTES = 256_000_000

# Number of a candidate, number of a fold, and what scikit-learn's `_fit_and_score` returns for the two.
Scored = tuple[int, int, dict[str, Any]]


@dataclass(frozen=True)
class Trial:
    """What all candidates of a search share.

    Attributes
    ----------
    estimator : estimator object
        Unfitted; a candidate is a clone of it with other parameters.
    scorer : callable
        As scikit-learn's searches make it of `scoring`.
    splits : list of (train, test)
        Rows of each fold.
    fit_params, score_params : dict
        What was routed to `fit` and to the scorer.
    error_score : "raise" or float
        What a failed fit scores.
    return_train_score : bool
        Whether training rows are scored too.

    """

    estimator: Any
    scorer: Any
    splits: list[tuple[np.ndarray, np.ndarray]]
    fit_params: dict[str, Any]
    score_params: dict[str, Any]
    error_score: Any
    return_train_score: bool

    def with_parameters(self, params: dict[str, Any]) -> Any:
        """The unfitted estimator of a candidate; raises if it has no such parameters."""
        return clone(self.estimator).set_params(**clone(params, safe=False))

    def failed(self, error: Exception, n_test_samples: int) -> dict[str, Any]:
        """The result of a fit that raised this error."""
        if self.error_score == "raise":
            raise error
        names = self.scorer._scorers if isinstance(self.scorer, _MultimetricScorer) else None
        result = {
            "fit_error": "".join(traceback.format_exception(error)),
            "n_test_samples": n_test_samples,
            "fit_time": 0.0,
            "score_time": 0.0,
        }
        for key in ("test_scores", "train_scores")[: 1 + self.return_train_score]:
            result[key] = self.error_score if names is None else dict.fromkeys(names, self.error_score)
        return result


def evaluate(trial: Trial, X, y, candidates: list[dict[str, Any]]) -> Generator[Scored, None, None]:
    """Fit each candidate on the training rows of each fold and score it.

    Parameters
    ----------
    trial : Trial
        What they share.
    X, y : array-like
        All rows.
    candidates : list of dict
        Parameters of each.

    Yields
    ------
    scored : (int, int, dict)
        Numbers of the candidate and of the fold, and the result, in the order in which they become
        ready. What trains together shares its time: `fit_time` is the mean, and stands there from
        the end of the batch on.

    """
    estimators = [trial.with_parameters(params) for params in candidates]
    for first, splits in _parts(trial.splits, _n_bytes(X) / _num_samples(X)):
        for number, fold, result in _evaluate_part(replace(trial, splits=splits), X, y, candidates, estimators):
            yield number, first + fold, result


def _n_bytes(X: Any) -> int:
    """Memory of a table; where it does not say, that of so many float64 as its first row holds in each."""
    own = getattr(X, "nbytes", None)
    return own if isinstance(own, int) else 8 * _num_samples(X) * np.size(_safe_indexing(X, [0]))


def _parts(splits: list[tuple], row_bytes: float) -> Iterator[tuple[int, list[tuple]]]:
    """Splits whose rows may stand in memory together, each time with the number of the first."""
    first, held = 0, 0.0
    for i, split in enumerate(splits):
        size = row_bytes * sum(map(len, split))
        if i > first and held + size > MOST_BYTES:
            yield first, splits[first:i]
            first, held = i, 0.0
        held += size
    yield first, splits[first:]


def _evaluate_part(
    trial: Trial, X, y, candidates: list[dict[str, Any]], estimators: list[Any]
) -> Generator[Scored, None, None]:
    """The candidates on some of the folds: those that can be trained together first, then the others."""
    batches: dict[Callable, list[int]] = {}
    alone = []
    for number, estimator in enumerate(estimators):
        separable = y is not None and _last_fit_params(estimator, trial.fit_params) is not None
        hook = _hook(estimator) if separable else None
        if hook is None:
            alone.append(number)
        else:
            batches.setdefault(hook, []).append(number)
    for hook, numbers in batches.items():
        yield from _Batch(hook, trial, X, y).run(numbers, estimators, candidates)
    for number in alone:
        for fold in range(len(trial.splits)):
            yield number, fold, _one_by_one(trial, X, y, candidates[number], fold)


def last_step(estimator: Any) -> tuple[Any, str]:
    """The estimator itself, or the last one of a pipeline, however deep, and the prefix of its parameters."""
    prefix = ""
    while isinstance(estimator, Pipeline):
        name, estimator = estimator.steps[-1]
        prefix += f"{name}__"
    return estimator, prefix


def _hook(estimator: Any) -> Callable | None:
    """The function that fits several estimators of this kind together, if there is one."""
    below = _below(estimator)
    if any(map(callbacks_of, below)):  # they want to hear of each fit
        return None
    kind = type(below[-1])
    for base in kind.__mro__:
        if "_fit_together" in vars(base):
            return kind._fit_together
        if "fit" in vars(base):  # of a subclass: it knows something that the inherited function does not
            return None
    return None


def _below(estimator: Any) -> list[Any]:
    """The estimator, and as long as that is a pipeline its last step, and so on down."""
    found = [estimator]
    # A subclass of Pipeline may do more between its steps than transform, so it is left alone.
    while type(found[-1]) is Pipeline:
        found.append(found[-1].steps[-1][1])
    return found


def _last_fit_params(estimator: Any, params: dict[str, Any]) -> dict[str, Any] | None:
    """What of the parameters for `fit` reaches the part that trains; None if another step wants some."""
    for pipeline in _below(estimator)[:-1]:
        if not params:
            return {}
        if pipeline.transform_input is not None:
            return None
        try:
            routed = pipeline._check_method_params(method="fit", props=params)
        except Exception:  # the fit itself will say what is wrong with them
            return None
        *leading, last = [name for name, step in pipeline.steps if step is not None]
        if any(routed[name].get(method) for name in leading for method in ("fit", "fit_transform")):
            return None
        params = routed[last]["fit"]
    return params


def _one_by_one(trial: Trial, X, y, params: dict[str, Any], fold: int) -> dict[str, Any]:
    """A candidate on a fold, the way scikit-learn's searches do it."""
    train, test = trial.splits[fold]
    return _fit_and_score(
        clone(trial.estimator),
        X,
        y,
        scorer=trial.scorer,
        train=train,
        test=test,
        verbose=0,
        parameters=params,
        fit_params=trial.fit_params,
        score_params=trial.score_params,
        return_train_score=trial.return_train_score,
        return_n_test_samples=True,
        return_times=True,
        error_score=trial.error_score,
    )


@dataclass(frozen=True)
class _Fold:
    """Rows of a fold, cut once for all candidates, and what the scorer gets with them."""

    X: Any
    y: Any
    X_test: Any
    y_test: Any
    score_params: dict[str, Any]
    score_params_test: dict[str, Any]


@dataclass
class _Fit:
    """One candidate on one fold, on its way."""

    number: int
    fold: int
    estimator: Any
    X: Any
    y: Any
    leading: list[list]
    """Fitted steps that stand before the last one: of the pipeline, of the one that this ends with, and so on."""
    params: dict[str, Any]
    """What its `fit` is given beside X and y, cut to the fold's rows."""

    @property
    def last(self) -> Any:
        """The part that trains, on X and y."""
        return last_step(self.estimator)[0]

    @property
    def given(self) -> tuple:
        """What the part that trains is given: X and y, and parameters of `fit` if there are any."""
        return (self.X, self.y, self.params) if self.params else (self.X, self.y)

    def table(self, X: Any) -> Any:
        """A table of the fold, of this fit's own where a step before the last may write into it."""
        return copy.deepcopy(X) if any(self.leading) else X

    def whole(self) -> Any:
        """The estimator that predicts, once the last part is trained."""
        for pipeline, leading in zip(_below(self.estimator), self.leading, strict=False):
            pipeline.steps = [*leading, pipeline.steps[-1]]
        return self.estimator


@dataclass
class _Batch:
    """Fits that are handed to one hook."""

    hook: Callable
    trial: Trial
    X: Any
    y: Any
    folds: list[_Fold] = field(default_factory=list)
    params: dict[tuple, dict[str, Any]] = field(default_factory=dict)

    def run(self, numbers: list[int], estimators: list[Any], candidates: list[dict[str, Any]]) -> Iterator[Scored]:
        """Transform where a pipeline says so, train, score."""
        self.folds = [self._cut(*split) for split in self.trial.splits]
        fits: list[_Fit] = []
        held, spent = 0, 0.0
        for same in _by_transformers(numbers, estimators, candidates):
            for fold, rows in enumerate(self.folds):
                started = time.perf_counter()
                leading, Z, error = _transform(estimators[same[0]], rows)
                spent += time.perf_counter() - started
                if error is not None:
                    for number in same:
                        yield number, fold, self.trial.failed(error, _num_samples(rows.X_test))
                    continue
                for number in same:
                    own = self._fit_params(estimators[number], fold)
                    fits.append(_Fit(number, fold, clone(estimators[number]), Z, rows.y, leading, own))
                held += 0 if Z is rows.X else _n_bytes(Z)
            if held > MOST_BYTES:
                yield from self._train(fits, spent)
                fits, held, spent = [], 0, 0.0
        if fits:
            yield from self._train(fits, spent)

    def _cut(self, train, test) -> _Fold:
        """The rows of a fold."""
        estimator, X, y, params = self.trial.estimator, self.X, self.y, self.trial.score_params
        X_train, y_train = _safe_split(estimator, X, y, train)
        X_test, y_test = _safe_split(estimator, X, y, test, train)
        params_train = _check_method_params(X, params=params, indices=train)
        return _Fold(
            X_train, y_train, X_test, y_test, params_train, _check_method_params(X, params=params, indices=test)
        )

    def _fit_params(self, estimator: Any, fold: int) -> dict[str, Any]:
        """Parameters of `fit` for a fold's rows, cut once for all candidates that are given the same."""
        params = _last_fit_params(estimator, self.trial.fit_params) or {}
        key = (fold, *((name, id(value)) for name, value in params.items()))
        if key not in self.params:
            train, _ = self.trial.splits[fold]
            self.params[key] = dict(_check_method_params(self.X, params=params, indices=train))
        return self.params[key]

    def _train(self, fits: list[_Fit], spent: float) -> Iterator[Scored]:
        """Hand the fits over, which took `spent` seconds before, and score each when it is ready; `fits` is used up."""
        # Candidate by candidate, so that an interruption finds as many complete ones as possible.
        fits.sort(key=lambda fit: (fit.number, fit.fold))
        parts, tables = [fit.last for fit in fits], [fit.given for fit in fits]
        done, started = [], time.perf_counter()
        try:
            for i, error in self.hook(parts, tables):
                spent += time.perf_counter() - started
                fit = fits[i]
                result = self._scored(fit, error)
                # What is scored is dropped: fitted networks of a whole search would pile up.
                parts[i] = fits[i] = None  # type: ignore[call-overload]
                done.append(result)
                yield fit.number, fit.fold, result
                del fit, error
                started = time.perf_counter()
        finally:
            for result in done:
                result["fit_time"] = spent / len(done)

    def _scored(self, fit: _Fit, error: Exception | None) -> dict[str, Any]:
        """Scores of a trained candidate."""
        trial, rows = self.trial, self.folds[fit.fold]
        if error is not None:
            return trial.failed(error, _num_samples(rows.X_test))
        started = time.perf_counter()
        estimator = fit.whole()
        X_test = fit.table(rows.X_test)
        scores = _score(estimator, X_test, rows.y_test, trial.scorer, rows.score_params_test, trial.error_score)
        result = {
            "fit_error": None,
            "test_scores": scores,
            "n_test_samples": _num_samples(rows.X_test),
            "fit_time": 0.0,
            "score_time": time.perf_counter() - started,
        }
        if trial.return_train_score:
            X = fit.table(rows.X)
            result["train_scores"] = _score(estimator, X, rows.y, trial.scorer, rows.score_params, trial.error_score)
        return result


def _by_transformers(numbers: list[int], estimators: list[Any], candidates: list[dict[str, Any]]) -> list[list[int]]:
    """Candidates in groups whose transformers are set alike."""
    groups: dict[Any, list[int]] = {}
    for number in numbers:
        groups.setdefault(_transformer_key(number, estimators[number], candidates[number]), []).append(number)
    return list(groups.values())


def _transformer_key(number: int, estimator: Any, params: dict[str, Any]) -> Any:
    """Something that is equal for candidates whose transformers are set alike."""
    last = "__".join(pipeline.steps[-1][0] for pipeline in _below(estimator)[:-1])
    if not last:
        return None
    own = {name: value for name, value in params.items() if not f"{name}__".startswith(f"{last}__")}
    try:
        return last, joblib.hash(own)
    except Exception:  # whatever pickling says of a value that it cannot take: that candidate stands by itself
        return number


def _transform(estimator: Any, rows: _Fold) -> tuple[list[list], Any, Exception | None]:
    """Fitted leading steps of pipelines and what they make of the training rows, or the error they gave."""
    leading, Z = [], rows.X
    try:
        for pipeline in _below(clone(estimator))[:-1]:
            transformers = pipeline[:-1]
            if transformers.steps:
                # A transformer may work in place, and other candidates need the fold's rows as they are.
                Z = transformers.fit_transform(copy.deepcopy(Z) if Z is rows.X else Z, rows.y)
            leading.append(transformers.steps)
    except Exception as error:
        return leading, None, error
    return leading, Z, None
