"""Sparse tables in estimators: to the results of the same dense tables, and never written out."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from skorch.callbacks import Callback, EpochScoring
from torch import nn

from sk_dlsteps import (
    StepwiseClassifier,
    StepwiseRegressor,
    StepwiseSearchCV,
    find_learning_rate,
    learning_curve,
    together,
)
from sk_dlsteps.inputs import features
from sk_dlsteps.inputs.features import fit_scaler, network_statistics

RNG = np.random.default_rng(0)
N = 150
DENSE = RNG.uniform(0.5, 2, (N, 20)) * (RNG.random((N, 20)) < 0.2)
DENSE[7] = 0
X = sparse.csr_array(DENSE)
Y = DENSE[:, :4].sum(1) - DENSE[:, 4] + 0.1 * RNG.normal(size=N)
LABELS = np.digitize(Y, [0.2, 0.9])
SEVERAL = np.stack([Y > 0.3, Y > 0.9], 1).astype(int)
QUICK = {"n_estimators": 2, "random_state": 0, "learning_rate": 0.02, "max_epochs": 4, "hidden_units": 6}
# What both kinds of table can be put through alike: a sparse one is not centred, and has no ramps.
ALIKE = {**QUICK, "scaler": None, "numeric_encoding": None}


class Net(nn.Sequential):
    """A small module of a user's own."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(nn.Linear(n_inputs, 5), nn.ReLU(), nn.Linear(5, n_outputs))


def asked(model, rows):
    return getattr(model, "predict_proba", model.predict)(rows)


# -- as dense tables ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "y", "parameters"),
    [
        (StepwiseRegressor, Y, {}),
        (StepwiseRegressor, Y, {"optimizer": "sgd", "weight_decay": 0.01, "n_estimators": 1}),
        (StepwiseRegressor, Y, {"dropout": 0.3, "batch_norm": True, "hidden_units": (6, 5)}),
        (StepwiseRegressor, Y, {"loss": "quantile"}),
        (StepwiseRegressor, Y, {"module": Net}),
        (StepwiseRegressor, np.stack([Y, -Y], 1), {"max_grad_norm": 0.5}),
        (StepwiseRegressor, Y, {"scaler": MaxAbsScaler()}),
        (StepwiseRegressor, Y, {"batch_size": 7, "early_stopping": False}),
        (StepwiseClassifier, LABELS, {}),
        (StepwiseClassifier, LABELS, {"calibrate": True, "class_weight": "balanced"}),
        (StepwiseClassifier, SEVERAL, {}),
    ],
    ids=lambda value: "" if isinstance(value, np.ndarray) else str(value),
)
def test_a_sparse_table_trains_to_what_its_dense_twin_does(estimator, y, parameters):
    thin, thick = (estimator(**{**ALIKE, **parameters}).fit(table, y) for table in (X, DENSE))
    np.testing.assert_allclose(asked(thin, X), asked(thick, DENSE), rtol=1e-3, atol=1e-4)
    if parameters.get("early_stopping", True):
        np.testing.assert_allclose(thin.oof_prediction_, thick.oof_prediction_, rtol=1e-3, atol=1e-4)
    assert thin.training_score_ == pytest.approx(thick.training_score_, abs=0.02)
    assert thin.plan_.n_inputs == thick.plan_.n_inputs


def test_columns_of_mean_zero_are_standardised_alike():
    mirrored = np.concatenate([DENSE, -DENSE])
    y, common = np.concatenate([Y, Y]), {**QUICK, "numeric_encoding": None, "early_stopping": False}
    thin, thick = (StepwiseRegressor(**common).fit(table, y) for table in (sparse.csr_array(mirrored), mirrored))
    np.testing.assert_allclose(thin.predict(X), thick.predict(DENSE), rtol=1e-3, atol=1e-4)


def test_statistics_are_the_same_a_few_rows_at_a_time(monkeypatch):
    rows = np.arange(1, N)
    whole = fit_scaler(X, rows)
    monkeypatch.setattr(features, "CHUNK", 1)
    assert len(list(features.chunks(X, rows))) > 1
    in_chunks = fit_scaler(X, rows)
    np.testing.assert_allclose(in_chunks.mean_, whole.mean_, atol=1e-12)
    np.testing.assert_allclose(in_chunks.scale_, whole.scale_)


def test_each_network_divides_by_the_standard_deviation_of_its_own_rows():
    rows = [np.arange(0, N, 2), np.arange(1, N, 2)]
    center, factor = network_statistics(X, fit_scaler(X), rows)
    assert not center.any()
    for own, found in zip(rows, factor, strict=True):
        std = DENSE[own].std(0)
        np.testing.assert_allclose(found, np.divide(1, std, out=np.zeros(20), where=std > 0))


@pytest.mark.parametrize(
    "kind", [sparse.csc_array, sparse.coo_array, sparse.csr_matrix, sparse.csc_matrix, sparse.lil_array]
)
def test_every_sparse_kind_gives_the_same_model(kind):
    expected = StepwiseRegressor(**QUICK).fit(X, Y)
    model = StepwiseRegressor(**QUICK).fit(kind(X), Y)
    np.testing.assert_array_equal(model.predict(kind(X)), expected.predict(X))


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_every_dtype_gives_the_same_model(dtype):
    ones = sparse.csr_array((DENSE > 0).astype(dtype))
    expected = StepwiseRegressor(**QUICK).fit(ones.astype(float), Y)
    found = StepwiseRegressor(**QUICK).fit(ones, Y)
    np.testing.assert_allclose(found.predict(ones), expected.predict(ones), rtol=1e-4, atol=1e-5)


def test_a_model_of_a_sparse_table_takes_dense_rows_and_not_the_reverse():
    model = StepwiseRegressor(**QUICK).fit(X, Y)
    np.testing.assert_allclose(model.predict(DENSE), model.predict(X), rtol=1e-6, atol=1e-7)
    with pytest.raises(TypeError, match="dense data is required"):
        StepwiseRegressor(**QUICK).fit(DENSE, Y).predict(X)


def test_the_users_table_is_left_as_it_is_even_if_entries_stand_twice():
    twice = sparse.csr_array((np.array([1.0, 2.0, 5.0] * 20), np.array([1, 1, 0] * 20), np.arange(0, 61, 3)))
    before = twice.data.copy(), twice.indices.copy()
    y = RNG.normal(size=20)
    model = StepwiseRegressor(**ALIKE).fit(twice, y)
    np.testing.assert_array_equal(model.predict(twice), model.predict(twice.toarray()))
    np.testing.assert_array_equal(twice.data, before[0])
    np.testing.assert_array_equal(twice.indices, before[1])


@pytest.mark.parametrize("scaler", [None, "standard"])
def test_a_table_that_is_read_only_is_learnt_and_warns_of_nothing(scaler):
    locked = sparse.csr_array(X.astype(np.float32))
    for part in (locked.data, locked.indices, locked.indptr):
        part.flags.writeable = False
    model = StepwiseRegressor(**{**QUICK, "scaler": scaler}).fit(locked, Y)
    assert np.isfinite(model.predict(locked)).all()


# -- what stands around a fit -----------------------------------------------------------------


class Watcher(Callback):
    """Notes the shapes of minibatches."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.shapes_ = []

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        self.shapes_.append(tuple(batch[0].shape))


def test_callbacks_meet_sparse_rows():
    scoring, watcher = EpochScoring("r2", lower_is_better=False, name="valid_r2"), Watcher()
    model = StepwiseRegressor(**QUICK, callbacks=[scoring, watcher]).fit(X, Y)
    plain = StepwiseRegressor(**QUICK).fit(X, Y)
    np.testing.assert_allclose(model.predict(X), plain.predict(X), rtol=1e-5, atol=1e-6)
    assert "valid_r2" in model.history_[-1]
    assert {shape[-1] for shape in dict(model.pipeline_[-1].callbacks_)["Watcher"].shapes_} == {20}


@pytest.mark.parametrize("as_sparse", [True, False])
def test_validation_rows_may_be_sparse_or_dense(as_sparse):
    X_val = X[:40] if as_sparse else DENSE[:40]
    model = StepwiseRegressor(**ALIKE).fit(X[40:], Y[40:], X_val=X_val, y_val=Y[:40])
    dense = StepwiseRegressor(**ALIKE).fit(DENSE[40:], Y[40:], X_val=DENSE[:40], y_val=Y[:40])
    assert model.validation_score_ == pytest.approx(dense.validation_score_, abs=1e-3)


def test_a_pickled_model_predicts_the_same():
    model = StepwiseClassifier(**QUICK).fit(X, LABELS)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))


def test_chunks_and_warm_starts_are_sparse_too():
    streams = [StepwiseRegressor(**ALIKE) for _ in range(2)]
    for start in range(0, N, 50):
        for stream, table in zip(streams, (X, DENSE), strict=True):
            stream.partial_fit(table[start : start + 50], Y[start : start + 50])
    np.testing.assert_allclose(streams[0].predict(X), streams[1].predict(DENSE), rtol=1e-3, atol=1e-4)
    warm = [StepwiseRegressor(**ALIKE, warm_start=True).fit(table, Y).fit(table, Y) for table in (X, DENSE)]
    np.testing.assert_allclose(warm[0].predict(X), warm[1].predict(DENSE), rtol=1e-3, atol=1e-4)


def test_candidates_of_a_search_train_together_to_what_they_are_alone(monkeypatch):
    fleets, train = [], together._train_merged
    monkeypatch.setattr(together, "_train_merged", lambda nets, *args: (fleets.append(len(nets)), train(nets, *args)))
    space = {"weight_decay": [0.0, 0.1], "dropout": [0.0, 0.25]}
    model = StepwiseRegressor(**QUICK)
    search = StepwiseSearchCV(model, space, strategy="random", n_iter=4, cv=2, random_state=0).fit(X, Y)
    assert max(fleets) == 8
    alone = model.set_params(**search.cv_results_["params"][0]).fit(X[N // 2 :], Y[N // 2 :])
    expected = alone.score(X[: N // 2], Y[: N // 2])
    assert search.cv_results_["split0_test_score"][0] == pytest.approx(expected, abs=1e-4)


def test_the_ladder_climbs_without_rungs_that_need_dense_rows():
    search = StepwiseSearchCV(StepwiseRegressor(**QUICK), cv=2, n_iter=30, random_state=0).fit(X, Y)
    names = [rung.name for rung in search.ladder_]
    assert "batch norm" in names
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert not any("augmentation" in params for params in search.cv_results_["params"])


def test_the_finder_and_learning_curves_take_sparse_rows():
    model = StepwiseRegressor(**{**QUICK, "learning_rate": "auto", "max_epochs": 40})
    assert 1e-4 < find_learning_rate(model, X, Y).learning_rate < 1
    curve = learning_curve(StepwiseRegressor(**QUICK), X, Y, cv=2, train_sizes=[0.5, 1.0])
    assert np.isfinite(curve.test_scores).all()


def test_texts_go_through_a_pipeline():
    texts = [f"{'good' if label else 'bad'} film number {i}" for i, label in enumerate(LABELS > 0)]
    model = make_pipeline(TfidfVectorizer(), StepwiseClassifier(**{**QUICK, "max_epochs": 20})).fit(texts, LABELS > 0)
    assert model.score(texts, LABELS > 0) > 0.95


# -- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"scaler": "robust"}, "`scaler='robust'` subtracts medians, which sparse X cannot bear"),
        ({"augmentation": "mixup"}, "`augmentation='mixup'` needs dense inputs, and X is sparse; leave it at None"),
        ({"numeric_encoding": "piecewise_linear"}, "`numeric_encoding='piecewise_linear'` needs dense inputs"),
        ({"mixed_precision": "bf16"}, "`mixed_precision='bf16'` needs dense inputs, and X is sparse; leave it at None"),
        ({"categorical_features": [0]}, "`categorical_features` must be"),
    ],
)
def test_what_sparse_rows_cannot_go_through_is_an_error_with_the_way_out(parameters, message):
    with pytest.raises(ValueError, match=message):
        StepwiseRegressor(**{**QUICK, **parameters}).fit(X, Y)


@pytest.mark.parametrize("parameters", [{"augmentation": "mixup"}, {"mixed_precision": "bf16"}])
def test_a_scaler_that_makes_dense_columns_lifts_the_limits(parameters):
    model = StepwiseRegressor(**{**QUICK, "scaler": MaxAbsScaler(), **parameters}).fit(X, Y)
    assert np.isfinite(model.predict(X)).all()


def test_a_users_module_is_trained_on_narrow_floats_since_its_rows_are_written_out():
    model = StepwiseRegressor(**QUICK, module=Net, mixed_precision="bf16").fit(X, Y)
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize(("bad", "word"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_what_is_not_finite_names_the_column(bad, word):
    spoilt = X.copy()
    spoilt.data[3] = bad
    column = spoilt.indices[3]
    model = StepwiseRegressor(**QUICK).fit(X, Y)
    for refused in (lambda: StepwiseRegressor(**QUICK).fit(spoilt, Y), lambda: model.predict(spoilt)):
        with pytest.raises(ValueError, match=rf"Input X contains {word}[\s\S]*First seen: Column {column}\."):
            refused()


def test_sparse_validation_rows_of_a_dense_table_are_refused():
    with pytest.raises(ValueError, match="`X_val` and `y_val` do not fit: Sparse data was passed"):
        StepwiseRegressor(**QUICK).fit(DENSE, Y, X_val=X, y_val=Y)


# -- memory -----------------------------------------------------------------------------------

_WIDE = """
import resource
import numpy as np
from scipy import sparse
from sk_dlsteps import StepwiseClassifier
rng = np.random.default_rng(0)
entries = rng.integers(0, 200_000, (3000, 20))
X = sparse.csr_array((np.ones(60_000, np.float32), entries.ravel(), np.arange(0, 60_001, 20)), shape=(3000, 200_000))
y = (entries < 100_000).sum(1) > 10
model = StepwiseClassifier(n_estimators=2, max_epochs=1, learning_rate=0.01, hidden_units=4, random_state=0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.fit(X, y).predict_proba(X)
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def test_nothing_as_large_as_the_dense_table_is_ever_allocated():
    run = subprocess.run([sys.executable, "-c", _WIDE], capture_output=True, text=True, check=True)
    dense = 3000 * 200_000 * 4
    assert int(run.stdout) < dense / 8
