"""Mixed precision: products in narrow floats come close to float32's, and everything that is kept is float32."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV, find_learning_rate
from sk_dlsteps.engine.precision import loss_scale
from sk_dlsteps.together import fit_together

SETTINGS = {"max_epochs": 15, "learning_rate": 0.01, "n_estimators": 3, "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 5))
Y = X[:, 0] + np.sin(2 * X[:, 1])


class Net(nn.Sequential):
    """A network of the user's own."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(nn.Linear(n_inputs, 16), nn.Tanh(), nn.Linear(16, n_outputs))


def normal(*shape):
    """Normal numbers, the same ones every time."""
    return torch.from_numpy(np.random.default_rng(shape).normal(size=shape)).float()


BUILDS = {
    "two layers": {"widths": (5, 4), "activation": "silu"},
    "batch norm": {"batch_norm": True},
    "none hidden": {"widths": ()},
    "a module": {"module": Net},
}


def gradients(fleet, precision, batch):
    """Losses and all gradients of a fleet's step in some floats."""
    fleet.precision = precision
    losses, raw = fleet.gradients(*batch)
    found = torch.cat([g.flatten() for g in fleet.gradient_tensors(fleet.n_networks)]).clone()
    assert {losses.dtype, raw.dtype, found.dtype} == {torch.float32}
    return losses, found


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize("loss_is", [1.0, 1e-6])
def test_gradients_come_close_to_those_in_float32(small_fleets, build, precision, loss_is):
    fleet = small_fleets(dtype=torch.float32).builder(**build)()
    x, target = normal(7, 64, 4), normal(7, 64, 2)
    batch = x, target, None, torch.full((7, 64), loss_is)
    (losses, exact), (narrow_losses, narrow) = (gradients(fleet, kind, batch) for kind in (None, precision))
    torch.testing.assert_close(narrow_losses, losses, rtol=0.05, atol=0.05 * loss_is)
    error = (narrow - exact).norm() / exact.norm()
    assert 0 < error < (0.02 if precision == torch.bfloat16 else 0.003)


def test_rows_that_fill_up_do_not_count_in_narrow_floats_either(small_fleets):
    fleet = small_fleets(dtype=torch.float32).builder(batch_norm=True)()
    x, target = normal(7, 9, 4), normal(7, 9, 2)
    sizes = np.array([9, 9, 8, 8, 8, 8, 8])
    _, found = gradients(fleet, torch.bfloat16, (x, target, sizes))
    x[2:, 8], target[2:, 8] = 5.0, -5.0
    _, again = gradients(fleet, torch.bfloat16, (x, target, sizes))
    torch.testing.assert_close(again, found)


def test_scales_are_powers_of_two_that_bring_every_network_to_one_size():
    delta = torch.stack([torch.full((8, 3), size) for size in (1e-30, 1e-3, 7.0, 0.0, float("inf"))])
    scale = loss_scale(delta)
    assert scale.shape == (5, 1, 1)
    assert torch.equal(scale.log2(), scale.log2().round())
    total = (delta * scale).abs().sum((1, 2))
    assert ((total[:3] > 64) & (total[:3] <= 128)).all()
    assert scale[3:].isfinite().all()


@pytest.mark.parametrize("module", ["mlp", Net])
@pytest.mark.parametrize("kind", [StepwiseRegressor, StepwiseClassifier])
def test_a_fit_in_bf16_predicts_nearly_the_same(kind, module):
    y = Y if kind is StepwiseRegressor else Y > 0
    exact, narrow = (kind(mixed_precision=p, module=module, **SETTINGS).fit(X, y) for p in (None, "bf16"))
    assert narrow.validation_score_ == pytest.approx(exact.validation_score_, abs=0.03)
    predictions = [getattr(model, "predict_proba", model.predict)(X) for model in (narrow, exact)]
    assert 0 < np.abs(predictions[0] - predictions[1]).mean() < 0.05


def test_parameters_stay_in_float32_and_the_decision_is_recorded():
    model = StepwiseRegressor(mixed_precision="bf16", **SETTINGS).fit(X, Y)
    assert {p.dtype for p in model.pipeline_[-1].module_.parameters()} == {torch.float32}
    assert model.plan_.mixed_precision == "bf16"
    (record,) = (step for step in model.steps_ if step.number == 3)
    assert "in bf16" in record.decision
    assert record.evidence["mixed_precision"] == "bf16"


def test_the_finder_sweeps_in_bf16():
    exact, narrow = (
        find_learning_rate(StepwiseRegressor(mixed_precision=p, random_state=0), X, Y) for p in (None, "bf16")
    )
    assert narrow.reliable
    assert 1 / 3 < narrow.learning_rate / exact.learning_rate < 3
    assert not np.array_equal(narrow.losses, exact.losses)


def test_fits_together_keep_their_own_precision():
    models = [StepwiseRegressor(mixed_precision=p, **SETTINGS) for p in (None, "bf16", None, "bf16")]
    assert [error for _, error in fit_together(models, [(X, Y)] * 4)] == [None] * 4
    alone = [StepwiseRegressor(mixed_precision=p, **SETTINGS).fit(X, Y) for p in (None, "bf16")]
    for i, model in enumerate(models):
        np.testing.assert_allclose(model.predict(X), alone[i % 2].predict(X), atol=2e-2 if i % 2 else 1e-4)
        assert model.plan_.mixed_precision == alone[i % 2].plan_.mixed_precision


def test_a_search_may_compare_precisions():
    search = StepwiseSearchCV(
        StepwiseRegressor(**SETTINGS), {"mixed_precision": [None, "bf16"]}, strategy="random", n_iter=2, cv=2
    ).fit(X, Y)
    assert len(set(search.cv_results_["mean_test_score"])) == 2


def test_fp16_without_cuda_is_an_error_with_a_way_out():
    with pytest.raises(ValueError, match=r"`mixed_precision='fp16'` needs CUDA.*'cpu'; use mixed_precision='bf16'"):
        StepwiseRegressor(mixed_precision="fp16", device="cpu").fit(X, Y)


class OfAnotherPrecision:
    """Stands for an accelerator of one process that was made with a precision."""

    num_processes, process_index, device = 1, 0, torch.device("cpu")

    def __init__(self, mixed_precision):
        self.mixed_precision = mixed_precision

    def reduce(self, tensor, reduction):
        return tensor


def test_the_accelerators_precision_is_taken_unless_there_is_one():
    model = StepwiseRegressor(accelerator=OfAnotherPrecision("bf16"), **SETTINGS).fit(X, Y)
    assert model.plan_.mixed_precision == "bf16"
    assert StepwiseRegressor(accelerator=Accelerator(cpu=True), **SETTINGS).fit(X, Y).plan_.mixed_precision is None
    with pytest.raises(ValueError, match="`accelerator` has mixed_precision='fp8'; use 'bf16' or 'fp16'"):
        StepwiseRegressor(accelerator=OfAnotherPrecision("fp8"), **SETTINGS).fit(X, Y)
