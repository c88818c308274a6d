"""The check of links finds those that lead nowhere, and no others."""

import pytest


@pytest.fixture
def site(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "picture.svg").write_text("<svg/>")
    (tmp_path / "deep" / "page.html").write_text('<h1 id="here">Here</h1><a href="../index.html#top">up</a>')
    return tmp_path


GOOD = (
    "deep/page.html",
    "deep/page.html#here",
    "#own",
    "picture.svg",
    "https://example.org/a#b",
    "mailto:a@example.org",
)
BAD = (
    "gone.html",
    "deep/page.html#gone",
    "#gone",
    "gone.svg",
    "https:/example.org",
    "http://nowhere",
    "ftp://a.b",
    "deep",
)


@pytest.mark.parametrize("link", GOOD)
def test_a_link_that_leads_somewhere_passes(script, site, link):
    (site / "index.html").write_text(f'<p id="own"><a href="{link}">a link</a><img src="picture.svg"></p>')
    assert script("check_links.py").broken_links(site) == []


@pytest.mark.parametrize("link", BAD)
@pytest.mark.parametrize("tag", ['<a href="{}">', '<img src="{}">'], ids=["a", "img"])
def test_a_link_that_leads_nowhere_is_found(script, site, link, tag):
    (site / "index.html").write_text(tag.format(link))
    assert script("check_links.py").broken_links(site) == [("index.html", link)]
