"""What users hand in by mistake, or at the edges: a clear error, or a right answer."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.exceptions import DataConversionWarning

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseWarning

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = X @ [1.0, 2.0, 3.0, 4.0]
C = (Y > 0).astype(int)
FRAME = pd.DataFrame(X, columns=list("abcd"))


def regressor(**parameters):
    """A regressor that trains a moment only."""
    return StepwiseRegressor(**{"max_epochs": 20, "learning_rate": 0.02, "random_state": 0, **parameters})


def classifier(**parameters):
    """A classifier that trains a moment only."""
    return StepwiseClassifier(**{"max_epochs": 20, "learning_rate": 0.02, "random_state": 0, **parameters})


def put(array, index, value):
    """A copy with one value replaced."""
    array = np.array(array, dtype=np.result_type(array, type(value)))
    array[index] = value
    return array


BAD_TABLES = {
    "infinity": (put(X, (3, 2), np.inf), ValueError, r"(?s)Input X contains infinity.*First seen: Column 2\."),
    "text": (put(X.astype(object), (0, 3), "red"), ValueError, "Column 3 of X holds text .*categorical_features"),
    "dates": (FRAME.assign(d=pd.Timestamp("2026-01-01")), ValueError, "Column 'd' of X holds dates .*TableVectorizer"),
    "infinity in a frame": (FRAME.assign(d=np.inf), ValueError, "First seen: Column 'd'"),
    "one dimension": (X[:, 0], ValueError, "(?s)Expected 2D array, got 1D array.*reshape"),
    "complex": (X + 1j, ValueError, "Complex data not supported"),
    "too large": (put(X, (0, 2), 1e300), ValueError, "Column 2 of X has values too large .*rescale it"),
    "rows of many lengths": ([[1.0, 2.0], [3.0]] * 30, ValueError, "rows of X are not all of one shape"),
    "a sparse array of one dimension": (sp.coo_array(Y), ValueError, r"Expected 2D array, got 1D .*reshape\(-1, 1\)"),
    "a lazy frame": (pl.LazyFrame({"a": Y}), TypeError, r"X is a LazyFrame.*X\.collect\(\)"),
    "a list of scalars": (list(map(np.array, Y)), ValueError, "Expected 2D array, got 1D array"),
    "a dict": ({"a": Y}, TypeError, r"X is a dict of named columns; .* pandas\.DataFrame\(X\)"),
    "a record array": (FRAME.to_records(), TypeError, r"X is a recarray of named columns; .* pandas\.DataFrame\(X\)"),
    "equal names": (FRAME.set_axis(list("abca"), axis=1), ValueError, "X has several columns of the name 'a'"),
    "a frame without columns": (FRAME[[]], ValueError, r"0 feature\(s\) \(shape=\(60, 0\)\)"),
}


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_a_bad_table_is_refused_in_fit(kind):
    table, error, message = BAD_TABLES[kind]
    with pytest.raises(error, match=message):
        regressor().fit(table, Y)
    with pytest.raises(error, match=message):
        classifier().fit(table, C)


def test_a_model_of_a_dense_table_refuses_a_sparse_one():
    with pytest.raises(TypeError, match=r"Sparse data was passed for X.*\.toarray\(\)"):
        regressor().fit(X, Y).predict(sp.csr_array(X))


@pytest.mark.parametrize("kind", sorted(BAD_TABLES.keys() - {"too large"}))
def test_a_bad_table_is_refused_in_predict(kind):
    table, error, _ = BAD_TABLES[kind]
    model = regressor().fit(FRAME if isinstance(table, pd.DataFrame) else X, Y)
    with pytest.raises(error, match=r"X|array|Complex"):
        model.predict(table)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((X[:1], Y[:1]), r"1 sample\(s\) .* minimum of 2 is required by StepwiseRegressor"),
        ((X[:0], Y[:0]), r"0 sample\(s\) .* minimum of 2 is required"),
        ((X[:, :0], Y), r"0 feature\(s\) .* minimum of 1 is required"),
        ((X, Y[:-1]), r"inconsistent numbers of samples: \[60, 59\]"),
        ((X, None), "requires y to be passed"),
        ((X, put(Y, 3, np.nan)), "Input y contains NaN"),
        ((X, put(Y, 3, np.inf)), "Input y contains infinity"),
        ((X, Y * 1e300), "`y` has values too large .*rescale it"),
        ((X, [[1.0, 2.0], [3.0]] * 30), "`y` must hold a single value for each row, or as many for each"),
        ((X, "target"), "at least 1 dimension"),
        ((X, C.astype(str).astype(object) + np.array("x", object)), "`y` must hold numbers .*StepwiseClassifier"),
    ],
)
def test_bad_rows_and_targets_are_refused(rows, message):
    with pytest.raises((TypeError, ValueError), match=message):
        regressor().fit(*rows)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ones(60), "`y` holds only one class, 1.0"),
        (Y, "Unknown label type: continuous"),
        (Y * 1e100, "Unknown label type: continuous"),
        (put(C.astype(float), 3, np.nan), "Input y contains NaN"),
        (put(C.astype(object), 3, None), "`y` holds missing labels"),
        (put(C.astype(object), 3, "a"), r"labels of several types \(int, str\)"),
        (np.column_stack([C, C + np.arange(60) % 2]), r"`y` has 2 columns, .*MultiOutputClassifier"),
        (np.column_stack([Y, Y]), "Unknown label type: continuous-multioutput"),
    ],
)
def test_bad_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        classifier().fit(X, labels)


def test_labels_that_cannot_be_sorted_are_refused_in_a_table_of_one_minibatch_too():
    with pytest.raises(ValueError, match="`y` holds missing labels"):
        classifier().fit(X[:20], np.array(["a", None] * 10))


def test_objects_that_are_no_numbers_are_named_in_predict():
    model = regressor().fit(X, Y)
    with pytest.raises(TypeError, match="Column 2 of X holds values that are neither numbers nor text"):
        model.predict(put(X.astype(object), (5, 2), {"a": 1}))
    with pytest.raises(ValueError, match="Column 'b' of X holds times"):
        regressor().fit(FRAME, Y).predict(FRAME.assign(b=pd.to_timedelta(np.arange(60), unit="h")))
    with pytest.raises(ValueError, match="Column 'b' of X holds values that are neither numbers nor text"):
        regressor().fit(FRAME, Y).predict(FRAME.assign(b=[[1.0, 2.0]] * 60))


@pytest.mark.parametrize("parameters", [{}, {"n_estimators": 1}, {"batch_size": 1}], ids=str)
def test_batch_norm_needs_two_rows_that_count(parameters):
    with pytest.raises(ValueError, match=r"`batch_norm=True` needs at least 2 rows that count .* got 1"):
        regressor(batch_norm=True, **parameters).fit(X, Y, sample_weight=np.arange(60) == 7)


def test_predict_wants_as_many_columns_as_fit_and_at_least_one_row():
    model = regressor().fit(X, Y)
    with pytest.raises(ValueError, match="X has 3 features, but StepwiseRegressor is expecting 4"):
        model.predict(X[:, :3])
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        model.predict(X[:0])


# -- validation data -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ({"X_val": X}, "`X_val` and `y_val` belong together"),
        ({"y_val": Y}, "`X_val` and `y_val` belong together"),
        ({"X_val": X[:, :2], "y_val": Y}, "`X_val` and `y_val` do not fit: X has 2 features"),
        ({"X_val": X, "y_val": Y[:5]}, r"`X_val` and `y_val` do not fit: .*inconsistent .*\[60, 5\]"),
        ({"X_val": put(X, (0, 0), np.inf), "y_val": Y}, "`X_val` and `y_val` do not fit: Input X contains infinity"),
        ({"X_val": X[:0], "y_val": Y[:0]}, r"`X_val` and `y_val` do not fit: .*0 sample\(s\)"),
        ({"X_val": X, "y_val": np.column_stack([Y, Y])}, "`y_val` has 2 columns, `y` has 1"),
    ],
)
def test_validation_data_must_fit(validation, message):
    with pytest.raises(ValueError, match=message):
        regressor().fit(X, Y, **validation)


@pytest.mark.parametrize("labels", [C + 1, C.astype(str)])
def test_validation_labels_must_be_known(labels):
    with pytest.raises(ValueError, match="`y_val` holds labels that `y` does not: "):
        classifier().fit(X, C, X_val=X, y_val=labels)


def test_one_validation_row_is_enough_to_train_with():
    model = regressor().fit(X, Y, X_val=X[:1], y_val=Y[:1])
    assert np.isnan(model.validation_score_)
    assert classifier().fit(X, C, X_val=X[:1], y_val=C[:1]).validation_score_ in (0.0, 1.0)


# -- values at the edges -------------------------------------------------------------


@pytest.mark.parametrize("value", [7, 7.3, 0.1, 0.0, -1e30, 1e-300])
@pytest.mark.parametrize("parameters", [{}, {"n_estimators": 1}, {"early_stopping": False}, {"loss": "huber"}], ids=str)
def test_a_constant_target_is_predicted(value, parameters):
    model = regressor(**parameters).fit(X, np.full(60, value))
    np.testing.assert_array_equal(model.predict(X), np.full(60, value))
    assert model.training_score_ == 1


def test_a_constant_output_among_others_is_predicted():
    y = np.column_stack([Y, np.full(60, 5.0), -Y])
    model = regressor(max_epochs=100).fit(X, y)
    np.testing.assert_array_equal(model.predict(X)[:, 1], np.full(60, 5.0))
    assert model.score(X, y) > 0.9


def test_constant_columns_change_nothing_but_the_columns():
    constant = np.c_[X, np.ones(60), np.full(60, 1e10)]
    model = regressor(max_epochs=60).fit(constant, Y)
    moved = np.add(constant, [0, 0, 0, 0, 3.0, 1e9])
    assert model.score(constant, Y) > 0.8
    np.testing.assert_array_equal(model.predict(moved), model.predict(constant))


def test_without_any_information_the_mean_and_the_majority_are_predicted():
    nothing = np.ones((60, 3))
    np.testing.assert_allclose(regressor().fit(nothing, Y).predict(nothing), Y.mean(), atol=Y.std() / 3)
    labels = np.repeat([0, 1], [20, 40])
    model = classifier().fit(nothing, labels)
    assert (model.predict(nothing) == 1).all()
    np.testing.assert_allclose(model.predict_proba(nothing)[:, 1], 2 / 3, atol=0.1)


@pytest.mark.parametrize("n_rows", [2, 3, 5, 9, 11])
@pytest.mark.parametrize("n_estimators", ["auto", 1, 3])
def test_few_rows_are_learnt(n_rows, n_estimators):
    model = regressor(n_estimators=n_estimators, max_epochs=100).fit(X[:n_rows], Y[:n_rows])
    assert model.score(X[:n_rows], Y[:n_rows]) > 0.4
    labels = np.arange(n_rows) % 2
    assert classifier(n_estimators=n_estimators, max_epochs=100).fit(X[:n_rows], labels).score(X[:n_rows], labels) > 0.6


def test_too_few_rows_for_folds_means_no_validation():
    model = regressor().fit(X[:9], Y[:9])
    assert model.oof_prediction_ is None
    assert model.validation_score_ is None
    assert model.plan_.n_rows == 9


def test_more_columns_than_rows():
    wide = np.c_[X, RNG.normal(size=(60, 300))]
    assert regressor(max_epochs=60).fit(wide, Y).score(wide, Y) > 0.5
    assert classifier(max_epochs=60).fit(wide, C).score(wide, C) > 0.8


@pytest.mark.parametrize("size", [1e-100, 1e-30, 1e30, 1e150])
def test_the_size_of_the_columns_does_not_matter(size):
    expected = regressor().fit(X, Y).predict(X)
    np.testing.assert_allclose(regressor().fit(X * size, Y).predict(X * size), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e150])
def test_predictions_have_the_size_of_the_target(size):
    expected = regressor().fit(X, Y).predict(X)
    np.testing.assert_allclose(regressor().fit(X, Y * size).predict(X), expected * size, rtol=1e-3, atol=1e-3 * size)


@pytest.mark.parametrize("size", [1e30, 1e300])
def test_rows_far_outside_give_finite_predictions(size):
    assert np.isfinite(regressor().fit(X, Y).predict(X * size)).all()
    assert np.isfinite(classifier().fit(X, C).predict_proba(X * size)).all()


def test_single_outliers_do_no_harm_beyond_themselves():
    outlying = put(X, (0, 0), 1e30)
    assert regressor(max_epochs=60).fit(outlying, Y).score(outlying[1:], Y[1:]) > 0.5
    with pytest.warns(StepwiseWarning, match=r"The validation loss of network \d was not finite after any epoch"):
        model = regressor().fit(X, put(Y, 0, 1e30))
    assert np.isfinite(model.predict(X)).all()


# -- types ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f2", "i8", "i1", "u1", "?"])
def test_every_numeric_type_gives_what_float64_gives(dtype):
    typed = (X * 3).clip(0 if dtype == "u1" else None).astype(dtype)
    y = (Y * 3).astype(dtype)
    expected = regressor().fit(typed.astype(float), y.astype(float)).predict(typed.astype(float))
    np.testing.assert_allclose(regressor().fit(typed, y).predict(typed), expected, rtol=1e-4, atol=1e-4)


LABELS = {
    "text": np.array(["no", "yes"])[C],
    "text as objects": np.array(["no", "yes"], dtype=object)[C],
    "bool": C > 0,
    "negative": np.array([-5, -2])[C],
    "float": np.array([1.0, 2.0])[C],
    "unsigned": C.astype("u1"),
    "list": ["ab"[i] for i in C],
    "categories": pd.Series(pd.Categorical(np.array(["no", "yes"])[C], categories=["yes", "no", "never"])),
    "text series": pd.Series(np.array(["no", "yes"])[C], index=np.arange(60)[::-1]),
    "string dtype": pd.Series(np.array(["no", "yes"])[C], dtype="string"),
    "nullable": pd.Series(C, dtype="Int64"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_come_back_as_they_were_given(kind):
    labels = LABELS[kind]
    model = classifier(max_epochs=60).fit(X, labels)
    assert model.classes_.tolist() == sorted(set(labels))
    assert model.classes_.tolist() == [sorted(set(labels))[i] for i in (0, 1)]
    assert model.predict(X).dtype == model.classes_.dtype
    assert model.score(X, labels) > 0.9
    expected = classifier(max_epochs=60).fit(X, C).predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(X), expected)


def test_a_class_of_one_row_among_others_is_kept():
    labels = put(C, 7, 9)
    model = classifier().fit(X, labels)
    assert model.classes_.tolist() == [0, 1, 9]
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1)


@pytest.mark.parametrize(
    "column", [Y[:, None], pd.DataFrame({"y": Y}), Y[:, None].tolist()], ids=["array", "frame", "list"]
)
def test_a_column_as_target_warns_and_is_raveled(column):
    with pytest.warns(DataConversionWarning, match=r"change the shape of y to \(n_samples,\)"):
        model = regressor().fit(X, column)
    assert model.predict(X).shape == (60,)
    np.testing.assert_array_equal(model.predict(X), regressor().fit(X, Y).predict(X))


def test_a_column_of_labels_warns_and_is_raveled():
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        model = classifier().fit(X, C[:, None])
    assert model.score(X, C) > 0.8


def fortran(array):
    """The same numbers, column by column."""
    return np.asfortranarray(array)


def read_only(array):
    """The same numbers, locked."""
    array = array.copy()
    array.flags.writeable = False
    return array


def strided(array):
    """The same numbers, with gaps between them and backwards in memory."""
    return np.repeat(array[::-1], 2, axis=0)[::-2]


@pytest.mark.parametrize("left_out", [np.nan, 1.0])
def test_sparse_columns_may_leave_out_any_value(left_out):
    full = pd.DataFrame(np.where(X > 0.5, X, left_out), columns=list("abcd"))
    thin = full.astype(pd.SparseDtype(float, left_out))
    np.testing.assert_array_equal(regressor().fit(thin, Y).predict(thin), regressor().fit(full, Y).predict(full))


@pytest.mark.parametrize("kind", [fortran, read_only, strided, pd.DataFrame, list, pd.DataFrame.from_records])
def test_the_layout_in_memory_does_not_matter(kind):
    y = kind(Y) if kind in (read_only, strided, list) else Y
    model = regressor().fit(kind(X), y, X_val=kind(X), y_val=y)
    expected = regressor().fit(X, Y, X_val=X, y_val=Y)
    np.testing.assert_array_equal(model.predict(kind(X)), expected.predict(X))


def test_the_users_arrays_are_left_alone():
    table, target = X.copy(), Y.copy()
    regressor().fit(table, target).predict(table)
    np.testing.assert_array_equal(table, X)
    np.testing.assert_array_equal(target, Y)


def test_names_of_columns_are_kept_and_checked():
    model = regressor().fit(FRAME, Y)
    assert model.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match=r"(?s)feature names should match.*unseen at fit time:\n- z"):
        model.predict(FRAME.rename(columns={"a": "z"}))
    with pytest.raises(ValueError, match="must be in the same order"):
        model.predict(FRAME[list("dcba")])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)
    with pytest.raises(ValueError, match="`X_val` and `y_val` do not fit: The feature names should match"):
        regressor().fit(FRAME, Y, X_val=FRAME.rename(columns={"a": "z"}), y_val=Y)


def test_a_column_of_dates_is_named():
    frame = pd.DataFrame({"size": np.arange(30.0), "when": pd.date_range("2020-01-01", periods=30)})
    with pytest.raises(ValueError, match="Column 'when' of X holds dates"):
        regressor().fit(frame, np.arange(30.0))
