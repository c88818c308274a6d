"""ONNX files give what the estimator gives, on scikit-learn's data sets, in onnxruntime."""

import errno
import json
import os
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor
from sk_dlsteps.export import onnx_file

QUICK = {"n_estimators": 2, "max_epochs": 5, "learning_rate": 0.02, "random_state": 0}


class Branching(nn.Module):
    """A network that cannot be exported."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.head = nn.Linear(n_inputs, n_outputs)

    def forward(self, x):
        return self.head(x) if x.sum() > 0 else -self.head(x)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:200], y[:200]


def run(path, X):
    """Outputs of a file by name, for rows in float32."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(given.name, given.shape[0]) for given in session.get_inputs()] == [("X", "rows")]
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": X.astype(np.float32)}), strict=True))


def assert_regressor_equal(path, model, X, **quantiles):
    """For many rows and for one, to 1e-5 of the predictions' standard deviation."""
    expected = model.predict(X, **quantiles)
    for rows in (slice(None), slice(1)):
        (name, out), *others = run(path, X[rows]).items()
        assert (name, others) == ("prediction", [])
        assert out.shape == expected[rows].shape
        np.testing.assert_allclose(out, expected[rows], rtol=0, atol=1e-5 * expected.std(0).max())


def assert_classifier_equal(path, model, X):
    """Labels as they are, and probabilities to 1e-5."""
    out = run(path, X)
    assert list(out) == ["label", "probabilities"]
    np.testing.assert_array_equal(out["label"], model.predict(X))
    np.testing.assert_allclose(out["probabilities"], model.predict_proba(X), rtol=0, atol=1e-5)


def test_a_regressor_with_gaps_a_category_and_batch_norm(diabetes, tmp_path):
    X_train, X_test, y_train, _ = diabetes
    X_train, X_test = X_train.copy(), X_test.copy()
    X_train[::5, 2] = X_test[::4, 2] = X_test[0, 5] = np.nan
    model = StepwiseRegressor(categorical_features=[1], batch_norm=True, n_hidden_layers=2, **QUICK)
    model.fit(X_train, y_train)
    model.to_onnx(tmp_path / "model.onnx")
    assert_regressor_equal(tmp_path / "model.onnx", model, X_test)


@pytest.mark.no_cover
def test_quantiles_of_two_targets(diabetes, tmp_path):
    X_train, X_test, y_train, _ = diabetes
    y = np.stack([y_train, 1 / y_train], 1) / [1, 1e-4]
    model = StepwiseRegressor(loss="quantile", **QUICK).fit(X_train, y)
    model.to_onnx(tmp_path / "model.onnx", quantiles=[0.05, 0.5, 0.9])
    assert_regressor_equal(tmp_path / "model.onnx", model, X_test, quantiles=[0.05, 0.5, 0.9])


@pytest.mark.no_cover
def test_two_classes_of_text_calibrated(cancer, tmp_path):
    X_train, X_test, y_train, _ = cancer
    model = StepwiseClassifier(calibrate=True, **QUICK).fit(X_train, np.array(["malignant", "benign"])[y_train])
    model.to_onnx(str(tmp_path / "model.onnx"))
    assert_classifier_equal(tmp_path / "model.onnx", model, X_test)


@pytest.mark.no_cover
def test_several_labels_and_names_of_columns(iris, tmp_path):
    X_train, X_test, y_train, _ = iris
    y = np.stack([y_train > 0, y_train == 1, X_train[:, 1] > 3], 1).astype(int)
    names = ["sépale", "width", "petal length", "petal width"]
    model = StepwiseClassifier(**QUICK).fit(pd.DataFrame(X_train, columns=names), y)
    model.to_onnx(tmp_path / "model.onnx")
    out, frame = run(tmp_path / "model.onnx", X_test), pd.DataFrame(X_test, columns=names)
    np.testing.assert_array_equal(out["label"], model.predict(frame))
    np.testing.assert_allclose(out["probabilities"], model.predict_proba(frame), rtol=0, atol=1e-5)
    (entry,) = onnx.load(tmp_path / "model.onnx").metadata_props
    assert (entry.key, json.loads(entry.value)) == ("feature_names_in", names)


@pytest.mark.no_cover
def test_three_classes_of_numbers_by_metric_learning(iris, tmp_path):
    X_train, X_test, y_train, _ = iris
    model = StepwiseClassifier(loss="triplet", **QUICK).fit(X_train, 7 * y_train - 3)
    model.to_onnx(tmp_path / "model.onnx")
    assert_classifier_equal(tmp_path / "model.onnx", model, X_test)


@pytest.mark.no_cover
def test_padded_sequences(digits, tmp_path):
    X = digits[0].reshape(-1, 4, 16).copy()
    X[::3, 2:] = X[1::3, :1] = np.nan
    model = StepwiseClassifier(module="lstm", module__bidirectional=True, **{**QUICK, "n_estimators": 1})
    model.fit(X[:150], digits[1][:150]).to_onnx(tmp_path / "model.onnx")
    assert_classifier_equal(tmp_path / "model.onnx", model, X[150:])
    assert_classifier_equal(tmp_path / "model.onnx", model, np.nan_to_num(X[150:151]))


@pytest.mark.no_cover
def test_images(digits, tmp_path):
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
    X = digits[0].reshape(-1, 1, 8, 8)
    model = StepwiseClassifier(module=module, **QUICK).fit(X[:150], digits[1][:150])
    model.to_onnx(tmp_path / "model.onnx")
    assert_classifier_equal(tmp_path / "model.onnx", model, X[150:])


@pytest.mark.no_cover
def test_nothing_is_left_but_the_file(iris, tmp_path, monkeypatch, capfd):
    X_train, _, y_train, _ = iris
    model = StepwiseClassifier(hidden_units=3, **QUICK).fit(X_train, y_train)
    path, elsewhere = tmp_path / "model.onnx", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "model.onnx").symlink_to(path)
    path.write_bytes(b"an older one")
    monkeypatch.chdir(elsewhere)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    before = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), [*warnings.filters]
    model.to_onnx("model.onnx")
    assert before == (
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        [*warnings.filters],
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()
    assert {*tmp_path.rglob("*")} == {path, elsewhere, elsewhere / "model.onnx"}
    onnx.checker.check_model(path)
    # What torch notes of where the sources lie is of no use to anybody else.
    assert b"sk_dlsteps" not in path.read_bytes()
    assert capfd.readouterr() == ("", "")


def test_a_failure_leaves_the_older_file(iris, tmp_path):
    X_train, _, y_train, _ = iris
    model = StepwiseClassifier(module=Branching, **QUICK).fit(X_train, y_train)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"an older one")
    with pytest.raises(ValueError, match="could not convert the networks"):
        model.to_onnx(path)
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_bytes() == b"an older one"


def test_a_full_disk_leaves_the_older_file(iris, tmp_path, monkeypatch):
    X_train, _, y_train, _ = iris
    model = StepwiseRegressor(**QUICK).fit(X_train, y_train)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"an older one")

    def fail(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(onnx_file, "_converted", lambda module, rows: onnx.ModelProto())
    with pytest.raises(OSError, match="No space left"):
        model.to_onnx(path)
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_bytes() == b"an older one"


def test_a_folder_that_is_not_there_is_an_error(iris, tmp_path):
    X_train, _, y_train, _ = iris
    model = StepwiseClassifier(**QUICK).fit(X_train, y_train)
    with pytest.raises(FileNotFoundError, match=r"`path=.*there is no folder .*nowhere'; make it first"):
        model.to_onnx(tmp_path / "nowhere" / "model.onnx")


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
def test_without_the_packages_the_error_names_the_extra(missing, iris, tmp_path, monkeypatch):
    X_train, _, y_train, _ = iris
    model = StepwiseClassifier(**QUICK).fit(X_train, y_train)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r'pip install "sk_dlsteps\[export\]"'):
        model.to_onnx(tmp_path / "model.onnx")


def test_levels_that_are_one_number_in_float32_are_refused(tmp_path):
    frame = pd.DataFrame({"age": np.arange(60.0), "code": pd.Categorical(123_456_780 + np.arange(60) % 3)})
    model = StepwiseRegressor(**QUICK).fit(frame, np.arange(60.0))
    with pytest.raises(ValueError, match=r"levels of the category 'code' are the same number"):
        model.to_onnx(tmp_path / "model.onnx")
    frame["code"] = pd.Categorical(np.arange(60) % 3 * 0.1)
    model.fit(frame, np.arange(60.0)).to_onnx(tmp_path / "model.onnx")
    out = run(tmp_path / "model.onnx", frame.astype(float).to_numpy())
    np.testing.assert_allclose(out["prediction"], model.predict(frame), rtol=1e-5)


@pytest.mark.parametrize("unit", [1e100, 1e-200])
def test_values_that_float32_cannot_hold_are_refused(unit, tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 2))
    model = StepwiseRegressor(**QUICK).fit(X, X[:, 0] * unit)
    with pytest.raises(ValueError, match="float32, which cannot hold those of such a `y`"):
        model.to_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
