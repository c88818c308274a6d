import sys

import numpy as np
import pandas as pd
import pytest

from sk_dlsteps.__main__ import main
from sk_dlsteps.inputs.table import MIN_ROWS, Table, TableError, guess_task, read_new_rows, read_table

N = 40


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.integers(1, 90, N),
            "height": rng.normal(1.7, 0.1, N),
            "smokes": rng.random(N) < 0.5,
            "income": rng.normal(3000, 500, N),
            "kind": np.resize(["cat", "dog"], N),
        }
    )


@pytest.fixture
def write(tmp_path):
    def write_csv(frame, name="people.csv", **kwargs):
        frame.to_csv(tmp_path / name, index=False, **kwargs)
        return tmp_path / name

    return write_csv


def error_of(path, target="income", task=None):
    with pytest.raises(TableError) as caught:
        read_table(path, target, task)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_inputs_and_target_are_the_columns_of_the_file(frame, write):
    table = read_table(write(frame.drop(columns="kind")), "income")
    assert (table.name, table.target, table.task) == ("people", "income", "regression")
    assert table.columns == ("age", "height", "smokes")
    pd.testing.assert_frame_equal(table.X, frame[["age", "height", "smokes"]])
    np.testing.assert_allclose(table.y, frame["income"])


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_are_recognised(frame, write, separator):
    table = read_table(write(frame.drop(columns="kind"), sep=separator), "income")
    assert table.columns == ("age", "height", "smokes")


def test_a_compressed_file_is_read(frame, write):
    table = read_table(write(frame.drop(columns="kind"), "people.csv.gz"), "income")
    np.testing.assert_allclose(table.y, frame["income"])


def test_a_nameless_column_of_row_numbers_is_left_out_and_said_so(frame, tmp_path):
    frame.drop(columns="kind").to_csv(tmp_path / "people.csv")
    table = read_table(tmp_path / "people.csv", "income")
    assert table.columns == ("age", "height", "smokes")
    assert "counts the rows" in table.record.evidence["note"]


def test_a_nameless_column_of_anything_else_stays(frame, write):
    table = read_table(write(frame.drop(columns="kind").rename(columns={"age": ""})), "income")
    assert table.columns == ("Unnamed: 0", "height", "smokes")
    assert "note" not in table.record.evidence


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([0.5, 1.5, 0.5], "regression"),
        (list(range(11)), "regression"),
        ([1.0, 2.0, 3.0] * 5, "classification"),
        (list(range(10)) * 3, "classification"),
        ([True, False], "classification"),
        (["a", "b"], "classification"),
    ],
)
def test_the_task_is_guessed_from_the_kind_and_number_of_values(values, task):
    assert guess_task(np.array(values))[0] == task


@pytest.mark.parametrize(
    ("target", "task", "kind"),
    [
        ("kind", "classification", "U"),
        ("smokes", "classification", "b"),
        ("age", "regression", "f"),
    ],
)
def test_the_guess_is_applied_and_its_rule_recorded(frame, write, target, task, kind):
    table = read_table(write(frame.drop(columns={"kind"} - {target})), target)
    assert (table.task, table.y.dtype.kind) == (task, kind)
    assert "overrule with --task" in table.record.because


def test_the_user_overrules_the_guess(frame, write):
    path = write(frame.drop(columns="kind"))
    as_number = read_table(path, "smokes", "regression")
    np.testing.assert_array_equal(as_number.y, frame["smokes"].astype(float))
    as_class = read_table(path, "age", "classification")
    np.testing.assert_array_equal(as_class.y, frame["age"])
    assert as_class.record.because == "chosen with --task classification"


def test_whole_numbers_written_as_fractions_become_classes(frame, write):
    table = read_table(write(frame[["age"]].assign(y=np.resize([0.0, 1.0, 2.0], N))), "y")
    assert table.y.dtype.kind == "i"
    assert table.record.evidence["rows of a class"] == {"0": 14, "1": 13, "2": 13}


def test_the_record_of_a_number_holds_its_mean_and_spread():
    y = np.array([1.0, 2.0, 6.0])
    record = Table("t", np.zeros((3, 1)), y, ("x",), "y", "regression", "it is a number").record
    assert record.evidence == {"rows": 3, "columns": 1, "target": "y", "mean": 3.0, "std": y.std()}


def test_a_wrong_path_names_the_nearest_file(frame, write):
    path = write(frame)
    assert "did you mean 'people.csv'?" in error_of(path.with_name("poeple.csv"))
    assert "check the path" in error_of(path.with_name("zzz"))
    assert f"nor a folder {path.parent / 'nowhere'}" in error_of(path.parent / "nowhere" / "people.csv")


def test_a_folder_is_no_csv_file(tmp_path):
    assert "is a folder" in error_of(tmp_path)


@pytest.mark.parametrize("text", ["", "\n\n", "age,income\n"])
def test_an_empty_file_is_called_empty(tmp_path, text):
    path = tmp_path / "empty.csv"
    path.write_text(text)
    assert "is empty" in error_of(path)


@pytest.mark.parametrize("content", [b"a,income\n1,2\n3,4,5,6\n", b"\xff\xfe\x00\x81,\x00\n", b'a,"income\n1,2\n'])
def test_what_is_no_csv_cannot_be_read(tmp_path, content):
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    assert "cannot be read as CSV" in error_of(path)


def test_columns_without_a_name_are_not_dropped_in_silence(tmp_path):
    path = tmp_path / "short_header.csv"
    path.write_text("a,income\n" + "".join(f"{i},{i % 7},{i % 3}\n" for i in range(N)))
    assert "more columns than its first line has names" in error_of(path)


def test_a_missing_target_lists_the_columns(frame, write):
    message = error_of(write(frame), target=None)
    assert "--target COLUMN" in message
    assert "'age', 'height', 'smokes', 'income', 'kind'" in message


def test_a_missing_column_names_the_nearest_or_all(frame, write):
    path = write(frame)
    assert "did you mean 'income'?" in error_of(path, "incom")
    assert "its columns are: 'age', 'height'" in error_of(path, "zzzzzz")


def test_a_long_list_of_columns_is_cut(write):
    path = write(pd.DataFrame({f"c{i}": [1] for i in range(25)}))
    assert error_of(path, "zzzzzz").endswith("'c9' and 15 more")


def test_too_few_rows_and_a_lone_target_are_refused(frame, write):
    assert f"at least {MIN_ROWS}" in error_of(write(frame.iloc[: MIN_ROWS - 1]))
    assert "no column besides the target" in error_of(write(frame[["income"]]))


def test_a_target_of_one_value_is_refused(frame, write):
    assert "'income' has one value only (7)" in error_of(write(frame.assign(income=7)))


def test_categories_and_gaps_are_read_as_they_are(frame, write):
    gaps = frame.assign(town="Ulm")
    gaps.loc[3:4, ["height", "kind"]] = np.nan
    table = read_table(write(gaps), "income")
    assert table.columns == ("age", "height", "smokes", "kind", "town")
    assert table.X.isna().sum().to_dict() == {"age": 0, "height": 2, "smokes": 0, "kind": 2, "town": 0}


def test_dates_and_infinite_values_are_named_with_their_column(frame, write):
    message = error_of(write(frame.assign(born="2001-02-03")))
    assert "Column 'born' of X holds strings that look like dates" in message
    assert "infinite values in: 'height'" in error_of(write(frame.assign(height=np.inf)))


def test_rows_without_a_target_are_counted(frame, write):
    frame.loc[:2, "income"] = np.nan
    assert "has 3 rows without the target 'income'; drop them" in error_of(write(frame))


def test_a_task_that_the_target_cannot_be_is_refused(frame, write):
    assert "use --task regression" in error_of(write(frame.drop(columns="kind")), "income", "classification")
    assert "use --task classification" in error_of(write(frame), "kind", "regression")


def test_without_pandas_the_error_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert main(["x.csv"]) == 2
    told = capsys.readouterr().err
    assert told == 'sk_dlsteps: error: Reading a CSV file needs pandas: pip install "sk_dlsteps[csv]"\n'


def test_decimal_commas_are_named_as_such(frame, write):
    message = error_of(write(frame[["age", "height", "income"]], sep=";", decimal=","), "age")
    assert "numbers with a decimal comma in: 'height', 'income'; write them with a point" in message


@pytest.fixture
def table(write, frame):
    return read_table(write(frame), "income")


def test_new_rows_have_the_columns_of_the_table_in_its_order(write, frame, table):
    shuffled = frame.iloc[:7, ::-1].assign(surplus=1)
    rows = read_new_rows(write(shuffled, "later.csv"), table)
    assert list(rows.X.columns) == list(table.columns)
    np.testing.assert_allclose(rows.y, frame["income"].iloc[:7])
    assert rows.note == "columns that the model does not know were left out: 'surplus'"


def test_new_rows_may_come_without_their_target(write, frame, table):
    rows = read_new_rows(write(frame.drop(columns="income"), "later.csv"), table)
    assert rows.y is None
    assert rows.note == ""
    partly = frame.assign(income=frame["income"].where(frame.index > 1))
    rows = read_new_rows(write(partly, "later.csv"), table)
    assert rows.y is None
    assert rows.note == "2 rows lack the target 'income', so that the score is not checked"


def test_numbers_in_a_column_of_text_are_text(write, frame, table):
    later = frame.assign(kind=[None, *range(len(frame) - 1)])
    rows = read_new_rows(write(later, "later.csv"), table)
    assert rows.X["kind"].isna().tolist() == [True] + [False] * (len(frame) - 1)
    assert all(isinstance(level, str) for level in rows.X["kind"].iloc[1:])


def test_a_missing_column_is_named_with_what_it_may_be_called_now(write, frame, table):
    for name in ("aged", "AGE"):
        with pytest.raises(TableError, match=rf"later\.csv lacks columns .*: 'age'; is it '{name}'\?"):
            read_new_rows(write(frame.rename(columns={"age": name}), "later.csv"), table)


def test_text_where_numbers_were_is_refused(write, frame, table):
    with pytest.raises(TableError, match="text in columns that held numbers: 'age'"):
        read_new_rows(write(frame.assign(age="old"), "later.csv"), table)
    with pytest.raises(TableError, match=r"values of the target 'income' that are no numbers .*'much'"):
        read_new_rows(write(frame.assign(income="much"), "later.csv"), table)


def test_truth_values_stay_what_they_are_whether_some_are_missing_or_not(write, frame):
    gaps = frame.assign(smokes=frame["smokes"].where(frame.index > 3))
    for first, later in ((frame, gaps), (gaps, frame), (gaps, gaps)):
        rows = read_new_rows(write(later, "later.csv"), read_table(write(first), "income"))
        assert set(rows.X["smokes"].dropna()) == {True, False}
        assert rows.X["smokes"].isna().tolist() == later["smokes"].isna().tolist()


@pytest.mark.parametrize(
    ("first", "later"), [(["TRUE", "FALSE", "UNKNOWN"], ["TRUE", "FALSE"]), (["01", "1A"], ["01"])]
)
def test_labels_of_a_later_file_are_spelt_as_before(write, frame, first, later):
    table = read_table(write(frame.assign(kind=np.resize(first, N))), "kind")
    rows = read_new_rows(write(frame.assign(kind=np.resize(later, N)), "later.csv"), table)
    assert set(rows.y) == set(later) <= set(table.y)


@pytest.mark.parametrize(
    ("first", "later", "what"),
    [
        ([True, False], ["yes", "no"], "truth values"),
        ([0, 1], [0, 0.7], "whole numbers"),
        ([0, 1], ["a", "b"], "whole"),
    ],
)
def test_a_later_target_of_another_kind_is_refused(write, frame, first, later, what):
    table = read_table(write(frame.assign(kind=np.resize(first, N))), "kind")
    with pytest.raises(TableError, match=f"values of the target 'kind' that are no {what}"):
        read_new_rows(write(frame.assign(kind=np.resize(later, N)), "later.csv"), table)


def test_text_where_truth_values_were_is_refused(write, frame, table):
    with pytest.raises(TableError, match="text in columns that held truth values: 'smokes'"):
        read_new_rows(write(frame.assign(smokes="often"), "later.csv"), table)


def test_row_numbers_that_the_model_knows_as_a_column_are_kept(write, frame):
    numbered = frame.assign(**{"Unnamed: 0": np.arange(N)[::-1] * 7})[["Unnamed: 0", *frame.columns]]
    table = read_table(write(numbered), "income")
    assert table.columns[0] == "Unnamed: 0"
    later = numbered.assign(**{"Unnamed: 0": np.arange(N)})
    assert read_new_rows(write(later, "later.csv"), table).X["Unnamed: 0"].tolist() == list(range(N))
