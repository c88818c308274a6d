"""A test set is known again by its contents."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from sk_dlsteps.step5_test.looks import count_look, fingerprint, forget_looks

X = np.random.default_rng(0).normal(size=(6, 2)).round(1)
Y = np.array([1.0, 2, 3, 4, 5, 6])


@pytest.mark.parametrize(
    "again",
    [X.copy(), X.tolist(), np.asfortranarray(X), pd.DataFrame(X, columns=["a", "b"]), pl.DataFrame(X)],
    ids=["copy", "list", "fortran", "pandas", "polars"],
)
def test_the_container_does_not_matter(again):
    assert fingerprint(again, Y) == fingerprint(X, Y)
    assert fingerprint(again, Y.tolist()) == fingerprint(X, Y)


@pytest.mark.parametrize(
    "other", [X[::-1], X[:, ::-1], X[:5], X.reshape(6, 2, 1)], ids=["rows", "columns", "fewer", "3d"]
)
def test_other_contents_are_another_test_set(other):
    assert fingerprint(other, Y[: len(other)]) != fingerprint(X, Y)
    assert fingerprint(X, -Y) != fingerprint(X, Y)


def test_sparse_and_mixed_tables_are_known_again():
    S = sparse.csr_matrix(np.where(X > 0, X, 0))
    assert fingerprint(S, Y) == fingerprint(sparse.csc_array(S), Y) != fingerprint(2 * S, Y)
    mixed = pd.DataFrame({"<b>": ["$x$", None, "|"], "n": [1.0, 2.0, 3.0]})
    assert fingerprint(mixed, ["a", "b", "c"]) == fingerprint(mixed.copy(), ["a", "b", "c"])
    assert fingerprint(mixed, ["a", "b", "c"]) != fingerprint(mixed.iloc[::-1], ["a", "b", "c"])


def test_looks_are_counted_and_forgotten():
    assert [count_look(X, Y), count_look(X, Y), count_look(X, Y + 1)] == [1, 2, 1]
    forget_looks()
    assert count_look(X, Y) == 1
