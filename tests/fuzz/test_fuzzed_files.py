"""Any bytes as a CSV file: a table, or one line that says what is wrong with it."""

import pytest
from csv_files import csv_files
from file_oracle import run_file
from hypothesis import HealthCheck, given, settings

from sk_dlsteps.__main__ import main

# What they run is counted by the tests of its own.
pytestmark = pytest.mark.no_cover


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(content=csv_files())
def test_any_file_is_a_table_or_an_error_of_one_line(tmp_path, capsys, content):
    path = tmp_path / "next.csv"
    if run_file(content, path).startswith("table refused"):
        capsys.readouterr()
        assert main([str(path), "--target", "y"]) == 2
        shown = capsys.readouterr()
        assert shown.err.startswith("sk_dlsteps: error: ")
        assert shown.err.count("\n") == 1
