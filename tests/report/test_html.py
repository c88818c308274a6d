"""Reports as pages: their structure by a parser, and how they look and behave in a real browser."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

from sk_dlsteps import DriftDetector, Report, StepwiseRegressor, learning_curve
from sk_dlsteps.plan import StepRecord

VOID = {"meta", "br", "hr", "img", "input", "link"}
SCRIPT = "<script>window.hacked = 1; throw Error('hacked')</script>"
NAMES = [
    SCRIPT,
    '"><img src=x onerror="window.hacked=1">',
    "$\\frac{a$",
    "a&amp;b",
    "grün\nund rot",
    "javascript:alert(1)",
]
# The least contrast of all texts with what lies behind them, by WCAG's formula.
CONTRAST = """() => {
  const parse = (c) => {
    const unit = c.includes("srgb") ? 255 : 1;
    const n = c.replace("srgb", "").match(/[\\d.e-]+/g).map((v, i) => i < 3 ? unit * v : Number(v));
    return n.length < 4 ? [...n, 1] : n;
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const paper = parse(getComputedStyle(document.body).backgroundColor);
  let least = { ratio: 99, text: "" };
  for (const e of document.body.querySelectorAll("*")) {
    const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
    if (!text || e.closest("style")) continue;
    let opacity = 1;
    for (let p = e; p; p = p.parentElement) opacity *= Number(getComputedStyle(p).opacity);
    const style = getComputedStyle(e), ink = parse(e.closest("svg") ? style.fill : style.color);
    const mixed = ink.slice(0, 3).map((v, i) => v * opacity * ink[3] + paper[i] * (1 - opacity * ink[3]));
    const [high, low] = [light(mixed), light(paper)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < least.ratio) least = { ratio, text };
  }
  return least;
}"""


class Page(HTMLParser):
    """Tags with their attributes, and whether all are closed in order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def of(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


@pytest.fixture(scope="module")
def report():
    X, y = load_diabetes(return_X_y=True)
    frame = pd.DataFrame(X[:, : len(NAMES)], columns=NAMES)
    model = StepwiseRegressor(max_epochs=8, n_estimators=2, random_state=0).fit(frame, y)
    table = [{"column": name, name: 1.0} for name in NAMES[:1]] + [{"column": name} for name in NAMES[1:]]
    hostile = StepRecord(6, SCRIPT, SCRIPT, SCRIPT, {SCRIPT: SCRIPT, "drift": table})
    return Report.of(model, title=SCRIPT).add(hostile, learning_curve(Ridge(), X, y, random_state=0))


@pytest.fixture(scope="module")
def html(report):
    return report.to_html()


@pytest.fixture(scope="module")
def path(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    report.to_html(path)
    return path


@pytest.fixture
def visit(browser, path):
    """Open the page; what goes wrong, and what it asks for, is noted."""
    contexts = []

    def visit(path=path, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.noted, page.asked = [], []
        page.on("console", lambda message: page.noted.append(message.text))
        page.on("pageerror", lambda error: page.noted.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_load_state("networkidle")
        return page

    yield visit
    for context in contexts:
        context.close()


def test_the_page_is_well_formed_and_accessible_by_its_structure(html):
    page = Page(html)
    headings = [tag for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert headings.count("h1") == 1
    # No level is left out on the way down.
    assert all(int(b[1]) - int(a[1]) <= 1 for a, b in pairwise(headings))
    assert page.of("html") == [{"lang": "en"}]
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(set(ids)) == len(ids)
    for attrs in page.of("svg"):
        assert attrs["role"] == "img"
        assert attrs["aria-label"]
    assert {a["href"] for a in page.of("a")} == {f"#step-{i}" for i in range(1, 7)}
    assert all("scope" in attrs for attrs in page.of("th"))


def test_the_page_holds_its_pictures_and_nothing_that_loads_or_runs(html):
    page = Page(html)
    assert len(page.of("svg")) >= 2
    assert not page.of("script") + page.of("img") + page.of("link") + page.of("iframe")
    assert "default-src 'none'" in html
    assert not re.search(r"(?:src|url)\s*[=(]\s*[\"']?https?:", html)


def test_the_same_report_is_the_same_page_in_a_file_too(html, path):
    assert path.read_text(encoding="utf-8") == html


def test_a_folder_that_is_not_there_is_an_error(report, tmp_path):
    with pytest.raises(FileNotFoundError):
        report.to_html(tmp_path / "none" / "report.html")


def test_a_notebook_gets_an_element_and_not_a_page(report):
    fragment = report._repr_html_()
    page = Page(fragment)
    assert fragment.startswith("<style>")
    assert not page.of("html") + page.of("body") + page.of("script")
    # Two reports in a notebook have anchors of their own.
    other = Page(Report([StepRecord(n, "a", "b", "c") for n in (1, 2)])._repr_html_())
    assert not {a["href"] for a in page.of("a")} & {a["href"] for a in other.of("a")}


def test_a_style_of_the_users_does_not_change_the_pictures(report, html):
    import matplotlib.style

    with matplotlib.style.context("dark_background"):
        assert report.to_html() == html


def test_a_browser_renders_it_without_an_error_and_without_a_request(visit, path):
    page = visit()
    assert page.noted == []
    assert page.asked == [path.as_uri()]
    assert page.evaluate("window.hacked") is None
    assert page.locator("h2").all_inner_texts()[0] == "Step 1: the cost function"
    for svg in page.locator("svg").all():
        box = svg.bounding_box()
        assert box["width"] > 300
        assert box["height"] > 150


def test_names_with_markup_are_shown_as_they_are(visit):
    page = visit()
    assert page.inner_text("h1") == SCRIPT
    cells = page.locator("tbody th").all_inner_texts()
    assert {" ".join(name.split()) for name in NAMES} <= set(cells)


def test_it_fits_a_phone(visit):
    page = visit(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("getComputedStyle(document.querySelector('p')).fontSize") == "16px"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_in_light_and_in_dark(visit, scheme):
    page = visit(color_scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    least = page.evaluate(CONTRAST)
    assert least["ratio"] >= 4.5, least


@pytest.mark.parametrize(("ink", "paper"), [("#212121", "#ffffff"), ("#d4d4d4", "#1e1e1e")])
def test_texts_stand_out_in_a_notebook_of_any_colour(visit, report, tmp_path, ink, paper):
    path = tmp_path / "notebook.html"
    body = f'<body style="color:{ink};background:{paper}">{report._repr_html_()}</body>'
    path.write_text(f"<!doctype html><meta charset=utf-8>{body}", encoding="utf-8")
    page = visit(path)
    least = page.evaluate(CONTRAST)
    assert least["ratio"] >= 4.5, least


def test_figures_of_a_table_are_not_broken(visit, tmp_path):
    path = tmp_path / "table.html"
    figures = [
        {"column": "a long name of a column that may well be broken " * 3, "p": 7.078e-14, "share": "0.0% to 0.0%"}
    ]
    Report([StepRecord(6, "drift", "none", "", {"columns": figures})]).to_html(path)
    cells = visit(path, viewport={"width": 360, "height": 700}).locator("tbody td").all()
    assert [cell.evaluate("e => getComputedStyle(e).whiteSpace") for cell in cells] == ["nowrap", "nowrap"]


def test_a_name_that_looks_like_an_id_stays_as_it_is():
    X, _ = load_diabetes(return_X_y=True)
    frame = pd.DataFrame(X[:, :1], columns=['a id="q" b'])
    drift = DriftDetector().fit(frame).check(frame + 1)
    assert 'a id="q" b</text>' in Report().add(drift).to_html()


def test_names_in_any_script_are_drawn_without_a_warning():
    X, _ = load_diabetes(return_X_y=True)
    frame = pd.DataFrame(X[:, :1], columns=["年龄"])
    assert "年龄</text>" in Report().add(DriftDetector().fit(frame).check(frame + 1)).to_html()


def test_a_link_leads_to_its_step(visit):
    page = visit(viewport={"width": 800, "height": 600})
    page.click("nav a[href='#step-4']")
    assert page.evaluate("document.querySelector('#step-4').getBoundingClientRect().top") < 600


def test_without_matplotlib_the_pictures_are_left_out_and_it_is_said(report, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    html = report.to_html()
    assert "<svg" not in html
    assert "they need matplotlib" in html
