"""Tensors and arrays of other libraries come in as the same numbers of numpy's do."""

import numpy as np
import pytest
import torch
from sklearn import config_context

from sk_dlsteps import (
    DriftDetector,
    StepwiseClassifier,
    StepwiseRegressor,
    StepwiseSearchCV,
    StepwiseWarning,
    diagnose,
    learning_curve,
    verify_test_set,
)
from sk_dlsteps.inputs.arrays import as_numpy

SHORT = {"max_epochs": 3, "n_estimators": 2, "learning_rate": 0.02, "random_state": 0}
SETTINGS = {"param_distributions": {"dropout": [0.0, 0.5]}, "strategy": "random", "n_iter": 2, "cv": 2}


def tensor(values):
    """A tensor; a table is one that a graph hangs on."""
    values = torch.from_numpy(np.array(values))
    return values.requires_grad_() if values.ndim == 2 else values


def strict(values):
    """An array that knows nothing but the standard."""
    return pytest.importorskip("array_api_strict").asarray(values)


def gate(values):
    """An array that numpy can read, and that knows no standard."""
    return type("Gate", (), {"__array__": lambda self, dtype=None, copy=None: np.asarray(values, dtype)})()


class OnAnotherDevice:
    """An array of the standard's that numpy cannot read, as CuPy's."""

    shape = (4, 2)

    def __array_namespace__(self, api_version=None):
        return np

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")


@pytest.fixture(params=["tensor", "tensor, dispatched", "strict", "strict, dispatched"])
def other(request, monkeypatch):
    """What makes an array of another library of numpy's, with and without scikit-learn's dispatch."""
    kind, *dispatched = request.param.split(", ")
    if dispatched:
        monkeypatch.setenv("SCIPY_ARRAY_API", "1")
        try:
            with config_context(array_api_dispatch=True):
                pass
        except (ImportError, RuntimeError) as error:
            pytest.skip(str(error))
    with config_context(array_api_dispatch=bool(dispatched)):
        yield {"tensor": tensor, "strict": strict}[kind]


def test_a_regressor_learns_the_same(other, diabetes):
    X, X_val, y, y_val = diabetes
    weight = np.linspace(0.5, 2, len(y))
    rows = {"X_val": X_val, "y_val": y_val, "sample_weight_val": np.linspace(2, 0.5, len(y_val))}
    model, plain = (
        StepwiseRegressor(**SHORT).fit(
            kind(X), kind(y), kind(weight), **{name: kind(own) for name, own in rows.items()}
        )
        for kind in (other, np.asarray)
    )
    prediction = model.predict(other(X_val))
    assert type(prediction) is np.ndarray
    np.testing.assert_array_equal(prediction, plain.predict(X_val))
    assert model.validation_score_ == plain.validation_score_
    assert model.score(other(X_val), other(y_val)) == plain.score(X_val, y_val)


def test_a_classifier_learns_the_same(other, iris):
    X, X_test, y, y_test = iris
    model, plain = (StepwiseClassifier(**SHORT).fit(kind(X), kind(y)) for kind in (other, np.asarray))
    np.testing.assert_array_equal(model.predict_proba(other(X_test)), plain.predict_proba(X_test))
    np.testing.assert_array_equal(model.predict(other(X_test)), plain.predict(X_test))
    assert model.score(other(X_test), other(y_test)) == plain.score(X_test, y_test)


def test_a_stream_learns_the_same(other, iris):
    X, X_test, y, _ = iris
    model, plain = (
        StepwiseClassifier(random_state=0).partial_fit(kind(X), kind(y), classes=kind(np.arange(3)))
        for kind in (other, np.asarray)
    )
    np.testing.assert_array_equal(model.predict_proba(other(X_test)), plain.predict_proba(X_test))


def test_what_stands_around_a_model_takes_tensors(diabetes):
    X, X_test, y, y_test = diabetes
    model = StepwiseRegressor(**SHORT).fit(X, y)
    ours, plain = (
        StepwiseSearchCV(StepwiseRegressor(**SHORT), random_state=0, **SETTINGS).fit(kind(X), kind(y))
        for kind in (tensor, np.asarray)
    )
    assert ours.best_score_ == plain.best_score_
    few = slice(57)
    first = verify_test_set(model, tensor(X_test[few]), tensor(y_test[few]))
    with pytest.warns(StepwiseWarning, match="looked at for the 2nd time"):
        assert verify_test_set(model, X_test[few], y_test[few]).test_score == first.test_score
    codes = [diagnose(model, kind(X), kind(y), cv=2, random_state=0).codes for kind in (tensor, np.asarray)]
    assert codes[0] == codes[1]
    short = StepwiseRegressor(**SHORT)
    curves = [learning_curve(short, kind(X), kind(y), cv=2, random_state=0) for kind in (tensor, np.asarray)]
    np.testing.assert_array_equal(curves[0].test_scores, curves[1].test_scores)
    detectors = [DriftDetector(random_state=0).fit(kind(X), kind(y)) for kind in (tensor, np.asarray)]
    reports = [detector.check(kind(X_test)) for detector, kind in zip(detectors, (tensor, np.asarray), strict=True)]
    assert str(reports[0]) == str(reports[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int32, torch.uint8, torch.bool])
def test_numbers_of_any_type_are_taken(dtype):
    values = torch.arange(4).reshape(2, 2).to(dtype)
    np.testing.assert_array_equal(as_numpy(values, "X").astype(float), values.double().numpy())


def test_a_float32_tensor_is_not_copied():
    values = torch.zeros(3)
    as_numpy(values, "X")[0] = 1
    assert values[0] == 1


def test_what_only_knows_how_to_become_an_array_is_taken(diabetes):
    X, _, y, _ = diabetes
    model = StepwiseRegressor(**SHORT).fit(gate(X), gate(y))
    np.testing.assert_array_equal(model.predict(gate(X)), StepwiseRegressor(**SHORT).fit(X, y).predict(X))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.ones(4, 2, device="meta"), "`X` is a tensor on the device 'meta', which holds no values"),
        (torch.eye(4, 2).to_sparse(), r"`X` is a sparse tensor; give a scipy.sparse array, or `X.to_dense\(\)`"),
        (OnAnotherDevice(), r"`X` is an array that numpy cannot read \(Implicit .*\); give it as a numpy array"),
    ],
    ids=["meta", "sparse", "another device"],
)
def test_what_cannot_be_read_is_an_error_with_a_way_out(values, message):
    with pytest.raises(ValueError, match=message):
        StepwiseRegressor().fit(values, np.arange(4.0))


def test_a_target_and_weights_may_hang_on_a_graph(diabetes):
    X, _, y, _ = diabetes
    target, weight = (torch.from_numpy(own).requires_grad_() for own in (y, np.linspace(0.5, 2, len(y))))
    model = StepwiseRegressor(**SHORT).fit(X, target, weight)
    plain = StepwiseRegressor(**SHORT).fit(X, y, weight.detach().numpy())
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))


def test_the_error_names_what_was_given(diabetes):
    X, _, y, _ = diabetes
    nowhere = torch.ones(len(y), device="meta")
    with pytest.raises(ValueError, match="`y` is a tensor on the device 'meta'"):
        StepwiseRegressor().fit(X, nowhere)
    with pytest.raises(ValueError, match="`sample_weight` is a tensor on the device 'meta'"):
        StepwiseRegressor().fit(X, y, sample_weight=nowhere)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_tensor_on_a_gpu_is_an_error():
    with pytest.raises(ValueError, match=r"device 'cuda:0'.*give `X.cpu\(\)`"):
        as_numpy(torch.ones(2, device="cuda"), "X")
