"""Any bytes as a CSV file: a table, or one line that says what is wrong with it."""

import warnings

import pandas as pd
import pytest
from csv_files import csv_files
from hypothesis import HealthCheck, given, settings

from sk_dlsteps.__main__ import main
from sk_dlsteps.inputs.table import TableError, read_new_rows, read_table


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A table that a model was fitted on, and a file for the next one."""
    path = tmp_path_factory.mktemp("files") / "known.csv"
    rows = range(30)
    pd.DataFrame(
        {
            "c0": [i / 7 for i in rows],
            "c1": [("no", "yes")[i % 2] for i in rows],
            "c2": [i % 3 == 0 for i in rows],
            "y": [i * i % 13 / 2 for i in rows],
        }
    ).to_csv(path, index=False)
    return read_table(path, "y"), path.with_name("next.csv")


def read(act):
    """What reading gives, or None after a refusal in one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return act()
        except TableError as error:
            assert str(error).strip()
            assert "\n" not in str(error)
            return None


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(content=csv_files())
def test_any_file_is_a_table_or_an_error_of_one_line(known, capsys, content):
    table, path = known
    path.write_bytes(content)
    found = read(lambda: read_table(path, "y"))
    if found is None:
        capsys.readouterr()
        assert main([str(path), "--target", "y"]) == 2
        shown = capsys.readouterr()
        assert shown.err.startswith("sk_dlsteps: error: ")
        assert shown.err.count("\n") == 1
    else:
        assert len(found.X) == len(found.y) >= 20
        assert found.columns == tuple(found.X.columns)
        assert found.record.number == 1
    later = read(lambda: read_new_rows(path, table))
    if later is not None:
        assert list(later.X.columns) == list(table.columns)
        assert later.y is None or len(later.y) == len(later.X)
