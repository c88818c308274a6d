"""Look at all built pages in a browser: ``python docs/check_pages.py SITE [PICTURES]``.

Each page is opened on a screen in light and on a phone in dark. None may report an error, ask for anything outside the
site, lack a picture, or have text that the window cuts off. With a second folder, pictures of what was seen are left
there.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

WINDOWS = ((1280, "light"), (360, "dark"))
GRAVE = ("error", "warning")
PATIENCE = 120_000  # milliseconds, for machines that are busy
LACKING = "() => [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
CUT = """() => [...document.querySelectorAll("article :is(h1, h2, h3, p, dt, li), .prev-next-area i")]
    .filter(e => e.getBoundingClientRect().right > innerWidth && !e.closest("table, pre"))
    .map(e => e.innerText.slice(0, 40) || e.className)"""
BACKGROUND = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"


def look(context, site, path, scheme, picture):
    """What is wrong with a page."""
    page, wrong = context.new_page(), []
    page.on("console", lambda message: message.type in GRAVE and wrong.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("request", lambda request: request.url.startswith(site.as_uri()) or wrong.append(f"asks for {request.url}"))
    page.goto(path.as_uri())
    wrong += [f"no picture: {source}" for source in page.evaluate(LACKING)]
    wrong += [f"cut off: {text}" for text in page.evaluate(CUT)]
    if (sum(page.evaluate(BACKGROUND)) < 3 * 128) != (scheme == "dark"):
        wrong.append("the background is of the other scheme")
    if picture:
        page.screenshot(path=picture, full_page=True)
    page.close()
    return wrong


def look_at_all(browser, site, pictures=None):
    """(page, window, what is wrong) of all pages."""
    found = []
    for width, scheme in WINDOWS:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(PATIENCE)
        for path in sorted(set(site.rglob("*.html")) - set(site.glob("_static/**/*.html"))):
            name = path.relative_to(site).with_suffix("").as_posix()
            picture = pictures and pictures / f"{name.replace('/', '-')}-{width}-{scheme}.png"
            found += [(name, width, scheme, wrong) for wrong in look(context, site, path, scheme, picture)]
        context.close()
    return found


if __name__ == "__main__":
    folders = [Path(folder).resolve() for folder in sys.argv[1:]]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        found = look_at_all(browser, *folders)
        browser.close()
    for name, width, scheme, wrong in found:
        print(f"{name}, {width} pixels, {scheme}: {wrong}")
    sys.exit(f"{len(found)} things are wrong" if found else 0)
