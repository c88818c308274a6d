import re

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_dlsteps import Report, StepwiseRegressor, learning_curve
from sk_dlsteps.plan import StepRecord
from sk_dlsteps.report.outline import STEPS


@pytest.fixture
def records():
    table = [{"model": "network", "R2": 0.51234}, {"model": "a|b", "R2": -1}]
    return [
        StepRecord(5, "test set", "R2 0.5", "five rows", {"R2": table, "rows": 5}),
        StepRecord(1, "task", "regression", "the target is a number", {"rows": 442}),
        StepRecord(1, "cost function", "MSE", "the target is a number"),
    ]


def test_text_shows_steps_in_order_with_decision_reason_and_figures(records):
    assert Report(records, title="trees").to_text().splitlines() == [
        "trees",
        "=====",
        "",
        "Step 1: the cost function",
        "  Task: regression",
        "    because the target is a number",
        "    rows 442",
        "  Cost function: MSE",
        "    because the target is a number",
        "",
        "Step 5: verify on a test set",
        "  Test set: R2 0.5",
        "    because five rows",
        "    rows 5",
        "",
        "    model        R2",
        "    network  0.5123",
        "    a|b          -1",
    ]


def test_markdown_has_headings_lists_and_tables(records):
    markdown = Report(records, title="trees").to_markdown()
    assert markdown.startswith("# trees\n\n## Step 1: the cost function\n\n**Task: regression**  \nbecause the target")
    assert "\n- rows: 442\n" in markdown
    assert markdown.endswith("R2:\n\n| model | R2 |\n| --- | ---: |\n| network | 0.5123 |\n| a\\|b | -1 |\n")


@pytest.mark.parametrize("number", range(1, 7))
def test_every_step_of_the_article_has_its_heading(number):
    report = Report([StepRecord(number, "a", "b", "c")])
    assert f"Step {number}: {STEPS[number]}\n" in report.to_text()
    assert f"## Step {number}: {STEPS[number]}\n" in report.to_markdown()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123456, "0.1235"),
        (np.float32(0.5), "0.5"),
        (np.int64(12345678), "12345678"),
        (True, "True"),
        (None, "none"),
        ([], "none"),
        ((64, 64), "64, 64"),
        ("adam", "adam"),
        ({"steepest": 0.00123456, "valley": 1}, "steepest 0.001235, valley 1"),
        (np.array([1.5, 2.0]), "1.5, 2"),
    ],
)
def test_figures_of_every_kind_are_shown(value, shown):
    record = StepRecord(3, "training", "adam", "it works", {"figure": value})
    assert f"    figure {shown}\n" in Report([record]).to_text()
    assert f"- figure: {shown}\n" in Report([record]).to_markdown()


def test_long_texts_are_wrapped_and_nothing_is_lost():
    because = " ".join(f"word{i}" for i in range(100))
    text = Report([StepRecord(2, "width", "64", because)]).to_text()
    assert max(map(len, text.splitlines())) <= 100
    assert " ".join(text.split()).endswith(because)


def test_nothing_decided_is_an_empty_text():
    assert Report([]).to_text() == ""


def test_parts_are_added_in_the_order_of_the_steps_and_returned_for_more():
    late, early = StepRecord(6, "late", "a", "b"), StepRecord(1, "early", "a", "b")
    report = Report()
    assert report.add(late).add(early) is report
    assert report.records == [early, late]
    assert repr(report) == report.to_text()


def test_what_has_no_records_is_refused_and_nothing_is_added():
    report = Report()
    with pytest.raises(TypeError, match=r"got float"):
        report.add(StepRecord(1, "a", "b", "c"), 0.5)
    assert report.records == []


def test_a_learning_curve_can_be_added():
    X, y = load_diabetes(return_X_y=True)
    curve = learning_curve(Ridge(), X, y, random_state=0)
    assert Report().add(curve).records == [curve.record]


def test_another_estimator_has_no_steps_to_report():
    X, y = load_diabetes(return_X_y=True)
    with pytest.raises(ValueError, match="got Ridge"):
        Report.of(make_pipeline(Ridge()).fit(X, y))
    with pytest.raises(NotFittedError):
        StepwiseRegressor().report()


def test_a_model_behind_transformers_is_reported_with_its_title():
    X, y = load_diabetes(return_X_y=True)
    model = StepwiseRegressor(max_epochs=2, n_estimators=2, learning_rate=0.01, random_state=0)
    report = Report.of(make_pipeline(StandardScaler(), model).fit(X, y), title="trees")
    assert report.to_text().startswith("trees\n=====\n\n4 of 6 steps were taken.")
    assert report.records == list(model.steps_)


def test_nothing_of_the_users_is_markup():
    bad = "a*b_c_ [x](http://y) <script>`|~~\nnew # line"
    record = StepRecord(2, bad, bad, bad, {bad: bad, "t": [{bad: bad}]})
    markdown = Report([record], title=bad).to_markdown()
    assert re.findall(r"(?<!\\)[*`<>|~\[\]]", markdown) == list("****" + "||" * 3)


def test_a_search_may_have_chosen_what_a_model_takes_for_its_users_choice():
    X, y = load_diabetes(return_X_y=True)
    model = StepwiseRegressor(max_epochs=2, n_estimators=1, learning_rate=0.01, random_state=0)
    search = GridSearchCV(model, {"dropout": [0.25]}, cv=2).fit(X, y)
    assert "because chosen by you or by the search" in Report.of(search).to_text()
    assert "because chosen by you\n" in search.best_estimator_.report().to_text()


@pytest.mark.parametrize("text", ["# h", "- a", "+ a", "1. a", "2) b", "---", "== x", "&lt;b&gt;"])
def test_no_line_of_the_users_is_markup(text):
    markdown = Report([StepRecord(2, "a", "b", "c", {text: 1})]).to_markdown()
    assert f"- {text}: 1" not in markdown
    assert markdown.replace("\\", "").endswith(f"- {text}: 1\n")


@pytest.mark.parametrize("text", ["-1.5", "1.5", "#1", "a & b"])
def test_figures_stay_as_they_are(text):
    assert f"- a: {text}\n" in Report([StepRecord(2, "a", "b", "c", {"a": text})]).to_markdown().replace("\\&", "&")


def test_control_characters_and_halves_of_characters_do_no_harm(tmp_path):
    report = Report([StepRecord(2, "a\x1b[31m", "b\ud800", "c\x00", {"\x07": "\x9b"})], title="\x1b]0;x")
    for text in (report.to_text(), report.to_markdown(), report.to_html(tmp_path / "r.html"), report._repr_html_()):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", text)
        text.encode()


def test_a_record_of_no_step_is_refused():
    with pytest.raises(ValueError, match="a number from 1 to 6, got 7"):
        Report().add(StepRecord(7, "a", "b", "c"))


def test_a_report_tells_of_the_model_as_it_was():
    X, y = load_diabetes(return_X_y=True)
    model = StepwiseRegressor(max_epochs=2, n_estimators=1, learning_rate=0.01, random_state=0).fit(X, y)
    report = model.report()
    before = report.to_html()
    model.set_params(n_hidden_layers=3).fit(X, y)
    assert report.to_html() == before
    assert "3 hidden layers" in model.report().to_text()
