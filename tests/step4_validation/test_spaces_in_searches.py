"""scikit-learn's own searches over the article's ranges."""

import json

import numpy as np
import pytest
import torch
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, ParameterSampler, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor


def regressor(**parameters):
    """A regressor that trains for a moment."""
    return StepwiseRegressor(**{"max_epochs": 2, "n_estimators": 2, "random_state": 0, **parameters})


def random_search(model, space, X, y, **parameters):
    """A fitted random search in which nothing may fail."""
    settings = {"n_iter": 4, "cv": 2, "random_state": 0, "error_score": "raise", **parameters}
    return RandomizedSearchCV(model, space, **settings).fit(X, y)


def test_random_search_over_both_steps(diabetes):
    X, X_test, y, _ = diabetes
    model = regressor()
    search = random_search(model, model.param_distributions(), X, y, n_iter=8)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    again = regressor(**search.best_params_).fit(X, y)
    np.testing.assert_array_equal(search.predict(X_test), again.predict(X_test))


def test_the_same_seed_searches_the_same_candidates(diabetes):
    X, _, y, _ = diabetes
    model = regressor()
    space = model.param_distributions()
    search = random_search(model, space, X, y)
    assert search.cv_results_["params"] == list(ParameterSampler(space, 4, random_state=0))
    assert search.cv_results_["params"] == random_search(model, space, X, y, n_jobs=2).cv_results_["params"]


@pytest.mark.parametrize("step", [3, 4])
def test_random_search_around_what_was_found_on_the_rows(step, cancer):
    X, _, y, _ = cancer
    model = StepwiseClassifier(max_epochs=20, n_estimators=2, random_state=0)
    search = random_search(model, model.param_distributions(step, X, y), X, y, n_iter=3)
    assert search.best_score_ > 0.9


def test_random_search_of_a_pipeline_on_two_workers(diabetes):
    X, _, y, _ = diabetes
    pipeline = make_pipeline(PolynomialFeatures(2, include_bias=False), regressor())
    space = pipeline[-1].param_distributions(prefix="stepwiseregressor__")
    parallel = random_search(pipeline, space, X, y, n_jobs=2)
    alone = random_search(pipeline, space, X, y)
    np.testing.assert_allclose(
        parallel.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"], rtol=1e-4, atol=1e-5
    )
    assert {name.split("__")[0] for name in parallel.best_params_} == {"stepwiseregressor"}


def test_results_are_readable(diabetes):
    X, _, y, _ = diabetes
    model = regressor()
    search = random_search(model, model.param_distributions(), X, y, n_iter=8)
    for candidate in search.cv_results_["params"]:
        back = json.loads(json.dumps(candidate))
        assert {**back, "dropout": None} == {**candidate, "dropout": None}
        assert "np." not in repr(candidate)
    assert {type(value) for value in search.cv_results_["param_dropout"]} == {float, tuple}
    assert search.cv_results_["param_learning_rate"].dtype == float


def test_grid_search_over_the_choices(diabetes):
    X, _, y, _ = diabetes
    model = regressor(learning_rate=0.02)
    space = model.param_distributions()
    grid = {name: space[name] for name in ("n_hidden_layers", "batch_norm")} | {"dropout": [0.0, 0.25, (0.25, 0.5)]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 3 * 2 * 3
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_halving_spends_epochs(diabetes):
    X, X_test, y, _ = diabetes
    model = regressor(max_epochs="auto", learning_rate=0.02)
    search = HalvingRandomSearchCV(
        model,
        model.param_distributions(4),
        resource="max_epochs",
        n_candidates=9,
        min_resources="exhaust",
        max_resources=18,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(X, y)
    assert search.n_resources_ == [2, 6, 18]
    assert search.n_candidates_ == [9, 3, 1]
    np.testing.assert_array_equal(search.cv_results_["param_max_epochs"], [2] * 9 + [6] * 3 + [18])
    assert search.best_params_["max_epochs"] == 18
    assert search.best_estimator_.n_iter_ <= 18
    assert search.score(X_test, diabetes[3]) > 0.2


def test_halving_of_a_pipeline(diabetes):
    X, _, y, _ = diabetes
    pipeline = make_pipeline(regressor(learning_rate=0.02))
    search = HalvingRandomSearchCV(
        pipeline,
        pipeline[-1].param_distributions(4, prefix="stepwiseregressor"),
        resource="stepwiseregressor__max_epochs",
        n_candidates=3,
        min_resources="exhaust",
        max_resources=6,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(X, y)
    assert search.best_params_["stepwiseregressor__max_epochs"] == 6


def test_halving_asks_for_the_most_epochs(diabetes):
    X, _, y, _ = diabetes
    model = regressor(max_epochs="auto")
    search = HalvingRandomSearchCV(model, model.param_distributions(4), resource="max_epochs")
    with pytest.raises(ValueError, match="max_resources='auto'"):
        search.fit(X, y)


def test_a_search_leaves_global_random_states_alone(diabetes):
    X, _, y, _ = diabetes
    numpys, torchs = np.random.get_state()[1].copy(), torch.get_rng_state()
    model = regressor(random_state=None)
    random_search(model, model.param_distributions(), X, y, n_iter=2)
    np.testing.assert_array_equal(np.random.get_state()[1], numpys)
    assert torch.equal(torch.get_rng_state(), torchs)


def test_a_search_over_a_network_of_your_own(diabetes):
    X, _, y, _ = diabetes
    model = regressor(module=torch.nn.Linear)
    search = random_search(model, model.param_distributions(), X, y, n_iter=3)
    assert search.best_params_.keys() == {"learning_rate", "lr_schedule", "batch_size", "weight_decay"}
