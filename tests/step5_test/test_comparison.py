"""A model beside simpler ones, on the same resamples."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from sk_dlsteps.step5_test.bootstrap import RowLosses, Units
from sk_dlsteps.step5_test.comparison import comparison_record
from sk_dlsteps.step5_test.rows import losses_of_predictions

RNG = np.random.default_rng(0)
Y = RNG.normal(100, 3, 80)
NEAR, FAR = Y + RNG.normal(0, 1, 80), Y + RNG.normal(0, 2, 80)


def test_the_record_holds_every_model_and_the_paired_differences():
    record = comparison_record(Y, {"network": NEAR, "linear": FAR}, score_name="R2")
    network, linear = record.evidence["R2"]
    assert linear["test"] == pytest.approx(r2_score(Y, FAR), abs=1e-4)
    (ahead,) = record.evidence["paired differences"]
    assert ahead["by"] == pytest.approx(network["test"] - linear["test"], abs=2e-4)
    near, far = (RowLosses(*losses_of_predictions("R2", Y, p)).resampled(Units.of(80), 2000, 0) for p in (NEAR, FAR))
    low, high = np.quantile(near - far, [0.025, 0.975])
    assert (ahead["95 % from"], ahead["to"]) == (round(low, 4), round(high, 4))


def test_the_strongest_rival_is_named():
    record = comparison_record(Y, {"network": FAR, "linear": NEAR, "dummy": np.full(80, 100.0)}, score_name="R2")
    assert record.decision.startswith("R2 0.")
    assert "behind the linear model" in record.decision


def test_a_constant_test_target_is_scored_as_scikit_learn_does():
    y = np.ones(10)
    record = comparison_record(y, {"network": y, "linear": y + 1}, score_name="R2")
    assert [row["test"] for row in record.evidence["R2"]] == [1.0, 0.0]
