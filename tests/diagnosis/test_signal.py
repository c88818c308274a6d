"""Labels that have nothing to do with the inputs."""

import numpy as np
import pytest

from sk_dlsteps import diagnose
from sk_dlsteps.diagnosis import subject
from sk_dlsteps.diagnosis.signal import look_for_signal
from sk_dlsteps.fitted import Fitted


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_labels_by_chance_are_found_and_explain_the_other_findings(small, task):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(150, 4)), rng.normal(size=150)
    y = y if task == "regression" else y > 0
    diagnosis = diagnose(small(task, max_epochs=10).fit(X, y), X, y, cv=3)
    assert diagnosis[0].code == "no_signal"
    evidence = diagnosis[0].evidence
    assert evidence["p-value"] > 0.05
    assert evidence["cheap learners"] <= evidence["cheap learners on shuffled labels"][1]
    assert not {"underfits", "overfits", "useless_columns", "more_rows_would_help"} & {*diagnosis.codes}


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
