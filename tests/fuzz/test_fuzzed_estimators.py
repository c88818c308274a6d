"""Cases drawn at random: a clear refusal without a trace, or a model that keeps its promises (see oracle.py)."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from oracle import Broken, run
from strategies import ACTIONS, VALUES, Case, cases

from sk_dlsteps import StepwiseRegressor
from sk_dlsteps.inputs.parameters import TABLE

# What they run is counted by the tests of its own.
pytestmark = pytest.mark.no_cover

KINDS = sorted(set(ACTIONS))


@pytest.mark.parametrize("action", KINDS)
def test_a_case_is_refused_clearly_or_keeps_its_promises(action):
    @settings(
        max_examples=30 if action == "fit" else 8,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases(actions=(action,)))
    def holds(case):
        assert run(case)

    holds()


@pytest.mark.parametrize("action", KINDS)
def test_an_ordinary_case_is_fitted(action):
    assert run(Case("classification", action, target="two classes")) == "fitted"


def test_every_parameter_with_values_of_its_own_is_one_of_the_table():
    assert set(VALUES) <= set(TABLE)


def spoilt(monkeypatch, name, act):
    """An ordinary case, with a method of the estimator's exchanged."""
    monkeypatch.setattr(StepwiseRegressor, name, act(getattr(StepwiseRegressor, name)))
    return Case("regression", "fit")


@pytest.mark.parametrize(
    ("name", "act", "message"),
    [
        ("fit", lambda fit: lambda self, X, y: fit(self, X, y).missing, "AttributeError from the depth"),
        (
            "fit",
            lambda fit: lambda self, X, y: fit(self, X, np.asarray(["a"], dtype=float)),
            "ValueError from the depth",
        ),
        ("fit", lambda fit: lambda self, X, y: np.random.seed(0) or fit(self, X, y), "numpy's generator stays"),
        ("fit", lambda fit: lambda self, X, y: fit(self, X.__imul__(2), y), "arguments are left alone"),
        ("fit", lambda fit: lambda self, X, y: setattr(self, "dropout", 0.1) or fit(self, X, y), "parameters are left"),
        ("predict", lambda predict: lambda self, X: predict(self, X) * np.nan, "predict is finite"),
        ("predict", lambda predict: lambda self, X: predict(self, X)[:-1], "predict has a row for each"),
        ("predict", lambda predict: lambda self, X: predict(self, X) + len(X), "a row alone is that among others"),
    ],
)
def test_a_promise_that_is_not_kept_is_found(monkeypatch, name, act, message):
    with pytest.raises(AssertionError, match=message):
        run(spoilt(monkeypatch, name, act))


def test_a_refusal_that_leaves_something_behind_is_found(monkeypatch):
    def leaves_something(fit):
        return lambda self, X, y: setattr(self, "pipeline_", None) or fit(self, X[:0], y)

    with pytest.raises(Broken, match="leaves no attributes"):
        run(spoilt(monkeypatch, "fit", leaves_something))
