"""The estimators with packages that build on scikit-learn or skorch; each test needs its package."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import make_pipeline

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV

# What they run is counted by the tests of its own.
pytestmark = pytest.mark.no_cover

SHORT = {"max_epochs": 5, "n_estimators": 2, "learning_rate": 0.02, "random_state": 0}


def a_package(name):
    """A package that may warn of others while it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, exc_type=ImportError)


@pytest.fixture
def rare(iris):
    """Rows of which one class is rare, and test rows: X, X_test, y, y_test."""
    X, X_test, y, y_test = iris
    kept = np.r_[np.flatnonzero(y != 1), np.flatnonzero(y == 1)[:8]]
    return X[kept], X_test, y[kept], y_test


def test_optuna_searches(diabetes):
    distributions = a_package("optuna").distributions
    search_cv = a_package("optuna_integration").OptunaSearchCV
    X, X_test, y, _ = diabetes
    space = {
        "learning_rate": distributions.FloatDistribution(1e-4, 0.1, log=True),
        "hidden_units": distributions.CategoricalDistribution([8, 16]),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Optuna says of itself
        search = search_cv(StepwiseRegressor(**SHORT), space, n_trials=3, cv=2, random_state=0).fit(X, y)
    plain = StepwiseRegressor(**SHORT).set_params(**search.best_params_).fit(X, y)
    np.testing.assert_array_equal(search.predict(X_test), plain.predict(X_test))


def test_shap_explains_what_is_predicted(diabetes):
    shap = a_package("shap")
    X, X_test, y, _ = diabetes
    model = StepwiseRegressor(**SHORT).fit(X[:, :4], y)
    explainer = shap.KernelExplainer(model.predict, X[:20, :4], silent=True)
    values = explainer.shap_values(X_test[:3, :4], nsamples=20, silent=True)
    np.testing.assert_allclose(values.sum(1) + explainer.expected_value, model.predict(X_test[:3, :4]))


@pytest.mark.parametrize("sampler", ["SMOTE", "RandomOverSampler"])
def test_rows_of_a_rare_class_are_added_before_the_fit(sampler, rare):
    sampling, pipelines = a_package("imblearn.over_sampling"), a_package("imblearn.pipeline")
    X, X_test, y, y_test = rare
    more = getattr(sampling, sampler)(random_state=0, **({"k_neighbors": 3} if sampler == "SMOTE" else {}))
    model = pipelines.make_pipeline(more, StepwiseClassifier(**SHORT)).fit(X, y)
    plain = StepwiseClassifier(**SHORT).fit(X, y)
    scores = [balanced_accuracy_score(y_test, own.predict(X_test)) for own in (model, plain)]
    assert scores[0] > scores[1]
    by_hand = StepwiseClassifier(**SHORT).fit(*more.fit_resample(X, y))
    np.testing.assert_array_equal(model.predict_proba(X_test), by_hand.predict_proba(X_test))


def test_a_search_over_a_pipeline_that_adds_rows_is_scikit_learns(rare):
    sampling, pipelines = a_package("imblearn.over_sampling"), a_package("imblearn.pipeline")
    X, _, y, _ = rare
    pipeline = pipelines.make_pipeline(sampling.RandomOverSampler(random_state=0), StepwiseClassifier(**SHORT))
    settings = {"n_iter": 2, "cv": 2, "random_state": 0}
    space = {"stepwiseclassifier__dropout": [0.0, 0.5]}
    theirs = RandomizedSearchCV(pipeline, space, **settings).fit(X, y)
    ours = StepwiseSearchCV(pipeline, space, strategy="random", **settings).fit(X, y)
    np.testing.assert_array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])


@pytest.mark.parametrize("frames", ["pandas", "polars"])
@pytest.mark.parametrize("whole", ["tabular_pipeline", "TableVectorizer"])
def test_skrub_makes_numbers_of_a_table(frames, whole, diabetes):
    skrub, library = a_package("skrub"), a_package(frames)
    X, _, y, _ = diabetes
    days = np.datetime64("2020-01-01") + np.arange(len(y))
    table = library.DataFrame({"when": days, "kind": np.where(X[:, 1] > 0, "m", "f"), "bmi": X[:, 2], "s5": X[:, 8]})
    model = StepwiseRegressor(**SHORT)
    if whole == "tabular_pipeline":
        make = getattr(skrub, "tabular_pipeline", None) or skrub.tabular_learner
        pipeline = make(model)
    else:
        pipeline = make_pipeline(skrub.TableVectorizer(), model)
    assert pipeline.fit(table, y).score(table, y) > 0.2


def test_mlflow_gets_the_history(tmp_path, monkeypatch, diabetes):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # newer ones prefer a database
    tracking = a_package("mlflow.tracking")
    from skorch.callbacks import MlflowLogger

    X, _, y, _ = diabetes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what MLflow says of its own store
        client = tracking.MlflowClient(tmp_path.as_uri())
        run = client.create_run(client.create_experiment("diabetes"))
    model = StepwiseRegressor(**SHORT, callbacks=[MlflowLogger(run=run, client=client)]).fit(X, y)
    logged = {name: client.get_metric_history(run.info.run_id, name) for name in ("train_loss", "valid_loss")}
    for name, entries in logged.items():
        assert [entry.step for entry in entries] == [1, 2, 3, 4, 5]
        assert [entry.value for entry in entries] == model.history_[:, name]
    assert client.get_run(run.info.run_id).info.status == "FINISHED"
    assert {"history.json", "params.pth"} <= {file.path for file in client.list_artifacts(run.info.run_id)}
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
