"""The gap of step 4: how well networks do on rows they learnt from, and on rows held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sk_dlsteps.plan import StepRecord

_CHUNK = 2**22
# With more columns than this a chunk is a quarter as large: the C library keeps freed blocks of just below 32 MB.
_FEW_COLUMNS = 32


@dataclass(frozen=True)
class Scores:
    """Training and validation scores of a fit: R squared, accuracy, or the share of rows with all labels right.

    Attributes
    ----------
    training_score : float
        Mean score of the networks on the rows each was trained on.
    validation_score : float or None
        Score of the predictions for rows by networks that held them out.
    oof_prediction : ndarray or None
        Those predictions; NaN for rows that no network held out.
    record : StepRecord
        Step 4 in words.

    """

    training_score: float
    validation_score: float | None
    oof_prediction: np.ndarray | None
    record: StepRecord


def score_fit(predict: Callable[[np.ndarray], np.ndarray], Z: np.ndarray, target: Any, rows: Any) -> Scores:
    """Score the networks of a fit.

    Parameters
    ----------
    predict : callable
        Scaled rows to predictions of every network, (rows, K, n_predictions).
    Z : ndarray of shape (n_rows, n_inputs)
        Scaled training table.
    target : RegressionTarget, ClassTarget or LabelsTarget
        What was to be predicted.
    rows : Rows
        Who trained and who validated on what.

    """
    n_rows, n_networks = len(Z), len(rows.train)
    trained = _membership(rows.train, n_rows)
    held_out = _membership(rows.valid, n_rows) if rows.valid is not None and rows.X_valid is None else ~trained
    training_errors: list[np.ndarray] = []
    oof_prediction: np.ndarray | None = None
    n_numbers = _CHUNK if target.n_columns <= _FEW_COLUMNS else _CHUNK // 4
    step = max(1, n_numbers // (n_networks * max(1, target.n_columns)))
    for start in range(0, n_rows, step):
        chunk = slice(start, start + step)
        predictions = predict(Z[chunk])
        errors = _errors(predictions, target.values[chunk, None])
        training_errors.append(_masked_mean(errors, trained[chunk]))
        if held_out.any():
            if oof_prediction is None:
                oof_prediction = np.empty((n_rows, predictions.shape[2]), predictions.dtype)
            oof_prediction[chunk] = _masked_mean(predictions, held_out[chunk])
    used = trained.any(1)
    training_score = _score(np.concatenate(training_errors)[used], target.values[used])
    if rows.X_valid is not None:
        chunks = (predict(rows.X_valid[start : start + step]) for start in range(0, len(rows.X_valid), step))
        predictions = np.concatenate([chunk.mean(1) for chunk in chunks])
        validation_score = _score(_errors(predictions, rows.y_valid), rows.y_valid)
        how = f"{len(rows.X_valid)} validation rows"
    elif oof_prediction is not None:
        known = held_out.any(1)
        held = slice(None) if known.all() else known
        validation_score = _score(_errors(oof_prediction[held], target.values[held]), target.values[held])
        how = f"{int(known.sum())} rows, each predicted by networks that held it out"
        if target.task == "binary" and (n_rare := np.bincount(target.values).min()) < n_networks:
            how += f"; several networks hold out the same of the {n_rare} rows of the rarer class"
    else:
        return Scores(training_score, None, None, _record(target, training_score, None, "no rows were held out"))
    if oof_prediction is not None and target.task == "regression" and target.n_columns == 1:
        oof_prediction = oof_prediction[:, 0]
    record = _record(target, training_score, validation_score, how)
    return Scores(training_score, validation_score, oof_prediction, record)


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


def _errors(predictions: np.ndarray, target_values: np.ndarray) -> np.ndarray:
    """Squared error of each output, or 1 for a wrong class or set of labels; codes and labels are integers."""
    if target_values.dtype.kind == "f":
        return (predictions - target_values) ** 2
    if target_values.ndim == predictions.ndim:
        return ((predictions > 0.5) != target_values).any(-1, keepdims=True).astype(float)
    return (predictions.argmax(-1) != target_values)[..., None].astype(float)


def _score(errors: np.ndarray, target_values: np.ndarray) -> float:
    """R squared averaged over the outputs (NaN for a single row), or accuracy, as scikit-learn's scores."""
    mean = errors.mean(0)
    if target_values.dtype.kind != "f":
        return float(1 - mean[0])
    if len(errors) < 2:
        return float("nan")
    variance = target_values.var(0)
    constant = np.where(mean > 0, 0.0, 1.0)
    return float(np.mean(np.where(variance > 0, 1 - mean / np.where(variance > 0, variance, 1.0), constant)))


def _record(target: Any, training: float, validation: float | None, how: str) -> StepRecord:
    """Step 4 in words."""
    name = {"regression": "R2", "multilabel": "subset accuracy"}.get(target.task, "accuracy")
    evidence = {"score": name, "training": training, "validation": validation}
    if validation is None:
        return StepRecord(4, "validation set", "no validation", how, evidence)
    decision = f"training {name} {training:.3f}, validation {name} {validation:.3f}, gap {training - validation:.3f}"
    return StepRecord(4, "validation set", decision, how, evidence)
