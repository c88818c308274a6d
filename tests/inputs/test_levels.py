"""The levels of a category and their codes: rare ones, many ones, missing and unseen ones."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import OrdinalEncoder

from sk_dlsteps.inputs.levels import MAX_LEVELS, MIN_LEVEL_ROWS, MIN_LEVEL_SHARE, Levels

TEXTS = st.lists(st.none() | st.sampled_from(["a", "b", "", "nan", "None", "é", "A"]), min_size=1, max_size=40)


def fit(values):
    return Levels.fit(pd.Series(values, dtype=object), "Column 'a'")


def codes(levels, values):
    return levels.codes(pd.Series(values, dtype=object), "Column 'a'").tolist()


@given(TEXTS)
def test_equal_values_and_only_they_have_equal_codes(values):
    own = codes(fit(values), values)
    assert len(set(zip(values, own, strict=True))) == len(set(values)) == len(set(own))
    assert 0 not in own and max(own) == len(set(values)) == fit(values).n_codes - 1


@given(TEXTS, TEXTS)
def test_what_was_not_seen_has_code_0_and_nothing_else_has(seen, others):
    for value, code in zip(others, codes(fit(seen), others), strict=True):
        assert (code == 0) == (value not in seen)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=100, max_size=400))
def test_codes_and_pooling_are_those_of_scikit_learns_ordinal_encoder(values):
    enough = min(MIN_LEVEL_ROWS, len(values) // MIN_LEVEL_SHARE)
    table = np.array(values, dtype=object)[:, None]
    expected = OrdinalEncoder(min_frequency=enough).fit_transform(table)[:, 0] + 1
    assert codes(fit(values), values) == expected.tolist()


@pytest.mark.parametrize(("n", "pooled"), [(40, False), (99, False), (100, True), (400, True)])
def test_a_small_table_keeps_its_rare_levels(n, pooled):
    levels = fit(["common"] * (n - 1) + ["rare"])
    assert levels.names == ("common", "infrequent_sklearn" if pooled else "rare")


def test_a_level_of_enough_rows_is_kept_in_any_table_and_a_missing_value_is_never_pooled():
    levels = fit(["a"] * 1000 + ["b"] * MIN_LEVEL_ROWS + ["c"] * (MIN_LEVEL_ROWS - 1) + ["d"] + [None])
    assert levels.names == ("a", "b", "infrequent_sklearn", "nan")
    assert codes(levels, ["a", "b", "c", "d", None, "e"]) == [1, 2, 3, 3, 4, 0]


def test_the_most_frequent_levels_are_kept_of_very_many():
    n = MAX_LEVELS + 10
    values = np.repeat(np.arange(n), np.where(np.arange(n) < 20, 5, 6))
    levels = Levels.fit(values, "Column 0")
    kept = [level for level, code in levels.code_of.items() if code <= MAX_LEVELS]
    assert len(kept) == MAX_LEVELS and kept == [*range(10), *range(20, n)]
    assert levels.n_codes == 1 + MAX_LEVELS + 1
    assert {levels.code_of[level] for level in range(10, 20)} == {MAX_LEVELS + 1}


MISSING = [None, np.nan, float("nan"), pd.NA, pd.NaT, np.float32("nan")]


@pytest.mark.parametrize("value", MISSING, ids=repr)
def test_missing_values_of_every_kind_are_one(value):
    assert codes(fit(["a", *MISSING]), ["a", value]) == [1, 2]
    assert fit(["a", *MISSING]).names == ("a", "nan")
    array = np.array(["a", value], dtype=object)
    assert Levels.fit(array, "Column 0").codes(array, "Column 0").tolist() == [1, 2]


ONE_AND_ZERO = {
    "int": pd.Series([1, 0]),
    "float": pd.Series([1.0, 0.0]),
    "bool": pd.Series([True, False]),
    "nullable": pd.Series([1, 0], dtype="Int8"),
    "boolean": pd.Series([True, False], dtype="boolean"),
    "object": pd.Series([1, 0.0], dtype=object),
    "category": pd.Series([1, 0], dtype="category"),
    "category of floats": pd.Series([1.0, 0.0], dtype="category"),
    "polars int": pl.Series([1, 0]),
    "polars float": pl.Series([1.0, 0.0]),
    "polars bool": pl.Series([True, False]),
    "numpy": np.array([1, 0], dtype=np.uint8),
    "numpy float": np.array([1, 0], dtype=np.float32),
    "numpy bool": np.array([True, False]),
    "numpy object": np.array([np.int64(1), np.False_], dtype=object),
}


@pytest.mark.parametrize("fitted", ONE_AND_ZERO)
def test_equal_numbers_are_one_level_whatever_their_dtype(fitted):
    levels = Levels.fit(ONE_AND_ZERO[fitted], "Column 0")
    for column in ONE_AND_ZERO.values():
        assert levels.codes(column, "Column 0").tolist() == [2, 1]


def test_levels_that_occur_in_no_row_are_no_levels():
    assert Levels.fit(pd.Series(pd.Categorical(["b"], categories=["a", "b", "c"])), "Column 0").names == ("b",)
    assert Levels.fit(pl.Series(["b"], dtype=pl.Enum(["a", "b", "c"])), "Column 0").names == ("b",)


def test_levels_without_an_order_are_ordered_by_their_text():
    assert fit([3 + 1j, 1j]).names == ("(3+1j)", "1j")


@pytest.mark.parametrize(("seen", "now"), [(["a"], [1]), ([1], ["a"]), (["a"], ["a", 1])])
def test_text_where_there_was_none_and_the_reverse_is_an_error(seen, now):
    with pytest.raises(ValueError, match=r"Column 'a' of X had .* in fit and has .* now, such as ('a'|1); make"):
        codes(fit(seen), now)
    assert codes(fit(seen), [None]) == [0]
