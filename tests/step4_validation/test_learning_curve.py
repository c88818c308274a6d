import warnings
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn import model_selection
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseWarning, learning_curve
from sk_dlsteps.step4_validation import candidates

X, y = load_diabetes(return_X_y=True)
quick = {"max_epochs": 3, "n_estimators": 1, "learning_rate": 0.01, "random_state": 0}


@pytest.mark.parametrize("train_sizes", [(0.1, 0.33, 0.5, 1.0), (20, 100, 353), (0.5, 0.5, 0.2)])
@pytest.mark.parametrize("scoring", [None, "neg_mean_absolute_error"])
@pytest.mark.filterwarnings("ignore:Removed duplicate entries")
def test_sizes_and_scores_of_a_regressor_are_those_of_scikit_learn(train_sizes, scoring):
    settings = {"train_sizes": train_sizes, "cv": 5, "scoring": scoring, "random_state": 3}
    expected = model_selection.learning_curve(Ridge(), X, y, shuffle=True, **settings)
    curve = learning_curve(Ridge(), X, y, **settings)
    for ours, theirs in zip((curve.train_sizes, curve.train_scores, curve.test_scores), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_with_groups_the_folds_are_scikit_learns():
    groups = np.arange(442) % 13
    settings = {"groups": groups, "cv": GroupKFold(3), "train_sizes": [50, 100]}
    expected = model_selection.learning_curve(Ridge(), X, y, shuffle=True, random_state=0, **settings)
    np.testing.assert_array_equal(learning_curve(Ridge(), X, y, random_state=0, **settings).test_scores, expected[2])


def test_networks_trained_together_score_as_those_trained_one_by_one():
    model = StepwiseRegressor(hidden_units=5, **quick)
    expected = model_selection.learning_curve(
        model, X, y, train_sizes=[60, 120, 200], cv=3, shuffle=True, random_state=0
    )
    curve = learning_curve(model, X, y, train_sizes=[60, 120, 200], cv=3, random_state=0)
    np.testing.assert_allclose(curve.train_scores, expected[1], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(curve.test_scores, expected[2], rtol=1e-3, atol=1e-4)


def test_all_sizes_and_folds_are_trained_in_one_call():
    calls = []

    class Watched(StepwiseRegressor):
        @staticmethod
        def _fit_together(estimators, tables):
            calls.append([len(rows) for rows, _ in tables])
            yield from StepwiseRegressor._fit_together(estimators, tables)

    for model in (Watched(**quick), make_pipeline(StandardScaler(), Watched(**quick))):
        learning_curve(model, X, y, train_sizes=[60, 120], cv=3, random_state=0)
        assert sorted(calls.pop()) == [60] * 3 + [120] * 3
        assert not calls


def test_the_transformers_of_a_pipeline_see_only_the_subset():
    model = make_pipeline(StandardScaler(), StepwiseRegressor(hidden_units=5, **quick))
    expected = model_selection.learning_curve(model, X, y, train_sizes=[60, 200], cv=3, shuffle=True, random_state=0)
    curve = learning_curve(model, X, y, train_sizes=[60, 200], cv=3, random_state=0)
    np.testing.assert_allclose(curve.test_scores, expected[2], rtol=1e-3, atol=1e-4)


class Remembers(ClassifierMixin, BaseEstimator):
    """Notes the rows it is fitted on; the first column is their number."""

    seen: ClassVar[list] = []

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.seen.append((X[:, 0].astype(int), np.asarray(y)))
        return self

    def predict(self, X):
        return np.repeat(self.classes_[:1], len(X))


def rows_seen(labels, train_sizes, **settings):
    """Rows and labels of each subset, fold by fold."""
    Remembers.seen = []
    numbers = np.arange(len(labels))[:, None]
    curve = learning_curve(Remembers(), numbers, labels, train_sizes=train_sizes, random_state=0, **settings)
    n_sizes, n_folds = curve.test_scores.shape
    return [[Remembers.seen[i * n_folds + fold] for i in range(n_sizes)] for fold in range(n_folds)]


def test_subsets_of_a_fold_grow_out_of_each_other_up_to_all_of_it():
    _, labels = load_iris(return_X_y=True)
    folds = StratifiedKFold(5).split(labels, labels)
    for subsets, (train, _) in zip(rows_seen(labels, (0.1, 0.5, 1.0)), folds, strict=True):
        first, second, third = (set(rows) for rows, _ in subsets)
        assert first < second < third == set(train)


def test_subsets_hold_every_class_in_its_share():
    labels = np.repeat(["common", "rare", "single"], [80, 17, 3])
    for subsets in rows_seen(labels, [3, 10, 30, 60], cv=3):
        for rows, seen in subsets:
            counts = {label: int((seen == label).sum()) for label in np.unique(labels)}
            assert min(counts.values()) >= 1
            assert abs(counts["common"] - 0.8 * len(rows)) <= 2


def test_a_classifier_scores_as_it_does_on_its_subsets():
    X, y = load_iris(return_X_y=True)
    curve = learning_curve(GaussianNB(), X, y, train_sizes=[0.5, 1.0], random_state=0)
    expected = cross_validate(GaussianNB(), X, y, cv=5, return_train_score=True)
    np.testing.assert_array_equal(curve.test_scores[1], expected["test_score"])
    np.testing.assert_allclose(curve.train_scores[1], expected["train_score"])
    assert curve.score_name == "accuracy"


def linear_target(n_rows, seed, n_columns=20):
    """Rows of a linear target with noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_columns))
    return X, X.sum(axis=1) + np.sqrt(n_columns) * rng.normal(size=n_rows)


def truly(model, X, y, n_rows):
    """Score on many new rows of a model trained on some."""
    X_new, y_new = linear_target(10_000, seed=99)
    return model.fit(X[:n_rows], y[:n_rows]).score(X_new, y_new)


def test_few_rows_want_more_and_more_really_help():
    X, y = linear_target(160, seed=1)
    curve = learning_curve(Ridge(10.0), X[:80], y[:80], train_sizes=(0.2, 0.4, 0.7, 1.0), random_state=0)
    assert curve.more_rows_help
    assert "R2" in curve.because
    assert curve.record.decision == "more rows would help"
    assert truly(Ridge(10.0), X, y, 128) - truly(Ridge(10.0), X, y, 64) > 0.05 * (1 - curve.test_scores[-1].mean())


def test_many_rows_want_no_more_and_more_really_do_not_help():
    X, y = linear_target(6000, seed=2)
    curve = learning_curve(Ridge(10.0), X[:3000], y[:3000], random_state=0)
    assert curve.more_rows_help is False
    low, high = curve.expected_interval
    assert low <= curve.expected_score <= high < curve.test_scores[-1].mean() + 0.01
    assert truly(Ridge(10.0), X, y, 4800) - truly(Ridge(10.0), X, y, 2400) < 0.01


def test_what_twice_the_rows_brought_lies_within_the_interval_in_most_cases():
    held = 0
    for seed in range(8):
        X, y = linear_target(400, seed=seed)
        curve = learning_curve(Ridge(10.0), X[:200], y[:200], random_state=0)
        gain = truly(Ridge(10.0), X, y, 320) - truly(Ridge(10.0), X, y, 160)
        low, high = np.array(curve.expected_interval) - curve.test_scores[-1].mean()
        held += low <= gain <= high
    assert held >= 6


@pytest.mark.parametrize(
    ("scoring", "name"),
    [
        ("neg_mean_squared_error", "negative mean squared error"),
        ("explained_variance", "explained variance"),
        (make_scorer(mean_absolute_error, greater_is_better=False), "score"),
    ],
)
def test_the_verdict_speaks_in_the_scorer_s_units(scoring, name):
    curve = learning_curve(Ridge(), X, y, scoring=scoring, random_state=0)
    assert curve.score_name == name
    assert f" {name} (" in curve.because


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_verdict_does_not_depend_on_the_units_of_the_target(scale):
    curves = [learning_curve(Ridge(), X, k * y, scoring="neg_mean_squared_error", random_state=0) for k in (1, scale)]
    assert curves[0].more_rows_help == curves[1].more_rows_help
    assert curves[1].expected_score == pytest.approx(curves[0].expected_score * scale**2)


def test_a_random_state_gives_the_same_curve_and_global_states_stay_untouched():
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    model = StepwiseRegressor(**quick)
    for random_state in (0, None):
        curves = [learning_curve(model, X, y, train_sizes=[60, 120], cv=3, random_state=random_state) for _ in range(2)]
        equal = [np.array_equal(a, b) for a, b in zip(curves[0].test_scores, curves[1].test_scores, strict=True)]
        assert all(equal) == (random_state == 0)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_the_estimator_and_the_data_stay_as_they_were():
    model, X_before, y_before = make_pipeline(StandardScaler(copy=False), Ridge()), X.copy(), y.copy()
    learning_curve(model, X, y, random_state=0)
    assert not hasattr(model[-1], "coef_")
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(y, y_before)


def test_dataframes_keep_their_names():
    X, y = load_iris(return_X_y=True, as_frame=True)
    curve = learning_curve(StepwiseClassifier(**quick), X, y, train_sizes=[0.5, 1.0], cv=3, random_state=0)
    assert np.isfinite(curve.test_scores).all()


class NeedsTwoClasses(ClassifierMixin, BaseEstimator):
    def __init__(self, failure=ValueError):
        self.failure = failure

    def fit(self, X, y):
        if len(np.unique(y)) < 2:
            raise self.failure("one class only")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.repeat(self.classes_[:1], len(X))


def test_a_subset_that_cannot_be_fitted_scores_nan_and_is_warned_about():
    labels = np.tile([0, 1], 30)
    with pytest.warns(StepwiseWarning, match="5 of 15 fits failed, the first, on 1 rows, with ValueError: one class"):
        curve = learning_curve(NeedsTwoClasses(), np.zeros((60, 2)), labels, train_sizes=[1, 20, 40], random_state=0)
    assert np.isnan(curve.test_scores[0]).all()
    assert np.isfinite(curve.test_scores[1:]).all()
    assert curve.more_rows_help is None


def test_our_own_estimators_fail_in_the_same_way():
    X, y = load_iris(return_X_y=True)
    model = StepwiseClassifier(**quick)
    with pytest.warns(StepwiseWarning, match="3 of 9 fits failed"):
        curve = learning_curve(model, X, y, train_sizes=[1, 50, 100], cv=3, random_state=0)
    assert np.isnan(curve.test_scores[0]).all()
    assert np.isfinite(curve.test_scores[1:]).all()


def test_an_error_score_takes_the_place_of_nan_or_raises():
    data = np.zeros((60, 2)), np.tile([0, 1], 30)
    with pytest.warns(StepwiseWarning, match="failed"):
        curve = learning_curve(NeedsTwoClasses(), *data, train_sizes=[1, 20, 40], error_score=0.0)
    assert (curve.test_scores[0] == 0).all()
    with pytest.raises(ValueError, match=r"^one class only"):
        learning_curve(NeedsTwoClasses(), *data, train_sizes=[1, 20, 40], error_score="raise")


def test_if_every_fit_fails_the_error_says_why():
    with pytest.raises(ValueError, match=r"All 10 fits failed, .*one class only.*error_score"):
        learning_curve(NeedsTwoClasses(), np.zeros((60, 2)), np.zeros(60), train_sizes=[20, 40])


@pytest.mark.parametrize("words", ["too few\n\nSee the manual:\n  page 3", "\ntoo few\nSee the manual"])
def test_an_error_of_many_lines_is_quoted_by_the_line_that_names_it(words):
    class Failing(NeedsTwoClasses):
        def fit(self, X, y):
            try:
                raise KeyError("inner")
            except KeyError as error:
                raise ValueError(words) from error

    with pytest.raises(ValueError, match=r"with ValueError: too few\. `error_score"):
        learning_curve(Failing(), np.zeros((60, 2)), np.tile([0, 1], 30), train_sizes=[20, 40])


def test_it_prints_as_rows_scores_and_verdict():
    curve = learning_curve(Ridge(), X, y, random_state=0)
    title, rows, scores, *verdict = repr(curve).splitlines()
    assert title == "LearningCurve"
    assert rows.split() == ["training", "rows", *map(str, curve.train_sizes)]
    assert scores.split() == ["test", "R2", *(f"{mean:.4g}" for mean in curve.test_scores.mean(axis=1))]
    assert len(rows) == len(scores)
    assert " ".join(verdict) == f"{curve.record.decision}: {curve.because}"
    labels = np.tile([0, 1], 30)
    with pytest.warns(StepwiseWarning, match="failed"):
        assert " nan " in repr(learning_curve(NeedsTwoClasses(), np.zeros((60, 2)), labels, train_sizes=[1, 20, 40]))


def test_large_tables_are_trained_in_turns_with_the_same_scores(monkeypatch):
    sizes = []

    class Watched(StepwiseRegressor):
        @staticmethod
        def _fit_together(estimators, tables):
            sizes.append([len(rows) for rows, _ in tables])
            yield from StepwiseRegressor._fit_together(estimators, tables)

    once = learning_curve(Watched(**quick), X, y, train_sizes=[60, 120], cv=3, random_state=0)
    sizes.clear()
    monkeypatch.setattr(candidates, "MOST_BYTES", 3 * (60 + 148) * 80)
    in_turns = learning_curve(Watched(**quick), X, y, train_sizes=[60, 120], cv=3, random_state=0)
    assert sizes == [[60] * 3, [120] * 2, [120]]
    np.testing.assert_allclose(in_turns.test_scores, once.test_scores, rtol=1e-4)
    np.testing.assert_allclose(in_turns.train_scores, once.train_scores, rtol=1e-4)


def test_an_interruption_passes_through():
    with pytest.raises(KeyboardInterrupt):
        learning_curve(NeedsTwoClasses(KeyboardInterrupt), np.zeros((60, 2)), np.tile([0, 1], 30), train_sizes=[1, 20])


@pytest.mark.parametrize("train_sizes", [(0.5, 1.5), (0.0, 1.0), (100, 354), (0, 100), (), ("half",), (0.5, np.nan), 5])
def test_sizes_that_are_no_numbers_of_training_rows_are_refused(train_sizes):
    with pytest.raises(ValueError, match=r"`train_sizes` must be .* from 1 to 353, .*got [(5]"):
        learning_curve(LinearRegression(), X, y, train_sizes=train_sizes)


@pytest.mark.parametrize("random_state", ["a", -1, np.random.default_rng(0)])
def test_a_random_state_that_is_none_is_named(random_state):
    with pytest.raises(ValueError, match="`random_state` must be None, an integer"):
        learning_curve(LinearRegression(), X, y, random_state=random_state)


def test_too_few_rows_for_the_folds_are_refused_by_name():
    with pytest.raises(ValueError, match=r"`cv=KFold\(n_splits=5.* cannot split the rows: .*3; give another `cv`"):
        learning_curve(LinearRegression(), X[:3], y[:3])


def test_one_score_only_is_taken():
    with pytest.raises(ValueError, match="`scoring` must be one score"):
        learning_curve(LinearRegression(), X, y, scoring=["r2", "neg_mean_squared_error"])


def test_several_targets_are_taken():
    several = learning_curve(Ridge(), X, np.c_[y, -y], train_sizes=[50, 100, 200], random_state=0)
    single = learning_curve(Ridge(), X, y, train_sizes=[50, 100, 200], random_state=0)
    np.testing.assert_allclose(several.test_scores, single.test_scores)


def test_a_single_split_cannot_tell():
    split = next(KFold(5).split(X))
    curve = learning_curve(Ridge(), X, y, cv=[split], random_state=0)
    assert curve.more_rows_help is None
    assert np.isnan(curve.expected_score)
    assert "two are needed" in curve.because


def test_a_warning_names_the_caller():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        learning_curve(NeedsTwoClasses(), np.zeros((60, 2)), np.tile([0, 1], 30), train_sizes=[1, 20, 40])
    assert [warning.filename for warning in caught] == [__file__]
