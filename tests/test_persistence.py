"""Models on disk, and what an interrupted or failing fit leaves."""

import copy
import copyreg
import pickle
import signal
import subprocess
import sys
import textwrap

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from skorch.callbacks import Callback
from skorch.exceptions import DeviceWarning
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseWarning
from sk_dlsteps.engine.device import is_available

RNG = np.random.default_rng(0)
X = RNG.normal(size=(500, 5))
Y = X[:, 0] * X[:, 1] + X[:, 2]
C = np.array(["low", "middle", "high"])[np.digitize(Y, [-0.5, 0.5])]


class Net(nn.Module):
    """A network of the user's own; interrupts as Ctrl-C would once it is told to."""

    interrupts = False

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layer = nn.Linear(n_inputs, n_outputs)

    def forward(self, x):
        if self.training and Net.interrupts:
            raise KeyboardInterrupt
        return self.layer(x)


class Failing(Net):
    """The same with an ordinary error while it trains."""

    def forward(self, x):
        if self.training:
            raise FloatingPointError("broken on purpose")
        return super().forward(x)


def run(script, *arguments, **options):
    """A new Python process that runs a script."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture(scope="module")
def models():
    """Default models on 500 rows, and some that are not so default."""
    regularised = {"dropout": 0.3, "batch_norm": True, "augmentation": "mixup", "weight_decay": 0.01}
    return [
        StepwiseRegressor(random_state=0).fit(X, Y),
        StepwiseRegressor(random_state=0, max_epochs=10).fit(X, np.column_stack([Y, -Y])),
        StepwiseClassifier(random_state=0).fit(X, C),
        StepwiseClassifier(random_state=0, max_epochs=10).fit(X, Y > 0),
        StepwiseRegressor(random_state=0, n_estimators=1, max_epochs=5, learning_rate=0.02).fit(X, Y, X_val=X, y_val=Y),
        StepwiseClassifier(random_state=0, n_estimators=1, max_epochs=5, learning_rate=0.02, **regularised).fit(X, C),
    ]


def test_a_new_process_predicts_bit_for_bit_the_same(models, tmp_path):
    joblib.dump(models, tmp_path / "models.joblib")
    np.save(tmp_path / "X.npy", X)
    script = """
        import sys, joblib, numpy as np
        folder = sys.argv[1]
        X = np.load(folder + "/X.npy")
        for i, model in enumerate(joblib.load(folder + "/models.joblib")):
            predict = getattr(model, "predict_proba", model.predict)
            np.save(f"{folder}/{i}.npy", predict(X))
    """
    with run(script, tmp_path) as process:
        assert process.wait() == 0
    for i, model in enumerate(models):
        predict = getattr(model, "predict_proba", model.predict)
        np.testing.assert_array_equal(np.load(tmp_path / f"{i}.npy"), predict(X))


def test_a_default_model_is_small(models, tmp_path):
    # The first layer, and with it the size, grows with the columns and their ramps: most with 24, the last to have any.
    wide = np.random.default_rng(0).normal(size=(500, 24))
    for model in (*models, StepwiseRegressor(random_state=0).fit(wide, wide[:, 0] ** 2)):
        assert len(pickle.dumps(model)) < 300_000
        joblib.dump(model, tmp_path / "model.joblib")
        assert (tmp_path / "model.joblib").stat().st_size < 300_000


def test_no_training_data_is_inside(models):
    for model in models:
        content = pickle.dumps(model)
        scaled = model.pipeline_[0].transform(X)
        for table in (X, scaled):
            for dtype in ("f4", "f8"):
                assert not any(row[:2].tobytes() in content for row in table.astype(dtype))
                assert not any(column[:2].tobytes() in content for column in table.astype(dtype).T)
        for dtype in ("f4", "f8"):
            assert Y[:3].astype(dtype).tobytes() not in content


def test_a_fitted_model_pickles_again_and_again(models):
    for model in models:
        again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(model))))
        np.testing.assert_array_equal(again.predict(X[:9]), model.predict(X[:9]))
        assert again.steps_ == model.steps_
        assert again.n_iter_ == len(again.history_) == model.n_iter_


def test_a_module_of_the_users_own_pickles():
    model = StepwiseRegressor(module=Net, random_state=0, max_epochs=3, learning_rate=0.01).fit(X, Y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


class Own(StepwiseRegressor):
    """A derived class with a state of its own."""

    def __getstate__(self):
        return {**super().__getstate__(), "note": "mine"}

    def __setstate__(self, state):
        note = state.pop("note")
        super().__setstate__(state)
        self.note = note


def test_a_derived_class_may_have_a_state_of_its_own():
    model = Own(random_state=0, max_epochs=2, n_estimators=1, learning_rate=0.01).fit(X, Y)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert again.note == "mine"
        np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_a_pickle_of_an_earlier_version_has_the_parameters_since_then_and_says_so(monkeypatch):
    source = StepwiseRegressor(random_state=0, max_epochs=2, n_estimators=1, learning_rate=0.01).fit(X, Y)
    model = clone(source).set_params(init_from=source).fit(X, Y)
    later = {"checkpoint", "on_interrupt", "_versions"}

    def earlier(self, protocol):
        state = {name: value for name, value in self._attributes().items() if name not in later}
        return copyreg.__newobj__, (type(self),), state

    with monkeypatch.context() as patch:
        patch.setattr(StepwiseRegressor, "__reduce_ex__", earlier)
        content = pickle.dumps(model)
    with pytest.warns(StepwiseWarning, match="pickled before versions were kept"):
        again = pickle.loads(content)
    for one in (again, again.init_from):
        assert one.get_params(deep=False).keys() == model.get_params(deep=False).keys()
        assert one.on_interrupt == "raise"
    np.testing.assert_array_equal(clone(again).fit(X, Y).predict(X), model.predict(X))


# -- fits that do not end --------------------------------------------------------------


def fitted_state(model):
    """Everything a fit left, in a form that can be compared."""
    return {name: id(value) for name, value in vars(model).items() if name.endswith("_")}


@pytest.mark.parametrize("estimator", [StepwiseRegressor, StepwiseClassifier])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"module": Net}, KeyboardInterrupt),
        ({"module": Failing}, FloatingPointError),
        ({"loss": "nonsense"}, ValueError),
        ({"n_estimators": 0}, ValueError),
    ],
)
def test_a_fit_that_does_not_end_leaves_the_earlier_one(estimator, change, error, monkeypatch):
    y = Y if estimator is StepwiseRegressor else C
    model = estimator(random_state=0, max_epochs=3, learning_rate=0.01).fit(X, y)
    before, state = model.predict(X), fitted_state(model)
    monkeypatch.setattr(Net, "interrupts", True)
    with pytest.raises(error):
        model.set_params(**change).fit(X[:100, :4], y[:100])
    assert fitted_state(model) == state
    np.testing.assert_array_equal(model.predict(X), before)


def test_bad_data_leave_the_earlier_fit():
    model = StepwiseRegressor(random_state=0, max_epochs=3, learning_rate=0.01).fit(X, Y)
    state = fitted_state(model)
    for bad in (X[:, :0], X[:3], np.full_like(X, np.inf)):
        with pytest.raises(ValueError, match=r"feature|inconsistent|infinity"):
            model.fit(bad, Y)
    with pytest.raises(ValueError, match="do not fit"):
        model.fit(X[:, :3], Y, X_val=X, y_val=Y)
    assert fitted_state(model) == state
    assert model.n_features_in_ == 5


def test_a_first_fit_that_fails_leaves_nothing():
    model = StepwiseRegressor(module=Failing, max_epochs=3, learning_rate=0.01)
    with pytest.raises(FloatingPointError):
        model.fit(X, Y)
    assert vars(model) == vars(StepwiseRegressor(module=Failing, max_epochs=3, learning_rate=0.01))


def test_a_refit_drops_what_the_new_data_do_not_have():
    frame = pd.DataFrame(X).rename(columns=str)
    model = StepwiseRegressor(random_state=0, max_epochs=3, learning_rate=0.01).fit(frame, Y)
    assert len(model.feature_names_in_) == 5
    model.fit(X[:, :3], Y)
    assert not hasattr(model, "feature_names_in_")
    assert model.n_features_in_ == 3
    fresh = StepwiseRegressor(random_state=0, max_epochs=3, learning_rate=0.01).fit(X[:, :3], Y)
    np.testing.assert_array_equal(model.predict(X[:, :3]), fresh.predict(X[:, :3]))


class CtrlC(Callback):
    """Gets a real SIGINT while it is running."""

    def on_epoch_end(self, net, **kwargs):
        signal.raise_signal(signal.SIGINT)
        self.still_running = True


class Stop(Callback):
    """Ends training the way skorch's own callbacks do."""

    def on_epoch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def test_an_interrupt_within_a_callback_is_one_unless_the_callback_raises_it():
    model = StepwiseRegressor(random_state=0, max_epochs=3, learning_rate=0.01).fit(X, Y)
    state = fitted_state(model)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(callbacks=[CtrlC()]).fit(X, Y)
    assert fitted_state(model) == state
    assert model.set_params(callbacks=[Stop()]).fit(X, Y).n_iter_ == 1


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to a child on Windows")
def test_a_real_interrupt_leaves_the_earlier_fit():
    script = """
        import numpy as np
        from skorch.callbacks import Callback
        from sk_dlsteps import StepwiseRegressor

        class Announce(Callback):
            def on_epoch_begin(self, net, **kwargs):
                if len(net.history) == 3:
                    print("training", flush=True)

        X = np.random.default_rng(0).normal(size=(500, 20))
        model = StepwiseRegressor(random_state=0, max_epochs=3, learning_rate=0.01).fit(X, X[:, 0])
        before, attributes = model.predict(X), {n for n in vars(model) if n.endswith("_")}
        model.set_params(max_epochs=10**6, callbacks=[Announce()], early_stopping=False)
        try:
            model.fit(X[:, :5], X[:, 0])
        except KeyboardInterrupt:
            assert (model.predict(X) == before).all()
            assert {n for n in vars(model) if n.endswith("_")} == attributes
            print("interrupted", flush=True)
    """
    with run(script) as process:
        assert process.stdout.readline() == "training\n"
        process.send_signal(signal.SIGINT)
        try:
            rest, _ = process.communicate(timeout=60)
        finally:
            # Where an interrupt is ignored, as in a shell's background, it would train for ever.
            process.kill()
    assert rest == "interrupted\n"
    assert process.returncode == 0


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_model_from_a_gpu_loads_where_there_is_none(device):
    if is_available(device):
        pytest.skip(f"{device} is here; tests/test_gpu.py has a model that is really from there")
    model = StepwiseRegressor(random_state=0, max_epochs=3, learning_rate=0.01).fit(X, Y)
    expected = model.predict(X)
    model.pipeline_[-1].device = device
    content = pickle.dumps(model)
    with pytest.warns(DeviceWarning, match=f"trained on '{device}', which is not here"):
        again = pickle.loads(content)
    np.testing.assert_array_equal(again.predict(X), expected)
