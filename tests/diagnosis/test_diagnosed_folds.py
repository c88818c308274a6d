"""Folds of a diagnosis, and parameters that are none."""

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, KFold

from sk_dlsteps import diagnose
from sk_dlsteps.diagnosis.folds import split_rows


def test_masks_are_folds_as_row_numbers_are(small, rule):
    X, y = rule
    numbers = list(KFold(3, shuffle=True, random_state=0).split(X))
    masks = [tuple(np.isin(np.arange(len(y)), part) for part in fold) for fold in numbers]
    model = small(max_epochs=5).fit(X, y)
    assert repr(diagnose(model, X, y, cv=masks)) == repr(diagnose(model, X, y, cv=iter(numbers)))


def test_an_integer_is_shuffled_and_stratified_where_there_are_labels(rule):
    X, y = rule
    labels = (y > np.quantile(y, 0.8)).astype(int)
    folds = split_rows(5, X, y, labels, 0)
    assert [labels[test].sum() for _, test in folds] == [8] * 5
    assert np.diff(folds[0][1]).max() > 1
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(200))


def test_folds_by_groups_are_made_before(small, rule):
    X, y = rule
    model, groups = small(max_epochs=2).fit(X, y), np.arange(200) // 10
    with pytest.raises(ValueError, match=r"cannot split the rows.*`cv=list\(GroupKFold\(\.\.\.\)\.split\(X, y, groups"):
        diagnose(model, X, y, cv=GroupKFold(3))
    assert "training fit" in diagnose(model, X, y, cv=list(GroupKFold(3).split(X, y, groups))).looked_at


@pytest.mark.parametrize("cv", [1, 0, True, "five", 2.5, None])
def test_folds_that_cannot_be_made_are_named_at_the_door(small, rule, cv):
    model = small(max_epochs=2).fit(*rule)
    with pytest.raises(ValueError, match=r"`cv` must be an integer of at least 2, a splitter, or folds"):
        diagnose(model, cv=cv)


@pytest.mark.parametrize(
    ("cv", "words"),
    [
        ([], "holds no folds"),
        ([(np.arange(5), np.arange(5, 10), np.arange(3))], r"too many values to unpack.*give pairs \(train, test\)"),
        ([(np.arange(5), np.array([], dtype=int))], "some in each part"),
        ([(np.arange(5), np.array([400]))], "from 0 to 199"),
        ([(np.arange(5), np.ones(7, dtype=bool))], "masks of 200 rows"),
    ],
)
def test_folds_that_do_not_fit_the_rows_are_named(rule, cv, words):
    with pytest.raises(ValueError, match=words):
        split_rows(cv, *rule, None, 0)


def test_a_single_row_has_no_folds():
    with pytest.raises(ValueError, match="cannot split 1 row"):
        split_rows(5, np.ones((1, 2)), np.ones(1), None, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_seconds", "5"),
        ("max_seconds", -1),
        ("max_seconds", float("nan")),
        ("random_state", -1),
        ("random_state", 0.5),
        ("random_state", True),
    ],
)
def test_parameters_that_may_not_be_are_named(small, rule, name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be .* got {value!r}"):
        diagnose(small(max_epochs=2).fit(*rule), **{name: value})
