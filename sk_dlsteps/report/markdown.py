"""A report as Markdown."""

from __future__ import annotations

import re

from sk_dlsteps.plan import StepRecord
from sk_dlsteps.report.checklist import ChecklistItem
from sk_dlsteps.report.figures import capital, split_figures
from sk_dlsteps.report.outline import Outline, Section

_MARKS = {"done": "[x] ", "open": "[ ] ", "not applicable": ""}


def as_markdown(outline: Outline) -> str:
    """Render as Markdown: a heading for each step, lists of figures, tables, a task list.

    Parameters
    ----------
    outline : Outline
        What the report says.

    Returns
    -------
    markdown : str
        Ends with a newline. Nothing of the user's in it is taken for markup.

    """
    blocks = [f"# {_plain(outline.title)}"] if outline.title else []
    if outline.summary:
        blocks.append(_plain(outline.summary))
    for section in outline.sections:
        blocks += _section(section)
    return "\n\n".join(blocks) + "\n"


def _section(section: Section) -> list[str]:
    """A step: its records, and its part of the checklist."""
    blocks = [f"## {section.heading}"]
    for record in section.records:
        blocks += _record(record)
    if section.checklist:
        blocks.append("Checklist:\n\n" + "\n".join(map(_item, section.checklist)))
    return blocks


def _record(record: StepRecord) -> list[str]:
    """A decision, its reason, its figures and its tables."""
    because = f"  \nbecause {_plain(record.because)}" if record.because else ""
    blocks = [f"**{_plain(capital(record.title))}: {_plain(record.decision)}**{because}"]
    figures, tables = split_figures(record.evidence)
    if figures:
        blocks.append("\n".join(f"- {_plain(name)}: {_plain(value)}" for name, value in figures.items()))
    blocks += [f"{_plain(capital(name))}:\n\n{_piped(cells)}" for name, cells in tables.items()]
    return blocks


def _item(item: ChecklistItem) -> str:
    """A task, struck out where it does not apply."""
    name = f"~~{_plain(item.name)}~~" if item.state == "not applicable" else _plain(item.name)
    return f"- {_MARKS[item.state]}{name}{f': {_plain(item.note)}' if item.note else ''}"


def _plain(text: str) -> str:
    """A text on one line that no reader of Markdown takes for markup."""
    text = re.sub(r"([\\`*\[\]<>|~&])", r"\\\1", " ".join(text.split()))
    # What would be a heading, a rule or a list, in a list too.
    text = re.sub(r"^(\d*)([#+=.)-])(?=[#=\s-]|$)", r"\1\\\2", text)
    # An underscore within a word is none of emphasis, and names are full of them.
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def _piped(cells: list[list[str]]) -> str:
    """A Markdown table."""
    header, *rows = [[_plain(cell) for cell in row] for row in cells]
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])
