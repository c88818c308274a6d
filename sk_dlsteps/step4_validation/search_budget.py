"""What a search may spend."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

# "No limit", as an int.
MOST = 2**31
Evaluate = Callable[[list[dict[str, Any]]], tuple[Any, Any]]


class SearchBudget:
    """Candidates and seconds that may still be spent.

    Parameters
    ----------
    n_iter : int or None
        Candidates in all; None for no limit.
    max_seconds : float or None
        Seconds in all; None for no limit.
    clock : callable
        Seconds.

    Attributes
    ----------
    n_tried : int
        Candidates evaluated.
    seconds : float
        What their evaluation took.

    """

    def __init__(self, n_iter: int | None, max_seconds: float | None, clock: Callable[[], float]) -> None:
        self.n_iter = math.inf if n_iter is None else n_iter
        self.max_seconds = math.inf if max_seconds is None else max_seconds
        self.clock, self.began = clock, clock()
        self.n_tried, self.seconds = 0, 0.0

    def spend(self, evaluate: Evaluate, candidates: list[dict[str, Any]]) -> tuple[Any, Any]:
        """Evaluate, and count what it took."""
        began = self.clock()
        scores = evaluate(candidates)
        self.n_tried += len(candidates)
        self.seconds += self.clock() - began
        return scores

    def has_time(self, n_candidates: int = 1) -> bool:
        """Whether so many more candidates would end within the seconds, by the time of those before."""
        spent = self.clock() - self.began
        return spent + n_candidates * self.seconds / max(self.n_tried, 1) <= self.max_seconds

    def room(self) -> int:
        """Candidates that still fit."""
        room = self.n_iter - self.n_tried
        if self.seconds > 0:
            left = self.max_seconds - (self.clock() - self.began)
            room = min(room, left * self.n_tried / self.seconds)
        return int(min(max(room, 0), MOST))

    def exhausted(self) -> str:
        """Which limit leaves no room for another candidate; nothing if there is room."""
        if self.n_tried >= self.n_iter:
            return f"the {self.n_iter} candidates of `n_iter` were spent"
        return f"the {self.max_seconds:g} seconds of `max_seconds` were spent" if self.room() < 1 else ""
