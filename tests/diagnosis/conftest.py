"""Small models that are fitted in a moment."""

import numpy as np
import pytest

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor


@pytest.fixture(scope="session")
def small():
    """An unfitted estimator for a task, quick to fit; settings change it."""

    def make(task="regression", **settings):
        kind = StepwiseRegressor if task == "regression" else StepwiseClassifier
        quick = {"n_estimators": 3, "max_epochs": 30, "learning_rate": 0.02, "hidden_units": 16, "random_state": 0}
        return kind(**{**quick, **settings})

    return make


@pytest.fixture(scope="session")
def rule():
    """200 rows whose target is a noisy sum of four columns."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    return X, X @ [1.0, -1.0, 1.0, 1.0] + 0.3 * rng.normal(size=200)


@pytest.fixture(scope="session")
def sides():
    """300 rows in two classes, told apart by the sum of three columns."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 3))
    return X, np.where(X.sum(1) + 0.3 * rng.normal(size=300) > 0, "high", "low")
