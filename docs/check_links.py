"""Check every link within built pages, without a network: ``python docs/check_links.py SITE``.

What leads to a page, a picture or another file of the site must be there, with the heading that is named. Of other
addresses only the form is looked at.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], {"", "top"}
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        """Note both."""
        attributes = dict(attrs)
        self.anchors |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        self.links += [attributes[name] for name in ("href", "src") if attributes.get(name)]


def is_an_address(link):
    """Whether a link out of the site has the form of one."""
    parts = urlsplit(link)
    return (parts.scheme in ("http", "https") and "." in parts.netloc) or (parts.scheme == "mailto" and "@" in link)


def broken_links(site):
    """(page, link) of all links that lead nowhere."""
    site = site.resolve()
    pages = {path: Page(path) for path in sorted(set(site.rglob("*.html")) - set(site.glob("_static/**/*.html")))}
    return [
        (str(path.relative_to(site)), link)
        for path, page in pages.items()
        for link in page.links
        if not _leads_somewhere(link, path, pages)
    ]


def _leads_somewhere(link, path, pages):
    """Whether a link on a page is an address, or a file that is there, with the anchor if it is a page."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return is_an_address(link)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target in pages:
        return unquote(parts.fragment) in pages[target].anchors
    return target.is_file()


if __name__ == "__main__":
    found = broken_links(Path(sys.argv[1]))
    for page, link in found:
        print(f"{page}: {link}")
    sys.exit(f"{len(found)} broken links" if found else 0)
