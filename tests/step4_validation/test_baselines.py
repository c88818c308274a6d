import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_wine
from sklearn.metrics import accuracy_score, r2_score

from sk_dlsteps.step4_validation.baselines import Baseline, baselines_record, fit_baselines


def test_a_linear_target_is_found_by_the_linear_model_only():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    linear, dummy = fit_baselines("regression", X, X @ [1.0, 2.0, 3.0], n_folds=5, seed=0)
    assert linear.validation_score > 0.999
    assert dummy.training_score == 0
    assert dummy.validation_score < 0


def test_rows_of_any_shape_are_flat_for_the_linear_model():
    X = np.random.default_rng(0).normal(size=(60, 3, 2))
    X[0, 2] = np.nan
    linear, flat = (
        fit_baselines("regression", rows, np.nansum(X, (1, 2)), n_folds=3, seed=0)[0] for rows in (X, X.reshape(60, -1))
    )
    assert linear.validation_score == flat.validation_score > 0.9


def test_scores_are_those_of_the_fitted_models():
    X, y = load_diabetes(return_X_y=True)
    for baseline in fit_baselines("regression", X, y, n_folds=4, seed=0):
        assert baseline.training_score == r2_score(y, baseline.model.predict(X))
    X, y = load_wine(return_X_y=True)
    linear, dummy = fit_baselines("classification", X, y, n_folds=4, seed=0)
    assert linear.training_score == accuracy_score(y, linear.model.predict(X))
    assert dummy.validation_score == pytest.approx(np.bincount(y).max() / len(y), abs=0.01)


def test_a_class_of_one_row_and_few_rows_are_no_obstacle():
    X = np.random.default_rng(0).normal(size=(12, 2))
    linear, dummy = fit_baselines("classification", X, np.repeat([0, 1, 2], [6, 5, 1]), n_folds=8, seed=0)
    assert 0 <= linear.validation_score <= 1
    assert dummy.training_score == 0.5


@pytest.mark.parametrize(
    ("network", "decision"),
    [
        (0.6, "R2 0.100 ahead of the linear model"),
        (0.4, "R2 0.100 behind the linear model, which is simpler: prefer it unless you can do better"),
        (None, "not compared"),
    ],
)
def test_the_record_compares_with_the_best_baseline(network, decision):
    baselines = (Baseline("linear", None, 0.55, 0.5), Baseline("dummy", None, 0.0, -0.1))
    record = baselines_record("regression", 0.7, network, baselines)
    assert (record.number, record.decision) == (4, decision)
    assert record.evidence["R2"] == [
        {"model": "network", "training": 0.7, "validation": network},
        {"model": "linear", "training": 0.55, "validation": 0.5},
        {"model": "dummy", "training": 0.0, "validation": -0.1},
    ]
