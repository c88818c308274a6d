import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import sk_dlsteps.recipe
from sk_dlsteps import DriftDetector, StepwiseClassifier, StepwiseRegressor
from sk_dlsteps.step6_real_world.column_reader import MAX_DENSE, MAX_SPARSE
from sk_dlsteps.step6_real_world.reference import Reference

QUICK = {"max_epochs": 3, "learning_rate": 0.01, "random_state": 0}


@pytest.fixture(scope="module")
def frame():
    """Numbers, categories, missing values, and a target."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {"size": rng.normal(size=240), "colour": rng.choice(["red", "blue"], 240), "rooms": rng.poisson(2, 240)}
    )
    X.loc[::7, "size"] = np.nan
    return X, (X["rooms"] + rng.normal(size=240)).to_numpy()


def test_networks_are_the_same_bit_for_bit_without_a_sketch(frame, monkeypatch):
    X, y = frame
    with_sketch = StepwiseRegressor(**QUICK).fit(X, y)
    monkeypatch.setattr(sk_dlsteps.recipe, "sketch_fit", lambda *arguments: None)
    without = StepwiseRegressor(**QUICK).fit(X, y)
    assert without.reference_ is None
    np.testing.assert_array_equal(with_sketch.predict(X), without.predict(X))
    np.testing.assert_array_equal(with_sketch.oof_prediction_, without.oof_prediction_)


def test_a_fitted_model_keeps_columns_target_and_out_of_fold_losses(frame):
    X, y = frame
    model = StepwiseRegressor(**QUICK).fit(X, y)
    reference = model.reference_
    assert reference.reader.names == ("size", "colour", "rooms")
    assert reference.columns[0].missing == pytest.approx(X["size"].isna().mean())
    assert reference.columns[1].shares == pytest.approx(X["colour"].value_counts(normalize=True).to_dict())
    assert 1 - reference.outputs.losses.mean == pytest.approx(model.validation_score_)
    assert reference.outputs.losses.error == pytest.approx(
        np.std((model.oof_prediction_ - y) ** 2 / y.var(), ddof=1) / np.sqrt(len(y)), rel=1e-6
    )
    assert reference.outputs.groups == tuple((k,) for k in range(model.plan_.n_networks))
    assert sum(reference.outputs.chances) == pytest.approx(1)


def test_a_classifier_s_mean_loss_is_its_share_of_errors(iris):
    X, _, y, _ = iris
    model = StepwiseClassifier(**QUICK).fit(X, y)
    assert 1 - model.reference_.outputs.losses.mean == pytest.approx(model.validation_score_)
    assert set(model.reference_.outputs.predictions) == {"predicted class", "highest probability"}


def test_chunks_of_a_stream_join_the_reference(frame):
    X, y = frame
    model = StepwiseRegressor(random_state=0)
    for start in range(0, 240, 80):
        model.partial_fit(X[start : start + 80], y[start : start + 80])
    whole = Reference.of(X, np.array([False, True, False]))
    assert model.reference_.n_rows == 240
    assert model.reference_.columns[1].shares == pytest.approx(whole.columns[1].shares)
    np.testing.assert_allclose(model.reference_.columns[2].shares, whole.columns[2].shares, rtol=1e-5)
    assert model.reference_.columns[0].missing == pytest.approx(whole.columns[0].missing)
    assert model.reference_.target["target"].n_rows == 240
    assert model.reference_.outputs is None


def test_a_stream_that_goes_on_from_a_fit_adds_its_rows(frame):
    X, y = frame
    model = StepwiseRegressor(**QUICK).fit(X[:100], y[:100])
    model.partial_fit(X[100:], y[100:])
    assert model.reference_.n_rows == 240
    report = DriftDetector.from_estimator(model).check(X, y)
    assert (report.predictions, report.score) == ((), None)
    assert any("a stream learns every row" in note for note in report.notes)
    assert report.target


def test_a_warm_start_and_fine_tuning_have_the_reference_of_their_own_rows(frame):
    X, y = frame
    model = StepwiseRegressor(warm_start=True, **QUICK).fit(X, y)
    model.fit(X[:150], y[:150])
    assert model.reference_.n_rows == 150
    assert model.reference_.columns[1].n_rows == 150
    assert model.fine_tune(X[:90], y[:90], max_epochs=3, warm_start=False).reference_.n_rows == 90


def test_validation_data_of_their_own_are_predicted_by_all_networks_together(frame):
    X, y = frame
    model = StepwiseRegressor(**QUICK).fit(X[:150], y[:150], X_val=X[150:], y_val=y[150:])
    outputs = model.reference_.outputs
    assert outputs.groups == (tuple(range(model.plan_.n_networks)),)
    expected = ((model.predict(X[150:]) - y[150:]) ** 2).mean() / y[150:].var()
    assert outputs.losses.mean == pytest.approx(expected, rel=1e-5)


def test_rows_of_weight_zero_are_not_in_it(frame):
    X, y = frame
    weight = np.repeat([1.0, 0.0], 120)
    model = StepwiseRegressor(**QUICK).fit(X, y, weight)
    assert model.reference_.n_rows == 120
    assert model.reference_.columns[2].high == X["rooms"][:120].max()


def test_without_held_out_rows_there_are_no_predictions_in_it(frame):
    X, y = frame
    model = StepwiseRegressor(early_stopping=False, **QUICK).fit(X, y)
    assert model.reference_.outputs is None
    report = DriftDetector.from_estimator(model).check(X, y)
    assert report.predictions == ()
    assert any("held out" in note for note in report.notes)


def test_fits_of_a_search_share_the_sketch_of_one_table(frame):
    X, y = frame
    search = GridSearchCV(StepwiseRegressor(**QUICK), {"dropout": [0.0, 0.1]}, cv=2).fit(X, y)
    assert search.best_estimator_.reference_.n_rows == 240
    assert DriftDetector.from_estimator(search).check(X, y).verdict == "no drift"


def test_images_are_looked_at_channel_by_channel():
    X = np.random.default_rng(0).random((30, 3, 8, 8)).astype(np.float32)
    reference = Reference.of(X.reshape(30, -1), shape=(3, 8, 8))
    assert len(reference.columns) == 6
    assert reference.columns[0].high == pytest.approx(X[:, 0].mean((1, 2)).max(), rel=1e-6)
    assert reference.columns[5].low == pytest.approx(X[:, 2].std((1, 2)).min(), rel=1e-5)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_sketch_of_a_wide_table_is_bounded(kind):
    if kind == "dense":
        X = np.random.default_rng(0).normal(size=(100, 3 * MAX_DENSE))
    else:
        X = sparse.random_array((400, 100_000), density=0.001, format="csr", rng=0)
    reference = Reference.of(X)
    assert reference.reader.is_partial
    assert len(reference.columns) <= max(MAX_DENSE, MAX_SPARSE + 1)
    assert len(pickle.dumps(reference)) < 1_200_000


def test_further_rows_of_a_wide_sparse_table_are_not_taken_for_drift():
    X = sparse.random_array((800, 20_000), density=0.005, format="csr", rng=0)
    detector = DriftDetector().fit(X[:400])
    assert detector.check(X[400:]).verdict == "no drift"
    denser = sparse.random_array((400, 20_000), density=0.006, format="csr", rng=1)
    assert "non-zeros of a row" in detector.check(denser).drifted_columns


def test_models_of_other_versions_are_told_to_fit_again(frame):
    X, y = frame
    model = StepwiseRegressor(**QUICK).fit(X, y)
    del model.reference_
    with pytest.raises(ValueError, match=r"no `reference_`.*fit it again"):
        DriftDetector.from_estimator(model)
    assert DriftDetector.from_estimator(model, X, y).check(X).verdict == "no drift"


def test_a_reference_is_pickled_with_its_model_and_left_out_of_clones(frame):
    X, y = frame
    model = StepwiseRegressor(**QUICK).fit(X, y)
    kept = pickle.loads(pickle.dumps(model))
    assert repr(DriftDetector.from_estimator(kept).check(X)) == repr(DriftDetector.from_estimator(model).check(X))
    assert not hasattr(clone(model), "reference_")
