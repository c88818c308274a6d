"""Fits that are cut off go on from their checkpoint, and end with the weights of one that was not."""

import multiprocessing
import os
import random
import resource
import signal
import sys
import threading

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import RandomizedSearchCV
from skorch.callbacks import Callback, EarlyStopping, Freezer, LRScheduler
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV

X, Y = load_diabetes(return_X_y=True)


class Cut(Exception):
    """What cuts a fit off in these tests, where nobody pulls the plug."""


class CutOff(Callback):
    """Raises after some epochs, or in their middle, and counts the epochs it sees."""

    def __init__(self, after, in_the_middle=False):
        self.after, self.in_the_middle, self.seen_ = after, in_the_middle, 0

    def on_epoch_begin(self, net, **kwargs):
        self.seen_ += 1

    def on_grad_computed(self, net, named_parameters, **kwargs):
        if self.in_the_middle and self.seen_ > self.after:
            raise Cut

    def on_epoch_end(self, net, **kwargs):
        if not self.in_the_middle and self.seen_ == self.after:
            raise Cut


class Noise(nn.Module):
    """A module with random numbers and batch norm of its own."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_inputs, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, n_outputs))

    def forward(self, x):
        return self.layers(x)


def weights(model):
    """All that the networks of a fitted model have learnt."""
    return {name: tensor.numpy() for name, tensor in model.pipeline_[-1].module_.state_dict().items()}


def assert_same_fit(model, reference):
    """Assert that two models are one, but for the time they took."""
    for name, own in weights(model).items():
        np.testing.assert_array_equal(own, weights(reference)[name])
    for column in ("epoch", "train_loss", "lr"):
        np.testing.assert_array_equal(model.history_[:, column], reference.history_[:, column])
    np.testing.assert_array_equal(model.loss_curves_.train, reference.loss_curves_.train)
    np.testing.assert_array_equal(model.loss_curves_.best_epochs, reference.loss_curves_.best_epochs)
    np.testing.assert_array_equal(model.oof_prediction_, reference.oof_prediction_)
    assert [record.decision for record in model.steps_] == [record.decision for record in reference.steps_]


KINDS = {
    "dropout_and_noise": (StepwiseRegressor, {"dropout": 0.3, "augmentation": "gaussian_noise", "weight_decay": 0.01}),
    "batch_norm_and_classes": (StepwiseClassifier, {"batch_norm": True, "class_weight": "balanced"}),
    "plateaus": (StepwiseRegressor, {"lr_schedule": "plateau", "learning_rate": 0.03, "optimizer": "sgd"}),
    "networks_that_stop": (StepwiseRegressor, {"n_iter_no_change": 1, "learning_rate": 0.1, "lr_schedule": "constant"}),
    "explosions": (StepwiseRegressor, {"learning_rate": 3.0, "optimizer": "sgd", "input_clip": None}),
    "no_validation": (StepwiseRegressor, {"early_stopping": False}),
    "own_module": (StepwiseRegressor, {"module": Noise, "max_epochs": 8}),
    "own_optimizer": (StepwiseRegressor, {"module": Noise, "max_epochs": 8, "optimizer": "adamw", "weight_decay": 0.1}),
    "stages": (StepwiseClassifier, {"unfreeze": {"output": 0, "*": 4}}),
    "recurrent": (StepwiseClassifier, {"module": "lstm", "max_epochs": 6}),
}


@pytest.mark.filterwarnings("ignore::sk_dlsteps.StepwiseWarning")
@pytest.mark.parametrize("in_the_middle", [False, True], ids=["after_an_epoch", "within_an_epoch"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_fit_that_was_cut_off_ends_with_the_weights_of_one_that_was_not(kind, in_the_middle, tmp_path):
    estimator, parameters = KINDS[kind]
    rows, target = (X[:150], Y[:150]) if estimator is StepwiseRegressor else load_iris(return_X_y=True)
    if parameters.get("module") == "lstm":
        rows = rows.reshape(len(rows), 4, 1)
    own = {"max_epochs": 8, "n_estimators": 3, "random_state": 0, **parameters}
    reference = estimator(**own).fit(rows, target)
    cut = CutOff(own["max_epochs"] // 2, in_the_middle)
    model = estimator(**own, checkpoint=tmp_path, checkpoint_every=2, callbacks=[cut])
    with pytest.raises(Cut):
        model.fit(rows, target)
    assert not hasattr(model, "pipeline_")
    rest = CutOff(after=None)
    model.set_params(callbacks=[rest]).fit(rows, target)
    assert_same_fit(model, reference)
    assert 0 < rest.seen_ < reference.n_iter_
    assert not any(tmp_path.iterdir())


MANY = {"max_epochs": 30, "n_estimators": 2, "dropout": 0.2, "learning_rate": 0.01, "random_state": 3}


class Killed(Callback):
    """Lets the kernel kill the process, at a gradient, or as a file is opened or gets its name."""

    def __init__(self, event, number):
        self.event, self.number, self.n_heard_ = event, number, 0

    def hear(self, event, names=""):
        """Count an event of the kind, and kill at the one with the number."""
        if event == self.event and (".part" in str(names) or event == "gradient"):
            self.n_heard_ += 1
            if self.n_heard_ == self.number:
                os.kill(os.getpid(), signal.SIGKILL)

    def on_grad_computed(self, net, **kwargs):
        self.hear("gradient")


def fit_until_killed(folder, event, number):
    """What a process does that is killed; nothing of it is heard again."""
    killed = Killed(event, number)
    sys.addaudithook(killed.hear)
    StepwiseRegressor(**MANY, checkpoint=folder, checkpoint_every=1, callbacks=[killed]).fit(X[:150], Y[:150])


@pytest.fixture(scope="module")
def undisturbed():
    """The fit that nobody killed."""
    return StepwiseRegressor(**MANY).fit(X[:150], Y[:150])


RANDOM = random.Random(0)
MOMENTS = [(event, RANDOM.randrange(4, 28)) for event in ("gradient", "open", "os.rename") * 7][:20]


@pytest.mark.parametrize(("event", "number"), MOMENTS)
def test_a_fit_goes_on_after_kill_9_at_each_of_20_random_moments(tmp_path, undisturbed, event, number):
    child = multiprocessing.get_context("fork").Process(target=fit_until_killed, args=(tmp_path, event, number))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    heard = CutOff(after=None)
    model = StepwiseRegressor(**MANY, checkpoint=tmp_path, checkpoint_every=1, callbacks=[heard])
    assert_same_fit(model.fit(X[:150], Y[:150]), undisturbed)
    assert 0 < heard.seen_ < 30
    assert not any(tmp_path.iterdir())


def cut_off(folder, rows=X, target=Y, after=5, **parameters):
    """An estimator whose fit was cut off, without what cut it off."""
    own = {"max_epochs": 8, "n_estimators": 2, "random_state": 0, "checkpoint_every": 1, **parameters}
    model = StepwiseRegressor(**own, checkpoint=folder, callbacks=[CutOff(after)])
    with pytest.raises(Cut):
        model.fit(rows, target)
    return model.set_params(callbacks=[CutOff(after=None)])


def epochs_of_second_fit(model, rows=X, target=Y, **fit_params):
    """How many epochs a fit needs that may go on from a checkpoint."""
    return model.fit(rows, target, **fit_params).callbacks[0].seen_


def test_a_fit_without_a_random_state_goes_on_with_the_seeds_it_began_with(tmp_path):
    model = cut_off(tmp_path, random_state=None, learning_rate=0.01)
    assert epochs_of_second_fit(model) == 4
    held_out = cut_off(tmp_path / "again", random_state=None, learning_rate=0.01).fit(X, Y).oof_prediction_
    assert not np.array_equal(held_out, model.oof_prediction_)


def test_what_has_no_effect_on_the_result_may_change(tmp_path):
    model = cut_off(tmp_path)
    assert epochs_of_second_fit(model.set_params(checkpoint_every=3, n_threads=1, on_interrupt="keep")) == 4


@pytest.mark.parametrize(
    "change",
    [{"hidden_units": 7}, {"random_state": 1}, {"activation": "tanh"}, {"augmentation": "gaussian_noise"}],
    ids=lambda change: next(iter(change)),
)
def test_other_parameters_are_another_fit(tmp_path, change):
    model = cut_off(tmp_path)
    assert epochs_of_second_fit(model.set_params(**change)) == 8
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("what", ["X", "y", "sample_weight"])
def test_other_rows_are_another_fit(tmp_path, what):
    model, one = cut_off(tmp_path), np.arange(len(Y)) == 3
    rows = {"X": X, "y": Y, "sample_weight": np.ones(len(Y))}
    rows[what] = rows[what] + (1e-9 * one[:, None] if what == "X" else one)
    assert epochs_of_second_fit(model, rows.pop("X"), rows.pop("y"), **rows) == 8


def test_a_search_goes_on_fit_by_fit(tmp_path):
    space = {"learning_rate": [0.01, 0.02]}
    model = StepwiseRegressor(max_epochs=4, n_estimators=2, random_state=0)
    reference = RandomizedSearchCV(model, space, n_iter=2, cv=2, refit=False).fit(X, Y).cv_results_
    own = clone(model).set_params(checkpoint=tmp_path, checkpoint_every=1)
    stopped = RandomizedSearchCV(
        clone(own).set_params(callbacks=[CutOff(2)]), space, n_iter=2, cv=2, error_score=np.nan, refit=False
    )
    with pytest.raises(ValueError, match="Cut"):
        stopped.fit(X, Y)
    assert len(list(tmp_path.iterdir())) == 4
    search = RandomizedSearchCV(own, space, n_iter=2, cv=2, refit=False).fit(X, Y)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], reference["mean_test_score"])
    assert not any(tmp_path.iterdir())


def test_our_own_search_stores_its_fits_too(tmp_path):
    model = StepwiseRegressor(max_epochs=4, n_estimators=2, random_state=0)
    options = {"strategy": "random", "n_iter": 2, "cv": 2, "random_state": 0}
    reference = StepwiseSearchCV(model, **options).fit(X, Y)
    model.set_params(checkpoint=tmp_path, checkpoint_every=1, callbacks=[CutOff(2)])
    with pytest.raises(Cut):
        StepwiseSearchCV(model, error_score="raise", **options).fit(X, Y)
    assert any(tmp_path.rglob("training_0.pt"))
    search = StepwiseSearchCV(model.set_params(callbacks=None), **options).fit(X, Y)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], reference.cv_results_["mean_test_score"], 1e-4)
    assert not any(tmp_path.iterdir())


def test_a_warm_start_goes_on_too(tmp_path):
    own = {"max_epochs": 6, "n_estimators": 2, "random_state": 0, "warm_start": True}
    reference = StepwiseRegressor(**own).fit(X, Y).fit(X, Y)
    model = StepwiseRegressor(**own).fit(X, Y).set_params(checkpoint=tmp_path, checkpoint_every=1)
    before = weights(model)
    with pytest.raises(Cut):
        model.set_params(callbacks=[CutOff(4)]).fit(X, Y)
    np.testing.assert_equal(weights(model), before)
    assert epochs_of_second_fit(model.set_params(callbacks=[CutOff(after=None)])) == 3
    assert_same_fit(model, reference)


def test_a_stream_stores_nothing(tmp_path):
    StepwiseRegressor(checkpoint=tmp_path / "new", n_estimators=2, random_state=0).partial_fit(X, Y)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_is_an_error_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    heard = CutOff(after=None)
    model = StepwiseRegressor(max_epochs=8, checkpoint=tmp_path / "file" / "below", callbacks=[heard])
    with pytest.raises(OSError, match=r"`checkpoint` could not be written to .*name another folder"):
        model.fit(X, Y)
    assert heard.seen_ == 0


def test_a_place_that_cannot_exist_is_an_error():
    with pytest.raises(OSError, match="`checkpoint` could not be written"):
        StepwiseRegressor(checkpoint="/proc/fits").fit(X, Y)


class FullDisk(Callback):
    """Lets no file grow beyond a few bytes from some epoch on, as a full disk does."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))


@pytest.fixture
def disk_with_room_again():
    """Ends what `FullDisk` does."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_an_error_that_loses_nothing(tmp_path, disk_with_room_again):
    own = {"max_epochs": 8, "n_estimators": 2, "random_state": 0}
    earlier = StepwiseRegressor(**own).fit(X, -Y)
    before = earlier.predict(X)
    model = earlier.set_params(checkpoint=tmp_path, checkpoint_every=2, callbacks=[FullDisk(5)])
    with pytest.raises(OSError, match="What was stored before is still there"):
        model.fit(X, Y)
    disk_with_room_again()
    np.testing.assert_array_equal(model.predict(X), before)
    assert [path.name for path in sorted(tmp_path.rglob("*.*"))] == ["training_0.pt"]
    # Epochs 1 to 4 are stored.
    assert epochs_of_second_fit(model.set_params(callbacks=[CutOff(after=None)])) == 4
    assert_same_fit(model, StepwiseRegressor(**own).fit(X, Y))


@pytest.mark.parametrize(
    "content", [b"", b"no checkpoint", b"cos\nsystem\n(S'touch ran'\ntR."], ids=["empty", "text", "code"]
)
def test_a_file_that_is_no_checkpoint_is_refused_and_not_run(tmp_path, monkeypatch, content):
    model = cut_off(tmp_path / "fits")
    (tmp_path / "fits").joinpath(next((tmp_path / "fits").iterdir()), "training_0.pt").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"is damaged, or none of ours .*delete the folder"):
        model.fit(X, Y)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "callback", [EarlyStopping, LRScheduler(), Freezer("weights.0")], ids=["class", "instance", "freezer"]
)
def test_callbacks_that_steer_by_what_they_have_seen_are_refused(tmp_path, callback):
    model = StepwiseRegressor(checkpoint=tmp_path, callbacks=[callback])
    with pytest.raises(ValueError, match="begins anew when a fit goes on from its `checkpoint`"):
        model.fit(X, Y)


def test_what_a_callback_notes_must_be_such_as_can_be_stored(tmp_path):
    class Notes(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("note", self.note)

    notes = Notes()
    model = StepwiseRegressor(
        max_epochs=2,
        n_estimators=1,
        learning_rate=0.01,
        checkpoint=tmp_path,
        checkpoint_every=1,
        callbacks=[notes],
    )
    notes.note = {"values": np.arange(3), "mean": np.float32(1), "words": ("a", None, True)}
    model.fit(X, Y)
    notes.note = object()
    with pytest.raises(TypeError, match="a callback has noted <object"):
        model.fit(X, Y)


def test_a_random_state_that_moves_on_is_refused(tmp_path):
    model = StepwiseRegressor(checkpoint=tmp_path, random_state=np.random.RandomState(0))
    with pytest.raises(ValueError, match="`random_state` is a RandomState, which has moved on"):
        model.fit(X, Y)


def test_what_cannot_be_known_again_is_an_error_that_names_its_parameter(tmp_path):
    class Locked(Noise):
        lock = threading.RLock()

    with pytest.raises(ValueError, match="`module` holds something that cannot be known again"):
        StepwiseRegressor(checkpoint=tmp_path, module=Locked).fit(X, Y)


def test_a_changed_constant_is_another_fit(tmp_path, monkeypatch):
    model = cut_off(tmp_path, loss=scaled_error)
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert epochs_of_second_fit(model) == 8


SCALE = 1.0


def scaled_error(raw, target):
    """A loss that refers to a constant of its module."""
    return SCALE * (raw - target).square()


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    cut_off("~/fits")
    assert len(list((tmp_path / "fits").iterdir())) == 1


@pytest.mark.parametrize("value", [3, "", b"folder"], ids=repr)
def test_a_checkpoint_is_a_folder(value):
    with pytest.raises(ValueError, match="`checkpoint` must be None, a folder, got"):
        StepwiseRegressor(checkpoint=value).fit(X, Y)


def test_fits_of_the_same_at_the_same_time_do_not_meet(tmp_path):
    folders, seeds = [], []

    class Look(Callback):
        def on_train_begin(self, net, **kwargs):
            both.wait()

        def on_epoch_end(self, net, **kwargs):
            folders.append(sorted(path.name for path in tmp_path.iterdir()))
            seeds.append(net.seeds)
            both.wait()

    both = threading.Barrier(2, timeout=60)
    own = {"max_epochs": 2, "n_estimators": 1, "learning_rate": 0.01, "checkpoint": tmp_path, "checkpoint_every": 1}
    models = [StepwiseRegressor(**own, callbacks=[Look()]) for _ in range(2)]
    fits = [threading.Thread(target=model.fit, args=(X, Y)) for model in models]
    for fit in fits:
        fit.start()
    for fit in fits:
        fit.join()
    assert all(hasattr(model, "pipeline_") for model in models)
    assert len(folders[0]) == 2
    assert len(set(seeds)) == 2
    assert not any(tmp_path.iterdir())


class Counting(torch.optim.SGD):
    """An optimizer that counts in its groups, and slows down."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["k"] = group.get("k", 0) + 1
            group["momentum"] = 0.9 - 0.5 / group["k"]
        return super().step(closure)


class Skipping(nn.Module):
    """A module some layer of which has no gradient in most steps, with a buffer that is not saved."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.first, self.more, self.last = nn.Linear(n_inputs, 6), nn.Linear(6, 6), nn.Linear(6, n_outputs)
        self.register_buffer("n_calls", torch.zeros(()), persistent=False)

    def forward(self, x):
        x = self.first(x)
        if self.training:
            self.n_calls += 1
            x = x if self.n_calls % 3 else torch.relu(self.more(x))
        return self.last(x)


@pytest.mark.parametrize(
    "parameters", [{"module": Noise, "optimizer": Counting}, {"module": Skipping}], ids=["counts", "skipped_layers"]
)
def test_what_optimizers_and_modules_keep_to_themselves_is_stored(tmp_path, parameters):
    own = {"max_epochs": 8, "n_estimators": 2, "learning_rate": 0.01, "random_state": 0, **parameters}
    reference = StepwiseRegressor(**own).fit(X, Y)
    model = cut_off(tmp_path, **own)
    assert epochs_of_second_fit(model) == 4
    for name, own_weights in weights(model).items():
        np.testing.assert_array_equal(own_weights, weights(reference)[name])


def test_a_file_that_cannot_be_read_now_is_not_called_damaged(tmp_path):
    model = cut_off(tmp_path)
    (file,) = tmp_path.rglob("training_0.pt")
    content = file.read_bytes()
    file.unlink()
    file.mkdir()
    with pytest.raises(IsADirectoryError):
        model.fit(X, Y)
    file.rmdir()
    file.write_bytes(content)
    assert epochs_of_second_fit(model) == 4


def test_an_accelerator_s_processes_store_nothing(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    model = StepwiseRegressor(checkpoint=tmp_path, accelerator=accelerate.Accelerator(cpu=True))
    with pytest.raises(ValueError, match="`checkpoint` stores the fits of single processes"):
        model.fit(X, Y)
