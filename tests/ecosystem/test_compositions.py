"""The estimators inside what scikit-learn builds of estimators, against the same by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import RFE, SelectFromModel, SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import PartialDependenceDisplay, partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import TunedThresholdClassifierCV, cross_val_predict
from sklearn.model_selection import learning_curve as scikit_learning_curve
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, RegressorChain
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor

# What they run is counted by the tests of its own.
pytestmark = pytest.mark.no_cover

SHORT = {"max_epochs": 8, "n_estimators": 2, "learning_rate": 0.02, "random_state": 0}


def regressor(**parameters):
    """A regressor that trains for a moment."""
    return StepwiseRegressor(**{**SHORT, **parameters})


def classifier(**parameters):
    """A classifier that trains for a moment."""
    return StepwiseClassifier(**{**SHORT, **parameters})


@pytest.fixture(scope="module")
def table():
    """A table with categories: X, y."""
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    kinds = pd.Categorical(np.where(X["bmi"] > 0, "heavy", "light"), categories=["light", "heavy", "unknown"])
    return X.assign(sex=np.where(X["sex"] > 0, "m", "f"), kind=kinds), y.to_numpy()


def importances(model):
    """What each column of the digits' table is worth to a fitted model: shuffled, how much worse it gets."""
    X, y = load_diabetes(return_X_y=True)
    return permutation_importance(model, X[:, : model.n_features_in_], y, n_repeats=2, random_state=0).importances_mean


def test_behind_a_union_of_features(diabetes):
    X, X_test, y, _ = diabetes
    union = FeatureUnion([("scaled", StandardScaler()), ("components", PCA(2))])
    pipeline = make_pipeline(union, regressor()).fit(X, y)
    alone = regressor().fit(union.fit_transform(X), y)
    np.testing.assert_array_equal(pipeline.predict(X_test), alone.predict(union.transform(X_test)))


@pytest.mark.parametrize("container", ["default", "pandas", "polars"])
def test_behind_a_column_transformer_in_whatever_it_gives(container, table):
    pytest.importorskip("pandas" if container == "default" else container)
    X, y = table
    columns = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["sex", "kind"]), (StandardScaler(), ["bmi", "bp", "s5"])
    ).set_output(transform=container)
    pipeline = make_pipeline(clone(columns), regressor()).fit(X, y)
    alone = regressor().fit(columns.set_output(transform="default").fit_transform(X), y)
    np.testing.assert_array_equal(pipeline.predict(X), alone.predict(columns.transform(X)))
    named = getattr(pipeline[-1], "feature_names_in_", None)
    assert (named is None) == (container == "default")


def test_in_a_bag_of_models(diabetes):
    X, X_test, y, _ = diabetes
    bag = BaggingRegressor(regressor(), n_estimators=3, max_features=0.5, random_state=0).fit(X, y)
    each = zip(bag.estimators_, bag.estimators_features_, strict=True)
    by_hand = np.mean([model.predict(X_test[:, own]) for model, own in each], axis=0)
    np.testing.assert_allclose(bag.predict(X_test), by_hand)
    assert len({model.random_state for model in bag.estimators_}) == 3


def test_in_a_stack_of_classifiers(iris):
    X, X_test, y, y_test = iris
    stack = StackingClassifier([("net", classifier()), ("line", LogisticRegression())], cv=3).fit(X, y)
    np.testing.assert_array_equal(stack.transform(X_test)[:, :3], classifier().fit(X, y).predict_proba(X_test))
    assert stack.score(X_test, y_test) > 0.9


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibrated_once_it_is_fitted(method, cancer):
    X, X_test, y, y_test = cancer
    model = classifier().fit(X[:200], y[:200])
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), method=method).fit(X[200:], y[200:])
    assert calibrated.score(X_test, y_test) > 0.9
    assert model.predict(X_test).tolist() == classifier().fit(X[:200], y[:200]).predict(X_test).tolist()


def test_among_those_who_vote(diabetes, iris):
    X, X_test, y, _ = diabetes
    vote = VotingRegressor([("net", regressor()), ("line", RidgeCV())]).fit(X, y)
    by_hand = (regressor().fit(X, y).predict(X_test) + RidgeCV().fit(X, y).predict(X_test)) / 2
    np.testing.assert_allclose(vote.predict(X_test), by_hand)
    X, X_test, y, y_test = iris
    names = np.array(["one", "two", "three"])
    vote = VotingClassifier([("net", classifier()), ("line", LogisticRegression())], voting="soft").fit(X, names[y])
    assert vote.score(X_test, names[y_test]) > 0.85


def test_one_model_for_each_of_several_targets(iris, diabetes):
    X, X_test, y, _ = iris
    several = MultiOutputClassifier(classifier()).fit(X, np.c_[y, y == 1])
    np.testing.assert_array_equal(several.predict(X_test)[:, 0], classifier().fit(X, y).predict(X_test))
    chain = ClassifierChain(classifier()).fit(X, np.c_[y == 0, y == 1].astype(int))
    assert chain.predict(X_test).shape == (len(X_test), 2)
    X, X_test, y, _ = diabetes
    chain = RegressorChain(regressor()).fit(X, np.c_[y, -y])
    np.testing.assert_array_equal(chain.predict(X_test)[:, 0], regressor().fit(X, y).predict(X_test))


def test_one_model_for_each_class(iris):
    X, X_test, y, y_test = iris
    assert OneVsRestClassifier(classifier(max_epochs=25)).fit(X, y).score(X_test, y_test) > 0.8


def test_in_rounds_with_weights_and_with_labels_of_its_own(iris):
    X, X_test, y, y_test = iris
    assert AdaBoostClassifier(classifier(), n_estimators=2, random_state=0).fit(X, y).score(X_test, y_test) > 0.8
    some = np.where(np.arange(len(y)) % 3, y, -1)
    assert SelfTrainingClassifier(classifier(max_epochs=25)).fit(X, some).score(X_test, y_test) > 0.8


def test_predictions_by_models_that_did_not_see_the_rows(iris):
    X, _, y, _ = iris
    p = cross_val_predict(classifier(), X, y, cv=3, method="predict_proba")
    log_p = cross_val_predict(classifier(), X, y, cv=3, method="predict_log_proba")
    np.testing.assert_allclose(np.exp(log_p), p)
    assert (p.argmax(1) == y).mean() > 0.8


def test_a_threshold_tuned_for_a_rare_class(cancer):
    X, X_test, y, _ = cancer
    kept = np.r_[np.flatnonzero(y == 1), np.flatnonzero(y == 0)[:15]]
    model = TunedThresholdClassifierCV(classifier(), scoring="balanced_accuracy", cv=3).fit(X[kept], y[kept])
    p = classifier().fit(X[kept], y[kept]).predict_proba(X_test)[:, 1]
    assert model.best_threshold_ > 0.5
    np.testing.assert_array_equal(model.predict(X_test), p >= model.best_threshold_)


@pytest.mark.parametrize("selector", [SelectFromModel, RFE])
def test_columns_are_selected_by_what_shuffling_them_costs(selector, diabetes):
    X, _, y, _ = diabetes
    selected = selector(
        regressor(), importance_getter=importances, **({} if selector is SelectFromModel else {"step": 5})
    )
    chosen = selected.fit(X, y).get_support()
    assert chosen[[2, 8]].all()
    assert chosen.sum() <= 5


def test_networks_have_no_coefficients_to_select_by(diabetes):
    X, _, y, _ = diabetes
    with pytest.raises(ValueError, match="importance_getter"):
        SelectFromModel(regressor()).fit(X, y).get_support()


def test_columns_are_selected_one_after_the_other(diabetes):
    X, _, y, _ = diabetes
    few = X[:, [1, 2, 4, 8]]
    selected = SequentialFeatureSelector(regressor(), n_features_to_select=2, cv=2).fit(few, y)
    np.testing.assert_array_equal(selected.get_support(), [False, True, False, True])


def test_partial_dependence_of_numbers_and_categories(table):
    X, y = table
    model = regressor().fit(X, y)
    for column, values in (("bmi", [-0.05, 0.1]), ("sex", ["f", "m"]), ("kind", ["heavy", "light"])):
        curve = partial_dependence(
            model,
            X,
            [column],
            custom_values={column: np.array(values)},
            kind="average",
            categorical_features=["sex", "kind"],
        )
        kind = X[column].dtype
        by_hand = [
            model.predict(X.assign(**{column: pd.Series([value] * len(X)).astype(kind)})).mean() for value in values
        ]
        np.testing.assert_allclose(curve["average"][0], by_hand)


def test_partial_dependence_is_drawn(table):
    plt = pytest.importorskip("matplotlib.pyplot")
    X, y = table
    with plt.rc_context({"backend": "Agg"}):
        display = PartialDependenceDisplay.from_estimator(
            regressor().fit(X, y), X, ["bmi", "kind", ("bmi", "bp")], categorical_features=["kind"], grid_resolution=4
        )
        plt.close("all")
    assert [result["average"].shape for result in display.pd_results] == [(1, 4), (1, 2), (1, 4, 4)]


def test_a_curve_of_growing_rows_by_chunks(iris):
    X, _, y, _ = iris
    _, _, scores = scikit_learning_curve(
        classifier(),
        X,
        y,
        train_sizes=[0.5, 1.0],
        cv=2,
        exploit_incremental_learning=True,
        shuffle=True,
        random_state=0,
    )
    assert (scores[-1] > 0.5).all()


def test_a_frozen_model_stays_as_it_is(diabetes):
    X, X_test, y, _ = diabetes
    model = regressor().fit(X, y)
    frozen = clone(FrozenEstimator(model)).fit(X_test, np.zeros(len(X_test)))
    np.testing.assert_array_equal(frozen.predict(X_test), model.predict(X_test))
