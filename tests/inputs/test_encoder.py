"""The encoder of tables: against scikit-learn's encoders and imputers, and the same for every library."""

import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_dlsteps.inputs.columns import find_categorical
from sk_dlsteps.inputs.encoder import MIN_GAPS, MOST_ONE_HOT, ONE_HOT_LEVELS, ROWS_PER_VECTOR, TableEncoder

RNG = np.random.default_rng(0)
N = 700
CITIES = [f"city {i:02}" for i in range(ONE_HOT_LEVELS + 1)]
FRAME = pd.DataFrame(
    {
        "size": RNG.normal(size=N),
        "color": RNG.choice(["red", "green", "blue"], N),
        "rooms": np.where(RNG.random(N) < 0.2, np.nan, RNG.integers(1, 5, N)),
        "city": np.resize(CITIES, N),
        "sold": RNG.random(N) < 0.5,
        "empty": np.full(N, np.nan),
    }
).assign(color=lambda X: X["color"].mask(X["rooms"].isna() & X["sold"]))
MASK = find_categorical(FRAME)


def encode(X, **parameters):
    return TableEncoder(find_categorical(X), **parameters).fit_transform(X)


@parametrize_with_checks([TableEncoder(), TableEncoder(impute=True)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_the_encoder_passes_every_check_of_scikit_learn(estimator, check):
    check(estimator)


# -- the order and the content of the result --------------------------------------------


def test_columns_come_as_numbers_indicators_levels_and_codes():
    encoder = TableEncoder(MASK).fit(FRAME)
    assert encoder.get_feature_names_out().tolist() == [
        *["size", "rooms", "empty", "missingindicator_rooms"],
        *["color_blue", "color_green", "color_red", "color_nan", "sold_False", "sold_True", "city"],
    ]
    assert encoder.n_plain_ == 10
    assert encoder.n_levels_ == (1 + len(CITIES),)
    assert list(encoder.counts_.values()) == [3, 1, 6, 1]
    assert encoder.transform(FRAME).shape == (N, encoder.n_plain_ + len(encoder.n_levels_))


def test_the_parts_are_those_of_scikit_learn():
    Z = encode(FRAME, impute=True)
    numbers = FRAME[["size", "rooms", "empty"]]
    np.testing.assert_allclose(Z[:, :3], SimpleImputer(keep_empty_features=True).fit_transform(numbers))
    np.testing.assert_array_equal(Z[:, 3:4], MissingIndicator().fit_transform(FRAME[["rooms"]]))
    one_hot = OneHotEncoder(sparse_output=False).fit_transform(FRAME[["color", "sold"]])
    np.testing.assert_array_equal(Z[:, 4:10], one_hot)
    np.testing.assert_array_equal(Z[:, 10], [1 + CITIES.index(city) for city in FRAME["city"]])


def test_missing_numbers_stay_missing_unless_they_are_to_be_filled():
    np.testing.assert_array_equal(encode(FRAME)[:, :3], FRAME[["size", "rooms", "empty"]])


def test_one_hot_columns_are_those_of_get_dummies():
    X = FRAME[["color", "sold"]]
    expected = pd.get_dummies(X.astype({"sold": "category"}), dummy_na=True).drop(columns="sold_nan")
    pd.testing.assert_frame_equal(
        TableEncoder([True, True]).set_output(transform="pandas").fit_transform(X),
        expected.rename(columns=str).astype(np.float32),
    )


@pytest.mark.parametrize(("n_levels", "embedded"), [(ONE_HOT_LEVELS, False), (ONE_HOT_LEVELS + 1, True)])
def test_a_category_of_more_levels_gets_codes_and_pooled_levels_count_as_one(n_levels, embedded):
    common = [str(i) for i in range(n_levels - 1)] * (2 * ROWS_PER_VECTOR)
    X = pd.DataFrame({"a": [*common, *[f"rare {i}" for i in range(10)]]})
    encoder = TableEncoder([True]).fit(X)
    assert encoder.n_levels_ == ((n_levels + 1,) if embedded else ())
    assert encoder.n_plain_ == (0 if embedded else n_levels)


@given(
    st.lists(st.none() | st.sampled_from("abc"), min_size=2, max_size=30),
    st.lists(st.none() | st.sampled_from("abcde"), min_size=1, max_size=30),
)
def test_equal_levels_and_only_they_give_equal_rows_and_unseen_ones_no_row_of_fit(seen, others):
    encoder = TableEncoder([True]).fit(pd.DataFrame({"a": pd.Series(seen, dtype=object)}))
    rows = {}
    for value, row in zip(others, encoder.transform(pd.DataFrame({"a": others}, dtype=object)), strict=True):
        rows.setdefault(value if value in seen else "unseen", set()).add(tuple(row))
    assert all(len(same) == 1 for same in rows.values())
    assert len(set.union(*rows.values())) == len(rows)
    assert not any(map(any, rows.get("unseen", ())))


@given(arrays(np.float64, (7, 3), elements=st.floats(-1e6, 1e6) | st.just(np.nan)))
def test_numbers_are_imputed_and_marked_as_by_scikit_learn(X):
    some = np.isnan(X).any(0) & ~np.isnan(X).all(0)
    expected = np.hstack([SimpleImputer(keep_empty_features=True).fit_transform(X), np.isnan(X[:, some])])
    np.testing.assert_allclose(TableEncoder(impute=True).fit_transform(X), expected, atol=1e-6)


def test_the_statistics_are_those_of_the_rows_of_fit():
    first, rest = FRAME[:100], FRAME[100:].assign(color="violet", size=np.nan, empty=1.0, city="nowhere")
    encoder = TableEncoder(MASK, impute=True).fit(first)
    Z = encoder.transform(rest)
    assert (Z[:, 0] == first["size"].mean()).all()
    assert (Z[:, 2] == 1).all()
    assert not Z[:, 4:8].any() and not Z[:, 10].any()
    np.testing.assert_allclose(Z[rest["rooms"].isna(), 1], first["rooms"].mean())
    assert np.isnan(TableEncoder(MASK).fit(first).transform(rest)[:, 0]).all()


def test_a_table_of_floats_that_needs_nothing_is_not_copied():
    X = RNG.normal(size=(5, 2)).astype(np.float32)
    assert TableEncoder().fit(X).transform(X) is X


def test_the_users_table_is_left_as_it_is():
    before = FRAME.copy()
    encode(FRAME, impute=True)
    pd.testing.assert_frame_equal(FRAME, before)


# -- libraries and dtypes ----------------------------------------------------------------


LIBRARIES = {
    "objects": FRAME.astype({"color": object, "city": object}),
    "categories": FRAME.astype({"color": "category", "city": "category", "sold": "category"}),
    "nullable": FRAME.convert_dtypes(),
    "arrow": FRAME.convert_dtypes(dtype_backend="pyarrow"),
    "polars": pl.from_pandas(FRAME),
    "polars categories": pl.from_pandas(FRAME).with_columns(
        pl.col("color").cast(pl.Categorical), pl.col("city").cast(pl.Enum(["x", *CITIES]))
    ),
    "pyarrow": pa.Table.from_pandas(FRAME),
    "decimals": FRAME.assign(size=[Decimal(x) for x in FRAME["size"]]),
}


@pytest.mark.parametrize("fitted", LIBRARIES)
def test_every_library_gives_the_same_array_also_if_another_one_was_fitted(fitted):
    X = LIBRARIES[fitted]
    np.testing.assert_array_equal(find_categorical(X), MASK)
    encoder = TableEncoder(MASK).fit(X)
    for other in (X, FRAME, LIBRARIES["polars"], LIBRARIES["categories"]):
        np.testing.assert_array_equal(encoder.transform(other), encode(FRAME))


def test_arrays_and_lists_give_the_same_where_the_user_says_what_is_a_category():
    array = FRAME.astype(object).to_numpy()
    for X in (array, array.tolist()):
        np.testing.assert_array_equal(TableEncoder(find_categorical(X, MASK)).fit_transform(X), encode(FRAME))


def test_categories_of_numbers_are_numbers_where_the_user_says_so():
    X = pd.DataFrame({"a": pd.Categorical([3, 1, None]), "b": [True, False, True]})
    np.testing.assert_array_equal(
        TableEncoder(find_categorical(X, None)).fit_transform(X), [[3, 1, 0], [1, 0, 0], [np.nan, 1, 1]]
    )


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (["float32", "float16", "int16", "uint8", "bool"], "float32"),
        (["Float32", "Int16", "boolean"], "float32"),
        (["float[pyarrow]", "int8[pyarrow]", "bool[pyarrow]"], "float32"),
        (["float32", "int32"], "float64"),
        (["float32", "float64"], "float64"),
        (["Int64"], "float64"),
        (["double[pyarrow]"], "float64"),
        (["object"], "float64"),
    ],
)
def test_numbers_are_float32_if_that_holds_all_of_them(dtypes, expected):
    X = pd.DataFrame({name: pd.Series([0, 1]).astype(name) for name in dtypes})
    assert TableEncoder().fit_transform(X).dtype == expected


@pytest.mark.parametrize(("dtype", "expected"), [(pl.Int16, "float32"), (pl.Float32, "float32"), (pl.Int32, "float64")])
def test_dtypes_of_polars_count_too_and_codes_alone_are_float32(dtype, expected):
    assert TableEncoder().fit_transform(pl.DataFrame({"a": [0, None, 1]}, schema={"a": dtype})).dtype == expected
    assert TableEncoder([True]).fit_transform(pl.DataFrame({"a": ["u", "v"]})).dtype == np.float32


def test_means_of_float32_are_taken_in_double_precision():
    X = np.full((100_001, 1), 0.1, dtype=np.float32)
    X[-1] = np.nan
    np.testing.assert_allclose(TableEncoder(impute=True).fit(X).means_, np.float32(0.1), rtol=1e-12)


# -- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, np.asarray])
def test_infinity_is_refused_by_name(kind, value):
    X = FRAME[["size", "rooms"]].to_numpy()
    bad = X.copy()
    bad[3, 1] = value
    X, bad = ([kind(table) if kind is np.asarray else kind({"u": table[:, 0], "v": table[:, 1]})] for table in (X, bad))
    label = "Column 1" if kind is np.asarray else "Column 'v'"
    for fit in (lambda: TableEncoder().fit(*bad), lambda: TableEncoder().fit(*X).transform(*bad)):
        with pytest.raises(ValueError, match=f"Input X contains infinity. First seen: {label}. Replace"):
            fit()


@pytest.mark.parametrize("value", ["3", "red"])
@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_text_in_a_column_of_numbers_is_refused_by_name(value, kind):
    encoder = TableEncoder().fit(kind({"a": [1.0, 2.0]}))
    with pytest.raises(ValueError, match=rf"Column 'a' of X holds text \('{value}'\) where numbers are expected"):
        encoder.transform(kind({"a": [value, None]}))
    with pytest.raises(ValueError, match=rf"Column 0 of X holds text \('{value}'\) where"):
        TableEncoder().fit([[1.0], [value]])


def test_other_things_in_a_column_of_numbers_are_refused_by_name():
    encoder = TableEncoder().fit(pd.DataFrame({"a": [1.0]}))
    with pytest.raises(ValueError, match="Column 'a' of X must hold numbers, got dates or times"):
        encoder.transform(pd.DataFrame({"a": [pd.Timestamp(0)]}))
    with pytest.raises(
        TypeError, match=r"Column 'a' .* got \[1\]: float\(\) argument must be a string or a real number"
    ):
        encoder.transform(pd.DataFrame({"a": [[1]]}))
    with pytest.raises(ValueError, match="Column 'a' of X holds text"):
        encoder.transform(pd.DataFrame({"a": pd.Categorical(["u"])}))
    with pytest.raises(ValueError, match=r"(?s)Complex data not supported.*Column 'a' of X holds complex numbers"):
        encoder.transform(pd.DataFrame({"a": [1j]}))


@pytest.mark.parametrize("library", [pd, pl])
@pytest.mark.parametrize("value", [[1], {"k": 1}])
def test_nested_values_in_a_column_of_categories_are_refused_by_name(library, value):
    encoder = TableEncoder([True]).fit(library.DataFrame({"b": ["u", "v"]}))
    with pytest.raises(ValueError, match="Column 'b' of X holds nested values"):
        encoder.transform(library.DataFrame({"b": [value, value]}))


def test_other_columns_than_in_fit_are_refused_in_scikit_learns_words():
    encoder = TableEncoder(MASK).fit(FRAME)
    with pytest.raises(ValueError, match="feature names should match"):
        encoder.transform(FRAME.rename(columns={"size": "width"}))
    with pytest.raises(ValueError, match=r"`categorical` has the shape \(2,\), but X has 6 columns"):
        TableEncoder([True, False]).fit(FRAME)
    with pytest.raises(NotFittedError):
        TableEncoder().transform(FRAME)
    with pytest.raises(TypeError, match="Sparse data was passed"):
        TableEncoder().fit(sp.csr_array(np.eye(2)))


# -- a member of scikit-learn's family -------------------------------------------------------


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_the_output_can_be_a_frame_with_names(library):
    encoder = TableEncoder(MASK).set_output(transform=library)
    Z = encoder.fit_transform(FRAME)
    assert type(Z).__module__.startswith(library)
    assert list(Z.columns) == encoder.get_feature_names_out().tolist()
    np.testing.assert_array_equal(Z.to_numpy(), encode(FRAME))


def test_names_that_meet_are_made_different():
    X = pd.DataFrame({"a_1": [1, 2], "a_1_2": [1, 2], "a": [1, 2]})
    names = TableEncoder([False, False, True]).fit(X).get_feature_names_out().tolist()
    assert names == ["a_1", "a_1_2", "a_1_3", "a_2"]


def test_names_can_be_given_for_a_table_without_any():
    encoder = TableEncoder([False, True]).fit([[1.0, "u"], [None, "v"]])
    assert encoder.get_feature_names_out().tolist() == ["x0", "missingindicator_x0", "x1_u", "x1_v"]
    assert encoder.get_feature_names_out(["a", "b"]).tolist() == ["a", "missingindicator_a", "b_u", "b_v"]
    with pytest.raises(ValueError, match="should have length equal to number of features"):
        encoder.get_feature_names_out(["a"])
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        TableEncoder(MASK).fit(FRAME).get_feature_names_out(list("abcdef"))


def test_a_copy_by_pickle_encodes_alike_and_a_clone_is_unfitted():
    encoder = TableEncoder(MASK, impute=True).fit(FRAME)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).transform(FRAME), encoder.transform(FRAME))
    with pytest.raises(NotFittedError):
        clone(encoder).transform(FRAME)
    assert clone(encoder).get_params()["impute"]


def test_a_category_of_many_levels_of_few_rows_gets_columns_for_its_most_frequent_levels():
    n_levels = MOST_ONE_HOT + 20
    values = np.repeat([f"{i:03}" for i in range(n_levels)], np.where(np.arange(n_levels) < MOST_ONE_HOT, 3, 2))
    encoder = TableEncoder([True]).fit(pd.DataFrame({"a": values}))
    assert len(values) < ROWS_PER_VECTOR * n_levels
    assert encoder.n_levels_ == ()
    assert encoder.n_one_hot_ == (MOST_ONE_HOT + 1,)
    assert encoder.get_feature_names_out()[-1] == "a_infrequent_sklearn"


@pytest.mark.parametrize(("n_missing", "n_indicators"), [(MIN_GAPS * N - 1, 0), (MIN_GAPS * N, 1), (N, 0)])
def test_a_number_that_is_seldom_or_always_missing_has_no_indicator(n_missing, n_indicators):
    X = np.where(np.arange(N) < n_missing, np.nan, np.arange(N, dtype=float))[:, None]
    assert TableEncoder().fit(X).counts_["missing indicators"] == n_indicators
