"""`diagnose` as a whole: what it takes, what it says, and what it leaves alone."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sk_dlsteps import StepwiseRegressor, StepwiseSearchCV, diagnose
from sk_dlsteps.diagnosis import Diagnosis, Finding


def broken(small, rule):
    """A model with several faults, and its rows."""
    X, y = rule
    X = np.column_stack([X, np.ones(len(X))])
    return small(learning_rate=1e-5, max_epochs=3).fit(X, y), X, y


def test_findings_stand_worst_first_and_print_as_a_report(small, rule):
    model, X, y = broken(small, rule)
    diagnosis = diagnose(model, X, y, cv=3)
    assert isinstance(diagnosis, Diagnosis)
    severities = [finding.severity for finding in diagnosis]
    assert severities == sorted(severities, reverse=True)
    assert diagnosis.codes[0] == "underfits"
    assert diagnosis.codes[-1] == "constant_columns"
    text = repr(diagnosis)
    assert text.startswith("Diagnosis: 3 findings, the worst: underfits\n===========================================\n")
    assert diagnosis[0].action == diagnosis[1].action
    for finding in diagnosis:
        assert finding.action.split(":")[0] in " ".join(text.split())
    assert [record.number for record in diagnosis.records()[:3]] == [finding.step for finding in diagnosis]


def test_the_same_again_is_found_and_nothing_is_changed(small, rule):
    model, X, y = broken(small, rule)
    X_before, parameters, weights = X.copy(), model.get_params(), model.predict(X)
    state, threads, filters = np.random.get_state()[1].copy(), torch.get_num_threads(), list(warnings.filters)
    torch_state = torch.get_rng_state()
    assert repr(diagnose(model, X, y, cv=3)) == repr(diagnose(model, X, y, cv=3))
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(model.predict(X), weights)
    assert model.get_params() == parameters
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (torch.get_num_threads(), list(warnings.filters)) == (threads, filters)


def test_a_model_without_rows_is_judged_by_what_it_holds_and_the_rest_is_named(small, rule):
    diagnosis = diagnose(small(n_estimators=1, early_stopping=False).fit(*rule))
    assert "loss curves" in diagnosis.looked_at
    assert diagnosis.left_out["leaks"] == "it needs `X` and `y`"
    assert "held no rows out" in diagnosis.left_out["gap to validation"]
    assert "it needs `X` and `y` (empty and double columns, leaks" in " ".join(repr(diagnosis).split())


def test_nothing_found_says_what_was_looked_at():
    text = repr(Diagnosis((), ("loss curves", "leaks")))
    assert "nothing found" in text
    assert "looked at: loss curves, leaks" in text


def test_it_is_a_sequence_of_findings():
    findings = tuple(Finding(4, code, "seen", "do", {"n": 1}, 3) for code in ("overfits", "miscalibrated"))
    diagnosis = Diagnosis(findings, ())
    assert (len(diagnosis), diagnosis[1], diagnosis[:1]) == (2, findings[1], findings[:1])
    assert list(diagnosis) == list(findings)
    assert diagnosis.codes == ("overfits", "miscalibrated")
    assert diagnosis.records()[0].evidence == {"severity": "serious", "n": 1}


@pytest.mark.parametrize("around", ["pipeline", "search", "search in a pipeline"])
def test_pipelines_and_searches_are_looked_through(small, rule, around):
    X, y = rule
    model = small(learning_rate=1e-5, max_epochs=3)
    if around != "pipeline":
        model = StepwiseSearchCV(model, {"dropout": [0.0, 0.3]}, strategy="random", n_iter=2, cv=2, random_state=0)
    if around != "search":
        model = make_pipeline(StandardScaler(), model)
    diagnosis = diagnose(model.fit(X, y), X, y, cv=3)
    assert {"underfits", "stopped_too_early"} <= {*diagnosis.codes}
    assert ("edges of the search" in diagnosis.looked_at) == (around != "pipeline")


def test_a_table_with_gaps_and_categories_several_targets_and_labels_are_diagnosed(small, rule):
    X, y = rule
    table = pd.DataFrame(X, columns=["a", "b", "c", "d"]).assign(colour=np.where(X[:, 0] > 0, "red", None))
    table.loc[::7, "b"] = np.nan
    several = np.column_stack([y, -y + X[:, 0]])
    labels = (np.column_stack([y, X[:, 1]]) > 0).astype(int)
    three = np.array(["low", "middle", "high"])[np.digitize(y, [-1, 1])]
    for task, target in {"regression": several, "classification": labels, "multiclass": three}.items():
        diagnosis = diagnose(small(task).fit(table, target), table, target, cv=3)
        assert set(diagnosis.left_out) <= {"gap to validation"}
        assert not {"no_signal", "suspicious_leak", "underfits"} & {*diagnosis.codes}


def test_images_of_an_own_module_have_no_columns_and_it_says_so(rule):
    class Flat(nn.Module):
        """A linear layer on small images."""

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x):
            return self.layer(x.flatten(1))

    X, y = rule
    images = X.reshape(-1, 1, 2, 2)
    model = StepwiseRegressor(module=Flat, n_estimators=1, max_epochs=10, learning_rate=0.05, random_state=0)
    diagnosis = diagnose(model.fit(images, y), images, y, cv=3)
    assert diagnosis.left_out["leaks"] == "rows of shape (1, 2, 2) have no columns"
    assert "useless columns" in diagnosis.left_out
    assert "training fit" in diagnosis.looked_at


def test_weights_count_as_copies_of_rows_in_the_model_s_scores(small, rule):
    X, y = rule
    y = np.where(np.arange(len(y)) < 150, y, np.random.default_rng(0).permutation(y))
    weight = np.where(np.arange(len(y)) < 150, 1.0, 1e-6)
    model = small().fit(X, y, sample_weight=weight)
    weighted, plain = diagnose(model, X, y, sample_weight=weight, cv=3), diagnose(small().fit(X, y), X, y, cv=3)
    assert "weights" in weighted.left_out["number of rows"]
    assert "overfits" not in weighted.codes
    assert "number of rows" in plain.looked_at


def test_no_fits_are_begun_once_the_time_is_up(small, rule):
    model = small().fit(*rule)
    diagnosis = diagnose(model, *rule, max_seconds=0)
    assert diagnosis.codes == ()
    assert all("raise `max_seconds`" in reason for reason in diagnosis.left_out.values())


def test_a_dear_model_is_not_fitted_again_within_a_short_time(small, rule):
    model = small().fit(*rule)
    model.history_[-1]["dur"] = 1000.0
    diagnosis = diagnose(model, *rule, max_seconds=60)
    assert "5 more fits would take about 50" in diagnosis.left_out["training fit"]
    assert "leaks" in diagnosis.looked_at


def test_folds_on_which_the_model_cannot_be_fitted_are_no_error(small):
    X, y = np.arange(24.0).reshape(12, 2), np.array(["a"] * 11 + ["b"])
    folds = [(np.arange(6), np.arange(6, 12)), (np.arange(6, 12), np.arange(6))]
    diagnosis = diagnose(small("classification", max_epochs=2).fit(X, y), X, y, cv=folds)
    assert "could not be fitted on a fold" in diagnosis.left_out["training fit"]
    assert "loss curves" in diagnosis.looked_at


def test_progress_goes_to_standard_error_when_asked_for(small, rule, capsys):
    diagnose(small(max_epochs=5).fit(*rule), *rule, cv=2, verbose=1)
    err = capsys.readouterr().err
    assert "diagnosis: fitting the model on 2 folds" in err
    diagnose(small(max_epochs=5).fit(*rule), *rule, cv=2)
    assert capsys.readouterr().err == ""


def test_bad_input_is_named(small, rule):
    X, y = rule
    model = small(max_epochs=2).fit(X, y)
    with pytest.raises(NotFittedError):
        diagnose(clone(model))
    with pytest.raises(ValueError, match="`y` is missing"):
        diagnose(model, X)
    with pytest.raises(ValueError, match="`X` is missing"):
        diagnose(model, y=y)
    with pytest.raises(ValueError, match=r"`X` does not fit the model.*3 features"):
        diagnose(model, X[:, :3], y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        diagnose(model, X, y[:-1])
    with pytest.raises(ValueError, match="`sample_weight` is given without"):
        diagnose(model, sample_weight=np.ones(len(y)))
    with pytest.raises(ValueError, match=r"StepwiseRegressor or StepwiseClassifier.*got Ridge"):
        diagnose(Ridge().fit(X, y))
    labels = small("classification", max_epochs=2).fit(X, y > 0)
    with pytest.raises(ValueError, match="labels that the model does not know"):
        diagnose(labels, X, np.where(y > 0, 5, 6))
