"""What a fitted model keeps of its training table for step 6: sketches, and none of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sk_dlsteps.inputs.shapes import Shape
from sk_dlsteps.step6_real_world.column_reader import ColumnReader, ColumnValues
from sk_dlsteps.step6_real_world.model_outputs import ModelOutputs
from sk_dlsteps.step6_real_world.sketches import MODEL_KNOTS, LevelSketch, NumberSketch, Sketch

# Columns of a target that are looked at.
MAX_TARGETS = 10


@dataclass(frozen=True)
class Reference:
    """A sketch of a training table, of its target, and of what a model made of them.

    Attributes
    ----------
    reader : ColumnReader
        Which columns are looked at.
    columns : tuple of NumberSketch or LevelSketch
        One for each of ``reader.names``.
    n_rows : int
        Rows of the table.
    target : dict
        A sketch for each column of the target; empty without one.
    outputs : ModelOutputs or None
        Predictions for held-out rows and their losses; None if no rows were held out, or there is no model.

    """

    reader: ColumnReader
    columns: tuple[Sketch, ...]
    n_rows: int
    target: dict[str, Sketch]
    outputs: ModelOutputs | None = None

    @classmethod
    def of(
        cls,
        X: Any,
        categorical: np.ndarray | None = None,
        names: Sequence[Any] | None = None,
        shape: Shape | None = None,
        weight: np.ndarray | None = None,
        is_kept: bool = True,
    ) -> Reference:
        """Sketch a table.

        Parameters
        ----------
        X : ndarray, sparse array or DataFrame of shape (n_rows, n_columns)
            A checked table.
        categorical : bool ndarray of shape (n_columns,) or None
            Which columns are categories.
        names : sequence or None
            What they are called.
        shape : tuple of int or None
            Of a row that is no row of a table.
        weight : ndarray of shape (n_rows,) or None
            What each row counts.
        is_kept : bool, default=True
            Whether it is kept with a model, and has to be small.

        Examples
        --------
        >>> reference = Reference.of(np.arange(6.0).reshape(3, 2))
        >>> reference.reader.names, reference.n_rows, reference.columns[1].high
        (('column 0', 'column 1'), 3, 5.0)

        """
        reader = replace(ColumnReader.of(X, categorical, names, shape), is_kept=is_kept)
        return cls(reader, *_sketched(reader, X, weight), {})

    def __repr__(self) -> str:
        """How much was sketched: the sketches themselves are long."""
        return f"Reference(n_rows={self.n_rows}, n_columns={len(self.columns)})"

    def also(self, X: Any, weight: np.ndarray | None = None) -> Reference:
        """The reference of this table and of further rows of it; without what a model made of them."""
        columns, n_rows = _sketched(self.reader, X, weight)
        n_knots = self.reader.n_knots
        merged = tuple(_merged(old, new, n_knots) for old, new in zip(self.columns, columns, strict=True))
        return Reference(self.reader, merged, self.n_rows + n_rows, {})

    def with_target(self, target: dict[str, Sketch], before: dict[str, Sketch] | None = None) -> Reference:
        """The same with a sketch of the target, merged with that of rows `before`."""
        if before:
            target = {name: _merged(before[name], own, MODEL_KNOTS) for name, own in target.items()}
        return Reference(self.reader, self.columns, self.n_rows, target, self.outputs)

    def with_outputs(self, outputs: ModelOutputs | None) -> Reference:
        """The same with what a model made of the table."""
        return Reference(self.reader, self.columns, self.n_rows, self.target, outputs)


def target_columns(values: np.ndarray, task: str, labels: Sequence[Any] | None) -> dict[str, ColumnValues]:
    """The columns of a target: numbers, labels, or zeros and ones; at most `MAX_TARGETS` of them.

    Parameters
    ----------
    values : ndarray of shape (n_rows,) or (n_rows, n_columns)
        Numbers, codes of labels, or zeros and ones.
    task : {"regression", "binary", "multiclass", "multilabel"}
        Which of them.
    labels : sequence or None
        What codes stand for.

    """
    if task in ("binary", "multiclass"):
        assert labels is not None
        return {"target": ColumnValues(np.asarray(values, int), list(labels))}
    table = np.asarray(values, float).reshape(len(values), -1)
    what = "label" if task == "multilabel" else "target"
    names = ["target"] if table.shape[1] == 1 else [f"{what} {j}" for j in range(table.shape[1])]
    return {name: ColumnValues(table[:, j]) for j, name in enumerate(names[:MAX_TARGETS])}


def _sketched(reader: ColumnReader, X: Any, weight: np.ndarray | None) -> tuple[tuple[Sketch, ...], int]:
    """Sketches of the columns, and the number of the rows."""
    n_rows = X.shape[0]
    rows = reader.rows_to_sketch(n_rows)
    if rows != slice(None):
        X, weight = X[rows], None if weight is None else weight[rows]
    return tuple(column.sketch(weight, reader.n_knots) for column in reader.columns(X)), n_rows


def _merged(old: Sketch, new: Sketch, n_knots: int) -> Sketch:
    """The sketch of the rows of both."""
    if isinstance(old, NumberSketch) and isinstance(new, NumberSketch):
        return old.merged(new, n_knots)
    assert isinstance(old, LevelSketch)
    assert isinstance(new, LevelSketch)
    return old.merged(new)
