"""`warm_start=True`: a further fit goes on from the networks of the last one."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import RandomizedSearchCV
from skorch.callbacks import Callback
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV
from sk_dlsteps.step1_cost.metric import TripletLoss

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4))
Y = np.sin(X[:, 0]) + X[:, 1] + 0.3 * RNG.normal(size=200)
LABELS = np.digitize(Y, [-0.5, 0.5])
QUICK = {"n_estimators": 3, "random_state": 0, "learning_rate": 0.01, "max_epochs": 4}
STEADY = {**QUICK, "lr_schedule": "constant", "early_stopping": False}


class Net(nn.Module):
    """A small module with dropout, whose randomness goes on too."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_inputs, 8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, n_outputs))

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"optimizer": "adamw", "weight_decay": 0.1, "dropout": 0.2},
        {"optimizer": "sgd", "batch_norm": True},
        {"optimizer": torch.optim.RMSprop},
        {"augmentation": "gaussian_noise", "scaler": "robust"},
        {"module": Net},
    ],
    ids=str,
)
def test_two_fits_are_one_of_twice_as_many_epochs(parameters):
    warm = StepwiseRegressor(**{**STEADY, **parameters}, warm_start=True).fit(X, Y).fit(X, Y)
    once = StepwiseRegressor(**{**STEADY, **parameters, "max_epochs": 8}).fit(X, Y)
    np.testing.assert_array_equal(warm.predict(X), once.predict(X))
    assert warm.n_iter_ == once.n_iter_ == 8
    losses = [[row["train_loss"] for row in model.history_] for model in (warm, once)]
    assert losses[0] == losses[1]


def test_so_it_is_for_classes_and_weights():
    weight = RNG.uniform(0.5, 2.0, 200)
    warm = StepwiseClassifier(**STEADY, warm_start=True)
    for _ in range(2):
        warm = pickle.loads(pickle.dumps(warm.fit(X, LABELS, sample_weight=weight)))
    once = StepwiseClassifier(**{**STEADY, "max_epochs": 8}).fit(X, LABELS, sample_weight=weight)
    np.testing.assert_array_equal(warm.predict_proba(X), once.predict_proba(X))


@pytest.mark.parametrize("random_state", [0, None])
@pytest.mark.parametrize("rate", [0.01, 0.5])
def test_the_same_rows_never_end_in_a_worse_validation_loss(random_state, rate):
    model = StepwiseRegressor(**{**QUICK, "random_state": random_state}, warm_start=True).fit(X, Y)
    for _ in range(3):
        before, valid = model.pipeline_[-1].best_losses_, model.oof_prediction_
        model.set_params(learning_rate=rate).fit(X, Y)
        after = model.pipeline_[-1].best_losses_
        assert (after <= before * (1 + 1e-5)).all()
        kept = model.pipeline_[-1].best_epochs_ == 0
        assert kept.any() == (abs(model.oof_prediction_ - valid) < 1e-12).any()


@pytest.mark.parametrize("random_state", [0, None, np.random.RandomState(3)])
def test_networks_hold_out_the_same_rows_again(random_state):
    model = StepwiseRegressor(**{**QUICK, "random_state": random_state, "learning_rate": 1e-12}, warm_start=True)
    first = model.fit(X, Y).oof_prediction_
    np.testing.assert_allclose(model.fit(X, Y).oof_prediction_, first, atol=1e-6)


def test_scaling_and_rate_stay_and_the_records_say_so():
    model = StepwiseRegressor(**{**QUICK, "learning_rate": "auto", "max_epochs": 15}, warm_start=True).fit(X, Y)
    rate, curve, mean = model.learning_rate_, model.lr_curve_, model.pipeline_[0].mean_.copy()
    model.fit(X[:150] + 1, Y[:150])
    assert (model.learning_rate_, model.lr_curve_) == (rate, curve)
    np.testing.assert_array_equal(model.pipeline_[0].mean_, mean)
    assert model.hidden_units_ == model.pipeline_[-1].module_.weights[0].shape[2:]
    record = next(record for record in model.steps_ if record.title == "warm start")
    assert record.evidence == {"epochs before": record.evidence["epochs before"], "with the optimizer's state": True}
    assert record.evidence["epochs before"] < model.n_iter_ == len(model.history_)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_units": 7}, "`hidden_units` was 'auto' .* and is 7 now.*warm_start=False"),
        ({"n_estimators": 4}, "`n_estimators` was 3 .* and is 4 now"),
        ({"activation": "tanh"}, "`activation`"),
        ({"loss": "huber"}, "`loss`"),
        ({"module": Net}, "`module`"),
        ({"scaler": None}, "`scaler`"),
    ],
)
def test_changed_architecture_is_an_error_that_says_what_to_do(parameters, message):
    model = StepwiseRegressor(**QUICK, warm_start=True).fit(X, Y)
    before = model.predict(X)
    with pytest.raises(ValueError, match=message):
        model.set_params(**parameters).fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), before)
    assert model.set_params(warm_start=False).fit(X, Y).n_iter_ == 4


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.4)),
        (TripletLoss(1.0, 4), TripletLoss(5.0, 4)),
    ],
    ids=str,
)
def test_another_number_in_a_cost_is_another_cost(before, now):
    model = StepwiseClassifier(**QUICK, loss=before, warm_start=True).fit(X, LABELS)
    assert model.set_params(loss=copy.deepcopy(before)).fit(X, LABELS).n_iter_ > 4
    with pytest.raises(ValueError, match="`loss` was"):
        model.set_params(loss=now).fit(X, LABELS)


@pytest.mark.parametrize("parameters", [{"unfreeze": False}, {"differential_rates": 0.5}, {"init_from": None}], ids=str)
def test_what_is_frozen_or_taken_over_is_decided_by_the_first_fit(parameters):
    source = StepwiseRegressor(**QUICK).fit(X, Y)
    model = StepwiseRegressor(**QUICK, init_from=source, warm_start=True).fit(X, Y)
    for own in (model, pickle.loads(pickle.dumps(model))):
        assert own.fit(X, Y).n_iter_ <= 8
        name = next(iter(parameters))
        with pytest.raises(ValueError, match=f"(?s)`{name}` was .* when the networks were made"):
            own.set_params(**parameters).fit(X, Y)


def test_a_warm_start_goes_on_with_the_last_stage_and_says_what_is_frozen():
    source = StepwiseRegressor(**QUICK).fit(X, Y)
    model = source.fine_tune(X, Y**2, unfreeze=False, warm_start=True)
    stages, hidden = model.plan_.stages, model.pipeline_[-1].module_.weights[0].clone()
    model.fit(X, Y**2)
    assert model.plan_.stages == stages
    titles = [record.title for record in model.steps_]
    assert titles.index("stage 1 of 1") < titles.index("warm start")
    record = next(record for record in model.steps_ if record.title == "warm start")
    assert record.decision.endswith("; hidden_1 frozen")
    assert torch.equal(model.pipeline_[-1].module_.weights[0], hidden)
    model.partial_fit(X, Y**2)
    assert model.plan_.stages == stages
    assert "stage 1 of 1" in [record.title for record in model.steps_]


def test_units_may_be_given_by_another_kind_of_sequence():
    model = StepwiseRegressor(**QUICK, hidden_units=[6, 5], warm_start=True).fit(X, Y)
    assert model.set_params(hidden_units=np.array([6, 5])).fit(X, Y).n_iter_ == 8


def test_other_columns_targets_or_classes_are_errors():
    model = StepwiseRegressor(**QUICK, warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"number of columns of `X` was 4 and would be 3 now.*warm_start=False"):
        model.fit(X[:, :3], Y)
    with pytest.raises(ValueError, match=r"number of columns of `y` was 1 and would be 2 now"):
        model.fit(X, np.column_stack([Y, Y]))
    labels = StepwiseClassifier(**QUICK, warm_start=True).fit(X, LABELS)
    with pytest.raises(ValueError, match=r"classes of `y` were \[0, 1, 2\] and would be \[0, 1\] now"):
        labels.fit(X, LABELS // 2)


def test_the_optimizers_state_is_kept_only_where_somebody_may_go_on():
    cold, warm = (len(pickle.dumps(StepwiseRegressor(**QUICK, warm_start=own).fit(X, Y))) for own in (False, True))
    weights = sum(p.nbytes for p in StepwiseRegressor(**QUICK).fit(X, Y).pipeline_[-1].module_.parameters())
    assert warm - cold > 2 * weights
    assert StepwiseRegressor(**QUICK).fit(X, Y)._memory.carried is None


def test_a_cold_fit_does_not_depend_on_one_before():
    model = StepwiseRegressor(**QUICK).fit(X, Y)
    first = model.predict(X)
    np.testing.assert_array_equal(model.fit(X, Y).predict(X), first)


def test_without_the_optimizers_state_the_weights_go_on_all_the_same():
    model = StepwiseRegressor(**{**QUICK, "learning_rate": 1e-12}).fit(X, Y)
    first = model.predict(X)
    np.testing.assert_allclose(model.set_params(warm_start=True).fit(X, Y).predict(X), first, atol=1e-6)
    assert not next(r for r in model.steps_ if r.title == "warm start").evidence["with the optimizer's state"]


def test_another_optimizer_begins_without_moments():
    model = StepwiseRegressor(**QUICK, warm_start=True).fit(X, Y)
    assert model.set_params(optimizer="sgd").fit(X, Y).n_iter_ == 8


class Broken(Callback):
    """Fails in the fifth epoch of all."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 5:
            raise RuntimeError("broken")


def test_a_failed_fit_leaves_everything_as_it_was():
    model = StepwiseRegressor(**QUICK, warm_start=True, callbacks=[Broken()]).fit(X, Y)
    published, before = dict(vars(model)), model.predict(X)
    rows = len(model.history_)
    with pytest.raises(RuntimeError, match="broken"):
        model.fit(X, Y)
    assert all(vars(model)[name] is value for name, value in published.items())
    assert len(model.history_) == rows
    np.testing.assert_array_equal(model.predict(X), before)


def test_clones_and_candidates_begin_anew():
    model = StepwiseRegressor(**QUICK, warm_start=True).fit(X, Y)
    cold = StepwiseRegressor(**QUICK).fit(X, Y)
    np.testing.assert_array_equal(clone(model).fit(X, Y).predict(X), cold.predict(X))
    space = {"weight_decay": [0.0, 0.1]}
    ours = StepwiseSearchCV(model, space, strategy="random", n_iter=2, cv=2, random_state=0).fit(X, Y)
    theirs = RandomizedSearchCV(model, space, n_iter=2, cv=2, random_state=0).fit(X, Y)
    np.testing.assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], atol=1e-4)
    assert ours.best_estimator_.n_iter_ == 4


def test_a_stream_and_warm_fits_take_turns():
    model = StepwiseRegressor(**QUICK, warm_start=True)
    model.partial_fit(X[:100], Y[:100]).fit(X, Y).partial_fit(X[100:], Y[100:])
    assert model.n_iter_ == 6
    assert model.fit(X, Y).validation_score_ > 0.5
