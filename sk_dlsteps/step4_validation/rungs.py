"""Ladder and Rung: what a search along the article's steps tried, and how it went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sk_dlsteps.plan import StepRecord
from sk_dlsteps.step4_validation.noise import Difference


@dataclass(frozen=True)
class Rung:
    """What was tried together, what came out, and whether it was kept.

    Attributes
    ----------
    step : int
        3, the training fit, or 4, the validation gap.
    name : str
        Of the technique; the first is "start".
    because : str
        Why it was tried.
    changes : tuple of dict
        What each candidate changed.
    candidates : tuple of dict
        Parameters of each candidate, relative to the estimator.
    test_scores, train_scores : tuple of float
        Their means over the folds; NaN for one without a score in every fold.
    differences : tuple of Difference
        Of their validation scores to the best before, paired over the folds. Empty for the start.
    best : int or None
        Number of the candidate with the best validation score; None if none
        has a score in every fold.
    kept : bool
        Whether that candidate was kept.
    params : dict
        The parameters that the ladder went on with.
    verdict : str
        The outcome in a sentence.

    """

    step: int
    name: str
    because: str
    changes: tuple[dict[str, Any], ...]
    candidates: tuple[dict[str, Any], ...]
    test_scores: tuple[float, ...]
    train_scores: tuple[float, ...]
    differences: tuple[Difference, ...]
    best: int | None
    kept: bool
    params: dict[str, Any]
    verdict: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The rung as a row of the ladder's table."""
        if self.best is None:
            return (str(self.step), self.name, str(len(self.candidates)), "no score", "-", "-", "-", "no")
        return (
            str(self.step),
            self.name,
            str(len(self.candidates)),
            describe_change(self.changes[self.best]),
            f"{self.train_scores[self.best]:.4f}",
            f"{self.test_scores[self.best]:.4f}",
            str(self.differences[self.best]) if self.differences else "",
            "yes" if self.kept else "no",
        )


@dataclass(frozen=True, repr=False)
class Ladder(Sequence):
    """The rungs of a search in the order in which they were climbed.

    It prints as a table, and shows as one in a notebook.

    Attributes
    ----------
    rungs : tuple of Rung
        The start first.
    params : dict
        Parameters that the search ends with.
    best_index : int
        Number of the candidate with these parameters, in the order of evaluation over all rungs.
    training_target : str
        What the training fit had to reach, and how that went.
    score_name : str
        Of the scores; higher is better.
    verdict : str
        How it went, and why it stopped.

    """

    rungs: tuple[Rung, ...]
    params: dict[str, Any]
    best_index: int
    training_target: str
    score_name: str
    verdict: str

    COLUMNS = ("step", "rung", "tried", "best change", "training", "validation", "change", "kept")

    def __len__(self) -> int:
        return len(self.rungs)

    def __getitem__(self, index):
        return self.rungs[index]

    def __repr__(self) -> str:
        from sk_dlsteps.report.ladder import ladder_text

        return ladder_text(self)

    def _repr_html_(self) -> str:
        from sk_dlsteps.report.ladder import ladder_html

        return ladder_html(self)

    def records(self) -> tuple[StepRecord, ...]:
        """The ladder as records for a report.

        Returns
        -------
        records : tuple of StepRecord
            One of step 3, one of step 4.

        """
        records = []
        for step, title, because in ((3, "ladder", self.training_target), (4, "ladder", self.verdict)):
            rungs = [rung for rung in self.rungs if rung.step == step]
            kept = [rung.name for rung in rungs if rung.kept and rung.differences]
            table = [dict(zip(self.COLUMNS[1:], rung.cells[1:], strict=True)) for rung in rungs]
            reason = because[:1].lower() + because[1:]
            records.append(StepRecord(step, title, ", ".join(kept) or "nothing kept", reason, {"rungs": table}))
        return tuple(records)


def describe_change(change: Mapping[str, Any]) -> str:
    """A change of parameters in a few words, names without their prefix."""
    return ", ".join(f"{name.rpartition('__')[2]}={_show(value)}" for name, value in change.items()) or "-"


def _show(value: Any) -> str:
    """A parameter's value, short."""
    if isinstance(value, float | np.floating):
        return f"{value:.3g}"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_show, value))})"
    return str(getattr(value, "__name__", value))
