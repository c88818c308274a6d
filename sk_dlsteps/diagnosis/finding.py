"""What a diagnosis found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from sk_dlsteps.plan import Reported, StepRecord
from sk_dlsteps.step4_validation.noise import Difference

# Of a finding, from "the scores mean little" to "something to tidy up".
SEVERITIES = {3: "serious", 2: "matters", 1: "minor"}
# What evidence calls the interval of an estimate, and its reach in standard errors.
INTERVAL, REACH = "95 % interval", 1.96


def uncertainty(estimate: Difference) -> dict[str, Any]:
    """The figures by which evidence says how sure an estimate is, under the names that all findings use.

    Parameters
    ----------
    estimate : Difference
        Its error is NaN where a single fold shows no noise.

    Returns
    -------
    evidence : dict
        The standard error and the interval of a normal distribution; empty if they are not known.

    Examples
    --------
    >>> uncertainty(Difference(0.5, 0.1))
    {'standard error': 0.1, '95 % interval': (0.304, 0.696)}

    """
    if not math.isfinite(estimate.mean) or not math.isfinite(estimate.error):
        return {}
    reach = REACH * estimate.error
    return {"standard error": estimate.error, INTERVAL: (estimate.mean - reach, estimate.mean + reach)}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    step : int
        Of the article, 1 to 6, where it is put right.
    code : str
        What it is, such as "overfits".
    title : str
        What was seen, in words.
    action : str
        What to do next; it names the parameter.
    evidence : dict
        Figures and intervals, by name.
    severity : {3, 2, 1}
        3 is serious, 1 is minor.

    """

    step: int
    code: str
    title: str
    action: str
    evidence: dict[str, Any] = field(default_factory=dict)
    severity: int = 2

    @property
    def record(self) -> StepRecord:
        """The finding for a report."""
        evidence = {"severity": SEVERITIES[self.severity], **self.evidence}
        return StepRecord(self.step, self.code.replace("_", " "), self.action, self.title, evidence)


@dataclass(frozen=True, repr=False)
class Diagnosis(Reported, Sequence):
    """All findings, the worst first.

    Attributes
    ----------
    findings : tuple of Finding
        By severity, then by step.
    looked_at : tuple of str
        What was looked at.
    left_out : dict
        What was not, and why.

    """

    findings: tuple[Finding, ...]
    looked_at: tuple[str, ...]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def codes(self) -> tuple[str, ...]:
        """The findings' codes."""
        return tuple(finding.code for finding in self.findings)

    @overload
    def __getitem__(self, i: int) -> Finding: ...

    @overload
    def __getitem__(self, i: slice) -> tuple[Finding, ...]: ...

    def __getitem__(self, i: int | slice) -> Finding | tuple[Finding, ...]:
        """The i-th worst."""
        return self.findings[i]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.findings)

    def records(self) -> tuple[StepRecord, ...]:
        """The findings for a report, and what was not looked at."""
        records = [finding.record for finding in self.findings]
        if not records:
            because = f"looked at: {', '.join(self.looked_at)}" if self.looked_at else "nothing could be looked at"
            records.append(StepRecord(4, "diagnosis", "nothing found", because))
        if self.left_out:
            whys = dict.fromkeys(self.left_out.values())
            because = "; ".join(f"{why} ({', '.join(self._left_out_for(why))})" for why in whys)
            n, n_all = len(self.left_out), len(self.left_out) + len(self.looked_at)
            records.append(StepRecord(4, "not looked at", f"{n} of {n_all} kinds of evidence", because))
        return tuple(records)

    def _left_out_for(self, reason: str) -> list[str]:
        """What was left out for one reason."""
        return [name for name, why in self.left_out.items() if why == reason]

    @property
    def _title(self) -> str:
        """How many findings there are, and the worst."""
        n = len(self.findings)
        if not n and self.left_out:
            n_all = len(self.looked_at) + len(self.left_out)
            return (
                f"Diagnosis: nothing found in {len(self.looked_at)} of {n_all} kinds of evidence, the rest is unknown"
            )
        worst = f", the worst: {self.codes[0].replace('_', ' ')}" if n > 1 else ""
        return f"Diagnosis: {n or 'no'} finding{'' if n == 1 else 's'}{worst}"
