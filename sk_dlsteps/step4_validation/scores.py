"""The gap of step 4: how well networks do on rows they learnt from, and on rows held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from sk_dlsteps.plan import StepRecord

_CHUNK = 2**19


@dataclass(frozen=True)
class Scores:
    """Training and validation scores of a fit: R squared, accuracy, or the share of rows with all labels right.

    Attributes
    ----------
    training_score : float
        Mean score of the networks on the rows each was trained on.
    validation_score : float or None
        Score of the predictions for rows by networks that held them out.
    validation_error : float or None
        Its standard error for these networks; NaN for a single row.
    n_validation_rows : int
        Rows that it is the score of.
    oof_prediction : ndarray or None
        Those predictions; NaN for rows that no network held out.
    record : StepRecord
        Step 4 in words.

    """

    training_score: float
    validation_score: float | None
    validation_error: float | None
    n_validation_rows: int
    oof_prediction: np.ndarray | None
    record: StepRecord


def score_fit(
    predict: Callable[[np.ndarray], np.ndarray],
    Z: np.ndarray,
    target: Any,
    rows: Any,
    conclude: Callable[[np.ndarray], np.ndarray] = np.asarray,
    weight: np.ndarray | None = None,
    weight_valid: np.ndarray | None = None,
) -> Scores:
    """Score the networks of a fit.

    Parameters
    ----------
    predict : callable
        Scaled rows to what is averaged over the networks, (rows, K, n).
    Z : ndarray of shape (n_rows, n_inputs)
        Scaled training table.
    target : RegressionTarget, ClassTarget or LabelsTarget
        What was to be predicted.
    rows : Rows
        Who trained and who validated on what.
    conclude : callable
        From an average, or what a single network gives, to the prediction.
    weight, weight_valid : ndarray or None
        What the rows of the table, and those of `rows.X_valid`, count; None: all the same.

    """
    n_rows, n_networks = Z.shape[0], len(rows.train)
    trained = _membership(rows.train, n_rows)
    held_out = _held_out(rows, trained)
    training, validation = _Score(), _Score(keeps_rows=True)
    oof_prediction: np.ndarray | None = None
    step = _rows_together(Z, n_networks * max(1, target.n_columns))
    for start in range(0, n_rows, step):
        chunk = slice(start, start + step)
        predictions, values = predict(Z[chunk]), target.values[chunk]
        counts = None if weight is None else weight[chunk]
        errors = _masked_mean(row_errors(conclude(predictions), values[:, None]), trained[chunk])
        training.add(errors, values, counts, trained[chunk].any(1))
        if held_out.any():
            own = conclude(_masked_mean(predictions, held_out[chunk]))
            if oof_prediction is None:
                oof_prediction = np.empty((n_rows, own.shape[1]), own.dtype)
            oof_prediction[chunk] = own
            if rows.X_valid is None:
                validation.add(row_errors(own, values), values, counts, held_out[chunk].any(1))
    training_score = training.value
    if rows.X_valid is not None:
        n_valid = rows.X_valid.shape[0]
        for start in range(0, n_valid, step):
            chunk = slice(start, start + step)
            values, counts = rows.y_valid[chunk], None if weight_valid is None else weight_valid[chunk]
            validation.add(row_errors(conclude(predict(rows.X_valid[chunk]).mean(1)), values), values, counts)
        how = f"{n_valid} validation rows"
    elif oof_prediction is not None:
        n_known = int(held_out.any(1).sum())
        how = f"{n_known} rows, each predicted by networks that held it out"
        if target.task == "binary" and (n_rare := np.bincount(target.values).min()) < n_networks:
            how += f"; several networks hold out the same of the {n_rare} rows of the rarer class"
    else:
        return Scores(
            training_score, None, None, 0, None, _record(target, training_score, None, "no rows were held out")
        )
    validation_score = validation.value
    if oof_prediction is not None and target.task == "regression" and target.n_columns == 1:
        oof_prediction = oof_prediction[:, 0]
    record = _record(target, training_score, validation_score, how)
    return Scores(training_score, validation_score, validation.error, validation.n_rows, oof_prediction, record)


def held_out_mean(predict: Callable[[np.ndarray], np.ndarray], Z: np.ndarray, rows: Any) -> np.ndarray:
    """What the networks that held a row out give on average, (n_rows, n); NaN where no network did.

    Parameters
    ----------
    predict : callable
        Scaled rows to what every network gives, (rows, K, n).
    Z : ndarray of shape (n_rows, n_inputs)
        Scaled training table.
    rows : Rows
        Who trained and who validated on what.

    """
    held_out = _held_out(rows, _membership(rows.train, Z.shape[0]))
    step = _rows_together(Z, len(rows.train) * (1 if sparse.issparse(Z) else Z.shape[1]))
    chunks = [slice(start, start + step) for start in range(0, Z.shape[0], step)]
    return np.concatenate([_masked_mean(predict(Z[chunk]), held_out[chunk]) for chunk in chunks])


def _rows_together(Z: Any, n_numbers: int) -> int:
    """Rows that are looked at together, of which each takes `n_numbers` or, written out and scaled, its columns."""
    return max(1, _CHUNK // max(n_numbers, 1 if sparse.issparse(Z) else Z.shape[1]))


def _held_out(rows: Any, trained: np.ndarray) -> np.ndarray:
    """Whether network k held row i out, (n_rows, K), given who trained on what."""
    within = rows.valid is not None and rows.X_valid is None
    return _membership(rows.valid, len(trained)) if within else ~trained


def _membership(rows: list[np.ndarray], n_rows: int) -> np.ndarray:
    """Whether row i is among those of network k, (n_rows, K)."""
    member = np.zeros((n_rows, len(rows)), dtype=bool)
    for k, own in enumerate(rows):
        member[own, k] = True
    return member


def _masked_mean(predictions: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean over the networks in the mask; NaN where there is none."""
    count = mask.sum(1)[:, None]
    total = np.where(mask[:, :, None], predictions, 0.0).sum(1)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def row_errors(predictions: np.ndarray, target_values: np.ndarray) -> np.ndarray:
    """Squared error of each output, or 1 for a wrong class or set of labels.

    Parameters
    ----------
    predictions : ndarray of shape (..., n_outputs)
        Values, or the probabilities of classes or labels.
    target_values : ndarray
        Floats, codes of classes, or zeros and ones for each label.

    """
    if target_values.dtype.kind == "f":
        return (predictions - target_values) ** 2
    if target_values.ndim == predictions.ndim:
        return ((predictions > 0.5) != target_values).any(-1, keepdims=True).astype(float)
    return (predictions.argmax(-1) != target_values)[..., None].astype(float)


def score_name(task: str) -> str:
    """What a task's predictions are scored by.

    Parameters
    ----------
    task : str
        As in the plan.

    """
    return {"regression": "R2", "multilabel": "subset accuracy"}.get(task, "accuracy")


class _Score:
    """R squared averaged over the outputs (NaN for a single row), or accuracy, as scikit-learn's, of rows in parts."""

    def __init__(self, keeps_rows: bool = False) -> None:
        """No rows yet."""
        self.n_rows, self.count = 0, 0.0
        self.rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] | None = [] if keeps_rows else None
        self.errors: Any = 0.0
        self.mean: Any = None
        self.spread: Any = 0.0

    def add(self, errors: np.ndarray, values: np.ndarray, weight: np.ndarray | None, which: Any = None) -> None:
        """Count some rows: their errors (n, n_outputs), targets and weights."""
        if which is not None and not which.all():
            errors, values, weight = errors[which], values[which], None if weight is None else weight[which]
        count = float(len(errors) if weight is None else weight.sum())
        if not len(errors) or count == 0:
            return
        self.n_rows += len(errors)
        if self.rows is not None:
            self.rows.append((errors, values, np.ones(len(errors)) if weight is None else weight))
        self.errors = self.errors + np.average(errors, 0, weight) * count
        if values.dtype.kind == "f":
            mean = np.average(values, 0, weight)
            spread = np.average((values - mean) ** 2, 0, weight) * count
            if self.mean is not None:
                # Chan et al. 1979: the spread of two sets of rows together.
                spread = spread + self.spread + (mean - self.mean) ** 2 * (self.count * count / (self.count + count))
                mean = (self.mean * self.count + mean * count) / (self.count + count)
            self.mean, self.spread = mean, spread
        self.count += count

    @property
    def value(self) -> float:
        """The score of all rows so far."""
        if self.count == 0:
            return float("nan")
        mean = self.errors / self.count
        if self.mean is None:
            return float(1 - mean[0])
        if self.n_rows < 2:
            return float("nan")
        variance = self.spread / self.count
        constant = np.where(mean > 0, 0.0, 1.0)
        return float(np.mean(np.where(variance > 0, 1 - mean / np.where(variance > 0, variance, 1.0), constant)))

    @property
    def error(self) -> float:
        """Standard error of `value`, of rows that were kept; NaN for a single row."""
        if self.n_rows < 2:
            return float("nan")
        errors, values, weight = (np.concatenate(parts) for parts in zip(*(self.rows or []), strict=True))
        return standard_error(errors, values, weight)


def standard_error(errors: np.ndarray, values: np.ndarray, weight: np.ndarray) -> float:
    """Standard error of R squared, averaged over the outputs, or of an accuracy, for independent rows.

    Parameters
    ----------
    errors : ndarray of shape (n_rows, n_outputs)
        Squared errors, or ones for what is wrong.
    values : ndarray of shape (n_rows, n_outputs)
        Targets; R squared if they are floats.
    weight : ndarray of shape (n_rows,)
        What each row counts.

    Notes
    -----
    R squared is 1 - M/V, a ratio of two means over the rows: by the delta method a row moves it
    by ((M/V) d - e)/V, with e its squared error and d the squared distance of its target from the mean.

    Examples
    --------
    >>> standard_error(np.array([[1.0], [0.0], [0.0], [0.0]]), np.arange(4), np.ones(4)) ** 2
    0.0625

    """
    share = weight / weight.sum()
    mean = share @ errors
    moved = mean - errors
    if values.dtype.kind == "f":
        distance = (values - share @ values) ** 2
        variance = share @ distance
        known = np.where(variance > 0, variance, 1.0)
        moved = np.where(variance > 0, (mean / known * distance - errors) / known, 0.0)
    # Bessel's correction, as for the standard error of a mean.
    n_rows = len(errors)
    return float(np.sqrt(((share * moved.mean(1)) ** 2).sum() * n_rows / (n_rows - 1)))


def _record(target: Any, training: float, validation: float | None, how: str) -> StepRecord:
    """Step 4 in words."""
    name = score_name(target.task)
    evidence = {"score": name, "training": training, "validation": validation}
    if validation is None:
        return StepRecord(4, "validation set", "no validation", how, evidence)
    decision = f"training {name} {training:.3f}, validation {name} {validation:.3f}, gap {training - validation:.3f}"
    return StepRecord(4, "validation set", decision, how, evidence)
