"""Clean data sets, of which docs/benchmarks/diagnosis.py has 20, are no cause for alarm."""

import importlib.util
from pathlib import Path

import pytest

from sk_dlsteps import diagnose

# Whole diagnoses of default models: other tests are to reach their lines.
pytestmark = pytest.mark.no_cover
SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "diagnosis.py"


@pytest.fixture(scope="module")
def benchmark():
    """The script with the data sets."""
    spec = importlib.util.spec_from_file_location("benchmark_of_the_diagnosis", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["linear 300 x 4", "blobs 300 x 3, 3 classes", "table 1000 x 4"])
def test_the_default_estimator_on_a_clean_set_has_no_findings(benchmark, name):
    X, y = benchmark.CLEAN[name]()
    diagnosis = diagnose(benchmark.fitted(X, y), X, y)
    assert diagnosis.codes == ()
    assert {"training fit", "leaks", "useless columns", "number of rows"} <= {*diagnosis.looked_at}


def test_there_are_twenty_clean_sets(benchmark):
    assert len(benchmark.CLEAN) == 20
