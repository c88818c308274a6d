"""The estimators among scikit-learn's own tools, on real data."""

import numpy as np
import pytest
from scipy.stats import loguniform, randint, uniform
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import StackingRegressor
from sklearn.inspection import permutation_importance
from sklearn.linear_model import RidgeCV
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, QuantileTransformer

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor

# Every parameter that decides about cost, network, training or validation.
SPACE = {
    "loss": ["auto", "squared_error", "absolute_error", "huber"],
    "hidden_units": ["auto", "midpoint", 16, (16, 8), np.array([8, 8])],
    "hidden_size_factor": uniform(2, 8),
    "n_hidden_layers": randint(1, 3),
    "activation": np.array(["relu", "tanh", "silu", "gelu"]),
    "scaler": ["standard", "robust", QuantileTransformer(n_quantiles=20), None],
    "numeric_encoding": ["auto", "piecewise_linear", None],
    "input_clip": [None, *np.linspace(2, 5, 3)],
    "optimizer": ["adam", "adamw", "sgd"],
    "learning_rate": loguniform(1e-3, 3e-2),
    "momentum": uniform(0.5, 0.45),
    "lr_schedule": ["auto", "constant", "exponential", "staircase", "plateau", "cosine", "cosine_restarts"],
    "restart_period": randint(1, 5),
    "restart_mult": randint(1, 3),
    "batch_size": 2 ** np.arange(4, 8),
    "max_epochs": randint(10, 20),
    "dropout": uniform(0, 0.5),
    "weight_decay": loguniform(1e-5, 1e-1),
    "batch_norm": np.array([True, False]),
    "max_grad_norm": [None, 1.0],
    "max_grad_value": [None, 0.5],
    "augmentation": [None, "gaussian_noise", "swap_noise", "mixup"],
    "early_stopping": np.array([True, False]),
    "n_iter_no_change": randint(2, 20),
    "validation_fraction": uniform(0.1, 0.2),
    "n_estimators": randint(1, 5),
    "unfreeze": ["auto", True, 5],
    "differential_rates": ["auto", 0.5, {"output": 2.0}],
}
RUN = {"quantiles", "module", "device", "mixed_precision", "accelerator", "n_threads", "callbacks", "warm_start"}
RUN |= {"random_state", "verbose", "categorical_features", "input_shape", "init_from"}
RUN |= {"checkpoint", "checkpoint_every", "on_interrupt"}


def regressor(**parameters):
    """A regressor that trains for a moment."""
    return StepwiseRegressor(**{"max_epochs": 15, "learning_rate": 0.02, "random_state": 0, **parameters})


def classifier(**parameters):
    """A classifier that trains for a moment."""
    return StepwiseClassifier(**{"max_epochs": 15, "learning_rate": 0.02, "random_state": 0, **parameters})


def test_last_in_a_pipeline(diabetes):
    X, X_test, y, y_test = diabetes
    features = PolynomialFeatures(2, include_bias=False)
    pipeline = make_pipeline(features, regressor()).fit(X, y)
    alone = regressor().fit(features.fit_transform(X), y)
    np.testing.assert_array_equal(pipeline.predict(X_test), alone.predict(features.transform(X_test)))
    assert pipeline.score(X_test, y_test) > DummyRegressor().fit(X, y).score(X_test, y_test) + 0.2


def test_cross_validation_equals_folds_by_hand(iris):
    X, _, y, _ = iris
    folds = StratifiedKFold(3)
    scores = cross_val_score(classifier(), X, y, cv=folds)
    by_hand = [classifier().fit(X[i], y[i]).score(X[j], y[j]) for i, j in folds.split(X, y)]
    np.testing.assert_array_equal(scores, by_hand)
    assert scores.mean() > cross_val_score(DummyClassifier(), X, y, cv=folds).mean() + 0.4


def test_grid_search_finds_the_sensible_rate(diabetes):
    X, X_test, y, _ = diabetes
    grid = {"estimator__learning_rate": [1e-6, 0.02], "estimator__n_hidden_layers": [1, 2]}
    pipeline = make_pipeline(regressor()).set_params()
    pipeline.steps = [("estimator", pipeline[-1])]
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X, y)
    assert search.best_params_["estimator__learning_rate"] == 0.02
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = {name.removeprefix("estimator__"): value for name, value in search.best_params_.items()}
    np.testing.assert_array_equal(search.predict(X_test), regressor(**best).fit(X, y).predict(X_test))


def test_the_search_space_names_every_parameter():
    assert SPACE.keys() | RUN == StepwiseRegressor().get_params().keys()


def test_random_search_over_everything(diabetes):
    X, _, y, _ = diabetes
    search = RandomizedSearchCV(
        regressor(), SPACE, n_iter=24, cv=KFold(2), n_jobs=2, random_state=0, error_score="raise"
    ).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_score_ > 0.3
    assert search.best_estimator_.get_params().items() >= {"random_state": 0}.items()


def test_monitors_in_processes_of_a_search_report_to_this_one(diabetes):
    # Here, and not beside the other callbacks, as the processes are there already.
    callback = pytest.importorskip("sklearn.callback", reason="this scikit-learn has no callbacks")
    X, _, y, _ = diabetes
    monitor = callback.ScoringMonitor(scoring="r2")
    model = regressor(max_epochs=2, n_estimators=2).set_callbacks(monitor)
    GridSearchCV(model, {"dropout": [0.0, 0.5]}, cv=2, n_jobs=2).fit(X, y)
    rows = monitor.get_logs().data
    assert sum(row["task_name"] == "epoch" for row in rows) == 2 * (2 * 2 + 1)


@pytest.mark.parametrize("name", sorted(SPACE.keys() - {"loss"}))
def test_each_parameter_is_searchable_alone(name, iris):
    X, _, y, _ = iris
    search = RandomizedSearchCV(
        classifier(n_estimators=2), {name: SPACE[name]}, n_iter=2, cv=2, random_state=0, error_score="raise"
    ).fit(X, y)
    assert search.best_score_ > 0.6


def test_a_clone_is_unfitted_and_fits_alike(diabetes):
    X, X_test, y, _ = diabetes
    model = regressor(hidden_units=(8, 4), weight_decay=1e-3).fit(X, y)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "pipeline_")
    np.testing.assert_array_equal(copy.fit(X, y).predict(X_test), model.predict(X_test))


def test_set_params_shows_in_the_next_fit_only(diabetes):
    X, X_test, y, _ = diabetes
    model = regressor().fit(X, y)
    before = model.predict(X_test)
    model.set_params(hidden_units=3, n_estimators=2, input_clip=None, random_state=9)
    np.testing.assert_array_equal(model.predict(X_test), before)
    model.fit(X, y)
    assert model.hidden_units_ == (3,)
    assert model.plan_.n_networks == 2
    with pytest.raises(ValueError, match="Invalid parameter 'hidden_unit'"):
        model.set_params(hidden_unit=3)


def test_stacked_with_a_linear_model(diabetes):
    X, X_test, y, y_test = diabetes
    stack = StackingRegressor([("net", regressor()), ("ridge", RidgeCV())], cv=3).fit(X, y)
    assert stack.score(X_test, y_test) > 0.3
    columns = stack.transform(X_test)
    np.testing.assert_array_equal(columns[:, 0], regressor().fit(X, y).predict(X_test))


@pytest.mark.parametrize("data", ["iris", "cancer"])
def test_calibrated(data, request):
    X, X_test, y, y_test = request.getfixturevalue(data)
    calibrated = CalibratedClassifierCV(classifier(), method="sigmoid", cv=3).fit(X, y)
    p = calibrated.predict_proba(X_test)
    np.testing.assert_allclose(p.sum(1), 1)
    assert calibrated.score(X_test, y_test) > 0.9
    assert log_loss(y_test, p) < 0.5 * log_loss(y_test, DummyClassifier().fit(X, y).predict_proba(X_test))


def test_permutation_importance_finds_the_column_that_decides(diabetes):
    X, X_test, _, _ = diabetes
    model = regressor(max_epochs=40).fit(X, 100 * X[:, 2] + X[:, 5])
    importance = permutation_importance(model, X_test, 100 * X_test[:, 2] + X_test[:, 5], random_state=0)
    assert importance.importances_mean.argmax() == 2
    assert importance.importances_mean[2] > 0.5


def test_a_transformed_target(diabetes):
    X, X_test, y, y_test = diabetes
    model = TransformedTargetRegressor(regressor(), func=np.log, inverse_func=np.exp).fit(X, y)
    by_hand = np.exp(regressor().fit(X, np.log(y)).predict(X_test))
    np.testing.assert_allclose(model.predict(X_test), by_hand)
    assert r2_score(y_test, by_hand) > 0.2
