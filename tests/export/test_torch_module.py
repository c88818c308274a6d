"""One torch module equals the fitted estimator, and is a module like any other."""

import copy
import io
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor
from sk_dlsteps.engine.mlp_fleet import ACTIVATIONS
from sk_dlsteps.export import torch_networks

QUICK = {"n_estimators": 2, "max_epochs": 5, "learning_rate": 0.02, "random_state": 0}
RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(200, 4)) * [1.0, 20.0, 0.3, 5.0] + [0.0, 1000.0, -2.0, 1.0]
Y = TABLE[:, 0] * 3 + np.abs(TABLE[:, 2]) + RNG.normal(size=200) / 5
LABELS = np.array(["high", "low", "middle"])[np.digitize(Y, [1.0, 4.0])]
GAPS = np.where(RNG.random(TABLE.shape) < 0.1, np.nan, TABLE)
NEW = RNG.normal(size=(57, 4)) * [2.0, 30.0, 1.0, 5.0] + [0.0, 1000.0, -2.0, 1.0]
ROWS = torch.export.Dim("rows")


class Conv(nn.Module):
    """A network of the user's own, for images, that squeezes a single output."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.conv = nn.Conv2d(input_shape[0], 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, n_outputs)

    def forward(self, x):
        return self.head(
            nn.functional.dropout(self.norm(self.conv(x)).relu(), 0.3, self.training).mean((2, 3))
        ).squeeze(1)


def regressor(**parameters):
    return StepwiseRegressor(**{**QUICK, **parameters})


def classifier(**parameters):
    return StepwiseClassifier(**{**QUICK, **parameters})


def answer(model, X, **quantiles):
    """What a module should give."""
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X, **quantiles)


def assert_equal(module, X, expected, tolerance=1e-5):
    """In float32 and in float64, to a tolerance in standard deviations of the prediction."""
    scale = expected.std(0).max()
    for dtype in (torch.float32, torch.float64):
        with torch.no_grad():
            out = module(torch.from_numpy(X).to(dtype))
        assert out.dtype == dtype
        assert out.shape == expected.shape
        np.testing.assert_allclose(out.numpy(), expected, rtol=0, atol=tolerance * scale)


@pytest.fixture(scope="module")
def fitted():
    """A regressor with ramps, on rows with gaps."""
    model = regressor(early_stopping=False).fit(GAPS, Y)
    assert model.pipeline_[-1].module_.input_encoding is not None
    return model


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:200].reshape(-1, 1, 8, 8), y[:200]


KINDS = {
    "regression": lambda: regressor().fit(TABLE, Y),
    "two targets far from zero": lambda: regressor().fit(TABLE, np.stack([Y, 1e3 + 20 * Y**2], 1)),
    "constant target": lambda: regressor().fit(TABLE, np.stack([Y, np.full(200, 7.0)], 1)),
    "log link": lambda: regressor(loss="poisson").fit(TABLE, np.abs(Y)),
    "quantiles": lambda: regressor(loss="quantile").fit(TABLE, Y),
    "own loss": lambda: regressor(loss=nn.SmoothL1Loss).fit(TABLE, Y),
    "batch norm and dropout": lambda: regressor(batch_norm=True, dropout=0.3, n_hidden_layers=2).fit(TABLE, Y),
    "robust scaler without a clip": lambda: regressor(scaler="robust", input_clip=None).fit(TABLE, Y),
    "gaps": lambda: regressor().fit(GAPS, Y),
    "gaps, filled with means": lambda: regressor(scaler=None, learning_rate=1e-4).fit(GAPS, Y),
    "gaps and a transformer": lambda: regressor(scaler=StandardScaler()).fit(GAPS, Y),
    "a column that is missing": lambda: regressor().fit(np.where(np.arange(4) == 1, np.nan, TABLE), Y),
    "sparse": lambda: regressor().fit(sparse.csr_array(TABLE), Y),
    "stream": lambda: regressor().partial_fit(TABLE[:99], Y[:99]).partial_fit(TABLE[99:], Y[99:]),
    "one network": lambda: regressor(n_estimators=1).fit(TABLE, Y),
    "three classes": lambda: classifier().fit(TABLE, LABELS),
    "two classes, calibrated": lambda: classifier(calibrate=True).fit(TABLE, LABELS == "low"),
    "three classes, calibrated": lambda: classifier(calibrate=True).fit(TABLE, LABELS),
    "labels": lambda: classifier().fit(TABLE, np.stack([Y > 1, TABLE[:, 3] > 0], 1).astype(int)),
    "metric learning": lambda: classifier(loss="triplet").fit(TABLE, LABELS),
    "own network": lambda: classifier(module=nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))).fit(
        TABLE, LABELS
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_module_equals_the_estimator(kind):
    model = KINDS[kind]()
    new = np.where(RNG.random(NEW.shape) < 0.1, np.nan, NEW)
    # Scores of metric learning are differences of large squares.
    assert_equal(model.to_torch(), new, answer(model, new), 3e-5 if kind == "metric learning" else 1e-5)


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(ACTIVATIONS),
    st.integers(1, 3),
    st.booleans(),
    st.integers(1, 3),
    st.sampled_from(["auto", "huber", "absolute_error", "quantile", nn.L1Loss(reduction="none")]),
    st.integers(1, 2),
    st.sampled_from(["standard", "robust", None]),
)
def test_whatever_the_parameters_the_module_equals_the_estimator(
    activation, n_hidden_layers, batch_norm, n_estimators, loss, n_targets, scaler
):
    model = StepwiseRegressor(
        activation=activation,
        hidden_units=7,
        n_hidden_layers=n_hidden_layers,
        batch_norm=batch_norm,
        n_estimators=n_estimators,
        loss=loss,
        scaler=scaler,
        max_epochs=2,
        learning_rate=1e-3,
        random_state=0,
    )
    # Of a table of small numbers: float32 has few digits left where unscaled inputs lie far from zero.
    scale = StandardScaler().fit(TABLE).transform
    model.fit(scale(TABLE), np.stack([Y, 5 - Y**2], 1)[:, :n_targets].squeeze())
    assert_equal(model.to_torch(), scale(NEW), model.predict(scale(NEW)))


@pytest.mark.parametrize("level", [None, 0.4, [0.3], [0.05, 0.6]], ids=str)
def test_quantiles_are_those_of_predict(level):
    for y in (Y, np.stack([Y, Y**2], 1)):
        model = regressor(loss="quantile", quantiles=(0.05, 0.3, 0.7)).fit(TABLE, y)
        assert_equal(model.to_torch(quantiles=level), NEW, model.predict(NEW, quantiles=level))


@pytest.mark.parametrize(
    ("kind", "module"), [(StepwiseRegressor, Conv), (StepwiseClassifier, "resnet18")], ids=["own", "resnet18"]
)
def test_images_go_through_convolutions(kind, module, digits):
    X, y = digits
    model = kind(module=module, n_estimators=1, max_epochs=1, learning_rate=1e-3, random_state=0).fit(X[:24], y[:24])
    expected = answer(model, X[24:40])
    for rows in (X[24:40], X[24:40].reshape(16, -1)):
        assert_equal(model.to_torch(), rows, expected)


def test_pixels_that_are_missing_are_filled_without_a_scaler(digits):
    X, y = digits[0] / 16, digits[1]
    model = classifier(module=Conv, scaler=None).fit(X, y)
    new = np.where(RNG.random(X.shape) < 0.1, np.nan, X)
    assert_equal(model.to_torch(), new, model.predict_proba(new))


@pytest.mark.parametrize("module", ["lstm", "gru"])
def test_padded_sequences_go_through_recurrent_networks(module):
    X = np.stack([TABLE, TABLE[::-1]], -1)
    X[::3, 3:] = X[1::3, :2] = np.nan
    model = regressor(module=module, max_epochs=1, module__bidirectional=True).fit(X[:150], Y[:150])
    assert_equal(model.to_torch(), X[150:], model.predict(X[150:]))


def test_ramps_are_in_it(fitted):
    assert_equal(fitted.to_torch(), NEW, fitted.predict(NEW))
    unclipped = regressor(early_stopping=False, input_clip=None).fit(TABLE, Y)
    assert_equal(unclipped.to_torch(), NEW, unclipped.predict(NEW))


def test_a_saved_program_equals_the_estimator_for_any_number_of_rows(fitted):
    file = io.BytesIO()
    program = torch.export.export(fitted.to_torch(), (torch.zeros(2, 4),), dynamic_shapes=({0: ROWS},))
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for rows in (NEW, GAPS[:1]):
        with torch.no_grad():
            out = loaded(torch.from_numpy(rows).float())
        np.testing.assert_allclose(out, fitted.predict(rows), rtol=0, atol=1e-5 * Y.std())


def test_it_compiles_as_one_graph(fitted):
    module, rows = fitted.to_torch(), torch.from_numpy(GAPS).float()
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(rows), module(rows))


@pytest.mark.parametrize(
    "scaler",
    [StandardScaler(with_mean=False), RobustScaler(), MinMaxScaler((-1, 2)), MaxAbsScaler()],
    ids=lambda scaler: type(scaler).__name__,
)
def test_transformers_that_shift_and_divide_become_part_of_it(scaler):
    new = NEW / [1, 20, 1, 1]
    for dtype in (np.float32, np.float64):
        model = classifier(scaler=scaler).fit((TABLE / [1, 20, 1, 1]).astype(dtype), LABELS)
        assert_equal(model.to_torch(), new, model.predict_proba(new))


class Squashed(StandardScaler):
    """Something else than its base class."""

    def transform(self, X, copy=None):
        return np.tanh(super().transform(X, copy))


@pytest.mark.parametrize(
    "scaler",
    [Squashed(), QuantileTransformer(n_quantiles=9), MinMaxScaler(clip=True), FunctionTransformer(np.tanh)],
    ids=["subclass", "quantile", "clip", "function"],
)
def test_other_transformers_are_an_error_that_says_where_to_put_them(scaler):
    model = regressor(scaler=scaler).fit(TABLE, Y)
    with pytest.raises(ValueError, match=r"no formula for `scaler=.*before the estimator in a Pipeline"):
        model.to_torch()


@pytest.mark.parametrize("scaler", ["standard", None], ids=str)
def test_truth_values_and_categories_of_a_few_numbers_are_encoded(scaler):
    frame = pd.DataFrame(GAPS[:, [0, 2]], columns=["a", "b"])
    frame["flag"] = Y > 2
    frame["code"] = np.where(np.arange(200) < 3, np.arange(200), np.round(TABLE[:, 2] * 2))
    frame["gaps"] = np.where(np.isnan(GAPS[:, 1]), np.nan, (TABLE[:, 1] > 1000) * 0.1)
    model = regressor(scaler=scaler, categorical_features=["flag", "code", "gaps"]).fit(frame, Y)
    new = frame.assign(code=RNG.integers(-9, 9, 200) * 1.0)
    assert_equal(model.to_torch(), new.to_numpy(float), model.predict(new))


def test_other_categories_are_an_error_that_names_them():
    frame = pd.DataFrame(np.tile(TABLE[:, :2], (4, 1)), columns=["a", "b"])
    frame = frame.assign(colour=np.tile(LABELS, 4), place=np.arange(800.0) % 11)
    model = regressor(categorical_features=["colour", "place"]).fit(frame, np.tile(Y, 4))
    assert model.pipeline_["columns"].n_levels_ == (12,)
    with pytest.raises(ValueError, match=r"others are in 'colour', 'place'\. Encode"):
        model.to_torch()


def test_columns_of_a_frame_keep_their_order():
    frame = pd.DataFrame(GAPS, columns=list("badc"))
    model = regressor().fit(frame, Y)
    new = pd.DataFrame(NEW, columns=list("badc"))
    assert_equal(model.to_torch(), NEW, model.predict(new))
    assert list(model.feature_names_in_) == list("badc")


@pytest.mark.parametrize("model", [regressor(), classifier()], ids=["regressor", "classifier"])
def test_quantiles_that_were_not_learnt_are_an_error(model):
    model.fit(TABLE, LABELS == "low" if hasattr(model, "predict_proba") else Y)
    with pytest.raises(ValueError, match=r"`quantiles=0.5` needs a model that learnt quantiles"):
        model.to_torch(quantiles=0.5)
    with pytest.raises(ValueError, match=r"must lie between 0.05 and 0.95"):
        regressor(loss="quantile").fit(TABLE, Y).to_torch(quantiles=0.99)


def test_what_is_not_fitted_is_an_error():
    with pytest.raises(NotFittedError):
        StepwiseRegressor().to_torch()


@pytest.mark.parametrize("shape", [(4,), (3, 1), (3, 5)], ids=str)
def test_rows_of_another_shape_are_an_error(fitted, shape):
    with pytest.raises(ValueError, match=r"4 numbers in each row, got the shape"):
        fitted.to_torch()(torch.zeros(shape))


def test_it_is_independent_of_the_estimator(fitted):
    before = fitted.predict(NEW)
    module = fitted.to_torch()
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.fill_(3)
    np.testing.assert_array_equal(fitted.predict(NEW), before)


def test_copies_pickles_and_state_dicts_give_the_same(fitted):
    module, rows = fitted.to_torch(), torch.from_numpy(GAPS).float()
    other = regressor(early_stopping=False, random_state=5).fit(GAPS[::-1], Y).to_torch()
    assert not torch.equal(other(rows), module(rows))
    other.load_state_dict(module.state_dict())
    for same in (other, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert not same.training
        assert torch.equal(same(rows), module(rows))


def test_in_double_precision_it_is_predict_to_rounding(fitted):
    with torch.no_grad():
        out = fitted.to_torch().double()(torch.from_numpy(NEW))
    np.testing.assert_allclose(out, fitted.predict(NEW), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_in_half_precision_it_is_predict_roughly(dtype):
    model = regressor().fit(TABLE[:, [0, 2]], Y)
    out = model.to_torch().to(dtype)(torch.from_numpy(NEW[:, [0, 2]]).to(dtype))
    assert out.dtype == dtype
    np.testing.assert_allclose(out.detach().float(), model.predict(NEW[:, [0, 2]]), rtol=0, atol=0.2 * Y.std())


def test_columns_and_targets_far_from_zero_keep_their_digits():
    far = TABLE + 1e7
    model = regressor().fit(far, Y + 1e6)
    with torch.no_grad():
        out = model.to_torch()(torch.from_numpy(far))
    np.testing.assert_allclose(out, model.predict(far), rtol=0, atol=1e-5 * Y.std())


def test_a_target_relative_to_an_origin_comes_back(monkeypatch):
    # As on a device that has no float64.
    for module in ("preparation", "engine.batches"):
        monkeypatch.setattr(f"sk_dlsteps.{module}.widest_float", lambda device: torch.float32)
    model = regressor().fit(TABLE, Y + 1e6)
    assert model.pipeline_[-1].module_.target_origin is not None
    with torch.no_grad():
        out = model.to_torch()(torch.from_numpy(NEW))
    np.testing.assert_allclose(out, model.predict(NEW), rtol=0, atol=1e-5 * Y.std())


def test_values_far_out_are_clipped_and_not_lost(fitted):
    far = NEW[:2] * 1e25
    assert_equal(fitted.to_torch(), far, fitted.predict(far))


def test_predictions_can_be_differentiated():
    model = classifier(activation="silu").fit(GAPS, LABELS)
    module = model.to_torch().double()
    rows = torch.from_numpy(NEW[:3]).requires_grad_()
    (gradient,) = torch.autograd.grad(module(rows)[:, 0].sum(), rows)
    step = 1e-4 * TABLE.std(0)
    for column in range(4):
        shift = step * (np.arange(4) == column)
        slope = (model.predict_proba(NEW[:3] + shift) - model.predict_proba(NEW[:3] - shift))[:, 0] / 2 / step[column]
        np.testing.assert_allclose(gradient[:, column], slope, rtol=1e-4, atol=1e-6)


def test_a_column_without_any_value_has_no_effect_on_gradients():
    model = regressor().fit(np.where(np.arange(4) == 1, np.nan, TABLE), Y)
    rows = torch.from_numpy(NEW).requires_grad_()
    (gradient,) = torch.autograd.grad(model.to_torch()(rows).sum(), rows)
    assert gradient.isfinite().all()
    assert (gradient[:, 1] == 0).all()
    assert (gradient[:, 0] != 0).any()


def test_every_activation_is_known():
    assert set(torch_networks.ACTIVATIONS) == set(ACTIVATIONS)
