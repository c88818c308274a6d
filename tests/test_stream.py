"""`partial_fit`: chunks of a stream, against a fit's own epochs and against what must not change."""

import copy
import pickle
import signal

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import QuantileTransformer
from skorch.callbacks import Callback, LRScheduler
from torch import nn
from torch.optim.lr_scheduler import StepLR

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseWarning, preparation

RNG = np.random.default_rng(0)
X = RNG.normal(3.0, [1.0, 10.0, 0.1, 1.0], (300, 4))
Y = np.sin(X[:, 0]) + X[:, 1] / 10 + 0.1 * RNG.normal(size=300)
LABELS = np.array(["low", "middle", "high"])[np.digitize(Y, [-0.5, 0.5])]
COUNTS = RNG.poisson(np.exp(Y)).astype(float)
WEIGHT = RNG.uniform(0.1, 3.0, 300)
QUICK = {"n_estimators": 2, "random_state": 0, "learning_rate": 0.01, "batch_size": 16}
CHUNKS = [slice(start, start + 60) for start in range(0, 300, 60)]


class Net(nn.Module):
    """A small module with dropout, whose randomness goes on too."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_inputs, 8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, n_outputs))

    def forward(self, x):
        return self.layers(x)


@pytest.fixture
def float64(monkeypatch):
    """Networks in float64, so that statistics that differ by rounding do not matter."""
    monkeypatch.setattr(preparation, "_DTYPE", torch.float64)


def asked(model, rows=X):
    """Probabilities of a classifier, values of a regressor."""
    return getattr(model, "predict_proba", model.predict)(rows)


def streamed(model, chunks=CHUNKS, y=Y, **parameters):
    """The model after some chunks."""
    for chunk in chunks:
        model.partial_fit(X[chunk], y[chunk], **parameters)
    return model


@pytest.mark.parametrize(
    "parameters",
    [{}, {"loss": "poisson"}, {"optimizer": "sgd"}, {"dropout": 0.3, "weight_decay": 0.01}, {"module": Net}],
    ids=str,
)
@pytest.mark.parametrize("schedule", ["constant", "cosine_restarts"])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["equal", "weighted"])
def test_the_whole_table_again_and_again_is_a_fit_of_as_many_epochs(float64, parameters, schedule, weight):
    y = COUNTS if parameters.get("loss") == "poisson" else Y
    common = {**QUICK, **parameters, "lr_schedule": schedule, "restart_period": 1}
    fitted = StepwiseRegressor(**common, max_epochs=7, early_stopping=False).fit(X, y, sample_weight=weight)
    stream = StepwiseRegressor(**common)
    for _ in range(7):
        stream.partial_fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(stream.predict(X), fitted.predict(X), rtol=1e-6, atol=1e-7)
    assert stream.n_iter_ == 7
    np.testing.assert_allclose(
        [row["train_loss"] for row in stream.history_], [row["train_loss"] for row in fitted.history_], rtol=1e-6
    )
    assert stream.training_score_ == pytest.approx(fitted.training_score_, rel=1e-6)
    assert stream.validation_score_ is None
    assert stream.oof_prediction_ is None


def test_so_it_is_for_classes(float64):
    common = {**QUICK, "lr_schedule": "constant"}
    fitted = StepwiseClassifier(**common, max_epochs=4, early_stopping=False).fit(X, LABELS)
    stream = StepwiseClassifier(**common)
    for _ in range(4):
        stream.partial_fit(X, LABELS, classes=["middle", "low", "high"])
    np.testing.assert_allclose(stream.predict_proba(X), fitted.predict_proba(X), rtol=1e-6, atol=1e-9)
    assert stream.classes_.tolist() == ["high", "low", "middle"]


def test_a_network_of_a_fleet_learns_a_stream_as_it_does_alone(float64):
    alone = streamed(StepwiseRegressor(**{**QUICK, "n_estimators": 1}))
    fleet = streamed(StepwiseRegressor(**{**QUICK, "n_estimators": 3}))
    Z = fleet.pipeline_[0].transform(X)
    first = fleet.pipeline_[-1].network_predictions(Z)[:, 0, 0]
    np.testing.assert_allclose(alone.predict(X), first, rtol=1e-7, atol=1e-8)


SEEN: list = []


def noting(x, y, generator):
    """An augmentation that changes nothing and notes the targets."""
    SEEN.append(y[:, 0].clone())
    return x, y


def test_every_network_sees_every_row_of_a_chunk_once():
    model = StepwiseRegressor(**QUICK, augmentation=noting).partial_fit(X, Y)
    for chunk in (slice(0, 70), slice(70, 71), slice(71, 300)):
        SEEN.clear()
        model.partial_fit(X[chunk], Y[chunk])
        mean, std = (
            float(t[0, 0, 0])
            for t in (model.pipeline_[-1].module_.target_center, model.pipeline_[-1].module_.target_scale)
        )
        seen = np.sort(torch.cat(SEEN).numpy() * std + mean)
        np.testing.assert_allclose(seen, np.sort(np.repeat(Y[chunk], 2)), atol=1e-5)


def test_statistics_are_those_of_all_chunks_so_far():
    model = streamed(StepwiseRegressor(**QUICK))
    scaler, net = model.pipeline_
    np.testing.assert_allclose([scaler.mean_, scaler.scale_], [X.mean(0), X.std(0)])
    np.testing.assert_allclose(net.module_.target_center[:, 0, 0], Y.mean())
    np.testing.assert_allclose(net.module_.target_scale[:, 0, 0], Y.std())
    assert not net.module_.input_center.any()


def test_the_order_of_chunks_matters_as_the_order_of_steps_does_but_not_for_the_statistics():
    forth, back = (streamed(StepwiseRegressor(**QUICK), CHUNKS[::step]) for step in (1, -1))
    np.testing.assert_allclose(forth.pipeline_[0].mean_, back.pipeline_[0].mean_)
    assert abs(forth.predict(X) - back.predict(X)).max() > 1e-3


@pytest.mark.parametrize("parameters", [{}, {"loss": "poisson"}, {"module": Net}], ids=str)
def test_new_statistics_alone_move_no_prediction(parameters):
    y = COUNTS if "loss" in parameters else Y
    clip = {} if "module" in parameters else {"input_clip": None}
    model = StepwiseRegressor(**QUICK, **parameters, **clip).partial_fit(X[:60], y[:60])
    before = model.predict(X)
    # At a rate of next to nothing only the statistics change, of a chunk quite unlike the first.
    model.set_params(learning_rate=1e-12).partial_fit(X[60:] + (0 if "module" in parameters else 2), 5 * y[60:])
    tolerance = 0.3 if "module" in parameters else 1e-4
    assert abs(model.predict(X) - before).max() < tolerance * before.std()


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"optimizer": "sgd", "dropout": 0.2},
        {"optimizer": torch.optim.RMSprop, "batch_norm": True},
        {"lr_schedule": "plateau", "augmentation": "gaussian_noise"},
        {"module": Net, "lr_schedule": "constant"},
    ],
    ids=str,
)
def test_a_pickle_in_the_middle_changes_nothing(parameters):
    whole = streamed(StepwiseRegressor(**{**QUICK, **parameters}))
    model = StepwiseRegressor(**{**QUICK, **parameters})
    for chunk in CHUNKS:
        model = pickle.loads(pickle.dumps(streamed(model, [chunk])))
    np.testing.assert_array_equal(model.predict(X), whole.predict(X))


def test_moments_go_on_from_call_to_call():
    model = streamed(StepwiseRegressor(**QUICK, lr_schedule="constant"), CHUNKS[:3])
    forgetful = copy.deepcopy(model)
    forgetful._memory.carried.optimizer.clear()
    assert (streamed(model, CHUNKS[3:]).predict(X) != streamed(forgetful, CHUNKS[3:]).predict(X)).any()


class CtrlC(Callback):
    """Gets a real SIGINT at the end of the pass."""

    armed = False

    def on_epoch_end(self, net, **kwargs):
        if self.armed:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("first", ["partial_fit", "fit", None])
def test_an_interrupted_call_leaves_everything_as_it_was(first):
    callback = CtrlC()
    model = StepwiseRegressor(**QUICK, max_epochs=3, callbacks=[callback])
    if first:
        getattr(model, first)(X[:100], Y[:100])
        before, published = model.predict(X), dict(vars(model))
        state = pickle.dumps(model.pipeline_[-1].module_.state_dict())
    callback.armed = True
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(X[100:], Y[100:])
    callback.armed = False
    if not first:
        with pytest.raises(NotFittedError):
            model.predict(X)
        return
    assert all(vars(model)[name] is value for name, value in published.items())
    assert pickle.dumps(model.pipeline_[-1].module_.state_dict()) == state
    np.testing.assert_array_equal(model.predict(X), before)


@pytest.mark.parametrize(
    ("rows", "target", "message"),
    [
        (np.where(np.arange(4) == 1, np.inf, X), Y, "infinity"),
        (X[:, :3], Y, "X has 3 features, but StepwiseRegressor is expecting 4"),
        (X, np.column_stack([Y, Y]), "columns of `y` was 1 and would be 2"),
        (X * [1, 1e300, 1, 1], Y, "Column 1 of X has values too large"),
    ],
)
def test_a_bad_chunk_is_refused_and_leaves_everything_as_it_was(rows, target, message):
    model = StepwiseRegressor(**QUICK).partial_fit(X, Y)
    published = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.partial_fit(rows, target)
    assert all(vars(model)[name] is value for name, value in published.items())


def test_a_scheduler_among_the_callbacks_is_refused_where_training_goes_on():
    scheduled = {"callbacks": [LRScheduler(StepLR, step_size=1)], "max_epochs": 2}
    model = StepwiseRegressor(**{**QUICK, **scheduled}, warm_start=True)
    with pytest.raises(ValueError, match=r"`callbacks` holds an LRScheduler, .* chunks of a stream"):
        model.partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"`callbacks` holds an LRScheduler, .* warm starts"):
        model.fit(X, Y).fit(X, Y)


def test_a_stream_goes_on_from_a_fit_and_a_fit_begins_anew():
    model = StepwiseRegressor(**QUICK, max_epochs=15).fit(X, Y)
    fitted, counts = model.predict(X), model.pipeline_[0].n_samples_seen_
    model.set_params(learning_rate=1e-12).partial_fit(X[:60], Y[:60])
    assert abs(model.predict(X) - fitted).max() < 0.05 * fitted.std()
    assert model.pipeline_[0].n_samples_seen_ == counts + 60
    assert model.n_iter_ == 16
    model.set_params(learning_rate=0.01).fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), fitted)


def test_classes_may_be_missing_in_every_chunk():
    order = np.argsort(LABELS, kind="stable")
    model = StepwiseClassifier(**QUICK)
    for own in np.array_split(order, 6):
        model.partial_fit(X[own], LABELS[own], classes=np.unique(LABELS))
    assert model.predict_proba(X).shape == (300, 3)
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1.0)


def test_classes_that_do_not_fit_are_errors_that_say_why():
    model = StepwiseClassifier(**QUICK)
    with pytest.raises(ValueError, match="`classes` must be given in the first call"):
        model.partial_fit(X, LABELS)
    with pytest.raises(ValueError, match="not among `classes`: \\['middle'\\]"):
        model.partial_fit(X, LABELS, classes=["low", "high"])
    with pytest.raises(ValueError, match="`classes` holds only one class"):
        model.partial_fit(X, np.repeat("low", 300), classes=["low"])
    model.partial_fit(X, LABELS, classes=np.unique(LABELS))
    with pytest.raises(ValueError, match=r"but the networks tell .* apart"):
        model.partial_fit(X, LABELS, classes=["low", "high"])


def test_a_chunk_may_be_one_row_and_a_first_chunk_constant():
    model = StepwiseRegressor(**QUICK).partial_fit(X[:1], Y[:1])
    assert (model.predict(X) == Y[0]).all()
    for _ in range(20):
        streamed(model)
    assert model.score(X, Y) > 0.5
    assert np.isnan(model.partial_fit(X[:1], Y[:1]).training_score_)


def test_batch_norm_learns_two_rows_at_a_time_however_small_the_minibatches_are():
    models = [StepwiseRegressor(**{**QUICK, "batch_size": size}, batch_norm=True) for size in (1, 2)]
    one, two = (model.partial_fit(X[:20], Y[:20]).partial_fit(X[20:40], Y[20:40]) for model in models)
    np.testing.assert_array_equal(one.predict(X), two.predict(X))
    with pytest.raises(ValueError, match="`batch_norm=True` needs at least 2 rows that count"):
        one.partial_fit(X[:5], Y[:5], sample_weight=[0, 0, 0, 0, 1])


def test_counts_may_be_all_zero_in_a_later_chunk_but_never_negative():
    model = StepwiseRegressor(**QUICK, loss="poisson").partial_fit(X, COUNTS)
    assert (model.partial_fit(X[:50], np.zeros(50)).predict(X) > 0).all()
    with pytest.raises(ValueError, match="needs a target of values >= 0"):
        model.partial_fit(X, COUNTS - 1)


@pytest.mark.parametrize("scaler", ["robust", QuantileTransformer(n_quantiles=10)])
def test_a_scaler_that_cannot_learn_on_keeps_its_first_statistics_and_says_so(scaler):
    model = StepwiseRegressor(**QUICK, scaler=scaler)
    with pytest.warns(StepwiseWarning, match="those of the first chunk, of 60 rows"):
        model.partial_fit(X[:60], Y[:60])
    before = model.pipeline_[0].transform(X)
    streamed(model, CHUNKS[1:])
    np.testing.assert_array_equal(model.pipeline_[0].transform(X), before)


def test_a_value_too_far_out_for_float32_is_refused():
    model = StepwiseRegressor(**QUICK, scaler=None).partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"Column 0 of X has values up to 1\.0e\+30 once it is scaled"):
        model.partial_fit(np.where(np.arange(4) == 0, 1e30, X), Y)


def test_records_say_what_a_stream_did():
    model = streamed(StepwiseRegressor(random_state=0, n_estimators=2))
    titles = [record.title for record in model.steps_]
    assert titles.count("first chunk") == titles.count("stream") == 1
    stream = next(record for record in model.steps_ if record.title == "stream")
    assert stream.evidence == {"calls": 5, "rows": 300, "rows of the last chunk": 60}
    assert model.plan_.n_rows == 60
    assert model.lr_curve_ is not None
    assert model.learning_rate_ == model.lr_curve_.learning_rate
    assert len(model.history_) == model.n_iter_ == 5


def test_changed_architecture_is_refused_and_a_changed_rate_is_not():
    model = StepwiseRegressor(**QUICK).partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"`hidden_units` was 'auto' .* and is 9 now.*begin anew"):
        model.set_params(hidden_units=9).partial_fit(X, Y)
    model.set_params(hidden_units="auto", learning_rate=0.02).partial_fit(X, Y)
    assert model.plan_.learning_rate == 0.02


def test_a_schedule_with_an_end_needs_max_epochs_and_then_stays():
    with pytest.raises(ValueError, match="set `max_epochs`"):
        StepwiseRegressor(**QUICK, lr_schedule="cosine").partial_fit(X, Y)
    model = StepwiseRegressor(**QUICK, lr_schedule="cosine", max_epochs=2)
    for _ in range(2):
        model.partial_fit(X, Y)
    before = model.predict(X)
    np.testing.assert_allclose(model.partial_fit(X, Y).predict(X), before, atol=1e-5)
    assert model.history_[-1, "lr"] == 0.0


def test_a_plateau_watches_the_calls_losses():
    model = StepwiseRegressor(**QUICK, lr_schedule="plateau")
    for _ in range(15):
        model.partial_fit(X[:20], RNG.normal(size=20))
    assert (model._memory.carried.schedule_state["factors"] < 1).all()


def test_column_names_of_later_chunks_are_compared():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = StepwiseRegressor(**QUICK).partial_fit(frame, Y)
    assert model.partial_fit(frame, Y).feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(frame[list("badc")], Y)
