"""The README and the pages under docs: their code runs, their figures are the code's, their links lead somewhere."""

import ast
import contextlib
import importlib
import inspect
import io
import re
import shlex
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

import sk_dlsteps
from sk_dlsteps import StepwiseClassifier, StepwiseRegressor
from sk_dlsteps.__main__ import main

# Counting lines would double the time, and no line counts for being part of an example.
pytestmark = pytest.mark.no_cover
ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PICTURES = sorted((ROOT / "docs" / "images").iterdir())
BLOCK = re.compile(r"^```([\w{}-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of the fenced blocks of a page."""
    return BLOCK.findall(page.read_text())


def rows(text: str) -> list[list[str]]:
    """Cells of all lines of tables, without the code marks of whole cells."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def assert_alike(shown: str, printed: str) -> None:
    """The words are equal; numbers may differ as much as another machine may make them."""
    assert NUMBER.sub("#", shown).split() == NUMBER.sub("#", printed).split()
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (shown, printed)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.3, abs=0.03)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_a_page_runs_and_prints_what_the_page_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace, printed = {"__name__": "__main__"}, ""
    with mpl.rc_context({"backend": "Agg"}):
        for language, text in blocks(page):
            if language == "text":
                assert_alike(text, printed)
            elif language == "python":
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    exec(compile(text, page.name, "exec"), namespace)
                printed = out.getvalue()
            elif language == "sh":
                for line in text.splitlines():
                    if line.startswith("python -m sk_dlsteps "):
                        assert main([*shlex.split(line)[3:], "--quiet"]) == 0
        plt.close("all")


def test_the_readme_gives_the_two_commands_word_for_word():
    commands = [line for line in PAGES[0].read_text().splitlines() if line.startswith("    pip install -e")]
    assert commands == ["    pip install -e . && python -m sk_dlsteps", '    pip install -e ".[test]" && pytest']


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_to_a_file_and_a_heading(page):
    for link in LINK.findall(BLOCK.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name}: {link}"
        if heading:
            headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", target.read_text()), re.MULTILINE)
            anchors = [re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings]
            assert heading in anchors, f"{page.name}: {link}"


def empty_headings(text: str) -> list[str]:
    """Headings of a page below which there is nothing, neither text nor a heading of a lower level."""
    # Code may hold lines that look like headings.
    parts = re.split(r"^(#+ .*)$", BLOCK.sub("code\n", text), flags=re.MULTILINE)
    levels = [heading.index(" ") for heading in parts[1::2]]
    deeper = [after > level for level, after in zip(levels, [*levels[1:], 0], strict=True)]
    return [
        heading
        for heading, below, has_deeper in zip(parts[1::2], parts[2::2], deeper, strict=True)
        if not below.strip() and not has_deeper
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_something_stands_below_every_heading_of_those_pages(page):
    assert empty_headings(page.read_text()) == []


def test_a_heading_with_nothing_below_is_found():
    page = "# Page\n\n## One\n\n```sh\n# no heading\n```\n\n## Two\n\n### Three\n\ntext\n\n## Four\n\n## Five\n"
    assert empty_headings(page) == ["## Four", "## Five"]


@pytest.mark.parametrize("name", sk_dlsteps.__all__)
def test_every_public_name_has_a_heading_in_the_api_page(name):
    assert re.search(rf"^#+ `{name}`", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)


def test_the_api_page_gives_every_parameter_with_its_default():
    text = (ROOT / "docs" / "api.md").read_text()
    section = text[text.index("## Parameters") : text.index("## Fitted attributes")]
    documented = {row[0]: row[1] for row in rows(section)}
    for estimator in (StepwiseClassifier, StepwiseRegressor):
        for name, parameter in inspect.signature(estimator).parameters.items():
            assert ast.literal_eval(documented[name]) == parameter.default, name


@pytest.mark.parametrize("kind", [StepwiseClassifier, StepwiseRegressor])
def test_the_api_page_names_every_fitted_attribute(kind, iris):
    X_train, _, y_train, _ = iris
    model = kind(n_estimators=1, max_epochs=1, learning_rate=0.01, random_state=0).fit(X_train, y_train)
    documented = {row[0] for row in rows((ROOT / "docs" / "api.md").read_text())}
    assert {name for name in vars(model) if name.endswith("_")} <= documented


CONSTANTS = [
    pytest.param(row[0], row[1], id=row[0])
    for page in PAGES
    for row in rows(page.read_text())
    if re.match(r"(?:\w+\.)+[A-Z]\w*", row[0])
]


@pytest.mark.parametrize(("name", "value"), CONSTANTS)
def test_a_constant_in_a_table_is_the_code_s(name, value):
    path = re.match(r"[a-z0-9_.]+\b(?=\.)", name)[0]
    module = importlib.import_module(f"sk_dlsteps.{path}")
    found = eval(name.removeprefix(path + "."), vars(module))
    assert ast.literal_eval(value.replace("`", "")) == (tuple(found) if isinstance(found, tuple) else found)


def test_the_tables_hold_the_constants_of_the_default_recipe():
    names = {parameter.values[0] for parameter in CONSTANTS}
    assert {
        "step2_architecture.hidden_units.FLOOR",
        "step3_training.budget.N_STEPS",
        "step3_training.budget.N_NETWORKS",
    } <= names


@pytest.mark.parametrize("kept", PICTURES, ids=lambda path: path.stem)
def test_the_picture_is_the_one_that_its_script_draws(kept, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    drawn = getattr(importlib.import_module("make_images"), f"draw_{kept.stem}")(tmp_path)
    texts = ["\n".join(re.findall("<!-- (.*) -->", path.read_text())) for path in (kept, drawn)]
    assert_alike(*texts)
    assert len(kept.read_bytes()) < 64_000
