"""Which columns of a table are categories and which are numbers, and which can be neither."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array

from sk_dlsteps.inputs.values import count_different, kind_of, kind_of_values, nested_values, present

# Strings are taken for free text if more of them are different, and a larger share of all, than this.
TEXT_LEVELS, TEXT_SHARE = 30, 0.5
# Strings of a column that must all look like dates.
_DATE_SAMPLE = 100
_DAY, _MONTH = r"(0?[1-9]|[12]\d|3[01])", r"(0?[1-9]|1[0-2])"
_DATE = re.compile(
    rf"\s*(\d{{4}}[-/.]{_MONTH}[-/.]{_DAY}|{_DAY}[-/]{_MONTH}[-/](\d\d|\d{{4}})|{_MONTH}/{_DAY}/(\d\d|\d{{4}})"
    rf"|{_DAY}\.{_MONTH}\.\d{{4}})([T ]+\d{{1,2}}:\d\d.*)?\s*"
)
_WAY_OUT = "by skrub.TableVectorizer() before the estimator in a pipeline, or drop the column."


def as_frame(X: Any) -> Any:
    """A pyarrow Table as a DataFrame of pandas, or else of polars; most other things as they are.

    Parameters
    ----------
    X : object
        The user's table.

    Returns
    -------
    X : object
        Never a pyarrow Table, nor a DataFrame of sparse columns only that leave out other values than 0.

    Raises
    ------
    ImportError
        If a Table needs a library that is missing.
    TypeError
        If it is a LazyFrame, whose rows are not there yet.

    Examples
    --------
    >>> import pyarrow
    >>> as_frame(pyarrow.table({"colour": ["red", "blue"]})).columns.tolist(), as_frame([[1.0]])
    (['colour'], [[1.0]])

    """
    kind = type(X)
    if kind.__name__ == "LazyFrame":
        raise TypeError("X is a LazyFrame, whose rows are not there yet; give X.collect()")
    if kind.__name__ != "Table" or not kind.__module__.startswith("pyarrow"):
        fills = [getattr(dtype, "fill_value", None) for dtype in X.dtypes] if is_frame(X) and hasattr(X, "iloc") else []
        # No sparse matrix can leave out ones or gaps.
        return X.sparse.to_dense() if fills and None not in fills and any(fill != 0 for fill in fills) else X
    try:
        import pandas  # noqa: F401
    except ImportError:
        try:
            import polars
        except ImportError as error:
            raise ImportError('A pyarrow Table needs pandas or polars: pip install "sk_dlsteps[csv]"') from error
        return polars.from_arrow(X)
    return X.to_pandas()


def is_frame(X: Any) -> bool:
    """Whether it is a DataFrame of pandas or polars."""
    return hasattr(X, "columns") and (hasattr(X, "iloc") or hasattr(X, "get_columns"))


def column_at(X: Any, i: int) -> Any:
    """Column i of a DataFrame or an array."""
    if hasattr(X, "iloc"):
        return X.iloc[:, i]
    return X.to_series(i) if hasattr(X, "to_series") else X[:, i]


def label_of(X: Any, i: int) -> str:
    """What errors call column i."""
    return f"Column {X.columns[i]!r}" if is_frame(X) else f"Column {i}"


def as_array(X: Any) -> np.ndarray:
    """Anything but a DataFrame as an array of two dimensions, in which text stays beside numbers."""
    if isinstance(X, list | tuple):
        array = np.asarray(X)
        X = np.asarray(X, dtype=object) if array.dtype.kind in "US" else array
    return check_array(X, dtype=None, ensure_all_finite=False, ensure_min_samples=0, ensure_min_features=0)


def find_categorical(X: Any, categorical_features: Any = "from_dtype") -> np.ndarray:
    """Which columns are categories; an error for those that are neither categories nor numbers.

    Parameters
    ----------
    X : DataFrame, pyarrow Table, sparse matrix or array-like of shape (n_rows, n_features)
        The user's table.
    categorical_features : "from_dtype", None or array-like of bool, int or str, default="from_dtype"
        As in scikit-learn's HistGradientBoostingRegressor: "from_dtype" takes the columns
        of a DataFrame that hold strings, categories or truth values, None takes none,
        an array-like is a mask, places or, for a DataFrame, names.

    Returns
    -------
    is_categorical : ndarray of bool of shape (n_features,)
        The mask.

    Raises
    ------
    ValueError
        If `categorical_features` does not fit the table, or a column cannot be used as it
        is: dates, free text, nested values, text beside numbers. The message names it.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"size": [1.5, 2.5], "colour": ["red", "blue"], "sold": [True, False]})
    >>> find_categorical(X).tolist(), find_categorical(X, ["colour"]).tolist()
    ([False, True, True], [False, True, False])

    """
    X = as_frame(X)
    if issparse(X):
        return _find_in_sparse(X, categorical_features)
    names = None
    if is_frame(X):
        names = list(X.columns)
        check_different(names)
    else:
        X = as_array(X)
    declared = _declared(categorical_features, X.shape[1], names)
    if names is None:
        mask = np.zeros(X.shape[1], dtype=bool) if declared is None else declared
        for i in np.flatnonzero(mask).tolist() if X.dtype.kind == "O" else ():
            _check_usable(kind_of(X[:, i]), X[:, i], label_of(X, i))
        return mask
    found = [_is_categorical(X, i, None if declared is None else bool(declared[i])) for i in range(len(names))]
    return np.array(found, dtype=bool)


def _find_in_sparse(X: Any, categorical_features: Any) -> np.ndarray:
    """No column of a sparse matrix is a category, and none may be declared one."""
    declared = _declared(categorical_features, X.shape[1], None)
    if declared is not None and declared.any():
        raise ValueError(
            f'`categorical_features` must be "from_dtype" or None for sparse X, got {categorical_features!r}; '
            "encode those columns first, or make X dense by X.toarray()."
        )
    return np.zeros(X.shape[1], dtype=bool)


def check_different(names: list[Any]) -> None:
    """Raise if two columns have the same name."""
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise ValueError(f"X has several columns of the name {twice[0]!r}; rename or drop all but one of them.")


def _declared(categorical_features: Any, n: int, names: list[Any] | None) -> np.ndarray | None:
    """The mask that the user gave, or None if the dtypes are to tell."""
    if categorical_features is None:
        return np.zeros(n, dtype=bool)
    if isinstance(categorical_features, str):
        if categorical_features == "from_dtype":
            return None
        raise ValueError(
            '`categorical_features` must be "from_dtype", None or an array-like of bool, int or str, got '
            f"{categorical_features!r}; write a single name as [{categorical_features!r}]."
        )
    given = np.asarray(categorical_features, dtype=object).ravel().tolist()
    kind = kind_of_values(given)
    if kind == "bool":
        if len(given) != n:
            raise ValueError(f"`categorical_features` is a mask of {len(given)} values, but X has {n} columns.")
        return np.array(given, dtype=bool)
    if kind == "text":
        places = _places_of(given, names)
    elif all(type(i) is int or isinstance(i, np.integer) for i in given):
        places = given
    else:
        raise ValueError(
            f"`categorical_features` must be an array-like of bool, int or str, got {categorical_features!r}."
        )
    mask = np.zeros(n, dtype=bool)
    for i in places:
        if not 0 <= i < n:
            raise ValueError(f"`categorical_features` has place {i}, but the columns of X go from 0 to {n - 1}.")
        mask[i] = True
    return mask


def _places_of(given: list[str], names: list[Any] | None) -> list[int]:
    """Places of the columns of those names."""
    if names is None:
        raise ValueError(
            f"`categorical_features` has names, got {given!r}, but the columns of X have none; give their places, "
            "or make X a DataFrame."
        )
    return [_place_of(name, names) for name in given]


def _place_of(name: str, names: list[Any]) -> int:
    """Place of a column's name, or an error that knows similar ones."""
    if name in names:
        return names.index(name)
    near = difflib.get_close_matches(name, map(str, names), n=3, cutoff=0.5)
    shown = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
    way_out = f"did you mean {' or '.join(map(repr, near))}?" if near else f"its columns are {shown}."
    raise ValueError(f"`categorical_features` has {name!r}, but X has no such column; {way_out}")


def _is_categorical(X: Any, i: int, declared: bool | None) -> bool:
    """Whether column i is a category, or an error if it cannot be used."""
    column, label = column_at(X, i), label_of(X, i)
    kind = kind_of(column)
    _check_usable(kind, column, label, bool(declared))
    if declared is None:
        if kind == "text":
            _check_text(column, label)
        return kind in ("text", "category", "bool")
    if not declared and kind in ("text", "category"):
        text = present(column, at_most=1)
        if kind_of_values(text) not in ("number", "bool"):
            raise ValueError(
                f"{label} of X holds text ({_shown(text)}) but is not in `categorical_features`; name it there, "
                'leave that at "from_dtype", or drop the column.'
            )
    return declared


def _check_usable(kind: str, column: Any, label: str, declared: bool = True) -> None:
    """Raise for kinds that are neither numbers nor categories; what is declared a category may be any single value."""
    if kind == "nested":
        raise ValueError(nested_values(label))
    if kind == "mixed":
        text, number = _text_and_other(present(column))
        raise ValueError(
            f"{label} of X holds text beside other values (such as {text!r} and {number!r}). Make them all text, in "
            'pandas by X[name].astype("str"), or all numbers.'
        )
    if declared or kind not in ("time", "other", "complex"):
        return
    example = _shown(present(column, at_most=1))
    if kind == "time":
        raise ValueError(
            f"{label} of X holds dates or times ({example}). Turn them into numbers, for example {_WAY_OUT}"
        )
    if kind == "complex":
        raise ValueError(f"Complex data not supported\n{label} of X holds complex numbers ({example}).")
    raise ValueError(
        f"{label} of X holds values of a kind that is neither a number nor a category ({example}). Turn them into text "
        "or numbers, name the column in `categorical_features`, or drop it."
    )


def _text_and_other(values: Iterable[Any]) -> tuple[str, Any]:
    """The first text among mixed values, and the first other value."""
    listed = list(values)
    return (
        next(value for value in listed if isinstance(value, str)),
        next(value for value in listed if not isinstance(value, str)),
    )


def _check_text(column: Any, label: str) -> None:
    """Raise if strings look like dates or like free text."""
    sample = present(column, _DATE_SAMPLE)
    if len(sample) and all(map(_DATE.fullmatch, sample)):
        raise ValueError(
            f"{label} of X holds strings that look like dates ({_shown(sample)}). Turn them into numbers, for example "
            f"{_WAY_OUT} If they are categories all the same, name it in `categorical_features`."
        )
    different, n = count_different(column)
    if different > TEXT_LEVELS and different > TEXT_SHARE * n:
        raise ValueError(
            f"{label} of X looks like free text: {different} different strings in {n} rows, such as {_shown(sample)}. "
            f"Encode it, for example {_WAY_OUT} If it holds numbers, make them numbers; if it holds categories all "
            "the same, name it in `categorical_features`."
        )


def _shown(values: np.ndarray) -> str:
    """The first value, cut to a line's width."""
    text = repr(str(values[0])) if len(values) else "no value"
    return text if len(text) <= 60 else f"{text[:57]}..."
