"""How the learning rate changes over a stream, whose end nobody knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sk_dlsteps.step3_training.schedules import EndlessRestarts, Plateau


@dataclass(frozen=True)
class OfCall:
    """The part of a stream's schedule that one call of `partial_fit` goes through.

    Attributes
    ----------
    schedule : callable
        Of the whole stream.
    call : int
        Calls before this one.
    n_calls : int or None
        Calls that `schedule` is planned for, after which it stays as it ended; None: it counts calls itself.

    """

    schedule: Any
    call: int
    n_calls: int | None

    def __call__(self, progress: float) -> float:
        """Factor of the rate at `progress` in [0, 1] through the call."""
        calls = self.call + progress
        return self.schedule(calls if self.n_calls is None else min(calls / self.n_calls, 1.0))


@dataclass(frozen=True)
class PlateauOfCall(OfCall):
    """A call's part of a schedule that also looks at the calls' training losses."""

    def update(self, state: dict[str, np.ndarray] | None, losses: np.ndarray) -> dict[str, np.ndarray]:
        """State after the call with these training losses."""
        return self.schedule.update(state, losses)


def choose_stream_schedule(parameters: dict[str, Any], schedule: Any) -> tuple[Any, int | None]:
    """The schedule of a stream, and the calls that it is planned for; None where it needs no end.

    Parameters
    ----------
    parameters : dict
        The estimator's.
    schedule : callable or None
        What `choose_schedule` made of them for a fit.

    Raises
    ------
    ValueError
        If the schedule needs an end and `max_epochs` gives none.

    """
    name, max_epochs = parameters["lr_schedule"], parameters["max_epochs"]
    if schedule is None or isinstance(schedule, Plateau):
        return schedule, None
    if isinstance(name, str) and name in ("auto", "cosine_restarts"):
        period = parameters["restart_period"]
        return EndlessRestarts(1 if period == "auto" else int(period), int(parameters["restart_mult"])), None
    if max_epochs == "auto":
        raise ValueError(
            f"`lr_schedule={name!r}` needs an end, and a stream has none: set `max_epochs` to the number of calls of "
            "`partial_fit` after which the rate shall stay as it is, or use lr_schedule='auto', 'constant' or 'plateau'"
        )
    return schedule, int(max_epochs)


def part_of_call(schedule: Any, call: int, n_calls: int | None) -> Any:
    """What call number `call`, counted from 0, goes through; None leaves the rate alone."""
    if schedule is None:
        return None
    return (PlateauOfCall if hasattr(schedule, "update") else OfCall)(schedule, call, n_calls)
