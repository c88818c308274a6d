"""CSV files as people have them, and as accidents leave them."""

from __future__ import annotations

from hypothesis import strategies as st

CELLS = (
    *("1", "2.5", "-3e4", "1e400", "nan", "inf", "", " ", "NA", "None", "true", "False", "red", "green", "2026-01-01"),
    *('"a, b"', '"he said ""no"""', "'x'", "1,5", "0x1F", "1_000", "é", "日本", "\u200b", "=1+1", "#N/A", "1" * 400),
)
NAMES = ("a", "b", "c", "y", "y", "a", "", " y", '"y"', "Unnamed: 0", "1", "é", "y;z", "index", "y\ty")
ENDINGS = ("\n", "\r\n", "\r", "\n\n")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-32")
# Bytes that no CSV file should have, and some that change what others mean.
ACCIDENTS = (
    b"\x00",
    b'"',
    b"'",
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\x1a",
    b"\x80",
    b"\\",
)


def _column(kind: str, n_rows: int) -> list[str]:
    """Values that belong together, so that many files can be used."""
    make = {
        "numbers": lambda i: f"{i * 7 % 11 / 3:.3f}",
        "whole": lambda i: str(i * 5 % 7),
        "classes": lambda i: ("no", "yes", "maybe")[i % 3],
        "flags": lambda i: ("True", "False")[i * 3 % 2],
        "gaps": lambda i: "" if i % 4 == 0 else str(i),
        "numbered": str,
    }[kind]
    return [make(i) for i in range(n_rows)]


@st.composite
def csv_files(draw) -> bytes:
    """Bytes of a file: a table of sensible columns, of which some cells, rows and bytes were spoilt, or any bytes."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    n_rows = draw(st.sampled_from([25, 25, 25, 25, 60, 0, 1, 19]))
    any_kinds = st.lists(st.sampled_from(["numbers", "whole", "classes", "flags", "gaps", "numbered"]), max_size=4)
    kinds = draw(st.one_of(st.just(["numbers", "classes", "flags"]), any_kinds))
    columns = [
        _column(kind, n_rows) for kind in [*kinds, draw(st.sampled_from(["numbers", "classes", "whole", "flags"]))]
    ]
    names = [f"c{i}" for i in range(len(kinds))] + ["y"]
    if draw(st.integers(0, 3)) == 3:
        names[draw(st.integers(0, len(names) - 1))] = draw(st.sampled_from(NAMES))
    rows = [names, *map(list, zip(*columns, strict=True))]
    for _ in range(draw(st.sampled_from([0, 0, 1, 2, 5]))):
        row = rows[draw(st.integers(0, len(rows) - 1))]
        act = draw(st.sampled_from(["replace", "replace", "longer", "shorter"]))
        if act == "longer":
            row.append(draw(st.sampled_from(CELLS)))
        elif row and act == "shorter":
            row.pop()
        elif row:
            row[draw(st.integers(0, len(row) - 1))] = draw(st.sampled_from(CELLS))
    separator = draw(st.sampled_from([*[","] * 6, ";", "\t", "|", ", "]))
    text = draw(st.sampled_from(ENDINGS)).join(
        separator.join(row) for row in rows[draw(st.sampled_from([0] * 9 + [1])) :]
    )
    content = bytearray(text.encode(draw(st.sampled_from([*["utf-8"] * 12, *ENCODINGS])), errors="replace"))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        place = draw(st.integers(0, len(content)))
        content[place : place + draw(st.integers(0, 2))] = draw(st.sampled_from(ACCIDENTS))
    return bytes(content[: draw(st.sampled_from([len(content)] * 9 + [len(content) // 2]))])
