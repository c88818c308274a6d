import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.svm import LinearSVC

from sk_dlsteps.step6_real_world.column_reader import ColumnValues
from sk_dlsteps.step6_real_world.domain import compare_domains, rank_test


def columns(X):
    """Columns of a table of numbers."""
    return [ColumnValues(column) for column in X.T]


def compare(old, new, estimator=None, seed=0, level=0.01):
    """The test of two tables."""
    names = [f"x{j}" for j in range(old.shape[1])]
    return compare_domains(names, columns(old), columns(new), estimator, level, np.random.default_rng(seed))


def test_columns_that_are_only_tied_to_each_other_otherwise_are_told_apart_and_named():
    rng = np.random.default_rng(0)
    old, new = rng.normal(size=(600, 5)), rng.normal(size=(600, 5))
    new[:, 3] = 0.9 * new[:, 1] + np.sqrt(1 - 0.81) * new[:, 3]
    test = compare(old, new)
    assert test.p_value < 0.001
    assert test.auc > 0.6
    assert {name for name, _ in test.columns} == {"x1", "x3"}


@pytest.mark.parametrize("estimator", [LogisticRegression(), LinearSVC()])
def test_another_classifier_may_judge_and_stays_unfitted(estimator):
    rng = np.random.default_rng(0)
    test = compare(rng.normal(size=(100, 2)), rng.normal(1, 1, size=(100, 2)), estimator)
    assert test.p_value < 1e-4
    assert not hasattr(estimator, "coef_")


def test_the_auc_and_its_p_value_are_those_of_scikit_learn_and_scipy():
    rng = np.random.default_rng(0)
    scores, y = rng.normal(size=60).round(1), rng.integers(0, 2, 60)
    auc, p_value = rank_test(scores, y)
    assert auc == pytest.approx(roc_auc_score(y, scores))
    assert p_value == pytest.approx(mannwhitneyu(scores[y == 1], scores[y == 0], alternative="greater").pvalue)
    assert rank_test(np.ones(4), np.array([0, 0, 1, 1])) == (0.5, 1.0)


@pytest.mark.no_cover  # many times what other tests do once
def test_the_p_value_of_clean_rows_keeps_its_level():
    rng = np.random.default_rng(0)
    p_values = [
        compare(rng.normal(size=(60, 4)), rng.normal(size=(60, 4)), LogisticRegression(), seed).p_value
        for seed in range(300)
    ]
    assert np.mean(np.array(p_values) < 0.05) < 0.08


def test_numbers_of_rows_tell_nothing_of_their_kind():
    rng = np.random.default_rng(0)
    old, new = ([ColumnValues(np.arange(300), [f"{kind}{i}" for i in range(300)])] for kind in ("a", "b"))
    test = compare_domains(["id"], old, new, None, 0.01, rng)
    assert test.p_value > 0.01
    assert test.columns == ()


def test_a_few_rows_are_not_judged():
    assert compare(np.zeros((100, 2)), np.zeros((19, 2))) is None


def test_columns_without_a_value_tell_rows_apart_only_if_they_have_some_later():
    rng = np.random.default_rng(0)
    old, new = rng.normal(size=(100, 2)), rng.normal(size=(100, 2))
    old[:, 1] = np.nan
    assert compare(old, new).p_value < 1e-6
    new[:, 1] = np.nan
    assert compare(old, new).p_value > 0.01
