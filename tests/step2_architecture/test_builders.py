"""How networks begin: He initialisation, biases at the prior, a user's own modules."""

import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from sk_dlsteps.inputs.target import ClassTarget, RegressionTarget
from sk_dlsteps.step1_cost.choice import choose_cost
from sk_dlsteps.step2_architecture.custom import ModuleBuilder, ModuleChoice
from sk_dlsteps.step2_architecture.mlp import MLPBuilder, he_weights


def stages(n_networks, n_inputs, dtype=torch.float64):
    """Inputs as they are."""
    center = torch.zeros(n_networks, 1, n_inputs, dtype=dtype)
    return {"cost": choose_cost("auto", "regression")[0], "input_center": center, "input_factor": center + 1}


def test_weights_have_zero_mean_and_the_std_of_he():
    widths = (200, 300, 100, 50)
    for w, n_in, n_out in zip(he_weights(widths, 0), widths, widths[1:], strict=False):
        assert w.shape == (n_in, n_out)
        std, n = math.sqrt(2 / n_in), n_in * n_out
        assert abs(float(w.mean())) < 4 * std / math.sqrt(n)
        assert abs(float(w.std()) / std - 1) < 4 / math.sqrt(2 * n)
        assert abs(float((w / std).pow(4).mean()) - 3) < 4 * math.sqrt(96 / n)


def test_inputs_that_vary_less_get_larger_first_weights():
    plain, powered = he_weights((8, 5, 1), 0), he_weights((8, 5, 1), 0, input_power=2.0)
    torch.testing.assert_close(powered[0], plain[0] * 2)
    torch.testing.assert_close(powered[1], plain[1])


def test_a_relu_layer_keeps_the_size_of_its_signal():
    x = torch.randn(500, 400, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    before = x.square().mean()
    for w in he_weights((400, 400, 400), 2):
        x = torch.relu(x @ w)
    assert 0.8 < float(2 * x.square().mean() / before) / 2 < 1.25


def test_biases_start_at_zero_and_the_output_where_it_is_told():
    bias = torch.full((3, 1, 2), 0.7, dtype=torch.float64)
    fleet = MLPBuilder((4, 6, 5, 2), "relu", (1, 2, 3), bias, stages(3, 4))()
    assert [tuple(w.shape) for w in fleet.weights] == [(3, 4, 6), (3, 6, 5), (3, 2, 5)]
    assert not fleet.biases[0].any()
    assert not fleet.biases[1].any()
    assert torch.equal(fleet.biases[2], bias)


def test_a_network_depends_on_its_own_seed_alone():
    bias = torch.zeros(3, 1, 1, dtype=torch.float64)
    together = MLPBuilder((4, 6, 1), "relu", (1, 2, 1), bias, stages(3, 4))()
    alone = MLPBuilder((4, 6, 1), "relu", (2,), bias[:1], stages(1, 4))()
    for p, q in zip(together.weights, alone.weights, strict=True):
        assert torch.equal(p[1], q[0])
        assert torch.equal(p[0], p[2])
        assert not torch.equal(p[0], p[1])


def test_two_fleets_of_one_builder_share_nothing():
    builder = MLPBuilder((4, 6, 1), "relu", (1,), torch.zeros(1, 1, 1), stages(1, 4, torch.float32))
    first, second = builder(), builder()
    for p in first.state_dict().values():
        p.add_(1)
    assert not second.input_center.any()
    assert not second.biases[-1].any()


def test_dropout_and_norms_are_built_where_they_are_asked_for():
    bias = torch.zeros(2, 1, 1, dtype=torch.float64)
    plain = MLPBuilder((4, 6, 5, 1), "relu", (1, 2), bias, stages(2, 4), dropout=(0.0, 0.0))()
    assert plain.dropout is None
    assert len(plain.norms) == 0
    fleet = MLPBuilder((4, 6, 5, 1), "relu", (1, 2), bias, stages(2, 4), dropout=(0.25, 0.5), batch_norm=True)()
    assert fleet.dropout.rates.tolist() == [[0.25, 0.25], [0.5, 0.5]]
    assert fleet.dropout.widths.tolist() == fleet.units.tolist() == [[6, 6], [5, 5]]
    assert [tuple(norm.gain.shape) for norm in fleet.norms] == [(2, 1, 6), (2, 1, 5)]
    for norm in fleet.norms:
        assert norm.gain.dtype == norm.mean.dtype == torch.float64
        assert (norm.gain == 1).all()
        assert (norm.variance == 1).all()
        assert not norm.shift.any()
        assert not norm.mean.any()
    # Neither has a share in how the weights begin.
    assert all(map(torch.equal, fleet.weights, plain.weights))


def test_a_networks_masks_depend_on_its_own_seed_alone():
    bias = torch.zeros(3, 1, 1, dtype=torch.float64)
    together = MLPBuilder((4, 6, 1), "relu", (1, 2, 1), bias, stages(3, 4), dropout=(0.5,))()
    alone = MLPBuilder((4, 6, 1), "relu", (2,), bias[:1], stages(1, 4), dropout=(0.5,))()
    first, second, third = together.dropout.mask(0, np.full(3, 8), torch.ones(3, 8, 6))
    assert torch.equal(second, alone.dropout.mask(0, np.full(1, 8), torch.ones(1, 8, 6))[0])
    assert torch.equal(first, third)
    assert not torch.equal(first, second)


def test_two_fleets_of_one_builder_draw_the_same_masks_from_streams_of_their_own():
    builder = MLPBuilder((4, 6, 1), "relu", (1,), torch.zeros(1, 1, 1), stages(1, 4, torch.float32), dropout=(0.5,))
    first, second = builder(), builder()
    masks = [fleet.dropout.mask(0, np.full(1, 8), torch.ones(1, 8, 6)) for fleet in (first, first, second)]
    assert torch.equal(masks[0], masks[2])
    assert not torch.equal(masks[0], masks[1])


def test_the_output_starts_at_the_log_odds_or_log_shares_of_the_training_rows():
    y = np.array([0] * 30 + [1] * 10 + [2] * 20)
    rows = [np.arange(60), np.arange(40)]
    target = ClassTarget(y)
    bias = target.output_bias(choose_cost("auto", "multiclass")[0], rows, torch.float64)
    torch.testing.assert_close(bias[0, 0].softmax(-1).numpy(), np.array([30.5, 10.5, 20.5]) / 61.5)
    torch.testing.assert_close(bias[1, 0].softmax(-1).numpy(), np.array([30.5, 10.5, 0.5]) / 41.5)
    binary = ClassTarget(y[:40])
    bias = binary.output_bias(choose_cost("auto", "binary")[0], [rows[1]], torch.float64)
    assert float(bias) == pytest.approx(math.log(10.5 / 30.5))


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_a_regression_starts_at_the_mean_of_its_targets(loss):
    y = np.random.default_rng(0).gamma(2.0, 3.0, (50, 2))
    cost, target = choose_cost(loss, "regression")[0], RegressionTarget(y)
    rows = [np.arange(50), np.arange(20)]
    own = {**stages(2, 4), "cost": cost, **target.statistics(cost, rows)}
    fleet = MLPBuilder((4, 2), "relu", (1, 2), target.output_bias(cost, rows, torch.float64), own)()
    start = fleet(torch.zeros(1, 4, dtype=torch.float64)).detach()[0]
    np.testing.assert_allclose(start, [y.mean(0), y[:20].mean(0)], rtol=1e-12)


class WithDropout(nn.Sequential):
    """A user's network class."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(nn.Linear(n_inputs, 3), nn.Dropout(), nn.Linear(3, n_outputs))


def test_a_users_modules_depend_on_their_own_seed_alone_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    together = ModuleBuilder(ModuleChoice(WithDropout), 4, 1, (1, 2, 1), stages(3, 4))()
    alone = ModuleBuilder(ModuleChoice(WithDropout), 4, 1, (2,), stages(1, 4))()
    assert torch.equal(torch.get_rng_state(), before)
    first, second, third = ([p.clone() for p in m.parameters()] for m in together.modules_)
    assert all(torch.equal(p, q) for p, q in zip(second, alone.modules_[0].parameters(), strict=True))
    assert all(torch.equal(p, q) for p, q in zip(first, third, strict=True))
    assert not torch.equal(first[0], second[0])


def test_building_a_users_modules_does_not_reseed_the_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("the GPUs were reseeded"))
    ModuleBuilder(ModuleChoice(nn.Linear), 3, 1, (1, 2), stages(2, 3))()


def test_a_users_modules_take_on_the_fleets_dtype_and_stay_ready_to_train():
    fleet = ModuleBuilder(ModuleChoice(WithDropout), 4, 1, (1,), stages(1, 4, torch.float64))()
    assert {p.dtype for p in fleet.parameters()} == {torch.float64}
    assert fleet.modules_[0].training


def test_a_module_may_come_from_a_factory():
    fleet = ModuleBuilder(ModuleChoice(lambda n_in, n_out: nn.Linear(n_in, n_out)), 4, 3, (1,), stages(1, 4))()
    assert fleet.modules_[0].weight.shape == (3, 4)


def test_a_factory_that_gives_no_module_is_an_error():
    with pytest.raises(TypeError, match=r"`module` must be 'mlp', .* calling it gave int"):
        ModuleBuilder(ModuleChoice(lambda n_in, n_out: n_in), 4, 1, (1,), stages(1, 4))()


@pytest.mark.parametrize("n_outputs", [2, 3])
def test_a_module_of_the_wrong_shape_is_an_error(n_outputs):
    with pytest.raises(ValueError, match=rf"must map \(rows, 4\) to \(rows, {n_outputs}\), but gave shape \(2, 1\)"):
        ModuleBuilder(ModuleChoice(lambda n_in, _: nn.Linear(n_in, 1)), 4, n_outputs, (1,), stages(1, 4))()


def test_builders_pickle():
    builder = MLPBuilder((4, 6, 1), "relu", (1,), torch.zeros(1, 1, 1), stages(1, 4, torch.float32))
    copy = pickle.loads(pickle.dumps(builder))
    assert torch.equal(copy().weights[0], builder().weights[0])
