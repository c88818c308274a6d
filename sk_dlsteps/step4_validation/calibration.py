"""Calibration: one temperature for all networks, from rows that they did not learn from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from sk_dlsteps.plan import StepRecord
from sk_dlsteps.step4_validation.scores import held_out_mean

# Temperatures lie between 1/20 and 20.
LOG_BOUND = math.log(20)
# Bins of equally many rows for the expected calibration error.
N_BINS = 15


@dataclass(frozen=True)
class Calibration:
    """A fitted temperature.

    Attributes
    ----------
    temperature : float
        What raw outputs are divided by.
    record : StepRecord
        Step 4 in words.

    """

    temperature: float
    record: StepRecord


def calibrate(
    outputs: Callable[[np.ndarray], np.ndarray],
    link: Callable[[np.ndarray], np.ndarray],
    Z: np.ndarray,
    target: Any,
    rows: Any,
    weight: np.ndarray | None = None,
    weight_valid: np.ndarray | None = None,
) -> Calibration | None:
    """Fit a temperature to rows that were held out, or else to the validation rows.

    Parameters
    ----------
    outputs : callable
        Scaled rows to raw outputs of every network, (rows, K, n_outputs).
    link : callable
        Raw outputs to probabilities.
    Z : ndarray of shape (n_rows, n_inputs)
        Scaled training table.
    target : ClassTarget
        What was to be predicted.
    rows : Rows
        Who trained and who validated on what.
    weight, weight_valid : ndarray or None
        What the rows of the table, and those of `rows.X_valid`, count; None: all the same.

    Returns
    -------
    calibration : Calibration or None
        None if there is nothing to fit it to.

    """
    if rows.X_valid is not None:
        raw, values, how = outputs(rows.X_valid).mean(1), rows.y_valid, f"{len(rows.y_valid)} validation rows"
        counts = weight_valid
    else:
        mean = held_out_mean(outputs, Z, rows)
        known = ~np.isnan(mean).any(1)
        if not known.any():
            return None
        raw, values, counts = mean[known], target.values[known], None if weight is None else weight[known]
        how = f"{len(raw)} rows, each predicted by networks that held it out"
    temperature = fit_temperature(raw, link, values, counts)
    before, after = link(raw), link(raw / temperature)
    evidence = {
        "temperature": temperature,
        "log_loss_before": _log_loss(before, values, counts),
        "log_loss": _log_loss(after, values, counts),
        "calibration_error_before": expected_calibration_error(before, values),
        "calibration_error": expected_calibration_error(after, values),
    }
    decision = (
        f"temperature {temperature:.2f}: log loss {evidence['log_loss_before']:.3f} -> {evidence['log_loss']:.3f}, "
        f"calibration error {evidence['calibration_error_before']:.3f} -> {evidence['calibration_error']:.3f}"
    )
    return Calibration(temperature, StepRecord(4, "calibration", decision, f"fitted to {how}", evidence))


def fit_temperature(
    raw: np.ndarray,
    link: Callable[[np.ndarray], np.ndarray],
    values: np.ndarray,
    weight: np.ndarray | None = None,
) -> float:
    """Temperature whose probabilities have the least negative log-likelihood.

    Its logarithm has a standard normal prior, which counts as little as one row: if all rows
    are predicted right, nothing else would keep the temperature from 0.

    Parameters
    ----------
    raw : ndarray of shape (n_rows, n_outputs)
        Raw outputs.
    link : callable
        Raw outputs to probabilities.
    values : int array of shape (n_rows,) or (n_rows, n_labels)
        Class codes, or 0 and 1 for each label.
    weight : ndarray of shape (n_rows,) or None
        What each row counts.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_dlsteps.step4_validation.calibration import fit_temperature
    >>> def link(raw):
    ...     return 1 / (1 + np.exp(-raw))
    >>> raw = np.repeat(4.0, 1000)[:, None]
    >>> right = (np.arange(1000) % 4 > 0)[:, None]
    >>> float(round(link(4 / fit_temperature(raw, link, right)), 2))
    0.75

    """

    def objective(log_temperature: float) -> float:
        """Negative log-likelihood of all rows and the prior, per row."""
        loss = _log_loss(link(raw / math.exp(log_temperature)), values, weight)
        return loss + log_temperature**2 / 2 / len(raw)

    found = minimize_scalar(objective, bounds=(-LOG_BOUND, LOG_BOUND), method="bounded")
    return math.exp(found.x)


def expected_calibration_error(probabilities: np.ndarray, values: np.ndarray, n_bins: int = N_BINS) -> float:
    """Gap between confidence and accuracy, averaged over bins of equally many predictions.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_classes) or (n_rows, n_labels)
        Of classes, or of each label.
    values : int array of shape (n_rows,) or (n_rows, n_labels)
        Class codes, or 0 and 1 for each label, each of which counts as a prediction.
    n_bins : int, default=15
        Bins, by the confidence in the most likely class.

    Examples
    --------
    >>> import numpy as np
    >>> p = np.array([[0.2, 0.8]] * 10)
    >>> round(expected_calibration_error(p, np.array([1] * 6 + [0] * 4), n_bins=1), 3)
    0.2

    """
    if values.ndim > 1:
        confidence = np.maximum(probabilities, 1 - probabilities).ravel()
        right = ((probabilities > 0.5) == values).ravel()
    else:
        confidence, right = probabilities.max(1), probabilities.argmax(1) == values
    order = np.argsort(confidence, kind="stable")
    gaps = (confidence - right)[order]
    return float(sum(abs(own.sum()) for own in np.array_split(gaps, n_bins)) / len(gaps))


def _log_loss(probabilities: np.ndarray, values: np.ndarray, weight: np.ndarray | None) -> float:
    """Mean negative logarithm of what was given to the truth, over the labels too."""
    if values.ndim > 1:
        given = np.where(values > 0, probabilities, 1 - probabilities)
    else:
        given = probabilities[np.arange(len(values)), values]
    losses = -np.log(np.maximum(given, np.finfo(float).tiny)).reshape(len(values), -1).mean(1)
    return float(np.average(losses, weights=weight))
