"""A report as a page of its own, or as a part of a notebook's page."""

from __future__ import annotations

import zlib
from dataclasses import replace
from html import escape

from sk_dlsteps.plan import StepRecord
from sk_dlsteps.report.checklist import ChecklistItem
from sk_dlsteps.report.figures import capital, split_figures
from sk_dlsteps.report.outline import Outline, Picture, Section
from sk_dlsteps.report.pictures import as_svg

# Nothing is loaded and nothing runs, whatever a page may hold.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
# Characters of a cell that is text rather than a figure.
_LONG = 24
_WORDS = {"done": "done", "open": "not done", "not applicable": "does not apply"}
# Everything is written with the ink and paper of the page around, so that it is right on dark ones too.
_STYLE = """
.sk-dlsteps { --line: color-mix(in srgb, currentColor 22%, transparent); --paper: transparent;
  --main: color-mix(in srgb, #2f7fc1 72%, currentColor); --other: color-mix(in srgb, #7a8290 62%, currentColor);
  --mark: color-mix(in srgb, #d1495b 72%, currentColor); --faint: #8fb3d1;
  color: inherit; font: 16px/1.55 system-ui, sans-serif; max-width: 52rem; overflow-wrap: anywhere; }
.sk-dlsteps h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; }
.sk-dlsteps h2 { font-size: 1.3rem; line-height: 1.3; margin: 2.2rem 0 .6rem; padding-top: .8rem;
  border-top: 1px solid var(--line); }
.sk-dlsteps h3 { font-size: 1rem; margin: 1.3rem 0 .2rem; }
.sk-dlsteps p { margin: .2rem 0; }
.sk-dlsteps .decision { font-weight: 600; }
.sk-dlsteps nav ol { list-style: none; display: flex; flex-wrap: wrap; gap: .4rem; padding: 0; margin: 1rem 0 0; }
.sk-dlsteps nav a { display: block; padding: .3rem .7rem; border: 1px solid var(--line); border-radius: 1rem;
  color: inherit; text-decoration: none; }
.sk-dlsteps nav a:hover, .sk-dlsteps nav a:focus { text-decoration: underline; }
.sk-dlsteps .open { border-style: dashed; }
.sk-dlsteps dl { display: grid; grid-template-columns: fit-content(45%) 1fr; gap: .1rem .9rem; margin: .4rem 0; }
.sk-dlsteps dt { opacity: .8; } .sk-dlsteps dd { margin: 0; }
.sk-dlsteps .scroll { overflow-x: auto; margin: .6rem 0; }
.sk-dlsteps table { border-collapse: collapse; color: inherit; font-size: .9rem; background: none; }
.sk-dlsteps caption { text-align: left; font-weight: 600; padding-bottom: .2rem; }
.sk-dlsteps th, .sk-dlsteps td { padding: .2rem .7rem .2rem 0; border-bottom: 1px solid var(--line);
  text-align: right; overflow-wrap: normal; white-space: nowrap; }
.sk-dlsteps .long { white-space: normal; min-width: 14rem; text-align: left; }
.sk-dlsteps th:first-child, .sk-dlsteps td:first-child { text-align: left; }
.sk-dlsteps figure { margin: 1rem 0; } .sk-dlsteps figcaption { font-size: .9rem; opacity: .85; }
.sk-dlsteps svg { display: block; width: 100%; min-width: 27rem; max-width: 40rem; height: auto;
  color: inherit; }
.sk-dlsteps svg text:not([style*="fill"]) { fill: currentColor; }
.sk-dlsteps .checklist { list-style: none; padding: 0; margin: .3rem 0; columns: 20rem; }
.sk-dlsteps .checklist li { break-inside: avoid; padding-left: 1.5rem; text-indent: -1.5rem; }
.sk-dlsteps .mark { display: inline-block; width: 1.5rem; text-indent: 0; }
.sk-dlsteps .note { opacity: .8; }
.sk-dlsteps .visually-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
""".strip()
_PAGE_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; padding: 1.2rem; background: #fff; color: #1b1f24; }
.sk-dlsteps { margin: 0 auto; --paper: #fff; }
@media (prefers-color-scheme: dark) {
  body { background: #14171b; color: #e4e7eb; }
  .sk-dlsteps { --paper: #14171b; --faint: #46637c; }
}
@media print { .sk-dlsteps nav { display: none; } .sk-dlsteps figure, .sk-dlsteps table { break-inside: avoid; } }
""".strip()
_MARKS = {"done": "✓", "open": "○", "not applicable": "·"}


def as_page(outline: Outline) -> str:
    """Render as a page that needs nothing from outside and runs no script.

    Parameters
    ----------
    outline : Outline
        What the report says.

    Returns
    -------
    html : str
        It is readable on a phone, in light and dark, and for a screen reader; everything of the user's is escaped.

    """
    outline = outline if outline.title else replace(outline, title="Report")
    title = escape(outline.title)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{_STYLE}\n{_PAGE_STYLE}\n</style>\n</head>\n<body>\n"
        f'<main class="sk-dlsteps">\n{_content(outline, "")}\n</main>\n</body>\n</html>\n'
    )


def as_fragment(outline: Outline) -> str:
    """Render for a notebook, in the colours of its page.

    Parameters
    ----------
    outline : Outline
        What the report says.

    Returns
    -------
    html : str
        An element and its style, which touches nothing else.

    """
    content = _content(outline, "")
    # Several reports of a notebook must not share their anchors.
    prefix = f"r{zlib.crc32(content.encode('utf-8', 'surrogatepass')):08x}-"
    return f'<style>\n{_STYLE}\n</style>\n<div class="sk-dlsteps">\n{_content(outline, prefix)}\n</div>\n'


def _content(outline: Outline, prefix: str) -> str:
    """The headings, the way to each step, and the steps."""
    title = f"<h1>{escape(outline.title)}</h1>\n" if outline.title else ""
    summary = f"<p>{escape(outline.summary)}</p>\n" if outline.summary else ""
    sections = "\n".join(_section(section, prefix) for section in outline.sections)
    navigation = _navigation(outline.sections, prefix) if len(outline.sections) > 1 else ""
    return f"<header>\n{title}{summary}{navigation}</header>\n{sections}"


def _navigation(sections: tuple[Section, ...], prefix: str) -> str:
    """Links to the steps."""
    links = "".join(
        f'<li><a class="{section.state}" href="#{prefix}step-{section.number}">Step {section.number} '
        f'<span aria-hidden="true">{_MARKS[section.state]}</span>'
        f'<span class="visually-hidden">{_WORDS[section.state]}</span></a></li>'
        for section in sections
    )
    return f'<nav aria-label="Steps"><ol>{links}</ol></nav>\n'


def _section(section: Section, prefix: str) -> str:
    """A step: its records, its pictures, and its part of the checklist."""
    anchor = f"{prefix}step-{section.number}"
    parts = [f'<section aria-labelledby="{anchor}">\n<h2 id="{anchor}">{escape(section.heading)}</h2>']
    parts += [_record(record) for record in section.records]
    pictures = [_figure(picture, f"{anchor}-{i}-") for i, picture in enumerate(section.pictures)]
    if pictures and not any(pictures):
        pictures = ['<p class="note">Pictures are left out: they need matplotlib.</p>']
    parts += pictures
    if section.checklist:
        items = "\n".join(map(_item, section.checklist))
        parts.append(f'<h3>Checklist</h3>\n<ul class="checklist" role="list">\n{items}\n</ul>')
    return "\n".join([*filter(None, parts), "</section>"])


def _record(record: StepRecord) -> str:
    """A decision, its reason, its figures and its tables."""
    parts = [f"<h3>{escape(capital(record.title))}</h3>", f'<p class="decision">{escape(record.decision)}</p>']
    if record.because:
        parts.append(f"<p>because {escape(record.because)}</p>")
    figures, tables = split_figures(record.evidence)
    if figures:
        rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in figures.items())
        parts.append(f"<dl>{rows}</dl>")
    parts += [_table(name, cells) for name, cells in tables.items()]
    return "\n".join(parts)


def _table(name: str, cells: list[list[str]]) -> str:
    """A table that scrolls by itself where it is wider than the page."""
    header, *rows = cells
    head = "".join(f'<th scope="col"{_length(cell)}>{escape(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row"{_length(row[0])}>{escape(row[0])}</th>'
        + "".join(f"<td{_length(cell)}>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    label = escape(capital(name), quote=True)
    return (
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0"><table><caption>{label}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _length(cell: str) -> str:
    """What marks a cell of a long text, which may be broken; figures may not."""
    return ' class="long"' if len(cell) > _LONG else ""


def _figure(picture: Picture, prefix: str) -> str:
    """A picture and what it shows; nothing without matplotlib."""
    svg = as_svg(picture, prefix)
    if svg is None:
        return ""
    caption = escape(picture.caption, quote=True)
    scrolled = f'<div class="scroll" role="region" aria-label="{caption}" tabindex="0">\n{svg}\n</div>'
    return f"<figure>\n{scrolled}\n<figcaption>{caption}</figcaption>\n</figure>"


def _item(item: ChecklistItem) -> str:
    """A mark, what it stands for, and a note."""
    note = f' <span class="note">{escape(item.note)}</span>' if item.note else ""
    return (
        f'<li><span class="mark" aria-hidden="true">{_MARKS[item.state]}</span>'
        f'<span class="visually-hidden">{_WORDS[item.state]}: </span>{escape(item.name)}{note}</li>'
    )
