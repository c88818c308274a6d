"""A ladder as text or HTML."""

from __future__ import annotations

import textwrap
from html import escape
from typing import Any

_WIDTH = 100
# Of the columns, those that read as text, to the left; figures stand to the right.
_LEFT = (1, 3, 7)


def ladder_text(ladder: Any) -> str:
    """Render for a terminal.

    Parameters
    ----------
    ladder : Ladder
        What was tried.

    Returns
    -------
    text : str
        An aligned table, a row for each rung, and the verdict.

    """
    table = [list(ladder.COLUMNS), *(list(rung.cells) for rung in ladder)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(w) if i in _LEFT else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    verdict = [line for text in _sentences(ladder) for line in textwrap.wrap(text, _WIDTH)]
    return "\n".join([*(line.rstrip() for line in lines), "", *verdict])


def ladder_html(ladder: Any) -> str:
    """Render for a notebook, in the colours of its page.

    Parameters
    ----------
    ladder : Ladder
        What was tried.

    Returns
    -------
    html : str
        A table without scripts or outside resources; every value is escaped. A row's tooltip
        says why its rung was tried, and how it went.

    """
    rows = []
    for rung in ladder:
        hint = escape(f"{rung.because}. {rung.verdict}.", quote=True)
        weight = "bold" if rung.kept and rung.differences else "normal"
        cells = "".join(_cell("td", i, cell) for i, cell in enumerate(rung.cells))
        rows.append(f'<tr title="{hint}" style="background:none;font-weight:{weight}">{cells}</tr>')
    header = "".join(_cell("th", i, name) for i, name in enumerate(ladder.COLUMNS))
    verdict = "".join(f"<p>{escape(text)}</p>" for text in _sentences(ladder))
    return (
        '<div style="color:inherit"><table style="border-collapse:collapse;color:inherit">'
        f'<thead><tr style="background:none">{header}</tr></thead><tbody>{"".join(rows)}</tbody></table>{verdict}</div>'
    )


def _cell(tag: str, column: int, text: str) -> str:
    """A cell, figures to the right."""
    side = "left" if column in _LEFT else "right"
    return f'<{tag} style="text-align:{side};padding:0.2em 0.6em;border-bottom:1px solid">{escape(text)}</{tag}>'


def _sentences(ladder: Any) -> list[str]:
    """What stands below the table."""
    fit = f"Training fit: {ladder.training_target}." if ladder.training_target else ""
    return [
        text for text in (f"Scores are {ladder.score_name}, higher is better. {fit}".strip(), ladder.verdict) if text
    ]
