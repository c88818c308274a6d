"""Measurements and where they are shown: what a benchmark prints is kept in docs/benchmarks/results.

    python docs/benchmarks/results.py keep threads -- python docs/benchmarks/threads.py
    python docs/benchmarks/results.py show

``keep`` runs a command and keeps the Markdown tables that it prints, as results/threads.json, with the command, the day
and the versions. ``show`` puts what is kept into the pages, where a comment names it: ``<!-- threads -->`` for the
first table of results/threads.json, ``<!-- threads 2 -->`` for the second, ``<!-- threads: command -->`` for how it was
measured. A table that gathers several runs is written into its file by hand.
"""

import argparse
import datetime
import json
import re
import shlex
import subprocess
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGES = sorted(HERE.parent.glob("*.md"))
SHOWN = re.compile(r"^<!-- (\w+)(?: (\d+)|(: command))? -->\n(?:\n(?:(?:\||    ).*\n)+)?", re.MULTILINE)
TABLE = re.compile(r"^\|.*\|\n\|[-:| ]+\|\n(?:\|.*\|\n?)*", re.MULTILINE)
NUMBER = re.compile(r"[-+]?\d[\d,.]*(e-?\d+)?|")
PACKAGES = ("torch", "scikit-learn", "skorch", "numpy")


def tables(printed):
    """Columns and rows of all Markdown tables in a text."""
    found = []
    for text in TABLE.findall(printed):
        columns, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines())
        found.append({"columns": columns, "rows": rows})
    return found


def markdown(table):
    """A table as Markdown; columns of nothing but numbers are on the right."""
    right = [all(NUMBER.fullmatch(cell) for cell in column) for column in zip(*table["rows"], strict=True)]
    rule = "|".join("---:" if own else "---" for own in right)
    lines = [f"| {' | '.join(row)} |" for row in (table["columns"], *table["rows"])]
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]]) + "\n"


def how(result):
    """How a result was measured, as a block of code."""
    tools = "".join(f", {name} {number}" for name, number in result["versions"].items())
    return "".join(f"    {line}\n" for line in [*result["command"], f"# {result['date']}{tools}"])


def shown(text, folder=HERE / "results"):
    """The text of a page with all tables and commands as they are kept."""

    def show(match):
        name, place, command = match.groups()
        result = json.loads((folder / f"{name}.json").read_text())
        if command:
            return f"<!-- {name}: command -->\n\n{how(result)}"
        return match[0].split("\n")[0] + "\n\n" + markdown(result["tables"][int(place or 1) - 1])

    return SHOWN.sub(show, text)


def keep(name, command, folder=HERE / "results"):
    """Run a command and keep the tables that it prints."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        printed = "".join(print(line, end="", flush=True) or line for line in process.stdout)
    found = tables(printed)
    if process.returncode or not found:
        raise SystemExit(f"{shlex.join(command)} printed {len(found)} tables and ended with {process.returncode}")
    versions = {package: version(package) for package in PACKAGES}
    save(folder / f"{name}.json", [shlex.join(command)], datetime.date.today().isoformat(), versions, found)


def save(path, command, date, versions, tables):
    """Write a result, a row on a line."""
    result = {"command": command, "date": date, "versions": versions, "tables": tables}
    text = json.dumps(result, indent=1, ensure_ascii=False)
    path.write_text(re.sub(r"\[\n +([^\[\]]*?)\n +\]", _on_one_line, text) + "\n")


def _on_one_line(match):
    """A list of cells without line breaks."""
    return "[" + re.sub(r",\n +", ", ", match[1]) + "]"


def main():
    """Keep a result, or show all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    subparsers = parser.add_subparsers(dest="action", required=True)
    keeping = subparsers.add_parser("keep", help="run a command and keep the tables that it prints")
    keeping.add_argument("name")
    keeping.add_argument("command", nargs="+")
    subparsers.add_parser("show", help="put what is kept into the pages")
    arguments = parser.parse_args()
    if arguments.action == "keep":
        keep(arguments.name, arguments.command)
    for page in PAGES:
        page.write_text(shown(page.read_text()))


if __name__ == "__main__":
    main()
