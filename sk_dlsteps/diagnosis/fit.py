"""Whether the training rows are fitted, and whether the rows held out are predicted as well as those."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats import t

from sk_dlsteps.diagnosis.actions import fit_training_better, fit_validation_better
from sk_dlsteps.diagnosis.finding import INTERVAL, Finding, uncertainty
from sk_dlsteps.diagnosis.subject import NotLooked, Subject
from sk_dlsteps.step4_validation.learning_curve import LearningCurve, learning_curve
from sk_dlsteps.step4_validation.more_rows import LEVEL
from sk_dlsteps.step4_validation.noise import Difference

# Standard errors that a difference must exceed.
ERRORS = 2.0
# What matters, as a share of the way from a constant guess's score to a perfect one: by which a baseline is ahead of
# the training fit, the gap between training and validation, and what twice the rows would bring.
BEHIND, GAP, GAIN = 0.03, 0.15, 0.03
# A share of what matters from which a finding is serious.
SERIOUS = 0.4
# A training score that is hardly a constant guess's, where there are no rows to compare on.
HARDLY = 0.05
# Shares of a fold's training rows on the learning curve.
TRAIN_SIZES = (0.25, 0.5, 1.0)


def look_at_training_fit(subject: Subject) -> Iterator[Finding]:
    """Compare the training score with a constant guess, a linear model and boosted trees.

    Parameters
    ----------
    subject : Subject
        Without rows, only values are compared, with their mean.

    Yields
    ------
    finding : Finding
        underfits.

    """
    action = fit_training_better(subject.parameters, subject.model.plan_)
    if subject.X is None:
        yield from _hardly_fitted(subject, action)
        return
    train = subject.own.scores.train
    baselines = subject.baselines
    evidence: dict[str, Any] = {
        "score": subject.score_name,
        "scores": [
            {"model": name, "training": float(scores.train.mean()), "validation": float(scores.test.mean())}
            for name, scores in [("network", subject.own.scores), *baselines.items()]
        ],
    }
    # Whoever predicts unseen rows better than the networks fit those they know has found what they have not.
    rivals = [(f"{name} on rows held out", s.test) for name, s in baselines.items() if name != "dummy"]
    if "linear" in baselines:
        rivals.append(("linear on training rows", baselines["linear"].train))
    ahead = {name: subject.over(scores, train) for name, scores in rivals}
    worst = max(ahead, key=lambda name: ahead[name].mean, default=None)
    over_dummy = subject.over(train, subject.dummy.train)
    explained = subject.over(subject.explained, np.zeros(len(subject.splits)))
    if not over_dummy.exceeds(ERRORS) and not explained.exceeds(ERRORS):
        evidence |= {"ahead of a constant guess": over_dummy.mean, **uncertainty(over_dummy)}
        title = f"the training rows are fitted no better than by a constant guess ({over_dummy} {subject.score_name})"
        yield Finding(3, "underfits", title, action, evidence, severity=3)
    elif worst is not None and ahead[worst].exceeds(ERRORS) and ahead[worst].mean > BEHIND * subject.span:
        behind = ahead[worst]
        evidence |= {"behind": behind.mean, **uncertainty(behind), "behind allowed": BEHIND * subject.span}
        title = f"{subject.score_name} on training rows is {behind.mean:.3g} below that of {worst}"
        yield Finding(3, "underfits", title, action, evidence, severity=_severity(behind.mean, subject.span))


def _hardly_fitted(subject: Subject, action: str) -> Iterator[Finding]:
    """Compare the fitted model's R squared with that of the mean."""
    if subject.task != "regression":
        raise NotLooked("a constant guess's score is not known without `X` and `y`")
    score = float(subject.model.training_score_)
    if score < HARDLY:
        title = f"R2 on training rows is {score:.3g}, and the mean of the target has 0"
        yield Finding(3, "underfits", title, action, {"training R2": score, "least": HARDLY}, severity=3)


def look_at_gap(subject: Subject) -> Iterator[Finding]:
    """Compare training rows with rows held out.

    Parameters
    ----------
    subject : Subject
        Without rows, the fitted model's own scores are compared, the first being perfect or not.

    Yields
    ------
    finding : Finding
        trained_too_long, or overfits.

    """
    if subject.X is None:
        gap, training, validation, span = _own_gap(subject)
    else:
        scores, span = subject.own.scores, subject.span
        gap = subject.over(scores.train, scores.test)
        training, validation = float(scores.train.mean()), float(scores.test.mean())
    guessed = 0.0 if subject.X is None else float(subject.dummy.train.mean())
    learnt = training - guessed > HARDLY * span
    if not learnt or gap.mean <= GAP * span or not gap.exceeds(ERRORS):
        return
    evidence = {
        "score": subject.score_name,
        "training": training,
        "validation": validation,
        "gap": gap.mean,
        **uncertainty(gap),
        "gap allowed": GAP * span,
    }
    if subject.X is None:
        evidence["rows held out"] = subject.model.n_validation_rows_
    title = f"{subject.score_name} is {training:.3f} on training rows and {validation:.3f} on rows held out"
    if subject.X is not None and not subject.parameters["early_stopping"]:
        stopped = _stopped_early(subject)
        if stopped is not None:
            yield Finding(
                4,
                "trained_too_long",
                f"{title}; with early stopping it would be {stopped['validation with early stopping']:.3f}",
                "stop where validation is best: early_stopping=True",
                {**evidence, **stopped},
            )
            return
    action = fit_validation_better(subject.parameters, subject.model.plan_)
    yield Finding(4, "overfits", title, action, evidence, severity=_severity(gap.mean, span))


def _own_gap(subject: Subject) -> tuple[Difference, float, float, float]:
    """The gap of the fitted model with its error, both scores, and what there is to win."""
    model = subject.model
    training, validation, error = float(model.training_score_), model.validation_score_, model.validation_error_
    if validation is None:
        raise NotLooked("the model held no rows out; give `X` and `y`, or fit it with early_stopping=True")
    if error is None or not math.isfinite(validation) or not math.isfinite(error):
        raise NotLooked("too few rows validated the model for an error of their score; give `X` and `y`")
    # What a constant guess would score is not known; that of equally frequent classes is the least.
    n_classes = 2 if subject.task == "multilabel" else np.size(getattr(model, "classes_", ()))
    span = 1.0 if subject.task == "regression" else 1.0 - 1.0 / n_classes
    return Difference(training - validation, error), training, validation, span


def _stopped_early(subject: Subject) -> dict[str, Any] | None:
    """What early stopping gains, if it is beyond noise."""
    subject.announce("diagnosis: fitting the model with early stopping")
    stopped = subject.cross_validate(subject.with_parameters(early_stopping=True))
    gain = subject.over(stopped.scores.test, subject.own.scores.test)
    if not gain.beyond_noise:
        return None
    return {
        "validation with early stopping": float(stopped.scores.test.mean()),
        "gain by early stopping": gain.mean,
        **{f"{name} of the gain": value for name, value in uncertainty(gain).items()},
    }


def look_at_number_of_rows(subject: Subject) -> Iterator[Finding]:
    """Continue the learning curve, where there is a gap that more rows could close.

    Parameters
    ----------
    subject : Subject
        With rows.

    Yields
    ------
    finding : Finding
        more_rows_would_help.

    """
    if subject.sample_weight is not None:
        raise NotLooked("the learning curve takes no weights")
    scores = subject.own.scores
    gap = subject.over(scores.train, scores.test)
    # More rows bring the two scores together, so that there is no more to win than the gap.
    if gap.mean <= GAIN * subject.span or not gap.exceeds(ERRORS):
        return
    subject.check_time(len(subject.splits))
    subject.announce("diagnosis: fitting the model on fewer rows")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of fits on few rows
            curve = learning_curve(
                subject.estimator,
                subject.X,
                subject.y,
                train_sizes=TRAIN_SIZES,
                cv=subject.splits,
                random_state=subject.seed,
            )
    except ValueError as error:
        raise NotLooked(f"the learning curve could not be drawn: {error}") from error
    gain = curve.expected_score - float(np.nanmean(curve.test_scores[-1]))
    if curve.more_rows_help is not True or gain <= GAIN * subject.span:
        return
    n = int(curve.train_sizes[-1])
    yield Finding(
        4,
        "more_rows_would_help",
        curve.because,
        f"get more training rows: {2 * n} instead of {n}",
        {
            "score": subject.score_name,
            "gain by twice the rows": gain,
            INTERVAL: _widened(curve, gain),
            "gain that matters": GAIN * subject.span,
            "scores": curve.record.evidence["scores"],
        },
        severity=1,
    )


def _widened(curve: LearningCurve, gain: float) -> tuple[float, float]:
    """The curve's interval of the gain, at the level of all evidence, by the distribution that it was made with."""
    last, k = float(np.nanmean(curve.test_scores[-1])), curve.test_scores.shape[1]
    factor = float(t.ppf(0.975, k - 1) / t.ppf((1 + LEVEL) / 2, k - 1))
    low, high = (gain + factor * (bound - last - gain) for bound in curve.expected_interval)
    return low, high


def _severity(difference: float, span: float) -> int:
    """Serious where a large part of what there is to win is lost."""
    return 3 if difference > SERIOUS * span else 2
