"""The figures of records as text: numbers with four digits, tables as cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any


def split_figures(evidence: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, list[list[str]]]]:
    """Tell what fits a line from tables.

    Parameters
    ----------
    evidence : dict
        Of a record.

    Returns
    -------
    figures : dict of str
        As text.
    tables : dict of list of list of str
        Cells, the header first.

    Examples
    --------
    >>> split_figures({"rows": 442, "scores": [{"fold": 1, "R2": 0.51234}]})
    ({'rows': '442'}, {'scores': [['fold', 'R2'], ['1', '0.5123']]})

    """
    tables = {str(name): _cells(value) for name, value in evidence.items() if _is_table(value)}
    return {str(name): show(value) for name, value in evidence.items() if str(name) not in tables}, tables


def show(value: Any) -> str:
    """Write a figure on one line.

    Parameters
    ----------
    value : object
        A number, a text, a sequence, a dict; None is "none".

    """
    if value is None:
        return "none"
    if isinstance(value, bool | Integral):
        return str(value)
    if isinstance(value, Real):
        return f"{float(value):.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {show(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(show(inner) for inner in value) or "none"
    return " ".join(str(value).split())


def capital(title: str) -> str:
    """Begin a title with a capital letter.

    Parameters
    ----------
    title : str
        A few words.

    """
    return title[:1].upper() + title[1:]


def _is_table(value: Any) -> bool:
    """Whether a figure is a sequence of dicts."""
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) > 0
        and all(isinstance(row, Mapping) for row in value)
    )


def _cells(table: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The header and the rows of a table as text."""
    header = list(table[0])
    return [[show(name) for name in header], *([show(row.get(name)) for name in header] for row in table)]
