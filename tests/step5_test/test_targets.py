"""Targets that a model cannot be held to are named, for every kind of model."""

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor
from sk_dlsteps.fitted import Fitted
from sk_dlsteps.step5_test.rows import Rows
from sk_dlsteps.step5_test.targets import check_targets

QUICK = {"max_epochs": 2, "n_estimators": 2, "learning_rate": 0.01, "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
NUMBERS = X @ [1.0, 2.0, 0.0]
TWO = np.c_[NUMBERS, X[:, 0]]
LABELS = (TWO > 0).astype(int)


def checked(model, y):
    """The check of a model's test rows, of which there are as many as of training."""
    rows = Rows.of(X, y)
    check_targets(Fitted.of(model), rows.X, rows.y)


@pytest.mark.parametrize("model", [LinearRegression(), StepwiseRegressor(**QUICK)], ids=["linear", "ours"])
def test_other_columns_than_those_of_a_regressor_are_named(model):
    model.fit(X, NUMBERS)
    checked(model, NUMBERS[:, None])
    with pytest.raises(ValueError, match=r"`y_test` must have 1 column, as the model predicts so many, got 2 columns"):
        checked(model, TWO)
    model.fit(X, TWO)
    checked(model, TWO)
    with pytest.raises(ValueError, match=r"`y_test` must have 2 columns, .* got 1 column; give the targets"):
        checked(model, NUMBERS)


@pytest.mark.parametrize("kind", [object, str], ids=["object", "str"])
def test_texts_are_no_targets_of_a_regressor(kind):
    model = LinearRegression().fit(X, NUMBERS)
    y = NUMBERS.astype(kind)
    y[7] = "12.5"
    with pytest.raises(ValueError, match=r"`y_test` must hold numbers, as a regressor predicts them, got '.*' in row"):
        checked(model, y)
    checked(model, NUMBERS.astype(object))


def test_rows_with_several_labels_hold_zeros_and_ones_for_each():
    model = StepwiseClassifier(**QUICK).fit(X, LABELS)
    checked(model, LABELS.astype(float))
    with pytest.raises(ValueError, match=r"`y_test` must have 2 columns, .* got 3 columns"):
        checked(model, LABELS[:, [0, 1, 1]])
    with pytest.raises(ValueError, match=r"`y_test` must hold 0 and 1 in the column of each label, got 2"):
        checked(model, LABELS + LABELS)


def test_labels_of_each_output_are_those_of_training():
    y = np.where(LABELS > 0, "a", "b")
    model = MultiOutputClassifier(LogisticRegression()).fit(X, y)
    checked(model, y)
    y[3, 1] = "c"
    with pytest.raises(ValueError, match=r"`y_test` holds labels that training did not: .*'c'"):
        checked(model, y)


def test_missing_labels_of_any_kind_are_counted():
    y = pd.Series(np.where(LABELS[:, 0] > 0, "a", "b"), dtype="string")
    y.iloc[[3, 8]] = pd.NA
    with pytest.raises(ValueError, match=r"`y_test` is missing or infinite in 2 of 60 rows, first in row 3"):
        Rows.of(X, y)
    y = pd.Series(np.arange(60), dtype="Int64")
    y.iloc[5] = pd.NA
    with pytest.raises(ValueError, match=r"`y_test` is missing or infinite in 1 of 60 rows, first in row 5"):
        Rows.of(X, y)


def test_a_model_that_neither_regresses_nor_classifies_is_left_alone():
    checked(KMeans(2, n_init=1, random_state=0).fit(X), TWO)
