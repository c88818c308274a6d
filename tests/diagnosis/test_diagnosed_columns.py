"""Columns that say nothing, the same, or too much."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from sk_dlsteps import diagnose
from sk_dlsteps.diagnosis.table import Columns, with_shuffled


def found(diagnosis, code):
    """The finding of a code."""
    (finding,) = (f for f in diagnosis if f.code == code)
    return finding


def frame(X, **more):
    """A DataFrame of columns a, b, ... and others."""
    return pd.DataFrame(X, columns=list("abcdefgh")[: X.shape[1]]).assign(**more)


def quick(small, X, y, **settings):
    """A diagnosis of a model fitted for a few epochs."""
    task = "classification" if np.asarray(y).dtype.kind in "UO" else "regression"
    return diagnose(small(task, max_epochs=15, **settings).fit(X, y), X, y, cv=3)


def test_constant_columns_and_copies_are_found_whatever_their_names_and_units(small, rule):
    X, y = rule
    table = frame(X, **{"<b>$x|y": 7.0, "empty": np.nan, "fahrenheit": 32 + 1.8 * X[:, 1], "down": -X[:, 2]})
    diagnosis = quick(small, table, y)
    constant = found(diagnosis, "constant_columns")
    assert constant.evidence["columns"] == ["<b>$x|y", "empty"]
    assert constant.action == "drop columns '<b>$x|y', 'empty'"
    copies = found(diagnosis, "duplicate_columns").evidence["copies"]
    assert copies == [{"column": "fahrenheit", "copy of": "b"}, {"column": "down", "copy of": "c"}]
    assert not {"constant_columns", "duplicate_columns"} & {*quick(small, frame(X), y).codes}


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_categories_are_copies_of_each_other_by_what_they_tell_apart(kind):
    colour = ["red", "blue", "red", None, "green", "blue"]
    code = ["r", "b", "r", None, "g", "b"]
    other = ["r", "b", "g", None, "g", "b"]
    columns = Columns.of(kind({"colour": colour, "code": code, "other": other, "one": ["x"] * 6}))
    assert columns.copies() == [(0, 1)]
    assert columns.constant() == [3]


def test_an_indicator_of_gaps_is_no_constant():
    assert Columns.of(np.array([[1.0], [np.nan], [1.0]])).constant() == []


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("category", [False, True])
def test_a_column_that_gives_the_answer_away_is_found(small, rule, task, category):
    X, y = rule
    rng = np.random.default_rng(9)
    y = y + 2 * rng.normal(size=len(y))
    if task == "classification":
        y = np.where(y > 0, "up", "down")
    leak = y
    if category:
        y = y if task == "classification" else np.clip(np.round(y / 2), -2, 2)
        leak = np.array([f"v{value}" for value in y])
    elif task == "classification":
        leak = (y == "up") * 2.0 + 0.1 * rng.random(len(y))
    finding = found(quick(small, frame(X, answer=leak), y), "suspicious_leak")
    assert finding.severity == 3
    (row,) = finding.evidence["columns"]
    assert row["column"] == "answer"
    assert row["share by itself"] >= 0.97
    low, high = finding.evidence["95 % interval"]
    assert low < finding.evidence["share of the others"] < min(high, 0.8)
    assert row["95 % interval"][0] <= row["share by itself"] <= row["95 % interval"][1]
    assert "column 'answer' can be known before the target is" in finding.action
    assert "suspicious_leak" not in quick(small, frame(X), y).codes


def test_a_strong_column_beside_others_that_know_as_much_is_no_leak(small, rule):
    X, y = rule
    y = X @ [1.0, -1.0, 1.0, 1.0]
    table = frame(X, answer=y)
    assert "suspicious_leak" not in quick(small, table, y).codes


def test_columns_of_noise_are_found_and_the_others_are_not(small):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(400, 5))
    y = X[:, 0] - X[:, 1] + X[:, 2] + 0.1 * rng.normal(size=400)
    table = frame(X[:, :3]).assign(noise=X[:, 3], town=rng.choice(["x", "y"], 400))
    finding = found(diagnose(small(weight_decay=0.003).fit(table, y), table, y, cv=3), "useless_columns")
    assert [row["column"] for row in finding.evidence["columns"]] == ["noise", "town"]
    assert all(row["cost of shuffling"] < finding.evidence["cost allowed"] for row in finding.evidence["columns"])
    assert finding.action == "drop columns 'noise', 'town'"


def test_columns_that_are_all_used_are_no_finding(small, rule, sides):
    for task, (X, y) in {"regression": rule, "classification": sides}.items():
        diagnosis = diagnose(small(task).fit(X, y), X, y, cv=3)
        assert "useless columns" in diagnosis.looked_at
        assert "useless_columns" not in diagnosis.codes


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, pl.DataFrame])
def test_shuffling_moves_the_columns_asked_for_and_leaves_the_table_alone(kind):
    X = np.arange(12.0).reshape(4, 3)
    table, order = kind(X), np.array([2, 0, 3, 1])
    shuffled = np.asarray(with_shuffled(table, [0, 2], order))
    np.testing.assert_array_equal(shuffled[:, [0, 2]], X[order][:, [0, 2]])
    np.testing.assert_array_equal(shuffled[:, 1], X[:, 1])
    np.testing.assert_array_equal(np.asarray(table), X)


def test_sparse_tables_are_looked_at_as_far_as_they_can_be(small, rule):
    X, y = rule
    table = sparse.csr_matrix(np.column_stack([np.where(np.abs(X) > 0.5, X, 0.0), np.zeros(len(X))]))
    diagnosis = quick(small, table, y)
    assert found(diagnosis, "constant_columns").evidence["columns"] == ["4"]
    assert "sparse" in diagnosis.left_out["useless columns"]


def test_columns_that_tell_what_others_tell_already_are_no_finding(small):
    rng = np.random.default_rng(4)
    y = np.where(rng.random(300) < 0.5, "left", "right")
    X = rng.normal(size=(300, 5)) + np.outer(np.where(y == "left", 2.0, -2.0), [1, 1, 1, 0.2, 0.2])
    diagnosis = diagnose(small("classification").fit(X, y), X, y, cv=3)
    assert "useless columns" in diagnosis.looked_at
    assert "useless_columns" not in diagnosis.codes
    X[:, 3:] = rng.normal(size=(300, 2))
    evidence = found(diagnose(small("classification").fit(X, y), X, y, cv=3), "useless_columns").evidence
    assert [row["column"] for row in evidence["columns"]] == ["3", "4"]
    for row in evidence["columns"]:
        low, high = row["95 % interval"]
        assert low <= row["cost of shuffling"] <= high < evidence["cost allowed"]
