"""`scaler` from end to end: what reaches a network, against the same done by hand outside."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.feature_selection import SelectKBest, VarianceThreshold, f_regression
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)
from sklearn.utils.validation import check_is_fitted

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor
from sk_dlsteps.inputs.scaler import units_of_channels

QUANTILES = QuantileTransformer(n_quantiles=40, output_distribution="normal")
SINGLE = {"n_estimators": 1, "early_stopping": False}


def regressor(**parameters):
    """A regressor that trains for a moment."""
    return StepwiseRegressor(**{"max_epochs": 5, "learning_rate": 0.02, "random_state": 0, **parameters})


def inputs_of(model, X):
    """What the networks of a fitted model see, (K, rows, inputs), without ramps."""
    fleet = model.pipeline_[-1].module_
    Z = torch.tensor(model.pipeline_[:-1].transform(X))
    return fleet.prepare(Z)[..., : Z.shape[1]].numpy()


def clip(x, c=3.0):
    """The smooth clip."""
    return x / np.sqrt(1 + (x / c) ** 2)


def record(model):
    """The record of the scaling, if there is one."""
    return next((step for step in model.steps_ if step.title == "input scaling"), None)


# -- robust -----------------------------------------------------------------------------


def test_robust_is_the_robust_scaler_and_the_clip(diabetes):
    X, X_test, y, _ = diabetes
    X, X_test = (np.delete(rows, 1, axis=1) for rows in (X, X_test))
    model = regressor(scaler="robust", **SINGLE).fit(X, y)
    by_hand = RobustScaler().fit(X)
    np.testing.assert_allclose(inputs_of(model, X_test)[0], clip(by_hand.transform(X_test)), atol=1e-5)
    outside = regressor(scaler=None, **SINGLE).fit(by_hand.transform(X), y)
    unclipped = regressor(scaler="robust", input_clip=None, **SINGLE).fit(X, y)
    np.testing.assert_allclose(unclipped.predict(X_test), outside.predict(by_hand.transform(X_test)), rtol=1e-3)


def test_robust_networks_have_the_median_and_quartiles_of_their_own_rows(diabetes):
    X, _, y, _ = diabetes
    X = np.delete(X, 1, axis=1)
    model = regressor(scaler="robust", n_estimators=3, input_clip=None).fit(X, y)
    seen = inputs_of(model, X)
    held_out = [np.flatnonzero(model.oof_prediction_ == p) for p in predictions(model, X).T]
    assert sum(map(len, held_out)) == len(X)
    for k, own in enumerate(held_out):
        train = np.delete(np.arange(len(X)), own)
        np.testing.assert_allclose(seen[k], RobustScaler().fit(X[train]).transform(X), atol=1e-4)


def predictions(model, X):
    """Predictions of each network, (rows, K)."""
    return model.pipeline_[-1].network_predictions(model.pipeline_[:-1].transform(X))[..., 0]


def test_robust_inputs_are_little_moved_by_a_wild_row(diabetes):
    X, X_test, y, _ = diabetes
    wild = X.copy()
    wild[3] = 1e6
    columns = [0, 2, 3, 4, 5, 6, 7, 8, 9]
    for kind, least, most in (("robust", 0.9, 1.1), ("standard", 0.0, 0.001)):
        calm, moved = (inputs_of(regressor(scaler=kind, **SINGLE).fit(rows, y), X_test) for rows in (X, wild))
        spread = (np.ptp(moved, axis=1) / np.ptp(calm, axis=1))[0, columns]
        assert ((least <= spread) & (spread <= most)).all()


@pytest.mark.parametrize(("scaler", "value"), [("robust", 1e20), ("standard", 1e40), ("standard", 1e100)])
def test_a_value_is_refused_if_it_is_too_large_for_a_network_that_holds_it_out(scaler, value, diabetes):
    X, _, y, _ = diabetes
    X = X.copy()
    X[5, 4] = value
    with pytest.raises(ValueError, match=rf"^Column 4 of X .* too far for scaler='{scaler}'; drop those rows"):
        regressor(scaler=scaler).fit(X, y)


@pytest.mark.parametrize("transformer", [StandardScaler(copy=False), FunctionTransformer(lambda X: np.abs(X, out=X))])
def test_a_transformer_that_works_in_place_leaves_the_users_table_as_it_is(transformer, diabetes):
    X, X_test, y, _ = (part.copy() for part in diabetes)
    before, before_test = X.copy(), X_test.copy()
    model = regressor(scaler=transformer).fit(X, y)
    first = model.predict(X_test)
    np.testing.assert_array_equal(model.predict(X_test), first)
    model.param_distributions(4, X, y)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(X_test, before_test)


def test_the_record_says_what_was_scaled(diabetes):
    X, _, y, _ = diabetes
    assert record(regressor().fit(X, y)) is None
    robust = record(regressor(scaler="robust").fit(np.c_[X, np.ones(len(X))], y))
    assert "quartile range" in robust.decision
    assert robust.evidence == {"columns": 11, "constant columns": 1}
    assert "as they are" in record(regressor(scaler=None).fit(X, y)).decision
    own = record(regressor(scaler=PCA(3)).fit(X, y))
    assert own.decision == "PCA, fitted to the training rows, makes 3 columns of 10"
    assert own.evidence["transformed columns"] == 3
    assert "PCA(n_components=3" in own.evidence["scaler"]


# -- None -------------------------------------------------------------------------------


def test_none_equals_a_standard_scaler_outside_without_the_clip(diabetes):
    X, X_test, y, _ = diabetes
    outside = StandardScaler().fit(X)
    bare = regressor(scaler=None, **SINGLE).fit(outside.transform(X), y)
    inside = regressor(input_clip=None, **SINGLE).fit(X, y)
    np.testing.assert_allclose(bare.predict(outside.transform(X_test)), inside.predict(X_test), rtol=1e-3)


@pytest.mark.parametrize("n_networks", [1, 3])
def test_none_passes_every_column_as_it_is(diabetes, n_networks):
    X, X_test, y, _ = diabetes
    X, X_test = (np.c_[rows, np.full(len(rows), 7.0)] for rows in (X, X_test))
    model = regressor(scaler=None, n_estimators=n_networks).fit(X, y)
    np.testing.assert_array_equal(inputs_of(model, 100 * X_test), np.stack([100 * X_test] * n_networks))


def test_unscaled_values_must_fit_into_float32(diabetes):
    X, _, y, _ = diabetes
    X = X.copy()
    X[5, 4] = -1e39
    with pytest.raises(ValueError, match=r"^Column 4 of X .* too large for float32; use scaler='standard'"):
        regressor(scaler=None).fit(X, y)


# -- transformers -----------------------------------------------------------------------

TRANSFORMERS = {
    "quantiles": QUANTILES,
    "fewer columns": PCA(4),
    "more columns": SplineTransformer(n_knots=4),
    "sparse output": OneHotEncoder(handle_unknown="ignore", max_categories=5),
    "a frame": QuantileTransformer(n_quantiles=10).set_output(transform="pandas"),
    "with y": SelectKBest(f_regression, k=3),
    "a pipeline": make_pipeline(StandardScaler(), PCA(2)),
    "columns by number": ColumnTransformer([("some", StandardScaler(), [0, 2])], remainder="passthrough"),
}


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_a_transformers_output_reaches_the_networks(kind, diabetes):
    X, X_test, y, _ = diabetes
    transformer = TRANSFORMERS[kind]
    model = regressor(scaler=transformer, **SINGLE).fit(X, y)
    by_hand = clone(transformer).fit(X, y)
    expected = by_hand.transform(X_test)
    expected = expected.toarray() if sparse.issparse(expected) else np.asarray(expected)
    np.testing.assert_allclose(inputs_of(model, X_test)[0], expected, rtol=1e-9)
    assert model.n_features_in_ == X.shape[1]
    n_ramps = sum(step.evidence["ramps"] for step in model.steps_ if step.title == "input encoding")
    assert model.plan_.n_inputs == expected.shape[1] + n_ramps
    with pytest.raises(NotFittedError):
        check_is_fitted(transformer)


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_a_transformer_equals_its_output_without_a_scaler(kind, diabetes):
    X, X_test, y, _ = diabetes
    inside = regressor(scaler=TRANSFORMERS[kind], **SINGLE).fit(X, y)
    by_hand = clone(TRANSFORMERS[kind]).fit(X, y)
    dense = (table.toarray() if sparse.issparse(table) else table for table in map(by_hand.transform, (X, X_test)))
    Z, Z_test = dense
    outside = regressor(scaler=None, **SINGLE).fit(Z, y)
    np.testing.assert_allclose(inside.predict(X_test), outside.predict(Z_test), rtol=1e-6)


@pytest.mark.parametrize("scaler", [None, "robust", QUANTILES, TRANSFORMERS["sparse output"]], ids=str)
def test_a_model_survives_the_way_through_a_file(scaler, diabetes):
    X, X_test, y, _ = diabetes
    model = regressor(scaler=scaler).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(X_test), model.predict(X_test))
    assert copy.steps_ == model.steps_
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict(X_test), model.predict(X_test))
    np.testing.assert_array_equal(model.predict(X_test, return_std=True)[0], model.predict(X_test))


@pytest.mark.parametrize("scaler", ["standard", "robust", None, QUANTILES], ids=str)
def test_the_format_of_the_global_output_changes_nothing(scaler, diabetes):
    X, X_test, y, _ = diabetes
    expected = regressor(scaler=scaler).fit(X, y).predict(X_test)
    with sklearn.config_context(transform_output="pandas"):
        np.testing.assert_array_equal(regressor(scaler=scaler).fit(X, y).predict(X_test), expected)


@pytest.mark.parametrize(
    "scaler", ["robust", QUANTILES, SelectKBest(f_regression, k=3)], ids=["robust", "quantiles", "by the target"]
)
@pytest.mark.parametrize("own", [False, True], ids=["held out", "X_val"])
def test_validation_rows_do_not_influence_the_scaler(scaler, own, diabetes):
    X, X_test, y, y_test = diabetes
    poison = 1000 + np.random.default_rng(0).normal(size=X.shape)
    if own:
        data = {"X_val": X_test, "y_val": y_test}, {"X_val": poison[: len(X_test)], "y_val": -y_test}
        fits = [regressor(n_estimators=1, scaler=scaler).fit(X, y, **valid) for valid in data]
    else:
        plain = regressor(n_estimators=1, scaler=scaler).fit(X, y)
        held_out = ~np.isnan(plain.oof_prediction_)
        assert 0 < held_out.sum() < len(X) / 4
        bad, y_bad = np.where(held_out[:, None], poison, X), np.where(held_out, -y, y)
        fits = [plain, regressor(n_estimators=1, scaler=scaler).fit(bad, y_bad)]
    np.testing.assert_array_equal(*(inputs_of(model, X_test) for model in fits))


def test_rows_held_out_are_transformed_as_new_rows_are(diabetes):
    X, _, y, _ = diabetes
    model = regressor(n_estimators=1, scaler=QUANTILES).fit(X, y)
    known = ~np.isnan(model.oof_prediction_)
    np.testing.assert_allclose(model.oof_prediction_[known], model.predict(X)[known], rtol=1e-4)


class CrossFitted(TransformerMixin, BaseEstimator):
    """Treats the rows that it is fitted to unlike new ones, as a TargetEncoder does, and remembers the target."""

    def fit(self, X, y):
        self.y_ = y
        return self

    def fit_transform(self, X, y):
        return self.fit(X, y).transform(X) * 2

    def transform(self, X):
        return X / 10


def test_a_transformer_gets_the_labels_and_is_fitted_as_in_a_pipeline(iris):
    X, X_test, y, _ = iris
    labels = np.array(["b", "a", "c"])[y]
    options = {"max_epochs": 5, "learning_rate": 0.02, "random_state": 0, **SINGLE}
    model = StepwiseClassifier(scaler=CrossFitted(), **options).fit(X, labels)
    outside = StepwiseClassifier(scaler=None, **options).fit(X / 5, labels)
    np.testing.assert_array_equal(model.pipeline_[0].transformer_.y_, labels)
    np.testing.assert_allclose(model.predict_proba(X_test), outside.predict_proba(X_test / 10), rtol=1e-6)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, 2)])
def test_a_transformer_gets_numbers_in_the_shape_of_a_pipeline(shape, diabetes):
    X, _, y, _ = diabetes
    X, y = X[:330], y[:330].reshape(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataConversionWarning)
        model = regressor(scaler=CrossFitted(), **SINGLE).fit(X[: len(y)], y)
    expected = y.ravel() if shape == (-1, 1) else y
    np.testing.assert_array_equal(model.pipeline_[0].transformer_.y_, expected)


def test_random_parts_of_a_transformer_follow_random_state_and_leave_numpys_alone(diabetes):
    X, X_test, y, _ = diabetes
    subsampling = make_pipeline(QuantileTransformer(n_quantiles=20, subsample=50))
    state = np.random.get_state()[1].copy()
    first, again = (regressor(scaler=subsampling).fit(X, y) for _ in range(2))
    other = regressor(scaler=subsampling, random_state=1).fit(X, y)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    np.testing.assert_array_equal(first.predict(X_test), again.predict(X_test))
    assert not np.array_equal(inputs_of(first, X_test), inputs_of(other, X_test))
    fixed = [
        regressor(scaler=QuantileTransformer(n_quantiles=20, subsample=50, random_state=5), random_state=seed).fit(X, y)
        for seed in (0, 1)
    ]
    np.testing.assert_array_equal(*(inputs_of(model, X_test)[0] for model in fixed))


# -- what is refused --------------------------------------------------------------------


class OldStyle(TransformerMixin, BaseEstimator):
    """Gives whatever it is told to give."""

    def __init__(self, output=None):
        self.output = output

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return self.output(X)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda X: X[:, 0], "Expected 2D array, got 1D array"),
        (lambda X: X[:, :0], r"Found array with 0 feature\(s\)"),
        (lambda X: np.where(X > 0.1, np.nan, X), "its output contains NaN"),
        (lambda X: np.full(X.shape, "red"), "could not convert string to float"),
        (lambda X: X.astype(complex), "Complex data not supported"),
        (lambda X: X[1:], "its output has 330 rows, not 331"),
        (lambda X: X / "a", "not supported"),
        (lambda X: sparse.csr_array((len(X), 10**7)), "too large to be written out; .* TruncatedSVD"),
    ],
)
def test_useless_output_is_refused_and_the_scaler_named(output, message, diabetes):
    X, _, y, _ = diabetes
    model = regressor(scaler=OldStyle(output))
    with pytest.raises(ValueError, match=rf"(?s)^`scaler=OldStyle\(.*\)` failed: .*{message}.*in a Pipeline\.$"):
        model.fit(X, y)
    assert not hasattr(model, "pipeline_")


@pytest.mark.parametrize(
    "transformer",
    [
        ColumnTransformer([("some", StandardScaler(), ["age"])]),
        VarianceThreshold(1e9),
        SelectKBest(k=3, score_func=None),
    ],
    ids=["columns by name", "nothing left", "a wrong parameter"],
)
def test_an_error_of_the_transformer_names_the_scaler(transformer, diabetes):
    X, _, y, _ = diabetes
    frame = pd.DataFrame(X).set_axis(["age", *"bcdefghij"], axis=1)
    with pytest.raises(ValueError, match=r"^`scaler=.* failed: .*\n.* Pipeline"):
        regressor(scaler=transformer).fit(frame, y)


def test_output_that_turns_useless_at_prediction_is_refused(diabetes):
    X, X_test, y, _ = diabetes
    model = regressor(scaler=FunctionTransformer(np.exp)).fit(X, y)
    with (
        pytest.raises(ValueError, match=r"^`scaler=FunctionTransformer.*contains infinity"),
        np.errstate(over="ignore"),
    ):
        model.predict(1e5 * np.abs(X_test))


def test_output_must_fit_into_float32(diabetes):
    X, _, y, _ = diabetes
    with pytest.raises(ValueError, match=r"^Column \d of the output of `scaler=FunctionTr.* too large for float32"):
        regressor(scaler=FunctionTransformer(lambda X: 1e40 * X)).fit(X, y)


# -- among scikit-learn's tools ---------------------------------------------------------


def test_parameters_of_a_transformer_are_parameters_of_the_estimator(diabetes):
    X, X_test, y, _ = diabetes
    model = regressor(scaler=RobustScaler())
    assert model.get_params()["scaler__quantile_range"] == (25.0, 75.0)
    model.set_params(scaler__quantile_range=(10.0, 90.0)).fit(X, y)
    expected = RobustScaler(quantile_range=(10.0, 90.0)).fit(X).transform(X_test)
    np.testing.assert_allclose(inputs_of(model, X_test)[0], expected)
    assert clone(model).scaler.quantile_range == (10.0, 90.0)
    assert clone(model).scaler is not model.scaler


def test_a_search_goes_over_scalers(diabetes):
    X, _, y, _ = diabetes
    scalers = ["standard", "robust", None, QUANTILES, PCA(3)]
    search = RandomizedSearchCV(
        regressor(n_estimators=2), {"scaler": scalers}, n_iter=5, cv=2, random_state=0, error_score="raise"
    ).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(search.cv_results_["params"]) == 5
    nested = RandomizedSearchCV(
        regressor(scaler=PCA()), {"scaler__n_components": [1, 8]}, n_iter=2, cv=2, random_state=0, error_score="raise"
    ).fit(X, y)
    assert nested.best_estimator_.pipeline_[0].transformer_.n_components_ == nested.best_params_["scaler__n_components"]


@pytest.mark.parametrize("kind", [StandardScaler, RobustScaler])
def test_units_of_channels_are_the_scaler_s_of_their_first_columns(kind):
    X = np.random.default_rng(0).normal(size=(9, 12))
    scaler = kind().fit(X)
    center, scale = units_of_channels(scaler, (3, 2, 2))
    assert np.array_equal((X[:, ::4] - center) / scale, scaler.transform(X)[:, ::4])


@pytest.mark.parametrize("scaler", [None, MinMaxScaler()])
def test_other_scalers_tell_no_units_and_tables_have_no_channels(scaler):
    assert units_of_channels(scaler, (3, 2, 2)) == (None, None)
    assert units_of_channels(StandardScaler(), None) == (None, None)
