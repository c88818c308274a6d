"""What a ladder searches: its folds, its sizes, and any model's score on it."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import check_scoring, make_scorer, r2_score
from sklearn.model_selection import KFold, cross_validate

from sk_dlsteps import StepwiseRegressor
from sk_dlsteps.step4_validation.problem import Problem
from sk_dlsteps.step4_validation.training_target import set_target

SPLITS = list(KFold(4).split(np.zeros(100)))


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    return X, X[:, 0] ** 2 + rng.normal(size=100)


@pytest.mark.parametrize(
    "model", [LinearRegression(), StepwiseRegressor(n_estimators=1, max_epochs=5, learning_rate=0.02, random_state=0)]
)
def test_a_model_is_scored_as_cross_validation_scores_it(rows, model):
    found = Problem(model, *rows, SPLITS, check_scoring(model), "regression").score(model)
    theirs = cross_validate(model, *rows, cv=SPLITS, return_train_score=True)
    np.testing.assert_allclose(found.test, theirs["test_score"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.train, theirs["train_score"], rtol=1e-4, atol=1e-6)


def test_a_model_that_cannot_be_fitted_has_no_scores_and_says_nothing(rows):
    X, y = rows
    found = Problem(LinearRegression(), X, y, SPLITS, check_scoring(LinearRegression()), "regression").score(
        LinearRegression(), np.where(y > y.max() - 1e-9, np.nan, y)
    )
    assert not found.complete
    assert np.isnan(found.test).all()


def test_baselines_are_scored_with_the_weights_of_the_candidates(rows):
    X, y = rows
    weights = np.where(y > 1, 9.0, 0.1)
    scorer = make_scorer(r2_score)
    problem = Problem(LinearRegression(), X, y, SPLITS, scorer, "regression", score_params={"sample_weight": weights})
    dummy = set_target("auto", problem).baselines["dummy"]
    expected = [
        r2_score(y[test], np.full(len(test), y[train].mean()), sample_weight=weights[test]) for train, test in SPLITS
    ]
    np.testing.assert_allclose(dummy.test, expected)
