"""`diagnose`: every check, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np

from sk_dlsteps.diagnosis.classes import look_at_calibration, look_at_rare_classes
from sk_dlsteps.diagnosis.columns import look_for_empty_columns, look_for_leaks, look_for_useless_columns
from sk_dlsteps.diagnosis.finding import Diagnosis, Finding
from sk_dlsteps.diagnosis.fit import look_at_gap, look_at_number_of_rows, look_at_training_fit
from sk_dlsteps.diagnosis.folds import check_folds
from sk_dlsteps.diagnosis.gradients import look_at_gradients
from sk_dlsteps.diagnosis.history import look_at_losses
from sk_dlsteps.diagnosis.rows import receive
from sk_dlsteps.diagnosis.search import look_at_edges
from sk_dlsteps.diagnosis.signal import look_for_signal
from sk_dlsteps.diagnosis.subject import NotLooked, Subject
from sk_dlsteps.fitted import Fitted


@dataclass(frozen=True)
class Check:
    """A kind of evidence.

    Attributes
    ----------
    name : str
        What is looked at.
    look : callable
        A `Subject` to findings; raises `NotLooked` where it cannot.
    needs_rows : bool
        Whether there is nothing to see without `X` and `y`.
    applies : callable
        Whether a `Subject` has such a thing at all.

    """

    name: str
    look: Callable[[Subject], Iterator[Finding]]
    needs_rows: bool = True
    applies: Callable[[Subject], bool] = lambda subject: True


def _is_searched(subject: Subject) -> bool:
    """Whether a search chose the model."""
    return subject.fitted.search is not None


def _has_classes(subject: Subject) -> bool:
    """Whether classes or labels are predicted."""
    return subject.task != "regression"


CHECKS = (
    Check("loss curves", look_at_losses, needs_rows=False),
    Check("gradients and units", look_at_gradients, needs_rows=False),
    Check("training fit", look_at_training_fit, needs_rows=False),
    Check("gap to validation", look_at_gap, needs_rows=False),
    Check("edges of the search", look_at_edges, needs_rows=False, applies=_is_searched),
    Check("empty and double columns", look_for_empty_columns),
    Check("leaks", look_for_leaks),
    Check("signal in the inputs", look_for_signal),
    Check("rare classes", look_at_rare_classes, applies=_has_classes),
    Check("calibration", look_at_calibration, applies=_has_classes),
    Check("number of rows", look_at_number_of_rows),
    Check("useless columns", look_for_useless_columns),
)
# What a finding explains, so that another one would only repeat it.
EXPLAINS = {
    "no_signal": ("underfits", "overfits", "trained_too_long"),
    "trained_too_long": ("overfits",),
    "underfits": ("miscalibrated", "rare_class_missed"),
}
# What says best how to fit the training rows, if it is found.
REMEDIES = ("rate_too_high", "rate_too_low", "stopped_too_early")


def diagnose(
    model_or_search: Any,
    X: Any = None,
    y: Any = None,
    *,
    sample_weight: Any = None,
    cv: Any = 5,
    max_seconds: float | None = None,
    random_state: int | None = 0,
    verbose: int = 0,
) -> Diagnosis:
    """Say what is wrong with a fitted model, and what to do next.

    Without rows it judges what the model holds: its loss curves, gradients, scores and search. With the training
    rows it fits the model and simple ones anew on a few folds, and also looks at columns, classes and numbers of rows.
    docs/diagnosis.md has all findings, what is measured for each, and from where on it counts.

    Parameters
    ----------
    model_or_search : estimator object
        A fitted StepwiseRegressor or StepwiseClassifier, a pipeline that ends with one, or a scikit-learn search
        over either. It stays as it is.
    X : array-like of shape (n_samples, n_features) or (n_samples, ...), default=None
        The training rows.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Their target.
    sample_weight : array-like of shape (n_samples,), default=None
        What each row counts, if the model was fitted with that: in the model's fits and scores, not in those of the
        models it is compared with.
    cv : int, splitter or iterable of (train, test), default=5
        Folds; with an integer they are shuffled, and stratified for a classifier. Where rows belong together, give
        ``list(GroupKFold().split(X, y, groups))``.
    max_seconds : float, default=None
        No fits are begun that would not end within it; what is left out is said. None: no limit.
    random_state : int or None, default=0
        Of folds and shuffles, and of the networks if the model has no integer of its own. None takes fresh entropy.
    verbose : int, default=0
        1 says what is being fitted.

    Returns
    -------
    diagnosis : Diagnosis
        The findings, the worst first; it prints as a report.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    ValueError
        If it is none of ours, or a parameter or the rows are not what they may be.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sk_dlsteps import StepwiseClassifier, diagnose
    >>> X, y = load_iris(return_X_y=True)
    >>> model = StepwiseClassifier(max_epochs=1, learning_rate=1e-4, random_state=0).fit(X, y)
    >>> diagnosis = diagnose(model)
    >>> diagnosis.codes
    ('stopped_too_early',)
    >>> diagnosis[0].action
    "train longer: max_epochs='auto', or more than 1"

    """
    _check_parameters(max_seconds, random_state, cv)
    deadline = np.inf if max_seconds is None else time.monotonic() + max_seconds
    fitted = Fitted.of_ours(model_or_search, "to look into its training")
    X, y, weight = receive(fitted, X, y, sample_weight)
    seed = np.random.SeedSequence().generate_state(1)[0] % 2**31 if random_state is None else random_state
    subject = Subject(fitted, X, y, weight, cv, int(seed), deadline, _announcer(verbose))
    if X is not None:
        _ = subject.splits  # folds that cannot be made are an error here, not in the first check
    findings: list[Finding] = []
    looked_at: list[str] = []
    left_out: dict[str, str] = {}
    for check in CHECKS:
        if not check.applies(subject):
            continue
        try:
            _check_possible(check, subject)
            findings += check.look(subject)
            looked_at.append(check.name)
        except NotLooked as reason:
            left_out[check.name] = str(reason)
    _end_announcing(verbose)
    return Diagnosis(_worst_first(findings), tuple(looked_at), left_out)


def _check_possible(check: Check, subject: Subject) -> None:
    """Raise `NotLooked` if a check asks for what is not there."""
    if check.needs_rows and subject.X is None:
        raise NotLooked("it needs `X` and `y`")
    if time.monotonic() > subject.deadline:
        raise NotLooked("the time was up; raise `max_seconds`")


def _check_parameters(max_seconds: Any, random_state: Any, cv: Any) -> None:
    """Raise if a parameter is not what it may be."""
    is_time = isinstance(max_seconds, Real) and not isinstance(max_seconds, bool) and float(max_seconds) >= 0
    if max_seconds is not None and not is_time:
        raise ValueError(f"`max_seconds` must be a number of at least 0, or None for no limit, got {max_seconds!r}")
    is_seed = (
        isinstance(random_state, Integral) and not isinstance(random_state, bool) and 0 <= int(random_state) < 2**32
    )
    if random_state is not None and not is_seed:
        raise ValueError(
            f"`random_state` must be an integer from 0 to 2**32 - 1, or None for another one each time, "
            f"got {random_state!r}"
        )
    check_folds(cv)


def _worst_first(findings: list[Finding]) -> tuple[Finding, ...]:
    """The findings by severity and step, without those that another one explains, one remedy for one fault."""
    explained = {code for finding in findings for code in EXPLAINS.get(finding.code, ())}
    kept = [finding for finding in findings if finding.code not in explained]
    of_losses = [finding.action for finding in kept if finding.code in REMEDIES]
    if of_losses:
        kept = [replace(f, action=of_losses[0]) if f.code == "underfits" else f for f in kept]
    return tuple(sorted(kept, key=lambda finding: (-finding.severity, finding.step)))


def _announcer(verbose: int) -> Callable[[str], None]:
    """Who is told what is being fitted."""
    if not verbose:
        return lambda words: None
    from sk_dlsteps.report.progress import announce

    return announce


def _end_announcing(verbose: int) -> None:
    """Wipe the line of a terminal."""
    if verbose:
        from sk_dlsteps.report.progress import clear

        clear()
