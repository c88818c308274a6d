"""What step 4 promised, read off searches of every kind and off models."""

import numpy as np
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    KFold,
    RepeatedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
)

from sk_dlsteps import StepwiseRegressor, StepwiseSearchCV
from sk_dlsteps.fitted import Fitted
from sk_dlsteps.step5_test.metric import Metric
from sk_dlsteps.step5_test.promise import Promise

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
Y = X[:, 0] + RNG.normal(size=120)


def promise_of(model, scoring=None, y=Y):
    """The promise of a fitted model."""
    fitted = Fitted.of(model)
    return Promise.of(fitted, Metric.of(fitted, scoring, y))


@pytest.mark.parametrize(
    ("cv", "share"),
    [
        (4, 1 / 4),
        (KFold(3), 1 / 3),
        (RepeatedKFold(n_splits=4, n_repeats=5, random_state=0), 1 / 4),
        (ShuffleSplit(10, test_size=0.25, random_state=0), 0.25),
        (ShuffleSplit(10, random_state=0), 0.1),
        (ShuffleSplit(10, train_size=0.6, random_state=0), 0.4),
        (list(KFold(6).split(X)), 1 / 6),
        ([(np.arange(120) < 90, np.arange(120) >= 90), (np.arange(120) >= 30, np.arange(120) < 30)], 0.25),
    ],
    ids=["int", "k-fold", "repeated", "test size", "default size", "train size", "list", "masks"],
)
def test_the_error_is_nadeau_and_bengio_s_by_the_share_of_rows_that_folds_test(cv, share):
    search = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=cv).fit(X, Y)
    scores = np.array([search.cv_results_[f"split{i}_test_score"][0] for i in range(search.n_splits_)])
    found, k = promise_of(search), len(scores)
    assert found.score == pytest.approx(search.best_score_)
    assert found.error == pytest.approx(scores.std(ddof=1) * np.sqrt(1 / k + share / (1 - share)))
    # Repetitions bring no new rows.
    assert found.row_error == pytest.approx(scores.std(ddof=1) * np.sqrt(max(1 / k, share) + 0.5 * share / (1 - share)))
    assert (found.n_candidates, found.optimism) == (1, 0.0)


def test_our_search_knows_its_rows():
    splits = list(TimeSeriesSplit(4).split(X))
    search = StepwiseSearchCV(Ridge(), {"alpha": [0.1, 1, 10]}, strategy="random", n_iter=3, cv=splits).fit(X, Y)
    assert search.n_validation_rows_ == len({int(i) for _, test in splits for i in test}) == promise_of(search).n_rows
    masks = [(np.arange(120) < 60, np.arange(120) >= 60), (np.arange(120) >= 60, np.arange(120) < 60)]
    search = StepwiseSearchCV(Ridge(), {"alpha": [1.0]}, strategy="random", n_iter=1, cv=masks).fit(X, Y)
    assert search.n_validation_rows_ == 120


def test_the_best_of_many_owes_something_to_luck():
    search = GridSearchCV(Ridge(), {"random_state": list(range(4)), "alpha": [1, 10, 100]}, cv=4).fit(X, Y)
    found = promise_of(search)
    assert found.n_candidates == 12
    assert 0 <= found.optimism < 0.1


def test_halving_compares_what_had_the_same_resources():
    search = HalvingGridSearchCV(Ridge(), {"alpha": [0.1, 1, 10, 100]}, cv=3, min_resources=30, random_state=0)
    found = promise_of(search.fit(X, Y))
    assert found.n_candidates == len(search.cv_results_["params"])
    assert found.score == pytest.approx(search.best_score_)


def test_groups_count_by_their_folds():
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=GroupKFold(5)).fit(X, Y, groups=np.arange(120) // 6)
    assert promise_of(search).freedom == pytest.approx(4)


def test_of_several_metrics_the_one_that_counts_or_the_one_asked_for():
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 9.0]}, scoring=["r2", "neg_mean_absolute_error"], refit="r2").fit(
        X, Y
    )
    best = search.best_index_
    assert promise_of(search).score == pytest.approx(search.cv_results_["mean_test_r2"][best])
    found = promise_of(search, "neg_mean_absolute_error")
    assert found.score == pytest.approx(search.cv_results_["mean_test_neg_mean_absolute_error"][best])


def test_a_score_that_step_4_has_not_seen_is_said_to_be_so():
    search = GridSearchCV(Ridge(), {"alpha": [1.0]}).fit(X, Y)
    assert "search with `scoring='neg_max_error'`" in promise_of(search, "neg_max_error")
    assert promise_of(search, "r2").score == pytest.approx(search.best_score_)


def test_without_held_out_rows_the_way_out_is_named():
    assert "GridSearchCV(model, {})" in promise_of(Ridge().fit(X, Y))
    quick = {"max_epochs": 2, "n_estimators": 2, "learning_rate": 0.01, "random_state": 0}
    everywhere = StepwiseRegressor(early_stopping=False, **quick).fit(X, Y)
    assert "no rows were held out" in promise_of(everywhere)
    assert "search with `scoring='neg_mean_squared_error'`" in promise_of(everywhere, "neg_mean_squared_error")
    single = StepwiseRegressor(**quick).fit(X, Y, X_val=X[:1], y_val=Y[:1])
    assert "a single row validated" in promise_of(single)
    one_split = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=ShuffleSplit(1, random_state=0)).fit(X, Y)
    assert "a single split shows no noise" in promise_of(one_split)


def test_a_candidate_that_failed_promises_nothing():
    y = np.r_[np.zeros(60), np.ones(60)]
    with pytest.warns(UserWarning, match="Scoring failed|One or more"):
        search = GridSearchCV(
            LogisticRegression(), {"C": [1.0]}, scoring=lambda *_: 1 / 0, cv=2, refit=True, error_score=np.nan
        ).fit(X, y)
    assert "failed on some folds" in promise_of(search, search.scoring, y)


def test_cross_fitted_networks_promise_with_the_error_of_their_rows():
    model = StepwiseRegressor(max_epochs=3, n_estimators=4, learning_rate=0.01, random_state=0).fit(X, Y)
    found = promise_of(model)
    assert (found.score, found.row_error) == (model.validation_score_, model.validation_error_)
    assert found.error == pytest.approx(model.validation_error_ * np.sqrt(1 + 4 / 3))
    assert (found.n_rows, found.freedom, found.of_single_networks) == (120, 119, True)
    given = StepwiseRegressor(max_epochs=3, n_estimators=4, learning_rate=0.01, random_state=0)
    found = promise_of(given.fit(X[:80], Y[:80], X_val=X[80:], y_val=Y[80:]))
    assert (found.error, found.n_rows, found.of_single_networks) == (given.validation_error_, 40, False)
