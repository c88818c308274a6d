"""How large minibatches are and how many epochs a fit has."""

import math

from hypothesis import given
from hypothesis import strategies as st

from sk_dlsteps.step3_training.budget import (
    MAX_BATCH,
    MAX_EPOCHS,
    MAX_ROW_PASSES,
    MIN_BATCH,
    MIN_EPOCHS,
    choose_batch_size,
    choose_max_epochs,
    choose_n_networks,
)


@given(n_rows=st.integers(1, 10**8))
def test_minibatches_are_powers_of_two_within_bounds(n_rows):
    size = choose_batch_size("auto", n_rows)
    assert math.log2(size).is_integer()
    assert 32 <= MIN_BATCH <= size <= MAX_BATCH <= 1024


@given(n_rows=st.integers(1, 10**8), more=st.integers(0, 10**6))
def test_more_rows_never_get_smaller_minibatches(n_rows, more):
    assert choose_batch_size("auto", n_rows + more) >= choose_batch_size("auto", n_rows)


@given(n_batches=st.integers(1, 10**6))
def test_epochs_stay_within_bounds_and_are_whole_first_cycles(n_batches):
    epochs = choose_max_epochs("auto", n_batches, 100)
    assert MIN_EPOCHS <= epochs <= MAX_EPOCHS
    assert epochs % 15 == 0
    assert choose_max_epochs("auto", n_batches + 1, 100) <= epochs


@given(n_rows=st.integers(10**5, 10**9))
def test_many_rows_are_gone_through_in_whole_cycles_that_a_bound_allows(n_rows):
    epochs = choose_max_epochs("auto", n_rows // MAX_BATCH, n_rows)
    assert epochs == 1 or epochs * n_rows <= 1.5 * MAX_ROW_PASSES
    assert epochs % 15 == 0 or epochs + 1 in (2, 4, 8)
    assert choose_max_epochs("auto", n_rows // MAX_BATCH, 2 * n_rows) <= epochs


def test_there_are_fewer_networks_where_rows_are_many():
    assert [choose_n_networks("auto", n) for n in (100, 99_999, 100_000, 400_000, 10**8)] == [8, 8, 4, 2, 2]
    assert choose_n_networks(5, 10**8) == 5


def test_numbers_are_the_users_decision():
    assert choose_batch_size(7, 10**6) == 7
    assert choose_max_epochs(3, 10**6, 10**8) == 3


@given(n_rows=st.integers(1, 10**8), n_classes=st.integers(2, 1000))
def test_where_rows_are_compared_minibatches_hold_some_of_every_class(n_rows, n_classes):
    size = choose_batch_size("auto", n_rows, n_classes)
    assert math.log2(size).is_integer()
    assert size >= max(64, choose_batch_size("auto", n_rows))
    assert size >= min(4 * n_classes, MAX_BATCH)
    assert choose_batch_size(7, n_rows, n_classes) == 7
