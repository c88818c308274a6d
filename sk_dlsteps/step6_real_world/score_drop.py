"""Whether a model does worse on new rows than on those that it was validated on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from sk_dlsteps.step6_real_world.model_outputs import Losses

# Rows with a true value that are needed.
MIN_SCORED_ROWS = 5
# What held-out rows look better by than new ones, in standard errors of their mean loss: each network's best epoch was
# chosen on them. Over 192 clean splits of real tables a drop was 0.24 of its own standard errors too large, and
# scattered as it should (docs/step6_real_world.md, "What was measured"); this is a third of one, as old and new rows
# were as many.
OPTIMISM = 0.5
_LEVEL = 0.95


@dataclass(frozen=True)
class ScoreDrop:
    """The score of single networks on held-out training rows and on new ones.

    Attributes
    ----------
    score : str
        "R2", with the training target's variance as the denominator on both sides, "accuracy" or "subset accuracy".
    before, after : float
        On held-out training rows, and on new ones.
    drop : float
        By how much it is lower.
    interval : tuple of float
        95 % interval of the drop.
    p_value : float
        Of a drop so large by chance and by `OPTIMISM` (one-sided, Welch's t).
    n_rows : int
        New rows with a true value.

    """

    score: str
    before: float
    after: float
    drop: float
    interval: tuple[float, float]
    p_value: float
    n_rows: int


def compare_losses(score: str, old: Losses, losses: np.ndarray) -> ScoreDrop | None:
    """Compare losses of new rows with those of held-out ones.

    Parameters
    ----------
    score : str
        What 1 less the mean loss is.
    old : Losses
        Of the held-out training rows.
    losses : ndarray of shape (n_rows,)
        Of new rows.

    Returns
    -------
    drop : ScoreDrop or None
        None for fewer than `MIN_SCORED_ROWS` rows.

    References
    ----------
    B. L. Welch: The generalization of 'Student's' problem when several different population variances are involved.
    Biometrika 34 (1947).

    Examples
    --------
    >>> drop = compare_losses("accuracy", Losses(0.1, 0.09, 900), np.repeat([0.0, 1.0], 50))
    >>> round(drop.drop, 3), drop.p_value < 1e-6
    (0.4, True)

    """
    if len(losses) < MIN_SCORED_ROWS:
        return None
    new = Losses.of(losses)
    # A few rows without an error say nothing about how errors scatter: the old variance stands in.
    variance = new.variance if new.variance > 0 else old.variance
    parts = old.variance / old.n, variance / new.n
    error, drop = float(np.sqrt(sum(parts))), new.mean - old.mean
    if error == 0:
        p_value, reach = (0.0 if drop > 0 else 1.0), 0.0
    else:
        freedom = sum(parts) ** 2 / (parts[0] ** 2 / (old.n - 1) + parts[1] ** 2 / (new.n - 1))
        p_value = float(student.sf((drop - OPTIMISM * old.error) / error, freedom))
        reach = float(student.ppf((1 + _LEVEL) / 2, freedom)) * error
    return ScoreDrop(score, 1 - old.mean, 1 - new.mean, drop, (drop - reach, drop + reach), p_value, len(losses))
