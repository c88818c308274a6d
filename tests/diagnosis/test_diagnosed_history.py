"""Rates and lengths of a training, read off its loss curves."""

import numpy as np
import pytest

from sk_dlsteps import diagnose


def found(model, code):
    """The finding of a code."""
    (finding,) = (f for f in diagnose(model) if f.code == code)
    return finding


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_rate_far_too_high_is_found(small, rule, task):
    X, y = rule
    model = small(task, learning_rate=10.0).fit(X, y if task == "regression" else y > 0)
    finding = found(model, "rate_too_high")
    assert finding.step == 3
    assert finding.evidence["learning_rate"] == 10.0
    too_much = finding.evidence["rises"] > 1 or finding.evidence["first epoch"] > 5
    assert too_much
    assert finding.action == "let the range test choose: learning_rate='auto', instead of 10"


def test_a_rate_far_too_low_is_found(small, rule):
    model = small(learning_rate=1e-5, max_epochs=240).fit(*rule)
    finding = found(model, "rate_too_low")
    assert finding.step == 3
    fell, progress = (finding.evidence[f"fall {since}"] for since in ("in the last quarter", "since the first epoch"))
    assert 0.05 * progress < fell < progress
    assert "learning_rate='auto', instead of 1e-05" in finding.action


def test_too_few_epochs_are_found_and_not_blamed_on_the_rate(small, rule):
    model = small(max_epochs=2).fit(*rule)
    finding = found(model, "stopped_too_early")
    assert finding.evidence["networks best at the end"] > 0.5
    assert "max_epochs='auto', or more than 2" in finding.action
    assert "rate_too_low" not in diagnose(model).codes


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("schedule", ["auto", "constant"])
def test_a_rate_that_the_range_test_found_and_epochs_of_the_recipe_are_no_finding(small, rule, task, schedule):
    X, y = rule
    recipe = small(task, learning_rate="auto", max_epochs="auto", lr_schedule=schedule)
    model = recipe.fit(X, y if task == "regression" else y > 0)
    diagnosis = diagnose(model)
    assert "loss curves" in diagnosis.looked_at
    assert not {"rate_too_high", "rate_too_low", "stopped_too_early", "trained_too_long"} & {*diagnosis.codes}


def test_a_training_that_goes_on_past_its_best_is_found_with_validation_data(small, rule):
    X, y = rule
    noisy = y + 3 * np.random.default_rng(0).normal(size=len(y))
    split = {"X_val": X[100:], "y_val": noisy[100:]}
    wide = {"hidden_units": 64, "max_epochs": 60}
    model = small(early_stopping=False, **wide).fit(X[:100], noisy[:100], **split)
    finding = found(model, "trained_too_long")
    assert max(finding.evidence["best epochs"]) <= 30
    assert finding.action.endswith("early_stopping=True")
    stopped = small(early_stopping=True, **wide).fit(X[:100], noisy[:100], **split)
    assert "trained_too_long" not in diagnose(stopped).codes


def test_a_stream_has_no_epochs_to_judge_and_it_says_so(small, rule):
    X, y = rule
    model = small().partial_fit(X, y).partial_fit(X, y)
    diagnosis = diagnose(model)
    assert "no epochs" in diagnosis.left_out["loss curves"]
    assert "held no rows out" in diagnosis.left_out["gap to validation"]
    assert not {"stopped_too_early", "rate_too_low"} & {*diagnosis.codes}
