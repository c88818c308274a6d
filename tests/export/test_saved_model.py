"""Models that were saved and loaded again are what they were."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    Normalizer,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
)
from skorch.callbacks import EpochScoring
from torch import nn

from sk_dlsteps import DriftDetector, StepwiseClassifier, StepwiseRegressor, diagnose
from sk_dlsteps.export.checks import FITTED
from sk_dlsteps.sameness import same_setting

X, Y = (part[:150] for part in load_diabetes(return_X_y=True))
IRIS, SPECIES = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
FAST = {"max_epochs": 2, "n_estimators": 2, "learning_rate": 0.01, "random_state": 0}


class Net(nn.Module):
    """A network of the user's own."""

    def __init__(self, n_inputs, n_outputs, width=3):
        super().__init__()
        self.hidden, self.norm, self.last = (
            nn.Linear(n_inputs, width),
            nn.BatchNorm1d(width),
            nn.Linear(width, n_outputs),
        )

    def forward(self, x):
        return self.last(self.norm(self.hidden(x)))


def said(model, rows):
    """All that a model says of rows, as arrays."""
    names = ["predict", "predict_proba", "transform"]
    out = {name: np.asarray(getattr(model, name)(rows)) for name in names if hasattr(model, name)}
    if isinstance(model, StepwiseRegressor):
        out["std"] = model.predict(rows, return_std=True)[1]
    if model.loss == "quantile":
        out["quantiles"] = model.predict(rows, quantiles=[0.1, 0.5])
    return out


def assert_same(first, second):
    """Two dicts of arrays are equal, bit for bit."""
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name, strict=True)


@pytest.fixture
def again(fitted, tmp_path):
    """A model that was saved and loaded, by its name."""

    def of(name, **options):
        model = fitted(name)[0]
        model.save(tmp_path / "model.safetensors")
        return type(model).load(tmp_path / "model.safetensors", **options)

    return of


def test_a_loaded_model_says_bit_for_bit_the_same(kind, fitted, again):
    model, rows = fitted(kind)
    assert_same(said(again(kind), rows), said(model, rows))


def test_a_loaded_model_has_the_same_attributes_and_tells_the_same(kind, fitted, again):
    model, _ = fitted(kind)
    loaded = again(kind)
    assert list(vars(loaded)) == list(vars(model))
    for attribute in ("plan_", "steps_", "history_", "reference_", "loss_curves_", "lr_curve_", "n_iter_"):
        assert repr(getattr(loaded, attribute)) == repr(getattr(model, attribute)), attribute
    assert loaded.report().to_text() == model.report().to_text()
    cloned, parameters = clone(loaded).get_params(), model.get_params()
    assert all(same_setting(cloned[name], value) for name, value in parameters.items() if name != "init_from")


@pytest.mark.parametrize("name", ["warm start", "techniques", "lstm", "mixed frame", "classes", "fine-tuned"])
def test_a_loaded_model_goes_on_as_an_unpickled_one(name, fitted, again):
    model, rows = fitted(name)
    y = Y if isinstance(model, StepwiseRegressor) else NAMES
    results = [
        said(other.set_params(warm_start=True).fit(rows, y), rows)
        for other in (again(name), pickle.loads(pickle.dumps(model)))
    ]
    assert_same(*results)
    assert not np.array_equal(results[0]["predict"], said(model, rows)["predict"]) or name in ("classes", "fine-tuned")


@pytest.mark.parametrize("name", ["stream", "vectors", "sparse"])
def test_a_loaded_model_learns_further_chunks_as_an_unpickled_one(name, fitted, again):
    model, rows = fitted(name)
    y = Y if isinstance(model, StepwiseRegressor) else np.resize(NAMES, rows.shape[0])
    assert_same(*(said(other.partial_fit(rows, y), rows) for other in (again(name), pickle.loads(pickle.dumps(model)))))


def test_a_loaded_model_is_watched_and_diagnosed_as_the_original(fitted, again):
    model, rows = fitted("classes")
    loaded = again("classes")
    checks = [DriftDetector.from_estimator(own).check(rows[::2]) for own in (loaded, model)]
    assert repr(checks[0]) == repr(checks[1])
    assert repr(diagnose(loaded, IRIS, NAMES)) == repr(diagnose(model, IRIS, NAMES))


@pytest.mark.parametrize(
    "scaler",
    [
        None,
        MaxAbsScaler(),
        Normalizer(),
        PowerTransformer(),
        QuantileTransformer(n_quantiles=20),
        PCA(3),
        TruncatedSVD(3),
        make_pipeline(SimpleImputer(), RobustScaler()),
    ],
    ids=lambda scaler: type(scaler).__name__,
)
def test_transformers_of_scikit_learn_are_kept(scaler, tmp_path):
    model = StepwiseRegressor(scaler=scaler, **FAST).fit(X, Y)
    model.save(tmp_path / "model")
    loaded = StepwiseRegressor.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert repr(loaded.scaler) == repr(scaler)


@pytest.mark.parametrize(
    ("parameters", "rows"),
    [
        ({"scaler": PowerTransformer("box-cox")}, X + 1),
        ({"scaler": Normalizer(), "module": "lstm", "input_shape": (5, 2), "module__hidden_size": 2}, X),
    ],
    ids=["takes no zeros", "takes no gaps"],
)
def test_a_scaler_that_does_not_take_every_row_is_no_reason_to_refuse_a_model(parameters, rows, tmp_path):
    model = StepwiseRegressor(**FAST, **parameters).fit(rows, Y)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(StepwiseRegressor.load(tmp_path / "model").predict(rows), model.predict(rows))


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="`dropout` must be"):
        StepwiseRegressor(dropout=7).save(tmp_path / "model")
    with pytest.raises(ValueError, match="'method' parameter of PowerTransformer"):
        StepwiseRegressor(scaler=PowerTransformer("none")).save(tmp_path / "model")
    model = StepwiseRegressor()
    for name in ("note", "note_", "_note"):
        setattr(model, name, 1)
        with pytest.raises(ValueError, match=f"`{name}` is an attribute of your own"):
            model.save(tmp_path / "model")
        delattr(model, name)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_checkpoints_is_not_kept(tmp_path):
    model = StepwiseRegressor(checkpoint=tmp_path / "folder", **FAST).fit(X, Y)
    model.save(tmp_path / "model")
    again = StepwiseRegressor.load(tmp_path / "model")
    assert again.checkpoint is None
    assert model.checkpoint == tmp_path / "folder"
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_a_state_dict_is_kept_and_a_module_that_a_fit_began_from_is_not_in_the_way(tmp_path):
    for source in (Net(10, 1), Net(10, 1).state_dict()):
        model = StepwiseRegressor(module=Net, init_from=source, **FAST).fit(X, Y)
        if isinstance(source, nn.Module):
            model.set_params(init_from=None)
        model.save(tmp_path / "model")
        again = StepwiseRegressor.load(tmp_path / "model", module=Net)
        assert same_setting(again.init_from, model.init_from)
        np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_an_imputer_that_tells_what_was_missing_is_kept(tmp_path):
    rows = np.where(X > 0.05, np.nan, X)
    model = StepwiseRegressor(scaler=SimpleImputer(add_indicator=True), **FAST).fit(rows, Y)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(StepwiseRegressor.load(tmp_path / "model").predict(rows), model.predict(rows))


def test_columns_that_a_file_cannot_hold_are_named(tmp_path):
    days = pd.Categorical(pd.to_datetime(["2020-01-01", "2020-01-02"]).repeat(75))
    model = StepwiseRegressor(**FAST).fit(pd.DataFrame({"age": X[:, 0], "day": days}), Y)
    with pytest.raises(ValueError, match=r"the category 'day', whose levels .* holds .* type Timestamp.* joblib\.dump"):
        model.save(tmp_path / "model")
    names = pd.Index(["age", "b\ud800"], dtype=object)
    model = StepwiseRegressor(**FAST).fit(pd.DataFrame(X[:, :2], columns=names), Y)
    with pytest.raises(ValueError, match=r"the column .* holds a half of a character"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_pickles_is_not_kept(tmp_path):
    model = StepwiseRegressor(scaler=make_pipeline(RobustScaler(), memory="pickles"))
    model.save(tmp_path / "model")
    assert StepwiseRegressor.load(tmp_path / "model").scaler.memory is None


def test_what_every_fit_leaves_is_what_is_looked_for(fitted):
    left = {name for name in vars(fitted("defaults")[0]) if name.endswith("_") or name.startswith("_")}
    assert left == set(FITTED)


def test_an_estimator_that_was_not_fitted_is_saved_with_its_parameters(tmp_path):
    model = StepwiseClassifier(hidden_units=(8, 4), class_weight={1: 2.0, 0: 3}, optimizer=torch.optim.RMSprop)
    model.save(tmp_path / "model")
    assert repr(StepwiseClassifier.load(tmp_path / "model")) == repr(model)
    assert StepwiseClassifier.load(tmp_path / "model").optimizer is torch.optim.RMSprop


@pytest.mark.parametrize(
    "labels",
    [NAMES.astype(object), SPECIES * 1.0, SPECIES.astype(np.uint8)],
    ids=["objects", "floats", "small integers"],
)
def test_labels_come_back_as_they_were(labels, tmp_path):
    model = StepwiseClassifier(**FAST).fit(IRIS, labels)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(StepwiseClassifier.load(tmp_path / "model").classes_, model.classes_, strict=True)


@pytest.mark.parametrize("module", [Net, Net(10, 1)], ids=["class", "instance"])
def test_a_module_of_the_users_own_is_given_to_load(module, tmp_path):
    model = StepwiseRegressor(module=module, **FAST).fit(X, Y)
    model.save(tmp_path / "model")
    loaded = StepwiseRegressor.load(tmp_path / "model", module=module)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(ValueError, match=r"saved with a `module` of your own; give it: load\(path, module=...\)"):
        StepwiseRegressor.load(tmp_path / "model")
    with pytest.raises(ValueError, match="loading state_dict"):
        StepwiseRegressor.load(tmp_path / "model", module=nn.Linear)


def test_a_module_that_is_not_needed_is_refused(fitted, again):
    with pytest.raises(ValueError, match="saved without a `module` of your own; leave it out"):
        again("classes", module=Net)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("augmentation", lambda X, y, generator: (X, y)),
        ("callbacks", [EpochScoring("r2")]),
        ("loss", nn.L1Loss()),
        ("lr_schedule", lambda progress: 1.0),
        ("optimizer", type("Own", (torch.optim.SGD,), {})),
        ("scaler", FunctionTransformer(np.cbrt)),
    ],
)
def test_code_of_the_users_own_is_refused_by_the_name_of_its_parameter(parameter, value, tmp_path):
    with pytest.raises(ValueError, match=rf"^`{parameter}` holds .* save the model by joblib.dump\(model, path\)$"):
        StepwiseRegressor(**{parameter: value}).save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_class_of_the_users_own_is_refused(tmp_path):
    class Own(StepwiseRegressor):
        pass

    with pytest.raises(ValueError, match="`Own` holds an object of type Own"):
        Own().save(tmp_path / "model")


def test_the_other_class_is_named(fitted, tmp_path):
    fitted("classes")[0].save(tmp_path / "model")
    with pytest.raises(
        ValueError, match=r"it is a StepwiseClassifier, and no StepwiseRegressor; use StepwiseClassifier\.load"
    ):
        StepwiseRegressor.load(tmp_path / "model")


def test_global_random_states_and_threads_stay(fitted, again):
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads(), torch.get_default_dtype()
    again("lstm")
    after = torch.get_rng_state(), np.random.get_state()[1], torch.get_num_threads(), torch.get_default_dtype()
    assert all(map(np.array_equal, before[:2], after[:2]))
    assert before[2:] == after[2:]


def test_a_file_saved_twice_is_the_same(fitted, again, tmp_path):
    fitted("mixed frame")[0].save(tmp_path / "first")
    again("mixed frame").save(tmp_path / "second")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
