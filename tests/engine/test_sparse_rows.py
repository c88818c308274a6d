"""Rows of a sparse table: their products and what they look like written out, against dense tensors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sk_dlsteps.engine.batches import gather
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.mlp_fleet import MLPFleet
from sk_dlsteps.engine.sparse_rows import SparseTable, as_csr
from sk_dlsteps.engine.validation_rows import ValidationData
from sk_dlsteps.step1_cost.choice import choose_cost

N_ROWS, N_COLUMNS = 12, 9


def numbers(density=0.3, seed=0):
    """A table many of whose numbers are zero, with an empty row and an empty column."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_ROWS, N_COLUMNS)) * (rng.random((N_ROWS, N_COLUMNS)) < density)
    X[3], X[:, 2] = 0, 0
    return X


def table(X):
    return SparseTable(as_csr(sparse.csr_array(X)), torch.float64, "cpu")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


indices = st.integers(1, 4).flatmap(
    lambda k: st.integers(1, 6).flatmap(
        lambda m: st.lists(st.lists(st.integers(0, N_ROWS - 1), min_size=m, max_size=m), min_size=k, max_size=k)
    )
)


@given(indices, st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.sampled_from([None, 2.0]), st.booleans())
@settings(deadline=None)
def test_products_and_transposed_products_are_those_of_the_rows_written_out(index, density, clip, scaled):
    X, index = numbers(density), torch.tensor(index)
    k, m = index.shape
    factor = normal(k + 1, 1, N_COLUMNS) if scaled else None
    dense = torch.from_numpy(X)[index]
    if factor is not None:
        dense = dense * factor[:k]
    if clip is not None:
        dense = dense / (1 + (dense / clip) ** 2).sqrt()
    rows = table(X).rows(index)
    rows = (rows if factor is None else rows.scaled(factor)).clipped(clip)
    weight, delta = normal(k, N_COLUMNS, 5, seed=1), normal(k, m, 5, seed=2)
    torch.testing.assert_close(rows.dense(), dense)
    torch.testing.assert_close(rows.product(weight), dense @ weight)
    out = normal(k, N_COLUMNS, 5, seed=3)
    rows.transposed_product(delta, out)
    torch.testing.assert_close(out, dense.mT @ delta)


def test_rows_are_sliced_as_tensors_are():
    X, index = numbers(), torch.arange(N_ROWS).reshape(2, 6)
    rows, dense = table(X).rows(index), torch.from_numpy(X)[index]
    assert (rows.shape, rows.dim(), len(rows), rows.dtype) == (dense.shape, 3, 2, torch.float64)
    for part in (slice(1), slice(1, 2), (slice(None), slice(1, 4)), (slice(1), slice(0, 6, 2)), torch.tensor([1, 0])):
        torch.testing.assert_close(rows[part].dense(), dense[part])


def test_the_first_networks_keep_their_factors():
    X, factor = numbers(), normal(3, 1, N_COLUMNS)
    rows = table(X).rows(torch.arange(N_ROWS).reshape(3, 4)).scaled(factor)
    torch.testing.assert_close(rows[:2].dense(), rows.dense()[:2])


def test_kept_validation_rows_follow_their_networks_into_another_order():
    X, y = numbers(), normal(N_ROWS, 1)
    losses = []
    for own in (table(X), torch.from_numpy(X)):
        factor = normal(3, 1, N_COLUMNS).exp()
        weights, biases = [normal(3, N_COLUMNS, 4), normal(3, 1, 4)], [normal(3, 1, 4), normal(3, 1, 1)]
        cost = choose_cost("auto", "regression")[0]
        stages = {"cost": cost, "input_center": torch.zeros_like(factor), "input_factor": factor}
        fleet = MLPFleet(weights, biases, "relu", **stages)
        validation = ValidationData(own, y, [np.arange(4), np.arange(4, 12), np.arange(5)], fleet)
        before, _ = validation.evaluate(fleet)
        fleet.reorder([2, 0, 1], 2)
        validation.reorder([2, 0, 1])
        after, _ = validation.evaluate(fleet)
        torch.testing.assert_close(after, before[[2, 0]])
        losses.append(before)
    torch.testing.assert_close(*losses)


def test_some_rows_of_a_table_are_written_out():
    X, index = numbers(), torch.tensor([5, 3, 5])
    torch.testing.assert_close(table(X)[index], torch.from_numpy(X[index]))
    assert len(table(X)) == N_ROWS


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_array, sparse.coo_array, sparse.csr_matrix])
def test_any_sparse_kind_becomes_csr(kind):
    X = numbers()
    torch.testing.assert_close(table(kind(X)).rows(torch.arange(N_ROWS)[None]).dense()[0], torch.from_numpy(X))


def test_an_entry_that_stands_twice_counts_as_the_sum():
    twice = sparse.coo_array(([1.0, 2.0, 5.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 3))
    csr = sparse.csr_array((np.array([1.0, 2.0, 5.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 3))
    for X in (twice, csr):
        own = table(X)
        assert own.values.tolist() == [3.0, 5.0]
        np.testing.assert_array_equal(own.rows(torch.tensor([[0, 1]])).dense()[0], [[0, 3, 0], [5, 0, 0]])
    # The user's own array is left as it is.
    assert csr.data.tolist() == [1.0, 2.0, 5.0]


def test_a_table_without_any_entry_gives_zeros():
    rows = table(np.zeros((4, 3))).rows(torch.tensor([[0, 1], [3, 3]]))
    assert not rows.dense().any()
    assert not rows.product(normal(2, 3, 5)).any()
    out = normal(2, 3, 5)
    rows.transposed_product(normal(2, 2, 5), out)
    assert not out.any()


def test_a_fleet_prepares_sparse_rows_as_dense_ones():
    X = numbers()
    center, factor = torch.zeros(2, 1, N_COLUMNS).double(), normal(2, 1, N_COLUMNS).exp()
    fleet = Fleet(choose_cost("auto", "regression")[0], center, factor, input_clip=1.5)
    index, y = torch.tensor([[0, 1, 2], [2, 3, 11]]), normal(N_ROWS, 1)
    thin, target = gather(table(X), y, index)
    thick, same_target = gather(torch.from_numpy(X), y, index)
    torch.testing.assert_close(fleet.prepare(thin).dense(), fleet.prepare(thick))
    torch.testing.assert_close(target, same_target)
