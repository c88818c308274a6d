from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from sk_dlsteps import DriftDetector
from sk_dlsteps.report.report import Report


@pytest.fixture(scope="module")
def report():
    """One of 12 columns has drifted, and its name is no name."""
    rng = np.random.default_rng(0)
    names = ["<script>a|b$x$\n", *(f"c{i}" for i in range(11))]
    old, new = (pd.DataFrame(rng.normal(size=(300, 12)), columns=names) for _ in range(2))
    new.iloc[:, 0] += 1
    return DriftDetector().fit(old).check(new)


def test_the_table_has_every_column_the_most_drifted_first(report):
    table = report.table
    assert len(table) == 12
    assert table[0]["column"] == "<script>a|b$x$\n"
    assert [row["drifted"] for row in table] == [True] + [False] * 11
    p_values = [row["p_value"] for row in table]
    assert p_values == sorted(p_values)
    np.testing.assert_allclose([row["adjusted_p_value"] for row in table], false_discovery_control(p_values))
    pd.testing.assert_frame_equal(report.to_frame(), pd.DataFrame(table))


def test_each_kind_of_test_has_its_part_of_alpha(report):
    assert report.level * len(report.p_values) == pytest.approx(report.alpha)
    tests = report.records()[0].evidence["tests"]
    assert [row["test of"] for row in tests] == ["columns", "all columns together"]


def test_the_report_is_the_text_of_its_records(report):
    assert repr(report) == Report(report.records()).to_text().rstrip("\n")
    assert "inputs drifted" in repr(report)
    assert "column c" not in Report(report.records()).to_markdown()


def test_a_record_names_the_verdict_the_reason_and_the_next_step(report):
    first, second = report.records()
    assert (first.number, second.number) == (6, 6)
    assert first.decision == report.verdict
    assert "probability of at most 0.01" in first.because
    assert second.decision == report.next_step
    assert len(first.evidence["columns"]) == 10


def test_the_gravest_finding_is_the_verdict(report):
    clean = replace(report.columns[0], adjusted=1.0)
    drifted = replace(report.columns[0], adjusted=0.0)
    assert replace(report, columns=(clean,), domain=None).verdict == "no drift"
    assert replace(report, columns=(clean,), target=(drifted,)).verdict != "no drift"
    assert replace(report, target=(drifted,)).verdict == "target drifted"
    assert replace(report, target=(drifted,), predictions=(drifted,)).verdict == "predictions drifted"


def test_unseen_levels_of_very_many_are_said_to_be_unknown():
    old, new = ({"id": [f"{i}" for i in range(n)], "size": list(range(n))} for n in (3000, 100))
    report = (
        DriftDetector()
        .fit(pd.DataFrame(old).astype({"id": "category"}))
        .check(pd.DataFrame(new).astype({"id": "category"}))
    )
    rows = {row["column"]: row for row in report.records()[0].evidence["columns"]}
    assert (rows["id"]["unseen"], rows["size"]["unseen"]) == ("unknown", "")
    assert report.columns[0].unseen is None
