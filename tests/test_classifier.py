"""StepwiseClassifier: labels, probabilities, and what a fit leaves behind."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, log_loss
from torch import nn

from sk_dlsteps import StepwiseClassifier
from sk_dlsteps.engine import net
from sk_dlsteps.preparation import prepare


def name_of(value):
    """A test's name, the same in every process."""
    if isinstance(value, dict):
        return "-".join(f"{key}={name_of(entry)}" for key, entry in value.items())
    return getattr(value, "__name__", str(value))


def short(**parameters):
    """A classifier that trains for a moment."""
    return StepwiseClassifier(**{"max_epochs": 15, "learning_rate": 0.02, "random_state": 0, **parameters})


def rows_of(model, X, y):
    """Who trains and who validates on what, in a fit with an integer random_state."""
    return prepare(model.get_params(deep=False), model._receive(X, y, None, None)[0]).rows


class Net(nn.Module):
    """A network of the user's own, with batch statistics."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_inputs, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, n_outputs))

    def forward(self, x):
        return self.layers(x)


def focal(output, target):
    """Focal loss, one per row."""
    log_p = output.log_softmax(-1).gather(-1, target.unsqueeze(-1)).squeeze(-1)
    return -((1 - log_p.exp()) ** 2) * log_p


@pytest.fixture(scope="module", params=["iris", "cancer"])
def fitted(request):
    """The default model with its data, on three and on two classes."""
    data = request.getfixturevalue(request.param)
    return StepwiseClassifier(random_state=0).fit(data[0], data[2]), data


def test_it_beats_the_most_frequent_class_on_unseen_rows(fitted):
    model, (X, X_test, y, y_test) = fitted
    assert model.score(X_test, y_test) > 0.9 > DummyClassifier().fit(X, y).score(X_test, y_test)


def test_probabilities_sum_to_one_and_decide_the_label(fitted):
    model, (_, X_test, _, _) = fitted
    p = model.predict_proba(X_test)
    assert p.shape == (len(X_test), len(model.classes_))
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(1), 1)
    np.testing.assert_array_equal(model.predict(X_test), model.classes_[p.argmax(1)])
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X_test)), p)


def test_probabilities_say_more_than_the_class_shares(fitted):
    model, (X, X_test, y, y_test) = fitted
    shares = DummyClassifier().fit(X, y).predict_proba(X_test)
    assert log_loss(y_test, model.predict_proba(X_test)) < 0.5 * log_loss(y_test, shares)


def test_impossible_classes_have_log_probability_minus_infinity_without_a_warning():
    X = np.linspace(-1, 1, 40)[:, None]
    model = short(learning_rate=50.0, input_clip=None, optimizer="sgd").fit(X, X[:, 0] > 0)
    assert (model.predict_log_proba(X * 1e30) == -np.inf).any()


def test_pipeline_agrees_with_the_estimator(fitted):
    model, (_, X_test, _, _) = fitted
    np.testing.assert_array_equal(model.classes_[model.pipeline_.predict(X_test)], model.predict(X_test))
    np.testing.assert_array_equal(model.pipeline_.predict_proba(X_test), model.predict_proba(X_test))


def test_the_cost_follows_the_number_of_classes(fitted):
    model, _ = fitted
    two = len(model.classes_) == 2
    assert model.loss_ == ("binary_cross_entropy" if two else "cross_entropy")
    assert model.plan_.n_outputs == (1 if two else 3)
    assert all(value != "auto" for value in vars(model.plan_).values())
    assert {step.number for step in model.steps_} == {1, 2, 3, 4}


def test_out_of_fold_probabilities_are_by_networks_that_held_the_row_out(fitted):
    model, (X, _, y, _) = fitted
    each = model.pipeline_[-1].network_predictions(model.pipeline_[0].transform(X))
    expected = np.full((len(X), len(model.classes_)), np.nan)
    for k, valid in enumerate(rows_of(model, X, y).valid):
        expected[valid] = each[valid, k]
    np.testing.assert_allclose(model.oof_prediction_, expected)
    labels = model.classes_[model.oof_prediction_.argmax(1)]
    assert model.validation_score_ == pytest.approx(accuracy_score(y, labels))


def test_every_fold_has_each_classs_share(fitted):
    model, (X, _, y, _) = fitted
    for valid in rows_of(model, X, y).valid:
        for label in model.classes_:
            assert np.mean(y[valid] == label) == pytest.approx(np.mean(y == label), abs=1.5 / len(valid))


def test_a_single_network_leaves_nan_for_rows_it_was_trained_on(iris):
    X, _, y, _ = iris
    model = short(n_estimators=1, validation_fraction=0.3).fit(X, y)
    known = ~np.isnan(model.oof_prediction_[:, 0])
    assert known.sum() == round(0.3 * len(X))
    assert model.validation_score_ == accuracy_score(y[known], model.predict(X[known]))
    assert model.training_score_ == pytest.approx(accuracy_score(y[~known], model.predict(X[~known])))


def test_validation_data_of_the_users_own(iris):
    X, X_val, y, y_val = iris
    model = short().fit(X, y, X_val=X_val, y_val=y_val)
    assert model.validation_score_ == model.score(X_val, y_val)
    assert model.oof_prediction_ is None
    np.testing.assert_allclose(model.pipeline_[0].mean_, X.mean(0))


@pytest.mark.parametrize(
    "loss",
    ["auto", "cross_entropy", "smoothed_cross_entropy", nn.CrossEntropyLoss, nn.NLLLoss(), focal],
    ids=name_of,
)
@pytest.mark.parametrize("data", ["iris", "cancer"])
def test_every_cost_learns(loss, data, request):
    X, X_test, y, y_test = request.getfixturevalue(data)
    model = short(loss=loss, n_estimators=4, max_epochs=40).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X_test).sum(1), 1)
    assert model.score(X_test, y_test) > 0.85


@pytest.mark.parametrize("loss", ["binary_cross_entropy", nn.BCEWithLogitsLoss])
def test_one_logit_is_for_two_classes(loss, iris, cancer):
    X, X_test, y, y_test = cancer
    assert short(loss=loss).fit(X, y).score(X_test, y_test) > 0.9
    with pytest.raises(ValueError, match=r"`loss=.* multiclass.* Use 'auto' or one of"):
        short(loss=loss).fit(iris[0], iris[2])


@pytest.mark.parametrize("loss", ["squared_error", "poisson", nn.MSELoss])
def test_a_cost_for_numbers_is_refused(loss, iris):
    with pytest.raises(ValueError, match=r"`loss=.*multiclass.*Use 'auto' or one of"):
        short(loss=loss).fit(iris[0], iris[2])


def test_smoothed_labels_make_less_sure(cancer):
    X, X_test, y, _ = cancer
    sure, smooth = (
        short(loss=loss).fit(X, y).predict_proba(X_test).max(1).mean() for loss in ("auto", "smoothed_cross_entropy")
    )
    assert smooth < sure


@pytest.mark.parametrize("data", ["iris", "cancer"])
def test_a_module_of_the_users_own(data, request):
    X, X_test, y, y_test = request.getfixturevalue(data)
    model = short(module=Net, n_estimators=2, max_epochs=90).fit(X, y)
    assert model.score(X_test, y_test) > 0.85
    np.testing.assert_array_equal(model.predict(X_test[:1]), model.predict(X_test)[:1])


def test_a_seed_repeats_the_fit_bit_for_bit(iris):
    X, X_test, y, _ = iris
    first, again, other = (short(random_state=s).fit(X, y).predict_proba(X_test) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_swapping_the_labels_swaps_the_classes(cancer):
    X, X_test, y, _ = cancer
    p = short(loss="cross_entropy").fit(X, y).predict_proba(X_test)
    text = np.array(["b", "a"])[y]
    swapped = short(loss="cross_entropy").fit(X, text)
    assert swapped.classes_.tolist() == ["a", "b"]
    assert np.mean((swapped.predict(X_test) == "a") == (p[:, 1] > 0.5)) > 0.97


def clusters(n_classes, n_rows, seed):
    """Gaussian clusters, one for each class."""
    centers = np.random.default_rng(0).normal(size=(n_classes, 20))
    codes = np.arange(n_rows) % n_classes
    return centers[codes] + 0.5 * np.random.default_rng(seed).normal(size=(n_rows, 20)), codes


def test_hundreds_of_classes_are_learnt_from_a_few_rows_each():
    X, y = clusters(300, 1800, 1)
    X_test, y_test = clusters(300, 600, 2)
    model = StepwiseClassifier(n_estimators=2, max_epochs=12, random_state=0).fit(X, y)
    assert model.learning_rate_ <= 0.016
    assert model.predict_proba(X_test).shape == (600, 300)
    assert model.score(X_test, y_test) > 0.8


@pytest.mark.parametrize("n_rare", [2, 3, 10])
def test_a_few_rows_among_thousands_are_found(n_rare):
    draw = np.random.default_rng(n_rare)
    y = draw.permutation(np.arange(3000) < n_rare)
    X = draw.normal(size=(3000, 3)) + 6 * y[:, None]
    model = short().fit(X, y)
    rows = rows_of(model, X, y)
    assert all(y[own].any() for own in (*rows.train, *rows.valid))
    p = model.predict_proba(X)[:, 1]
    assert p[y].min() > p[~y].max()


@pytest.mark.parametrize("n_rare", [1, 2])
def test_a_class_that_some_networks_never_saw_has_a_column_all_the_same(n_rare, iris):
    X, X_test, y, _ = iris
    rows = np.flatnonzero((y < 2) | (np.cumsum(y == 2) <= n_rare))
    model = short().fit(X[rows], y[rows])
    assert model.classes_.tolist() == [0, 1, 2]
    p = model.predict_proba(X_test)
    assert (p > 0).all()
    np.testing.assert_allclose(p.sum(1), 1)
    assert np.isfinite(model.oof_prediction_).all()


def test_probabilities_do_not_depend_on_the_chunks_they_are_computed_in(iris, monkeypatch):
    X, X_test, y, _ = iris
    model = short().fit(X, y)
    expected = model.predict_proba(X_test)
    monkeypatch.setattr(net, "_PREDICT_CHUNK", 1)
    np.testing.assert_allclose(model.predict_proba(X_test), expected, rtol=1e-12)
