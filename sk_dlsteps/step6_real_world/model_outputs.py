"""What single networks of a model made of rows that they had not seen: predictions, and their losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sk_dlsteps.step4_validation.scores import row_errors, score_name
from sk_dlsteps.step6_real_world.column_reader import ColumnValues
from sk_dlsteps.step6_real_world.sketches import MODEL_KNOTS, Sketch, some_rows

# Outputs that are looked at.
MAX_OUTPUTS = 10


@dataclass(frozen=True)
class Losses:
    """Mean and variance of the losses of some rows.

    Attributes
    ----------
    mean, variance : float
        Of the losses.
    n : int
        Rows.

    """

    mean: float
    variance: float
    n: int

    @classmethod
    def of(cls, losses: np.ndarray) -> Losses:
        """Their mean and variance; the variance of a single row is infinite."""
        return cls(float(losses.mean()), float(losses.var(ddof=1)) if len(losses) > 1 else np.inf, len(losses))

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return float(np.sqrt(self.variance / self.n))


@dataclass(frozen=True)
class ModelOutputs:
    """Predictions for rows that were held out, and their losses.

    An ensemble's predictions vary less than a single network's, and it errs less: held-out rows are predicted by the
    networks that did not train on them, and new rows have to be predicted by as many, drawn at random, to be compared
    with them.

    Attributes
    ----------
    task : str
        As in the plan.
    labels : tuple or None
        Of the classes.
    predictions : dict
        A sketch for each output that is looked at.
    losses : Losses
        Of the held-out rows: squared errors in units of the target's variance, so that 1 less their mean is R2, or
        the share of wrong predictions.
    target_variance : ndarray of shape (n_targets,) or None
        What squared errors are divided by.
    groups : tuple of tuple of int
        Networks that predicted some rows together.
    chances : tuple of float
        Share of the rows that each group predicted.

    """

    task: str
    labels: tuple[Any, ...] | None
    predictions: dict[str, Sketch]
    losses: Losses
    target_variance: np.ndarray | None
    groups: tuple[tuple[int, ...], ...]
    chances: tuple[float, ...]

    @classmethod
    def of(
        cls,
        predictions: np.ndarray,
        values: np.ndarray,
        task: str,
        labels: Sequence[Any] | None,
        rows: Any,
        weight: np.ndarray | None = None,
    ) -> ModelOutputs | None:
        """Sketch the predictions for held-out rows.

        Parameters
        ----------
        predictions : ndarray of shape (n_rows,) or (n_rows, n_outputs)
            NaN for rows that no network held out.
        values : ndarray
            Their targets as the networks see them.
        task : str
            As in the plan.
        labels : sequence or None
            Of the classes.
        rows : Rows
            Who trained and who validated on what.
        weight : ndarray of shape (n_rows,) or None
            What each row counts.

        """
        outputs = predictions.reshape(len(predictions), -1)
        known = np.flatnonzero(np.isfinite(outputs).all(1))
        if len(known) < 2:
            return None
        variance = None
        if task == "regression":
            variance = np.average((values - np.average(values, 0, weight)) ** 2, 0, weight)
            variance = np.where(variance > 0, variance, 1.0)
        known = known[some_rows(len(known))]
        own, counts = outputs[known], None if weight is None else weight[known]
        columns = output_columns(own, task, labels)
        sketches = {name: column.sketch(counts, MODEL_KNOTS) for name, column in columns.items()}
        losses = _weighted(losses_of(own, values[known], variance), counts)
        groups, chances = _groups(rows, len(predictions))
        kept = None if labels is None else tuple(labels)
        return cls(task, kept, sketches, losses, variance, groups, chances)

    @property
    def score_name(self) -> str:
        """What 1 less the mean loss is."""
        return score_name(self.task)

    def draw(self, votes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Mean votes (n_rows, n) of one group of networks for each row, out of all votes (n_rows, K, n)."""
        drawn = rng.choice(len(self.groups), size=len(votes), p=np.array(self.chances) / sum(self.chances))
        result = np.empty((len(votes), votes.shape[2]), votes.dtype)
        for number, group in enumerate(self.groups):
            own = drawn == number
            result[own] = votes[own][:, list(group)].mean(1)
        return result

    def columns(self, predictions: np.ndarray) -> dict[str, ColumnValues]:
        """The columns of predictions that are compared with the sketches."""
        return output_columns(predictions, self.task, self.labels)


def output_columns(predictions: np.ndarray, task: str, labels: Sequence[Any] | None) -> dict[str, ColumnValues]:
    """What is looked at of predictions (n_rows, n_outputs): values, probabilities, the class they tell."""
    n = predictions.shape[1]
    if task == "regression":
        names = ["prediction"] if n == 1 else [f"prediction of target {j}" for j in range(n)]
        return {name: ColumnValues(predictions[:, j]) for j, name in enumerate(names[:MAX_OUTPUTS])}
    if task == "multilabel":
        return {f"probability of label {j}": ColumnValues(predictions[:, j]) for j in range(min(n, MAX_OUTPUTS))}
    assert labels is not None
    if task == "binary":
        return {f"probability of {labels[1]}": ColumnValues(predictions[:, -1])}
    return {
        "predicted class": ColumnValues(predictions.argmax(1), list(labels)),
        "highest probability": ColumnValues(predictions.max(1)),
    }


def losses_of(predictions: np.ndarray, values: np.ndarray, variance: np.ndarray | None) -> np.ndarray:
    """The loss of each row: squared errors in units of the target's variance, or 1 for a wrong prediction."""
    if variance is None:
        # Labels of rows some of which are not known are floats.
        return row_errors(predictions, values.astype(int))[:, 0]
    return (row_errors(predictions, values) / variance).mean(1)


def _weighted(losses: np.ndarray, weight: np.ndarray | None) -> Losses:
    """Mean, variance and number of losses, rows counted by their weights."""
    if weight is None:
        return Losses.of(losses)
    mean = float(np.average(losses, weights=weight))
    n = max(2, round(weight.sum() ** 2 / (weight**2).sum()))
    return Losses(mean, float(np.average((losses - mean) ** 2, weights=weight)) * n / (n - 1), n)


def _groups(rows: Any, n_rows: int) -> tuple[tuple[tuple[int, ...], ...], tuple[float, ...]]:
    """Networks that held the same rows out, and the share of the rows that those are."""
    if rows.X_valid is not None:
        return (tuple(range(len(rows.train))),), (1.0,)
    held_out = rows.valid
    if held_out is None:
        held_out = [np.setdiff1d(np.arange(n_rows), own) for own in rows.train]
    found: dict[bytes, list[int]] = {}
    for k, own in enumerate(held_out):
        found.setdefault(np.sort(own).tobytes(), []).append(k)
    total = sum(len(held_out[group[0]]) for group in found.values())
    chances = tuple(len(held_out[group[0]]) / total for group in found.values())
    return tuple(map(tuple, found.values())), chances
