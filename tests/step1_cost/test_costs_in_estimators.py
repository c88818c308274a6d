"""Costs in a whole fit, on real estimators."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor

X, Y = (part[:150] for part in load_diabetes(return_X_y=True))
SETTINGS = {"n_estimators": 2, "max_epochs": 20, "learning_rate": 0.02, "random_state": 0}


def mean_fourth_power(output, target):
    """A user's loss that explodes on targets that are not standardised."""
    return ((output - target) ** 4).mean(-1)


class Remembering:
    """A user's loss that keeps the targets it was shown."""

    def __init__(self):
        self.seen = []

    def __call__(self, output, target):
        self.seen.append(target.detach().clone())
        return (output - target).square().sum(-1)


def test_a_users_loss_works_on_standardised_targets_and_predicts_the_users_units():
    small = StepwiseRegressor(loss=mean_fourth_power, **SETTINGS).fit(X, Y)
    large = StepwiseRegressor(loss=mean_fourth_power, **SETTINGS).fit(X, 1e6 * Y - 3e8)
    assert small.score(X, Y) > 0.3
    np.testing.assert_allclose(large.predict(X), 1e6 * small.predict(X) - 3e8, rtol=1e-3)


def test_targets_that_reach_a_users_loss_have_mean_0_and_std_1():
    loss = Remembering()
    settings = {**SETTINGS, "n_estimators": 1, "early_stopping": False, "batch_size": 150, "max_epochs": 1}
    model = StepwiseRegressor(loss=loss, **settings).fit(X, Y)
    seen = model.pipeline_[-1].module_.cost.function.seen or loss.seen
    assert float(seen[0].mean()) == pytest.approx(0, abs=1e-5)
    assert float(seen[0].std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_poisson_predictions_are_positive_and_of_the_targets_size():
    counts = np.random.default_rng(0).poisson(np.exp(20 * X[:, 2]))
    model = StepwiseRegressor(loss="poisson", **SETTINGS).fit(X, counts)
    assert (model.predict(X) > 0).all()
    assert (model.predict(1e3 * X) > 0).all()
    assert model.predict(X).mean() == pytest.approx(counts.mean(), rel=0.25)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss, nn.NLLLoss(), nn.MultiMarginLoss])
def test_a_torch_criterion_trains_a_classifier(loss):
    features, labels = load_iris(return_X_y=True)
    model = StepwiseClassifier(loss=loss, **SETTINGS).fit(features, labels)
    assert model.score(features, labels) > 0.9


def test_a_loss_that_is_one_number_for_all_rows_is_an_error_that_names_the_way_out():
    with pytest.raises(ValueError, match="reduction='none'"):
        StepwiseRegressor(loss=lambda output, target: ((output - target) ** 2).mean(), **SETTINGS).fit(X, Y)


def test_parameters_of_a_fitted_estimators_net_survive_the_way_through_a_file(tmp_path):
    model = StepwiseRegressor(**SETTINGS).fit(X, Y)
    net = model.pipeline_[-1]
    net.save_params(f_params=tmp_path / "params.pt")
    fresh = clone(net).initialize()
    fresh.load_params(f_params=tmp_path / "params.pt")
    rows = model.pipeline_[:-1].transform(X)
    np.testing.assert_array_equal(fresh.predict(rows), model.predict(X))


def test_fit_and_predict_leave_the_thread_count_alone():
    before = torch.get_num_threads()
    model = StepwiseRegressor(n_threads=before + 1, **SETTINGS).fit(X, Y)
    model.predict(X)
    assert torch.get_num_threads() == before
