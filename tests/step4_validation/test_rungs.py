import pickle
from html.parser import HTMLParser

import numpy as np
import pytest

from sk_dlsteps.report.report import Report
from sk_dlsteps.step4_validation.noise import Difference
from sk_dlsteps.step4_validation.rungs import Ladder, Rung, describe_change

START = Rung(3, "start", "as it is", ({},), ({},), (0.4,), (0.6,), (), 0, True, {}, "where the ladder begins")
KEPT = Rung(
    4,
    "dropout",
    "dropout comes first",
    ({"dropout": 0.25}, {"dropout": 0.5}),
    ({"dropout": 0.25}, {"dropout": 0.5}),
    (0.45, 0.5),
    (0.58, 0.55),
    (Difference(0.05, 0.01), Difference(0.1, 0.02)),
    1,
    True,
    {"dropout": 0.5},
    "kept: dropout=0.5",
)
FAILED = Rung(
    4,
    "other",
    "you named it",
    ({"a": 1},),
    ({"a": 1},),
    (np.nan,),
    (np.nan,),
    (),
    None,
    False,
    {},
    "no candidate has a score in every fold",
)
LADDER = Ladder(
    (START, KEPT, FAILED), {"dropout": 0.5}, 2, "good enough: it is", "R2", "The ladder ended because it did."
)


class Page(HTMLParser):
    """Rows of cells, and whether every element is closed in turn."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.open, self.tags, self.attributes = [], [], set(), []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_a_ladder_is_a_sequence_of_its_rungs():
    assert len(LADDER) == 3
    assert LADDER[1] is KEPT
    assert LADDER[:2] == (START, KEPT)
    assert [rung.name for rung in LADDER] == ["start", "dropout", "other"]
    assert KEPT in LADDER


def test_it_prints_as_an_aligned_table():
    header, rule, *rows = str(LADDER).split("\n\n")[0].splitlines()
    assert header.split() == ["step", "rung", "tried", "best", "change", "training", "validation", "change", "kept"]
    edges = [i for i, character in enumerate(rule) if character == " "]
    for row in (header, *rows):
        assert all(i >= len(row) or row[i] == " " for i in edges)
    assert rows[1].split() == ["4", "dropout", "2", "dropout=0.5", "0.5500", "0.5000", "+0.1000", "±", "0.0200", "yes"]
    assert rows[2].split() == ["4", "other", "1", "no", "score", "-", "-", "-", "no"]
    assert "The ladder ended because it did." in str(LADDER)
    assert max(map(len, str(LADDER).splitlines())) <= 100


def test_its_html_is_well_formed_and_holds_the_same_cells():
    page = Page(LADDER._repr_html_())
    assert not page.open
    assert page.rows == [list(LADDER.COLUMNS), *(list(rung.cells) for rung in LADDER)]


def test_its_html_asks_for_nothing_from_outside_and_sets_no_colours():
    page = Page(LADDER._repr_html_())
    assert page.tags == {"div", "table", "thead", "tbody", "tr", "th", "td", "p"}
    assert {name for name, _ in page.attributes} == {"style", "title"}
    styles = [value for name, value in page.attributes if name == "style"]
    assert not any("#" in style or "url" in style or "rgb" in style for style in styles)


def test_values_are_escaped_in_html():
    change = {"a": '<script>alert("x")</script>'}
    rung = Rung(4, "<b>", '"because" <i>', (change,), (change,), (0.1,), (0.1,), (), 0, True, change, "'kept' & <u>")
    html = Ladder((rung,), change, 0, "<p>", "<s>", "<em>")._repr_html_()
    page = Page(html)
    assert page.rows[1][1] == "<b>"
    assert page.rows[1][3] == 'a=<script>alert("x")</script>'
    assert ("title", "\"because\" <i>. 'kept' & <u>.") in page.attributes
    assert not page.tags & {"script", "b", "i", "u", "s", "em"}


def test_records_show_the_rungs_in_the_report_of_the_steps():
    records = LADDER.records()
    assert [record.number for record in records] == [3, 4]
    assert [record.decision for record in records] == ["nothing kept", "dropout"]
    text = Report(records).to_text()
    assert "because good enough: it is" in text
    assert "dropout=0.5" in text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, "-"),
        ({"stepwiseregressor__learning_rate": 0.0070001}, "learning_rate=0.007"),
        ({"dropout": (0.25, 0.5), "batch_norm": True}, "dropout=(0.25, 0.5), batch_norm=True"),
        ({"optimizer": dict}, "optimizer=dict"),
        ({"weight_decay": np.float64(1e-4)}, "weight_decay=0.0001"),
    ],
)
def test_a_change_is_described_without_its_prefix(change, text):
    assert describe_change(change) == text


def test_a_ladder_survives_pickling():
    again = pickle.loads(pickle.dumps(LADDER))
    assert again[:2] == LADDER[:2]
    assert str(again) == str(LADDER)
