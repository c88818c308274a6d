"""A model beside simpler ones, on the same test rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sk_dlsteps.plan import StepRecord
from sk_dlsteps.step5_test.bootstrap import N_RESAMPLES, Measured, RowLosses, Units
from sk_dlsteps.step5_test.rows import losses_of_predictions

LEVEL = 0.95


def comparison_record(
    y: np.ndarray, predictions: Mapping[str, np.ndarray], *, score_name: str, seed: int = 0
) -> StepRecord:
    """Compare models on rows that were set aside, with paired differences.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Targets of the test rows.
    predictions : dict of ndarray
        Predictions for them: the model's first, then those of what it is compared with.
    score_name : {"R2", "accuracy"}
        The score.
    seed : int, default=0
        Of the bootstrap, whose resamples are the same for all.

    Examples
    --------
    >>> y = np.array([0, 1, 1, 0, 1])
    >>> record = comparison_record(y, {"network": y, "dummy": np.ones(5)}, score_name="accuracy")
    >>> record.decision
    'accuracy 0.400 ahead of the dummy model; 95 % interval of the difference 0.000 to 0.800'

    """
    units = Units.of(len(y))
    losses = {name: RowLosses(*losses_of_predictions(score_name, y, own)) for name, own in predictions.items()}
    resampled = {name: own.resampled(units, N_RESAMPLES, seed) for name, own in losses.items()}
    measured = {name: Measured.of(own.score, resampled[name], LEVEL) for name, own in losses.items()}
    first, *others = losses
    ahead = {
        name: Measured.of(measured[first].score - measured[name].score, resampled[first] - resampled[name], LEVEL)
        for name in others
    }
    rival = min(ahead, key=lambda name: ahead[name].score)
    low, high = ahead[rival].interval
    place = "ahead of" if ahead[rival].score >= 0 else "behind"
    decision = (
        f"{score_name} {abs(ahead[rival].score):.3f} {place} the {rival} model; 95 % interval of the difference "
        f"{low:.3f} to {high:.3f}"
    )
    evidence: dict[str, Any] = {
        score_name: [_row("model", name, "test", own) for name, own in measured.items()],
        "paired differences": [_row(f"{first} ahead of", name, "by", own) for name, own in ahead.items()],
        "bootstrap resamples": N_RESAMPLES,
    }
    because = f"{len(y)} rows set aside before step 1, the same for all"
    return StepRecord(5, "beside simpler models", decision, because, evidence)


def _row(who: str, name: str, what: str, measured: Measured) -> dict[str, Any]:
    """A row of a table of scores, to four decimals."""
    score, low, high = (round(float(x), 4) + 0.0 for x in (measured.score, *measured.interval))
    return {who: name, what: score, "95 % from": low, "to": high}
