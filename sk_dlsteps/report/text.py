"""A report for a terminal."""

from __future__ import annotations

import textwrap

from sk_dlsteps.plan import StepRecord
from sk_dlsteps.report.checklist import ChecklistItem
from sk_dlsteps.report.figures import capital, split_figures
from sk_dlsteps.report.outline import Outline, Section

# Characters of a line, and of a cell that is text rather than a figure.
_WIDTH, _LONG = 100, 24
_WORDS = {"done": "done", "open": "not done", "not applicable": "does not apply"}


def as_text(outline: Outline) -> str:
    """Render for a terminal, about 100 characters wide.

    Parameters
    ----------
    outline : Outline
        What the report says.

    Returns
    -------
    text : str
        Ends with a newline.

    """
    lines = [outline.title, "=" * len(outline.title), ""] if outline.title else []
    if outline.summary:
        lines += [*textwrap.wrap(outline.summary, _WIDTH), ""]
    for section in outline.sections:
        lines += [*_section(section), ""]
    return "\n".join(lines)


def _section(section: Section) -> list[str]:
    """A step: its records, and its part of the checklist."""
    lines = [section.heading]
    for record in section.records:
        lines += _record(record)
    for state, words in _WORDS.items():
        items = [_item(item) for item in section.checklist if item.state == state]
        lines += _wrapped(f"{words}: {', '.join(items)}" if items else "", 2)
    return lines


def _record(record: StepRecord) -> list[str]:
    """A decision, its reason, its figures and its tables."""
    lines = _wrapped(f"{capital(record.title)}: {record.decision}", 2)
    if record.because:
        lines += _wrapped(f"because {record.because}", 4)
    figures, tables = split_figures(record.evidence)
    lines += _wrapped("; ".join(f"{name} {value}" for name, value in figures.items()), 4)
    for cells in tables.values():
        lines += ["", *("    " + line for line in _aligned(cells))]
    return lines


def _item(item: ChecklistItem) -> str:
    """A thing of the checklist and its note."""
    return f"{item.name}{f' ({item.note})' if item.note else ''}"


def _wrapped(text: str, indent: int) -> list[str]:
    """A paragraph in lines, the later ones indented further; nothing for no text."""
    return textwrap.wrap(text, _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2))


def _aligned(cells: list[list[str]]) -> list[str]:
    """Columns one below the other: the first and a last one of long texts to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    left = {0} | ({len(widths) - 1} if widths[-1] > _LONG else set())
    return [
        "  ".join(
            cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
