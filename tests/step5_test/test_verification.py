import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import accuracy_score, r2_score

from sk_dlsteps.inputs.table import TableError
from sk_dlsteps.step5_test import verification
from sk_dlsteps.step5_test.verification import bootstrap_scores, hold_out_test_set, verify

REGRESSION = {"task": "regression", "score_name": "R2", "seed": 0}


@pytest.fixture
def numbers():
    rng = np.random.default_rng(0)
    y = rng.normal(100, 3, 80)
    return y, np.stack([y + rng.normal(0, 1, 80), y + rng.normal(0, 2, 80)])


def test_rows_are_parted_with_every_class_s_share():
    y = np.repeat(["a", "b"], [90, 30])
    train, test = hold_out_test_set(y, "classification", 0.2, seed=0)
    np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(120))
    assert len(test) == 24
    assert (y[test] == "b").sum() == 6


def test_the_seed_decides_on_the_test_set():
    y = np.arange(100.0)
    first, again, other = (hold_out_test_set(y, "regression", 0.2, seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("test_size", [0.05, 0.9])
def test_too_few_rows_on_one_side_are_refused(test_size):
    with pytest.raises(TableError, match=rf"a test size of {test_size} leaves too few of the 40 rows"):
        hold_out_test_set(np.arange(40.0), "regression", test_size, seed=0)


@pytest.mark.parametrize("labels", [np.repeat([0, 1], [39, 1]), np.arange(40).astype(str)], ids=["one", "no two alike"])
def test_training_rows_without_two_classes_that_recur_are_refused(labels):
    with pytest.raises(TableError, match=r"32 training rows .* at least two classes need two rows each"):
        hold_out_test_set(labels, "classification", 0.2, seed=0)


def test_resampled_r2_equals_a_loop_over_the_same_rows(numbers):
    y, predictions = numbers
    scores = bootstrap_scores(y, predictions, "regression", seed=3, n_resamples=50)
    drawn = np.random.default_rng(3).integers(len(y), size=(50, len(y)))
    expected = [[r2_score(y[rows], p[rows]) for p in predictions] for rows in drawn]
    np.testing.assert_allclose(scores, expected, atol=1e-12)


def test_resampled_accuracy_equals_a_loop_over_the_same_rows():
    y = np.array(list("abcabcaabb"))
    predictions = np.array([list("abcabcabba"), list("aaaaaaaaaa")])
    scores = bootstrap_scores(y, predictions, "classification", seed=3, n_resamples=50)
    drawn = np.random.default_rng(3).integers(len(y), size=(50, len(y)))
    expected = [[accuracy_score(y[rows], p[rows]) for p in predictions] for rows in drawn]
    np.testing.assert_allclose(scores, expected)


def test_resamples_of_one_value_are_scored_as_scikit_learn_does():
    y, predictions = np.array([1.0, 2.0]), np.array([[1.0, 3.0]])
    scores = bootstrap_scores(y, predictions, "regression", seed=0, n_resamples=40)
    drawn = np.random.default_rng(0).integers(2, size=(40, 2))
    np.testing.assert_allclose(scores[:, 0], [r2_score(y[rows], predictions[0, rows]) for rows in drawn])


def test_the_size_of_the_chunks_does_not_matter(numbers, monkeypatch):
    whole = bootstrap_scores(*numbers, "regression", seed=0, n_resamples=100)
    monkeypatch.setattr(verification, "_CHUNK", 1000)
    np.testing.assert_array_equal(bootstrap_scores(*numbers, "regression", seed=0, n_resamples=100), whole)


def test_the_interval_of_an_accuracy_is_the_binomial_one():
    right = np.repeat([1, 0], [160, 40])
    found = verify(
        np.ones(200, dtype=int),
        {"network": right},
        task="classification",
        score_name="accuracy",
        validation_score=0.8,
        seed=0,
    )
    assert found.score == 0.8
    np.testing.assert_allclose(found.interval, binom.ppf([0.025, 0.975], 200, 0.8) / 200, atol=0.005)


def test_the_record_holds_every_model_and_the_paired_differences(numbers):
    y, (near, far) = numbers
    found = verify(y, {"network": near, "linear": far}, validation_score=None, **REGRESSION)
    assert found.score == pytest.approx(r2_score(y, near))
    network, linear = found.record.evidence["R2"]
    assert linear["test"] == pytest.approx(r2_score(y, far), abs=1e-4)
    (ahead,) = found.record.evidence["paired differences"]
    assert ahead["by"] == pytest.approx(network["test"] - linear["test"], abs=2e-4)
    resampled = bootstrap_scores(y, np.stack([near, far]), "regression", seed=0)
    low, high = np.quantile(resampled[:, 0] - resampled[:, 1], [0.025, 0.975])
    assert (ahead["95 % from"], ahead["to"]) == (round(low, 4), round(high, 4))


def test_a_constant_test_target_is_scored_as_scikit_learn_does():
    y = np.ones(10)
    found = verify(y, {"network": y, "linear": y + 1}, validation_score=None, **REGRESSION)
    assert [row["test"] for row in found.record.evidence["R2"]] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("validation_score", "verdict"),
    [(0.999, "go back to step 4"), (0.0, "better than"), (0.9, "confirmed"), (None, "no validation score")],
)
def test_the_verdict_compares_with_the_validation_score(numbers, validation_score, verdict):
    y, (near, _) = numbers
    found = verify(y, {"network": near}, validation_score=validation_score, **REGRESSION)
    assert found.interval[0] < 0.9 < found.interval[1]
    assert verdict in found.record.because
