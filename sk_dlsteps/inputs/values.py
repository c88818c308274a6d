"""The values of one column, whichever library holds it: their kind, as numbers, as levels."""

from __future__ import annotations

import datetime
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

# How the names of dtypes of numpy, pandas, polars and arrow begin, in lower case.
_BEGINNINGS = {
    "time": ("date", "time", "duration", "period", "month_day_nano"),
    "nested": ("list", "large_list", "fixed_size_list", "array", "struct", "map"),
    "category": ("category", "categorical", "enum", "dictionary"),
    "bool": ("bool",),
    "text": ("str", "large_string"),
    "number": ("int", "uint", "float", "double", "halffloat", "decimal", "null", "sparse"),
}
# Dtypes whose every number is a float32 too; arrow calls a float32 "float".
_SMALL = {"bool", "boolean", "int8", "uint8", "int16", "uint16", "float16", "float32", "float", "halffloat"}
_MISSING = {"NoneType", "NAType", "NaTType"}


def kind_of(column: Any) -> str:
    """Kind of a column's values, by its dtype or, if that says nothing, by the values themselves.

    Parameters
    ----------
    column : Series of pandas or polars, or ndarray of shape (n_rows,)
        The column.

    Returns
    -------
    kind : {"number", "bool", "category", "text", "time", "nested", "mixed", "complex", "other"}
        "mixed" is text beside numbers. A column without any value holds numbers.

    Examples
    --------
    >>> kind_of(np.array([1, None, 2.5], dtype=object)), kind_of(np.array([1, "a"], dtype=object))
    ('number', 'mixed')

    """
    name = _dtype_name(column)
    if name == "object":
        return kind_of_values(present(column))
    if name.startswith("complex"):
        return "complex"
    return next((kind for kind, starts in _BEGINNINGS.items() if name.startswith(starts)), "other")


def kind_of_values(values: Iterable[Any]) -> str:
    """Kind of Python objects, none of which is missing: one of those of `kind_of`."""
    kinds = {_kind_of_type(each) for each in set(map(type, values))}
    if kinds <= {"number", "bool"}:
        return "bool" if kinds == {"bool"} else "number"
    if len(kinds) == 1:
        return kinds.pop()
    worst = kinds & {"nested", "complex", "other"}
    return min(worst) if worst else "mixed"


def present(column: Any, at_most: int | None = None) -> np.ndarray:
    """The first so many values that are not missing, or all of them, as they are."""
    if hasattr(column, "iloc"):
        return column.dropna().iloc[:at_most].to_numpy()
    if hasattr(column, "drop_nulls") and _dtype_name(column) != "object":
        kept = column.drop_nulls()
        return np.array((kept if at_most is None else kept.head(at_most)).to_list(), dtype=object)
    values = np.asarray(column)
    if values.dtype.kind == "O":
        values = values[np.fromiter((not is_missing(value) for value in values), bool, len(values))]
    return values[:at_most]


def count_different(column: Any) -> tuple[int, int]:
    """Numbers of different values and of values, both without the missing ones."""
    if hasattr(column, "iloc"):
        return int(column.nunique()), int(column.count())
    if hasattr(column, "drop_nulls") and _dtype_name(column) != "object":
        kept = column.drop_nulls()
        return kept.n_unique(), len(kept)
    values = present(column)
    return len(set(values.tolist())), len(values)


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, pandas' NA or NaT."""
    if isinstance(value, str):
        return False
    return type(value).__name__ in _MISSING or (isinstance(value, numbers.Number) and bool(value != value))


def is_small(column: Any) -> bool:
    """Whether float32 can hold all numbers of the column's dtype."""
    return _dtype_name(column).removesuffix("[pyarrow]") in _SMALL


def as_numbers(column: Any, label: str, dtype: type) -> np.ndarray:
    """Finite numbers of a column, and NaN where they are missing.

    Parameters
    ----------
    column : Series of pandas or polars, or ndarray of shape (n_rows,)
        The column.
    label : str
        What errors call it.
    dtype : dtype
        Of the result.

    Returns
    -------
    values : ndarray of shape (n_rows,)
        The column itself if it is such an array already.

    Raises
    ------
    ValueError
        If the column holds anything but numbers, or infinity.
    TypeError
        If a value is no number in a column that has no dtype.

    Examples
    --------
    >>> as_numbers(np.array([1, None], dtype=object), "Column 0", np.float32)
    array([ 1., nan], dtype=float32)

    """
    kind = kind_of(column)
    if kind == "category":
        codes, levels = as_levels(column, label)
        _check_numbers(kind_of_values(levels), levels, label)
        values = np.array([*levels, np.nan], dtype=dtype)[codes]
    else:
        if kind not in ("number", "bool"):
            _check_numbers(kind, present(column, at_most=None if kind == "nested" else 1000), label)
        values = _converted(column, dtype)
    if np.isinf(values).any():
        raise ValueError(
            f"Input X contains infinity. First seen: {label}. Replace it by a number or a missing value, "
            "or drop those rows."
        )
    return values


def as_levels(column: Any, label: str) -> tuple[np.ndarray, list[Any]]:
    """Different values of a column, and which of them each row has.

    Parameters
    ----------
    column : Series of pandas or polars, or ndarray of shape (n_rows,)
        The column.
    label : str
        What errors call it.

    Returns
    -------
    codes : ndarray of int of shape (n_rows,)
        Places in `levels`, -1 for a missing value.
    levels : list
        The different values, in any order.

    Raises
    ------
    ValueError
        If values are lists or the like.

    Examples
    --------
    >>> codes, levels = as_levels(np.array(["b", None, "a", "b"], dtype=object), "Column 0")
    >>> codes.tolist(), levels
    ([0, -1, 1, 0], ['b', 'a'])

    """
    if _dtype_name(column).startswith(_BEGINNINGS["nested"]):
        raise ValueError(nested_values(label))
    try:
        codes, levels = _factorized(column)
        found: dict[Any, int] = {}
        places = [-1 if is_missing(level) else found.setdefault(level, len(found)) for level in levels]
    except TypeError as error:  # Values that cannot be hashed.
        raise ValueError(nested_values(label)) from error
    if places == list(range(len(levels))):
        return codes, levels
    return np.array([*places, -1])[codes], list(found)


def nested_values(label: str) -> str:
    """The message for a column of lists and the like."""
    return (
        f"{label} of X holds nested values (lists, dicts, structs or arrays). Make columns of their parts, "
        "for example by pandas.json_normalize, or drop the column."
    )


def _dtype_name(column: Any) -> str:
    """Name of a column's dtype in lower case; for a sparse column of pandas that of its values."""
    dtype = column.dtype
    name = getattr(dtype, "name", None)
    return (name if isinstance(name, str) else str(dtype)).lower()


def _kind_of_type(each: type) -> str:
    """Kind of the values of a Python type."""
    if issubclass(each, str):
        return "text"
    if issubclass(each, bool | np.bool_):
        return "bool"
    if issubclass(each, datetime.date | datetime.time | datetime.timedelta | np.datetime64 | np.timedelta64):
        return "time"
    if issubclass(each, complex | np.complexfloating):
        return "complex"
    if issubclass(each, numbers.Number):
        return "number"
    if issubclass(each, list | tuple | dict | set | frozenset | np.ndarray):
        return "nested"
    return "time" if each.__name__ == "Period" else "other"


def _check_numbers(kind: str, values: Any, label: str) -> None:
    """Raise unless the kind is one of numbers; the values are for the message."""
    if kind in ("number", "bool"):
        return
    if kind == "complex":
        raise ValueError(f"Complex data not supported\n{label} of X holds complex numbers; pass their parts instead.")
    odd = next((value for value in values if kind_of_values([value]) not in ("number", "bool")), None)
    odd = odd.item() if isinstance(odd, np.generic) else odd
    if kind in ("nested", "other") and odd is not None:
        # float() has the words that scikit-learn's checks look for.
        raise TypeError(
            f"{label} of X must hold numbers, got {odd!r}: float() argument must be a string or a real number, "
            f"not {type(odd).__name__!r}. Replace such values or drop the column."
        )
    if kind == "time":
        raise ValueError(
            f"{label} of X must hold numbers, got dates or times ({odd!s}). Turn them into numbers first, for example "
            "by skrub.TableVectorizer, or drop the column."
        )
    raise ValueError(
        f"{label} of X holds text ({odd!r}) where numbers are expected. Name it in `categorical_features`, encode it "
        "first, for example by scikit-learn's OneHotEncoder, or turn its values into numbers."
    )


def _converted(column: Any, dtype: type) -> np.ndarray:
    """A column of numbers as floats."""
    if hasattr(column, "iloc") and not isinstance(column.dtype, np.dtype):
        return column.to_numpy(dtype=dtype, na_value=np.nan)
    values = column.to_numpy() if hasattr(column, "to_numpy") else np.asarray(column)
    if values.dtype.kind == "O":
        values = np.array([np.nan if is_missing(value) else value for value in values.tolist()], dtype=dtype)
    return values.astype(dtype, copy=False)


def _factorized(column: Any) -> tuple[np.ndarray, list[Any]]:
    """Codes and levels by the means of the column's library; missing levels may be among them."""
    if hasattr(column, "iloc"):
        codes, levels = column.factorize()
        return codes, levels.tolist()
    if hasattr(column, "drop_nulls") and _dtype_name(column) != "object":
        unique = column.unique()
        codes = column.to_physical().replace_strict(unique.to_physical(), list(range(len(unique))))
        return codes.to_numpy(), unique.to_list()
    values = np.asarray(column)
    if values.dtype.kind in "biuf":
        levels, codes = np.unique(values, return_inverse=True)
        return codes, levels.tolist()
    found: dict[Any, int] = {}
    codes = np.fromiter((found.setdefault(value, len(found)) for value in values.tolist()), np.intp, len(values))
    return codes, list(found)
