import datetime

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_regression

from sk_dlsteps import DriftDetector, StepwiseRegressor

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def detector():
    """Of 500 rows of 3 columns."""
    return DriftDetector().fit(RNG(0).normal(size=(500, 3)))


def test_each_batch_has_the_verdict_of_its_own_check(detector):
    batches = [RNG(seed).normal(shift, 1, size=(200, 3)) for seed, shift in enumerate([0, 0.6, 0])]
    timeline = detector.check_batches(batches, times=["mon", "tue", "wed"])
    assert [row["verdict"] for row in timeline.table] == [detector.check(batch).verdict for batch in batches]
    assert timeline.alarms == ("tue",)
    assert timeline.p_value == pytest.approx(1 - 0.99**3)


def test_batches_are_taken_one_by_one_and_let_go(detector):
    alive = []

    def stream():
        for number in range(5):
            assert len(alive) == number
            yield RNG(number).normal(size=(50, 3))

    original = detector.check
    watched = DriftDetector().fit(RNG(0).normal(size=(500, 3)))
    watched.check = lambda X, y=None: alive.append(len(X)) or original(X, y)
    assert len(watched.check_batches(stream()).table) == 5


def test_pairs_bring_true_values(detector):
    X, y = make_regression(400, 3, noise=5, random_state=0)
    model = StepwiseRegressor(max_epochs=10, learning_rate=0.01, random_state=0).fit(X[:200], y[:200])
    timeline = DriftDetector.from_estimator(model).check_batches([(X[200:300], y[200:300]), X[300:]])
    first, second = timeline.table
    assert first["score"] == DriftDetector.from_estimator(model).check(X[200:300], y[200:300]).score.after
    assert second["score"] is None


def test_an_empty_batch_is_a_row_of_its_own_and_no_batch_an_error(detector):
    timeline = detector.check_batches([np.empty((0, 3)), RNG(1).normal(size=(50, 3))])
    assert [row["verdict"] for row in timeline.table] == ["no rows", "no drift"]
    assert timeline.alarms == ()
    with pytest.raises(ValueError, match="`batches` holds no batch"):
        detector.check_batches([])
    with pytest.raises(ValueError, match="`times` has 1 entries, and there are more batches"):
        detector.check_batches([np.zeros((2, 3))] * 2, times=["mon"])


def test_the_record_says_how_many_alarms_are_to_be_expected(detector):
    timeline = detector.check_batches([RNG(1).normal(1, 1, size=(50, 3))] * 40)
    (record,) = timeline.records()
    assert record.number == 6
    assert record.decision == "40 of 40 batches drifted, 0 first"
    assert "0.4 by chance" in record.because
    assert len(record.evidence["the last 30 batches"]) == 30
    assert record.decision in repr(timeline)
    assert timeline.to_frame().shape == (40, 9)


@pytest.mark.parametrize("times", [3, datetime.time(9), "ab"])
def test_times_that_are_no_list_are_an_error(detector, times):
    with pytest.raises(ValueError, match="`times` must be an iterable with a name for each batch, or None, got"):
        detector.check_batches([np.zeros((20, 3))] * 2, times=times)


def test_long_names_are_cut_in_the_record():
    X = pd.DataFrame(RNG(0).normal(size=(100, 1)), columns=["x" * 100])
    (record,) = DriftDetector().fit(X).check_batches([X, X[:0]], times=[datetime.time(9), None]).records()
    first, second = record.evidence["batches"]
    assert (first["most drifted"], first["time"]) == ("x" * 27 + "...", "09:00:00")
    assert (second["most drifted"], second["time"]) == ("", "None")
