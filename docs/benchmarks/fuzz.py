"""Fuzzing: cases drawn at random from all parameters and kinds of tables, or spoilt CSV files, and what came of each.

    python docs/benchmarks/fuzz.py --cases 5000 --seed 0
    python docs/benchmarks/fuzz.py --cases 5000 --seed 0 --files

A case ends as it should if it is refused clearly or keeps its promises, see tests/fuzz/oracle.py and file_oracle.py.
Everything else is printed, with the case that it came from.
"""

import argparse
import collections
import sys
import tempfile
import time
import traceback
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "fuzz"))

from csv_files import csv_files
from file_oracle import run_file
from oracle import run
from strategies import cases


def take_all(strategy, act, n_cases, first_seed):
    """Carry out so many cases: how often each outcome came, and one case for each way to break a promise."""
    outcomes, broken = collections.Counter(), {}

    @seed(first_seed)
    @settings(
        max_examples=n_cases,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def take(case):
        try:
            outcomes[act(case)] += 1
        except Exception as error:
            outcomes["broken"] += 1
            broken.setdefault(where(error), case)

    take()
    return outcomes, broken


def where(error):
    """What broke, and in which line of ours."""
    frames = traceback.extract_tb((error.__cause__ or error).__traceback__)
    ours = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if "/sk_dlsteps/" in f.filename]
    return type(error).__name__, str(error)[:200], ours[-1] if ours else ""


def main():
    """Run the cases and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", action="store_true", help="CSV files instead of estimators")
    arguments = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        strategy, act = cases(), run
        if arguments.files:
            strategy, act = csv_files(), lambda content: run_file(content, Path(folder, "next.csv"))
        outcomes, broken = take_all(strategy, act, arguments.cases, arguments.seed)
    print(f"{sum(outcomes.values())} cases of seed {arguments.seed} in {time.perf_counter() - started:.0f} s")
    print("\n".join(f"{count:6d}  {name}" for name, count in outcomes.most_common()))
    for how, case in broken.items():
        print("BROKEN", *how, f"\n  {case}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
