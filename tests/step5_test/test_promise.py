"""What step 4 promised, read off searches of every kind and off models."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import fbeta_score, make_scorer, r2_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    KFold,
    LeaveOneOut,
    RepeatedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
)

from sk_dlsteps import StepwiseRegressor, StepwiseSearchCV
from sk_dlsteps.fitted import Fitted
from sk_dlsteps.step5_test.metric import Metric
from sk_dlsteps.step5_test.optimism import Optimism
from sk_dlsteps.step5_test.promise import Promise

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
Y = X[:, 0] + RNG.normal(size=120)
QUICK = {"max_epochs": 2, "n_estimators": 2, "learning_rate": 0.01, "random_state": 0}


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
        (ShuffleSplit(10, test_size=30, train_size=60, random_state=0), 1 / 3),
        (ShuffleSplit(10, test_size=0.2, train_size=0.2, random_state=0), 0.5),
        (list(KFold(6).split(X)), 1 / 6),
        ([(np.arange(120) < 90, np.arange(120) >= 90), (np.arange(120) >= 30, np.arange(120) < 30)], 0.25),
    ],
    ids=["int", "k-fold", "repeated", "test size", "default size", "train size", "numbers", "shares", "list", "masks"],
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
    assert found.n_candidates == 4
    assert found.score == pytest.approx(search.best_score_)


def test_a_sole_survivor_of_halving_brings_the_luck_of_the_rounds_before():
    space = {"alpha": [float(alpha) for alpha in range(9)]}
    search = HalvingRandomSearchCV(Ridge(), space, n_candidates=9, cv=5, min_resources=13, random_state=0)
    search.set_params(scoring="neg_mean_squared_error").fit(X, Y)
    results, best = search.cv_results_, search.best_index_
    assert results["iter"].tolist().count(results["iter"].max()) == 1
    scores = np.column_stack([results[f"split{i}_test_score"] for i in range(5)])
    by_round = []
    for number in range(results["iter"].max()):
        rows = np.flatnonzero(results["iter"] == number)
        own = next(i for i, row in enumerate(rows) if results["params"][row] == results["params"][best])
        share = results["n_resources"][rows[0]] / results["n_resources"][best]
        by_round.append(share * Optimism.of(scores[rows], own).value)
    assert promise_of(search).optimism == pytest.approx(max(by_round))
    assert max(by_round) > 0
    assert promise_of(search).n_candidates == 9


def test_the_rows_of_a_search_over_our_models_are_those_that_the_last_one_was_fitted_on():
    model = StepwiseRegressor(**QUICK)
    search = GridSearchCV(model, {"dropout": [0.0]}, cv=ShuffleSplit(4, test_size=30, random_state=0)).fit(X, Y)
    share = GridSearchCV(model, {"dropout": [0.0]}, cv=ShuffleSplit(4, test_size=0.25, random_state=0)).fit(X, Y)
    assert promise_of(search).error == pytest.approx(promise_of(share).error)
    assert promise_of(search).n_rows is None
    everywhere = StepwiseRegressor(early_stopping=False, **QUICK)
    for one in (model, everywhere):
        assert promise_of(GridSearchCV(one, {"dropout": [0.0]}, cv=3).fit(X, Y)).n_rows == 120
    assert promise_of(GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=3).fit(X, Y)).n_rows is None
    splits = [(np.arange(60), np.arange(60, 100)), (np.arange(60, 120), np.arange(60))]
    assert promise_of(GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=splits).fit(X, Y)).n_rows == 100


def test_a_number_of_test_rows_of_an_unknown_total_is_said_to_be_so():
    for cv in (ShuffleSplit(4, test_size=30, random_state=0), ShuffleSplit(4, train_size=30, random_state=0)):
        found = promise_of(GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=cv).fit(X, Y))
        assert "give the sizes as shares of the rows, or the splits as a list" in found.because


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
    assert "search with `scoring='neg_max_error'`" in promise_of(search, "neg_max_error").because
    assert promise_of(search, "r2").score == pytest.approx(search.best_score_)


def test_a_scorer_that_step_4_has_not_seen_is_called_by_its_function():
    labels = (Y > 0).astype(int)
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}).fit(X, labels)
    doubled = make_scorer(fbeta_score, beta=2)
    assert "has not seen the fbeta_score: search with the same `scoring`" in promise_of(search, doubled, labels).because
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, scoring=doubled).fit(X, labels)
    again = make_scorer(fbeta_score, beta=2)
    assert promise_of(search, again, labels).score == pytest.approx(search.best_score_)
    assert "not seen" in promise_of(search, make_scorer(fbeta_score, beta=3), labels).because


def test_a_metric_is_known_again_under_the_name_that_a_search_gave_it():
    labels = (Y > 0).astype(int)
    scoring = {"f": "f1", "a": "accuracy"}
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, scoring=scoring, refit="f").fit(X, labels)
    assert promise_of(search, "accuracy", labels).score == pytest.approx(search.cv_results_["mean_test_a"][0])
    assert promise_of(search, None, labels).score == pytest.approx(search.cv_results_["mean_test_f"][0])


@pytest.mark.filterwarnings("ignore:.*R.2 score is not well-defined:UserWarning")
@pytest.mark.filterwarnings("ignore:One or more of the test scores:UserWarning")
def test_folds_of_a_single_row_have_no_r2():
    search = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=LeaveOneOut()).fit(X[:12], Y[:12])
    assert "R2 is not defined on folds of a single row: search with" in promise_of(search).because


WEIGHT = np.where(X[:, 1] > 0, 6.0, 1.0)


@pytest.mark.parametrize(
    ("weights", "weighted"),
    [
        ({}, False),
        ({"sample_weight": WEIGHT}, True),
        ({"sample_weight": 2 * np.sign(WEIGHT)}, False),
        ({"sample_weight": np.where(WEIGHT > 1, 0.0, 1.0)}, False),
        ({"sample_weight": WEIGHT, "X_val": X, "y_val": Y}, False),
        ({"X_val": X, "y_val": Y, "sample_weight_val": WEIGHT}, True),
    ],
    ids=["none", "rows", "equal", "zeros", "given without", "given with"],
)
def test_a_model_is_compared_only_where_rows_count_alike_on_both_sides(weights, weighted):
    model = StepwiseRegressor(**QUICK).fit(X, Y, **weights)
    assert model.validation_weighted_ == weighted
    fitted = Fitted.of(model)
    alike, apart = (Promise.of(fitted, Metric.of(fitted, None, Y), w) for w in (weighted, not weighted))
    assert alike.score == model.validation_score_
    assert "cannot be compared" in apart.because
    assert ("with the `sample_weight`" if weighted else "without `sample_weight`") in apart.next_step


def test_tiny_tables_whose_equal_rows_are_merged_are_not_weighted():
    model = StepwiseRegressor(**QUICK).fit(np.r_[X[:10], X[:5]], np.r_[Y[:10], Y[:5]])
    assert not model.validation_weighted_


def test_a_search_is_compared_by_weights_only_if_its_scorer_asks_for_them():
    search = GridSearchCV(Ridge(), {"alpha": [1.0]}).fit(X, Y, sample_weight=WEIGHT)
    fitted = Fitted.of(search)
    found = Promise.of(fitted, Metric.of(fitted, None, Y), weighted=True)
    assert "the test score counts rows by `sample_weight` and the validation score does not" in found.because
    with config_context(enable_metadata_routing=True):
        model = Ridge().set_fit_request(sample_weight=True)
        scorer = make_scorer(r2_score).set_score_request(sample_weight=True)
        search = GridSearchCV(model, {"alpha": [1.0]}, scoring=scorer).fit(X, Y, sample_weight=WEIGHT)
    fitted = Fitted.of(search)
    found = Promise.of(fitted, Metric.of(fitted, None, Y), weighted=True)
    assert found.score == pytest.approx(search.best_score_)


def test_without_held_out_rows_the_way_out_is_named():
    assert "GridSearchCV(model, {})" in promise_of(Ridge().fit(X, Y)).because
    everywhere = StepwiseRegressor(early_stopping=False, **QUICK).fit(X, Y)
    assert "no rows were held out" in promise_of(everywhere).because
    assert "search with `scoring='neg_mean_squared_error'`" in promise_of(everywhere, "neg_mean_squared_error").because
    single = StepwiseRegressor(**QUICK).fit(X, Y, X_val=X[:1], y_val=Y[:1])
    assert "a single row validated" in promise_of(single).because
    one_split = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=ShuffleSplit(1, random_state=0)).fit(X, Y)
    assert "a single split shows no noise" in promise_of(one_split).because


def test_a_candidate_that_failed_promises_nothing():
    y = np.r_[np.zeros(60), np.ones(60)]
    with pytest.warns(UserWarning, match="Scoring failed|One or more"):
        search = GridSearchCV(
            LogisticRegression(), {"C": [1.0]}, scoring=lambda *_: 1 / 0, cv=2, refit=True, error_score=np.nan
        ).fit(X, y)
    assert "failed on some folds" in promise_of(search, search.scoring, y).because


def test_cross_fitted_networks_promise_with_the_error_of_their_rows():
    model = StepwiseRegressor(max_epochs=3, n_estimators=4, learning_rate=0.01, random_state=0).fit(X, Y)
    found = promise_of(model)
    assert (found.score, found.row_error) == (model.validation_score_, model.validation_error_)
    assert found.error == pytest.approx(model.validation_error_ * np.sqrt(1 + 4 / 3))
    assert (found.n_rows, found.freedom, found.of_single_networks) == (120, 119, True)
    given = StepwiseRegressor(max_epochs=3, n_estimators=4, learning_rate=0.01, random_state=0)
    found = promise_of(given.fit(X[:80], Y[:80], X_val=X[80:], y_val=Y[80:]))
    assert (found.error, found.n_rows, found.of_single_networks) == (given.validation_error_, 40, False)
