"""Types as users see them: mypy reads this file strictly, pytest runs it."""

from typing import Any, assert_type

import numpy as np
import pytest

from sk_dlsteps import (
    Report,
    StepwiseClassifier,
    StepwiseRegressor,
    StepwiseSearchCV,
    Verification,
    find_learning_rate,
    learning_curve,
    verify_test_set,
)

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def test_a_fitted_estimator_is_of_its_own_class(iris: Split) -> None:
    X, X_test, y, y_test = iris
    model = StepwiseClassifier(max_epochs=3, learning_rate=0.02, n_estimators=2, random_state=0).fit(X, y)
    assert_type(model, StepwiseClassifier)
    assert_type(model.set_params(max_epochs=2).fine_tune(X, y, learning_rate=0.01), StepwiseClassifier)
    assert_type(model.predict_proba(X_test), np.ndarray)
    assert_type(model.report(), Report)
    assert isinstance(assert_type(model.predict(X_test), np.ndarray), np.ndarray)
    assert isinstance(assert_type(verify_test_set(model, X_test, y_test), Verification), Verification)


def test_functions_say_what_they_return(diabetes: Split) -> None:
    X, _, y, _ = diabetes
    model = StepwiseRegressor(max_epochs=20, n_estimators=1, random_state=0)
    assert assert_type(find_learning_rate(model, X, y).learning_rate, float) > 0
    curve = learning_curve(model.set_params(max_epochs=2, learning_rate=0.02), X, y, cv=2, random_state=0)
    assert assert_type(curve.more_rows_help, bool | None) in (True, False, None)


def test_a_search_is_typed_too(diabetes: Split) -> None:
    X, _, y, _ = diabetes
    model = StepwiseRegressor(max_epochs=2, learning_rate=0.02, n_estimators=1, random_state=0)
    space: dict[str, Any] = {"dropout": [0.0, 0.5]}
    search = StepwiseSearchCV(model, space, strategy="random", n_iter=2, cv=2).fit(X, y)
    assert assert_type(search, StepwiseSearchCV).best_params_.keys() == {"dropout"}
    with pytest.raises(ValueError, match="n_iter"):
        StepwiseSearchCV(model, n_iter="many").fit(X, y)  # type: ignore[arg-type]
