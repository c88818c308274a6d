"""What a check of new rows found: a verdict, the figures behind it, and the article's next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sk_dlsteps.plan import Reported, StepRecord
from sk_dlsteps.step6_real_world.column_tests import PSI_LEVEL, ColumnTest
from sk_dlsteps.step6_real_world.domain import DomainTest
from sk_dlsteps.step6_real_world.score_drop import ScoreDrop
from sk_dlsteps.step6_real_world.sketches import LevelSketch

# Columns shown in records, and letters of their names.
_MAX_SHOWN, _N_LETTERS = 10, 30
_NEXT = {
    "no drift": "nothing to change: go on watching",
    "inputs drifted": "nothing shows yet in what the model makes of them: collect the true values of some new rows and "
    "check their score",
    "target drifted": "the score holds so far: put new rows into the validation and test sets, and check again",
    "predictions drifted": "get the true values of some of these rows and check the score (y_new); until then trust "
    "the predictions less",
    "score dropped": "change the validation and test sets to rows like these, with such rows to train on, and go back "
    "to step 4; if the model then does well there and still not out here, think again about the cost function (step 1) "
    "or the objective itself",
}


@dataclass(frozen=True, repr=False)
class DriftReport(Reported):
    """What a check of new rows found.

    Attributes
    ----------
    alpha : float
        Probability of a verdict other than "no drift" if nothing has drifted.
    n_rows, n_reference : int
        New rows, and rows of the training table.
    columns : tuple of ColumnTest
        One for each column looked at, in their order.
    domain : DomainTest or None
        The domain classifier; None where it could not be asked.
    predictions : tuple of ColumnTest
        One for each output of the model.
    target : tuple of ColumnTest
        One for each column of the target, where true values are known.
    score : ScoreDrop or None
        Where true values are known.
    smallest_shift : float
        Shift of one column, in standard deviations, that so many rows show with a probability of 0.8 at least.
    notes : tuple of str
        What could not be tested, and why.

    """

    alpha: float
    n_rows: int
    n_reference: int
    columns: tuple[ColumnTest, ...]
    domain: DomainTest | None
    predictions: tuple[ColumnTest, ...]
    target: tuple[ColumnTest, ...]
    score: ScoreDrop | None
    smallest_shift: float
    notes: tuple[str, ...]

    @property
    def p_values(self) -> dict[str, float]:
        """The p-value of each kind of test: of columns the smallest one after Benjamini-Hochberg."""
        found = {"columns": _smallest(self.columns)}
        if self.domain is not None:
            found["all columns together"] = self.domain.p_value
        if self.predictions:
            found["predictions"] = _smallest(self.predictions)
        if self.target:
            found["target"] = _smallest(self.target)
        if self.score is not None:
            found["score"] = self.score.p_value
        return found

    @property
    def level(self) -> float:
        """What each kind of test gets of alpha (Bonferroni)."""
        return self.alpha / len(self.p_values)

    @property
    def alarms(self) -> tuple[str, ...]:
        """Kinds of tests that found a difference."""
        return tuple(kind for kind, p in self.p_values.items() if p <= self.level)

    @property
    def verdict(self) -> str:
        """The gravest finding: no drift, or drift of the inputs, the target, the predictions or the score."""
        for kind, verdict in (
            ("score", "score dropped"),
            ("predictions", "predictions drifted"),
            ("target", "target drifted"),
            ("columns", "inputs drifted"),
            ("all columns together", "inputs drifted"),
        ):
            if kind in self.alarms:
                return verdict
        return "no drift"

    @property
    def drifted_columns(self) -> tuple[str, ...]:
        """Columns of the inputs that drifted, the smallest p-value first."""
        return tuple(test.name for test in self.most_drifted if test.adjusted <= self.level)

    @property
    def most_drifted(self) -> tuple[ColumnTest, ...]:
        """Tests of all columns, the smallest p-value first."""
        return tuple(sorted(self.columns, key=lambda test: (test.p_value, -test.psi)))

    @property
    def next_step(self) -> str:
        """What the article would have you do."""
        text = _NEXT[self.verdict]
        if self.verdict == "inputs drifted" and not self.predictions:
            return "see what the model makes of such rows (DriftDetector.from_estimator), and collect some true values"
        if self.verdict == "score dropped" and not {"columns", "all columns together"} & {*self.alarms}:
            text = f"the inputs look as before, so what they say about the target has changed: {text}"
        if self.verdict == "inputs drifted" and self.score is not None:
            text = "the predictions and the score are as before: go on, and watch the score of such rows"
        if self.verdict == "predictions drifted" and self.score is not None:
            low, high = self.score.interval
            text = (
                f"the score has not fallen for certain (by {self.score.drop:.3f}, {low:.3f} to {high:.3f}): get the "
                "true values of more such rows, and watch their score"
            )
        return text

    @property
    def table(self) -> list[dict[str, Any]]:
        """A row for each column: tests, shares and counts, the smallest p-value first."""
        return [_row(test, test.adjusted <= self.level) for test in self.most_drifted]

    def to_frame(self) -> Any:
        """The table as a DataFrame of pandas.

        Raises
        ------
        ImportError
            If pandas is missing.

        """
        return frame_of(self.table)

    def records(self) -> tuple[StepRecord, ...]:
        """Step 6 in words: the verdict with its figures, and the next step."""
        evidence: dict[str, Any] = {
            "new rows": self.n_rows,
            "training rows": self.n_reference,
            "columns drifted": f"{len(self.drifted_columns)} of {len(self.columns)}",
        }
        if self.domain is not None:
            evidence["AUC of a classifier of old and new rows"] = self.domain.auc
            if self.domain.columns:
                evidence["it needs"] = [name for name, _ in self.domain.columns]
        evidence["smallest shift of a column that shows, in standard deviations"] = self.smallest_shift
        if self.notes:
            evidence["not tested"] = list(self.notes)
        tests = [self._test(kind, p) for kind, p in self.p_values.items()]
        evidence["tests"] = tests
        evidence["columns"] = [_short(test) for test in self.most_drifted[:_MAX_SHOWN]]
        outputs = [*self.predictions, *self.target]
        if outputs:
            evidence["predictions and target"] = [_short(test) for test in outputs]
        if self.score is not None:
            evidence[f"{self.score.score} of single networks"] = [_scored(self.score)]
        return (
            StepRecord(6, "new rows", self.verdict, self._because(), evidence),
            StepRecord(6, "next step", self.next_step, f"the verdict is {self.verdict!r}"),
        )

    def _because(self) -> str:
        """The findings in a sentence, and what a false alarm costs."""
        chance = f"a false alarm has a probability of at most {self.alpha:g}"
        if not self.alarms:
            return f"no test found a difference; {chance}"
        found = []
        if "score" in self.alarms and self.score is not None:
            low, high = self.score.interval
            found.append(
                f"{self.score.score} fell by {self.score.drop:.3f} (95 % interval {low:.3f} to {high:.3f}) "
                f"to {self.score.after:.3f}"
            )
        for kind, tests in (("predictions", self.predictions), ("target", self.target), ("columns", self.columns)):
            if kind in self.alarms:
                names = [test.name for test in sorted(tests, key=lambda t: t.p_value) if test.adjusted <= self.level]
                found.append(f"{_listed(names)} {'has' if len(names) == 1 else 'have'} another distribution")
        if "all columns together" in self.alarms and self.domain is not None:
            found.append(f"a classifier tells new rows from old ones (AUC {self.domain.auc:.3f})")
        return f"{'; '.join(found)}; {chance}"

    def _test(self, kind: str, p_value: float) -> dict[str, Any]:
        """A row of the table of tests."""
        return {"test of": kind, "p": p_value, "level": self.level, "alarm": "yes" if p_value <= self.level else "no"}


def frame_of(table: Sequence[Mapping[str, Any]]) -> Any:
    """A table as a DataFrame of pandas.

    Parameters
    ----------
    table : sequence of dict
        Its rows.

    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError('`to_frame` needs pandas: pip install "sk_dlsteps[csv]"') from error
    return pandas.DataFrame(list(table))


def _smallest(tests: Sequence[ColumnTest]) -> float:
    """The smallest adjusted p-value, which is that of the hypothesis that no column drifted (Simes)."""
    return min((test.adjusted for test in tests), default=1.0)


def _row(test: ColumnTest, drifted: bool) -> dict[str, Any]:
    """All figures of a column."""
    return {
        "column": test.name,
        "drifted": drifted,
        "test": test.test,
        "statistic": test.statistic,
        "p_value": test.p_value,
        "adjusted_p_value": test.adjusted,
        "psi": test.psi,
        "psi_limit": test.psi_limit,
        "psi_p_value": test.psi_p_value,
        "missing_before": test.missing_before,
        "missing": test.missing,
        "outside": test.outside,
        "unseen": test.unseen,
    }


def _short(test: ColumnTest) -> dict[str, Any]:
    """The figures of a column that fit a line."""
    return {
        "column": shortened(test.name),
        "test": test.test,
        "statistic": test.statistic,
        "adjusted p": test.adjusted,
        "PSI": test.psi,
        f"PSI {PSI_LEVEL:.0%} by chance": test.psi_limit,
        "missing": f"{test.missing_before:.1%} to {test.missing:.1%}",
        "outside": "" if test.outside is None else test.outside,
        "unseen": _unseen(test),
    }


def shortened(name: str) -> str:
    """A name that fits a table."""
    return name if len(name) <= _N_LETTERS else f"{name[: _N_LETTERS - 3]}..."


def _unseen(test: ColumnTest) -> int | str:
    """Rows of levels that training did not see, or that it is not known."""
    if test.unseen is not None:
        return test.unseen
    return "unknown" if isinstance(test.old, LevelSketch) else ""


def _scored(drop: ScoreDrop) -> dict[str, Any]:
    """The score before and after."""
    return {
        "rows": "held-out training rows, then new ones",
        "before": drop.before,
        "after": drop.after,
        "drop": drop.drop,
        "95 % from": drop.interval[0],
        "to": drop.interval[1],
    }


def _listed(names: Sequence[str], most: int = 5) -> str:
    """Some names, and how many there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
