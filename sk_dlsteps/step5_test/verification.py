"""The test set: set aside before anything is decided, looked at once at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sk_dlsteps.inputs.folds import hold_out
from sk_dlsteps.inputs.table import TableError
from sk_dlsteps.plan import StepRecord

N_RESAMPLES = 2000
LEVEL = 0.95
# Fewer training rows cannot be cross-validated.
_MIN_TRAINING_ROWS = 10
# Numbers that may be held at once while resampling.
_CHUNK = 2**22


@dataclass(frozen=True)
class Verification:
    """What the test set said.

    Attributes
    ----------
    score : float
        R squared or accuracy of the model.
    interval : tuple of float
        95 % percentile bootstrap interval of it.
    record : StepRecord
        Step 5 in words.

    """

    score: float
    interval: tuple[float, float]
    record: StepRecord


def hold_out_test_set(y: np.ndarray, task: str, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose the rows of the test set at random, with every class's share.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        The target.
    task : {"regression", "classification"}
        What is to be done.
    test_size : float
        Share of the rows.
    seed : int
        Of the choice.

    Returns
    -------
    train, test : ndarray of int
        Row numbers.

    Raises
    ------
    TableError
        If one of the two would be too small.

    Examples
    --------
    >>> train, test = hold_out_test_set(np.repeat([0, 1], 50), "classification", 0.2, seed=0)
    >>> len(train), len(test), int((test < 50).sum())
    (80, 20, 10)

    """
    classes = None if task == "regression" else y
    test = hold_out(test_size, len(y), classes, np.random.default_rng(seed))
    if test is None or len(y) - len(test) < _MIN_TRAINING_ROWS:
        raise TableError(
            f"a test size of {test_size:g} leaves too few of the {len(y)} rows on one side; at least 5 are needed for "
            f"the test and {_MIN_TRAINING_ROWS} for training"
        )
    train = np.setdiff1d(np.arange(len(y)), test)
    if classes is not None:
        counts = np.sort(np.unique(y[train], return_counts=True)[1])
        if len(counts) < 2 or counts[-2] < 2:
            raise TableError(
                f"too few classes recur: {len(train)} training rows hold {len(counts)} different values of the target, "
                "and at least two classes need two rows each; choose another target"
            )
    return train, test


def bootstrap_scores(
    y: np.ndarray, predictions: np.ndarray, task: str, seed: int, n_resamples: int = N_RESAMPLES
) -> np.ndarray:
    """Scores on resamples of the test rows, the same rows for every model.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Targets.
    predictions : ndarray of shape (n_models, n_rows)
        What each model predicted.
    task : {"regression", "classification"}
        R squared or accuracy.
    seed : int
        Of the resamples.
    n_resamples : int, default=2000
        Resamples, each of n_rows rows with replacement.

    Returns
    -------
    scores : ndarray of shape (n_resamples, n_models)
        Differences between columns are paired.

    References
    ----------
    B. Efron, R. Tibshirani: An Introduction to the Bootstrap (1993), chapter 13.

    Examples
    --------
    >>> y = np.array([0, 1, 1, 0, 1])
    >>> bootstrap_scores(y, np.array([y, 1 - y]), "classification", seed=0, n_resamples=2).tolist()
    [[1.0, 0.0], [1.0, 0.0]]

    """
    rng = np.random.default_rng(seed)
    n_rows = len(y)
    if task == "regression":
        losses = (predictions - y) ** 2
        centred = y - y.mean()
    else:
        losses = (predictions != y).astype(float)
    scores = []
    step = max(1, _CHUNK // n_rows)
    for start in range(0, n_resamples, step):
        drawn = rng.integers(n_rows, size=(min(step, n_resamples - start), n_rows))
        mean_loss = np.stack([loss[drawn].mean(1) for loss in losses], axis=1)
        if task == "regression":
            variance = centred[drawn].var(1)[:, None]
            # A resample of one value only: as scikit-learn's r2_score.
            constant = (mean_loss > 0).astype(float)
            mean_loss = np.divide(mean_loss, variance, out=constant, where=variance > 0)
        scores.append(1 - mean_loss)
    return np.concatenate(scores)


def verify(
    y: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    *,
    task: str,
    score_name: str,
    validation_score: float | None,
    seed: int,
) -> Verification:
    """Judge a model on the test set.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Targets of the test rows.
    predictions : dict of ndarray
        Predictions for them: the model's first, then those of what it is compared with.
    task : {"regression", "classification"}
        R squared or accuracy.
    score_name : str
        How that is called in the record.
    validation_score : float or None
        What step 4 promised.
    seed : int
        Of the bootstrap.

    Returns
    -------
    verification : Verification
        Score, interval and record.

    """
    stacked = np.stack(list(predictions.values()))
    resampled = bootstrap_scores(y, stacked, task, seed)
    point = _scores(y, stacked, task)
    intervals = [_interval(column) for column in resampled.T]
    table = [_row("model", name, "test", point[k], intervals[k]) for k, name in enumerate(predictions)]
    ahead = [
        _row("network ahead of", name, "by", point[0] - point[k], _interval(resampled[:, 0] - resampled[:, k]))
        for k, name in enumerate(predictions)
        if k > 0
    ]
    low, high = intervals[0]
    decision = f"test {score_name} {point[0]:.3f}, 95 % interval {low:.3f} to {high:.3f}"
    because = f"{len(y)} rows set aside before step 1; {_verdict(validation_score, low, high)}"
    evidence = {score_name: table, "paired differences": ahead, "bootstrap resamples": N_RESAMPLES}
    return Verification(float(point[0]), intervals[0], StepRecord(5, "test set", decision, because, evidence))


def _scores(y: np.ndarray, predictions: np.ndarray, task: str) -> np.ndarray:
    """R squared or accuracy of each model."""
    if task != "regression":
        return (predictions == y).mean(1)
    errors, variance = ((predictions - y) ** 2).mean(1), y.var()
    return 1 - errors / variance if variance > 0 else np.where(errors > 0, 0.0, 1.0)


def _interval(scores: np.ndarray) -> tuple[float, float]:
    """The percentile interval."""
    low, high = np.quantile(scores, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _row(who: str, name: str, what: str, value: float, interval: tuple[float, float]) -> dict[str, Any]:
    """A row of a table of scores, to four decimals."""
    score, low, high = (round(float(x), 4) + 0.0 for x in (value, *interval))
    return {who: name, what: score, "95 % from": low, "to": high}


def _verdict(validation_score: float | None, low: float, high: float) -> str:
    """Whether the test set confirms step 4."""
    if validation_score is None:
        return "there is no validation score to compare with"
    if validation_score > high:
        return (
            f"the validation score ({validation_score:.3f}) promised more: enlarge the validation set "
            "by more data or augmentation and go back to step 4, but do not tune on the test set"
        )
    if validation_score < low:
        return f"better than the validation score ({validation_score:.3f}), as the mean of networks is than one of them"
    return f"the validation score ({validation_score:.3f}) lies in the interval: confirmed"
