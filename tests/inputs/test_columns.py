"""Which columns are categories, and the errors for those that can be neither categories nor numbers."""

import datetime as dt
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from skrub import TableVectorizer

from sk_dlsteps.inputs.columns import TEXT_LEVELS, as_frame, find_categorical

N = 80
DAYS = [dt.date(2020, 1, 1) + dt.timedelta(days=7 * i) for i in range(N)]


def frame(**columns):
    return pd.DataFrame({"a": np.arange(N), **columns})


def kinds(column):
    """What is found for a frame's only column."""
    return find_categorical(column.to_frame()).tolist()


def error_of(X, categorical_features="from_dtype"):
    with pytest.raises(ValueError, match=r"\w") as caught:
        find_categorical(X, categorical_features)
    return str(caught.value)


# -- from_dtype -----------------------------------------------------------------------


CATEGORICAL = {
    "str": pd.Series(["a", None], dtype="str"),
    "object": pd.Series(["a", np.nan], dtype=object),
    "string": pd.Series(["a", pd.NA], dtype="string"),
    "arrow string": pd.Series(["a", None], dtype=pd.ArrowDtype(pa.string())),
    "arrow dictionary": pd.Series(pd.arrays.ArrowExtensionArray(pa.array(["a", None]).dictionary_encode())),
    "category": pd.Series(["a", None], dtype="category"),
    "category of numbers": pd.Series([1, 2], dtype="category"),
    "intervals": pd.cut(pd.Series([1, 5]), 2),
    "bool": pd.Series([True, False]),
    "bools of an object column": pd.Series([True, None], dtype=object),
    "boolean": pd.Series([True, None], dtype="boolean"),
    "arrow bool": pd.Series([True, None], dtype=pd.ArrowDtype(pa.bool_())),
    "polars string": pl.Series(["a", None]),
    "polars categorical": pl.Series(["a", None], dtype=pl.Categorical),
    "polars enum": pl.Series(["a", None], dtype=pl.Enum(["a", "b"])),
    "polars objects": pl.Series(["a", None], dtype=pl.Object),
    "polars bool": pl.Series([True, None]),
}
NUMBERS = {
    "int": pd.Series([1, 2]),
    "nullable": pd.Series([1, None], dtype="Int8"),
    "arrow": pd.Series([1, None], dtype=pd.ArrowDtype(pa.int64())),
    "arrow decimal": pd.Series([Decimal(1), None], dtype=pd.ArrowDtype(pa.decimal128(5, 2))),
    "mixed numbers": pd.Series([1, 2.5, Decimal(3), None, np.nan, pd.NA, np.int8(3), True], dtype=object),
    "nothing": pd.Series([None, None], dtype=object),
    "sparse": pd.Series(pd.arrays.SparseArray([0.0, 1.0])),
    "polars": pl.Series([1, None]),
    "polars decimal": pl.Series([Decimal(1), None]),
    "polars nothing": pl.Series([None, None]),
    "polars objects": pl.Series([1, None], dtype=pl.Object),
}


@pytest.mark.parametrize("kind", CATEGORICAL)
def test_text_categories_and_truth_values_are_categories(kind):
    assert kinds(CATEGORICAL[kind]) == [True]


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_are_no_categories_whatever_holds_them(kind):
    assert kinds(NUMBERS[kind]) == [False]


def test_a_pyarrow_table_is_judged_as_the_frame_it_becomes():
    table = pa.table(
        {"n": [1, None], "s": ["a", None], "b": [True, None], "d": pa.array(["a", "b"]).dictionary_encode()}
    )
    assert find_categorical(table).tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    "X", [np.ones((3, 2)), np.array([["a", 1], ["b", 2]], dtype=object), [["a", 1]], sp.csr_array(np.eye(2))], ids=type
)
@pytest.mark.parametrize("given", ["from_dtype", None, []])
def test_nothing_is_a_category_in_what_has_no_dtypes_of_columns(X, given):
    assert find_categorical(X, given).tolist() == [False, False]


# -- declared by the user -------------------------------------------------------------


@pytest.mark.parametrize("given", [["b", "a"], [1, 0], np.array([0, 1]), (True, True, False), pd.Index(["a", "b"])])
@pytest.mark.parametrize("library", [pd, pl])
def test_names_places_and_masks_say_which(given, library):
    X = library.DataFrame({"a": [1, 2], "b": ["u", "v"], "c": [0.5, 1.5]})
    assert find_categorical(X, given).tolist() == [True, True, False]


def test_the_mask_is_a_copy():
    mask = np.array([True, False])
    find_categorical(np.ones((2, 2)), mask)[:] = False
    assert mask.tolist() == [True, False]


def test_none_makes_truth_values_and_categories_of_numbers_numbers():
    X = pd.DataFrame({"a": [True, False], "b": pd.Categorical([1, 2])})
    assert find_categorical(X, None).tolist() == [False, False]


def test_dates_and_text_are_categories_for_a_user_who_says_so():
    X = frame(day=DAYS, iso=[str(day) for day in DAYS], text=[f"word {i}" for i in range(N)])
    assert find_categorical(X, ["day", "iso", "text"]).tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["colr"], r"has 'colr', but X has no such column; did you mean 'color'\?"),
        (["zzz"], r"has 'zzz', but X has no such column; its columns are 'size', 'color'\."),
        ([2], "has place 2, but the columns of X go from 0 to 1"),
        ([-1], "has place -1"),
        ([True], "mask of 1 values, but X has 2 columns"),
        ("color", r"got 'color'; write a single name as \['color'\]"),
        ([0.5], r"must be an array-like of bool, int or str, got \[0.5\]"),
        ([0, "color"], r"must be an array-like of bool, int or str, got \[0, 'color'\]"),
        ([], "'color' of X holds text .* is not in `categorical_features`"),
        (None, "'color' of X holds text .* is not in `categorical_features`"),
    ],
)
def test_what_does_not_fit_the_table_is_refused(given, message):
    X = pd.DataFrame({"size": [1, 2], "color": ["red", "blue"]})
    with pytest.raises(ValueError, match=f"(?s){message}"):
        find_categorical(X, given)


def test_names_need_a_frame_and_sparse_columns_cannot_be_categories():
    assert "columns of X have none" in error_of(np.ones((2, 2)), ["a"])
    assert "for sparse X" in error_of(sp.csr_array(np.eye(2)), [0])


# -- what can be neither ---------------------------------------------------------------


TIMES = {
    "dates": DAYS,
    "datetimes": pd.to_datetime(DAYS),
    "with a zone": pd.to_datetime(DAYS, utc=True),
    "durations": pd.to_timedelta(np.arange(N)),
    "periods": pd.period_range("2000", periods=N, freq="M"),
    "periods as objects": pd.period_range("2000", periods=N, freq="M").astype(object),
    "times": [dt.time(i % 24) for i in range(N)],
    "timestamps and nothing": [pd.Timestamp(0), None] * (N // 2),
    "arrow dates": pd.array(DAYS, dtype=pd.ArrowDtype(pa.date32())),
    "ISO": [str(day) for day in DAYS],
    "ISO with times": [f"{day}T12:30:00Z" for day in DAYS],
    "d/m/y": [f"{day:%d/%m/%Y}" for day in DAYS],
    "m/d/y": [f"{day:%m/%d/%y}" for day in DAYS],
    "d.m.y and missing": [f"{day:%d.%m.%Y}" for day in DAYS[1:]] + [None],
}


@pytest.mark.parametrize("kind", TIMES)
def test_dates_and_times_are_refused_by_name(kind):
    message = error_of(frame(when=TIMES[kind]))
    assert message.startswith("Column 'when' of X holds ")
    assert "skrub.TableVectorizer() before the estimator" in message


@pytest.mark.parametrize("value", [DAYS[0], dt.datetime(2020, 1, 1), dt.timedelta(1), dt.time(1), "2020-01-31"])
def test_dates_and_times_of_polars_and_arrow_are_refused_too(value):
    assert "'when'" in error_of(pl.DataFrame({"when": [value, None]}))
    assert "'when'" in error_of(pa.table({"when": [value, None]}))


@pytest.mark.parametrize("values", [["1-2", "2-3"], ["2020-13-01"], ["10.2.1"], ["2020-01-01", "never"], ["2020"]])
def test_strings_that_only_resemble_dates_are_categories(values):
    assert find_categorical(pd.DataFrame({"s": values})).tolist() == [True]


@pytest.mark.parametrize("library", [pd, pl])
def test_free_text_is_refused_by_name(library):
    X = library.DataFrame({"a": range(N), "note": [f"word {i}" for i in range(N)]})
    message = error_of(X)
    assert message.startswith(f"Column 'note' of X looks like free text: {N} different strings in {N} rows")
    assert "skrub.TableVectorizer() before" in message and "name it in `categorical_features`" in message


@pytest.mark.parametrize(("different", "rows", "is_text"), [(31, 61, True), (31, 62, False), (30, 30, False)])
def test_text_is_what_has_many_different_strings_for_its_rows(different, rows, is_text):
    X = pd.DataFrame({"s": [f"word {i % different}" for i in range(rows)] + [None] * 100})
    assert TEXT_LEVELS == 30
    if is_text:
        assert f"{different} different strings in {rows} rows" in error_of(X)
    else:
        assert find_categorical(X).tolist() == [True]
    assert find_categorical(X.astype("category")).tolist() == [True]


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, (1, 2), {1}, np.ones(2)], ids=str)
def test_nested_values_are_refused_even_if_declared(value):
    X = pd.DataFrame({"a": pd.Series([value, value], dtype=object)})
    for given in ("from_dtype", ["a"], None):
        assert "Column 'a' of X holds nested values" in error_of(X, given)


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}])
def test_nested_columns_of_polars_are_refused(value):
    assert "Column 'a' of X holds nested values" in error_of(pl.DataFrame({"a": [value]}))


def test_text_beside_numbers_is_refused_also_in_declared_columns_of_arrays():
    X = pd.DataFrame({"a": ["red", 3]}, dtype=object)
    message = error_of(X)
    assert "Column 'a' of X holds text beside other values (such as 'red' and 3)" in message
    assert 'astype("str")' in message
    assert "Column 0 of X holds text beside" in error_of(X.to_numpy(), [0])
    assert find_categorical(X.astype("str")).tolist() == [True]


def test_complex_and_unknown_values_are_refused():
    assert "Complex data not supported" in error_of(pd.DataFrame({"a": [1j]}))
    assert "Complex data not supported" in error_of(pd.DataFrame({"a": [1j]}, dtype=object))
    assert "neither a number nor a category (\"b'x'\")" in error_of(pd.DataFrame({"a": [b"x"]}))


@pytest.mark.filterwarnings("ignore:.*duplicate.*")
def test_two_columns_of_one_name_are_refused():
    assert "several columns of the name 'a'" in error_of(pd.DataFrame([[1, 2]], columns=["a", "a"]))


@pytest.mark.parametrize("X", [np.ones(3), pd.Series([1, 2]), 3.0], ids=type)
def test_what_is_no_table_is_refused_in_scikit_learns_words(X):
    assert "Expected" in error_of(X)


def test_skrubs_table_vectorizer_makes_of_a_refused_frame_one_that_is_accepted():
    X = frame(when=pd.to_datetime(DAYS), note=[f"word {i} {i * i}" for i in range(N)])
    assert "'when'" in error_of(X)
    assert not find_categorical(TableVectorizer().fit_transform(X)).any()


# -- pyarrow ---------------------------------------------------------------------------


def test_a_table_becomes_a_frame_of_pandas_or_else_polars(monkeypatch):
    table = pa.table({"a": [1, 2]})
    pd.testing.assert_frame_equal(as_frame(table), pd.DataFrame({"a": [1, 2]}))
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert as_frame(table).equals(pl.DataFrame({"a": [1, 2]}))
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match=r"sk_dlsteps\[csv\]"):
        as_frame(table)


@pytest.mark.parametrize("X", [np.ones((1, 1)), [[1.0]], pd.DataFrame(), pl.DataFrame()], ids=type)
def test_anything_else_stays_as_it_is(X):
    assert as_frame(X) is X
