"""Classifiers with a metric loss: embeddings in pipelines, and all that a classifier does."""

import pickle
import re
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from skorch.callbacks import EpochScoring
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV
from sk_dlsteps.engine.processes import Processes
from sk_dlsteps.step1_cost.cost import CrossEntropy
from sk_dlsteps.step1_cost.metric import ContrastiveLoss, TripletLoss

IRIS = load_iris(return_X_y=True)
QUICK = {"n_estimators": 2, "max_epochs": 15, "learning_rate": 0.02, "random_state": 0}


def classifier(loss="triplet", **settings):
    """A small one."""
    return StepwiseClassifier(loss=loss, **{**QUICK, **settings})


@pytest.fixture(scope="module")
def fitted():
    return classifier().fit(*IRIS)


@pytest.fixture(scope="module")
def digits():
    return train_test_split(*load_digits(return_X_y=True), test_size=0.2, random_state=0)


@pytest.mark.parametrize("loss", ["triplet", "contrastive"])
def test_a_pipeline_ends_in_the_nearest_neighbour(digits, loss):
    X_train, X_test, y_train, y_test = digits
    model = make_pipeline(classifier(loss), KNeighborsClassifier(n_neighbors=1))
    assert model.fit(X_train, y_train).score(X_test, y_test) > 0.95
    assert (model[0].predict(X_test) == y_test).mean() > 0.95


def test_one_example_of_a_class_never_seen_says_more_than_chance(digits):
    X_train, X_test, y_train, y_test = digits
    X, y = np.concatenate([X_train, X_test]), np.concatenate([y_train, y_test])
    embedded = classifier(max_epochs=5).fit(X[y < 5], y[y < 5]).transform(X)
    examples = [np.flatnonzero(y == label)[0] for label in range(5, 10)]
    rest = np.setdiff1d(np.flatnonzero(y >= 5), examples)
    nearest = KNeighborsClassifier(n_neighbors=1).fit(embedded[examples], y[examples])
    assert nearest.score(embedded[rest], y[rest]) > 0.35


def test_the_embedding_is_that_of_all_networks_side_by_side(fitted):
    embedding = fitted.transform(IRIS[0])
    assert embedding.shape == (150, 2 * 32)
    assert embedding.dtype == np.float64
    for k in range(2):
        own = embedding[:, 32 * k : 32 * (k + 1)]
        distance = np.linalg.norm(own[:, None] - own, axis=-1)
        same = IRIS[1][:, None] == IRIS[1]
        assert distance[same].mean() < distance[~same].mean() / 2


def test_columns_have_names_and_come_as_a_dataframe_if_wanted():
    model = classifier(TripletLoss(embedding_size=3)).set_output(transform="pandas")
    frame = model.fit_transform(*IRIS)
    assert frame.columns.tolist() == [f"stepwiseclassifier{i}" for i in range(6)]
    np.testing.assert_array_equal(frame, clone(model).set_output(transform="default").fit(*IRIS).transform(IRIS[0]))


@pytest.mark.parametrize("name", ["transform", "fit_transform", "get_feature_names_out", "set_output"])
def test_only_a_metric_loss_makes_a_transformer(name):
    model = StepwiseClassifier()
    assert not hasattr(model, name)
    assert model.__sklearn_tags__().transformer_tags is None
    with pytest.raises(AttributeError) as info:
        getattr(model, name)
    if name != "set_output":
        assert "loss='triplet' or loss='contrastive'" in str(info.value.__cause__)
    assert hasattr(model.set_params(loss=ContrastiveLoss), name)


def test_networks_that_learnt_another_loss_embed_nothing():
    model = classifier("auto").fit(*IRIS).set_params(loss="triplet")
    with pytest.raises(ValueError, match="learnt with loss='cross_entropy' and embed nothing; call `fit` again"):
        model.transform(IRIS[0])
    with pytest.raises(NotFittedError):
        classifier().transform(IRIS[0])


def test_predictions_are_those_of_the_nearest_centres(fitted):
    X, y = IRIS
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (150, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    np.testing.assert_array_equal(fitted.predict(X), fitted.classes_[probabilities.argmax(1)])
    assert fitted.score(X, y) > 0.9
    assert fitted.validation_score_ > 0.9
    assert fitted.oof_prediction_.shape == (150, 3)


def test_labels_may_be_words_and_two(fitted):
    X, y = IRIS[0][:100], np.array(["no", "yes"])[IRIS[1][:100]]
    model = classifier().fit(X, y)
    assert (model.predict(X) == y).mean() > 0.95
    assert model.predict_proba(X).shape == (100, 2)


def test_a_pickled_classifier_predicts_and_embeds_alike(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(IRIS[0]), fitted.predict_proba(IRIS[0]))
    np.testing.assert_array_equal(again.transform(IRIS[0]), fitted.transform(IRIS[0]))


def test_saved_parameters_hold_the_centres(fitted, tmp_path):
    net = fitted.pipeline_[-1]
    net.save_params(f_params=tmp_path / "params.pt")
    fresh = clone(net).initialize()
    fresh.load_params(f_params=tmp_path / "params.pt")
    rows = fitted.pipeline_[:-1].transform(IRIS[0])
    np.testing.assert_array_equal(fresh.predict_proba(rows), net.predict_proba(rows))


def test_searches_score_it_as_any_classifier():
    grid = {"loss": ["triplet", "contrastive", TripletLoss(0.5, 8), "cross_entropy"]}
    search = GridSearchCV(classifier(), grid, cv=2, scoring="neg_log_loss").fit(*IRIS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert cross_val_score(classifier(), *IRIS, cv=2).mean() > 0.85
    ours = StepwiseSearchCV(classifier(), {"dropout": [0.0, 0.25]}, n_iter=2, strategy="random", cv=2, random_state=0)
    assert ours.fit(*IRIS).best_score_ > 0.85


def test_rows_of_weight_0_change_nothing():
    X, y = IRIS
    weight = np.ones(150)
    weight[::3] = 0
    nonsense = X.copy()
    nonsense[::3] = 1e3
    one = classifier().fit(nonsense, y, weight)
    other = classifier().fit(X, y, weight)
    np.testing.assert_array_equal(one.transform(X), other.transform(X))
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_a_class_that_counts_more_is_predicted_more_often():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.integers(2, size=200)
    shares = [(classifier(class_weight={0: w, 1: 1}).fit(X, y).predict(X) == 0).mean() for w in (1e-3, 1, 1e3)]
    assert shares[0] < shares[1] < shares[2]


def test_validation_data_decide_on_the_best_epoch():
    X, y = IRIS
    model = classifier().fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    assert model.validation_score_ == pytest.approx(model.score(X[1::2], y[1::2]))


def test_validation_rows_whose_classes_take_turns_are_compared_with_both():
    rng = np.random.default_rng(0)
    y = np.arange(600) % 2
    X = rng.normal(size=(600, 5)) + 2 * y[:, None]
    shuffled = rng.permutation(600)
    losses = []
    for order in (np.arange(600), shuffled):
        fitted = classifier(max_epochs=2, learning_rate=0.01).fit(X[:100], y[:100], X_val=X[order], y_val=y[order])
        losses.append(fitted.history_[-1, "valid_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=0.2)


def test_settings_of_a_metric_loss_are_shown():
    assert repr(TripletLoss(margin=0.5, embedding_size=4)) == "TripletLoss(margin=0.5, embedding_size=4)"


def test_a_module_of_another_size_than_the_embedding_is_told_so():
    with pytest.raises(ValueError, match="32 is the `embedding_size` of the loss"):
        classifier(module=lambda n_in, _: nn.Linear(n_in, 3)).fit(*IRIS)


def test_minibatches_without_a_row_to_compare_with_are_refused():
    with pytest.raises(ValueError, match="`batch_size=2` leaves no row to compare with"):
        classifier(batch_size=2).fit(*IRIS)


def test_calibration_makes_probabilities_likelier():
    X, y = load_digits(return_X_y=True)
    settings = {"n_estimators": 3}
    plain, calibrated = (classifier(calibrate=c, **settings).fit(X[:600], y[:600]) for c in (False, True))
    assert calibrated.temperature_ > 1
    assert log_loss(y[600:], calibrated.predict_proba(X[600:])) < log_loss(y[600:], plain.predict_proba(X[600:]))


def test_a_warm_start_places_the_centres_anew():
    model = classifier(warm_start=True, max_epochs=2).fit(*IRIS)
    before = model.pipeline_[-1].module_.class_centers.clone()
    after = model.fit(*IRIS).pipeline_[-1].module_.class_centers
    assert not np.allclose(before, after)
    assert model.score(*IRIS) > 0.9


def test_streams_are_refused_with_the_way_out():
    assert not hasattr(classifier(), "partial_fit")
    with pytest.raises(AttributeError) as info:
        classifier().partial_fit(*IRIS, classes=[0, 1, 2])
    assert "warm_start=True" in str(info.value.__cause__)


@pytest.mark.parametrize("loss", ["triplet", "contrastive"])
def test_what_a_metric_loss_cannot_have_is_refused_with_the_way_out(loss):
    with pytest.raises(ValueError, match=re.escape("use an augmentation that leaves labels as they are")):
        classifier(loss, augmentation="mixup").fit(*IRIS)
    with pytest.raises(ValueError, match="is a cost for a binary or multiclass target; this one is multilabel"):
        classifier(loss).fit(*make_multilabel_classification(60, random_state=0))
    with pytest.raises(ValueError, match="is a cost for a binary or multiclass target; this one is regression"):
        StepwiseRegressor(loss=loss).fit(*IRIS)


@pytest.mark.parametrize("augmentation", ["gaussian_noise", "swap_noise"])
def test_augmentations_that_leave_labels_alone_are_welcome(augmentation):
    assert classifier(augmentation=augmentation).fit(*IRIS).score(*IRIS) > 0.9


def test_minibatches_hold_some_rows_of_every_class():
    X, y = load_digits(return_X_y=True)
    assert classifier()._plan(X, y).batch_size == 64
    assert classifier("auto")._plan(X, y).batch_size == 32
    assert classifier()._plan(X, y * 3 + np.arange(len(y)) % 3).batch_size == 128
    assert classifier(batch_size=16)._plan(X, y).batch_size == 16


def test_callbacks_see_predictions_of_the_epoch_they_are_told_of():
    score = EpochScoring("accuracy", lower_is_better=False, name="accuracy", use_caching=False)
    model = classifier(callbacks=[score], n_estimators=1, max_epochs=20).fit(*IRIS)
    assert model.history_[-1, "accuracy"] > 0.9


def test_processes_do_not_share_minibatches_whose_rows_are_compared():
    processes = Processes(SimpleNamespace(process_index=0, num_processes=2))
    with pytest.raises(ValueError, match="`loss='triplet'` compares the rows of whole minibatches"):
        processes.check_cost(TripletLoss())
    processes.check_cost(CrossEntropy())
