"""A CSV file as inputs and target, and the task its target asks for."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from sk_dlsteps.inputs.columns import find_categorical
from sk_dlsteps.plan import StepRecord

# Whole numbers with at most so many different values are taken for classes.
MAX_CLASSES = 10
# Fewer rows leave nothing to learn from once validation and test rows are set aside.
MIN_ROWS = 20
# What pandas calls a first column without a name, and writes row numbers as.
_ROW_NUMBERS = "Unnamed: 0"


class TableError(ValueError):
    """A table that cannot be used as it is; one line that says what to do."""


@dataclass(frozen=True)
class Table:
    """Inputs, a target and what the target asks for.

    Attributes
    ----------
    name : str
        Of the data set.
    X : ndarray or DataFrame of shape (n_rows, n_columns)
        Numbers and categories.
    y : ndarray of shape (n_rows,)
        Numbers, or labels.
    columns : tuple of str
        Names of the columns of `X`.
    target : str
        Name of the target.
    task : {"regression", "classification"}
        What is to be done.
    because : str
        Why that task.
    note : str
        What was done to the columns, if anything.

    """

    name: str
    X: Any
    y: np.ndarray
    columns: tuple[str, ...]
    target: str
    task: str
    because: str
    note: str = ""

    @property
    def record(self) -> StepRecord:
        """The task in words, the first decision of step 1."""
        evidence = {"rows": len(self.y), "columns": len(self.columns), "target": self.target}
        if self.task == "classification":
            labels, counts = np.unique(self.y, return_counts=True)
            shown = np.argsort(-counts, kind="stable")[:MAX_CLASSES]
            evidence["classes"] = len(labels)
            evidence["rows of a class"] = {str(labels[i]): int(counts[i]) for i in shown}
        else:
            evidence.update(mean=float(self.y.mean()), std=float(self.y.std()))
        if self.note:
            evidence["note"] = self.note
        return StepRecord(1, "task", self.task, self.because, evidence)


def read_table(path: str | Path, target: str | None, task: str | None = None) -> Table:
    r"""Read a CSV file of numbers and categories, in which values may be missing.

    Parameters
    ----------
    path : str or Path
        The file; pandas decompresses .gz, .zip and the like. Columns are separated by
        commas, semicolons or tabs.
    target : str or None
        Name of the column to predict.
    task : {"regression", "classification"}, default=None
        Guessed from the target by default: see `guess_task`.

    Returns
    -------
    table : Table
        With `X` a DataFrame.

    Raises
    ------
    TableError
        If the file or its columns cannot be used.
    ImportError
        If pandas is missing.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "trees.csv")
    ...     _ = path.write_text("girth,height\n" + "".join(f"{8 + i / 7},{70 + i / 3}\n" for i in range(30)))
    ...     table = read_table(path, "height")
    >>> table.task, table.columns, table.X.shape
    ('regression', ('girth',), (30, 1))

    """
    path = Path(path)
    frame, note = _without_row_numbers(_read_frame(path))
    if target is None:
        raise TableError(f"which column is to be predicted? Say --target COLUMN, one of: {_listed(frame.columns)}")
    if target not in frame.columns:
        near = _near(target, frame.columns)
        way_out = f"did you mean {_listed(near, ' or ')}?" if near else f"its columns are: {_listed(frame.columns)}"
        raise TableError(f"{path} has no column {target!r}; {way_out}")
    if len(frame) < MIN_ROWS:
        raise TableError(f"{path} has {len(frame)} rows; at least {MIN_ROWS} are needed")
    if len(frame.columns) < 2:
        raise TableError(f"{path} has no column besides the target {target!r}; add columns to predict it from")
    n_missing = int(frame[target].isna().sum())
    if n_missing:
        raise TableError(f"{path} has {n_missing} rows without the target {target!r}; drop them")
    _check_values(frame, path)
    y, task, because = _read_target(frame[target], task)
    X = frame.drop(columns=target)
    _check_inputs(X, path)
    return Table(path.stem, X, y, tuple(X.columns), target, task, because, note)


@dataclass(frozen=True)
class NewRows:
    """Rows of a later file, for a model that was fitted on a table.

    Attributes
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        The table's columns, in its order.
    y : ndarray of shape (n_rows,) or None
        The target; None if the file does not have it for all rows.
    note : str
        What was left out, if anything.

    """

    X: Any
    y: np.ndarray | None
    note: str = ""


def read_new_rows(path: str | Path, table: Table) -> NewRows:
    """Read further rows of a table from a CSV file, with or without their target.

    Parameters
    ----------
    path : str or Path
        The file, as for `read_table`.
    table : Table
        That the model knows; its columns must all be there.

    Returns
    -------
    rows : NewRows
        Numbers in a column of text are read as text.

    Raises
    ------
    TableError
        If the file or its columns cannot be used.
    ImportError
        If pandas is missing.

    """
    path = Path(path)
    kinds = {name: getattr(kind, "kind", "O") for name, kind in table.X.dtypes.items()}
    text = [name for name, kind in kinds.items() if kind not in "biuf" and not _holds_flags(table.X[name])]
    if table.y.dtype.kind not in "biuf":
        text.append(table.target)
    frame = _read_frame(path, text)
    note = ""
    if _ROW_NUMBERS not in table.columns:
        frame, note = _without_row_numbers(frame)
    missing = [name for name in table.columns if name not in frame.columns]
    if missing:
        near = _near(missing[0], frame.columns)
        hint = f"; is it {_listed(near, ' or ')}?" if near else f"; its columns are: {_listed(frame.columns)}"
        raise TableError(f"{path} lacks columns that the model was fitted on: {_listed(missing)}{hint}")
    notes = [note] if note else []
    surplus = [name for name in frame.columns if name not in (*table.columns, table.target)]
    if surplus:
        notes.append(f"columns that the model does not know were left out: {_listed(surplus)}")
    X = frame[[*table.columns]]
    for of_kind, what, fits in (
        ("iuf", "numbers", lambda column: column.dtype.kind in "biuf"),
        ("b", "truth values", _holds_flags),
    ):
        others = [name for name, kind in kinds.items() if kind in of_kind and not fits(X[name])]
        if others:
            raise TableError(f"{path} has text in columns that held {what}: {_listed(others)}; write {what} there")
    _check_values(X, path)
    if table.target not in frame.columns:
        return NewRows(X, None, "; ".join(notes))
    n_missing = int(frame[table.target].isna().sum())
    if n_missing:
        notes.append(f"{n_missing} rows lack the target {table.target!r}, so that the score is not checked")
        return NewRows(X, None, "; ".join(notes))
    return NewRows(X, _new_target(frame[table.target], table, path), "; ".join(notes))


def _holds_flags(column: Any) -> bool:
    """Whether a column holds truth values, of which some are missing."""
    return bool(column.dropna().isin([True, False]).all())


def _new_target(column: Any, table: Table, path: Path) -> np.ndarray:
    """The target of further rows, of the type that the table's has."""
    values, kind = column.to_numpy(), table.y.dtype.kind
    if kind not in "biuf":
        return values.astype(str)
    what = {"b": "truth values", "f": "numbers"}.get(kind, "whole numbers")
    fits = values.dtype.kind == "b" if kind == "b" else values.dtype.kind in "biuf"
    if not fits or (kind in "iu" and not _are_whole(values.astype(float))):
        odd = next((value for value in values if not _is_of(value, kind)), values[0])
        raise TableError(
            f"{path} has values of the target {table.target!r} that are no {what} as those before, e.g. {str(odd)!r}"
        )
    return values.astype(table.y.dtype)


def _is_of(value: Any, kind: str) -> bool:
    """Whether a value of a target is a truth value, a whole number or a number."""
    if kind == "b":
        return isinstance(value, bool | np.bool_)
    return isinstance(value, Real) and (kind == "f" or float(value) == np.floor(float(value)))


def guess_task(values: np.ndarray) -> tuple[str, str]:
    """Guess the task from a target without missing values.

    Text and truth values are classes; so are whole numbers with at most
    `MAX_CLASSES` different values; all other numbers are a regression target.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        The target.

    Returns
    -------
    task : {"regression", "classification"}
        The guess.
    because : str
        The rule that led to it.

    Examples
    --------
    >>> guess_task(np.array([0, 1, 1, 0]))[0], guess_task(np.array([0.5, 1.5, 2.0]))[0]
    ('classification', 'regression')

    """
    if values.dtype.kind not in "iuf":
        return "classification", "the target holds text or truth values"
    if not _are_whole(values):
        return "regression", "the target holds fractional numbers"
    n_different = len(np.unique(values))
    rule = f"the target holds {n_different} different whole numbers"
    if n_different <= MAX_CLASSES:
        return "classification", f"{rule}, at most {MAX_CLASSES}"
    return "regression", f"{rule}, more than {MAX_CLASSES}"


def _read_frame(path: Path, text: Sequence[str] = ()) -> Any:
    """The file as a DataFrame, some columns as text, or an error that says what is wrong with it."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError('Reading a CSV file needs pandas: pip install "sk_dlsteps[csv]"') from error
    if not path.exists():
        raise TableError(f"there is no file {path}{_near_files(path)}")
    if path.is_dir():
        raise TableError(f"{path} is a folder; name a CSV file in it")
    try:
        names = pd.read_csv(path, nrows=0).columns
        separator = next((mark for mark in ";\t" if len(names) == 1 and mark in str(names[0])), ",")
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Without index_col=False surplus first columns would become names of the rows.
            frame = pd.read_csv(path, sep=separator, index_col=False, low_memory=False, dtype=dict.fromkeys(text, str))
    except pd.errors.ParserWarning:
        raise TableError(f"{path} has rows with more columns than its first line has names; name them all") from None
    except pd.errors.EmptyDataError:
        raise TableError(f"{path} is empty; it needs a line of column names and rows below it") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError, ValueError) as error:
        raise TableError(f"{path} cannot be read as CSV: {_one_line(error)}") from None
    if frame.empty:
        raise TableError(f"{path} is empty: it has column names but no rows below them")
    return frame


def _near(name: str, columns: Iterable[Any]) -> list[Any]:
    """Columns of names like this one, whatever the case."""
    spelt = {str(column).lower(): column for column in columns}
    return [spelt[own] for own in difflib.get_close_matches(name.lower(), spelt, n=3, cutoff=0.5)]


def _near_files(path: Path) -> str:
    """A hint at files of similar names."""
    if not path.parent.is_dir():
        return f" (nor a folder {path.parent})"
    near = difflib.get_close_matches(path.name, [other.name for other in path.parent.iterdir()], n=3)
    return f"; did you mean {_listed(near, ' or ')}?" if near else "; check the path"


def _without_row_numbers(frame: Any) -> tuple[Any, str]:
    """The frame without a nameless first column that counts the rows, as pandas writes it."""
    first = frame.iloc[:, 0]
    if frame.columns[0] != _ROW_NUMBERS or first.dtype.kind != "i" or not (first.diff().iloc[1:] == 1).all():
        return frame, ""
    return frame.iloc[:, 1:], "a first column without a name, which only counts the rows, was left out"


def _check_values(frame: Any, path: Path) -> None:
    """Raise if a value is infinite."""
    numbers = frame.select_dtypes("number")
    infinite = [name for name in numbers if np.isinf(numbers[name].to_numpy(dtype=float)).any()]
    if infinite:
        raise TableError(f"{path} has infinite values in: {_listed(infinite)}; replace them or drop those rows")


def _check_inputs(X: Any, path: Path) -> None:
    """Raise if a column holds neither numbers nor categories."""
    text = [name for name, kind in X.dtypes.items() if getattr(kind, "kind", "O") not in "biuf"]
    commas = [name for name in text if X[name].astype(str).str.fullmatch(r"[+-]?\d+,\d+").all()]
    if commas:
        raise TableError(f"{path} has numbers with a decimal comma in: {_listed(commas)}; write them with a point")
    try:
        find_categorical(X)
    except ValueError as error:
        raise TableError(f"{path}: {_one_line(error)}") from None


def _read_target(column: Any, task: str | None) -> tuple[np.ndarray, str, str]:
    """Target values, the task, and why that one."""
    values = column.to_numpy()
    if values.dtype.kind not in "biuf":
        values = values.astype(str)
    name, n_different = column.name, len(np.unique(values))
    if n_different == 1:
        raise TableError(f"the target {name!r} has one value only ({values[0]}); choose a column that varies")
    guess, because = guess_task(values)
    if task is None:
        task = guess
        because += " (overrule with --task)"
    else:
        because = f"chosen with --task {task}"
    if task == "regression":
        if values.dtype.kind not in "biuf":
            raise TableError(f"the target {name!r} holds text (e.g. {str(values[0])!r}): use --task classification")
        return values.astype(float), task, because
    if values.dtype.kind == "f":
        if not _are_whole(values):
            raise TableError(
                f"the target {name!r} holds {n_different} different fractional numbers, no classes: "
                "use --task regression"
            )
        values = values.astype(int)
    return values, task, because


def _are_whole(values: np.ndarray) -> bool:
    """Whether all numbers are whole."""
    return values.dtype.kind in "iu" or bool((values == np.floor(values)).all())


def _listed(names: Iterable[Any], join: str = ", ", quote: bool = True) -> str:
    """Names one after the other, at most ten."""
    texts = [repr(str(name)) if quote else str(name) for name in names]
    more = len(texts) - 10
    return join.join(texts[:10]) + (f" and {more} more" if more > 0 else "")


def _one_line(error: Exception) -> str:
    """An error's text without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__
