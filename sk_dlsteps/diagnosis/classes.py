"""Rare classes that are missed, and probabilities that do not keep what they promise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sk_dlsteps.diagnosis.finding import INTERVAL, Finding, uncertainty
from sk_dlsteps.diagnosis.subject import NotLooked, Subject
from sk_dlsteps.step4_validation.calibration import expected_calibration_error
from sk_dlsteps.step4_validation.noise import Difference

# A class is rare below this share of an equal one, and missed if its recall is surely below this share of the others'.
RARE, MISSED = 0.4, 0.7
# Standard errors of a recall's interval.
ERRORS = 2.0
# Draws of labels from the probabilities, the quantile of their calibration errors that must be exceeded, and by how
# much their mean must be.
DRAWS, QUANTILE, EXCESS = 400, 0.99, 0.03
# Samples of the rows for the error of a calibration error.
RESAMPLES = 200


def look_at_rare_classes(subject: Subject) -> Iterator[Finding]:
    """Compare the recall of the rarest class, or label, with that of the others.

    Parameters
    ----------
    subject : Subject
        With rows.

    Yields
    ------
    finding : Finding
        rare_class_missed.

    """
    predictions, truth = subject.own.predictions, np.asarray(subject.y)
    if subject.task == "multilabel":
        right, member = (predictions > 0.5) == truth, truth.astype(bool)
        names: Any = np.arange(truth.shape[1])
    else:
        labels = subject.labels
        assert labels is not None
        right = (predictions.argmax(1) == labels)[:, None]
        names = subject.model.classes_
        member = labels[:, None] == np.arange(len(names))
        right = np.broadcast_to(right, member.shape)
    known = ~np.isnan(predictions).any(1)
    counts = (member & known[:, None]).sum(0)
    rarest, fair = int(counts.argmin()), known.sum() * (0.5 if subject.task == "multilabel" else 1 / len(counts))
    if counts[rarest] == 0 or counts[rarest] >= RARE * fair:
        return
    own = member[:, rarest] & known
    rest = ~member[:, rarest] & known
    recall, others = float(right[own, rarest].mean()), float(right[rest, rarest].mean())
    low, high = _wilson(recall, int(own.sum()))
    if high >= MISSED * others:
        return
    weighed = "class_weight" in subject.parameters and subject.parameters["class_weight"] is None
    possible = weighed and subject.task != "multilabel"
    name = str(names[rarest])
    yield Finding(
        1,
        "rare_class_missed",
        f"class {name} has {counts[rarest]} of {known.sum()} rows, and {recall:.0%} of them are found; "
        f"of all other rows {others:.0%} are predicted right",
        "let classes count alike: class_weight='balanced'" if possible else f"get more rows of class {name}",
        {
            "class": name,
            "share of rows": float(counts[rarest] / known.sum()),
            "share of an equal class allowed": RARE,
            "recall": recall,
            "standard error": float(np.sqrt(recall * (1 - recall) / own.sum())),
            INTERVAL: (low, high),
            "right of the others": others,
        },
    )


def _wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's interval of a share of n rows."""
    z = ERRORS**2 / n
    centre = (share + z / 2) / (1 + z)
    reach = np.sqrt(share * (1 - share) * z + z**2 / 4) / (1 + z)
    return float(centre - reach), float(centre + reach)


def look_at_calibration(subject: Subject) -> Iterator[Finding]:
    """Compare the calibration error of rows held out with that of perfectly calibrated probabilities.

    Parameters
    ----------
    subject : Subject
        With rows.

    Yields
    ------
    finding : Finding
        miscalibrated.

    """
    p, values = subject.own.predictions, np.asarray(subject.y if subject.labels is None else subject.labels)
    known = ~np.isnan(p).any(1)
    p, values = p[known], values[known]
    if not known.any():
        raise NotLooked("no row was held out")
    error = expected_calibration_error(p, values)
    rng = np.random.default_rng(subject.seed)
    null = np.array([expected_calibration_error(p, _draw(p, values.ndim > 1, rng)) for _ in range(DRAWS)])
    bound = float(np.quantile(null, QUANTILE))
    if error <= bound or error - null.mean() <= EXCESS:
        return
    rows = (rng.integers(len(p), size=len(p)) for _ in range(RESAMPLES))
    noise = float(np.std([expected_calibration_error(p[own], values[own]) for own in rows], ddof=1))
    # Some error is there by chance; what is beyond it is the model's.
    excess = Difference(error - float(null.mean()), noise)
    confidence, right = _confidence(p, values)
    calibrated = subject.parameters.get("calibrate")
    weighed = subject.parameters.get("class_weight") is not None
    action = "calibrate the probabilities on rows held out: calibrate=True"
    if calibrated:
        action = "one temperature does not do: put sklearn.calibration.CalibratedClassifierCV around the model"
    elif weighed:
        action = "class_weight shifts probabilities: set class_weight=None, or calibrate=True"
    yield Finding(
        4,
        "miscalibrated",
        f"rows held out are predicted with {confidence:.3f} confidence, and {right:.3f} of them are right; "
        f"the calibration error is {error:.3f}, where perfect probabilities show {null.mean():.3f}",
        action,
        {
            "calibration error": error,
            "of perfect probabilities": float(null.mean()),
            f"{QUANTILE:.0%} of those are below": bound,
            "excess": excess.mean,
            **uncertainty(excess),
            "excess allowed": EXCESS,
            "confidence": confidence,
            "right": right,
        },
        severity=1,
    )


def _draw(p: np.ndarray, several: bool, rng: np.random.Generator) -> np.ndarray:
    """Labels as the probabilities say."""
    if several:
        return (rng.random(p.shape) < p).astype(int)
    reached = p.cumsum(1) / p.sum(1, keepdims=True)
    return np.minimum((rng.random((len(p), 1)) > reached).sum(1), p.shape[1] - 1)


def _confidence(p: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Mean probability of what is predicted, and how much of it is right."""
    if values.ndim > 1:
        return float(np.maximum(p, 1 - p).mean()), float(((p > 0.5) == values).mean())
    return float(p.max(1).mean()), float((p.argmax(1) == values).mean())
