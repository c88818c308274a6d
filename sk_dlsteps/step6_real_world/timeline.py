"""Checks of a stream: a row for each batch of new rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scipy.stats import binom

from sk_dlsteps.plan import Reported, StepRecord
from sk_dlsteps.step6_real_world.drift_report import DriftReport, frame_of, shortened

# Batches shown in records.
_MAX_SHOWN = 30


@dataclass(frozen=True, repr=False)
class DriftTimeline(Reported):
    """What checks of one batch after the other found.

    Attributes
    ----------
    alpha : float
        Probability of a false alarm for each batch.
    n_reference : int
        Rows of the training table.
    table : tuple of dict
        A row for each batch: "time", "rows", "verdict", "p" (the smallest p-value, corrected for the number of
        kinds of tests), "drifted" (columns), "most drifted" (a column), "PSI" (its), "AUC" of the domain classifier and
        "score" where there are such.

    """

    alpha: float
    n_reference: int
    table: tuple[dict[str, Any], ...]

    @property
    def alarms(self) -> tuple[Any, ...]:
        """Times of the batches that drifted."""
        return tuple(row["time"] for row in self.table if row["verdict"] not in ("no drift", "no rows"))

    @property
    def p_value(self) -> float:
        """How likely so many alarms would be if nothing had drifted."""
        n_checked = sum(row["rows"] > 0 for row in self.table)
        return float(binom.sf(len(self.alarms) - 1, n_checked, self.alpha)) if self.alarms else 1.0

    def to_frame(self) -> Any:
        """The table as a DataFrame of pandas.

        Raises
        ------
        ImportError
            If pandas is missing.

        """
        return frame_of(self.table)

    def records(self) -> tuple[StepRecord, ...]:
        """Step 6 in words, with the last batches."""
        n, alarms = len(self.table), self.alarms
        by_chance = self.alpha * sum(row["rows"] > 0 for row in self.table)
        decision = f"{len(alarms)} of {n} batches drifted"
        if alarms:
            decision += f", {alarms[0]} first"
        because = f"a clean batch raises a false alarm with a probability of {self.alpha:g}: {by_chance:.2g} by chance"
        if alarms:
            because += f"; so many or more have a probability of {self.p_value:.2g}"
        shown = self.table[-_MAX_SHOWN:]
        name = "batches" if len(shown) == n else f"the last {len(shown)} batches"
        evidence = {"training rows": self.n_reference, name: [_shown(row) for row in shown]}
        return (StepRecord(6, "batches of new rows", decision, because, evidence),)


def batch_row(time: Any, report: DriftReport | None) -> dict[str, Any]:
    """What is kept of the check of a batch; None for a batch without rows.

    Parameters
    ----------
    time : object
        What the batch is called.
    report : DriftReport or None
        Of its rows.

    """
    if report is None:
        empty = dict.fromkeys(("p", "drifted", "most drifted", "PSI", "AUC", "score"))
        return {"time": time, "rows": 0, "verdict": "no rows", **empty}
    most = report.most_drifted[0]
    return {
        "time": time,
        "rows": report.n_rows,
        "verdict": report.verdict,
        "p": min(1.0, min(report.p_values.values()) * len(report.p_values)),
        "drifted": len(report.drifted_columns),
        "most drifted": most.name,
        "PSI": most.psi,
        "AUC": None if report.domain is None else report.domain.auc,
        "score": None if report.score is None else report.score.after,
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what no batch has, as text where it may hold anything."""
    most = row["most drifted"]
    return {**row, "time": str(row["time"]), "most drifted": "" if most is None else shortened(str(most))}
