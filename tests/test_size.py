"""Large tables: nothing is copied that need not be, and what is done in parts is what is done at once."""

import tracemalloc

import numpy as np
import pytest
import torch

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor
from sk_dlsteps.engine import net, validation_rows
from sk_dlsteps.engine.batches import to_tensors
from sk_dlsteps.inputs import features, scaler
from sk_dlsteps.inputs.scaler import MAX_OFFSET
from sk_dlsteps.preparation import prepare
from sk_dlsteps.step3_training import budget
from sk_dlsteps.step4_validation import scores

RNG = np.random.default_rng(0)
N = 300
X = RNG.normal(2.0, [1.0, 10.0, 0.1], (N, 3)).astype(np.float32)
Y = np.sin(X[:, 0]) + X[:, 1] / 10 + 0.1 * RNG.normal(size=N)
LABELS = np.digitize(Y, [-0.5, 0.5])
QUICK = {"n_estimators": 3, "random_state": 0, "learning_rate": 0.02, "max_epochs": 4, "hidden_units": 8}


def prepared(X, **parameters):
    """What is decided on a table, but for the learning rate."""
    model = StepwiseRegressor(**{**QUICK, **parameters})
    return prepare(model.get_params(deep=False), model._receive(X, Y)[0])


# -- copies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{}, {"scaler": "robust"}, {"scaler": None}], ids=str)
def test_networks_train_on_the_users_own_float32_rows(parameters):
    of = prepared(X, **parameters)
    assert np.shares_memory(of.Z, X)
    tensor, _ = to_tensors(of.Z, Y, of.build(of.seeds)(), torch.float32)
    assert np.shares_memory(tensor.numpy(), X)


@pytest.mark.parametrize(
    ("table", "parameters"),
    [(X.astype(float), {}), (np.asfortranarray(X), {}), (X, {"callbacks": [("none", None)]})],
    ids=["float64", "columns in order", "callbacks"],
)
def test_other_tables_are_copied_once(table, parameters):
    assert not np.shares_memory(prepared(table, **parameters).Z, table)


def test_a_fit_takes_less_memory_than_its_table(monkeypatch):
    for module, name in ((features, "CHUNK"), (scores, "_CHUNK")):
        monkeypatch.setattr(module, name, 2**14)
    wide = RNG.normal(size=(1500, 1000)).astype(np.float32)
    y = wide[:, 0].copy()
    model = StepwiseRegressor(**{**QUICK, "n_estimators": 1, "max_epochs": 1, "batch_size": 32, "hidden_units": 2})
    tracemalloc.start()
    model.fit(wide, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The memory that numpy allocates: torch's tensor is the table itself, see above.
    assert peak < 0.5 * wide.nbytes


@pytest.mark.parametrize("kind", ["read-only", "memmap", "memmap of float64"])
def test_tables_that_cannot_be_written_into_are_learnt_and_warn_of_nothing(kind, tmp_path):
    dtype = np.float64 if kind.endswith("float64") else np.float32
    if kind == "read-only":
        table = X.copy()
        table.flags.writeable = False
    else:
        own = np.memmap(tmp_path / "table.bin", dtype, "w+", shape=X.shape)
        own[:] = X
        own.flush()
        table = np.memmap(tmp_path / "table.bin", dtype, "r", shape=X.shape)
    y = Y.copy()
    y.flags.writeable = False
    model = StepwiseRegressor(**QUICK).fit(table, y)
    expected = StepwiseRegressor(**QUICK).fit(X.astype(dtype), Y)
    np.testing.assert_array_equal(model.predict(table), expected.predict(X.astype(dtype)))


def test_a_users_float32_table_is_left_as_it_is():
    table = X.copy()
    StepwiseRegressor(**QUICK, augmentation="gaussian_noise").fit(table, Y).predict(table)
    np.testing.assert_array_equal(table, X)


# -- the same model -------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{}, {"scaler": "robust"}, {"input_clip": None}], ids=str)
def test_float32_and_float64_give_the_same_model(parameters):
    narrow, wide = (StepwiseRegressor(**QUICK, **parameters).fit(table, Y) for table in (X, X.astype(float)))
    np.testing.assert_allclose(narrow.predict(X), wide.predict(X.astype(float)), atol=2e-3)
    np.testing.assert_allclose(narrow.predict(X), narrow.predict(X.astype(float)), atol=1e-4)
    assert narrow.validation_score_ == pytest.approx(wide.validation_score_, abs=1e-3)


def test_the_scaler_in_the_pipeline_is_the_same_whether_it_was_used_in_training_or_not():
    narrow, wide = (StepwiseRegressor(**QUICK).fit(table, Y) for table in (X, X.astype(float)))
    np.testing.assert_allclose(narrow.pipeline_[0].mean_, wide.pipeline_[0].mean_, rtol=1e-6)
    for name in ("input_center", "input_factor"):
        one, other = (getattr(m.pipeline_[-1].module_, name) for m in (narrow, wide))
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("offset", "direct"), [(MAX_OFFSET, True), (2 * MAX_OFFSET, False), (1e6, False)])
def test_columns_far_from_zero_are_scaled_before_float32_would_lose_them(offset, direct):
    far = X.copy()
    far[:, 0] = (np.resize(np.arange(-2, 3), N) + offset).astype(np.float32)
    std = far[:, 0].astype(float).std()
    assert bool(offset <= MAX_OFFSET * std) is direct
    assert np.shares_memory(prepared(far).Z, far) is direct
    narrow, wide = (StepwiseRegressor(**QUICK).fit(table, Y) for table in (far, far.astype(float)))
    np.testing.assert_allclose(narrow.predict(far), wide.predict(far.astype(float)), atol=5e-3)


# -- in parts -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_statistics_of_chunks_are_those_of_the_whole(dtype, monkeypatch):
    table = X.astype(dtype)
    whole = StepwiseRegressor(**QUICK).fit(table, Y)
    monkeypatch.setattr(features, "CHUNK", 30)
    monkeypatch.setattr(scaler, "CHUNK", 30)
    assert len(list(features.chunks(table))) == 30
    parts = StepwiseRegressor(**QUICK).fit(table, Y)
    np.testing.assert_allclose(parts.pipeline_[0].mean_, whole.pipeline_[0].mean_, rtol=1e-6)
    np.testing.assert_allclose(parts.predict(table), whole.predict(table), atol=1e-3)


@pytest.mark.parametrize("kept", [0, 2**23])
@pytest.mark.parametrize("weight", [None, np.linspace(0.1, 2, N)], ids=["equal", "weighted"])
def test_validation_in_parts_is_validation_at_once(kept, weight, monkeypatch):
    whole = StepwiseClassifier(**QUICK).fit(X, LABELS, sample_weight=weight)
    monkeypatch.setattr(validation_rows, "_TOGETHER", 100)
    monkeypatch.setattr(validation_rows, "_KEPT", kept)
    parts = StepwiseClassifier(**QUICK).fit(X, LABELS, sample_weight=weight)
    losses = [[row["valid_loss"] for row in model.history_] for model in (whole, parts)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    np.testing.assert_allclose(parts.predict_proba(X), whole.predict_proba(X), atol=1e-5)


def test_predictions_in_parts_are_predictions_at_once(monkeypatch):
    models = [StepwiseClassifier(**QUICK).fit(X, LABELS), StepwiseClassifier(**QUICK, calibrate=True).fit(X, LABELS)]
    regressor = StepwiseRegressor(**QUICK).fit(X, Y)
    whole = [model.predict_proba(X) for model in models]
    values = regressor.predict(X, return_std=True)
    monkeypatch.setattr(net, "_PREDICT_CHUNK", 500)
    for model, expected in zip(models, whole, strict=True):
        np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-6)
    np.testing.assert_allclose(regressor.predict(X, return_std=True), values, rtol=1e-6, atol=1e-9)
    assert len(list(regressor.pipeline_[-1].forward_iter(X))) > 5


# -- many rows ------------------------------------------------------------------------------


def record(model):
    return next((step for step in model.steps_ if step.title == "size of the training"), None)


def test_few_rows_have_no_record_of_their_size():
    assert record(StepwiseRegressor(**{**QUICK, "n_estimators": "auto"}).fit(X, Y)) is None


@pytest.mark.parametrize(("many", "n_networks"), [((N - 1, N + 1), 4), ((10, N - 1), 2)])
def test_many_rows_have_fewer_networks_and_epochs_and_the_record_says_so(many, n_networks, monkeypatch):
    monkeypatch.setattr(budget, "MANY_ROWS", many)
    monkeypatch.setattr(budget, "MAX_ROW_PASSES", 7 * N)
    common = {**QUICK, "n_estimators": "auto", "max_epochs": "auto"}
    model = StepwiseRegressor(**common).fit(X, Y)
    assert (model.plan_.n_networks, model.plan_.max_epochs) == (n_networks, 7)
    assert record(model).decision == f"{n_networks} networks instead of 8 and at most 7 epochs instead of 45"
    assert "300 rows are many" in record(model).because
    chosen = StepwiseRegressor(**{**common, "n_estimators": 8, "max_epochs": 2}).fit(X, Y)
    assert record(chosen) is None


def test_fewer_networks_hold_out_no_more_rows_and_the_same_ones_in_a_warm_start(monkeypatch):
    monkeypatch.setattr(budget, "MANY_ROWS", (N - 1, N + 1))
    model = StepwiseRegressor(**{**QUICK, "n_estimators": "auto", "warm_start": True})
    held_out = []
    for _ in range(2):
        model.fit(X, Y)
        held_out.append(np.isfinite(model.oof_prediction_))
    assert held_out[0].mean() == pytest.approx(4 / 8, abs=0.02)
    np.testing.assert_array_equal(*held_out)
