"""What `diagnose` says of rows that the model cannot have been fitted on."""

import numpy as np
import pandas as pd
import pytest

from sk_dlsteps import diagnose
from sk_dlsteps.diagnosis import Diagnosis


def test_a_target_of_another_shape_than_the_model_s_is_named(small, rule):
    X, y = rule
    one = small(max_epochs=2).fit(X, y)
    several = small(max_epochs=2).fit(X, np.column_stack([y, -y]))
    with pytest.raises(ValueError, match=r"`y` must have one value for each row.*\(200, 2\)"):
        diagnose(one, X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match=r"`y` must have 2 columns, as the model was fitted on.*\(200,\)"):
        diagnose(several, X, y)
    labels = small("multilabel", max_epochs=2).fit(X, np.column_stack([y, -y]) > 0)
    with pytest.raises(ValueError, match=r"`y` must have 2 columns.*\(200, 3\)"):
        diagnose(labels, X, np.column_stack([y, y, y]) > 0)
    with pytest.raises(ValueError, match=r"`y` of several columns must hold 1 where a label applies.*\[2\]"):
        diagnose(labels, X, np.where(np.column_stack([y, y]) > 0, 2, 0))


def test_a_column_of_values_is_as_good_as_values(small, rule):
    X, y = rule
    model = small(max_epochs=2).fit(X, y)
    assert repr(diagnose(model, X, y[:, None], cv=3)) == repr(diagnose(model, X, y, cv=3))


def test_a_target_of_several_quantiles_has_one_column(small, rule):
    model = small(loss="quantile", max_epochs=10, learning_rate=0.02).fit(*rule)
    assert "training fit" in diagnose(model, *rule, cv=3).looked_at


@pytest.mark.parametrize("gap", [np.nan, np.inf, None, pd.NA])
def test_rows_without_a_value_are_named(small, rule, gap):
    X, y = rule
    model = small(max_epochs=2).fit(X, y)
    holed = y.astype(object)
    holed[[3, 7]] = gap
    holed = holed if gap is None or gap is pd.NA else holed.astype(float)
    with pytest.raises(ValueError, match="`y` is missing or infinite in 2 of 200 rows, first in row 3"):
        diagnose(model, X, holed)
    labels = small("classification", max_epochs=2).fit(X, np.where(y > 0, "a", "b"))
    holed = np.where(y > 0, "a", "b").astype(object)
    holed[5] = gap
    with pytest.raises(ValueError, match="`y` is missing or infinite in 1 of 200 rows, first in row 5"):
        diagnose(labels, X, holed)


def test_columns_with_gaps_are_named(small, rule):
    X, y = rule
    both = np.column_stack([y, -y])
    model = small(max_epochs=2).fit(X, both)
    holed = both.copy()
    holed[4, 1] = np.nan
    with pytest.raises(ValueError, match=r"first in row 4, in columns \[1\]"):
        diagnose(model, X, holed)


def test_words_are_no_values(small, rule):
    X, y = rule
    with pytest.raises(ValueError, match="`y` must hold numbers, as the model was fitted on"):
        diagnose(small(max_epochs=2).fit(X, y), X, np.where(y > 0, "high", "low"))


def test_a_diagnosis_that_left_something_out_does_not_say_that_there_is_nothing():
    text = repr(Diagnosis((), ("leaks",), {"training fit": "the model could not be fitted on a fold: why"}))
    assert text.startswith("Diagnosis: nothing found in 1 of 2 kinds of evidence, the rest is unknown\n")
    assert repr(Diagnosis((), ("leaks",))).startswith("Diagnosis: no findings\n")
