"""Underfitting, overfitting, too long a training and too few rows."""

import numpy as np
import pytest

from sk_dlsteps import diagnose


def found(diagnosis, code):
    """The finding of a code."""
    (finding,) = (f for f in diagnosis if f.code == code)
    return finding


def test_a_network_that_fits_worse_than_simple_models_is_found(small, rule):
    model = small(learning_rate=1e-4, max_epochs=5).fit(*rule)
    finding = found(diagnose(model, *rule, cv=3), "underfits")
    assert (finding.step, finding.severity) == (3, 3)
    low, high = finding.evidence["95 % interval"]
    estimates = [finding.evidence.get(name) for name in ("behind", "ahead of a constant guess")]
    assert low < next(value for value in estimates if value is not None) < high
    names = [row["model"] for row in finding.evidence["scores"]]
    assert names == ["network", "linear", "dummy", "boosted trees"]
    assert "max_epochs='auto'" in finding.action


def test_without_rows_a_fit_no_better_than_the_mean_is_found(small, rule):
    finding = found(diagnose(small(learning_rate=1e-5, max_epochs=2).fit(*rule)), "underfits")
    assert finding.evidence["training R2"] < 0.05


def test_regularisation_goes_first_where_the_training_rows_are_not_fitted(small, rule):
    model = small(weight_decay=5.0).fit(*rule)
    assert "weight_decay=0.0" in found(diagnose(model, *rule, cv=3), "underfits").action


def hard():
    """Few rows, many columns, much noise."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(120, 25))
    return X, X[:, 0] + X[:, 1] + 0.8 * rng.normal(size=120)


@pytest.mark.parametrize("with_rows", [True, False])
@pytest.mark.parametrize(
    ("settings", "action"),
    [
        ({}, "dropout=0.25"),
        ({"dropout": 0.25, "n_hidden_layers": 2}, "dropout=(0.25, 0.25)"),
        ({"dropout": 0.25}, "weight_decay=0.001"),
        ({"dropout": 0.25, "weight_decay": 1e-4}, "batch_norm=True"),
    ],
)
def test_a_gap_to_validation_is_found_and_the_next_technique_named(small, with_rows, settings, action):
    rows = hard()
    model = small(hidden_units=64, **settings).fit(*rows)
    finding = found(diagnose(model, *rows, cv=3) if with_rows else diagnose(model), "overfits")
    assert finding.step == 4
    low, high = finding.evidence["95 % interval"]
    assert 0 < low < finding.evidence["gap"] < high
    assert action in finding.action


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_model_that_fits_both_kinds_of_rows_is_no_finding(small, rule, task):
    X, y = rule
    y = y if task == "regression" else y > 0
    model = small(task).fit(X, y)
    silent = {"underfits", "overfits", "more_rows_would_help", "trained_too_long", "no_signal"}
    diagnosis = diagnose(model, X, y)
    assert {"training fit", "gap to validation", "number of rows", "signal in the inputs"} <= {*diagnosis.looked_at}
    assert not silent & {*diagnosis.codes}
    assert not silent & {*diagnose(model).codes}


def test_a_training_to_the_end_is_compared_with_early_stopping():
    from sk_dlsteps import StepwiseRegressor

    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 5))
    y = X[:, 0] + X[:, 1] + rng.normal(size=150)
    settings = {"n_estimators": 3, "max_epochs": 150, "learning_rate": 0.02, "random_state": 0, "hidden_units": 64}
    diagnosis = diagnose(StepwiseRegressor(early_stopping=False, **settings).fit(X, y), X, y, cv=3)
    finding = found(diagnosis, "trained_too_long")
    assert finding.evidence["gain by early stopping"] > finding.evidence["standard error of the gain"]
    low, high = finding.evidence["95 % interval of the gain"]
    assert low < finding.evidence["gain by early stopping"] < high
    assert "overfits" not in diagnosis.codes


def test_a_learning_curve_that_still_rises_is_found(small):
    rng = np.random.default_rng(5)
    X = rng.uniform(-2, 2, (160, 3))
    y = np.sin(2 * X[:, 0]) + np.sin(2 * X[:, 1]) + np.sin(2 * X[:, 2]) + 0.05 * rng.normal(size=160)
    model = small(hidden_units=64, max_epochs=150).fit(X, y)
    finding = found(diagnose(model, X, y), "more_rows_would_help")
    low, high = finding.evidence["95 % interval"]
    # What is missing to a perfect score is the most that there is to gain.
    assert low < finding.evidence["gain by twice the rows"] <= high
    assert finding.action == "get more training rows: 256 instead of 128"
    assert [row["rows"] for row in finding.evidence["scores"]] == [32, 64, 128]


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_without_rows_a_gap_has_the_error_of_the_rows_that_validated(small, task):
    X, y = hard()
    y = y if task == "regression" else y > 0
    model = small(task, hidden_units=64).fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    evidence = found(diagnose(model), "overfits").evidence
    assert (evidence["standard error"], evidence["rows held out"]) == (model.validation_error_, 40)
    few = small(task, hidden_units=64).fit(X[:80], y[:80], X_val=X[80:86], y_val=y[80:86])
    gap = few.training_score_ - few.validation_score_
    assert ("overfits" in diagnose(few).codes) == (gap > 2 * few.validation_error_)


def test_a_single_row_that_validates_shows_no_gap(small, rule):
    X, y = rule
    diagnosis = diagnose(small("classification").fit(X[1:], y[1:] > 0, X_val=X[:1], y_val=y[:1] > 0))
    assert "too few rows validated" in diagnosis.left_out["gap to validation"]
