"""What was decided in each step, why, with which figures, and what was not done."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from sk_dlsteps.fitted import Fitted
from sk_dlsteps.plan import StepRecord
from sk_dlsteps.report.checklist import checklist
from sk_dlsteps.report.html import as_fragment, as_page
from sk_dlsteps.report.markdown import as_markdown
from sk_dlsteps.report.outline import STEPS, Outline, outline
from sk_dlsteps.report.pictures import pictures_of
from sk_dlsteps.report.text import as_text
from sk_dlsteps.step4_validation.search_record import search_records


class Report:
    """The article's steps with what was decided in each, why, the evidence, and what was not done.

    Get it from ``model.report()`` or ``search.report()``, or by `of` from a pipeline or one of scikit-learn's
    searches, and `add` what later steps say. It prints as text and shows itself in a notebook.
    It only renders: whatever it shows stands in the records of its parts.

    Parameters
    ----------
    records : iterable of StepRecord, default=()
        Several of a step keep their order. A figure of a record may be a number, a text, a sequence,
        a dict, or a small table (a sequence of dicts with the same keys).
    title : str, default=None
        A heading above the steps.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_dlsteps import StepwiseRegressor
    >>> model = StepwiseRegressor(max_epochs=5, random_state=0).fit(*load_diabetes(return_X_y=True))
    >>> report = model.report()
    >>> print(report.to_text().splitlines()[6])
    Step 1: the cost function
    >>> report.to_html().startswith("<!doctype html>")
    True

    """

    def __init__(self, records: Iterable[StepRecord] = (), *, title: str | None = None) -> None:
        self.title = title
        self._fitted: Fitted | None = None
        self._parts: list[Any] = list(records)

    @classmethod
    def of(cls, model_or_search: Any, *, records: Iterable[StepRecord] = (), title: str | None = None) -> Self:
        """Report on a fitted model and the search that chose it.

        Parameters
        ----------
        model_or_search : estimator object
            A fitted StepwiseRegressor or StepwiseClassifier, a pipeline that ends with one, or a search over either.
        records : iterable of StepRecord, default=()
            What was decided before, such as the task; they stand before those of the same step.
        title : str, default=None
            A heading above the steps; the model's class and number of rows by default.

        Returns
        -------
        report : Report

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If it is not fitted.
        ValueError
            If the model is not one of ours.

        """
        fitted = Fitted.of_ours(model_or_search, "to report its steps")
        found = "" if fitted.search is None else f", found by {type(fitted.search).__name__}"
        report = cls(records, title=title or f"{type(fitted.model).__name__}{found}")
        # As they are now: a model that is fitted again is another one.
        report._fitted = replace(fitted, model=copy.copy(fitted.model), search=copy.copy(fitted.search))
        steps = fitted.model.steps_ if fitted.search is None else map(_chosen_by_whom, fitted.model.steps_)
        report._parts += [*steps, *search_records(fitted.search)]
        return report

    def add(self, *parts: Any) -> Self:
        """Add what later steps say.

        Parameters
        ----------
        *parts : object
            What `verify_test_set`, `DriftDetector.check`, `diagnose` or `learning_curve` returned, anything else
            with a method ``records()``, or a StepRecord.

        Returns
        -------
        self : Report
            With what was added.

        Raises
        ------
        TypeError
            If a part is none of these; then nothing is added.
        ValueError
            If the number of a record is none of a step; nothing is added either.

        Examples
        --------
        >>> from sk_dlsteps.plan import StepRecord
        >>> report = Report().add(StepRecord(6, "in the real world", "works", "the cat was found in 9 of 10 photos"))
        >>> print(report)
        Step 6: verify in the real world
          In the real world: works
            because the cat was found in 9 of 10 photos
        <BLANKLINE>

        """
        for part in parts:
            if isinstance(part, StepRecord) and part.number not in STEPS:
                raise ValueError(f"a step of the article has a number from 1 to {len(STEPS)}, got {part.number}")
            if not isinstance(part, StepRecord) and not callable(getattr(part, "records", None)):
                raise TypeError(
                    "a report takes what has a method `records()`, such as the result of verify_test_set, "
                    f"DriftDetector.check, diagnose or learning_curve, or a StepRecord; got {type(part).__name__}"
                )
        self._parts += parts
        return self

    @property
    def records(self) -> list[StepRecord]:
        """All records in the order of the steps."""
        records: list[StepRecord] = []
        for part in self._parts:
            records += [part] if isinstance(part, StepRecord) else part.records()
        return sorted(records, key=lambda record: record.number)

    def to_text(self) -> str:
        """Render for a terminal, about 100 characters wide.

        Returns
        -------
        text : str
            Ends with a newline.

        """
        return _shown(as_text(self._outline()))

    def to_markdown(self) -> str:
        """Render as Markdown: a heading per step, lists of figures, tables, a task list.

        Returns
        -------
        markdown : str
            Ends with a newline.

        """
        return _shown(as_markdown(self._outline()))

    def to_html(self, path: str | Path | None = None) -> str:
        """Render as one HTML page that needs nothing from outside.

        Parameters
        ----------
        path : str or Path, default=None
            Where to write it, too; nothing is written by default.

        Returns
        -------
        html : str
            The page: pictures are part of it (they are left out if matplotlib is missing), there are no
            scripts, and what is yours in it, such as names of columns, is escaped.

        Raises
        ------
        OSError
            If the file cannot be written.

        """
        page = _shown(as_page(self._outline(pictures=True)))
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return _shown(as_fragment(self._outline(pictures=True)))

    def _outline(self, pictures: bool = False) -> Outline:
        """What the report says."""
        records = self.records
        items = () if self._fitted is None else checklist(self._fitted, records)
        parts = [*([] if self._fitted is None else [self._fitted]), *self._parts]
        drawn = [picture for part in parts for picture in pictures_of(part)] if pictures else []
        return outline(self.title or "", records, items, drawn)


def _shown(text: str) -> str:
    """A text without control characters, which could command a terminal, and without halves of characters."""
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", text)


def _chosen_by_whom(record: StepRecord) -> StepRecord:
    """A record of a model that a search has set parameters of: it cannot tell whose they are."""
    return replace(record, because=record.because.replace("chosen by you", "chosen by you or by the search"))
