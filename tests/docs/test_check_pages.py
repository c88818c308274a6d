"""The look at pages in a browser finds what is wrong with them, and nothing else."""

DARK = "@media (prefers-color-scheme: dark) {body {background: #111}}"
HEAD = f"<meta charset='utf-8'><style>body {{background: #fff; margin: 0}} {DARK}</style>"
WRONG = {
    "an error": ("<script>nothing.at.all</script>", "error: "),
    "a console": ("<script>console.error('careful')</script>", "error: careful"),
    "a request": ("<script src='http://127.0.0.1:9/a.js'></script>", "asks for http://127.0.0.1:9/a.js"),
    "a picture": ("<img src='gone.png'>", "no picture: "),
    "a wide text": ("<article><p style='width: 400px'>Wide</p></article>", "cut off: Wide"),
    "one scheme": ("<style>body {background: white !important}</style>", "the background is of the other scheme"),
}


def test_each_fault_is_found_and_a_good_page_has_none(script, browser, tmp_path):
    site, pictures = tmp_path / "site", tmp_path / "pictures"
    pictures.mkdir()
    site.mkdir()
    (site / "good.html").write_text(f"{HEAD}<article><p>Good</p><pre>{'long ' * 99}</pre></article>")
    for name, (body, _) in WRONG.items():
        (site / f"{name}.html").write_text(f"{HEAD}{body}")
    found = {}
    for name, _, _, wrong in script("check_pages.py").look_at_all(browser, site, pictures):
        found.setdefault(name, []).append(wrong)
    assert set(found) == set(WRONG)
    for name, (_, expected) in WRONG.items():
        assert any(wrong.startswith(expected) for wrong in found[name]), found[name]
    assert (pictures / "good-360-dark.png").exists()
