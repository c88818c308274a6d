"""Vectors of categories in a fleet: forward and gradients against torch's own embeddings, alone and merged."""

import numpy as np
import pytest
import torch
from torch import nn

from sk_dlsteps import StepwiseRegressor
from sk_dlsteps.engine.batches import FleetData, Rows
from sk_dlsteps.engine.embedding import Embedded, Embeddings
from sk_dlsteps.engine.encoding import PiecewiseLinear
from sk_dlsteps.engine.merge import merge, split
from sk_dlsteps.engine.net import FleetNet
from sk_dlsteps.inputs.encoder import ROWS_PER_VECTOR, embedding_size
from sk_dlsteps.step1_cost.choice import choose_cost
from sk_dlsteps.step2_architecture.custom import ModuleBuilder, ModuleChoice
from sk_dlsteps.step2_architecture.mlp import MLPBuilder
from sk_dlsteps.step3_training.optimizers import OptimizerChoice
from sk_dlsteps.step4_validation.augmentation import GaussianNoise

K, N_PLAIN, SIZES, SEEDS = 3, 2, ((5, 3), (4, 2)), (7, 8, 9)
COST, _ = choose_cost("auto", "regression")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inputs(n_rows=11, seed=1, sizes=SIZES, networks=K):
    """Two numbers and two codes for each row."""
    generator = torch.Generator().manual_seed(seed)
    codes = [torch.randint(n, (networks, n_rows, 1), generator=generator) for n, _ in sizes]
    return torch.cat([normal(networks, n_rows, N_PLAIN, seed=seed), *codes], -1)


def builder(seeds=SEEDS, sizes=SIZES, widths=(4, 3), dropout=(), batch_norm=False, module=None, ramps=False):
    zeros = torch.zeros(len(seeds), 1, N_PLAIN, dtype=torch.float64)
    stages = {"cost": COST, "input_center": zeros, "input_factor": zeros + 1, "input_clip": 3.0}
    stages |= {"target_center": zeros[..., :1], "target_scale": zeros[..., :1] + 1}
    n_inputs = N_PLAIN + sum(size for _, size in sizes)
    if ramps:
        slope = torch.ones(len(seeds), 1, 1, 3, dtype=torch.float64)
        offset = torch.linspace(-1, 1, 3, dtype=torch.float64).expand_as(slope).contiguous()
        stages["input_encoding"] = PiecewiseLinear(torch.tensor([1]), slope, offset, slope * -0.5, slope * 0.5)
        n_inputs += 3
    if module is not None:
        return ModuleBuilder(ModuleChoice(module), n_inputs, 1, seeds, stages, sizes)
    layers = (n_inputs, *widths, 1)
    bias = torch.zeros(len(seeds), 1, 1, dtype=torch.float64)
    return MLPBuilder(layers, "tanh", seeds, bias, stages, dropout=dropout, batch_norm=batch_norm, embeddings=sizes)


def random_vectors(fleet):
    """The fleet with vectors that are not zero."""
    for column, table in enumerate(fleet.embeddings.stacks):
        table.data.copy_(normal(*table.shape, seed=20 + column))
    return fleet


class Torch(nn.Module):
    """One network of a fleet, in torch's own modules."""

    def __init__(self, fleet, k):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding.from_pretrained(t.data[k], False) for t in fleet.embeddings.stacks)
        *hidden, (last, bias) = zip(fleet.weights, fleet.biases, strict=True)
        pairs = [*((w.data[k], b.data[k]) for w, b in hidden), (last.data[k].T, bias.data[k])]
        self.layers = nn.ParameterList(nn.Parameter(part.clone()) for pair in pairs for part in pair)

    def forward(self, x):
        vectors = [table(code.long()) for table, code in zip(self.tables, x[:, N_PLAIN:].unbind(-1), strict=True)]
        x = torch.cat([x[:, :N_PLAIN], *vectors], -1)
        pairs = list(zip(self.layers[::2], self.layers[1::2], strict=True))
        for w, b in pairs[:-1]:
            x = torch.tanh(x @ w + b)
        return x @ pairs[-1][0] + pairs[-1][1]


@pytest.mark.parametrize("widths", [(4,), (4, 3)])
@pytest.mark.parametrize("sizes", [None, np.array([11, 11, 10])])
def test_outputs_and_gradients_are_those_of_torchs_embeddings(widths, sizes):
    fleet, x, y = random_vectors(builder(widths=widths)()), inputs(), normal(K, 11, 1, seed=3)
    _, raw = fleet.gradients(x, y, sizes)
    torch.testing.assert_close(fleet.raw(x), raw)
    for k in range(K):
        n = 11 if sizes is None else sizes[k]
        own = Torch(fleet, k)
        COST(own(x[k, :n]), y[k, :n]).mean().backward()
        torch.testing.assert_close(raw[k, :n], own(x[k, :n]).detach())
        for table, mine in zip(own.tables, fleet.embeddings.stacks, strict=True):
            torch.testing.assert_close(mine.grad[k], table.weight.grad)
        torch.testing.assert_close(fleet.weights[0].grad[k], own.layers[0].grad)


def test_vectors_stand_behind_the_numbers_and_only_the_first_networks_are_asked():
    embeddings = Embeddings([normal(K, n, size, seed=n) for n, size in SIZES])
    x = inputs()
    out = embeddings(x[:2])
    assert out.shape == (2, 11, N_PLAIN + embeddings.n_added)
    torch.testing.assert_close(out[..., :N_PLAIN], x[:2, :, :N_PLAIN])
    torch.testing.assert_close(out[1, 4, N_PLAIN : N_PLAIN + 3], embeddings.stacks[0][1, x[1, 4, N_PLAIN].long()])


def test_codes_are_neither_standardised_nor_clipped_nor_filled():
    fleet = builder(ramps=True)()
    fleet.input_center += 5
    x = inputs()[0] * 1000
    assert torch.equal(fleet.prepare(x)[..., -2:], x[:, -2:].expand(K, -1, -1))


# -- training -----------------------------------------------------------------------------------

N = 60
TABLE = inputs(N, seed=5, networks=1)[0].numpy()
TABLE[:, -1] = np.minimum(TABLE[:, -1], 2)  # The last level of the last column never occurs.
Y = (TABLE[:, :1] + (TABLE[:, 2:3] == 1) - 2 * (TABLE[:, 3:] == 2)).astype(float)
TRAIN = [np.setdiff1d(np.arange(N), np.arange(k, N, 5)) for k in range(K)]


def trained(networks=range(K), optimizer="adam", weight_decay=0.0, max_epochs=5, augmentation=None, **build):
    seeds = tuple(SEEDS[k] for k in networks)
    net = FleetNet(
        builder(seeds, **build),
        COST,
        make_optimizer=OptimizerChoice(optimizer, 0.9, weight_decay),
        seeds=seeds,
        lr=0.05,
        max_epochs=max_epochs,
        batch_size=8,
        dtype=torch.float64,
        verbose=0,
        augmentation=augmentation,
    )
    rows = Rows([TRAIN[k] for k in networks], [np.arange(k, N, 5) for k in networks])
    return net.fit(TABLE, Y, rows=rows)


class Module(nn.Sequential):
    """A user's module, which sees vectors and knows nothing of codes."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(nn.Linear(n_inputs, 4), nn.Tanh(), nn.Linear(4, n_outputs))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", torch.optim.RMSprop], ids=str)
@pytest.mark.parametrize(
    "build", [{}, {"dropout": (0.3, 0.2)}, {"batch_norm": True}, {"ramps": True}, {"module": Module}], ids=str
)
def test_a_network_learns_the_vectors_in_a_fleet_that_it_learns_alone(optimizer, build):
    fleet = trained(optimizer=optimizer, weight_decay=0.01, **build).network_predictions(TABLE)
    other_level = TABLE.copy()
    other_level[:, 2] = (TABLE[:, 2] + 1) % 5
    net = trained(optimizer=optimizer, weight_decay=0.01, **build)
    assert (net.network_predictions(other_level) != fleet).all()
    for k in range(K):
        alone = trained([k], optimizer=optimizer, weight_decay=0.01, **build).network_predictions(TABLE)
        np.testing.assert_allclose(fleet[:, k], alone[:, 0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_vectors_of_levels_that_never_occurred_stay_where_all_began(optimizer, weight_decay):
    start = builder()().embeddings.stacks[1].data
    assert torch.equal(start, start[:, :1].expand_as(start))
    first, second = trained(optimizer=optimizer, weight_decay=weight_decay).module_.embeddings.stacks
    if weight_decay:
        assert second[:, 3].norm() < start[:, 3].norm()
    else:
        assert torch.equal(second[:, 3], start[:, 3])
    assert (second[:, :3] != start[:, :3]).any(-1).all()
    assert (first != builder()().embeddings.stacks[0]).any(-1).all()


def test_networks_of_codes_alone_learn_although_relu_units_begin_over_nothing_else():
    rng = np.random.default_rng(0)
    level, effect = rng.integers(0, 40, 3000), rng.normal(size=40)
    X = np.array([f"level {i}" for i in level], dtype=object)[:, None]
    assert len(X) > 41 * ROWS_PER_VECTOR
    model = StepwiseRegressor(categorical_features=[0], max_epochs=15, learning_rate=0.02, random_state=0)
    model.fit(X, effect[level])
    assert model.plan_.n_inputs == embedding_size(41)
    assert model.score(X, effect[level]) > 0.95


def test_decay_shrinks_vectors():
    free, decayed = (
        trained(optimizer="sgd", weight_decay=decay, max_epochs=30).module_.embeddings.stacks[0].detach().norm()
        for decay in (0.0, 1.0)
    )
    assert decayed < 0.5 * free


def test_what_is_remembered_holds_the_vectors_too():
    fleet = random_vectors(builder()())
    before = [table.data.clone() for table in fleet.embeddings.stacks]
    fleet.remember(None)
    for table in fleet.embeddings.stacks:
        table.data.add_(1.0)
    fleet.recall(torch.tensor([True, False, True]))
    for table, old in zip(fleet.embeddings.stacks, before, strict=True):
        torch.testing.assert_close(table.data[[0, 2]], old[[0, 2]])
        torch.testing.assert_close(table.data[1], old[1] + 1)
    fleet.reorder([1, 0, 2], 2)
    torch.testing.assert_close(fleet.embeddings.stacks[0].data[1], before[0][0])


def test_augmentation_changes_numbers_and_leaves_codes_alone():
    fleet = builder()()
    generators = [np.random.default_rng(k) for k in range(K)]
    n_rows, n_batches = np.full(K, 48), np.full(K, 6)
    x, y = torch.from_numpy(TABLE), torch.arange(N).double()[:, None]
    for batch in FleetData(x, y, TRAIN, generators, n_rows, n_batches, GaussianNoise(0.5)).epoch(fleet):
        plain = fleet.prepare(x)[0][batch.target[..., 0].long()]
        assert torch.equal(batch.x[..., N_PLAIN:], plain[..., N_PLAIN:])
        assert (batch.x[..., :N_PLAIN] != plain[..., :N_PLAIN]).any(-1).all()


# -- merged fleets ------------------------------------------------------------------------------


@pytest.mark.parametrize("ramps", [False, True])
def test_fleets_with_different_numbers_of_levels_compute_and_learn_merged_what_they_do_apart(ramps):
    few, many = ((4, 3), (3, 2)), ((6, 3), (4, 2))
    parts = [
        random_vectors(builder(SEEDS[:2], few, (4, 3))()),
        random_vectors(builder(SEEDS[2:], many, (6, 2), ramps=ramps)()),
    ]
    merged = merge(parts)
    x = inputs(9, sizes=few)[0]
    apart = torch.cat([part.outputs(x) for part in parts])
    torch.testing.assert_close(merged.outputs(x), apart)
    y = normal(K, 9, 1, seed=4)
    merged.gradients(merged.prepare(x), y)
    for k, part in ((slice(0, 2), parts[0]), (slice(2, 3), parts[1])):
        part.gradients(part.prepare(x), y[k])
        for own, table in zip(part.embeddings.stacks, merged.embeddings.stacks, strict=True):
            n = own.shape[1]
            torch.testing.assert_close(table.grad[k, :n], own.grad)
            assert not table.grad[k, n:].any()
    for table in merged.embeddings.stacks:
        table.data.mul_(2)
    before = [[table.data.clone() for table in part.embeddings.stacks] for part in parts]
    split(merged, parts)
    for part, old in zip(parts, before, strict=True):
        for table, own in zip(part.embeddings.stacks, old, strict=True):
            torch.testing.assert_close(table.data, 2 * own)


# -- a module of the user's ---------------------------------------------------------------------


def test_a_users_module_gets_vectors_in_the_place_of_codes():
    module = Embedded(nn.Linear(N_PLAIN + 5, 1).double(), SIZES).double()
    x = inputs()[0]
    for table in module.tables:
        assert torch.equal(table.weight, table.weight[:1].expand_as(table.weight))
        nn.init.normal_(table.weight)
    vectors = [table.weight[x[:, 2 + i].long()] for i, table in enumerate(module.tables)]
    torch.testing.assert_close(module(x), module.module(torch.cat([x[:, :N_PLAIN], *vectors], -1)))


def test_vectors_of_a_users_module_are_learnt_and_unseen_ones_stay_where_all_began():
    fresh = builder(module=Module)().modules_
    for module, start in zip(trained(module=Module).module_.modules_, fresh, strict=True):
        assert (module.tables[0].weight != start.tables[0].weight).any(-1).all()
        assert torch.equal(module.tables[1].weight[3], start.tables[1].weight[3])
