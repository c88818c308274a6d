"""skorch's history, callbacks and files on a fleet."""

from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import accuracy_score, log_loss, r2_score, roc_auc_score
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    LRScheduler,
    PrintLog,
    ProgressBar,
    Unfreezer,
)
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR

from sk_dlsteps.engine import net as net_module
from sk_dlsteps.step3_training.schedules import CosineRestarts
from sk_dlsteps.step4_validation.early_stopping import Patience


def out_of_fold(fleets, net, k):
    """Network k's targets and predictions of the rows that it holds out."""
    rows = fleets.valid[k]
    return fleets.target.values[rows], net.network_predictions(fleets.Z[rows])[:, k]


def test_history_has_skorchs_columns(small_fleets):
    net = small_fleets().fit(max_epochs=3)
    assert set(net.history[-1]) == {
        "batches", "epoch", "train_loss", "train_loss_best", "valid_loss", "valid_loss_best", "lr", "dur",
        "gradient_norm_1", "gradient_norm_2",
    }  # fmt: skip
    assert net.history[:, "epoch"] == [1, 2, 3]
    assert net.history[:, "lr"] == [0.02] * 3
    assert all(dur > 0 for dur in net.history[:, "dur"])


def test_losses_in_the_history_are_means_over_the_networks(small_fleets):
    fleets = small_fleets()
    alone = [fleets.fit([k], max_epochs=4).history for k in range(7)]
    together = fleets.fit(max_epochs=4).history
    for name in ("train_loss", "valid_loss"):
        expected = np.mean([history[:, name] for history in alone], axis=0)
        np.testing.assert_allclose(together[:, name], expected, rtol=1e-10)


def test_networks_that_have_stopped_enter_the_history_with_their_best_loss(small_fleets):
    fleets = small_fleets()
    settings = {"max_epochs": 20, "lr": 0.1, "stopping": Patience(2)}
    alone = [min(fleets.fit([k], **settings).history[:, "valid_loss"]) for k in (1, 3)]
    together = fleets.fit([1, 3], **settings)
    last = together.history[-1, "valid_loss"]
    assert len(together.history) < 20
    assert last >= np.mean(alone) * (1 - 1e-10)


@pytest.mark.parametrize(
    ("task", "scoring", "metric"),
    [
        ("regression", "r2", lambda y, p: r2_score(y, p)),
        ("binary", "accuracy", lambda y, p: accuracy_score(y, p.argmax(1))),
        ("multiclass", "accuracy", lambda y, p: accuracy_score(y, p.argmax(1))),
        ("multiclass", "neg_log_loss", lambda y, p: -log_loss(y, p)),
        ("binary", "roc_auc", lambda y, p: roc_auc_score(y, p[:, 1])),
    ],
)
def test_cached_validation_scores_are_those_of_out_of_fold_predictions(small_fleets, task, scoring, metric):
    fleets = small_fleets(task)
    score = EpochScoring(scoring, lower_is_better=False, name="score")
    net = fleets.fit(max_epochs=1, callbacks=[score])
    y, p = (np.concatenate(part) for part in zip(*(out_of_fold(fleets, net, k) for k in range(7)), strict=True))
    assert net.history[0, "score"] == pytest.approx(metric(y, p), abs=1e-9)
    assert net.history[0, "score_best"]


def test_scores_without_cache_and_on_training_rows_are_recorded_too(small_fleets):
    callbacks = [
        EpochScoring("r2", lower_is_better=False, name="valid_r2", use_caching=False),
        EpochScoring("r2", lower_is_better=False, on_train=True, name="train_r2"),
        EpochScoring("r2", lower_is_better=False, on_train=True, name="train_r2_again", use_caching=False),
        BatchScoring("neg_mean_absolute_error", lower_is_better=False, name="mae"),
    ]
    fleets = small_fleets()
    net = fleets.fit(max_epochs=3, callbacks=[(cb.name, cb) for cb in callbacks])
    names = [cb.name for cb in callbacks]
    assert np.isfinite(net.history[:, names]).all()
    plain = fleets.fit(max_epochs=3, validated=True)
    np.testing.assert_array_equal(net.network_predictions(fleets.Z), plain.network_predictions(fleets.Z))
    held_out = np.concatenate(fleets.valid)
    one_epoch = fleets.fit(max_epochs=1)
    expected = r2_score(fleets.target.values[held_out], one_epoch.predict(fleets.Z[held_out]))
    assert net.history[0, "valid_r2"] == pytest.approx(expected, abs=1e-9)


def test_scores_go_on_after_networks_have_stopped(small_fleets):
    score = EpochScoring("r2", lower_is_better=False, name="score")
    net = small_fleets().fit(max_epochs=20, lr=0.1, stopping=Patience(2), callbacks=[score])
    assert np.isfinite(net.history[:, "score"]).all()


@pytest.mark.parametrize("optimizer", ["adam", torch.optim.RMSprop])
@pytest.mark.parametrize(("step_every", "n_steps"), [("epoch", [0, 1, 2]), ("batch", [9, 19, 29])])
def test_a_learning_rate_scheduler_steers_the_rate(small_fleets, step_every, n_steps, optimizer):
    scheduler = LRScheduler(policy=ExponentialLR, gamma=0.9, step_every=step_every)
    net = small_fleets().fit(max_epochs=3, batch_size=3, optimizer=optimizer, callbacks=[scheduler])
    expected = [0.02 * 0.9 ** (n if step_every == "epoch" else n + 1) for n in n_steps]
    np.testing.assert_allclose(net.history[:, "lr"], expected)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_frozen_layers_stay_until_they_are_freed(small_fleets, optimizer):
    fleets = small_fleets()
    callbacks = [Freezer("*"), Unfreezer("weights.1", at=3)]
    net = fleets.fit(optimizer=optimizer, callbacks=callbacks, max_epochs=4, validated=False)
    start, end = net.module().state_dict(), net.module_.state_dict()
    assert {name for name in end if not torch.equal(end[name], start[name])} == {"weights.1"}


def test_skorchs_early_stopping_ends_training_of_all(small_fleets):
    net = small_fleets().fit([1], max_epochs=50, lr=0.1, callbacks=[EarlyStopping(patience=3)])
    assert net.best_epochs_[0] == len(net.history) - 3
    assert len(net.history) < 50


def test_early_stopping_with_load_best_brings_every_network_back_to_its_own_place(small_fleets):
    fleets = small_fleets()

    class Best(Callback):
        """Keeps what each network predicts in the twelfth epoch."""

        def on_epoch_end(self, net, **kwargs):
            distance = abs(net.history[-1, "epoch"] - 12)
            net.history.record("distance", distance)
            if distance == 0:
                self.order = net.module_.order.tolist()
                self.predictions = net.network_predictions(fleets.Z)

    best = Best()
    callbacks = [("best", best), ("stop", EarlyStopping("distance", patience=3, load_best=True))]
    settings = {"max_epochs": 20, "batch_size": 3, "schedule": CosineRestarts((2, 6, 12, 20)), "stopping": Patience(3)}
    net = fleets.fit(callbacks=callbacks, **settings)
    assert best.order != list(range(7))
    n_active = best.predictions.shape[1]
    np.testing.assert_allclose(
        net.network_predictions(fleets.Z)[:, best.order[:n_active]], best.predictions, rtol=1e-10, atol=1e-10
    )


def test_a_checkpoint_loads_into_a_fresh_net(small_fleets, tmp_path):
    fleets = small_fleets()
    checkpoint = Checkpoint(dirname=tmp_path, monitor="valid_loss_best", load_best=True)
    net = fleets.fit(max_epochs=6, callbacks=[checkpoint])
    fresh = fleets.net().initialize()
    fresh.load_params(checkpoint=checkpoint)
    np.testing.assert_array_equal(fresh.network_predictions(fleets.Z), net.network_predictions(fleets.Z))
    assert len(fresh.history) == 1 + int(np.argmin(net.history[:, "valid_loss"]))


@pytest.mark.parametrize("build", [{}, {"encode": True}, {"module": nn.Linear}], ids=["mlp", "encoded", "module"])
def test_parameters_survive_the_way_through_a_file(small_fleets, tmp_path, build):
    fleets = small_fleets()
    net = fleets.fit(max_epochs=3, stopping=Patience(1), build=build)
    net.save_params(f_params=tmp_path / "params.pt", f_history=tmp_path / "history.json")
    fresh = clone(net).initialize()
    assert not np.allclose(fresh.network_predictions(fleets.Z), net.network_predictions(fleets.Z))
    fresh.load_params(f_params=tmp_path / "params.pt", f_history=tmp_path / "history.json")
    np.testing.assert_array_equal(fresh.network_predictions(fleets.Z), net.network_predictions(fleets.Z))
    assert fresh.history == net.history


@pytest.mark.parametrize("build", [{}, {"module": nn.Linear}], ids=["mlp", "module"])
def test_clipped_gradients_are_those_of_each_network_alone(small_fleets, build):
    fleets = small_fleets()
    settings = {"optimizer": "sgd", "lr": 0.05, "build": build, "max_epochs": 4, "stopping": Patience(1)}
    clipping = ("clip", GradientNormClipping(0.1))
    together = fleets.fit(callbacks=[clipping], **settings).network_predictions(fleets.Z)
    free = fleets.fit(**settings).network_predictions(fleets.Z)
    assert not np.allclose(together, free, rtol=1e-3)
    for k in range(7):
        alone = fleets.fit([k], callbacks=[clipping], **settings).network_predictions(fleets.Z)
        np.testing.assert_allclose(together[:, k], alone[:, 0], rtol=1e-9, atol=1e-9)


def test_a_callback_hears_of_every_event(small_fleets):
    class Counting(Callback):
        def initialize(self):
            self.heard = Counter()
            return self

        def notify(self, method_name, net, **kwargs):
            self.heard[method_name] += 1
            super().notify(method_name, net, **kwargs)

        def on_train_begin(self, net, X, y, **kwargs):
            self.heard["train begin"] += 1

        def on_train_end(self, net, X, y, **kwargs):
            self.heard["train end"] += 1

        def on_epoch_begin(self, net, dataset_train, dataset_valid, **kwargs):
            self.heard["epoch begin"] += 1

        def on_epoch_end(self, net, dataset_train, dataset_valid, **kwargs):
            self.heard["epoch end"] += 1

        def on_batch_begin(self, net, batch, training, **kwargs):
            self.heard[f"batch begin {training}"] += 1

        def on_batch_end(self, net, batch, training, loss, y_pred, **kwargs):
            assert len(batch[0]) == len(batch[1]) == len(y_pred)
            self.heard[f"batch end {training}"] += 1

        def on_grad_computed(self, net, named_parameters, **kwargs):
            assert all(p.grad is not None for _, p in named_parameters)
            self.heard["gradient"] += 1

    counting = Counting()
    small_fleets().fit(max_epochs=3, batch_size=3, callbacks=[counting])
    assert counting.heard == {
        "train begin": 1, "train end": 1, "epoch begin": 3, "epoch end": 3, "gradient": 3 * 10 * 7,
        "batch begin True": 30, "batch end True": 30, "batch begin False": 3, "batch end False": 3,
    }  # fmt: skip


def test_listening_does_not_change_the_training(small_fleets):
    fleets = small_fleets()
    quiet = fleets.fit(max_epochs=3).network_predictions(fleets.Z)
    callbacks = [("bar", ProgressBar()), ("clip", GradientNormClipping(1e9)), ("log", PrintLog(sink=lambda _: None))]
    heard = fleets.fit(max_epochs=3, callbacks=callbacks).network_predictions(fleets.Z)
    np.testing.assert_allclose(heard, quiet, rtol=1e-12, atol=1e-12)


def test_predicting_inside_a_callback_does_not_change_the_training(small_fleets):
    fleets = small_fleets()

    class Curious(Callback):
        def on_batch_end(self, net, **kwargs):
            net.predict(fleets.Z[:5])

    build = {"module": lambda n_in, n_out: nn.Sequential(nn.Linear(n_in, 5), nn.Dropout(0.5), nn.Linear(5, n_out))}
    quiet = fleets.fit([0, 1], max_epochs=2, build=build)
    curious = fleets.fit([0, 1], max_epochs=2, build=build, callbacks=[Curious()])
    np.testing.assert_array_equal(curious.network_predictions(fleets.Z), quiet.network_predictions(fleets.Z))


def test_a_callback_may_end_training_by_an_interrupt_of_its_own(small_fleets):
    class Enough(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise KeyboardInterrupt

    fleets = small_fleets()
    net = fleets.fit(max_epochs=9, callbacks=[Enough()])
    assert len(net.history) == 2
    shorter = fleets.fit(max_epochs=2)
    np.testing.assert_array_equal(net.network_predictions(fleets.Z), shorter.network_predictions(fleets.Z))


def test_verbose_prints_skorchs_table(small_fleets, capsys):
    small_fleets().fit(max_epochs=2, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert set(lines[0].split()) == {"epoch", "train_loss", "valid_loss", "lr", "dur"}
    assert len(lines) == 4


def test_predictions_of_a_net_are_means_over_its_networks(small_fleets):
    for task in ("regression", "multiclass"):
        fleets = small_fleets(task)
        net = fleets.fit(max_epochs=2)
        mean = net.network_predictions(fleets.Z).mean(1)
        np.testing.assert_array_equal(net.predict_proba(fleets.Z), mean)
        np.testing.assert_array_equal(net.predict(fleets.Z), mean if task == "regression" else mean.argmax(1))


def test_without_rows_every_network_trains_on_all(small_fleets):
    fleets = small_fleets("multiclass")
    net = fleets.net([0, 1], max_epochs=2)
    net.fit(fleets.Z, fleets.target.values)
    assert len(net.history) == 2


def test_between_chunks_of_predictions_gradients_are_on_as_before(small_fleets, monkeypatch):
    monkeypatch.setattr(net_module, "_PREDICT_CHUNK", 1)
    fleets = small_fleets()
    net = fleets.fit(max_epochs=1)
    with torch.enable_grad():
        switched_on = [torch.is_grad_enabled() for _ in net.forward_iter(fleets.Z)]
    assert switched_on == [True] * len(fleets.Z)
