"""Verdicts on a test set: scores as the models give them, whatever the model, the target and the metric."""

import re
import warnings
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer, make_scorer, max_error
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseWarning, Verification, verify_test_set
from sk_dlsteps.report.report import Report
from sk_dlsteps.step5_test.looks import forget_looks

QUICK = {"max_epochs": 4, "n_estimators": 3, "learning_rate": 0.01, "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 4))
NUMBERS = X @ [1.0, 0.5, 0.0, 0.0] + RNG.normal(size=400)
LABELS = np.where(NUMBERS > 0, "<b>yes</b>", "no $|$")
TRAIN, TEST = slice(0, 250), slice(250, 400)


def search_over(model, y=NUMBERS, **parameters):
    """A search of two candidates."""
    name = next(name for name in ("alpha", "C") if hasattr(model, name))
    return GridSearchCV(model, {name: [0.1, 1.0]}, **parameters).fit(X[TRAIN], y[TRAIN])


def at_first_sight(*arguments, **parameters):
    """Verify on rows as if nobody had looked at them."""
    forget_looks()
    return quickly(*arguments, **parameters)


def quickly(model, y=NUMBERS, **parameters):
    """Verify with few resamples."""
    return verify_test_set(model, X[TEST], y[TEST], **{"n_resamples": 100, **parameters})


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (StepwiseRegressor(**QUICK), NUMBERS),
        (StepwiseRegressor(loss="quantile", **QUICK), NUMBERS),
        (StepwiseRegressor(**QUICK), np.c_[NUMBERS, X[:, 1]]),
        (StepwiseClassifier(**QUICK), LABELS),
        (StepwiseClassifier(calibrate=True, **QUICK), LABELS),
        (StepwiseClassifier(**QUICK), (X[:, :3] > 0).astype(int)),
        (make_pipeline(StandardScaler(), StepwiseClassifier(**QUICK)), LABELS),
    ],
    ids=["regressor", "quantiles", "outputs", "labels", "calibrated", "multilabel", "pipeline"],
)
def test_the_scores_are_those_of_the_model(model, y):
    model.fit(X[TRAIN], y[TRAIN])
    found = quickly(model, y)
    last = model[-1] if hasattr(model, "steps") else model
    assert found.test_score == pytest.approx(model.score(X[TEST], y[TEST]))
    assert found.validation_score == last.validation_score_
    assert found.gap == pytest.approx(found.validation_score - found.test_score)
    assert found.gap_interval[0] < found.gap < found.gap_interval[1]
    assert found.test_interval[0] <= found.test_score <= found.test_interval[1]
    assert (found.n_test, found.n_validation, found.n_candidates, found.n_looks) == (150, 250, 1, 1)


def test_single_networks_are_scored_one_by_one():
    model = StepwiseRegressor(**QUICK).fit(X[TRAIN], NUMBERS[TRAIN])
    net = model.pipeline_[-1]
    each = net.network_predictions(model.pipeline_[:-1].transform(X[TEST]))[..., 0]
    loss = ((each - NUMBERS[TEST][:, None]) ** 2).mean()
    found = quickly(model)
    assert found.network_score == pytest.approx(1 - loss / NUMBERS[TEST].var(), rel=1e-5)
    assert found.network_score < found.test_score


@pytest.mark.parametrize(
    ("model", "y", "scoring"),
    [
        (Ridge(), NUMBERS, None),
        (Ridge(), NUMBERS, "neg_mean_absolute_error"),
        (Ridge(), NUMBERS, "neg_root_mean_squared_error"),
        (LogisticRegression(), LABELS, "neg_log_loss"),
        (LogisticRegression(), LABELS, "roc_auc"),
        (LogisticRegression(), LABELS, "balanced_accuracy"),
        (LogisticRegression(), LABELS, lambda model, X, y: float((model.predict_proba(X).max(1) > 0.6).mean())),
    ],
    ids=["r2", "mae", "rmse", "log loss", "auc", "balanced", "own"],
)
def test_any_score_of_any_estimator_in_a_search_is_verified(model, y, scoring):
    search = search_over(model, y, scoring=scoring)
    found = quickly(search, y)
    assert found.test_score == pytest.approx(search.score(X[TEST], y[TEST]))
    assert found.validation_score == pytest.approx(search.best_score_)
    assert found.gap == pytest.approx(found.validation_score - found.optimism - found.test_score)
    assert found.n_candidates == 2


@pytest.mark.parametrize("scoring", ["neg_log_loss", "neg_mean_squared_error", "accuracy"])
def test_losses_of_rows_and_scores_computed_anew_agree(scoring):
    y, model = (NUMBERS, Ridge()) if "squared" in scoring else (LABELS, LogisticRegression())
    known = get_scorer(scoring)
    # With a keyword of its own the metric is no longer one that we know the rows of.
    anew = make_scorer(
        lambda y, p, **kw: known._score_func(y, p),
        greater_is_better=known._sign > 0,
        response_method="predict_proba" if "log" in scoring else "predict",
    )
    found, expected = (at_first_sight(search_over(model, y, scoring=s), y) for s in (scoring, anew))
    np.testing.assert_allclose(found.test_interval, expected.test_interval)
    np.testing.assert_allclose(found.gap_interval, expected.gap_interval, rtol=0.05, atol=0.01)


def test_rows_that_changed_are_found_and_the_next_step_is_the_article_s():
    search = search_over(Ridge())
    shuffled = RNG.permutation(NUMBERS[TEST])
    found = verify_test_set(search, X[TEST], shuffled)
    assert found.verdict == "validation overfitted"
    assert found.gap_interval[0] > 0
    assert "enlarge the validation set" in found.next_step
    assert "do not tune on the test set" in found.next_step


def test_many_rows_confirm_and_few_do_not_and_say_how_many_would():
    X, y = make_classification(6000, random_state=0)
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}).fit(X[:3000], y[:3000])
    many = verify_test_set(search, X[3000:], y[3000:])
    few = verify_test_set(search, X[3000:3040], y[3000:3040])
    assert (many.verdict, few.verdict) == ("confirmed", "inconclusive")
    assert "step 6" in many.next_step
    assert many.detectable_gap < 0.05 < few.detectable_gap
    assert f"{few.n_test_needed:,} test rows instead of 40" in few.next_step
    assert verify_test_set(search, X[3000 : 3000 + few.n_test_needed], y[3000 : 3000 + few.n_test_needed]).verdict != (
        "validation overfitted"
    )


def test_a_dummy_that_is_as_bad_as_promised_is_confirmed():
    search = GridSearchCV(DummyRegressor(), {"strategy": ["mean"]}).fit(X[TRAIN], NUMBERS[TRAIN])
    assert quickly(search, tolerance=0.2).verdict == "confirmed"


@pytest.mark.no_cover  # many times what other tests do once
def test_false_verdicts_are_rare_in_real_searches_among_noise():
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(160, 8)), rng.normal(size=160)
        space = {"alpha": np.geomspace(0.01, 1e4, 8)}
        search = GridSearchCV(Ridge(), space, scoring="neg_mean_squared_error").fit(X[:80], y[:80])
        found.append(verify_test_set(search, X[80:], y[80:], n_resamples=200).verdict)
    # More than 5 of 40 at a level of 5 % would be a chance of one in a hundred.
    assert found.count("validation overfitted") <= 5


def test_weights_count_as_copies_and_zeros_not_at_all():
    model, counts = search_over(Ridge()), RNG.integers(0, 3, 150)
    weighted = quickly(model, sample_weight=counts)
    copies = np.repeat(np.arange(250, 400), counts)
    repeated = verify_test_set(model, X[copies], NUMBERS[copies], groups=copies, n_resamples=100)
    assert weighted.test_score == pytest.approx(repeated.test_score)
    assert weighted.test_interval == pytest.approx(repeated.test_interval)
    assert weighted.n_test == (counts > 0).sum()


def test_groups_that_share_an_error_widen_the_intervals():
    groups = np.arange(400) // 10
    y = NUMBERS + 2 * np.random.default_rng(1).normal(size=40)[groups]
    search = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=GroupKFold(5), scoring="neg_mean_squared_error")
    search.fit(X[TRAIN], y[TRAIN], groups=groups[TRAIN])
    alone, together = (at_first_sight(search, y, groups=g, n_resamples=500) for g in (None, groups[TEST]))
    width = [found.test_interval[1] - found.test_interval[0] for found in (alone, together)]
    assert width[1] > 1.3 * width[0]


def test_a_second_look_warns_and_is_counted_whatever_the_model():
    first = quickly(search_over(Ridge()))
    with pytest.warns(StepwiseWarning, match="looked at for the 2nd time"):
        second = quickly(StepwiseRegressor(**QUICK).fit(X[TRAIN], NUMBERS[TRAIN]))
    with pytest.warns(StepwiseWarning, match="looked at for the 3rd time"):
        third = verify_test_set(search_over(Ridge()), pd.DataFrame(X[TEST]).to_numpy(), NUMBERS[TEST], n_resamples=100)
    assert [found.n_looks for found in (first, second, third)] == [1, 2, 3]
    assert "this is the 2nd look at these test rows" in second.records()[0].because
    assert "look at" not in first.records()[0].because


def test_a_call_that_fails_is_no_look():
    with pytest.raises(ValueError, match="features"):
        verify_test_set(search_over(Ridge()), X[TEST][:, :2], NUMBERS[TEST])
    assert quickly(search_over(Ridge())).n_looks == 1


def test_what_it_says_is_the_report_s_text_and_plain_numbers():
    found = quickly(search_over(Ridge()))
    (record,) = found.records()
    assert (record.number, record.title) == (5, "test set")
    assert repr(found) == Report([record]).to_text().rstrip()
    assert found.next_step in record.evidence.values()
    for field in fields(Verification):
        value = getattr(found, field.name)
        assert type(value) in (str, float, int, tuple, type(None)), field.name


def test_the_same_call_gives_the_same_and_leaves_everything_as_it_was():
    model, X_test, y_test = search_over(Ridge()), X[TEST].copy(), NUMBERS[TEST].copy()
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    one = quickly(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StepwiseWarning)
        again, other = quickly(model), quickly(model, random_state=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.testing.assert_array_equal(X_test, X[TEST])
    np.testing.assert_array_equal(y_test, NUMBERS[TEST])
    assert one.test_interval == again.test_interval != other.test_interval


def test_of_a_model_without_a_promise_there_is_the_test_score():
    found = quickly(Ridge().fit(X[TRAIN], NUMBERS[TRAIN]))
    assert (found.verdict, found.validation_score, found.gap, found.n_validation) == ("inconclusive", None, None, None)
    assert "keeps no validation score" in found.because
    assert "validate" in found.next_step
    assert "test R2" in repr(found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": NUMBERS[:10]}, r"`y_test` must have a value for each of the 150 rows of `X_test`, got 10 rows"),
        (
            {"y_test": np.where(np.arange(150) == 7, np.nan, 1.0)},
            r"`y_test` is missing or infinite in 1 of 150 rows",
        ),
        ({"X_test": X[:1], "y_test": NUMBERS[:1]}, r"two rows or more that count, got 1"),
        ({"groups": np.zeros(150)}, r"`groups` must have two values or more, got 1"),
        ({"groups": np.zeros(3)}, r"`groups` must have a value for each of the 150 rows"),
        ({"sample_weight": -np.ones(150)}, r"Negative values in data passed to `sample_weight`"),
        ({"tolerance": 0}, r"`tolerance` must be 'auto' or a number above 0, got 0"),
        ({"tolerance": "small"}, r"`tolerance` must be 'auto' or a number above 0, got 'small'"),
        ({"confidence": 95}, r"`confidence` must lie between 0.5 and 1, got 95"),
        ({"n_resamples": 10}, r"`n_resamples` must be a whole number of at least 100, got 10"),
        ({"random_state": None}, r"`random_state` must be a whole number of at least 0, got None"),
        ({"scoring": ["r2"]}, r"`scoring` must be a single metric, by name or as a scorer, got \['r2'\]"),
    ],
)
def test_bad_input_is_named_with_a_way_out(change, message):
    given = {"X_test": X[TEST], "y_test": NUMBERS[TEST], **change}
    with pytest.raises(ValueError, match=message):
        verify_test_set(search_over(Ridge()), **given)


def test_labels_that_training_did_not_see_are_named():
    y = LABELS[TEST].astype(object)
    y[3] = "maybe"
    with pytest.raises(ValueError, match=r"holds labels that training did not: 'maybe'; leave those rows out"):
        verify_test_set(search_over(LogisticRegression(), LABELS), X[TEST], y)
    y[3] = None
    with pytest.raises(ValueError, match=r"`y_test` is missing or infinite in 1 of 150 rows, first in row 3"):
        verify_test_set(search_over(LogisticRegression(), LABELS), X[TEST], y)


def test_of_several_metrics_one_must_be_named():
    scoring = ["r2", "neg_mean_absolute_error"]
    search = search_over(Ridge(), scoring=scoring, refit=lambda results: 0)
    with pytest.raises(ValueError, match=r"`scoring` must name one of the metrics of the search"):
        quickly(search)
    found = quickly(search, scoring="neg_mean_absolute_error")
    assert found.validation_score == pytest.approx(search.cv_results_["mean_test_neg_mean_absolute_error"][0])


def of_a_part(model, X, y):
    """A score of half of the rows, predicted on their own."""
    half = len(y) // 2
    return float((model.predict(X[:half]) == y[:half]).mean())


def of_other_inputs(model, X, y):
    """A score by predictions of other inputs."""
    return float((model.predict(-X) == y).mean())


@pytest.mark.parametrize("scoring", [of_a_part, of_other_inputs])
def test_a_scorer_that_predicts_other_inputs_gets_predictions_of_those(scoring):
    search = search_over(LogisticRegression(), LABELS, scoring=scoring)
    assert quickly(search, LABELS).test_score == scoring(search, X[TEST], LABELS[TEST])


@pytest.mark.parametrize(
    ("n_train", "n_test"), [(60, 60), (60, 4000), (4000, 60)], ids=["few", "many test", "few test"]
)
def test_there_is_always_a_number_of_rows(n_train, n_test):
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(n_train + n_test, 2))
    labels = np.where(rows[:, 0] + rng.normal(size=len(rows)) > 0, 1, 0)
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}).fit(rows[:n_train], labels[:n_train])
    for y in (labels, np.r_[labels[:n_train], 1 - labels[n_train:]]):
        found = verify_test_set(search, rows[n_train:], y[n_train:], n_resamples=100)
        assert found.verdict != "confirmed"
        assert re.search(r"\d times as many|[\d,]+ (test|validation) rows", found.next_step)
        assert "however many" not in found.next_step
        assert found.rows_factor == pytest.approx((found.detectable_gap / found.tolerance) ** 2)


def test_weights_of_test_rows_alone_are_no_comparison():
    hard = np.arange(400) % 3 == 0
    y = np.where(hard, -1, 1) * NUMBERS
    search = search_over(Ridge(), y)
    found = quickly(search, y, sample_weight=np.where(hard, 9.0, 1.0)[TEST])
    assert (found.verdict, found.gap) == ("inconclusive", None)
    assert "cannot be compared" in found.because
    assert "verify without `sample_weight`" in found.next_step


@pytest.mark.parametrize("scoring", [of_other_inputs, make_scorer(max_error, greater_is_better=False)])
def test_weights_that_a_score_cannot_take_are_refused(scoring):
    y = (NUMBERS > 0).astype(int)
    search = search_over(LogisticRegression(), y, scoring=scoring)
    weight = np.where(X[TEST, 0] > 0, 2.0, 1.0)
    with pytest.raises(ValueError, match=r"`sample_weight` has no place in the .*, which takes none; leave it out"):
        quickly(search, y, sample_weight=weight)
    assert quickly(search, y, sample_weight=np.sign(weight)).n_test == 150
