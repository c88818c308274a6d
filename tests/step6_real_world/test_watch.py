import numpy as np

from sk_dlsteps.step6_real_world.watch import what_to_watch

RULE = {"score_name": "R2", "interval": (0.41, 0.6)}


def test_ranges_and_statistics_are_those_of_the_training_rows():
    X = np.random.default_rng(0).normal(size=(50, 2))
    record = what_to_watch(X, X[:5], ["a", "b"], **RULE)
    ranges = record.evidence["training range of all columns"]
    assert [row["column"] for row in ranges] == ["a", "b"]
    figures = [[row[name] for name in ("min", "max", "mean", "std")] for row in ranges]
    np.testing.assert_allclose(figures, np.transpose([X.min(0), X.max(0), X.mean(0), X.std(0)]))
    assert [row["test rows outside"] for row in ranges] == [0, 0]


def test_test_rows_outside_the_range_are_counted_once():
    train = np.array([[0.0, 0.0], [1.0, 1.0]])
    test = np.array([[2.0, 2.0], [-1.0, 0.5], [0.5, 0.5], [1.0, 0.0]])
    record = what_to_watch(train, test, ["a", "b"], **RULE)
    assert record.evidence["test rows outside the training range"] == "2 of 4 (50.0%)"
    assert [row["test rows outside"] for row in record.evidence["training range of all columns"]] == [2, 1]


def test_of_many_columns_those_with_most_rows_outside_are_listed():
    train, test = np.tile([[0.0], [1.0]], 20), np.full((3, 20), 0.5)
    test[:, [4, 17]] = 9.0
    listed = what_to_watch(train, test, [f"c{i}" for i in range(20)], **RULE).evidence[
        "training range of 10 of 20 columns"
    ]
    assert len(listed) == 10
    assert {"c4", "c17"} < {row["column"] for row in listed}


def test_the_decision_names_the_score_to_fear():
    record = what_to_watch(np.eye(3), np.eye(3), list("abc"), **RULE)
    assert record.number == 6
    assert "well below 0.410" in record.decision
