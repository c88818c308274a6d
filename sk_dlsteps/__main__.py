"""The main job: ``python -m sk_dlsteps [DATA.csv --target COLUMN]``."""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from sk_dlsteps.inputs.table import NewRows, Table, TableError, read_new_rows, read_table
from sk_dlsteps.report import progress
from sk_dlsteps.walkthrough import Walk, embedded_tables, save_walk, walk_through

INTERRUPTED, MISUSED = 130, 2


class _UsageError(Exception):
    """Something in the command line that cannot be done; one line that says what to do."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Walk the six steps on a CSV file, or on two data sets that come with scikit-learn.

    Parameters
    ----------
    argv : sequence of str, default=None
        The command line's arguments; those of the process by default.

    Returns
    -------
    status : int
        0, 2 after an error of the user's, 130 after Ctrl-C.

    Examples
    --------
    >>> main(["no_such_file.csv", "--target", "y"])
    2

    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return _run(_parser().parse_args(argv))
    except (_UsageError, TableError) as error:
        progress.clear()
        print(f"sk_dlsteps: error: {error}", file=sys.stderr)
        return MISUSED
    except KeyboardInterrupt:
        progress.clear()
        print("sk_dlsteps: interrupted; what was not finished was not kept", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone; Python must not complain again while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    """What the command line may hold."""
    parser = _Parser(
        prog="sk_dlsteps",
        description="Walk the six steps of a deep-learning project on a table: from the cost function to what to "
        "watch in the real world. Without DATA.csv, on two data sets that come with scikit-learn.",
        allow_abbrev=False,
    )
    parser.add_argument("data", metavar="DATA.csv", nargs="?", help="a table with a line of column names")
    parser.add_argument("--target", metavar="COLUMN", help="the column to predict")
    parser.add_argument(
        "--task", choices=["regression", "classification"], help="what to do (default: guessed from the target)"
    )
    parser.add_argument(
        "--search",
        choices=["ladder", "random"],
        help="step 4: climb the article's ladder, or try candidates at random, and keep the best (default: neither)",
    )
    parser.add_argument(
        "--budget",
        metavar="TIME",
        type=_seconds,
        help="of the ladder, such as 60s, 5m or 1h: no rung is begun that would not end within it (default: no limit)",
    )
    parser.add_argument(
        "--new-data",
        metavar="LATER.csv",
        help="step 6: rows from the real world, with or without the target, to be compared with those of DATA.csv",
    )
    parser.add_argument(
        "--out", metavar="DIR", help="keep model.joblib, report.html, report.md and learning_rate.png there"
    )
    parser.add_argument(
        "--test-size",
        metavar="SHARE",
        type=_share,
        default=0.2,
        help="share of the rows kept for step 5 (default: 0.2)",
    )
    parser.add_argument("--seed", metavar="N", type=_seed, default=0, help="of everything that is drawn (default: 0)")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    return parser


def _share(text: str) -> float:
    """A number between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be a number between 0 and 1, got {text!r}")
    return value


def _seconds(text: str) -> float:
    """Seconds from a number with a unit; seconds if it has none."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([smh]?)", text.strip())
    if found is None or float(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"must be a time above 0 such as 60s, 5m or 1h, got {text!r}")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def _seed(text: str) -> int:
    """A seed that numpy and torch take."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2**32 - 1, got {text!r}")
    return int(text)


def _run(options: Any) -> int:
    """Read, walk, show and keep."""
    if options.budget is not None and options.search != "ladder":
        raise _UsageError("--budget bounds the ladder: say --search ladder as well")
    out = None if options.out is None else Path(options.out)
    tables = _tables(options)
    later = None if options.new_data is None else _later(options.new_data, tables[0])
    if out is not None:
        _check_writable(out)
    for table in tables:
        callbacks = None if options.quiet else [progress.Progress(table.name)]
        announce = None if options.quiet else progress.announce
        walk = walk_through(
            table,
            test_size=options.test_size,
            seed=options.seed,
            search=options.search,
            max_seconds=options.budget,
            later=later,
            callbacks=callbacks,
            announce=announce,
        )
        progress.clear()
        print(walk.report.to_text(), flush=True)
        if out is not None:
            _keep(walk, out if len(tables) == 1 else out / table.name)
    return 0


def _tables(options: Any) -> tuple[Table, ...]:
    """The CSV file, or the embedded data sets."""
    if options.data is None:
        of_a_file = {"--target": options.target, "--task": options.task, "--new-data": options.new_data}
        given = [name for name, value in of_a_file.items() if value is not None]
        if given:
            raise _UsageError(f"{' and '.join(given)} need a CSV file: sk_dlsteps DATA.csv --target COLUMN")
        return embedded_tables()
    try:
        return (read_table(options.data, options.target, options.task),)
    except ImportError as error:
        raise _UsageError(str(error)) from error


def _later(path: str, table: Table) -> NewRows:
    """The later file."""
    try:
        return read_new_rows(path, table)
    except ImportError as error:
        raise _UsageError(str(error)) from error


def _check_writable(out: Path) -> None:
    """Raise before the work begins if the folder cannot be written after it."""
    existing = out
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        problem = "cannot be written" if existing.is_dir() else "is no folder"
        raise _UsageError(f"--out {out}: {existing} {problem}; choose another folder")


def _keep(walk: Walk, folder: Path) -> None:
    """Save a walk and say what was saved."""
    try:
        names = save_walk(walk, folder)
    except OSError as error:
        raise _UsageError(f"--out {folder}: {error.strerror or error}; choose another folder") from error
    print(f"Kept in {folder}: {', '.join(names)}")
    if walk.model.lr_curve_ is None:
        print("There is no learning-rate plot: the search chose the rate.")
    elif "learning_rate.png" not in names:
        print('The learning-rate plot was left out: it needs matplotlib, pip install "sk_dlsteps[plot]"')
    print(flush=True)


def _show_warning(message: Warning | str, *args: Any, **kwargs: Any) -> None:
    """A warning on one line, without the place in the code."""
    progress.clear()
    print(f"sk_dlsteps: warning: {' '.join(str(message).split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
