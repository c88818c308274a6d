"""Folds that lack a class: scores against scikit-learn's metrics on probabilities filled up by hand."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, check_scoring, get_scorer, log_loss, make_scorer
from sklearn.model_selection import KFold

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV, StepwiseWarning
from sk_dlsteps.step4_validation.absent_classes import knowing_all_classes

X, Y = load_iris(return_X_y=True)
HALVES = [(np.arange(0, 150, 2), np.arange(1, 150, 2))]
LOG_LOSS = get_scorer("neg_log_loss")


def knowing(scorer=LOG_LOSS, y=Y):
    """A scorer that knows the classes of y."""
    return knowing_all_classes(scorer, LogisticRegression(), y, HALVES)


@pytest.mark.parametrize("known", [[0, 1], [0, 2], [1, 2]])
def test_a_class_that_a_model_never_saw_has_probability_0(known):
    seen = np.isin(Y, known)
    model = LogisticRegression().fit(X[seen], Y[seen])
    p = np.zeros((150, 3))
    p[:, known] = model.predict_proba(X)
    assert knowing()(model, X, Y) == pytest.approx(-log_loss(Y, p))


def test_a_class_without_a_row_to_score_does_not_matter():
    model = LogisticRegression(max_iter=1000).fit(X, Y)
    rows = Y < 1
    assert knowing()(model, X[rows], Y[rows]) == pytest.approx(np.log(model.predict_proba(X[rows])[:, 0]).mean())


def test_text_is_a_class_as_well():
    names = np.array(["c", "a", "b"])[Y]
    model = LogisticRegression().fit(X[Y > 0], names[Y > 0])
    p = np.c_[model.predict_proba(X), np.zeros(150)]
    assert knowing(y=names)(model, X, names) == pytest.approx(-log_loss(names, p))


def test_with_all_classes_there_the_score_is_scikit_learns_bit_for_bit():
    model = LogisticRegression(max_iter=1000).fit(X, Y)
    assert knowing()(model, X, Y) == LOG_LOSS(model, X, Y)


def test_of_several_metrics_those_of_labels_stay_as_they_are():
    model = LogisticRegression().fit(X[Y < 2], Y[Y < 2])
    several = check_scoring(model, scoring=["accuracy", "neg_log_loss"])
    found = knowing(several)(model, X, Y)
    assert found == {"accuracy": accuracy_score(Y, model.predict(X)), "neg_log_loss": knowing()(model, X, Y)}


@pytest.mark.parametrize(
    "scorer",
    [
        get_scorer("accuracy"),
        get_scorer("f1_macro"),
        check_scoring(LogisticRegression()),
        make_scorer(log_loss, response_method="predict_proba", greater_is_better=False, labels=[0, 1, 2]),
    ],
    ids=["accuracy", "f1", "own", "labels given"],
)
def test_a_scorer_that_asks_for_no_probabilities_or_knows_the_classes_is_left_alone(scorer):
    assert knowing(scorer) is scorer


def test_scores_of_numbers_are_left_alone():
    scorer = get_scorer("r2")
    assert knowing_all_classes(scorer, StepwiseRegressor(), Y, HALVES) is scorer


def test_a_class_that_some_fold_cannot_learn_is_told_of_once():
    y = np.r_[Y[:100], [2]]
    splits = list(KFold(3).split(y))
    with pytest.warns(StepwiseWarning, match=r"No training row of some folds belongs to \[2\]") as told:
        knowing_all_classes(LOG_LOSS, LogisticRegression(), y, splits)
    assert len(told) == 1


@pytest.mark.parametrize("strategy", ["random", "ladder"])
def test_a_search_by_log_loss_has_scores_where_a_class_is_rare(strategy):
    rows = np.r_[0:30, 50:80, 100]
    model = StepwiseClassifier(n_estimators=2, max_epochs=4, learning_rate=0.02, random_state=0)
    search = StepwiseSearchCV(
        model, strategy=strategy, n_iter=3, cv=3, scoring="neg_log_loss", random_state=0, return_train_score=True
    )
    with warnings.catch_warnings():
        # scikit-learn's splitter warns of the class as well.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        with pytest.warns(StepwiseWarning, match="No training row of some folds"):
            search.fit(X[rows], Y[rows])
    for name in ("mean_test_score", "mean_train_score"):
        assert np.isfinite(search.cv_results_[name]).all()
    assert search.predict_proba(X).shape == (150, 3)
