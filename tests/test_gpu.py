"""On a machine with CUDA: the same fits on the GPU, and back to a machine without one."""

import os
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes
from torch import nn

from sk_dlsteps import StepwiseRegressor

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
SETTINGS = {"max_epochs": 15, "learning_rate": 0.01, "random_state": 0}


class Dropped(nn.Sequential):
    """A user's network that draws random numbers on its device."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(nn.Linear(n_inputs, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, n_outputs))


def test_a_fit_on_the_gpu_predicts_as_one_on_the_cpu():
    X, y = load_diabetes(return_X_y=True)
    there = StepwiseRegressor(device="cuda", **SETTINGS).fit(X, y)
    here = StepwiseRegressor(device="cpu", **SETTINGS).fit(X, y)
    np.testing.assert_allclose(there.predict(X), here.predict(X), rtol=0.05)


@pytest.mark.parametrize("module", ["mlp", Dropped])
def test_a_fit_on_the_gpu_is_repeatable_and_leaves_the_generators_alone(module):
    X, y = load_diabetes(return_X_y=True)
    before = torch.cuda.get_rng_state(), torch.get_rng_state()
    first, second = (StepwiseRegressor(device="cuda", module=module, **SETTINGS).fit(X, y) for _ in range(2))
    np.testing.assert_allclose(first.predict(X), second.predict(X), rtol=1e-4)
    assert all(map(torch.equal, before, (torch.cuda.get_rng_state(), torch.get_rng_state())))


def test_a_model_trained_on_the_gpu_loads_and_predicts_without_one(tmp_path):
    X, y = load_diabetes(return_X_y=True)
    model = StepwiseRegressor(device="cuda", **SETTINGS).fit(X, y)
    joblib.dump((model, X), tmp_path / "model.joblib")
    code = (
        "import joblib, sys, warnings; warnings.simplefilter('ignore'); model, X = joblib.load(sys.argv[1]); "
        "joblib.dump(model.predict(X), sys.argv[2])"
    )
    paths = [str(tmp_path / "model.joblib"), str(tmp_path / "predictions.joblib")]
    subprocess.run([sys.executable, "-c", code, *paths], env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, check=True)
    np.testing.assert_allclose(joblib.load(paths[1]), model.predict(X), rtol=1e-4)
