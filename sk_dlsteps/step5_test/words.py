"""Step 5 in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sk_dlsteps.plan import StepRecord
from sk_dlsteps.step5_test.gap import Gap
from sk_dlsteps.step5_test.promise import Promise

if TYPE_CHECKING:
    from sk_dlsteps.step5_test.verification import Verification

_ENDINGS = {1: "st", 2: "nd", 3: "rd"}


def because(promise: Promise, gap: Gap) -> str:
    """Say why a verdict is what it is.

    Parameters
    ----------
    promise : Promise
        Of step 4.
    gap : Gap
        What is left of it.

    """
    low, high = (digits(end) for end in gap.interval)
    luck = (
        f", of which {digits(promise.optimism)} for the best of {promise.n_candidates}" if promise.optimism > 0 else ""
    )
    found = {
        "validation overfitted": "no chance explains it",
        "confirmed": f"a gap of {digits(gap.tolerance)}, which would matter, is ruled out",
        "inconclusive": f"neither no gap nor one of {digits(gap.tolerance)}, which would matter, is ruled out",
    }[gap.verdict]
    return (
        f"validation promised {digits(promise.score)}{luck}; the gap of {digits(gap.value)} lies between {low} and "
        f"{high}: {found}"
    )


def next_step(gap: Gap, promise: Promise, n_test: int) -> str:
    """Say what to do now, after the article.

    Parameters
    ----------
    gap : Gap
        Between promise and test.
    promise : Promise
        Of step 4.
    n_test : int
        Test rows.

    """
    if gap.verdict == "confirmed":
        return "go on to step 6, the real world"
    rows = _validation_rows(gap, promise, n_test)
    if gap.verdict == "validation overfitted":
        return (
            f"enlarge the validation set by more rows or by augmentation ({rows}), go "
            "back to step 4, and come back with test rows that nobody has looked at; do not tune on the test set"
        )
    ways = []
    if math.isfinite(gap.test_factor):
        ways.append(_test_rows(gap, n_test))
    if math.isfinite(gap.validation_factor) or not ways:
        ways.append(rows)
    return "do not tune on the test set; to decide, get more rows: " + ", or ".join(ways)


def _validation_rows(gap: Gap, promise: Promise, n_test: int) -> str:
    """How many validation rows make a gap of the tolerance detectable, or how many of both kinds."""
    shows = f"a gap of {digits(gap.tolerance)} in 80 of 100 cases"
    if math.isinf(gap.validation_factor) and math.isfinite(gap.test_factor):
        needed = f"{math.ceil(n_test * gap.test_factor):,} test rows instead of {n_test:,} next time"
        return f"as many new ones, with {needed}, as this test set alone is too small to show {shows}"
    if math.isinf(gap.validation_factor):
        counts = [f"{math.ceil(n * gap.both_factor):,}" for n in (promise.n_rows, n_test) if n is not None]
        of_each = " and ".join(counts) if len(counts) == 2 else f"{counts[0]} test rows"
        return f"{_times(gap.both_factor)} times as many validation and test rows ({of_each}) show {shows}"
    if gap.validation_factor <= 1:
        return f"those that there are show {shows}, so take as many new ones"
    if promise.n_rows is None:
        return f"{_times(gap.validation_factor)} times as many validation rows show {shows}"
    n_needed = math.ceil(promise.n_rows * gap.validation_factor)
    return f"{n_needed:,} validation rows instead of {promise.n_rows:,} show {shows}"


def _times(factor: float) -> str:
    """A factor with a decimal, if it is not large."""
    return f"{factor:,.1f}" if factor < 100 else f"{factor:,.0f}"


def _test_rows(gap: Gap, n_test: int) -> str:
    """How many test rows do the same."""
    if gap.test_factor <= 1:
        return f"as many test rows as now ({n_test:,}), new ones"
    return f"{math.ceil(n_test * gap.test_factor):,} test rows instead of {n_test:,}"


def verification_record(found: Verification) -> StepRecord:
    """Put a verification into a record.

    Parameters
    ----------
    found : Verification
        What the test set said.

    """
    low, high = found.test_interval
    decision = (
        f"test {found.score_name} {digits(found.test_score)}, {100 * found.confidence:g} % interval {digits(low)} to "
        f"{digits(high)}: {found.verdict}"
    )
    evidence: dict[str, Any] = {"next step": found.next_step, "test rows": found.n_test}
    if found.gap is not None:
        evidence |= {
            "validation rows": "unknown" if found.n_validation is None else found.n_validation,
            "validation score": found.validation_score,
            "its error": found.validation_error,
            "candidates": found.n_candidates,
            "optimism of their choice": found.optimism,
            "gap": found.gap,
            "gap between": found.gap_interval,
            "gap that would matter": found.tolerance,
            "gap found in 80 of 100 cases": found.detectable_gap,
            "times as many rows of both kinds to find what would matter": found.rows_factor,
        }
    if found.network_score is not None:
        evidence["test score of single networks"] = found.network_score
    evidence["looks at this test set"] = found.n_looks
    looks = "" if found.n_looks == 1 else f"; this is the {ordinal(found.n_looks)} look at these test rows"
    return StepRecord(5, "test set", decision, found.because + looks, evidence)


def digits(value: float) -> str:
    """A score with three decimals, without any if it is large, and with three digits if it is tiny or huge.

    Examples
    --------
    >>> [digits(value) for value in (0.0, 0.8125, -123.4, 0.00001234, -6.8e12)]
    ['0.000', '0.812', '-123', '1.23e-05', '-6.8e+12']

    """
    size = abs(value)
    if size and not 0.001 <= size < 1e5:
        return f"{value:.3g}"
    return f"{value + 0.0:.3f}" if size < 100 else f"{value:,.0f}"


def ordinal(number: int) -> str:
    """A number as 1st, 2nd, 3rd, 4th."""
    return f"{number}{'th' if number % 100 in (11, 12, 13) else _ENDINGS.get(number % 10, 'th')}"
