"""Tests of what new rows are to give: the predictions of a model, the true values, and the score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import _safe_indexing

from sk_dlsteps.inputs.values import as_levels
from sk_dlsteps.step6_real_world.column_tests import ColumnTest, compare_columns
from sk_dlsteps.step6_real_world.door import check_length
from sk_dlsteps.step6_real_world.model_outputs import losses_of
from sk_dlsteps.step6_real_world.reference import MAX_TARGETS, Reference, target_columns
from sk_dlsteps.step6_real_world.score_drop import MIN_SCORED_ROWS, ScoreDrop, compare_losses


@dataclass(frozen=True)
class TargetKind:
    """What the training targets were.

    Attributes
    ----------
    task : {"regression", "binary", "multiclass", "multilabel"}
        As in the plan.
    labels : sequence or None
        What codes stand for.
    n_columns : int or None
        Columns of numbers; None if they are too many to be known.

    """

    task: str
    labels: Sequence[Any] | None
    n_columns: int | None

    @classmethod
    def of(cls, model: Any, reference: Reference) -> TargetKind:
        """That of a fitted model."""
        labels, n = getattr(model, "classes_", None), len(reference.target)
        labels = None if labels is None else labels.tolist()
        if n < MAX_TARGETS:
            return cls(model.plan_.task, labels, n)
        variance = None if reference.outputs is None else reference.outputs.target_variance
        return cls(model.plan_.task, labels, len(labels) if labels else None if variance is None else variance.size)

    @property
    def is_classes(self) -> bool:
        """Whether each row has one label."""
        return self.task in ("binary", "multiclass")


@dataclass(frozen=True)
class OutputTests:
    """Tests of the predictions, of the target and of the score, and notes on those that cannot be made."""

    predictions: tuple[ColumnTest, ...] = ()
    target: tuple[ColumnTest, ...] = ()
    score: ScoreDrop | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrueValues:
    """True values as numbers or codes, the rows that have one, and what codes stand for."""

    values: np.ndarray
    known: np.ndarray
    labels: list[Any] | None = None


def compare_outputs(
    reference: Reference,
    model: Any,
    kind: TargetKind | None,
    X: Any,
    y: Any,
    *,
    max_samples: int,
    n_bins: int,
    rng: np.random.Generator,
) -> OutputTests:
    """Test what a model makes of new rows, and their true values.

    Parameters
    ----------
    reference : Reference
        Of the training rows.
    model : estimator object or None
        A model of ours.
    kind : TargetKind or None
        What the training targets were; None if they were not given.
    X : array-like of shape (n_rows, n_columns)
        New rows, checked.
    y : array-like or None
        Their true values.
    max_samples : int
        Rows that the model predicts, at the most.
    n_bins : int
        Bins of the PSI.
    rng : numpy Generator
        Draws rows and networks.

    """
    notes = []
    truth = None if y is None or kind is None else true_values(y, X.shape[0], kind)
    target = () if truth is None or kind is None else _target_tests(reference, kind, truth, n_bins)
    if y is not None and not reference.target:
        notes.append("target: the training targets were not given")
    outputs = reference.outputs
    if model is None or outputs is None:
        if model is not None:
            notes.append(
                "predictions and score: no training rows were held out to compare with (early_stopping=False holds "
                "none out, and a stream learns every row)"
            )
        return OutputTests((), target, None, tuple(notes))
    rows = np.sort(rng.permutation(X.shape[0])[:max_samples])
    predictions = _predict(model, outputs, _safe_indexing(X, rows), rng)
    columns = outputs.columns(predictions)
    tests = compare_columns(list(columns), list(outputs.predictions.values()), list(columns.values()), n_bins)
    score = None
    if truth is not None:
        scored = np.isin(rows, truth.known)
        losses = losses_of(predictions[scored], truth.values[rows[scored]], outputs.target_variance)
        score = compare_losses(outputs.score_name, outputs.losses, losses)
        if score is None:
            notes.append(f"score: {MIN_SCORED_ROWS} rows with a true value are needed")
    return OutputTests(tests, target, score, tuple(notes))


def true_values(y: Any, n_rows: int, kind: TargetKind) -> TrueValues:
    """Check the true values of new rows.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_targets)
        NaN or None where one is not known.
    n_rows : int
        New rows.
    kind : TargetKind
        What the training targets were.

    Raises
    ------
    ValueError
        If there are more or fewer than rows or than columns of the training target, or they are of another type.

    """
    given = np.asarray(y.toarray() if sparse.issparse(y) else y.to_numpy() if hasattr(y, "to_numpy") else y)
    check_length(given, n_rows, "y_new", "X_new")
    n = 1 if kind.is_classes else kind.n_columns
    if n is not None and given.size != n_rows * n:
        raise ValueError(
            f"`y_new` has the shape {given.shape}, and the training target had {n} column{'s' * (n > 1)}; give as many"
        )
    if kind.is_classes:
        return _labels(given.reshape(-1), kind.labels or ())
    try:
        numbers = given.astype(float).reshape(n_rows, -1)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "`y_new` holds what is no number, and the training targets were numbers; give numbers"
        ) from error
    known = np.isfinite(numbers).all(1)
    if kind.task == "multilabel" and not np.isin(numbers[known], (0, 1)).all():
        raise ValueError("`y_new` holds other numbers than 0 and 1, and the training targets were labels; give those")
    return TrueValues(numbers, np.flatnonzero(known))


def _labels(given: np.ndarray, labels: Sequence[Any]) -> TrueValues:
    """Codes of labels."""
    codes, found = as_levels(given, "y_new")
    place = {label: code for code, label in enumerate(labels)}
    if found and not any(label in place for label in found):
        raise ValueError(
            f"`y_new` holds none of the training labels: {found[:5]!r}, and those were {list(labels)[:5]!r}; give "
            "labels of the same type"
        )
    # Labels that training did not know get codes of their own: whatever is predicted is wrong.
    own = [place.setdefault(label, len(place)) for label in found]
    return TrueValues(np.array([*own, -1], dtype=int)[codes], np.flatnonzero(codes >= 0), list(place))


def _target_tests(reference: Reference, kind: TargetKind, truth: TrueValues, n_bins: int) -> tuple[ColumnTest, ...]:
    """Tests of the true values that are known."""
    if not reference.target or not len(truth.known):
        return ()
    columns = target_columns(truth.values[truth.known], kind.task, truth.labels)
    return compare_columns(list(columns), list(reference.target.values()), list(columns.values()), n_bins)


def _predict(model: Any, outputs: Any, X: Any, rng: np.random.Generator) -> np.ndarray:
    """Predictions (n_rows, n_outputs) of one group of networks, drawn at random, for each row."""
    net = model.pipeline_[-1]
    votes = net.votes(model.pipeline_[:-1].transform(X))
    point = net.module_.cost.point(net.count(outputs.draw(votes, rng)))
    return np.asarray(point).reshape(len(votes), -1)
