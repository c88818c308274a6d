import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sk_dlsteps import StepwiseRegressor
from sk_dlsteps.fitted import Fitted

X, y = load_diabetes(return_X_y=True)
X, y = X[:60], y[:60]


@pytest.fixture(scope="module")
def model():
    return StepwiseRegressor(max_epochs=2, n_estimators=2, learning_rate=0.01, random_state=0).fit(X, y)


def test_a_model_of_ours_is_itself(model):
    fitted = Fitted.of(model)
    assert fitted.model is fitted.whole is model
    assert fitted.is_ours
    assert fitted.search is None
    assert fitted.rows(X) is X


def test_a_search_in_a_pipeline_over_a_pipeline_is_looked_through():
    inner = make_pipeline(MinMaxScaler(), "passthrough", Ridge())
    whole = make_pipeline(StandardScaler(), GridSearchCV(inner, {"ridge__alpha": [1.0, 2.0]}, cv=2)).fit(X, y)
    fitted = Fitted.of(whole)
    assert fitted.search is whole[-1]
    assert fitted.model is whole[-1].best_estimator_[-1]
    assert not fitted.is_ours
    np.testing.assert_array_equal(fitted.model.predict(fitted.rows(X)), whole.predict(X))


def test_what_is_not_fitted_is_refused():
    with pytest.raises(NotFittedError):
        Fitted.of(Ridge())


def test_a_search_that_was_not_refitted_is_refused_with_a_way_out():
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=2, refit=False).fit(X, y)
    with pytest.raises(ValueError, match="`refit=False`"):
        Fitted.of(search)


def test_who_needs_a_model_of_ours_says_for_what(model):
    assert Fitted.of_ours(model, "to count its networks").model is model
    with pytest.raises(ValueError, match=r"StepwiseClassifier, .*is needed to count its networks; got Ridge"):
        Fitted.of_ours(make_pipeline(Ridge()).fit(X, y), "to count its networks")
