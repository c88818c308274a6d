"""Several fleets trained as one: each network ends as it would alone."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sk_dlsteps.engine.batches import Rows, count_batches
from sk_dlsteps.engine.members import Table
from sk_dlsteps.engine.merge import merge, split
from sk_dlsteps.engine.mlp_fleet import ACTIVATIONS
from sk_dlsteps.engine.training import Training
from sk_dlsteps.exceptions import StepwiseWarning
from sk_dlsteps.step3_training.optimizers import OptimizerChoice
from sk_dlsteps.step3_training.schedules import Cosine, CosineRestarts, Exponential, Plateau
from sk_dlsteps.step4_validation.early_stopping import CycleEnds, Patience

CLOSE = {"rtol": 1e-8, "atol": 1e-8}


def warm_up(progress):
    """A user's own schedule."""
    return min(1.0, 0.1 + 3 * progress)


def candidate(networks, n_rows=30, widths=(5,), dropout=(), encode=False, **settings):
    """One of the fits: its networks, rows and settings."""
    return {
        "networks": networks,
        "n_rows": n_rows,
        "build": {"widths": widths, "dropout": dropout, "encode": encode},
        **{"lr": 0.02, "max_epochs": 5, "weight_decay": 0.0, **settings},
    }


def nets_and_tables(fleets, candidates, validated, common):
    """Untrained nets and their rows, those with more minibatches first."""
    out = []
    for own in candidates:
        own = dict(own)
        networks, n_rows = own.pop("networks"), own.pop("n_rows")
        build = {**own.pop("build"), **common.get("build", {})}
        net = fleets.net(networks, build=build, **own, **{k: v for k, v in common.items() if k != "build"})
        rows = Rows(
            [fleets.train[k][:n_rows] for k in networks], [fleets.valid[k] for k in networks] if validated else None
        )
        out.append((net, Table(fleets.Z, fleets.target.values, rows), own["weight_decay"]))
    return sorted(out, key=lambda own: -count_batches(own[1].n_rows, own[0].batch_size))


def fit_merged(nets, tables, decays, optimizer):
    """Train the nets as one fleet."""
    for net, table in zip(nets, tables, strict=True):
        net.initialize()
        net.expect(table.y)
    modules = [net.module_ for net in nets]
    merged = merge(modules)
    decay = np.repeat(decays, [m.n_networks for m in modules])
    Training(
        merged,
        OptimizerChoice(optimizer, 0.9, decay if decay.any() else 0.0)(merged, 1.0),
        nets,
        tables,
        [net.max_epochs for net in nets],
    ).run()
    split(merged, modules)
    return merged


def test_a_merged_fleet_stays_on_the_device_of_its_parts(small_fleets):
    parts = [small_fleets().builder([k])().to("meta") for k in (0, 1)]
    assert {tensor.device.type for tensor in merge(parts).state_dict().values()} == {"meta"}


def assert_equal_to_fits_alone(fleets, candidates, *, validated=True, optimizer="adam", **common):
    """Train together and one by one, and compare all that is left."""
    common = {"optimizer": optimizer, **common}
    together = nets_and_tables(fleets, candidates, validated, common)
    alone = nets_and_tables(fleets, candidates, validated, common)
    nets, tables, decays = zip(*together, strict=True)
    fit_merged(nets, tables, decays, optimizer)
    for net, (single, table, _) in zip(nets, alone, strict=True):
        single.fit(table.X, table.y, rows=table.rows)
        np.testing.assert_array_equal(net.best_epochs_, single.best_epochs_)
        np.testing.assert_allclose(net.best_losses_, single.best_losses_, **CLOSE)
        np.testing.assert_array_equal(net.rescues_, single.rescues_)
        assert_equal_histories(net.history, single.history)
        for p, q in zip(net.module_.state_tensors(), single.module_.state_tensors(), strict=True):
            torch.testing.assert_close(p, q, **CLOSE)
        np.testing.assert_allclose(net.network_predictions(fleets.Z), single.network_predictions(fleets.Z), **CLOSE)
        assert not net.module_._kept
    return nets


def assert_equal_histories(first, second):
    """Row by row the same keys and, but for the time, the same values."""
    assert len(first) == len(second)
    for row, expected in zip(first, second, strict=True):
        assert row.keys() == expected.keys()
        for name in row.keys() - {"batches", "dur"}:
            np.testing.assert_allclose(row[name], expected[name], err_msg=name, **CLOSE)


DIFFERENT = {
    "widths": [candidate([0], widths=(5,)), candidate([1, 2], widths=(12,)), candidate([4], widths=(1,))],
    "layers": [candidate([0], widths=(5, 7)), candidate([1, 2], widths=(7, 3))],
    "ramps": [
        candidate([0], encode=((0, 2), 3)),
        candidate([1, 2], encode=((1, 2, 3), 2)),
        candidate([3], widths=(8,)),
        candidate([4], encode=((3,), 5)),
    ],
    "rows": [candidate([0], 30), candidate([1, 2], 29), candidate([3], 28), candidate([5], 23)],
    "numbers of minibatches": [candidate([0], 30), candidate([1, 2], 20), candidate([3], 7), candidate([4], 4)],
    "the longest ends first": [candidate([0], 30, max_epochs=2), candidate([1, 2], 20, max_epochs=7)],
    "the shortest ends first": [candidate([0], 30, max_epochs=7), candidate([1, 2], 20, max_epochs=2)],
    "epochs": [candidate([0], max_epochs=3), candidate([1, 2], max_epochs=8), candidate([3], max_epochs=1)],
    "rates": [candidate([0], lr=0.001), candidate([1, 2], lr=0.1), candidate([3], lr=0.02)],
    "decays": [candidate([0], weight_decay=0.3), candidate([1, 2]), candidate([3], weight_decay=0.01)],
    "dropout": [candidate([0], dropout=(0.5,)), candidate([1, 2]), candidate([3], dropout=(0.25,), widths=(9,))],
    "schedules": [
        candidate([0], schedule=None),
        candidate([1, 2], schedule=Cosine()),
        candidate([3], schedule=CosineRestarts((2, 5))),
        candidate([4], schedule=Plateau(patience=0, threshold=0.2), max_epochs=9),
        candidate([5], schedule=Exponential(), max_epochs=6),
        candidate([6], schedule=warm_up),
    ],
    "stopping": [
        candidate([0, 1], stopping=Patience(2), max_epochs=20),
        candidate([2, 3], stopping=CycleEnds((2, 6, 12), 0.05), schedule=CosineRestarts((2, 6, 12)), max_epochs=12),
        candidate([4, 5], max_epochs=15, lr=0.1),
        candidate([6], 12, stopping=Patience(1), max_epochs=15),
    ],
    "bounds": [candidate([0], max_grad_norm=0.1), candidate([1, 2]), candidate([3], max_grad_value=0.01)],
    "everything": [
        candidate([0], 30, (5,), (0.5,), True, lr=0.1, max_epochs=9, stopping=Patience(2), weight_decay=0.1),
        candidate([1, 2], 17, (9,), (), False, lr=0.01, max_epochs=4, schedule=Cosine(), max_grad_norm=0.5),
        candidate([3, 4, 5], 8, (2,), (0.3,), ((1, 3), 2), max_epochs=12, schedule=Plateau(patience=1)),
    ],
}


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("what", DIFFERENT)
def test_fits_of_different_settings_end_as_they_would_alone(small_fleets, what, validated):
    assert_equal_to_fits_alone(small_fleets(), DIFFERENT[what], validated=validated)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("batch_size", [3, 30], ids=["minibatches", "whole batches"])
@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_fits_end_as_they_would_alone_with_every_optimizer_task_and_batch_size(
    small_fleets, task, batch_size, optimizer
):
    own = DIFFERENT["everything"]
    assert_equal_to_fits_alone(small_fleets(task), own, optimizer=optimizer, batch_size=batch_size)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fits_with_batch_norm_end_as_they_would_alone(small_fleets, activation):
    build = {"batch_norm": True, "activation": activation}
    nets = assert_equal_to_fits_alone(small_fleets(), DIFFERENT["everything"], build=build, batch_size=4)
    assert all(net.module_.norms for net in nets)


class Jitter:
    """An augmentation of inputs and targets."""

    def __call__(self, X, y, generator):
        noise = torch.randn(len(X), 1, generator=generator, dtype=X.dtype)
        return X + noise, y * 2


def test_fits_with_augmentation_end_as_they_would_alone(small_fleets):
    assert_equal_to_fits_alone(small_fleets(), DIFFERENT["everything"], augmentation=Jitter())


def test_fits_on_different_tables_end_as_they_would_alone(small_fleets):
    first, second = small_fleets(), small_fleets()
    second.Z, second.target.values = second.Z[::-1].copy(), second.target.values[::-1].copy()
    nets, tables = [], []
    for fleets, networks in [(first, [0, 1]), (second, [1, 2]), (first, [3])]:
        nets.append(fleets.net(networks, stopping=Patience(2)))
        tables.append(Table(fleets.Z, fleets.target.values, fleets.rows(networks)))
    fit_merged(nets, tables, [0.0] * 3, "adam")
    for net, table, (fleets, networks) in zip(
        nets, tables, [(first, [0, 1]), (second, [1, 2]), (first, [3])], strict=True
    ):
        alone = fleets.net(networks, stopping=Patience(2)).fit(table.X, table.y, rows=table.rows)
        np.testing.assert_allclose(net.network_predictions(table.X), alone.network_predictions(table.X), **CLOSE)


class Spike:
    """A schedule that no network survives in its third epoch of six."""

    def __call__(self, progress):
        return 1e200 if 2 / 6 <= progress < 3 / 6 else 1.0


def test_a_fit_that_explodes_is_rescued_alone_and_its_mates_do_not_notice(small_fleets):
    fleets = small_fleets()
    calm = [candidate([0], 20, max_epochs=6), candidate([1, 2], 25, (8,), max_epochs=4, weight_decay=0.1)]
    wild = candidate([3, 4], 30, schedule=Spike(), max_epochs=6)
    with pytest.warns(StepwiseWarning, match=r"networks 0, 1 became infinite or NaN in epoch 3\.") as caught:
        nets = assert_equal_to_fits_alone(fleets, [wild, *calm], optimizer="sgd")
    # Once together, once alone.
    assert len(caught) == 2
    assert [net.rescues_.tolist() for net in nets] == [[1, 1], [0, 0], [0]]


fits = st.builds(
    candidate,
    networks=st.lists(st.integers(0, 6), min_size=1, max_size=2, unique=True),
    n_rows=st.integers(2, 30),
    widths=st.tuples(st.integers(1, 9), st.integers(1, 4)),
    dropout=st.sampled_from([(), (0.5, 0.0), (0.25, 0.4)]),
    encode=st.sampled_from([False, True, ((1,), 4)]),
    lr=st.sampled_from([0.003, 0.05]),
    max_epochs=st.integers(1, 5),
    weight_decay=st.sampled_from([0.0, 0.1]),
    max_grad_norm=st.sampled_from([None, 0.3]),
    schedule=st.sampled_from([None, Cosine(), Plateau(patience=0), warm_up]),
    stopping=st.sampled_from([None, Patience(1), Patience(3)]),
)


@given(
    candidates=st.lists(fits, min_size=2, max_size=4),
    validated=st.booleans(),
    batch_size=st.sampled_from([2, 3, 8]),
    batch_norm=st.booleans(),
    activation=st.sampled_from(["tanh", "silu"]),
)
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_fits_end_as_they_would_alone(small_fleets, candidates, validated, batch_size, batch_norm, activation):
    if batch_norm:
        # Normalised minibatches of two rows are all signs, those of rows whose units are all dropped are nothing
        # but noise: rounding is blown up.
        batch_size = max(batch_size, 3)
        candidates = [{**own, "n_rows": max(own["n_rows"], 6)} for own in candidates]
        for own in candidates:
            own["build"] = {**own["build"], "dropout": own["build"]["dropout"] and (0.0, own["build"]["dropout"][1])}
    build = {"batch_norm": batch_norm, "activation": activation}
    assert_equal_to_fits_alone(small_fleets(), candidates, validated=validated, batch_size=batch_size, build=build)


def test_a_merged_fleet_computes_what_its_parts_compute(small_fleets):
    fleets = small_fleets()
    parts = [
        fleets.builder([0, 1], widths=(5, 3), encode=True)(),
        fleets.builder([2], widths=(2, 6))(),
        fleets.builder([3, 4, 5], widths=(4, 4), encode=((1, 3), 4))(),
    ]
    merged = merge(parts)
    x = torch.from_numpy(fleets.Z[:20])
    torch.testing.assert_close(merged(x), torch.cat([part(x) for part in parts], 1), rtol=1e-12, atol=1e-12)
    assert merged.units.tolist() == [[5, 5, 2, 4, 4, 4], [3, 3, 6, 4, 4, 4]]
    assert [w.data_ptr() for w in merged.weights] != [w.data_ptr() for w in parts[0].weights]


def test_what_fills_a_network_up_never_moves_and_is_no_dead_unit(small_fleets):
    fleets = small_fleets()
    own = [candidate([0], widths=(3,), dropout=(0.3,)), candidate([1], widths=(8,), encode=True, weight_decay=0.1)]
    nets, tables, decays = zip(
        *nets_and_tables(fleets, own, True, {"build": {"activation": "relu", "batch_norm": True}}), strict=True
    )
    merged = fit_merged(nets, tables, decays, "adam")
    narrow = int(np.flatnonzero(merged.units[0] == 3)[0])
    for stack in (merged.weights[0], merged.biases[0], merged.norms[0].gain, merged.norms[0].shift, merged.weights[1]):
        assert not stack[narrow, :, 3:].any()
        assert stack[narrow, :, :3].any() or stack is merged.biases[0]
    # Nor do weights of ramps that it has not.
    assert not merged.weights[0][narrow, 4:].any()


def test_split_gives_back_copies_and_streams_of_masks(small_fleets):
    fleets = small_fleets()
    parts = [fleets.builder([0], dropout=(0.5,))(), fleets.builder([1, 2], widths=(7,), dropout=(0.2,))()]
    before = [copy.deepcopy(part) for part in parts]
    merged = merge(parts)
    split(merged, parts)
    for part, same in zip(parts, before, strict=True):
        assert all(map(torch.equal, part.state_tensors(), same.state_tensors()))
    with torch.no_grad():
        for p in merged.parameters():
            p.add_(1)
    assert all(map(torch.equal, parts[0].state_tensors(), before[0].state_tensors()))
    like = torch.ones(1, 4, 5, dtype=torch.float64)
    first = merged.dropout.mask(0, np.full(3, 4), torch.ones(3, 4, 7, dtype=torch.float64))
    assert torch.equal(first[:1, :, :5], before[0].dropout.mask(0, np.array([4]), like))
    split(merged, parts)
    assert torch.equal(parts[0].dropout.mask(0, np.array([4]), like), before[0].dropout.mask(0, np.array([4]), like))
    assert torch.equal(parts[0].weights[0], before[0].weights[0] + 1)


def test_nets_that_were_trained_together_pickle_and_can_be_trained_on(small_fleets):
    fleets = small_fleets()
    nets, tables, decays = zip(
        *nets_and_tables(fleets, DIFFERENT["everything"], True, {"optimizer": "adam"}), strict=True
    )
    fit_merged(nets, tables, decays, "adam")
    for net, table in zip(nets, tables, strict=True):
        n_epochs = len(net.history)
        twin = pickle.loads(pickle.dumps(net))
        for one in (net, twin):
            one.partial_fit(table.X, table.y, rows=table.rows)
            assert len(one.history) > n_epochs
        np.testing.assert_array_equal(twin.network_predictions(fleets.Z), net.network_predictions(fleets.Z))
