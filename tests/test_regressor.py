"""StepwiseRegressor: what a fit leaves behind, and what its parameters do."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_linnerud
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from skorch.callbacks import EarlyStopping, EpochScoring, LRScheduler
from torch import nn

from sk_dlsteps import StepwiseRegressor, find_learning_rate
from sk_dlsteps.inputs.folds import assign_folds
from sk_dlsteps.plan import Plan, StepRecord
from sk_dlsteps.preparation import prepare

# Where a range test too short to be trusted does not matter.
any_rate = pytest.mark.filterwarnings("ignore:No learning rate could be found:sk_dlsteps.StepwiseWarning")


def name_of(value):
    """A test's name, the same in every process."""
    if isinstance(value, dict):
        return "-".join(f"{key}={name_of(entry)}" for key, entry in value.items())
    return getattr(value, "__name__", str(value))


def short(**parameters):
    """A regressor that trains for a moment."""
    return StepwiseRegressor(**{"max_epochs": 15, "learning_rate": 0.02, "random_state": 0, **parameters})


def rows_of(model, X, y, X_val=None, y_val=None):
    """Who trains and who validates on what, in a fit with an integer random_state."""
    data, _ = model._receive(X, y, X_val, y_val)
    return prepare(model.get_params(deep=False), data).rows


@pytest.fixture(scope="module")
def fitted(diabetes):
    """The default model."""
    X, _, y, _ = diabetes
    return StepwiseRegressor(random_state=0).fit(X, y)


class Net(nn.Module):
    """A network of the user's own."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_inputs, 8), nn.Tanh(), nn.Linear(8, n_outputs))

    def forward(self, x):
        return self.layers(x)


def make_net(n_inputs, n_outputs):
    """A factory with dropout and a flat output, which one target allows."""
    return nn.Sequential(nn.Linear(n_inputs, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, n_outputs), nn.Flatten(0))


def cubed_error(output, target):
    """A loss of the user's own, one per row."""
    return (output - target).abs().pow(3).mean(-1)


# -- the default model ---------------------------------------------------------------


def test_it_beats_the_mean_on_unseen_rows(fitted, diabetes):
    X, X_test, y, y_test = diabetes
    assert fitted.score(X_test, y_test) > DummyRegressor().fit(X, y).score(X_test, y_test) + 0.25


def test_before_fit_it_says_so(diabetes):
    with pytest.raises(NotFittedError, match="StepwiseRegressor instance is not fitted yet"):
        StepwiseRegressor().predict(diabetes[1])


def test_the_plan_holds_no_auto(fitted):
    assert isinstance(fitted.plan_, Plan)
    assert all(value != "auto" for value in vars(fitted.plan_).values())
    assert fitted.plan_.learning_rate == fitted.learning_rate_ == fitted.lr_curve_.learning_rate > 0
    assert fitted.plan_.hidden_units == fitted.hidden_units_
    assert fitted.plan_.loss == fitted.loss_ == "squared_error"


def test_steps_1_to_4_are_recorded(fitted):
    assert all(isinstance(step, StepRecord) for step in fitted.steps_)
    numbers = [step.number for step in fitted.steps_]
    assert numbers == sorted(numbers)
    assert set(numbers) == {1, 2, 3, 4}
    assert all(step.title and step.decision and step.because for step in fitted.steps_)
    assert fitted.steps_[-2].evidence["learning_rate"] == fitted.learning_rate_
    assert fitted.steps_[-1].evidence["validation"] == fitted.validation_score_


def test_records_say_who_decided(diabetes):
    X, _, y, _ = diabetes
    model = short(loss="huber", hidden_units=7).fit(X, y)
    because = {step.title: step.because for step in model.steps_}
    assert because["cost function"] == because["network architecture"] == "chosen by you"
    assert because["training"] == "the rate was chosen by you"
    assert model.lr_curve_ is None


def test_history_has_one_row_per_epoch(fitted):
    assert len(fitted.history_) == fitted.n_iter_ <= fitted.plan_.max_epochs
    assert fitted.history_ is fitted.pipeline_[-1].history
    assert {"epoch", "train_loss", "valid_loss", "lr", "dur"} <= fitted.history_[-1].keys()


def test_one_row_is_predicted_as_among_others(fitted, diabetes):
    X_test = diabetes[1]
    np.testing.assert_allclose(fitted.predict(X_test[3:4]), fitted.predict(X_test)[3:4], rtol=1e-12)


def test_the_spread_is_that_of_the_networks(fitted, diabetes):
    X_test = diabetes[1]
    mean, std = fitted.predict(X_test, return_std=True)
    each = fitted.pipeline_[-1].network_predictions(fitted.pipeline_[0].transform(X_test))[..., 0]
    np.testing.assert_array_equal(mean, fitted.predict(X_test))
    np.testing.assert_allclose(mean, each.mean(1))
    np.testing.assert_allclose(std, each.std(1))
    assert (std > 0).all()


def test_the_html_shows_parameters_before_and_after_fit(fitted):
    assert "StepwiseRegressor" in StepwiseRegressor()._repr_html_()
    assert "random_state" in fitted._repr_html_()
    assert repr(fitted) == "StepwiseRegressor(random_state=0)"


# -- pipeline_: statistics of the training rows ---------------------------------------


def test_pipeline_agrees_with_the_estimator(fitted, diabetes):
    np.testing.assert_array_equal(fitted.pipeline_.predict(diabetes[1]), fitted.predict(diabetes[1]))


@pytest.mark.parametrize("validation", [False, True], ids=["cross-fitted", "X_val"])
def test_the_scaler_holds_the_statistics_of_X(diabetes, validation):
    X, X_test, y, y_test = diabetes
    own = {"X_val": X_test, "y_val": y_test} if validation else {}
    scaler = short().fit(X, y, **own).pipeline_[0]
    np.testing.assert_allclose(scaler.mean_, X.mean(0), atol=1e-12)
    np.testing.assert_allclose(scaler.scale_, X.std(0))
    np.testing.assert_allclose(scaler.transform(X_test), (X_test - X.mean(0)) / X.std(0), atol=1e-9)


def test_rows_held_out_by_a_single_network_do_not_count(diabetes):
    X, X_test, y, _ = diabetes
    model = short(n_estimators=1)
    scaler = model.fit(X, y).pipeline_[0]
    (train,) = rows_of(model, X, y).train
    assert len(train) == round(0.85 * len(X))
    np.testing.assert_allclose(scaler.mean_, X[train].mean(0), atol=1e-12)
    np.testing.assert_allclose(scaler.scale_, X[train].std(0))
    np.testing.assert_allclose(scaler.transform(X_test), (X_test - X[train].mean(0)) / X[train].std(0), atol=1e-9)


def test_a_network_does_not_see_the_rows_it_holds_out(diabetes):
    X, X_test, y, _ = diabetes
    # Columns of many values: how many there are decides, for all networks alike, which are encoded.
    X, X_test = (rows[:, [0, 2, 3, 4, 5, 6, 8, 9]] for rows in (X, X_test))
    model = short(n_estimators=3, max_epochs=1)
    held_out = rows_of(model, X, y).valid[1]
    elsewhere, other = X.copy(), y.copy()
    elsewhere[held_out] += 3.0
    other[held_out] *= -1.0

    def network(X, y):
        # After one epoch there is no choice of the best: only training rows can matter.
        fitted = clone(model).fit(X, y)
        return fitted.pipeline_[-1].network_predictions(fitted.pipeline_[0].transform(X_test))

    before, after = network(X, y), network(elsewhere, other)
    np.testing.assert_allclose(after[:, 1], before[:, 1], rtol=1e-3)
    assert np.abs(after[:, 0] - before[:, 0]).max() > 1


# -- validation ------------------------------------------------------------------------


@pytest.mark.parametrize("n_estimators", [2, 3, 8])
def test_out_of_fold_predictions_are_by_networks_that_held_the_row_out(diabetes, n_estimators):
    X, _, y, _ = diabetes
    model = short(n_estimators=n_estimators).fit(X, y)
    each = model.pipeline_[-1].network_predictions(model.pipeline_[0].transform(X))[..., 0]
    expected = np.full(len(X), np.nan)
    rows = rows_of(model, X, y)
    for k, (train, valid) in enumerate(zip(rows.train, rows.valid, strict=True)):
        assert set(train) | set(valid) == set(range(len(X)))
        assert not set(train) & set(valid)
        expected[valid] = each[valid, k]
    np.testing.assert_allclose(model.oof_prediction_, expected)
    assert model.validation_score_ == pytest.approx(r2_score(y, model.oof_prediction_))


def test_networks_that_share_a_fold_are_averaged(diabetes):
    X, y = diabetes[0][:35], diabetes[2][:35]
    model = short(n_estimators=16).fit(X, y)
    each = model.pipeline_[-1].network_predictions(model.pipeline_[0].transform(X))[..., 0]
    held_out = np.array([np.isin(np.arange(35), own) for own in rows_of(model, X, y).valid]).T
    assert set(held_out.sum(1)) == {2, 3}
    np.testing.assert_allclose(model.oof_prediction_, np.nanmean(np.where(held_out, each, np.nan), axis=1))


def test_a_single_network_leaves_nan_for_rows_it_was_trained_on(diabetes):
    X, _, y, _ = diabetes
    model = short(n_estimators=1, validation_fraction=0.25).fit(X, y)
    known = ~np.isnan(model.oof_prediction_)
    assert known.sum() == round(0.25 * len(X))
    assert np.flatnonzero(known).tolist() == rows_of(model, X, y).valid[0].tolist()
    np.testing.assert_allclose(model.oof_prediction_[known], model.predict(X)[known])
    assert model.validation_score_ == pytest.approx(r2_score(y[known], model.oof_prediction_[known]))
    assert model.training_score_ == pytest.approx(r2_score(y[~known], model.predict(X)[~known]))


def test_training_score_is_that_of_networks_on_rows_they_learnt_from(diabetes):
    X, _, y, _ = diabetes
    model = short(n_estimators=3, early_stopping=False).fit(X, y)
    each = model.pipeline_[-1].network_predictions(model.pipeline_[0].transform(X))[..., 0]
    expected = np.mean([r2_score(y, each[:, k]) for k in range(3)])
    assert model.training_score_ == pytest.approx(expected)


def test_without_early_stopping_all_rows_train_all_networks_to_the_end(diabetes):
    X, _, y, _ = diabetes
    model = short(early_stopping=False).fit(X, y)
    assert model.n_iter_ == 15
    assert model.plan_.n_rows == len(X)
    assert model.plan_.stopping is None
    assert model.oof_prediction_ is None
    assert model.validation_score_ is None
    assert "valid_loss" not in model.history_[-1]


def test_validation_data_of_the_users_own(diabetes):
    X, X_val, y, y_val = diabetes
    model = short().fit(X, y, X_val=X_val, y_val=y_val)
    assert model.plan_.n_rows == len(X)
    assert model.oof_prediction_ is None
    assert model.validation_score_ == pytest.approx(model.score(X_val, y_val))


def test_patience_ends_a_fit_early(diabetes):
    X, _, y, _ = diabetes
    impatient = short(max_epochs=300, n_iter_no_change=2, lr_schedule="constant").fit(X, y)
    assert impatient.n_iter_ < 100


def test_folds_are_disjoint_and_cover_all_rows():
    folds = assign_folds(8, 101, None, np.random.default_rng(0))
    assert np.sort(np.concatenate(folds)).tolist() == list(range(101))


# -- parameters ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        ("auto", "squared_error"),
        ("absolute_error", "absolute_error"),
        ("huber", "huber"),
        ("poisson", "poisson"),
        (nn.SmoothL1Loss, "SmoothL1Loss"),
        (nn.HuberLoss(delta=0.5), "HuberLoss"),
        (cubed_error, "cubed_error"),
    ],
    ids=name_of,
)
def test_every_cost_learns(loss, name, diabetes):
    X, X_test, y, y_test = diabetes
    model = short(loss=loss, n_estimators=4).fit(X, y)
    assert model.loss_ == name
    assert model.score(X_test, y_test) > 0.2


def test_a_torch_criterion_equals_the_built_in_cost(diabetes):
    X, X_test, y, _ = diabetes
    built_in, criterion = short().fit(X, y), short(loss=nn.MSELoss).fit(X, y)
    np.testing.assert_allclose(criterion.predict(X_test), built_in.predict(X_test), rtol=1e-3)


def test_poisson_predicts_positive_values(diabetes):
    X, X_test, y, _ = diabetes
    assert (short(loss="poisson").fit(X, y).predict(X_test * 10) > 0).all()


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", nn.CrossEntropyLoss])
def test_a_cost_for_classes_is_refused(loss, diabetes):
    with pytest.raises(ValueError, match=r"`loss=.* regression.*Use 'auto' or one of"):
        short(loss=loss).fit(diabetes[0], diabetes[2])


def test_a_loss_that_is_no_loss_per_row_is_refused(diabetes):
    with pytest.raises(ValueError, match="must return one loss per row"):
        short(loss=torch.nn.functional.mse_loss).fit(diabetes[0], diabetes[2])


@pytest.mark.parametrize(
    ("parameters", "widths"),
    [
        ({"hidden_units": "midpoint"}, (6,)),
        ({"hidden_units": 5}, (5,)),
        ({"hidden_units": 5, "n_hidden_layers": 3}, (5, 5, 5)),
        ({"hidden_units": (9, 4)}, (9, 4)),
        ({"hidden_units": np.array([9, 4])}, (9, 4)),
        ({"hidden_units": np.int64(3), "n_hidden_layers": np.int64(2)}, (3, 3)),
    ],
    ids=name_of,
)
def test_the_layers_are_as_wide_as_asked(parameters, widths, diabetes):
    model = short(numeric_encoding=None, **parameters).fit(diabetes[0], diabetes[2])
    assert model.hidden_units_ == widths
    assert model.pipeline_[-1].module_.weights[0].shape == (8, 10, widths[0])
    assert len(model.pipeline_[-1].module_.weights) == len(widths) + 1


@pytest.mark.parametrize("module", [Net, make_net])
def test_a_module_of_the_users_own(module, diabetes):
    X, X_test, y, y_test = diabetes
    model = short(module=module, n_estimators=3).fit(X, y)
    assert model.score(X_test, y_test) > 0.2
    assert model.hidden_units_ == ()
    assert f"module {module.__name__}" in [step.decision for step in model.steps_]


def test_a_module_that_does_not_fit_is_refused(diabetes):
    X, _, y, _ = diabetes
    with pytest.raises(ValueError, match=r"`module` must map \(rows, 10\) to \(rows, 1\), but gave shape \(2, 3\)"):
        short(module=lambda n_inputs, n_outputs: nn.Linear(n_inputs, 3)).fit(X, y)
    with pytest.raises(TypeError, match=r"`module` must be .mlp., .* or a factory .* gave dict"):
        short(module=dict_factory).fit(X, y)


def dict_factory(n_inputs, n_outputs):
    """No module."""
    return {}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", torch.optim.RMSprop], ids=name_of)
def test_every_optimizer_learns(optimizer, diabetes):
    X, X_test, y, y_test = diabetes
    rate = 0.002 if optimizer is torch.optim.RMSprop else 0.02
    model = short(optimizer=optimizer, learning_rate=rate, n_estimators=4).fit(X, y)
    assert model.score(X_test, y_test) > 0.2


def half_way(progress):
    """A schedule of the user's own."""
    return 1.0 if progress < 0.5 else 0.1


@pytest.mark.parametrize(
    "schedule",
    ["auto", "constant", "exponential", "staircase", "plateau", "cosine", "cosine_restarts", half_way],
    ids=name_of,
)
def test_every_schedule_learns(schedule, diabetes):
    X, X_test, y, y_test = diabetes
    model = short(lr_schedule=schedule, n_estimators=4).fit(X, y)
    assert model.score(X_test, y_test) > 0.2
    if schedule is half_way:
        rates = model.history_[:, "lr"]
        assert rates[0] == pytest.approx(0.02)
        assert rates[-1] == pytest.approx(0.002)


def test_decay_shrinks_the_weights(diabetes):
    X, _, y, _ = diabetes

    def size(weight_decay):
        model = short(weight_decay=weight_decay, early_stopping=False).fit(X, y)
        return float(model.pipeline_[-1].module_.weights[0].detach().square().sum())

    assert size(0.1) < 0.8 * size(0.0)


def test_callbacks_of_skorch_run_and_stop_the_fit(diabetes):
    X, _, y, _ = diabetes
    stop = EarlyStopping(monitor="r2", lower_is_better=False, patience=1, threshold=10.0)
    model = short(callbacks=[("r2", EpochScoring("r2", lower_is_better=False)), stop], max_epochs=50).fit(X, y)
    assert model.n_iter_ == 2
    assert all(np.isfinite(model.history_[:, "r2"]))


@pytest.mark.parametrize(
    "scheduler", [LRScheduler, LRScheduler(), ("rate", LRScheduler())], ids=["class", "one", "named"]
)
def test_a_callback_that_steers_the_rate_stands_in_for_the_schedule(scheduler, diabetes):
    X, _, y, _ = diabetes
    assert short(callbacks=[scheduler]).fit(X, y).plan_.lr_schedule is None
    with pytest.raises(ValueError, match="both would steer the rate"):
        short(callbacks=[scheduler], lr_schedule="cosine").fit(X, y)


def test_one_estimator_and_three(diabetes):
    X, X_test, y, _ = diabetes
    for n in (1, 3):
        model = short(n_estimators=n).fit(X, y)
        mean, std = model.predict(X_test, return_std=True)
        assert model.plan_.n_networks == n
        assert mean.shape == std.shape == (len(X_test),)
        assert (std.max() == 0) == (n == 1)


def test_batches_and_threads_are_as_asked(diabetes):
    X, _, y, _ = diabetes
    plan = short(batch_size=17, n_threads=2, restart_period=3, restart_mult=1).fit(X, y).plan_
    assert (plan.batch_size, plan.n_threads) == (17, 2)
    assert plan.lr_schedule.ends == (3, 6, 9, 12, 15)


def columns_of_all_sizes(X):
    """Four targets: of size 1, of a million, of a millionth, and a constant."""
    return np.column_stack([X[:, 0] + X[:, 1], 1e6 * X[:, 2] + 3e7, 1e-6 * X[:, 3], np.full(len(X), 7.0)])


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_targets_of_very_different_sizes_are_learnt_alike(loss):
    X = np.random.default_rng(0).normal(size=(500, 4))
    y = columns_of_all_sizes(X)
    model = short(loss=loss, n_estimators=4, max_epochs=40).fit(X[:300], y[:300])
    mean, std = model.predict(X[300:], return_std=True)
    assert (r2_score(y[300:], mean, multioutput="raw_values") > 0.9).all()
    np.testing.assert_array_equal(mean[:, 3], 7)
    np.testing.assert_array_equal(std[:, 3], 0)
    np.testing.assert_allclose(model.validation_score_, r2_score(y[:300], model.oof_prediction_))


def test_counts_of_very_different_sizes_and_a_constant_one_are_learnt_alike():
    X = np.random.default_rng(0).normal(size=(400, 2))
    rates = np.exp(np.column_stack([X[:, 0], X[:, 1] + 7]))
    y = np.column_stack([np.random.default_rng(1).poisson(rates), np.full(400, 3)])
    model = short(loss="poisson", n_estimators=4, max_epochs=40).fit(X, y)
    predicted = model.predict(X)
    assert (r2_score(rates, predicted[:, :2], multioutput="raw_values") > 0.8).all()
    np.testing.assert_array_equal(predicted[:, 2], 3)


def test_several_targets_at_once():
    X, y = load_linnerud(return_X_y=True)
    model = StepwiseRegressor(random_state=0, learning_rate=0.02, max_epochs=100).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == model.oof_prediction_.shape == y.shape
    assert model.score(X, y) == pytest.approx(np.mean([r2_score(y[:, j], mean[:, j]) for j in range(3)]))
    assert model.score(X, y) > 0.15
    assert model.validation_score_ == pytest.approx(r2_score(y, model.oof_prediction_))


# -- randomness and torch's own settings -------------------------------------------------


@any_rate
@pytest.mark.parametrize("parameters", [{}, {"n_estimators": 1}, {"module": make_net, "n_estimators": 2}], ids=name_of)
def test_a_seed_repeats_the_fit_bit_for_bit(parameters, diabetes):
    X, X_test, y, _ = diabetes
    parameters = {"learning_rate": "auto", **parameters}
    first, again, other = (short(**{**parameters, "random_state": s}).fit(X, y).predict(X_test) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_a_random_state_instance_repeats_the_fit_too(diabetes):
    X, X_test, y, _ = diabetes
    model = short()
    first, again = (
        clone(model).set_params(random_state=np.random.RandomState(5)).fit(X, y).predict(X_test) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)


def test_without_a_seed_fits_differ(diabetes):
    X, X_test, y, _ = diabetes
    model = short(random_state=None)
    assert (model.fit(X, y).predict(X_test) != model.fit(X, y).predict(X_test)).all()


@any_rate
def test_whether_the_finder_ran_before_does_not_matter(diabetes):
    X, X_test, y, _ = diabetes
    found = short(learning_rate="auto").fit(X, y)
    given = short(learning_rate=found.learning_rate_).fit(X, y)
    np.testing.assert_array_equal(found.predict(X_test), given.predict(X_test))
    assert find_learning_rate(short(), X, y).learning_rate == found.learning_rate_


class Broken(nn.Linear):
    """A module that fails while it is trained."""

    calls = 0

    def forward(self, x):
        type(self).calls += 1
        if type(self).calls > 10:
            torch.manual_seed(99)
            raise FloatingPointError("broken on purpose")
        return super().forward(x)


def settings_of_torch():
    """Everything global that a fit could leave changed."""
    return (
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_rng_state().tolist(),
        str(np.random.get_state()),
        np.geterr(),
    )


@any_rate
@pytest.mark.parametrize("module", ["mlp", Net, make_net])
def test_nothing_global_is_changed(module, diabetes):
    X, X_test, y = diabetes[0][:150], diabetes[1], diabetes[2][:150]
    before = settings_of_torch()
    model = short(module=module, n_threads=2, learning_rate="auto", n_estimators=2)
    model.fit(X, y).predict(X_test)
    find_learning_rate(model, X, y)
    assert settings_of_torch() == before


def test_nothing_global_is_changed_by_a_fit_that_fails(diabetes):
    X, _, y, _ = diabetes
    before = settings_of_torch()
    with pytest.raises(FloatingPointError, match="on purpose"):
        short(module=Broken, n_threads=2, learning_rate="auto").fit(X, y)
    assert Broken.calls > 10
    assert settings_of_torch() == before


@pytest.mark.parametrize("parameters", [{}, {"module": Net}, {"loss": cubed_error}], ids=name_of)
def test_the_default_dtype_of_torch_does_not_matter(parameters, diabetes):
    X, X_test, y, y_test = diabetes
    expected = short(**parameters).fit(X, y)
    torch.set_default_dtype(torch.float64)
    try:
        model = short(**parameters).fit(X, y)
        predictions = model.predict(X_test)
    finally:
        torch.set_default_dtype(torch.float32)
    if "module" in parameters:
        assert r2_score(y_test, predictions) > 0.2
    else:
        np.testing.assert_array_equal(predictions, expected.predict(X_test))


def test_verbose_prints_the_table_of_skorch(diabetes, capsys):
    X, _, y, _ = diabetes
    short(max_epochs=3, verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["epoch", "lr", "train_loss", "valid_loss", "dur"]
    assert [line.split()[0] for line in lines[2:5]] == ["1", "2", "3"]


@any_rate
def test_otherwise_nothing_is_printed(diabetes, capsys):
    X, X_test, y, _ = diabetes
    short(learning_rate="auto").fit(X, y).predict(X_test)
    assert capsys.readouterr() == ("", "")
