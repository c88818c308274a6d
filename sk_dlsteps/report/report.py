"""The records of the six steps as text or Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from numbers import Integral, Real
from typing import Any

from sk_dlsteps.plan import StepRecord

STEPS = {
    1: "the cost function",
    2: "the architecture",
    3: "fit the training set",
    4: "fit the validation set",
    5: "verify on a test set",
    6: "verify in the real world",
}
_WIDTH = 100


class Report:
    """What was decided in each step, why, and with which figures.

    It only renders: whatever it shows stands in the records. A figure may be a
    number, a text, a sequence, a dict, or a small table (a sequence of dicts with
    the same keys).

    Parameters
    ----------
    records : iterable of StepRecord
        Several of a step keep their order.
    title : str, default=None
        A heading above the steps.

    Examples
    --------
    >>> from sk_dlsteps.plan import StepRecord
    >>> record = StepRecord(1, "cost function", "MSE", "the target is a number", {"loss": "squared_error"})
    >>> print(Report([record]).to_text())
    Step 1: the cost function
      Cost function: MSE
        because the target is a number
        loss squared_error
    <BLANKLINE>

    """

    def __init__(self, records: Iterable[StepRecord], *, title: str | None = None) -> None:
        self.records = sorted(records, key=lambda record: record.number)
        self.title = title

    def to_text(self) -> str:
        """Render for a terminal, about 100 characters wide.

        Returns
        -------
        text : str
            Ends with a newline.

        """
        lines = [self.title, "=" * len(self.title), ""] if self.title else []
        for number, records in groupby(self.records, key=lambda record: record.number):
            lines.append(_heading(number))
            for record in records:
                lines += _wrapped(f"{_capital(record.title)}: {record.decision}", 2)
                lines += _wrapped(f"because {record.because}", 4)
                figures, tables = _split(record.evidence)
                lines += _wrapped("; ".join(f"{name} {_show(value)}" for name, value in figures.items()), 4)
                for table in tables.values():
                    lines += ["", *("    " + line for line in _aligned(_cells(table)))]
            lines.append("")
        return "\n".join(lines)

    def to_markdown(self) -> str:
        """Render as Markdown: a heading per step, lists of figures, tables.

        Returns
        -------
        markdown : str
            Ends with a newline.

        """
        blocks = [f"# {self.title}"] if self.title else []
        for number, records in groupby(self.records, key=lambda record: record.number):
            blocks.append(f"## {_heading(number)}")
            for record in records:
                blocks.append(f"**{_capital(record.title)}: {record.decision}**  \nbecause {record.because}")
                figures, tables = _split(record.evidence)
                if figures:
                    blocks.append("\n".join(f"- {name}: {_show(value)}" for name, value in figures.items()))
                blocks += [f"{_capital(name)}:\n\n{_piped(_cells(table))}" for name, table in tables.items()]
        return "\n\n".join(blocks) + "\n"


def _heading(number: int) -> str:
    """The heading of a step."""
    return f"Step {number}: {STEPS[number]}"


def _capital(title: str) -> str:
    """A title with a capital letter."""
    return title[:1].upper() + title[1:]


def _wrapped(text: str, indent: int) -> list[str]:
    """A paragraph in lines, the later ones indented further; nothing for no text."""
    return textwrap.wrap(text, _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2))


def _split(evidence: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures that fit a line, and tables."""
    tables = {name: value for name, value in evidence.items() if _is_table(value)}
    return {name: value for name, value in evidence.items() if name not in tables}, tables


def _is_table(value: Any) -> bool:
    """Whether a figure is a sequence of dicts."""
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) > 0
        and all(isinstance(row, Mapping) for row in value)
    )


def _show(value: Any) -> str:
    """A figure as text, numbers with four digits."""
    if value is None:
        return "none"
    if isinstance(value, bool | Integral):
        return str(value)
    if isinstance(value, Real):
        return f"{float(value):.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_show(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(_show(inner) for inner in value) or "none"
    return str(value)


def _cells(table: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The header and the rows of a table as text."""
    header = list(table[0])
    return [header, *([_show(row.get(name)) for name in header] for row in table)]


def _aligned(cells: list[list[str]]) -> list[str]:
    """Columns one below the other: the first to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]


def _piped(cells: list[list[str]]) -> str:
    """A Markdown table."""
    header, *rows = [[cell.replace("|", "\\|") for cell in row] for row in cells]
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])
