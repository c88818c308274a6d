"""On a machine with a GPU: the same fits there, and back to a machine without one."""

import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from scipy.stats import loguniform
from sklearn.datasets import load_diabetes, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV, find_learning_rate
from sk_dlsteps.engine.device import is_available

KINDS = [kind for kind in ("cuda", "mps") if is_available(kind)]
pytestmark = pytest.mark.skipif(not KINDS, reason="needs a GPU")
SETTINGS = {"max_epochs": 15, "learning_rate": 0.01, "random_state": 0}
X, Y = load_diabetes(return_X_y=True)
LABELLED, LABELS = load_iris(return_X_y=True)


class Dropped(nn.Sequential):
    """A user's network that draws random numbers on its device."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(nn.Linear(n_inputs, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, n_outputs))


class Plain(nn.Sequential):
    """A user's network that draws none."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(nn.Linear(n_inputs, 8), nn.ReLU(), nn.Linear(8, n_outputs))


@pytest.fixture(params=KINDS or ["none"])
def gpu(request):
    """Each kind of GPU that is here."""
    return request.param


def generator_states(gpu):
    """The states of torch's global generators."""
    return torch.get_rng_state(), getattr(torch, gpu).get_rng_state()


def test_auto_takes_the_gpu(gpu):
    assert StepwiseRegressor(**SETTINGS).fit(X, Y).plan_.device == KINDS[0]


REGRESSIONS = {
    "defaults": {},
    "sgd": {"optimizer": "sgd"},
    "a torch optimizer": {"optimizer": torch.optim.RMSprop, "weight_decay": 0.01},
    "techniques": {"dropout": 0.2, "batch_norm": True, "max_grad_norm": 1.0, "weight_decay": 0.01},
    "deep": {"hidden_units": (16, 8), "activation": "gelu", "batch_size": 31},
    "plateau": {"lr_schedule": "plateau", "loss": "huber"},
    "a module": {"module": Plain},
}


@pytest.mark.parametrize("parameters", REGRESSIONS.values(), ids=REGRESSIONS)
def test_a_regression_on_the_gpu_predicts_as_one_on_the_cpu(gpu, parameters):
    there, here = (StepwiseRegressor(device=d, **SETTINGS, **parameters).fit(X, Y) for d in (gpu, "cpu"))
    np.testing.assert_allclose(there.predict(X), here.predict(X), rtol=0.05)
    assert there.validation_score_ == pytest.approx(here.validation_score_, abs=0.02)


def test_a_classification_on_the_gpu_predicts_as_one_on_the_cpu(gpu):
    there, here = (StepwiseClassifier(device=d, **SETTINGS).fit(LABELLED, LABELS) for d in (gpu, "cpu"))
    np.testing.assert_allclose(there.predict_proba(LABELLED), here.predict_proba(LABELLED), atol=0.02)
    assert there.score(LABELLED, LABELS) > 0.9


def test_sample_weights_count_on_the_gpu_as_on_the_cpu(gpu):
    weight = np.random.default_rng(0).uniform(0, 2, len(Y))
    models = (StepwiseRegressor(device=d, **SETTINGS).fit(X, Y, sample_weight=weight) for d in (gpu, "cpu"))
    there, here = (model.predict(X) for model in models)
    np.testing.assert_allclose(there, here, rtol=0.05)


def test_a_target_far_from_zero_is_learnt_on_the_gpu(gpu):
    y = 1e9 + (Y - Y.mean()) / Y.std()
    there, here = (StepwiseRegressor(device=d, **SETTINGS).fit(X, y) for d in (gpu, "cpu"))
    assert there.validation_score_ == pytest.approx(here.validation_score_, abs=0.02)


@pytest.mark.parametrize("augmentation", ["gaussian_noise", "swap_noise", "mixup"])
def test_augmentations_run_on_the_gpu(gpu, augmentation):
    model = StepwiseClassifier(device=gpu, augmentation=augmentation, **SETTINGS).fit(LABELLED, LABELS)
    assert model.score(LABELLED, LABELS) > 0.8


def test_the_finder_runs_on_the_gpu(gpu):
    there, here = (find_learning_rate(StepwiseRegressor(device=d, random_state=0), X, Y) for d in (gpu, "cpu"))
    assert 0.5 < there.learning_rate / here.learning_rate < 2


def test_a_search_trains_its_fleets_on_the_gpu(gpu):
    space = {"hidden_units": [4, 8], "weight_decay": loguniform(1e-4, 1e-1)}
    scores = []
    for device in (gpu, "cpu"):
        model = make_pipeline(StandardScaler(), StepwiseRegressor(device=device, **SETTINGS))
        names = {f"stepwiseregressor__{name}": values for name, values in space.items()}
        search = StepwiseSearchCV(model, names, strategy="random", n_iter=4, cv=2, random_state=0).fit(X, Y)
        scores.append(search.cv_results_["mean_test_score"])
    np.testing.assert_allclose(*scores, atol=0.02)


@pytest.mark.parametrize("module", ["mlp", Plain])
@pytest.mark.parametrize("mixed_precision", ["bf16", "fp16"])
def test_mixed_precision_on_the_gpu_predicts_nearly_the_same(gpu, mixed_precision, module):
    if mixed_precision == "fp16" and gpu != "cuda":
        pytest.skip("fp16 needs CUDA")
    exact, narrow = (
        StepwiseRegressor(device=gpu, mixed_precision=p, module=module, **SETTINGS).fit(X, Y)
        for p in (None, mixed_precision)
    )
    assert narrow.validation_score_ == pytest.approx(exact.validation_score_, abs=0.03)


@pytest.mark.parametrize("module", ["mlp", Dropped])
def test_a_fit_on_the_gpu_is_repeatable_and_leaves_the_generators_alone(gpu, module):
    before = generator_states(gpu)
    first, second = (StepwiseRegressor(device=gpu, module=module, **SETTINGS).fit(X, Y) for _ in range(2))
    np.testing.assert_allclose(first.predict(X), second.predict(X), rtol=1e-4)
    assert all(map(torch.equal, before, generator_states(gpu)))


def test_a_model_trained_on_the_gpu_pickles(gpu):
    model = StepwiseRegressor(device=gpu, **SETTINGS).fit(X, Y)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X), rtol=1e-6)


@pytest.mark.skipif("cuda" not in KINDS, reason="CUDA can be hidden from a process, MPS cannot")
def test_a_model_trained_on_the_gpu_loads_and_predicts_without_one(tmp_path):
    model = StepwiseRegressor(device="cuda", **SETTINGS).fit(X, Y)
    joblib.dump((model, X), tmp_path / "model.joblib")
    code = (
        "import joblib, sys, warnings; warnings.simplefilter('ignore'); model, X = joblib.load(sys.argv[1]); "
        "joblib.dump(model.predict(X), sys.argv[2])"
    )
    paths = [str(tmp_path / "model.joblib"), str(tmp_path / "predictions.joblib")]
    subprocess.run([sys.executable, "-c", code, *paths], env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, check=True)
    np.testing.assert_allclose(joblib.load(paths[1]), model.predict(X), rtol=1e-4)


def test_a_module_of_a_fit_computes_on_the_gpu(gpu):
    model = StepwiseRegressor(**SETTINGS).fit(X, Y)
    module = model.to_torch().float()
    assert {tensor.device.type for tensor in module.state_dict().values()} == {"cpu"}
    out = module.to(gpu)(torch.from_numpy(X).float().to(gpu))
    np.testing.assert_allclose(out.detach().cpu(), model.predict(X), rtol=0, atol=1e-3 * Y.std())
