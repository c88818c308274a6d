"""Where fits are computed, and targets on devices without float64, which the CPU stands in for here."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from skorch.exceptions import DeviceWarning

from sk_dlsteps import StepwiseRegressor, StepwiseSearchCV
from sk_dlsteps.engine import device
from sk_dlsteps.engine.device import choose_device, device_to_load_onto, widest_float

SETTINGS = {"max_epochs": 15, "learning_rate": 0.02, "n_estimators": 3, "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4))
Y = X[:, 0] + np.sin(2 * X[:, 1]) + 0.1 * RNG.normal(size=300)


@pytest.fixture
def there(monkeypatch):
    """A function that says which kinds of device are there, beside the CPU."""

    def say(*kinds):
        monkeypatch.setattr(device, "is_available", lambda kind: kind in ("cpu", *kinds))

    return say


@pytest.fixture
def without_float64(monkeypatch):
    """A function after whose call the CPU is treated as a device that has no float64."""

    def take_away():
        for module in ("preparation", "engine.batches", "engine.validation_rows", "step4_validation.augmentation"):
            monkeypatch.setattr(f"sk_dlsteps.{module}.widest_float", lambda device: torch.float32)

    return take_away


@pytest.mark.parametrize(
    ("kinds", "chosen"), [(("cuda", "mps"), "cuda"), (("cuda",), "cuda"), (("mps",), "mps"), ((), "cpu")]
)
def test_auto_is_cuda_then_mps_then_the_cpu(there, kinds, chosen):
    there(*kinds)
    assert choose_device("auto") == chosen


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there_is_an_error_with_a_way_out(there, name):
    there()
    with pytest.raises(ValueError, match=re.escape(f"`device={name!r}`: torch sees no such device here; use ")):
        choose_device(name)


def test_a_device_that_holds_no_numbers_is_an_error():
    with pytest.raises(ValueError, match="`device='meta'`: torch sees no such device here"):
        choose_device("meta")


def test_the_cpu_has_no_number_since_no_file_can_be_loaded_onto_one():
    assert choose_device("cpu:0") == choose_device("cpu:3") == "cpu"


def test_a_named_device_that_is_there_is_taken(there):
    there("cuda", "mps")
    assert [choose_device(name) for name in ("cpu", "cuda:1", "mps")] == ["cpu", "cuda:1", "mps"]


@pytest.mark.parametrize(("named", "own"), [("cpu", "cuda:1"), ("cuda:0", "cuda:1"), ("mps", "cpu")])
def test_a_device_other_than_the_accelerators_is_an_error(named, own):
    accelerator = SimpleNamespace(device=torch.device(own))
    with pytest.raises(ValueError, match=f"the `accelerator` computes on '{own}'; use device='auto'"):
        choose_device(named, accelerator)
    assert choose_device("auto", accelerator) == own


def test_only_apples_gpus_lack_float64():
    assert [widest_float(name) for name in ("cpu", "cuda:1", "mps")] == [torch.float64, torch.float64, torch.float32]


@pytest.mark.parametrize("name", ["mps", "cuda:3"])
def test_a_net_from_a_device_that_is_not_here_goes_onto_the_cpu(there, name):
    there()
    with pytest.warns(DeviceWarning, match=f"trained on '{name}', which is not here"):
        assert device_to_load_onto(name) == "cpu"


def test_a_net_from_a_gpu_with_a_higher_number_goes_to_one_that_is_here(there, monkeypatch):
    there("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    found = [device_to_load_onto(name) for name in ("cuda:3", "cuda:0", "cuda", "cpu")]
    assert found == ["cuda", "cuda:0", "cuda", "cpu"]


@pytest.mark.parametrize("loss", ["squared_error", "huber", "poisson"])
def test_without_float64_a_fit_is_the_same_to_rounding(without_float64, loss):
    y = np.exp(Y / 2) if loss == "poisson" else Y
    wide = StepwiseRegressor(loss=loss, **SETTINGS).fit(X, y)
    without_float64()
    narrow = StepwiseRegressor(loss=loss, **SETTINGS).fit(X, y)
    assert narrow.pipeline_[-1].module_.target_center.dtype == torch.float32
    np.testing.assert_allclose(narrow.predict(X), wide.predict(X), rtol=1e-3, atol=1e-3)
    assert narrow.validation_score_ == pytest.approx(wide.validation_score_, abs=1e-3)


def test_without_float64_a_target_far_from_zero_is_learnt(without_float64):
    # float32 knows no number between 1e9 and 1e9 + 64.
    without_float64()
    near = StepwiseRegressor(**SETTINGS).fit(X, Y)
    far = StepwiseRegressor(**SETTINGS).fit(X, np.column_stack([1e9 + Y, Y]))
    assert near.validation_score_ > 0.8
    assert far.validation_score_ > 0.8
    errors = far.predict(X) - np.column_stack([1e9 + Y, Y])
    assert np.abs(errors[:, 0]).mean() < 2 * np.abs(errors[:, 1]).mean() < 1


def test_without_float64_a_constant_target_is_answered_exactly(without_float64):
    without_float64()
    model = StepwiseRegressor(**SETTINGS).fit(X, np.full(300, 1e9 + 1))
    np.testing.assert_array_equal(model.predict(X), 1e9 + 1)


def test_without_float64_fits_of_different_tables_still_share_a_fleet(without_float64):
    without_float64()
    settings = {"param_distributions": {"hidden_units": [4, 6]}, "strategy": "random", "n_iter": 2, "cv": 2}
    y = np.where(np.arange(300) < 150, 1e9, -1e9) + Y
    search = StepwiseSearchCV(StepwiseRegressor(**SETTINGS), random_state=0, **settings).fit(X, y)
    alone = StepwiseRegressor(**SETTINGS, hidden_units=search.best_params_["hidden_units"]).fit(X, y)
    np.testing.assert_allclose(search.predict(X), alone.predict(X), rtol=1e-4)
    for fold, rows in enumerate((slice(150, 300), slice(0, 150))):
        held_out = slice(0, 150) if fold == 0 else slice(150, 300)
        own = StepwiseRegressor(**SETTINGS, **search.best_params_).fit(X[rows], y[rows])
        score = search.cv_results_[f"split{fold}_test_score"][search.best_index_]
        assert score == pytest.approx(own.score(X[held_out], y[held_out]), rel=1e-3)


class Targets(Callback):
    """Keeps the targets and predictions that it hears of."""

    def on_batch_end(self, net, batch, training, y_pred, **kwargs):
        self.y, self.y_pred = batch[1], y_pred


def test_without_float64_callbacks_hear_of_targets_in_the_users_units(without_float64):
    without_float64()
    heard = Targets()
    StepwiseRegressor(callbacks=[heard], **SETTINGS).fit(X, 1e9 + Y)
    np.testing.assert_allclose(np.sort(heard.y[:, 0]), np.sort(1e9 + Y), rtol=0, atol=1e-5)
    assert (heard.y_pred[:, 0, 0] - heard.y[:, 0]).abs().mean() < 0.5


def test_without_float64_sample_weights_and_mixup_work(without_float64):
    weight = RNG.uniform(0.5, 2, 300)
    wide = StepwiseRegressor(augmentation="mixup", **SETTINGS).fit(X, Y, sample_weight=weight)
    without_float64()
    narrow = StepwiseRegressor(augmentation="mixup", **SETTINGS).fit(X, Y, sample_weight=weight)
    # The shares of mixup are other random numbers in float32.
    assert narrow.validation_score_ == pytest.approx(wide.validation_score_, abs=0.05)
