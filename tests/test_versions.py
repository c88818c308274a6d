"""A model that other versions have written says so when it is read."""

import copy
import pickle
import warnings
from importlib.metadata import PackageNotFoundError

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import InconsistentVersionWarning

from sk_dlsteps import StepwiseRegressor, StepwiseWarning, versions

X, Y = (part[:100] for part in load_diabetes(return_X_y=True))
OTHER = {"sk_dlsteps": "0.0.1", "scikit-learn": "1.5.0", "skorch": "1.0.0", "torch": "2.5.0", "numpy": "1.26.0"}


@pytest.fixture(scope="module")
def model():
    """A fitted model."""
    return StepwiseRegressor(max_epochs=2, n_estimators=1, learning_rate=0.01, random_state=0).fit(X, Y)


@pytest.fixture
def written_elsewhere(model, monkeypatch):
    """What `write(model)` gives where other versions are installed."""

    def of(write, changed):
        there = tuple({**versions.versions(), **changed}.items())
        with monkeypatch.context() as patch:
            patch.setattr(versions, "_found", lambda: there)
            return write(model)

    return of


@pytest.mark.parametrize("package", ["sk_dlsteps", "skorch", "torch", "numpy"])
def test_a_pickle_of_another_version_warns_of_both(package, model, written_elsewhere):
    content = written_elsewhere(pickle.dumps, {package: OTHER[package]})
    here = versions.versions()[package]
    with pytest.warns(StepwiseWarning, match=rf"pickled with {package} {OTHER[package]} \(here {here}\)\. .* install"):
        again = pickle.loads(content)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert vars(again).keys() == vars(model).keys()


def test_all_that_differs_is_in_one_warning(written_elsewhere, tmp_path):
    written_elsewhere(lambda model: model.save(tmp_path / "model"), OTHER)
    with pytest.warns(StepwiseWarning) as caught:
        StepwiseRegressor.load(tmp_path / "model")
    (warning,) = caught
    assert all(f"{package} {version} (here" in str(warning.message) for package, version in OTHER.items())
    assert warning.filename == __file__


def test_joblib_warns_too(written_elsewhere, tmp_path):
    written_elsewhere(lambda model: joblib.dump(model, tmp_path / "model"), {"torch": "2.5.0"})
    with pytest.warns(StepwiseWarning, match="pickled with torch 2.5.0"):
        joblib.load(tmp_path / "model")


def test_of_its_own_version_scikit_learn_warns_and_nobody_else(model, written_elsewhere, monkeypatch):
    monkeypatch.setattr(sklearn.base, "__version__", "1.5.0")
    content = written_elsewhere(pickle.dumps, {"scikit-learn": "1.5.0"})
    monkeypatch.undo()
    with pytest.warns() as caught:
        pickle.loads(content)
    assert {warning.category for warning in caught} == {InconsistentVersionWarning}


def test_the_same_versions_are_silent(model, tmp_path):
    model.save(tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for again in (
            pickle.loads(pickle.dumps(model)),
            copy.deepcopy(model),
            clone(model).fit(X, Y),
            StepwiseRegressor.load(tmp_path / "model"),
        ):
            np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_how_a_package_was_built_makes_no_version_and_one_on_the_path_has_none(monkeypatch):
    def version(name):
        if name != "torch":
            raise PackageNotFoundError(name)
        return "2.13.0+cu130"

    monkeypatch.setattr(versions, "version", version)
    assert versions._found.__wrapped__() == (("torch", "2.13.0"),)


def test_a_version_that_is_none_is_shown_in_short_and_cannot_write_to_a_terminal():
    with pytest.warns(StepwiseWarning) as caught:
        versions.check_versions({"numpy": "9\n\x1b[31m" + "x" * 10_000}, "saved")
    text = str(caught[0].message)
    assert r"numpy '9\n\x1b[31m" in text
    assert text.isprintable()
    assert len(text) < 400
