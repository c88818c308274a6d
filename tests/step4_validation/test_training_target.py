import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import check_scoring, get_scorer, make_scorer, mean_squared_error
from sklearn.model_selection import KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sk_dlsteps import StepwiseRegressor
from sk_dlsteps.step4_validation.problem import FoldScores, Problem, perfect_score
from sk_dlsteps.step4_validation.training_target import TrainingTarget, holds_no_answer, set_target

SPREAD = np.array([0.0, 0.01, -0.01, 0.02, -0.02])


def folds(test, train, noise=1.0):
    return FoldScores(test + noise * SPREAD, train + noise * SPREAD[::-1])


BASELINES = {"linear": folds(0.5, 0.55), "dummy": folds(-0.05, 0.0, noise=0.0)}
AUTO = TrainingTarget(None, BASELINES, 0.25)


@pytest.mark.parametrize(
    ("scores", "reached", "reason"),
    [
        (folds(0.5, 0.8), True, "variance remains, not bias"),
        (folds(0.5, 0.55), False, "the linear model fits the training rows as well"),
        (folds(-0.1, 0.0), False, "the linear model fits the training rows as well"),
        (folds(0.69, 0.7), False, "is within noise: more could be fitted"),
        (folds(0.3, 0.995, noise=0.0), True, "almost perfect"),
        (FoldScores(np.full(5, np.nan), np.full(5, np.nan)), False, "a fold has no score"),
    ],
)
def test_the_fit_has_to_beat_the_baselines_and_show_a_gap(scores, reached, reason):
    assert AUTO.is_reached(scores)[0] == reached
    assert reason in AUTO.is_reached(scores)[1]


def test_a_number_given_is_the_target():
    target = TrainingTarget(0.7, BASELINES, 0.25)
    assert target.is_reached(folds(0.1, 0.75)) == (True, "training 0.75 reaches the 0.7 you asked for")
    assert target.is_reached(folds(0.1, 0.65)) == (False, "training 0.65 is below the 0.7 you asked for")


def test_perfect_is_1_for_scores_and_0_for_negated_losses():
    assert AUTO.is_perfect(np.ones(5))
    assert not AUTO.is_perfect(np.full(5, 0.999))
    losses = TrainingTarget(None, {"dummy": folds(-0.7, -0.69)}, 0.25, perfect=0.0)
    assert losses.is_perfect(np.zeros(5))
    assert not losses.is_perfect(np.full(5, -0.001))
    unbounded = TrainingTarget(None, {"dummy": folds(100.0, 100.0)}, 0.25)
    assert not unbounded.is_perfect(np.full(5, 1e6))
    assert not unbounded.is_perfect(1.0 + SPREAD)


def test_a_perfect_score_is_one_whatever_the_baselines_do():
    for baselines in ({}, {"dummy": folds(1.0, 1.0, noise=0.0)}):
        target = TrainingTarget(None, baselines, 0.25)
        assert target.is_perfect(np.ones(5))
        assert target.is_reached(FoldScores(np.ones(5), np.ones(5))) == (True, "training 1 is almost perfect")


@pytest.mark.parametrize(
    ("scorer", "name", "perfect"),
    [
        (get_scorer("r2"), "r2", 1.0),
        (get_scorer("neg_log_loss"), "score", 0.0),
        (make_scorer(mean_squared_error, greater_is_better=False), "score", 0.0),
        (check_scoring(LinearRegression()), "R2", 1.0),
        (check_scoring(LinearRegression(), ["r2", "neg_mean_squared_error"]), "neg_mean_squared_error", 0.0),
        (check_scoring(LinearRegression(), {"mine": "neg_mean_squared_error", "r2": "r2"}), "mine", 0.0),
        (lambda model, X, y: 0.0, "neg_loss", 0.0),
        (lambda model, X, y: 0.0, "score", 1.0),
    ],
)
def test_the_scorer_says_what_is_perfect(scorer, name, perfect):
    assert perfect_score(scorer, name) == perfect


def test_nothing_is_fitted_where_a_constant_guess_does_as_well():
    noise = TrainingTarget(None, {**BASELINES, "linear": folds(-0.05, 0.01)}, 0.25)
    assert noise.fits_nothing(folds(0.2, 0.01))
    assert not noise.fits_nothing(folds(0.2, 0.3))


def test_an_overfit_fits_something_and_predicts_nothing():
    noise = TrainingTarget(None, {**BASELINES, "linear": folds(-0.05, 0.01)}, 0.25)
    assert not noise.fits_nothing(folds(-0.05, 0.9))
    assert noise.predicts_nothing(folds(-0.05, 0.9))
    assert not noise.predicts_nothing(folds(0.2, 0.01))


def test_an_answer_that_a_linear_model_finds_is_one():
    assert not AUTO.fits_nothing(folds(-0.05, 0.01))
    assert not AUTO.predicts_nothing(folds(-0.05, 0.01))


def test_without_a_constant_guess_nothing_is_known_of_the_fit():
    target = TrainingTarget(None, {}, 0.25)
    assert not target.fits_nothing(folds(0.0, 0.0))
    assert not target.predicts_nothing(folds(0.0, 0.0))
    assert target.compared(folds(0.0, 0.0)) == ""


def test_baselines_stand_beside_the_validation_score():
    linear, dummy = (AUTO.baselines[name].test.mean() for name in ("linear", "dummy"))
    said = f" On the same rows, the linear model {linear:.4f} and a constant guess {dummy:.4f}"
    assert AUTO.compared(folds(linear + 0.1, 0.9)) == f"{said}."
    assert AUTO.compared(folds(linear - 0.1, 0.9)) == f"{said}: the linear model validates better, and is simpler."


def search(X, y, model=None, task="regression", scorer="r2"):
    splits = list(KFold(4, shuffle=True, random_state=0).split(X))
    return set_target("auto", Problem(model, X, y, splits, get_scorer(scorer), task)), splits


def test_baselines_are_scored_on_the_folds_of_the_search():
    X, y = load_diabetes(return_X_y=True)
    target, splits = search(X, y)
    dummy = cross_validate(DummyRegressor(), X, y, cv=splits, return_train_score=True)
    linear = cross_validate(LinearRegression(), X, y, cv=splits, return_train_score=True)
    assert np.array_equal(target.baselines["dummy"].test, dummy["test_score"])
    assert target.baselines["linear"].train == pytest.approx(linear["train_score"], abs=0.01)
    assert target.fold_ratio == pytest.approx(1 / 3, abs=0.01)


def test_baselines_know_probabilities():
    target, _ = search(*load_breast_cancer(return_X_y=True), task="classification", scorer="neg_log_loss")
    assert target.baselines["linear"].test.mean() > -0.2
    assert target.baselines["dummy"].train.mean() == pytest.approx(-0.66, abs=0.01)


def test_baselines_take_the_place_of_the_network_in_a_pipeline():
    X = np.repeat([["red"], ["green"], ["blue"]], 20, axis=0)
    y = np.repeat([0.0, 1.0, 5.0], 20)
    model = make_pipeline(OneHotEncoder(sparse_output=False), StepwiseRegressor())
    splits = list(KFold(4, shuffle=True, random_state=0).split(X))
    problem = Problem(model, X, y, splits, get_scorer("r2"), "regression", "stepwiseregressor__")
    target = set_target("auto", problem)
    assert target.baselines["linear"].test.mean() > 0.99
    assert isinstance(model[-1], StepwiseRegressor)


def test_baselines_that_fail_are_left_out():
    target, _ = search(np.repeat([["red"], ["blue"]], 20, axis=0), np.arange(40.0))
    assert set(target.baselines) == {"dummy"}


def test_shuffled_labels_tell_an_answer_from_none():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    splits = list(KFold(4).split(X))
    for y, expected in ((X[:, 0] + rng.normal(size=100), False), (rng.normal(size=100), True)):
        labels = y.copy()
        model = LinearRegression()
        problem = Problem(model, X, y, splits, check_scoring(model), "regression")
        no_answer, shuffled = holds_no_answer(problem, {}, problem.score(model), 0)
        assert no_answer is expected
        assert shuffled.test.mean() < 0.1
        assert np.array_equal(y, labels)


def test_the_ratio_is_of_all_test_to_all_training_rows():
    splits = [(np.arange(30), np.arange(10)), (np.arange(20), np.arange(5))]
    assert Problem(LinearRegression(), None, None, splits, None, "regression").fold_ratio == 0.3
