"""Weights and validation data find their way through pipelines and searches, as scikit-learn routes them."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, StackingRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, GroupKFold, RandomizedSearchCV, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV, together

QUICK = {"max_epochs": 3, "n_estimators": 2, "random_state": 0, "learning_rate": 0.02, "hidden_units": 8}
NAMES = ["sample_weight", "X_val", "y_val", "target_val", "groups"]
SPACE = {"weight_decay": [0.0, 0.1], "dropout": [0.0, 0.25]}


@pytest.fixture
def weighted(diabetes):
    """Rows, target, and weights that matter: a few rows count most."""
    X, _, y, _ = diabetes
    return X, y, np.where(y > 200, 20.0, 0.5)


@pytest.fixture
def fleets(monkeypatch):
    """How many fits every fleet held."""
    sizes = []
    train = together._train_merged
    monkeypatch.setattr(together, "_train_merged", lambda nets, *args: (sizes.append(len(nets)), train(nets, *args)))
    return sizes


def random_search(kind, estimator, **parameters):
    """A search of four candidates; ours and scikit-learn's draw the same."""
    ours = {"strategy": "random"} if kind is StepwiseSearchCV else {}
    return kind(estimator, SPACE, n_iter=4, cv=2, random_state=0, **ours, **parameters)


def test_weights_are_routed_by_the_methods_own_signatures():
    with config_context(enable_metadata_routing=True):
        model = StepwiseRegressor()
        model.set_fit_request(sample_weight=True, X_val=True, y_val=True, sample_weight_val=True)
        model.set_partial_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        StepwiseClassifier().set_partial_fit_request(sample_weight=True, classes=True)
        with pytest.raises(TypeError, match="classes"):
            StepwiseRegressor().set_partial_fit_request(classes=True)


def test_a_pipeline_hands_weights_on(weighted):
    X, y, weight = weighted
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        model = StepwiseRegressor(**QUICK).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipeline = make_pipeline(scaler, model).fit(X, y, sample_weight=weight)
        score = pipeline.score(X, y, sample_weight=weight)
    Z = StandardScaler().fit_transform(X)
    alone = StepwiseRegressor(**QUICK).fit(Z, y, sample_weight=weight)
    np.testing.assert_array_equal(pipeline.predict(X), alone.predict(Z))
    assert score == alone.score(Z, y, sample_weight=weight) != alone.score(Z, y)


def test_a_pipeline_transforms_validation_rows(diabetes):
    X, X_val, y, y_val = diabetes
    with config_context(enable_metadata_routing=True):
        model = StepwiseRegressor(**QUICK).set_fit_request(X_val=True, y_val=True)
        pipeline = Pipeline([("scale", StandardScaler()), ("net", model)], transform_input=["X_val"])
        pipeline.fit(X, y, X_val=X_val, y_val=y_val)
    scaler = StandardScaler().fit(X)
    Z, Z_val = scaler.transform(X), scaler.transform(X_val)
    alone = StepwiseRegressor(**QUICK).fit(Z, y, X_val=Z_val, y_val=y_val)
    assert pipeline[-1].validation_score_ == alone.validation_score_
    np.testing.assert_array_equal(pipeline.predict(X), alone.predict(Z))


@pytest.mark.parametrize("kind", [GridSearchCV, RandomizedSearchCV])
def test_searches_of_scikit_learn_slice_weights_with_the_folds(kind, weighted):
    X, y, weight = weighted
    with config_context(enable_metadata_routing=True):
        model = StepwiseRegressor(**QUICK).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = kind(model, {"weight_decay": [0.1]}, cv=2, **({"n_iter": 1} if kind is RandomizedSearchCV else {}))
        search.fit(X, y, sample_weight=weight)
    train, test = np.arange(len(y) - len(y) // 2, len(y)), np.arange(len(y) - len(y) // 2)
    alone = StepwiseRegressor(**QUICK, weight_decay=0.1).fit(X[train], y[train], sample_weight=weight[train])
    expected = alone.score(X[test], y[test], sample_weight=weight[test])
    assert search.cv_results_["split0_test_score"][0] == pytest.approx(expected, rel=1e-6)


def test_a_weighted_search_trains_in_fleets_to_the_scores_of_scikit_learns(weighted, fleets):
    X, y, weight = weighted
    with config_context(enable_metadata_routing=True):
        model = StepwiseRegressor(**QUICK).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        theirs, ours = (
            random_search(kind, clone(model)).fit(X, y, sample_weight=weight)
            for kind in (RandomizedSearchCV, StepwiseSearchCV)
        )
    assert max(fleets) > 2
    assert ours.cv_results_["params"] == theirs.cv_results_["params"]
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=0, atol=1e-4
    )
    unweighted = random_search(StepwiseSearchCV, StepwiseRegressor(**QUICK)).fit(X, y)
    difference = unweighted.cv_results_["mean_test_score"] - ours.cv_results_["mean_test_score"]
    assert (abs(difference) > 1e-2).all()


@pytest.mark.parametrize("routing", [True, False])
def test_a_weighted_search_over_a_pipeline_trains_in_fleets_too(weighted, fleets, routing):
    X, y, weight = weighted
    name = "sample_weight" if routing else "net__sample_weight"
    space = {f"net__{key}": values for key, values in SPACE.items()}
    results = []
    with config_context(enable_metadata_routing=routing):
        for kind in (RandomizedSearchCV, StepwiseSearchCV):
            model = StepwiseRegressor(**QUICK)
            scaler = StandardScaler()
            if routing:
                model, scaler = model.set_fit_request(sample_weight=True), scaler.set_fit_request(sample_weight=False)
                model.set_score_request(sample_weight=True)
            search = random_search(kind, Pipeline([("scale", scaler), ("net", model)]))
            search.set_params(**{"param_distributions": space})
            results.append(search.fit(X, y, **{name: weight}).cv_results_["mean_test_score"])
    assert max(fleets) > 2
    np.testing.assert_allclose(*results, rtol=0, atol=1e-4)


def test_weights_that_a_transformer_wants_too_are_left_to_scikit_learn(weighted, fleets):
    X, y, weight = weighted
    space = {f"net__{key}": values for key, values in SPACE.items()}
    results = []
    with config_context(enable_metadata_routing=True):
        for kind in (RandomizedSearchCV, StepwiseSearchCV):
            model = StepwiseRegressor(**QUICK).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
            scaler = StandardScaler().set_fit_request(sample_weight=True)
            search = random_search(kind, Pipeline([("scale", scaler), ("net", model)]))
            search.set_params(param_distributions=space)
            results.append(search.fit(X, y, sample_weight=weight).cv_results_["mean_test_score"])
    assert not fleets
    np.testing.assert_array_equal(*results)


def test_validation_rows_in_a_search_are_those_of_every_fold(diabetes):
    X, X_val, y, y_val = diabetes
    results = [
        random_search(kind, StepwiseRegressor(**QUICK)).fit(X, y, X_val=X_val, y_val=y_val).cv_results_
        for kind in (RandomizedSearchCV, StepwiseSearchCV)
    ]
    np.testing.assert_array_equal(*(result["mean_test_score"] for result in results))


def test_a_weighted_ladder_compares_weighted_fits(weighted):
    X, y, weight = weighted
    with config_context(enable_metadata_routing=True):
        model = StepwiseRegressor(**QUICK).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = StepwiseSearchCV(model, cv=2, n_iter=2, random_state=0).fit(X, y, sample_weight=weight)
        theirs = GridSearchCV(model, {"dropout": [0.0]}, cv=2).fit(X, y, sample_weight=weight)
    first = search.cv_results_["mean_test_score"][0]
    assert first == pytest.approx(theirs.best_score_, abs=1e-4)


def weighted_regressor():
    """A regressor that wants weights in its fit and in its score."""
    return StepwiseRegressor(**QUICK).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)


def test_a_search_hands_on_in_a_pipeline_in_a_cross_validation(weighted):
    X, y, weight = weighted
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        scores = []
        for kind in (RandomizedSearchCV, StepwiseSearchCV):
            pipeline = make_pipeline(scaler, random_search(kind, weighted_regressor()))
            scores.append(cross_validate(pipeline, X, y, cv=2, params={"sample_weight": weight})["test_score"])
        plain = make_pipeline(StandardScaler(), random_search(StepwiseSearchCV, StepwiseRegressor(**QUICK)))
        unweighted = cross_validate(plain, X, y, cv=2)["test_score"]
    np.testing.assert_allclose(*scores, rtol=0, atol=1e-4)
    assert (abs(unweighted - scores[1]) > 1e-2).all()


@pytest.mark.parametrize("strategy", ["random", "ladder"])
def test_groups_reach_the_splitter_and_weights_the_networks_and_scores(strategy, weighted):
    X, y, weight = weighted
    groups = np.arange(len(y)) % 7
    space = {"param_distributions": SPACE} if strategy == "random" else {}
    with config_context(enable_metadata_routing=True):
        search = StepwiseSearchCV(weighted_regressor(), strategy=strategy, n_iter=1, cv=GroupKFold(2), **space)
        search.fit(X, y, sample_weight=weight, groups=groups)
    train, test = next(GroupKFold(2).split(X, y, groups))
    alone = StepwiseRegressor(**QUICK, **search.cv_results_["params"][0]).fit(X[train], y[train], weight[train])
    expected = alone.score(X[test], y[test], weight[test])
    assert search.cv_results_["split0_test_score"][0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", ["bag", "stack", "calibrated", "transformed"])
def test_meta_estimators_hand_weights_on(kind, weighted):
    X, y, weight = weighted
    labels = (y > 150).astype(int)
    with config_context(enable_metadata_routing=True):
        model = weighted_regressor()
        classifier = StepwiseClassifier(**QUICK).set_fit_request(sample_weight=True)
        line = RidgeCV().set_fit_request(sample_weight=True)
        make = {
            "bag": lambda: BaggingRegressor(model, n_estimators=2, random_state=0),
            "stack": lambda: StackingRegressor([("net", model)], final_estimator=line, cv=2),
            "calibrated": lambda: CalibratedClassifierCV(classifier, cv=2),
            "transformed": lambda: TransformedTargetRegressor(model),
        }[kind]
        target, predict = (labels, "predict_proba") if kind == "calibrated" else (y, "predict")
        heard, deaf = make().fit(X, target, sample_weight=weight), make().fit(X, target)
        assert abs(getattr(heard, predict)(X) - getattr(deaf, predict)(X)).mean() > 1e-2


def test_a_search_refuses_what_nobody_asked_for(weighted):
    X, y, weight = weighted
    with config_context(enable_metadata_routing=True), pytest.raises(UnsetMetadataPassedError, match="set_fit_request"):
        random_search(StepwiseSearchCV, StepwiseRegressor(**QUICK)).fit(X, y, sample_weight=weight)


def test_a_search_routes_as_scikit_learns_does():
    with config_context(enable_metadata_routing=True):
        model = weighted_regressor().set_fit_request(X_val=True, y_val="target_val")
        theirs, ours = (random_search(kind, model) for kind in (RandomizedSearchCV, StepwiseSearchCV))
        for method in ("fit", "score"):
            names = [search.get_metadata_routing().consumes(method, NAMES) for search in (theirs, ours)]
            assert names[0] == names[1]
        assert ours.get_metadata_routing().consumes("fit", NAMES) >= {"sample_weight", "X_val", "target_val"}
