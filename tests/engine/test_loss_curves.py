"""Losses of every network in every epoch: against the history, against networks alone, and over several trainings."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from skorch.callbacks import Callback

from sk_dlsteps import StepwiseRegressor
from sk_dlsteps.engine.loss_curves import LossCurves
from sk_dlsteps.engine.members import Table
from sk_dlsteps.engine.merge import merge
from sk_dlsteps.engine.training import Training
from sk_dlsteps.step3_training.optimizers import OptimizerChoice
from sk_dlsteps.step4_validation.early_stopping import Patience

X, Y = load_diabetes(return_X_y=True)
QUICK = {"n_estimators": 2, "max_epochs": 4, "learning_rate": 0.02, "random_state": 0}


def as_they_ended(curve, last):
    """A curve whose gaps are filled with what a network ended with."""
    return np.where(np.isnan(curve), last, curve)


def test_their_means_are_those_of_the_history(small_fleets):
    net = small_fleets().fit(max_epochs=20, lr=0.1, stopping=Patience(2))
    curves = net.loss_curves_
    ends = np.isfinite(curves.train).sum(0)
    assert len(set(ends)) > 1
    last = curves.train[ends - 1, np.arange(7)]
    np.testing.assert_allclose(as_they_ended(curves.train, last).mean(1), net.history[:, "train_loss"], rtol=1e-6)
    filled = as_they_ended(curves.valid, np.nanmin(curves.valid, axis=0))
    np.testing.assert_allclose(filled.mean(1), net.history[:, "valid_loss"], rtol=1e-6)


def test_a_network_that_has_stopped_has_none_and_its_best_is_the_lowest(small_fleets):
    net = small_fleets().fit(max_epochs=20, lr=0.1, stopping=Patience(2))
    curves = net.loss_curves_
    np.testing.assert_array_equal(curves.best_epochs, 1 + np.nanargmin(curves.valid, axis=0))
    np.testing.assert_array_equal(curves.best_epochs, net.best_epochs_)
    for k, best in enumerate(curves.best_epochs):
        assert np.isfinite(curves.valid[: best + 2, k]).all()
        assert np.isnan(curves.valid[best + 2 :, k]).all()


def test_without_validation_rows_there_are_training_losses_only(small_fleets):
    curves = small_fleets().fit(max_epochs=3, validated=False).loss_curves_
    assert curves.train.shape == (3, 7)
    assert curves.valid is None
    assert curves.best_epochs.tolist() == [3] * 7


def test_in_a_merged_fleet_each_net_has_its_own(small_fleets):
    fleets = small_fleets()
    settings = [([0, 3], 6), ([1, 2, 5], 3)]
    nets = [fleets.net(networks, max_epochs=n, stopping=Patience(2)) for networks, n in settings]
    tables = [Table(fleets.Z, fleets.target.values, fleets.rows(networks)) for networks, _ in settings]
    for net, table in zip(nets, tables, strict=True):
        net.initialize()
        net.expect(table.y)
    merged = merge([net.module_ for net in nets])
    optimizer = OptimizerChoice("adam", 0.9, np.zeros(5))(merged, 1.0)
    Training(merged, optimizer, nets, tables, [n for _, n in settings]).run()
    for net, (networks, n_epochs) in zip(nets, settings, strict=True):
        alone = fleets.fit(networks, max_epochs=n_epochs, stopping=Patience(2)).loss_curves_
        np.testing.assert_allclose(net.loss_curves_.train, alone.train, rtol=1e-5)
        np.testing.assert_allclose(net.loss_curves_.valid, alone.valid, rtol=1e-5)
        np.testing.assert_array_equal(net.loss_curves_.best_epochs, alone.best_epochs)


def test_a_further_training_goes_on_with_them_and_a_new_one_begins_anew(small_fleets):
    fleets = small_fleets()
    net = fleets.fit(max_epochs=3)
    first = net.loss_curves_
    net.partial_fit(fleets.Z, fleets.target.values, rows=fleets.rows())
    assert net.loss_curves_.train.shape == (len(net.history), 7) == (6, 7)
    np.testing.assert_array_equal(net.loss_curves_.train[:3], first.train)
    np.testing.assert_array_equal(net.loss_curves_.best_epochs, 3 + net.best_epochs_)
    net.fit(fleets.Z, fleets.target.values, rows=fleets.rows())
    np.testing.assert_array_equal(net.loss_curves_.train, first.train)
    np.testing.assert_array_equal(net.loss_curves_.best_epochs, first.best_epochs)


def test_an_epoch_that_was_interrupted_has_none(small_fleets):
    class CtrlC(Callback):
        def on_grad_computed(self, net, **kwargs):
            if len(net.history) == 3:
                press_ctrl_c()

    def press_ctrl_c():
        raise KeyboardInterrupt

    fleets = small_fleets()
    net = fleets.net(callbacks=[CtrlC()])
    with pytest.raises(KeyboardInterrupt):
        net.fit(fleets.Z, fleets.target.values, rows=fleets.rows())
    assert len(net.history) == 3
    assert np.isfinite(net.loss_curves_.train).all(1).tolist() == [True, True, False]


def test_they_survive_a_pickle_with_two_digits(small_fleets):
    net = small_fleets().fit(max_epochs=20, lr=0.1, stopping=Patience(2))
    again = pickle.loads(pickle.dumps(net)).loss_curves_
    np.testing.assert_array_equal(again.best_epochs, net.loss_curves_.best_epochs)
    for name in ("train", "valid"):
        mine, kept = getattr(net.loss_curves_, name), getattr(again, name)
        assert kept.dtype == np.float32
        np.testing.assert_allclose(kept, mine, rtol=4e-3)
    pickle.loads(pickle.dumps(again)).train[0] = 0


@pytest.mark.parametrize("size", [1e-30, 1e-9, 1.0, 1e12, 1e34])
def test_a_pickle_holds_losses_of_any_size_and_what_is_odd_about_them(size):
    train = np.array([[3000.0, np.nan], [1.234, -0.5], [0.001, 0.0]], dtype=np.float32) * np.float32(size)
    again = pickle.loads(pickle.dumps(LossCurves(train, None, np.ones(2))))
    np.testing.assert_allclose(again.train, train, rtol=4e-3)
    assert again.valid is None


@pytest.mark.parametrize("values", [[], [np.nan, np.inf], [0.0, 0.0]])
def test_a_pickle_holds_losses_that_are_none(values):
    again = pickle.loads(pickle.dumps(LossCurves(np.array(values, dtype=np.float32), None, np.ones(2))))
    np.testing.assert_array_equal(np.isfinite(again.train), np.isfinite(values))


@pytest.mark.parametrize("rate", [0.01, 0.5])
def test_a_warm_start_counts_on_and_keeps_best_epochs_that_nothing_beats(rate):
    model = StepwiseRegressor(**QUICK, warm_start=True).fit(X, Y)
    before = model.loss_curves_
    model.set_params(learning_rate=rate).fit(X, Y)
    after, own = model.loss_curves_, model.pipeline_[-1].best_epochs_
    assert after.train.shape == (model.n_iter_, 2)
    np.testing.assert_array_equal(after.valid[: len(before.valid)], before.valid)
    expected = np.where(own > 0, len(before.valid) + own, before.best_epochs)
    np.testing.assert_array_equal(after.best_epochs, expected)


def test_a_warm_start_without_validation_rows_leaves_gaps_in_those_of_before():
    model = StepwiseRegressor(**QUICK, warm_start=True).fit(X, Y)
    n_before = model.n_iter_
    curves = model.set_params(early_stopping=False).fit(X, Y).loss_curves_
    assert np.isfinite(curves.train[n_before:]).all()
    assert np.isnan(curves.valid[n_before:]).all()
    assert np.isfinite(curves.valid[:n_before]).all()


def test_a_stream_has_a_row_for_each_chunk():
    model = StepwiseRegressor(**QUICK)
    for start in range(0, 400, 100):
        model.partial_fit(X[start : start + 100], Y[start : start + 100])
    assert model.loss_curves_.train.shape == (4, 2)
    np.testing.assert_allclose(model.loss_curves_.train.mean(1), model.history_[:, "train_loss"], rtol=1e-6)
    assert model.loss_curves_.best_epochs.tolist() == [4, 4]


def test_stages_make_one_curve():
    source = StepwiseRegressor(**QUICK).fit(X, Y)
    tuned = source.fine_tune(X[:200], Y[:200], max_epochs=6)
    assert tuned.loss_curves_.train.shape == (tuned.n_iter_, 2)
    assert np.isfinite(tuned.loss_curves_.valid).any(1).all()
    np.testing.assert_array_equal(tuned.loss_curves_.best_epochs, tuned.pipeline_[-1].best_epochs_)


def test_a_pickle_holds_losses_of_all_sizes_together():
    train = np.array([[1e9, 1e-8, np.nan], [-1.0, np.inf, 0.0]], dtype=np.float32)
    again = pickle.loads(pickle.dumps(LossCurves(train, None, np.ones(3))))
    np.testing.assert_allclose(again.train, train, rtol=4e-3)
