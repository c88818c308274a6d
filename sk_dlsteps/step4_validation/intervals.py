"""Honest intervals: the distances between quantiles, from rows that the networks did not learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from sk_dlsteps.plan import StepRecord
from sk_dlsteps.step1_cost.quantile import QuantileLoss
from sk_dlsteps.step4_validation.scores import held_out_mean


@dataclass(frozen=True)
class Intervals:
    """Fitted distances between quantiles.

    Attributes
    ----------
    factors : ndarray of shape (n_targets * n_quantiles,)
        What the steps between quantiles are multiplied by; 1 for the quantile that they start from.
    record : StepRecord
        Step 4 in words.

    """

    factors: np.ndarray
    record: StepRecord


def calibrate_intervals(
    predict: Callable[[np.ndarray], np.ndarray],
    cost: QuantileLoss,
    Z: np.ndarray,
    y: np.ndarray,
    rows: Any,
    weight: np.ndarray | None = None,
    weight_valid: np.ndarray | None = None,
) -> Intervals | None:
    """Fit the distances between quantiles to rows that were held out, or else to the validation rows.

    A network's intervals are too narrow for rows that it did not learn from. As in conformal prediction (Romano et al.
    2019), they are given the width that holds as many held-out values as the levels say.

    Parameters
    ----------
    predict : callable
        Scaled rows to quantiles of every network, (rows, K, n_targets * n_quantiles).
    cost : QuantileLoss
        Whose quantiles they are.
    Z : ndarray of shape (n_rows, n_inputs)
        Scaled training table.
    y : ndarray of shape (n_rows, n_targets)
        What was to be predicted.
    rows : Rows
        Who trained and who validated on what.
    weight, weight_valid : ndarray or None
        What the rows of the table, and those of `rows.X_valid`, count; None: all the same.

    Returns
    -------
    intervals : Intervals or None
        None if there are no such rows, or a single quantile has no distances.

    """
    if len(cost.quantiles) < 2:
        return None
    if rows.X_valid is not None:
        quantiles, y, how = predict(rows.X_valid).mean(1), rows.y_valid, f"{len(rows.y_valid)} validation rows"
        counts = weight_valid
    else:
        mean = held_out_mean(predict, Z, rows)
        known = ~np.isnan(mean).any(1)
        if not known.any():
            return None
        quantiles, y, counts = mean[known], y[known], None if weight is None else weight[known]
        how = f"{len(y)} rows, each predicted by networks that held it out"
    values = quantiles.reshape(*y.shape, -1)
    factors, widened = fit_widths(values, y, cost.quantiles, cost.middle, counts)
    wanted = cost.quantiles[-1] - cost.quantiles[0]
    before, after = (_coverage(v, y, counts) for v in (values, widened))
    decision = f"{100 * wanted:.3g} % intervals: {100 * before:.1f} % of values inside -> {100 * after:.1f} %"
    evidence = {"wanted": wanted, "coverage_before": before, "coverage": after, "factors": factors}
    return Intervals(factors.ravel(), StepRecord(4, "intervals", decision, f"fitted to {how}", evidence))


def fit_widths(
    values: np.ndarray, y: np.ndarray, levels: tuple[float, ...], middle: int, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Factors of the steps between quantiles, from the middle outwards.

    Each is the least with which a share of values as large as the level says lies below the quantile (above it, for
    those below the middle); one value more is counted as outside, as in conformal prediction.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_targets, n_quantiles)
        Quantiles of rows that were held out.
    y : ndarray of shape (n_rows, n_targets)
        Their values.
    levels : tuple of float
        Levels of the quantiles.
    middle : int
        The quantile that stays where it is.
    weight : ndarray of shape (n_rows,) or None
        What each row counts.

    Returns
    -------
    factors : ndarray of shape (n_targets, n_quantiles)
        At least 0.
    widened : ndarray of shape (n_rows, n_targets, n_quantiles)
        The new quantiles.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.arange(-49.0, 50.0)[:, None]
    >>> factors, _ = fit_widths(np.tile([-10.0, 0.0, 10.0], (99, 1, 1)), y, (0.1, 0.5, 0.9), 1)
    >>> factors.round(1)
    array([[4., 1., 4.]])

    """
    n_rows, last = len(y), values.shape[2] - 1
    factors, widened = np.ones(values.shape[1:]), values.copy()
    outwards = [*pairwise(range(middle, last + 1)), *pairwise(range(middle, -1, -1))]
    for inner, outer in outwards:
        sign = 1 if outer > inner else -1
        share = levels[outer] if sign > 0 else 1 - levels[outer]
        step = np.abs(values[..., outer] - values[..., inner])
        beyond = sign * (y - widened[..., inner])
        needed = np.divide(beyond, step, out=np.zeros_like(beyond), where=step > 0)
        level = min(1.0, share * (n_rows + 1) / n_rows)
        factors[:, outer] = np.quantile(needed, level, axis=0, method="inverted_cdf", weights=weight).clip(0)
        widened[..., outer] = widened[..., inner] + sign * factors[:, outer] * step
    return factors, widened


def _coverage(values: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> float:
    """Share of values between the lowest and the highest quantile."""
    inside = (values[..., 0] <= y) & (y <= values[..., -1])
    return float(np.average(inside.mean(1), weights=weight))
