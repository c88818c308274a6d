"""Minibatches of every network, gathered from one table."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sk_dlsteps.engine import batches, validation_rows
from sk_dlsteps.engine.batches import FleetData, Rows, count_batches, to_tensors
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.validation_rows import ValidationData
from sk_dlsteps.step1_cost.choice import choose_cost


def plain_fleet(n_networks):
    """A fleet that sees rows and targets as they are."""
    zeros = torch.zeros(n_networks, 1, 1, dtype=torch.float64)
    return Fleet(choose_cost("auto", "multiclass")[0], zeros, zeros + 1)


def numbered_rows(n):
    """A table whose only column and target are the row's number."""
    return torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n)


def fleet_data(rows, batch_size, seeds=None):
    """Minibatches of networks with those rows."""
    generators = [np.random.default_rng(seed) for seed in seeds or range(len(rows))]
    n = 1 + max(int(own.max()) for own in rows)
    n_rows = np.full(len(rows), min(map(len, rows)))
    return FleetData(
        *numbered_rows(n), rows, generators, n_rows, np.full(len(rows), count_batches(n_rows[0], batch_size))
    )


@given(n_rows=st.integers(1, 3000), batch_size=st.integers(1, 1100))
@settings(deadline=None)
def test_bounds_cover_every_row_once_in_even_batches_that_are_no_single_rows(n_rows, batch_size):
    data = fleet_data([np.arange(n_rows)], batch_size)
    sizes = np.diff(data.bounds)
    assert data.bounds[0] == 0
    assert data.bounds[-1] == n_rows
    assert sizes.max() - sizes.min() <= 1
    assert sizes.max() <= max(batch_size, 3 if batch_size == 2 else 1)
    assert sizes.min() >= min(2, n_rows, batch_size)
    assert len(sizes) <= -(-n_rows // batch_size)


@given(
    n_rows=st.lists(st.integers(20, 24), min_size=1, max_size=4),
    batch_size=st.integers(1, 30),
    chunk=st.sampled_from([1, 40, 2**19]),
)
@settings(deadline=None)
def test_every_network_sees_its_own_rows_at_most_once_in_an_epoch(n_rows, batch_size, chunk):
    rows = [100 * k + np.arange(n) for k, n in enumerate(n_rows)]
    data = fleet_data(rows, batch_size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "_CHUNK", chunk)
        seen = [(x.clone(), y) for x, y, *_ in data.epoch(plain_fleet(len(rows)))]
    assert [x.shape[1] for x, _ in seen] == np.diff(data.bounds).tolist()
    x, y = torch.cat([x for x, _ in seen], 1), torch.cat([y for _, y in seen], 1)
    assert torch.equal(x[..., 0].long(), y)
    for own, of_network in zip(rows, y.numpy(), strict=True):
        assert len(np.unique(of_network)) == len(of_network) == min(n_rows)
        assert set(of_network) <= set(own)


def test_shuffles_depend_on_the_networks_own_generator_alone():
    rows = [np.arange(20), np.arange(20), np.arange(20)]
    together = fleet_data(rows, 20, seeds=[1, 2, 1])
    alone = fleet_data(rows[:1], 20, seeds=[2])
    for _ in range(3):
        ((_, y, *_),) = together.epoch(plain_fleet(3))
        ((_, own, *_),) = alone.epoch(plain_fleet(1))
        assert torch.equal(y[1], own[0])
        assert torch.equal(y[0], y[2])
        assert not torch.equal(y[0], y[1])


def test_epochs_differ_and_a_cycle_runs_on_into_the_next():
    data = fleet_data([np.arange(20)], 10)
    cycle = data.cycle(plain_fleet(1))
    first, second = (torch.cat([next(cycle)[1], next(cycle)[1]], 1) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, second.sort().values)


def test_a_reordered_fleet_takes_its_rows_and_shuffles_with_it():
    rows = [np.arange(20), np.arange(20, 40)]
    data, untouched = fleet_data(rows, 20), fleet_data(rows, 20)
    data.reorder([1, 0])
    ((_, y, *_),) = data.epoch(plain_fleet(2))
    ((_, expected, *_),) = untouched.epoch(plain_fleet(2))
    assert torch.equal(y, expected[[1, 0]])


@pytest.mark.parametrize("kept", [1, 2**24], ids=["prepared anew", "kept"])
def test_validation_losses_are_means_over_each_networks_own_rows(small_fleets, monkeypatch, kept):
    monkeypatch.setattr(validation_rows, "_KEPT", kept)
    fleets = small_fleets()
    fleet = fleets.builder()()
    x, y = to_tensors(fleets.Z, fleets.target.values, fleet, torch.float64)
    rows = [np.arange(10 * k, 10 * k + 3 + k) for k in range(7)]
    data = ValidationData(x, y, rows, fleet)
    fleet.reorder([6, 1, 2, 3, 4, 5, 0], 3)
    data.reorder([6, 1, 2, 3, 4, 5, 0])
    losses, raw = data.evaluate(fleet)
    only_losses, nothing = data.evaluate(fleet, keep_raw=False)
    assert torch.equal(only_losses, losses)
    assert nothing is None
    assert losses.shape == (3,)
    for place, k in enumerate([6, 1, 2]):
        prepared = fleet.prepare(x[rows[k]])[place]
        target = (y[rows[k]] - fleet.target_center[place]) / fleet.target_scale[place]
        expected_raw = fleet.raw(prepared.expand(3, -1, -1))[place]
        torch.testing.assert_close(raw[place, : len(rows[k])], expected_raw)
        torch.testing.assert_close(losses[place], fleet.cost(expected_raw, target).mean())
        own_x, own_y = data.rows_of(place)
        assert torch.equal(own_x, x[rows[k]])
        assert torch.equal(own_y, y[rows[k]])


def test_the_validation_set_that_callbacks_meet_holds_the_held_out_rows_in_order():
    X, y = np.arange(10.0)[:, None], np.arange(10)
    valid = [np.array([4, 5]), np.array([1, 2])]
    assert Rows([y, y]).validation_set(X, y) is None
    np.testing.assert_array_equal(Rows([y, y], valid).validation_set(X, y).y, [4, 5, 1, 2])
    apart = Rows([y], [np.arange(3)], X[:3], y[:3]).validation_set(X, y)
    np.testing.assert_array_equal(apart.X, X[:3])


def test_class_codes_become_integers_labels_floats_and_values_doubles(small_fleets):
    for task, dtype in [("multiclass", torch.int64), ("multilabel", torch.float32), ("regression", torch.float64)]:
        fleets = small_fleets(task)
        x, y = to_tensors(fleets.Z, fleets.target.values, fleets.builder()(), torch.float32)
        assert (x.dtype, y.dtype) == (torch.float32, dtype)
