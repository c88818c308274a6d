"""What a search has tried so far: candidates, their results, and a line about them on the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from sk_dlsteps.step4_validation.rungs import Ladder


class Tried:
    """Candidates in the order in which they were tried, and their results as they come in.

    Parameters
    ----------
    n_splits : int
        Folds.
    score_of : callable
        A fold's test score to compare candidates by, from its result.
    verbose : int
        0 shows nothing, more shows a line on standard error.

    """

    def __init__(self, n_splits: int, score_of: Callable[[dict[str, Any]], float], verbose: int) -> None:
        self.n_splits, self.score_of, self.verbose = n_splits, score_of, verbose
        self.candidates: list[dict[str, Any]] = []
        self.ladder: Ladder | None = None
        self._rungs: list[int] = []
        self.doing = ""
        self._results: dict[tuple[int, int], dict[str, Any]] = {}
        self._best = -np.inf
        self._shown = time.monotonic()

    def add(self, candidates: list[dict[str, Any]]) -> int:
        """Number of the first of some more candidates, which are tried together."""
        first = len(self.candidates)
        self._rungs += [self._rungs[-1] + 1 if self._rungs else 0] * len(candidates)
        self.candidates += candidates
        return first

    def begin(self, doing: str) -> None:
        """Say what is tried from now on."""
        self.doing = doing

    def note(self, row: int, fold: int, result: dict[str, Any]) -> None:
        """Take in a result."""
        self._results[row, fold] = result
        if self.verbose:
            self._show(row)

    def finished(self) -> list[int]:
        """Candidates with results on all folds."""
        return [row for row in range(len(self.candidates)) if self._has(row)]

    def results(self, rows: Iterable[int]) -> list[dict[str, Any]]:
        """Results of these candidates, fold by fold."""
        return [self._results[row, fold] for row in rows for fold in range(self.n_splits)]

    def scores(self, rows: Iterable[int], key: str) -> np.ndarray:
        """Test or train scores, shape (candidates, folds); NaN where the fit failed."""
        table = self.results(rows)
        scores = [np.nan if result["fit_error"] else self.score_of(result[key]) for result in table]
        return np.array(scores, dtype=float).reshape(-1, self.n_splits)

    def more(self, rows: Iterable[int]) -> dict[str, list]:
        """Further columns of `cv_results_`: the rung of each candidate, if there is a ladder."""
        if self.ladder is None:
            return {}
        # An interruption may find candidates of a rung that the ladder does not know yet.
        names = [*(rung.name for rung in self.ladder), self.doing]
        return {"rung": [names[self._rungs[row]] for row in rows]}

    def end(self) -> None:
        """Wipe the line."""
        if self.verbose:
            from sk_dlsteps.report.progress import clear

            clear()

    def _has(self, row: int) -> bool:
        """Whether a candidate has results on all folds."""
        return all((row, fold) in self._results for fold in range(self.n_splits))

    def _show(self, row: int) -> None:
        """Say how far the search is, now and then."""
        # A step is above what is shown, so this is imported where it is needed.
        from sk_dlsteps.report.progress import announce, is_due

        if self._has(row):
            self._best = np.nanmax([self._best, self.scores([row], "test_scores").mean()])
        if is_due(self._shown):
            best = f", best score {self._best:.3f}" if np.isfinite(self._best) else ""
            what = f"search: {self.doing}, " if self.doing else "search: "
            announce(f"{what}{len(self._results)} of {len(self.candidates) * self.n_splits} fits{best}")
            self._shown = time.monotonic()
