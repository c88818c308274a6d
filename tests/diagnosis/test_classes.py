"""Rare classes and calibration."""

import numpy as np
import pytest

from sk_dlsteps import diagnose
from sk_dlsteps.diagnosis.classes import _draw, _wilson


def found(diagnosis, code):
    """The finding of a code."""
    (finding,) = (f for f in diagnosis if f.code == code)
    return finding


def rare(n=400, shift=0.8):
    """Two classes that overlap, one of which has every twelfth row."""
    rng = np.random.default_rng(0)
    y = np.where(np.arange(n) % 12 == 0, "rare $x$", "common")
    return rng.normal(size=(n, 2)) + shift * (y == "rare $x$")[:, None], y


def test_a_rare_class_that_is_missed_is_found(small):
    X, y = rare()
    finding = found(diagnose(small("classification", max_epochs=10).fit(X, y), X, y, cv=3), "rare_class_missed")
    assert finding.step == 1
    assert finding.evidence["class"] == "rare $x$"
    assert finding.evidence["share of rows"] == pytest.approx(34 / 400)
    low, high = finding.evidence["95 % interval"]
    assert low <= finding.evidence["recall"] <= high < 0.7 * finding.evidence["right of the others"]
    assert finding.action == "let classes count alike: class_weight='balanced'"


def test_the_next_step_after_class_weights_is_more_rows(small):
    X, y = rare()
    model = small("classification", class_weight={"common": 1.0}, max_epochs=10).fit(X, y)
    assert found(diagnose(model, X, y, cv=3), "rare_class_missed").action == "get more rows of class rare $x$"


def test_a_rare_class_that_is_recognised_is_no_finding(small):
    X, y = rare(shift=5)
    diagnosis = diagnose(small("classification").fit(X, y), X, y, cv=3)
    assert "rare classes" in diagnosis.looked_at
    assert "rare_class_missed" not in diagnosis.codes


def coin(n=600):
    """Labels that a column tells rightly in three of four rows."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(n, 6))
    return X, (X[:, 0] > 0) ^ (rng.random(n) < 0.25)


def test_networks_that_are_too_sure_are_found(small):
    X, y = coin()
    by_heart = {"early_stopping": False, "hidden_units": 64, "max_epochs": 60, "n_estimators": 1}
    diagnosis = diagnose(small("classification", **by_heart).fit(X, y), X, y, cv=3)
    finding = found(diagnosis, "miscalibrated")
    assert finding.evidence["calibration error"] > finding.evidence["99% of those are below"]
    low, high = finding.evidence["95 % interval"]
    assert 0 < low < finding.evidence["excess"] < high
    assert finding.evidence["confidence"] > finding.evidence["right"]
    assert "calibrate=True" in finding.action


def test_probabilities_that_keep_what_they_promise_are_no_finding(small, sides):
    X, y = sides
    diagnosis = diagnose(small("classification").fit(X, y), X, y, cv=3)
    assert "calibration" in diagnosis.looked_at
    assert "miscalibrated" not in diagnosis.codes


def test_the_next_step_after_a_temperature_is_another_calibration(small):
    X, y = coin()
    few_epochs = small("classification", calibrate=True, hidden_units=64)
    finding = found(diagnose(few_epochs.fit(X, y), X, y, cv=3), "miscalibrated")
    assert "CalibratedClassifierCV" in finding.action


def test_labels_are_drawn_with_their_probabilities():
    rng = np.random.default_rng(0)
    p = np.tile([0.2, 0.5, 0.3], (20_000, 1))
    assert np.bincount(_draw(p, False, rng)) / 20_000 == pytest.approx([0.2, 0.5, 0.3], abs=0.015)
    assert _draw(p, True, rng).mean(0) == pytest.approx([0.2, 0.5, 0.3], abs=0.015)


def test_the_interval_of_a_share_is_wilson_s():
    # By hand, with z = 2: (0 + 4/20) / (1 + 4/10) plus and minus the same.
    assert _wilson(0.0, 10) == pytest.approx((0.0, 0.4 / 1.4))
    low, high = _wilson(0.5, 100)
    assert (low + high) / 2 == pytest.approx(0.5)
