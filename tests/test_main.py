import io
import os
import re
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris, make_regression
from sklearn.metrics import accuracy_score

from sk_dlsteps import StepwiseWarning, walkthrough
from sk_dlsteps.__main__ import _parser, main
from sk_dlsteps.inputs.table import NewRows, read_table
from sk_dlsteps.step5_test.hold_out import hold_out_test_set

HEADINGS = [f"Step {number}" for number in range(1, 7)]
FILES = ["learning_rate.png", "model.joblib", "report.html", "report.md"]


@pytest.fixture(scope="module")
def iris_csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "iris.csv"
    iris = load_iris(as_frame=True)
    frame = iris.data.assign(kind=iris.target_names[iris.target])
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def walked(iris_csv, tmp_path_factory):
    """What a walk with a seed of its own prints, and the folder that it keeps its files in."""
    folder = tmp_path_factory.mktemp("walked") / "a" / "b"
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        assert main([str(iris_csv), "--target", "kind", "--out", str(folder), "--seed", "3", "--quiet"]) == 0
    assert err.getvalue() == ""
    return out.getvalue(), folder


def run(*arguments):
    command = [sys.executable, "-m", "sk_dlsteps", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def error_of(capsys, *arguments):
    """The one line on standard error."""
    assert main([*map(str, arguments)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(r"sk_dlsteps: error: [^\n]+\n", shown.err)
    return shown.err


def headings(text):
    return re.findall(r"^(?:## )?(Step \d)", text, flags=re.MULTILINE)


def test_without_arguments_two_embedded_sets_are_walked_through(tmp_path):
    done = run("--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert headings(done.stdout) == HEADINGS * 2
    assert "diabetes: regression" in done.stdout
    assert "breast_cancer: classification" in done.stdout
    for name in ("diabetes", "breast_cancer"):
        assert sorted(os.listdir(tmp_path / name)) == FILES
        assert headings((tmp_path / name / "report.md").read_text()) == HEADINGS
        assert (tmp_path / name / "learning_rate.png").read_bytes().startswith(b"\x89PNG")
        assert f"{name}: fitting the baselines ..." in done.stderr


def test_a_csv_file_is_walked_through_and_the_model_is_kept(iris_csv, walked):
    out, folder = walked
    assert headings(out) == HEADINGS
    assert sorted(os.listdir(folder)) == FILES
    model = joblib.load(folder / "model.joblib")
    frame = pd.read_csv(iris_csv)
    _, test = hold_out_test_set(frame["kind"].to_numpy(str), "classification", 0.2, seed=3)
    accuracy = accuracy_score(frame["kind"][test], model.predict(frame.iloc[test, :-1]))
    assert f"test accuracy {accuracy:.3f}, 95 % interval" in out
    assert list(model.feature_names_in_) == list(frame.columns[:-1])
    assert model.get_params()["callbacks"] is None


def test_validation_and_test_scores_stand_beside_both_baselines(walked):
    out, _ = walked
    step4, step5 = out.split("Step 4")[1].split("Step 5")[0], out.split("Step 5")[1].split("Step 6")[0]
    assert re.search(r"training accuracy \d.\d+, validation accuracy \d.\d+", step4)
    for step in (step4, step5):
        assert re.search(r"^ +network +\S+ +\S+", step, flags=re.MULTILINE)
        assert re.search(r"^ +linear +\S+ +\S+", step, flags=re.MULTILINE)
        assert re.search(r"^ +dummy +\S+ +\S+", step, flags=re.MULTILINE)


def test_the_seed_and_the_test_size_decide_on_the_result(iris_csv, walked, capsys):
    outputs = []
    for arguments in (["--seed", "3"], ["--seed", "1"], ["--seed", "3", "--test-size", "0.4"]):
        main([str(iris_csv), "--target", "kind", "--quiet", *arguments])
        outputs.append(capsys.readouterr().out)
    assert walked[0].startswith(outputs[0])
    assert len(set(outputs)) == 3
    assert "60 rows set aside" in outputs[2]


def test_the_task_can_be_overruled(iris_csv, tmp_path, capsys):
    frame = pd.read_csv(iris_csv)
    frame["kind"] = pd.factorize(frame["kind"])[0]
    frame.to_csv(tmp_path / "coded.csv", index=False)
    assert main([str(tmp_path / "coded.csv"), "--target", "kind", "--task", "regression", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "Task: regression" in out
    assert "because chosen with --task regression" in out


def test_without_matplotlib_the_plot_is_left_out_and_said_so(iris_csv, tmp_path, monkeypatch, capsys):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.style"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main([str(iris_csv), "--target", "kind", "--out", str(tmp_path), "--quiet"]) == 0
    assert sorted(os.listdir(tmp_path)) == FILES[1:]
    assert 'pip install "sk_dlsteps[plot]"' in capsys.readouterr().out


def test_earlier_files_are_replaced_and_others_left_alone(iris_csv, tmp_path):
    (tmp_path / "report.md").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    assert main([str(iris_csv), "--target", "kind", "--out", str(tmp_path), "--quiet"]) == 0
    assert headings((tmp_path / "report.md").read_text()) == HEADINGS
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_wrong_path_and_a_wrong_or_missing_target_say_what_to_do(iris_csv, capsys):
    told = error_of(capsys, iris_csv, "--target", "knd")
    assert told == f"sk_dlsteps: error: {iris_csv} has no column 'knd'; did you mean 'kind'?\n"
    assert "did you mean 'iris.csv'?" in error_of(capsys, iris_csv.with_name("irs.csv"), "--target", "kind")
    assert "Say --target COLUMN, one of: 'sepal length (cm)'" in error_of(capsys, iris_csv)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--test-size", "1.5"], "must be a number between 0 and 1, got '1.5'"),
        (["--test-size", "half"], "must be a number between 0 and 1, got 'half'"),
        (["--seed", "-1"], "must be a whole number from 0 to 2"),
        (["--task", "clustering"], "invalid choice: 'clustering'"),
        (["--taget", "kind"], "unrecognized arguments: --taget"),
        (["--target", "kind", "--task", "regression"], "--target and --task need a CSV file"),
        (["--new-data", "later.csv"], "--new-data need a CSV file"),
        (["--search", "grid"], "invalid choice: 'grid'"),
        (["--budget", "60s"], "--budget bounds the ladder: say --search ladder as well"),
        (["--search", "random", "--budget", "60s"], "--budget bounds the ladder"),
        (["--search", "ladder", "--budget", "soon"], "must be a time above 0 such as 60s, 5m or 1h, got 'soon'"),
        (["--search", "ladder", "--budget", "0s"], "must be a time above 0"),
    ],
)
def test_a_wrong_option_says_what_to_do(capsys, arguments, message):
    assert message in error_of(capsys, *arguments)


def test_a_test_size_too_small_for_the_table_is_an_error(iris_csv, capsys):
    message = error_of(capsys, iris_csv, "--target", "kind", "--test-size", "0.01", "--quiet")
    assert "at least 5 are needed for the test" in message


def test_values_that_the_estimator_refuses_are_one_line(iris_csv, tmp_path, capsys):
    frame = pd.read_csv(iris_csv)
    frame["huge"] = np.resize([1e300, -1e300, 1.0], len(frame))
    frame.to_csv(tmp_path / "huge.csv", index=False)
    assert "too large" in error_of(capsys, tmp_path / "huge.csv", "--target", "kind", "--quiet")


def test_a_folder_that_cannot_be_made_is_an_error_before_the_work_begins(iris_csv, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        message = error_of(capsys, iris_csv, "--target", "kind", "--out", out)
        assert f"--out {out}: {tmp_path / 'file'} is no folder" in message


def test_a_folder_that_turns_out_unwritable_is_an_error(iris_csv, tmp_path, capsys):
    (tmp_path / "model.joblib").mkdir()
    assert main([str(iris_csv), "--target", "kind", "--out", str(tmp_path), "--quiet"]) == 2
    assert re.fullmatch(r"sk_dlsteps: error: --out .*; choose another folder\n", capsys.readouterr().err)


def test_a_warning_is_one_line(tmp_path):
    pd.DataFrame({"constant": 1, "y": np.random.default_rng(0).normal(size=30)}).to_csv(tmp_path / "t.csv", index=False)
    done = run(tmp_path / "t.csv", "--target", "y", "--quiet")
    assert done.returncode == 0
    assert re.fullmatch(r"sk_dlsteps: warning: No learning rate could be found: [^\n]+\n", done.stderr)


def test_ctrl_c_ends_with_one_line_and_keeps_nothing(tmp_path):
    X, y = make_regression(5000, 20, random_state=0)
    pd.DataFrame(X).assign(y=y).to_csv(tmp_path / "t.csv", index=False)
    command = [sys.executable, "-m", "sk_dlsteps", "t.csv", "--target", "y", "--out", "kept"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline().startswith("t: choosing the cost")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "sk_dlsteps: interrupted; what was not finished was not kept"
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == ["t.csv"]


def test_a_reader_that_goes_away_is_no_traceback(iris_csv):
    command = [sys.executable, "-m", "sk_dlsteps", str(iris_csv), "--target", "kind", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert err == ""
    assert process.returncode == 1


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(option in out for option in ("--target", "--task", "--search", "--budget", "--new-data"))
    assert all(option in out for option in ("--out", "--test-size", "--seed", "--quiet"))


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("60s", 60), ("1.5m", 90), ("2h", 7200)])
def test_a_budget_has_a_unit_or_is_in_seconds(text, seconds):
    assert _parser().parse_args(["--budget", text]).budget == seconds


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """A folder with a table, a later one that is like it, and one whose rows have drifted."""
    folder = tmp_path_factory.mktemp("trees")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"girth": rng.normal(size=300), "kind": rng.choice(["oak", "<b>elm</b>"], 300)})
    frame["height"] = (frame["girth"] + (frame["kind"] == "oak") + 0.3 * rng.normal(size=300)).round(4)
    frame[:150].to_csv(folder / "trees.csv", index=False)
    frame[150:].to_csv(folder / "alike.csv", index=False)
    frame[150:].assign(girth=frame["girth"] + 2).to_csv(folder / "drifted.csv", index=False)
    frame[150:].drop(columns="kind").to_csv(folder / "incomplete.csv", index=False)
    return folder


def test_a_ladder_is_climbed_within_its_budget_and_later_rows_are_looked_at(trees, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(trees)
    arguments = ["trees.csv", "--target", "height", "--search", "ladder", "--budget", "1s"]
    assert main([*arguments, "--new-data", "drifted.csv", "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "Ladder:" in out
    assert "the 1 seconds of `max_seconds` were spent" in " ".join(out.split())
    assert "New rows: score dropped" in out
    assert "6 of 6 steps were taken" in out
    assert "trees: comparing 150 later rows with the training rows ..." in err
    html = (tmp_path / "report.html").read_text()
    assert "<b>elm" not in html
    assert html.count("<svg") == 6
    assert headings((tmp_path / "report.md").read_text()) == HEADINGS


def test_without_later_rows_the_last_step_is_left(trees, capsys):
    assert main([str(trees / "trees.csv"), "--target", "height", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "5 of 6 steps were taken. Left: step 6, verify in the real world." in out
    assert "not done: performance in the real world" in out


def test_later_rows_like_those_before_have_not_drifted(trees, capsys):
    arguments = ["--target", "height", "--new-data", str(trees / "alike.csv"), "--quiet"]
    assert main([str(trees / "trees.csv"), *arguments]) == 0
    assert "New rows: no drift" in capsys.readouterr().out


def test_a_later_file_that_lacks_a_column_is_an_error_before_the_work_begins(trees, capsys):
    arguments = ["--target", "height", "--new-data", trees / "incomplete.csv"]
    assert "lacks columns that the model was fitted on: 'kind'" in error_of(capsys, trees / "trees.csv", *arguments)


def test_a_random_search_finds_the_model_that_is_kept(trees, tmp_path, monkeypatch, capsys):
    few = partial(walkthrough.StepwiseSearchCV, n_iter=2, cv=2)
    monkeypatch.setattr(walkthrough, "StepwiseSearchCV", few)
    arguments = ["--target", "height", "--search", "random", "--out", str(tmp_path), "--quiet"]
    assert main([str(trees / "trees.csv"), *arguments]) == 0
    out = capsys.readouterr().out
    assert "because the best of 2 candidates on 2 folds" in " ".join(out.split())
    model = joblib.load(tmp_path / "model.joblib")
    assert f"learning_rate={model.learning_rate_:.3g}" in out
    # The search chose the rate, so that there was no range test to draw.
    assert sorted(os.listdir(tmp_path)) == FILES[1:]
    assert "There is no learning-rate plot" in out


def test_later_rows_that_cannot_be_checked_do_not_cost_the_rest(trees):
    table = read_table(trees / "trees.csv", "height")
    with pytest.warns(StepwiseWarning, match="The later rows were not checked: .*0 sample"):
        walk = walkthrough.walk_through(table, later=NewRows(table.X[:0], None))
    assert walk.model.n_iter_ > 0
    text = walk.report.to_text()
    assert "Later rows: not checked" in text
    assert "not done: performance in the real world" in text
