"""The levels of a category: which there are, which are rare, and their codes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sk_dlsteps.inputs.values import as_levels

# A level of fewer rows is pooled with other such levels; in small tables one of fewer than a 50th of the rows. By
# measurement (docs/benchmarks.md, "Columns").
MIN_LEVEL_ROWS, MIN_LEVEL_SHARE = 2, 50
# Levels that are kept at most; the others are pooled.
MAX_LEVELS = 4096


@dataclass(frozen=True)
class Levels:
    """The levels of a category and their codes.

    Attributes
    ----------
    code_of : dict
        Code of each level of the rows of `fit`, from 1; rare levels share one.
    missing : int
        Code of a missing value, 0 if none was seen.
    n_codes : int
        Number of codes, with 0 for what was not seen.
    names : tuple of str
        Name of each code from 1 on.
    text : bool
        Whether levels are text.

    """

    code_of: dict[Any, int]
    missing: int
    n_codes: int
    names: tuple[str, ...]
    text: bool

    @classmethod
    def fit(cls, column: Any, label: str, most: int = MAX_LEVELS) -> Levels:
        """The levels of a column, the most frequent ones in their order, then the pooled one and the missing value."""
        codes, found = as_levels(column, label)
        rows = np.bincount(codes + 1, minlength=len(found) + 1)
        row_count = {level: int(n) for level, n in zip(found, rows[1:], strict=True) if n}
        levels = _in_order(row_count)
        enough = min(MIN_LEVEL_ROWS, len(codes) // MIN_LEVEL_SHARE)
        frequent = [level for level in levels if row_count[level] >= enough]
        kept = set(sorted(frequent, key=lambda level: -row_count[level])[:most])
        names = [level for level in levels if level in kept]
        pooled = len(names) + 1
        code_of = {level: code for code, level in enumerate(names, start=1)}
        code_of = {level: code_of.get(level, pooled) for level in levels}
        names += ["infrequent_sklearn"] * (len(kept) < len(levels))
        names += ["nan"] * bool(rows[0])
        missing = len(names) if rows[0] else 0
        text = bool(levels) and all(isinstance(level, str) for level in levels)
        return cls(code_of, missing, len(names) + 1, tuple(map(str, names)), text)

    def codes(self, column: Any, label: str) -> np.ndarray:
        """Code of each row."""
        codes, found = as_levels(column, label)
        odd = next((level for level in found if isinstance(level, str) != self.text), None)
        if self.code_of and odd is not None:
            kinds = ("text", "other values") if self.text else ("no text", "text")
            raise ValueError(
                f"{label} of X had {kinds[0]} in fit and has {kinds[1]} now, such as {odd!r}; make them alike."
            )
        return np.array([*(self.code_of.get(level, 0) for level in found), self.missing])[codes]


def _in_order(levels: Iterable[Any]) -> list[Any]:
    """Levels by their own order, or by their text if they have none."""
    try:
        return sorted(levels)
    except TypeError:
        return sorted(levels, key=str)
