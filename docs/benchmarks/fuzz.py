"""Fuzzing: cases drawn at random from all parameters and all kinds of tables, and what came of each.

    python docs/benchmarks/fuzz.py --cases 5000 --seed 0

A case ends as it should if it is refused clearly or gives a model that keeps its promises, see tests/fuzz/oracle.py.
Everything else is printed, with the case that it came from.
"""

import argparse
import collections
import sys
import time
import traceback
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "fuzz"))

from oracle import run
from strategies import cases


def main():
    """Run the cases and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    outcomes, actions, started = collections.Counter(), collections.Counter(), time.perf_counter()
    broken, slowest = {}, (0.0, None)

    @seed(arguments.seed)
    @settings(
        max_examples=arguments.cases,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases())
    def take(case):
        nonlocal slowest
        begun = time.perf_counter()
        try:
            outcome = run(case)
        except Exception as error:
            frames = traceback.extract_tb((error.__cause__ or error).__traceback__)
            where = next(
                (f"{f.filename.split('/')[-1]}:{f.lineno}" for f in reversed(frames) if "sk_dlsteps" in f.filename), ""
            )
            key = (type(error).__name__, str(error)[:90], where)
            if key not in broken:
                print(f"BROKEN {key}\n  {case}\n  {case.values()}", flush=True)
            broken.setdefault(key, []).append(case)
            outcome = "broken"
        outcomes[outcome] += 1
        actions[case.action] += 1
        slowest = max(slowest, (time.perf_counter() - begun, str(case)))

    take()
    n_cases = sum(outcomes.values())
    print(f"{n_cases} cases of seed {arguments.seed} in {time.perf_counter() - started:.0f} s")
    print("\n".join(f"{count:6d}  {name}" for name, count in actions.most_common()), "\n")
    print("\n".join(f"{count:6d}  {name}" for name, count in outcomes.most_common()))
    print(f"slowest: {slowest[0]:.1f} s, {slowest[1]}")
    for key, own in sorted(broken.items(), key=lambda item: -len(item[1])):
        print(len(own), *key)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
