"""What must hold of every case: a clear refusal that leaves no trace, or a model that keeps its promises."""

from __future__ import annotations

import copy
import linecache
import pickle
import random
import re
import traceback
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse as sp
import sklearn
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import InvalidParameterError
from strategies import Case, source

import sk_dlsteps
from sk_dlsteps import StepwiseSearchCV, StepwiseWarning, find_learning_rate
from sk_dlsteps.inputs.parameters import TABLE

OURS, THEIRS = (str(Path(package.__file__).parent) for package in (sk_dlsteps, sklearn))
HERE = str(Path(__file__).parent)
# What a refusal must be about: a parameter, by its name in backticks, or the data.
SUBJECT = re.compile(r"`(\w+)[^`]*`|\b(X_val|y_val|X|y|sample_weight)\b")
# scikit-learn's own words about data, which name neither.
DATA = re.compile(
    "|".join(
        [
            *("Found array with", "Found input variables", "Expected 2D array", "Expected sequence or array-like"),
            *("Unknown label type", "label", "multi-?output", "should be a 1d array", "bad input shape", "dimension"),
            *(
                "[Ff]eature names",
                "Sparse data",
                "Complex data",
                "np.matrix",
                "Sample weights must",
                "y_true",
                "n_splits",
            ),
        ]
    )
)


class Broken(AssertionError):
    """A promise that was not kept."""


def run(case: Case) -> str:
    """Carry a case out, and say what came of it: "fitted", or what was refused.

    Raises
    ------
    Broken
        If it ended in any other way.

    """
    try:
        estimator = case.estimator()
    except (TypeError, ValueError) as error:
        raise Broken("the constructor raises") from error
    with _the_process_as_it_was(), _allowed_warnings(case.action in ("random", "ladder")):
        try:
            return ACTS[case.action](case, estimator)
        except _Refused as refused:
            return refused.subject


class _Refused(Exception):
    """A clear refusal of a case."""

    def __init__(self, subject: str) -> None:
        super().__init__(subject)
        self.subject = subject


# -- acts ----------------------------------------------------------------------------


def _fit(case: Case, estimator: Any) -> str:
    """Fit, predict, and fit again from the same seed."""
    X, y = case.data()
    more = case.fit_parameters()
    _attempt(estimator, lambda: estimator.fit(X, y, **more), X, y, *more.values())
    _keeps_promises(case, estimator, X)
    if case.seed % 4 == 0:
        again = case.estimator().fit(X, y, **more)
        _same(_outputs(estimator, X), _outputs(again, X), "a second fit from the same seed")
    return "fitted"


def _fit_again(case: Case, estimator: Any) -> str:
    """Fit over an earlier fit, which must stay if this one fails."""
    fitted = copy.deepcopy(source(case.task)).set_params(**case.values())
    return _fit(case, fitted)


def _warm_start(case: Case, estimator: Any) -> str:
    """Fit, and go on with other rows of the same kind."""
    estimator.set_params(warm_start=True)
    X, y = case.data()
    _attempt(estimator, lambda: estimator.fit(X, y), X, y)
    X, y = case.data(seed=case.seed % 2)
    more = case.fit_parameters()
    _attempt(estimator, lambda: estimator.fit(X, y, **more), X, y, *more.values())
    _keeps_promises(case, estimator, X)
    return "fitted"


def _partial_fit(case: Case, estimator: Any) -> str:
    """Learn two chunks."""
    if not hasattr(estimator, "partial_fit"):
        return "no partial_fit"
    for seed in (0, 1):
        X, y = case.data(seed)
        more = {name: value for name, value in case.fit_parameters().items() if name == "sample_weight"}
        if case.task == "classification" and seed == 0:
            more["classes"] = y
        _attempt(estimator, lambda X=X, y=y, more=more: estimator.partial_fit(X, y, **more), X, y, *more.values())
    _keeps_promises(case, estimator, X)
    return "fitted"


def _fine_tune(case: Case, estimator: Any) -> str:
    """Fine-tune a fitted estimator."""
    X, y = case.data()
    fitted = source(case.task)
    parameters = {
        name: value for name, value in case.values().items() if name in case.parameters and name != "init_from"
    }
    tuned: list[Any] = []
    own = {"max_epochs": 1, "learning_rate": 0.1, **parameters}
    _attempt(fitted, lambda: tuned.append(fitted.fine_tune(X, y, **own)), X, y)
    _keeps_promises(case, tuned[0], X)
    return "fitted"


def _random_search(case: Case, estimator: Any) -> str:
    """Try two candidates at random."""
    space = {"dropout": [0.0, 0.5], "batch_size": [4, "auto"], "n_hidden_layers": [1, 2]}
    search = StepwiseSearchCV(estimator, space, strategy="random", n_iter=2, cv=2, random_state=0, error_score="raise")
    return _search(case, search)


def _ladder(case: Case, estimator: Any) -> str:
    """Climb a little."""
    search = StepwiseSearchCV(estimator, n_iter=2, cv=2, random_state=0, error_score="raise")
    return _search(case, search)


def _search(case: Case, search: Any) -> str:
    """Search with what `fit` gets, but without validation rows, which have no place in it."""
    X, y = case.data()
    more = {name: value for name, value in case.fit_parameters().items() if name == "sample_weight"}
    _attempt(search, lambda: search.fit(X, y, **more), X, y, *more.values())
    _check(np.isfinite(search.best_score_) or case.n_rows < 8, "the best score is finite")
    _keeps_promises(case, search.best_estimator_, X)
    return "fitted"


def _finder(case: Case, estimator: Any) -> str:
    """Find a learning rate."""
    X, y = case.data()
    curves: list[Any] = []
    _attempt(estimator, lambda: curves.append(find_learning_rate(estimator, X, y)), X, y)
    _check(np.isfinite(curves[0].learning_rate) and curves[0].learning_rate > 0, "the rate is a number above 0")
    return "fitted"


ACTS = {
    "fit": _fit,
    "fit again": _fit_again,
    "warm start": _warm_start,
    "partial_fit": _partial_fit,
    "random": _random_search,
    "ladder": _ladder,
    "finder": _finder,
    "fine_tune": _fine_tune,
}


# -- promises ------------------------------------------------------------------------


def _attempt(estimator: Any, act: Any, *arguments: Any) -> None:
    """Do something that may be refused, clearly and without a trace."""
    before, parameters = dict(vars(estimator)), estimator.get_params(deep=False)
    copies = copy.deepcopy(arguments)
    try:
        act()
    except Exception as error:
        subject = _subject(error)
        if subject is None:
            raise Broken(f"{type(error).__name__} from the depth: {str(error)[:200]}") from error
        after = vars(estimator)
        _check(set(after) == set(before), "a refusal leaves no attributes")
        _check(all(after[name] is before[name] for name in before), "a refusal changes no attribute")
        raise _Refused(subject) from None
    finally:
        _check(all(map(_is_equal, arguments, copies)), "arguments are left alone")
        own = estimator.get_params(deep=False)
        _check(all(own[name] is value for name, value in parameters.items()), "parameters are left alone")


def _subject(error: Exception) -> str | None:
    """What an error refuses; None if it is not raised on purpose, by us or scikit-learn, or does not say what."""
    if type(error) not in (ValueError, TypeError, InvalidParameterError):
        return None
    frame = traceback.extract_tb(error.__traceback__)[-1]
    source_line = linecache.getline(frame.filename, frame.lineno or 0).strip()
    if not frame.filename.startswith((OURS, THEIRS)) or not source_line.startswith("raise"):
        return None
    found = SUBJECT.search(str(error))
    names = [a or b for a, b in SUBJECT.findall(str(error))]
    known = [name for name in names if name in TABLE or name in ("X", "y", "X_val", "y_val", "sample_weight")]
    if known:
        return known[0]
    if DATA.search(str(error)) or found:
        return "data"
    return None


def _keeps_promises(case: Case, model: Any, X: Any) -> None:
    """A model predicts numbers or labels, a row alone as among others, and so does its pickled copy."""
    n_rows = len(X) if not sp.issparse(X) else X.shape[0]
    outputs = _outputs(model, X)
    for name, values in outputs.items():
        _check(len(values) == n_rows, f"{name} has a row for each")
        if values.dtype.kind == "f":
            _check(bool(np.isfinite(values).all()), f"{name} is finite")
    if case.task == "regression":
        _check(outputs["predict"].dtype == np.float64, "values are float64")
    else:
        _check(bool(np.isin(outputs["predict"], model.classes_).all()), "labels are of those seen")
        if outputs["predict_proba"].shape[1:] == model.classes_.shape and model.plan_.task != "multilabel":
            np.testing.assert_allclose(outputs["predict_proba"].sum(1), 1, err_msg="probabilities add up to 1")
    _same(outputs, _outputs(pickle.loads(pickle.dumps(model)), X), "a pickled copy")
    # A product over one row may round in another order than one over many: networks of the user's in float32.
    rounding = 1e-9 if case.values().get("module", "mlp") == "mlp" else 1e-4
    for row in range(min(n_rows, 2)):
        for name, values in _outputs(model, _safe_indexing(X.tocsr() if sp.issparse(X) else X, [row])).items():
            if values.dtype.kind == "f":
                what = f"{name} of a row alone is that among others"
                np.testing.assert_allclose(values, outputs[name][[row]], rounding, rounding, err_msg=what)
    clone(model)


def _outputs(model: Any, X: Any) -> dict[str, np.ndarray]:
    """What a model says of rows."""
    names = ("predict", "predict_proba") if hasattr(model, "predict_proba") else ("predict",)
    return {name: getattr(model, name)(X) for name in names}


def _same(one: dict[str, np.ndarray], other: dict[str, np.ndarray], what: str) -> None:
    """Outputs are equal, bit for bit."""
    for name, values in one.items():
        _check(np.array_equal(values, other[name]), f"{name} of {what} is the same")


def _check(holds: bool, what: str) -> None:
    """Raise if a promise is not kept."""
    if not holds:
        raise Broken(what)


def _is_equal(one: Any, other: Any) -> bool:
    """Whether an argument is what its copy is."""
    if type(one) is not type(other):
        return False
    if isinstance(one, pd.DataFrame | pd.Series | pl.DataFrame | pl.Series):
        return bool(one.equals(other))
    if isinstance(one, pl.LazyFrame):
        return _is_equal(one.collect(), other.collect())
    if sp.issparse(one):
        return one.shape == other.shape and _is_equal(one.tocoo().data, other.tocoo().data)
    if isinstance(one, torch.Tensor):
        return torch.equal(one.nan_to_num(), other.nan_to_num())
    if isinstance(one, np.ma.MaskedArray):
        return _is_equal(one.data, other.data) and _is_equal(np.ma.getmaskarray(one), np.ma.getmaskarray(other))
    if isinstance(one, np.ndarray) and one.dtype != object:
        return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()
    return repr(one) == repr(other)


# -- the process ---------------------------------------------------------------------


def _state() -> Mapping[str, Any]:
    """What belongs to the whole process and is nobody's to change."""
    return {
        "torch's generator": torch.get_rng_state().numpy().tobytes(),
        "numpy's generator": pickle.dumps(np.random.get_state()),
        "Python's generator": random.getstate(),
        "threads": torch.get_num_threads(),
        "the default dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "errors of numpy": np.geterr(),
        "warnings' filters": list(warnings.filters),
    }


@contextmanager
def _the_process_as_it_was():
    """Check that all of it is afterwards as before."""
    before = _state()
    yield
    after = _state()
    for name, value in before.items():
        _check(after[name] == value, f"{name} stays as it was")


@contextmanager
def _allowed_warnings(in_search: bool):
    """Check that nobody is warned but of what is theirs to change."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        kind, file = warning.category, warning.filename
        ours = issubclass(kind, StepwiseWarning | ConvergenceWarning | DataConversionWarning)
        of_users = kind is UserWarning and file.startswith((THEIRS, OURS, HERE))
        # The splitter casts labels, and the scorer squares targets, before or although we refuse them.
        of_search = in_search and kind is RuntimeWarning and file.startswith(THEIRS)
        if not (ours or of_users or of_search):
            raise Broken(f"{kind.__name__} at {file}:{warning.lineno}: {str(warning.message)[:200]}")
