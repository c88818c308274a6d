import numpy as np
import pandas as pd

from sk_dlsteps.step6_real_world.reference import Reference
from sk_dlsteps.step6_real_world.watch import what_to_watch

RULE = {"score_name": "R2", "interval": (0.41, 0.6)}


def test_ranges_and_medians_are_those_of_the_training_rows():
    X = np.random.default_rng(0).normal(size=(51, 2))
    record = what_to_watch(Reference.of(X), X[:5], ["a", "b"], **RULE)
    ranges = record.evidence["training range of all columns"]
    assert [row["column"] for row in ranges] == ["a", "b"]
    figures = [[row[name] for name in ("min", "median", "max")] for row in ranges]
    np.testing.assert_allclose(figures, np.transpose([X.min(0), np.median(X, 0), X.max(0)]), rtol=1e-6)
    assert [row["test rows outside"] for row in ranges] == [0, 0]


def test_test_rows_outside_the_range_are_counted_once():
    train = np.array([[0.0, 0.0], [1.0, 1.0]])
    test = np.array([[2.0, 2.0], [-1.0, 0.5], [0.5, 0.5], [1.0, 0.0]])
    record = what_to_watch(Reference.of(train), test, ["a", "b"], **RULE)
    assert record.evidence["test rows outside the training range"] == "2 of 4 (50.0%)"
    assert [row["test rows outside"] for row in record.evidence["training range of all columns"]] == [2, 1]


def test_rows_of_a_level_that_training_has_not_seen_are_outside_too():
    train = pd.DataFrame({"kind": ["oak", "elm", None], "girth": [1.0, 2.0, np.nan]})
    test = pd.DataFrame({"kind": ["oak", "ash", None, "ash"], "girth": [1.0, 1.5, np.nan, 3.0]})
    record = what_to_watch(Reference.of(train, np.array([True, False])), test, train.columns, **RULE)
    assert record.evidence["test rows with a level that training has not seen"] == 2
    assert record.evidence["test rows outside the training range"] == "2 of 4 (50.0%)"
    assert [row["column"] for row in record.evidence["training range of all columns of numbers"]] == ["girth"]


def test_of_many_columns_those_with_most_rows_outside_are_listed():
    train, test = np.tile([[0.0], [1.0]], 20), np.full((3, 20), 0.5)
    test[:, [4, 17]] = 9.0
    evidence = what_to_watch(Reference.of(train), test, [f"c{i}" for i in range(20)], **RULE).evidence
    listed = evidence["training range of 10 of 20 columns"]
    assert len(listed) == 10
    assert {"c4", "c17"} < {row["column"] for row in listed}


def test_a_column_without_a_value_has_no_range():
    train = np.array([[np.nan, 1.0], [np.nan, 2.0]])
    ranges = what_to_watch(Reference.of(train), train, ["a", "b"], **RULE).evidence["training range of all columns"]
    assert np.isnan(ranges[0]["median"])
    assert ranges[0]["test rows outside"] == 0


def test_the_decision_names_the_score_to_fear():
    record = what_to_watch(Reference.of(np.eye(3)), np.eye(3), list("abc"), **RULE)
    assert record.number == 6
    assert "well below 0.410" in record.decision
