"""Tables of figures: what is kept is what the pages show."""

import json
import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
PRINTING = "print('two lines:'); print('| a | b |\\n|---|---|\\n| 1 | x |\\n| 2.5 |  |\\n\\n| c |\\n|---|\\n| 3 |')"


@pytest.fixture(scope="module")
def results(script):
    return script("benchmarks/results.py")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_what_is_kept(results, page):
    assert results.shown(page.read_text()) == page.read_text()


def test_all_that_is_kept_is_shown(results):
    text = "\n".join(page.read_text() for page in PAGES)
    shown = {(name, int(place or 1)) for name, place, command in results.SHOWN.findall(text) if not command}
    kept = {path.stem: len(json.loads(path.read_text())["tables"]) for path in (DOCS / "benchmarks/results").iterdir()}
    assert shown == {(name, place + 1) for name, n in kept.items() for place in range(n)}


def test_what_a_command_prints_is_kept_with_where_it_came_from_and_shown(results, tmp_path, capsys):
    results.keep("trial", [sys.executable, "-c", PRINTING], tmp_path)
    assert "two lines:" in capsys.readouterr().out
    kept = json.loads((tmp_path / "trial.json").read_text())
    assert kept["command"][0].startswith(sys.executable)
    assert set(kept["versions"]) == set(results.PACKAGES)
    page = "Before\n\n<!-- trial -->\n\n| old |\n\nBetween\n\n<!-- trial 2 -->\n\n<!-- trial: command -->\n\nAfter\n"
    shown = results.shown(page, tmp_path)
    assert "<!-- trial -->\n\n| a | b |\n|---:|---|\n| 1 | x |\n| 2.5 |  |\n\nBetween" in shown
    assert "<!-- trial 2 -->\n\n| c |\n|---:|\n| 3 |\n" in shown
    assert re.search(
        rf"command -->\n\n    {re.escape(sys.executable)} -c .*\n    # \d+-\d\d-\d\d, torch .*\n\nAfter", shown
    )
    assert results.shown(shown, tmp_path) == shown


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "print('no table')", PRINTING + "; raise SystemExit(3)"])
def test_a_command_that_fails_or_prints_no_table_is_an_error_and_keeps_nothing(results, tmp_path, code):
    with pytest.raises(SystemExit, match="tables and ended with"):
        results.keep("trial", [sys.executable, "-c", code], tmp_path)
    assert not list(tmp_path.iterdir())
