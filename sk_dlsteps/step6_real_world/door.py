"""The door of step 6: tables and targets that no model has checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.multiclass import type_of_target

from sk_dlsteps.inputs.arrays import as_numpy
from sk_dlsteps.inputs.columns import as_array, column_at, find_categorical, is_frame
from sk_dlsteps.inputs.values import as_levels, kind_of
from sk_dlsteps.step6_real_world.sketches import MAX_COUNTED


def as_table(X: Any) -> Any:
    """A DataFrame, an array of two dimensions or a sparse array by rows."""
    if sparse.issparse(X):
        return sparse.csr_array(X)
    return X if is_frame(X) else as_array(as_numpy(X, "X"))


def categorical_columns(X: Any) -> np.ndarray:
    """Which columns are categories; of an array of objects those that hold text."""
    mask = find_categorical(X)
    if not is_frame(X) and not sparse.issparse(X) and X.dtype.kind in "OUS":
        mask = np.array([kind_of(column_at(X, i)) in ("text", "bool") for i in range(X.shape[1])])
    return mask


def check_columns(X: Any, names: list[Any] | None, n_columns: int) -> None:
    """Raise if a table has other columns than the training table."""
    if names is not None and is_frame(X):
        own = list(X.columns)
        lacking = [name for name in names if name not in own]
        further = [name for name in own if name not in names]
        if lacking or further or own != names:
            what = [f"lacks {lacking[:5]!r}"] * bool(lacking) + [f"has {further[:5]!r} besides"] * bool(further)
            raise ValueError(
                f"`X_new` {' and '.join(what) or 'has its columns in another order'}; give the columns of the training "
                "table, in their order"
            )
    if X.shape[1] != n_columns:
        raise ValueError(f"`X_new` has {X.shape[1]} columns, and the training table had {n_columns}; give the same")


def check_length(values: np.ndarray, n_rows: int, name: str, table: str) -> None:
    """Raise if there is not one value for each row."""
    n = len(values) if values.ndim else 1
    if n != n_rows:
        raise ValueError(f"`{name}` has {n} values, and `{table}` has {n_rows} rows; give one for each")


def understood(y: Any) -> tuple[str, np.ndarray, list[Any] | None]:
    """What a target is, its values or codes, and its labels."""
    given = np.asarray(y.to_numpy() if hasattr(y, "to_numpy") else as_numpy(y, "y"))
    kind = type_of_target(given, input_name="y")
    if kind.startswith("continuous") or kind == "multiclass-multioutput":
        return "regression", given.astype(float), None
    if kind == "multilabel-indicator":
        return "multilabel", given, None
    codes, labels = as_levels(given.reshape(-1), "y")
    if given.dtype.kind in "iuf" and len(labels) > MAX_COUNTED:
        return "regression", given.astype(float), None
    return "multiclass", codes, labels
