"""Labels that have nothing to do with the inputs."""

import numpy as np
import pytest
from scipy import sparse

from sk_dlsteps import diagnose
from sk_dlsteps.diagnosis import subject
from sk_dlsteps.diagnosis.signal import SIZE, _Test, look_for_signal
from sk_dlsteps.fitted import Fitted


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_labels_by_chance_are_found_and_explain_the_other_findings(small, task):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(300, 4)), rng.normal(size=300)
    y = y if task == "regression" else y > 0
    diagnosis = diagnose(small(task, max_epochs=10).fit(X, y), X, y, cv=3)
    assert diagnosis.codes[:1] == ("no_signal",)
    assert (diagnosis[0].severity, diagnosis[0].step) == (2, 3)
    assert diagnosis[0].title.startswith("no signal can be shown with 300 rows: ")
    assert diagnosis[0].action.endswith("or get more rows (300 now)")
    evidence = diagnosis[0].evidence
    assert evidence["p-value"] > 0.05
    assert evidence["cheap learners"] <= evidence["cheap learners on shuffled labels"][1]
    low, high = evidence["95 % interval"]
    assert low < evidence["explained"] < high
    assert not {"underfits", "overfits", "useless_columns"} & {*diagnosis.codes}


def test_a_signal_that_only_others_find_is_no_lack_of_signal(small, rule):
    model = small(learning_rate=1e-5, max_epochs=1).fit(*rule)
    diagnosis = diagnose(model, *rule, cv=3)
    assert "underfits" in diagnosis.codes
    assert "no_signal" not in diagnosis.codes


def test_a_model_that_is_far_ahead_needs_no_shuffles(small, rule):
    announced = []
    seen = subject.Subject(Fitted.of(small().fit(*rule)), *rule, cv=3, announce=announced.append)
    assert list(look_for_signal(seen)) == []
    assert "diagnosis: shuffling the labels" not in announced


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_few_rows_cannot_tell_and_it_says_so(small, share):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(30, 4))
    y = np.sqrt(share) * X[:, 0] + np.sqrt(1 - share) * rng.normal(size=30)
    diagnosis = diagnose(small(n_estimators=1, max_epochs=5, early_stopping=False).fit(X, y), X, y, cv=3)
    assert "no_signal" not in diagnosis.codes
    reason = diagnosis.left_out["signal in the inputs"]
    assert "with 30 rows even a column that explains 20% of the target is often not found" in reason


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("task", ["regression", "classification", "multilabel"])
def test_targets_of_which_a_column_explains_a_fifth_keep_their_values(small, rule, kind, task):
    X, y = rule
    target = {"regression": y, "classification": np.digitize(y, [-1, 1]), "multilabel": np.c_[y > 0, X[:, 1] > 0]}[task]
    target = np.asarray(target, dtype=float if task == "regression" else int)
    seen = subject.Subject(Fitted.of(small(task, max_epochs=1).fit(X, target)), kind(X), target, cv=3)
    test = _Test(seen)
    columns = test._columns()
    assert columns.shape == (200, 4)
    planted = [test._planted(columns[:, 0]) for _ in range(50)]
    for own in planted:
        np.testing.assert_array_equal(np.sort(own, axis=0), np.sort(target, axis=0))
    first = np.reshape(planted, (50, 200, -1))[:, :, 0]
    squares = [np.corrcoef(columns[:, 0], own)[0, 1] ** 2 for own in first]
    assert np.mean(squares) == pytest.approx(SIZE, abs=0.08)


def test_columns_of_one_value_hold_no_signal(small):
    X, y = np.ones((40, 2)), np.random.default_rng(0).normal(size=40)
    seen = subject.Subject(Fitted.of(small(max_epochs=1).fit(X, y)), X, y, cv=3)
    with pytest.raises(subject.NotLooked, match="no column has more than one value"):
        list(look_for_signal(seen))


def test_a_target_of_one_value_asks_for_none(small, rule):
    X, y = rule[0][:60], np.ones(60)
    seen = subject.Subject(Fitted.of(small(max_epochs=1).fit(X, y)), X, y, cv=3)
    with pytest.raises(subject.NotLooked, match="the target has the same value in all rows"):
        list(look_for_signal(seen))
