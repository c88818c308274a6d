"""The six steps on a table, from the test set set aside to what to watch, and what is kept of them."""

from __future__ import annotations

import io
import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from skorch.callbacks import Callback

from sk_dlsteps.classifier import StepwiseClassifier
from sk_dlsteps.displays.learning_rate import LearningRateDisplay
from sk_dlsteps.exceptions import StepwiseWarning, level_of_the_caller
from sk_dlsteps.fitted import Fitted
from sk_dlsteps.inputs.table import NewRows, Table, TableError, guess_task
from sk_dlsteps.plan import StepRecord
from sk_dlsteps.recipe import StepwiseEstimator
from sk_dlsteps.regressor import StepwiseRegressor
from sk_dlsteps.report.report import Report
from sk_dlsteps.step4_validation.baselines import SCORES, baselines_record, fit_baselines
from sk_dlsteps.step4_validation.search import StepwiseSearchCV
from sk_dlsteps.step5_test.comparison import comparison_record
from sk_dlsteps.step5_test.hold_out import hold_out_test_set
from sk_dlsteps.step5_test.metric import Metric
from sk_dlsteps.step5_test.rows import Rows
from sk_dlsteps.step5_test.verification import judge
from sk_dlsteps.step6_real_world.detector import DriftDetector
from sk_dlsteps.step6_real_world.watch import REFUSED, what_to_watch

# Folds for the baselines when the model is a single network.
_N_FOLDS = 5


@dataclass(frozen=True)
class Walk:
    """A table after its six steps.

    Attributes
    ----------
    table : Table
        What was walked through.
    model : StepwiseRegressor or StepwiseClassifier
        Fitted on the training rows.
    report : Report
        The steps' decisions under the data set's name.

    """

    table: Table
    model: StepwiseEstimator
    report: Report


def embedded_tables() -> tuple[Table, ...]:
    """Load a regression and a classification set that come with scikit-learn.

    Returns
    -------
    tables : tuple of Table
        Diabetes and breast cancer.

    Examples
    --------
    >>> [(table.name, table.task, table.X.shape) for table in embedded_tables()]
    [('diabetes', 'regression', (442, 10)), ('breast_cancer', 'classification', (569, 30))]

    """
    diabetes, cancer = load_diabetes(scaled=False), load_breast_cancer()
    return (
        _embedded("diabetes", diabetes, diabetes.target, "disease progression"),
        _embedded("breast_cancer", cancer, cancer.target_names[cancer.target], "diagnosis"),
    )


def _embedded(name: str, bunch: Any, y: np.ndarray, target: str) -> Table:
    """One of scikit-learn's data sets as a table."""
    task, because = guess_task(y)
    return Table(name, bunch.data, y, tuple(map(str, bunch.feature_names)), target, task, because)


def walk_through(
    table: Table,
    *,
    test_size: float = 0.2,
    seed: int = 0,
    search: str | None = None,
    max_seconds: float | None = None,
    later: NewRows | None = None,
    callbacks: list[Callback] | None = None,
    announce: Callable[[str], None] | None = None,
) -> Walk:
    """Take the six steps on a table.

    Parameters
    ----------
    table : Table
        Inputs and target.
    test_size : float, default=0.2
        Share of the rows that is set aside for step 5.
    seed : int, default=0
        Of everything that is drawn.
    search : {"ladder", "random"}, default=None
        How step 4 looks for better parameters; None takes the recipe's.
    max_seconds : float, default=None
        Of the ladder: no rung is begun that would not end within it.
    later : NewRows, default=None
        Rows from the real world, for step 6.
    callbacks : list of skorch Callback, default=None
        Hear of the training without a search; they are not kept with the model's parameters.
    announce : callable, default=None
        Called with a few words when something begins. With it a search shows its progress, too.

    Returns
    -------
    walk : Walk
        The model and the report.

    Raises
    ------
    TableError
        If there are too few rows, or the estimator finds fault with them.

    Examples
    --------
    >>> diabetes, _ = embedded_tables()
    >>> walk = walk_through(diabetes)
    >>> sorted({record.number for record in walk.report.records})
    [1, 2, 3, 4, 5, 6]

    """
    verbose, announce = announce is not None, announce or (lambda words: None)
    train, test = hold_out_test_set(table.y, table.task, test_size, seed)
    X_train, y_train, X_test, y_test = _rows(table.X, train), table.y[train], _rows(table.X, test), table.y[test]
    score_name, _ = SCORES[table.task]

    announce(f"{table.name}: choosing the cost, the architecture and the learning rate")
    kind = StepwiseRegressor if table.task == "regression" else StepwiseClassifier
    chosen: Any = kind(random_state=seed, callbacks=callbacks)
    if search is not None:
        chosen = StepwiseSearchCV(
            kind(random_state=seed), strategy=search, max_seconds=max_seconds, random_state=seed, verbose=int(verbose)
        )
    try:
        chosen.fit(X_train, y_train)
    except ValueError as error:
        raise TableError(str(error)) from error
    model = Fitted.of(chosen).model.set_params(callbacks=None)

    announce(f"{table.name}: fitting the baselines")
    n_networks = model.plan_.n_networks
    baselines = fit_baselines(
        table.task, X_train, y_train, n_folds=n_networks if n_networks > 1 else _N_FOLDS, seed=seed
    )

    announce(f"{table.name}: verifying on the test set")
    fitted, rows = Fitted.of(chosen), Rows.of(X_test, y_test)
    verification = judge(fitted, Metric.of(fitted, None, rows.y), rows, seed=seed)
    predictions = {"network": model.predict(X_test), **{b.name: b.model.predict(X_test) for b in baselines}}
    report = Report.of(chosen, records=[table.record], title=f"{table.name}: {table.task} of {table.target}").add(
        baselines_record(table.task, model.training_score_, model.validation_score_, baselines),
        verification,
        comparison_record(y_test, predictions, score_name=score_name, seed=seed),
        what_to_watch(
            model.reference_,
            model._network_inputs(X_test),
            table.columns,
            score_name=score_name,
            interval=verification.test_interval,
        ),
    )
    if later is not None:
        announce(f"{table.name}: comparing {len(later.X)} later rows with the training rows")
        report.add(*_look_at(later, model, X_train, seed))
    return Walk(table, model, report)


def _look_at(later: NewRows, model: StepwiseEstimator, X_train: Any, seed: int) -> list[Any]:
    """What later rows say, and what was not looked at of them; what was done until then is not lost for them."""
    parts: list[Any] = [StepRecord(6, REFUSED, later.note, "")] if later.note else []
    try:
        parts.append(DriftDetector.from_estimator(model, X_train, random_state=seed).check(later.X, later.y))
    except ValueError as error:
        warnings.warn(f"The later rows were not checked: {error}", StepwiseWarning, stacklevel=level_of_the_caller())
        parts.append(StepRecord(6, REFUSED, "not checked", str(error)))
    return parts


def save_walk(walk: Walk, folder: Path) -> list[str]:
    """Keep the model, the report and the learning-rate plot in a folder, all of them or none.

    Parameters
    ----------
    walk : Walk
        What to keep.
    folder : Path
        Made if there is none; files of the same names are replaced.

    Returns
    -------
    names : list of str
        The files kept: without ``learning_rate.png`` if matplotlib is missing, or if a search chose the rate.

    Raises
    ------
    OSError
        If the folder cannot be written.

    """
    model = io.BytesIO()
    joblib.dump(walk.model, model)
    files = {"model.joblib": model.getvalue(), "report.html": walk.report.to_html().encode()}
    files["report.md"] = walk.report.to_markdown().encode()
    plot = _plot(walk)
    if plot is not None:
        files["learning_rate.png"] = plot
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder) as unfinished:
        for name, content in files.items():
            Path(unfinished, name).write_bytes(content)
        for name in files:
            os.replace(Path(unfinished, name), folder / name)
    return list(files)


def _plot(walk: Walk) -> bytes | None:
    """The learning-rate plot as PNG; None without matplotlib, or without a range test."""
    if walk.model.lr_curve_ is None:
        return None
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(7, 4.3), layout="constrained")
    LearningRateDisplay.from_estimator(walk.model, ax=figure.subplots())
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=150)
    return png.getvalue()


def _rows(X: Any, rows: np.ndarray) -> Any:
    """Some rows of an array or a DataFrame."""
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]
