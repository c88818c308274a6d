"""Training and validation scores of a fit, against scikit-learn's metrics on the same predictions."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, mean_squared_error, r2_score

from sk_dlsteps.engine.batches import Rows
from sk_dlsteps.inputs.target import ClassTarget, LabelsTarget, RegressionTarget
from sk_dlsteps.step4_validation import scores
from sk_dlsteps.step4_validation.scores import score_fit

N, K = 30, 3
Z = np.random.default_rng(0).normal(size=(N, 2))
VALID = [np.arange(k, N, K) for k in range(K)]
TRAIN = [np.setdiff1d(np.arange(N), own) for own in VALID]
FOLDS = Rows(TRAIN, VALID)


def regression_networks(rows):
    """What three networks predict: each a line of its own."""
    return np.stack([[rows @ [1.0, slope]] for slope in (0.5, 1.0, 2.0)]).transpose(2, 0, 1)


def class_networks(rows):
    """Probabilities of three classes, from three networks."""
    raw = np.stack([np.c_[rows, rows[:, 0] * slope] for slope in (-1.0, 0.3, 2.0)], axis=1)
    return np.exp(raw) / np.exp(raw).sum(-1, keepdims=True)


REGRESSION = RegressionTarget(Z @ [1.0, 0.8] + 0.1)
CLASSES = ClassTarget(np.random.default_rng(1).integers(0, 3, N))


def test_validation_data_of_their_own_are_predicted_in_chunks(monkeypatch):
    X_valid = np.random.default_rng(2).normal(size=(9, 2))
    rows = Rows([np.arange(N)] * K, [np.arange(9)] * K, X_valid, X_valid @ [[1.0], [1.1]])
    whole = score_fit(regression_networks, Z, REGRESSION, rows)
    monkeypatch.setattr(scores, "_CHUNK", 2 * K)
    assert score_fit(regression_networks, Z, REGRESSION, rows).validation_score == pytest.approx(whole.validation_score)


@pytest.mark.parametrize("chunk", [1, 2**22])
def test_a_regression_is_validated_by_the_network_that_held_the_row_out(monkeypatch, chunk):
    monkeypatch.setattr(scores, "_CHUNK", chunk)
    found = score_fit(regression_networks, Z, REGRESSION, FOLDS)
    predictions, y = regression_networks(Z)[..., 0], REGRESSION.values[:, 0]
    oof = predictions[np.arange(N), np.arange(N) % K]
    np.testing.assert_allclose(found.oof_prediction, oof)
    assert found.validation_score == pytest.approx(r2_score(y, oof))
    errors = [np.mean([(predictions[i, k] - y[i]) ** 2 for k in range(K) if k != i % K]) for i in range(N)]
    assert found.training_score == pytest.approx(1 - np.mean(errors) / y.var())
    assert (found.record.number, found.record.evidence["score"]) == (4, "R2")


def test_classes_are_validated_by_the_network_that_held_the_row_out():
    found = score_fit(class_networks, Z, CLASSES, FOLDS)
    predictions, y = class_networks(Z), CLASSES.values
    oof = predictions[np.arange(N), np.arange(N) % K]
    np.testing.assert_allclose(found.oof_prediction, oof)
    assert found.validation_score == pytest.approx(accuracy_score(y, oof.argmax(1)))
    right = [[predictions[i, k].argmax() == y[i] for k in range(K) if k != i % K] for i in range(N)]
    assert found.training_score == pytest.approx(np.mean(right))
    assert found.record.evidence["score"] == "accuracy"


def test_labels_are_right_only_together():
    y = np.random.default_rng(1).integers(0, 2, (N, 3))
    found = score_fit(class_networks, Z, LabelsTarget(y), FOLDS)
    predictions = class_networks(Z)
    oof = predictions[np.arange(N), np.arange(N) % K]
    np.testing.assert_allclose(found.oof_prediction, oof)
    assert found.validation_score == pytest.approx(accuracy_score(y, (oof > 0.5).astype(int)))
    right = [accuracy_score(y[TRAIN[k]], (predictions[TRAIN[k], k] > 0.5).astype(int)) for k in range(K)]
    assert found.training_score == pytest.approx(np.mean(right))
    assert found.record.evidence["score"] == "subset accuracy"


def test_the_record_tells_of_rows_that_several_networks_hold_out():
    def networks(rows):
        return np.full((len(rows), K, 2), 0.5)

    few, enough = (ClassTarget(np.repeat([0, 1], [N - n, n])) for n in (2, 3))
    assert "several networks hold out the same of the 2 rows" in score_fit(networks, Z, few, FOLDS).record.because
    assert "several networks" not in score_fit(networks, Z, enough, FOLDS).record.because


def test_rows_that_nobody_held_out_have_no_out_of_fold_prediction():
    rows = Rows([np.arange(20)], [np.arange(20, N)])
    found = score_fit(lambda z: regression_networks(z)[:, :1], Z, REGRESSION, rows)
    assert np.isnan(found.oof_prediction[:20]).all()
    predictions, y = regression_networks(Z)[:, 0, 0], REGRESSION.values[:, 0]
    assert found.validation_score == pytest.approx(r2_score(y[20:], predictions[20:]))
    assert found.training_score == pytest.approx(1 - mean_squared_error(y[:20], predictions[:20]) / y[:20].var())


def test_validation_data_of_their_own_are_predicted_by_all():
    X_valid = np.random.default_rng(2).normal(size=(9, 2))
    y_valid = X_valid @ [[1.0], [1.1]]
    rows = Rows([np.arange(N)] * K, [np.arange(9)] * K, X_valid, y_valid)
    found = score_fit(regression_networks, Z, REGRESSION, rows)
    mean = regression_networks(X_valid).mean(1)
    assert found.validation_score == pytest.approx(r2_score(y_valid, mean))
    assert found.oof_prediction is None


def test_without_validation_there_is_a_training_score_only():
    found = score_fit(regression_networks, Z, REGRESSION, Rows([np.arange(N)] * K))
    assert found.validation_score is None
    assert found.oof_prediction is None
    errors = ((regression_networks(Z)[..., 0] - REGRESSION.values) ** 2).mean()
    assert found.training_score == pytest.approx(1 - errors / REGRESSION.values.var())
    assert found.record.decision == "no validation"


def test_several_outputs_are_averaged_and_a_constant_one_counts_as_scikit_learn_does():
    y = np.c_[Z @ [1.0, 0.8], np.ones(N)]
    target = RegressionTarget(y)

    def networks(rows):
        return np.repeat(np.c_[rows @ [1.0, 1.0], np.ones(len(rows))][:, None], K, axis=1)

    found = score_fit(networks, Z, target, FOLDS)
    assert found.oof_prediction.shape == (N, 2)
    assert found.validation_score == pytest.approx(r2_score(y, networks(Z)[:, 0]))


@pytest.mark.parametrize("chunk", [1, 2**22])
@pytest.mark.parametrize("weight", [None, np.random.default_rng(3).uniform(0.5, 2, N)], ids=["equal", "weighted"])
def test_the_error_of_r2_is_that_of_the_jackknife(monkeypatch, chunk, weight):
    monkeypatch.setattr(scores, "_CHUNK", chunk)
    target = RegressionTarget(np.c_[REGRESSION.values, np.random.default_rng(4).normal(size=N)])

    def networks(rows):
        return np.repeat(regression_networks(rows), 2, axis=2)

    found = score_fit(networks, Z, target, FOLDS, weight=weight)
    y, oof = target.values, found.oof_prediction
    without = [
        r2_score(
            np.delete(y, i, 0), np.delete(oof, i, 0), sample_weight=None if weight is None else np.delete(weight, i)
        )
        for i in range(N)
    ]
    assert found.validation_error == pytest.approx(np.sqrt((N - 1) * np.var(without)), rel=0.2)
    assert found.n_validation_rows == N


def test_the_error_of_an_accuracy_is_that_of_a_mean():
    found = score_fit(class_networks, Z, CLASSES, FOLDS)
    right = found.oof_prediction.argmax(1) == CLASSES.values
    assert found.validation_error == pytest.approx(right.std(ddof=1) / np.sqrt(N))


def test_validation_data_of_their_own_have_an_error_and_a_single_row_has_none():
    X_valid = np.random.default_rng(2).normal(size=(9, 2))
    y_valid = X_valid @ [[1.0], [1.1]]
    rows = Rows([np.arange(N)] * K, [np.arange(9)] * K, X_valid, y_valid)
    found = score_fit(regression_networks, Z, REGRESSION, rows)
    assert found.validation_error > 0
    assert found.n_validation_rows == 9
    rows = Rows([np.arange(N)] * K, [np.arange(1)] * K, X_valid[:1], y_valid[:1])
    assert np.isnan(score_fit(regression_networks, Z, REGRESSION, rows).validation_error)
    without = score_fit(regression_networks, Z, REGRESSION, Rows([np.arange(N)] * K))
    assert (without.validation_error, without.n_validation_rows) == (None, 0)
