"""What must hold of every file: a table, or a refusal in one line; and the same for rows of a later file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sk_dlsteps.inputs.table import Table, TableError, read_new_rows, read_table


@lru_cache
def known() -> Table:
    """A table that a model was fitted on."""
    i = np.arange(30)
    X = pd.DataFrame({"c0": i / 7, "c1": np.array(["no", "yes"], dtype=object)[i % 2], "c2": i % 3 == 0})
    return Table("known", X, i * i % 13 / 2, ("c0", "c1", "c2"), "y", "regression", "chosen")


def run_file(content: bytes, path: Path) -> str:
    """Read a file as a table and as later rows, and say what came of it."""
    path.write_bytes(content)
    table = _read(lambda: read_table(path, "y"))
    if table is not None:
        assert len(table.X) == len(table.y) >= 20
        assert table.columns == tuple(table.X.columns)
        assert table.record.number == 1
    later = _read(lambda: read_new_rows(path, known()))
    if later is not None:
        assert tuple(later.X.columns) == known().columns
        assert later.y is None or len(later.y) == len(later.X)
    return f"table {'refused' if table is None else 'read'}, later rows {'refused' if later is None else 'read'}"


def _read(act: Callable[[], Any]) -> Any:
    """What reading gives, or None after a refusal in one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return act()
        except TableError as error:
            assert str(error).strip()
            assert "\n" not in str(error)
            return None
