"""StepwiseClassifier on rows that may have several labels."""

import pickle

import numpy as np
import pytest
import torch
from scipy.sparse import csc_array, csr_array, csr_matrix
from sklearn.datasets import make_multilabel_classification
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import RandomizedSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseSearchCV, find_learning_rate, learning_curve
from sk_dlsteps.preparation import prepare
from sk_dlsteps.step4_validation.augmentation import Mixup
from sk_dlsteps.together import fit_together

FEATURES, LABELS = make_multilabel_classification(600, 12, n_classes=4, random_state=0)
X, X_TEST, Y, Y_TEST = FEATURES[:400], FEATURES[400:], LABELS[:400], LABELS[400:]


def short(**parameters):
    """A classifier that trains for a moment."""
    return StepwiseClassifier(
        **{"max_epochs": 12, "learning_rate": 0.02, "n_estimators": 4, **parameters}, random_state=0
    )


@pytest.fixture(scope="module")
def fitted():
    """The default model."""
    return StepwiseClassifier(random_state=0).fit(X, Y)


def test_it_is_ahead_of_constant_answers_on_unseen_rows(fitted):
    assert fitted.score(X_TEST, Y_TEST) > 1.5 * DummyClassifier().fit(X, Y).score(X_TEST, Y_TEST)
    assert roc_auc_score(Y_TEST, fitted.predict_proba(X_TEST)) > 0.8


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_it_gives_is_shaped_as_that_of_scikit_learns_network(fitted):
    peer = MLPClassifier(max_iter=5, random_state=0).fit(X, Y)
    for name in ("predict", "predict_proba"):
        ours, theirs = (getattr(model, name)(X_TEST) for model in (fitted, peer))
        assert (ours.shape, ours.dtype.kind) == (theirs.shape, theirs.dtype.kind)
    np.testing.assert_array_equal(fitted.classes_, peer.classes_)


def test_labels_above_one_half_apply(fitted):
    p = fitted.predict_proba(X_TEST)
    np.testing.assert_array_equal(fitted.predict(X_TEST), p > 0.5)
    np.testing.assert_array_equal(fitted.pipeline_.predict(X_TEST), p > 0.5)
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(X_TEST)), p)
    assert fitted.score(X_TEST, Y_TEST) == accuracy_score(Y_TEST, p > 0.5)


def test_out_of_fold_probabilities_are_by_networks_that_held_the_row_out(fitted):
    rows = prepare(fitted.get_params(deep=False), fitted._receive(X, Y, None, None)[0]).rows
    each = fitted.pipeline_[-1].network_predictions(fitted.pipeline_[0].transform(X))
    for k, valid in enumerate(rows.valid):
        np.testing.assert_allclose(fitted.oof_prediction_[valid], each[valid, k])
    assert fitted.validation_score_ == pytest.approx(accuracy_score(Y, fitted.oof_prediction_ > 0.5))


def test_the_decision_is_recorded(fitted):
    assert (fitted.plan_.task, fitted.loss_, fitted.plan_.n_outputs) == ("multilabel", "binary_cross_entropy", 4)
    assert fitted.steps_[0].because == "each row may have several labels"
    assert any("subset accuracy" in step.decision for step in fitted.steps_)


def test_a_pickled_model_predicts_the_same(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X_TEST), fitted.predict_proba(X_TEST))


@pytest.mark.parametrize("kind", [csr_matrix, csr_array, csc_array, np.ndarray.tolist, lambda y: y.astype(bool), float])
def test_labels_may_come_in_any_form(kind):
    given = Y.astype(float) if kind is float else kind(Y)
    expected = short().fit(X, Y, X_val=X_TEST, y_val=Y_TEST)
    found = short().fit(X, given, X_val=X_TEST, y_val=Y_TEST if kind is float else kind(Y_TEST))
    np.testing.assert_array_equal(found.predict_proba(X_TEST), expected.predict_proba(X_TEST))
    assert found.validation_score_ == expected.validation_score_ == pytest.approx(expected.score(X_TEST, Y_TEST))


def test_constant_labels_are_learnt():
    y = np.column_stack([Y, np.zeros(len(Y)), np.ones(len(Y))])
    p = short(max_epochs=40).fit(X, y).predict_proba(X_TEST)
    assert p[:, 4].max() < 0.05
    assert p[:, 5].min() > 0.95


def test_a_label_of_one_row_is_no_obstacle():
    y = np.column_stack([Y, np.arange(len(Y)) == 7])
    assert np.isfinite(short().fit(X, y).predict_proba(X_TEST)).all()


def focal(output, target):
    """Focal loss of labels, one per row."""
    p = output.sigmoid()
    return (target * (1 - p) ** 2 * -nn.functional.logsigmoid(output)).mean(-1) + (
        (1 - target) * p**2 * -nn.functional.logsigmoid(-output)
    ).mean(-1)


@pytest.mark.parametrize("loss", ["binary_cross_entropy", nn.BCEWithLogitsLoss, nn.BCEWithLogitsLoss(), focal])
def test_every_cost_for_labels_learns(loss):
    model = short(loss=loss, max_epochs=30).fit(X, Y)
    assert roc_auc_score(Y_TEST, model.predict_proba(X_TEST)) > 0.75


def test_torchs_criterion_is_the_same_as_ours():
    ours, torchs = (short(loss=loss).fit(X, Y).predict_proba(X_TEST) for loss in ("auto", nn.BCEWithLogitsLoss))
    np.testing.assert_allclose(ours, torchs, atol=1e-4)


@pytest.mark.parametrize("loss", ["cross_entropy", "smoothed_cross_entropy", "squared_error", nn.CrossEntropyLoss])
def test_other_costs_are_refused(loss):
    with pytest.raises(ValueError, match=r"`loss=.*multilabel.*Use 'auto' or one of \['binary_cross_entropy'\]"):
        short(loss=loss).fit(X, Y)


@pytest.mark.parametrize("augmentation", ["mixup", "swap_noise", Mixup(alpha=1.0)])
def test_augmentation_makes_soft_labels(augmentation):
    model = short(augmentation=augmentation, max_epochs=30).fit(X, Y)
    assert roc_auc_score(Y_TEST, model.predict_proba(X_TEST)) > 0.75


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: 2 * y, "soft labels, floats from 0 to 1"),
        (lambda y: y[:, :2], r"must keep the shape of X, .* and of"),
    ],
)
def test_an_augmentation_that_spoils_labels_is_an_error(change, message):
    with pytest.raises(ValueError, match=f"`augmentation` must .*{message}|{message}"):
        short(augmentation=lambda x, y, generator: (x, change(y))).fit(X, Y)


@pytest.mark.parametrize("change", [lambda y: y + (np.arange(4) == 1), lambda y: y.astype(str)])
def test_more_than_two_classes_in_a_column_are_an_error_that_names_the_way_out(change):
    with pytest.raises(ValueError, match=r"`y` has 4 columns, .*MultiOutputClassifier\(StepwiseClassifier\(\)\)"):
        short().fit(X, change(Y))


def test_the_way_out_works():
    y = Y[:, :2] + Y[:, 2:]
    assert MultiOutputClassifier(short(n_estimators=2, max_epochs=3)).fit(X, y).predict(X_TEST).shape == (200, 2)


def test_validation_labels_must_fit_the_training_labels():
    for y_val, message in ((Y_TEST[:, :2], "must have 4 columns"), (Y_TEST[:, 0], "must have 4 columns"),
                           (Y_TEST * 2, "`y_val` of several columns must hold 1")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            short().fit(X, Y, X_val=X_TEST, y_val=y_val)


def test_fits_in_one_fleet_equal_fits_alone_and_labels_of_other_numbers_stay_apart():
    tables = [(X, Y), (X, Y), (X, Y[:, :2])]
    alone = [short(dropout=0.1 * i).fit(*table) for i, table in enumerate(tables)]
    together = [short(dropout=0.1 * i) for i in range(3)]
    assert [error for _, error in fit_together(together, tables)] == [None] * 3
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.predict_proba(X_TEST), other.predict_proba(X_TEST), atol=1e-4)


def test_a_random_search_gives_what_scikit_learns_gives():
    model, space = short(n_estimators=2, max_epochs=5), {"dropout": [0.0, 0.2], "hidden_units": [8, 16]}
    settings = {"n_iter": 3, "cv": 3, "scoring": "roc_auc", "random_state": 0}
    ours = StepwiseSearchCV(model, space, strategy="random", **settings).fit(X, Y)
    theirs = RandomizedSearchCV(model, space, **settings).fit(X, Y)
    for name in ("mean_test_score", "params"):
        found, expected = ours.cv_results_[name], theirs.cv_results_[name]
        assert found == expected if name == "params" else np.allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("y", [Y, csr_matrix(Y)], ids=["dense", "sparse"])
def test_the_ladder_compares_with_a_linear_model_for_each_label(y):
    search = StepwiseSearchCV(short(n_estimators=2, max_epochs=4), n_iter=3, cv=2, random_state=0).fit(X, y)
    assert "the linear model" in str(search.ladder_)
    assert search.best_estimator_.predict(X_TEST).shape == Y_TEST.shape


def test_the_ladder_goes_to_its_end_on_labels_without_an_answer():
    noise = np.random.default_rng(0).integers(0, 2, Y.shape)
    search = StepwiseSearchCV(short(n_estimators=2, max_epochs=2), n_iter=3, cv=2, random_state=0)
    assert np.isfinite(search.fit(X, csr_matrix(noise)).best_score_)


def test_the_finder_and_learning_curves_take_labels():
    assert 1e-3 < find_learning_rate(StepwiseClassifier(random_state=0), X, Y).learning_rate < 1
    curve = learning_curve(short(n_estimators=2, max_epochs=3), X, Y, cv=2, random_state=0)
    assert np.isfinite(curve.test_scores).all()


def test_a_module_of_the_users_own_learns_labels():
    model = short(module=lambda n_in, n_out: nn.Sequential(nn.Linear(n_in, 8), nn.ReLU(), nn.Linear(8, n_out)))
    assert model.fit(X, Y).predict_proba(X_TEST).shape == (200, 4)
    assert torch.is_tensor(model.pipeline_[-1].module_.input_center)
