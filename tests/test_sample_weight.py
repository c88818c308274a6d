"""Weights in estimators: rows of weight zero are not there, a weight is as many copies, and scores count it."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.class_weight import compute_sample_weight
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, preparation

RNG = np.random.default_rng(0)
N = 120
X = RNG.normal(2.0, [1.0, 3.0, 0.1], (N, 3))
Y = np.sin(X[:, 0]) + X[:, 1] / 3 + 0.3 * RNG.normal(size=N)
LABELS = np.array(["low", "middle", "high"])[np.digitize(Y, [0.5, 1.5])]
SEVERAL = np.stack([Y > 1, X[:, 0] > 2], 1).astype(int)
WEIGHT = RNG.choice([0.0, 0.5, 1.0, 4.0], N)
ZERO = WEIGHT == 0
QUICK = {"n_estimators": 2, "random_state": 0, "learning_rate": 0.02, "max_epochs": 4, "hidden_units": 6}
# One network that trains on all rows at once, so that neither folds nor minibatches depend on the number of rows.
WHOLE = {**QUICK, "n_estimators": 1, "early_stopping": False, "batch_size": 1000, "numeric_encoding": None}


class Net(nn.Module):
    """A small module of a user's own."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_inputs, 5), nn.Tanh(), nn.Linear(5, n_outputs))

    def forward(self, x):
        return self.layers(x)


@pytest.fixture
def float64(monkeypatch):
    """Networks in float64, so that sums in another order do not matter."""
    monkeypatch.setattr(preparation, "_DTYPE", torch.float64)


def table(kind, rows=slice(None)):
    """The rows as an array, a DataFrame with a category, or a sparse array."""
    if kind == "array":
        return X[rows]
    if kind == "sparse":
        return sparse.csr_array(np.where(X > 2, X, 0.0))[rows]
    frame = pd.DataFrame(X, columns=list("abc")).assign(kind=np.resize(["x", "y", "z"], N))
    frame.loc[::7, "b"] = np.nan
    # A level and a magnitude that only rows of weight zero have.
    frame.loc[ZERO, "kind"], frame.loc[ZERO, "a"] = "never", 1e6
    return frame.iloc[rows]


def width_rule(model, weight):
    """What the width rule gives before its bounds."""
    steps = model.fit(X, Y, sample_weight=weight).steps_
    return next(step for step in steps if step.title == "network architecture").evidence["raw"]


# -- rows of weight zero ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["array", "frame", "sparse"])
@pytest.mark.parametrize("estimator", [StepwiseRegressor, StepwiseClassifier])
def test_rows_of_weight_zero_have_no_effect_at_all(kind, estimator):
    y = Y if estimator is StepwiseRegressor else LABELS
    with_zeros = estimator(**QUICK).fit(table(kind), y, sample_weight=WEIGHT)
    without = estimator(**QUICK).fit(table(kind, ~ZERO), y[~ZERO], sample_weight=WEIGHT[~ZERO])
    np.testing.assert_array_equal(with_zeros.predict(table(kind)), without.predict(table(kind)))
    assert with_zeros.validation_score_ == without.validation_score_
    assert with_zeros.plan_ == without.plan_
    np.testing.assert_array_equal(with_zeros.oof_prediction_[~ZERO], without.oof_prediction_)
    assert np.isnan(with_zeros.oof_prediction_[ZERO]).all()


def test_gaps_in_rows_of_weight_zero_have_no_effect_either():
    gaps = np.where(ZERO[:, None], np.nan, X)
    with_zeros = StepwiseRegressor(**QUICK).fit(gaps, Y, sample_weight=WEIGHT)
    without = StepwiseRegressor(**QUICK).fit(X[~ZERO], Y[~ZERO], sample_weight=WEIGHT[~ZERO])
    np.testing.assert_array_equal(with_zeros.predict(X), without.predict(X))


def test_labels_of_rows_of_weight_zero_are_no_classes():
    y = np.where(ZERO, "unknown", LABELS)
    model = StepwiseClassifier(**QUICK).fit(X, y, sample_weight=WEIGHT)
    assert model.classes_.tolist() == ["high", "low", "middle"]
    with pytest.raises(ValueError, match=r"one class, 'low'.*Rows whose `sample_weight` is 0 are left out"):
        StepwiseClassifier(**QUICK).fit(X, LABELS, sample_weight=LABELS == "low")


def test_validation_rows_of_weight_zero_have_no_effect():
    fit = {"X": X[:60], "y": Y[:60]}
    spoilt = np.where(ZERO, 1e30, Y)
    with_zeros = StepwiseRegressor(**QUICK).fit(**fit, X_val=X[60:], y_val=spoilt[60:], sample_weight_val=WEIGHT[60:])
    there = np.flatnonzero(~ZERO[60:]) + 60
    without = StepwiseRegressor(**QUICK).fit(**fit, X_val=X[there], y_val=Y[there], sample_weight_val=WEIGHT[there])
    np.testing.assert_array_equal(with_zeros.predict(X), without.predict(X))
    assert with_zeros.validation_score_ == without.validation_score_


# -- weights as copies --------------------------------------------------------------------


@pytest.mark.parametrize("weight", [1, np.ones(N)])
def test_weights_of_one_are_no_weights(weight):
    plain, weighted = (StepwiseRegressor(**QUICK).fit(X, Y, sample_weight=w) for w in (None, weight))
    np.testing.assert_array_equal(plain.predict(X), weighted.predict(X))


def test_only_the_ratios_of_weights_matter_but_for_the_rows_that_the_width_rule_counts():
    weight = WEIGHT + 0.25
    small, large = (StepwiseRegressor(**QUICK).fit(X, Y, sample_weight=w) for w in (weight, 64 * weight))
    np.testing.assert_array_equal(small.predict(X), large.predict(X))
    assert small.validation_score_ == large.validation_score_
    units = [width_rule(StepwiseRegressor(**{**QUICK, "hidden_units": "auto"}), w) for w in (weight, 64 * weight)]
    assert units[1] == pytest.approx(64 * units[0], rel=0.02)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"loss": "poisson"}, {"loss": "quantile"}, {"weight_decay": 0.1, "optimizer": "sgd"}, {"module": Net}],
    ids=str,
)
def test_a_weight_is_as_many_copies_for_numbers(float64, parameters):
    counts = RNG.integers(1, 4, N)
    y = np.exp(Y) if parameters.get("loss") == "poisson" else Y
    weighted = StepwiseRegressor(**{**WHOLE, **parameters}).fit(X, y, sample_weight=counts)
    again = np.repeat(np.arange(N), counts)
    copies = StepwiseRegressor(**{**WHOLE, **parameters}).fit(X[again], y[again])
    # Outputs start at quantiles, which of copies may lie between two values and with weights are one of them.
    rtol = 0.05 if parameters.get("loss") == "quantile" else 1e-6
    np.testing.assert_allclose(weighted.predict(X), copies.predict(X), rtol=rtol)
    assert weighted.training_score_ == pytest.approx(copies.training_score_, rel=rtol)


@pytest.mark.parametrize("y", [LABELS, LABELS == "low", SEVERAL], ids=["multiclass", "binary", "multilabel"])
def test_a_weight_is_as_many_copies_for_labels(float64, y):
    counts = RNG.integers(0, 4, N)
    weighted = StepwiseClassifier(**WHOLE).fit(X, y, sample_weight=counts)
    again = np.repeat(np.arange(N), counts)
    copies = StepwiseClassifier(**WHOLE).fit(X[again], y[again])
    np.testing.assert_allclose(weighted.predict_proba(X), copies.predict_proba(X), rtol=1e-6)
    assert weighted.training_score_ == pytest.approx(copies.training_score_)


def test_weights_change_what_is_learnt():
    high = np.median(Y) < Y
    plain, towards_high = (
        StepwiseRegressor(**QUICK).fit(X, Y, sample_weight=w) for w in (None, np.where(high, 50.0, 1.0))
    )
    assert abs(towards_high.predict(X) - Y)[high].mean() < 0.9 * abs(plain.predict(X) - Y)[high].mean()


# -- losses and scores --------------------------------------------------------------------


def test_scores_of_a_fit_are_those_of_scikit_learn_with_weights():
    weight = WEIGHT + 0.25
    regressor = StepwiseRegressor(**QUICK).fit(X, Y, sample_weight=weight)
    expected = r2_score(Y, regressor.oof_prediction_, sample_weight=weight)
    assert regressor.validation_score_ == pytest.approx(expected, rel=1e-6)
    classifier = StepwiseClassifier(**QUICK).fit(X, LABELS, sample_weight=weight)
    found = classifier.classes_[classifier.oof_prediction_.argmax(1)]
    assert classifier.validation_score_ == pytest.approx(accuracy_score(LABELS, found, sample_weight=weight))
    assert classifier.validation_score_ != accuracy_score(LABELS, found)


def test_training_scores_count_weights():
    weight = WEIGHT + 0.25
    model = StepwiseRegressor(**WHOLE).fit(X, Y, sample_weight=weight)
    assert model.training_score_ == pytest.approx(r2_score(Y, model.predict(X), sample_weight=weight), rel=1e-5)


def test_score_counts_the_weights_it_is_given(cancer):
    X_train, X_test, y_train, y_test = cancer
    model = StepwiseClassifier(**QUICK).fit(X_train, y_train)
    weight = np.linspace(0, 1, len(y_test))
    expected = accuracy_score(y_test, model.predict(X_test), sample_weight=weight)
    assert model.score(X_test, y_test, sample_weight=weight) == expected


def test_the_losses_of_held_out_rows_are_weighted():
    weight = WEIGHT + 0.25
    model = StepwiseRegressor(**{**QUICK, "max_epochs": 1}).fit(X, Y, sample_weight=weight)
    fleet = model.pipeline_[-1].module_
    predictions = model.pipeline_[-1].network_predictions(model.pipeline_[:-1].transform(X))[:, :, 0]
    errors = (predictions - Y[:, None]) / fleet.target_scale[:, 0, 0].numpy()
    held_out = model.oof_prediction_[:, None] == predictions
    assert (held_out.sum(1) == 1).all()
    losses = [np.average(errors[own, k] ** 2, weights=weight[own]) for k, own in enumerate(held_out.T)]
    assert model.history_[-1]["valid_loss"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_validation_rows_have_weights_of_their_own():
    weight_val = WEIGHT[60:] + 0.1
    fit = {"X": X[:60], "y": Y[:60], "X_val": X[60:], "y_val": Y[60:]}
    model = StepwiseRegressor(**QUICK).fit(**fit, sample_weight_val=weight_val)
    expected = r2_score(Y[60:], model.predict(X[60:]), sample_weight=weight_val)
    assert model.validation_score_ == pytest.approx(expected, rel=1e-5)
    unweighted = StepwiseRegressor(**QUICK).fit(**fit)
    assert unweighted.history_[-1]["valid_loss"] != model.history_[-1]["valid_loss"]
    scaled = StepwiseRegressor(**QUICK).fit(**fit, sample_weight_val=8 * weight_val)
    assert scaled.history_[-1]["valid_loss"] == pytest.approx(model.history_[-1]["valid_loss"], rel=1e-6)


# -- weights of classes ---------------------------------------------------------------------


@pytest.mark.parametrize("class_weight", ["balanced", {"low": 5.0, "high": 0.5}])
@pytest.mark.parametrize("module", ["mlp", Net])
def test_class_weights_are_weights_of_rows_in_losses(class_weight, module):
    # Inputs as they are: their statistics know nothing of class weights.
    common = {**WHOLE, "scaler": None, "module": module}
    by_class = StepwiseClassifier(**common, class_weight=class_weight).fit(X, LABELS)
    by_row = StepwiseClassifier(**common).fit(X, LABELS, sample_weight=compute_sample_weight(class_weight, LABELS))
    np.testing.assert_allclose(by_class.predict_proba(X), by_row.predict_proba(X), rtol=1e-6)
    plain = StepwiseClassifier(**common).fit(X, LABELS)
    assert abs(by_class.predict_proba(X) - plain.predict_proba(X)).max() > 0.005


def test_class_weights_and_weights_of_rows_are_multiplied():
    common = {**WHOLE, "scaler": None}
    weight, of_class = WEIGHT + 0.25, {"low": 5.0}
    both = StepwiseClassifier(**common, class_weight=of_class).fit(X, LABELS, sample_weight=weight)
    by_hand = StepwiseClassifier(**common).fit(
        X, LABELS, sample_weight=weight * compute_sample_weight(of_class, LABELS)
    )
    np.testing.assert_allclose(both.predict_proba(X), by_hand.predict_proba(X), rtol=1e-6)


def test_scores_and_inputs_know_nothing_of_class_weights():
    model = StepwiseClassifier(**QUICK, class_weight={"low": 30.0}).fit(X, LABELS)
    found = model.classes_[model.oof_prediction_.argmax(1)]
    assert model.validation_score_ == pytest.approx(accuracy_score(LABELS, found))
    np.testing.assert_allclose(model.pipeline_[0].mean_, X.mean(0))


def test_class_weights_that_do_not_fit_are_errors():
    with pytest.raises(ValueError, match=r"`class_weight` has labels that `y` does not: \['lo'\]"):
        StepwiseClassifier(**QUICK, class_weight={"lo": 2.0}).fit(X, LABELS)
    with pytest.raises(ValueError, match="needs one class for each row, y has several labels; use `sample_weight`"):
        StepwiseClassifier(**QUICK, class_weight="balanced").fit(X, SEVERAL)
    with pytest.raises(ValueError, match="`class_weight` must be None, 'balanced', a dict"):
        StepwiseClassifier(**QUICK, class_weight="balance").fit(X, LABELS)


def test_labels_of_whole_numbers_and_truth_values_have_class_weights_too():
    truth = Y > 1
    as_truth = StepwiseClassifier(**QUICK, class_weight={True: 4.0}).fit(X, truth)
    as_number = StepwiseClassifier(**QUICK, class_weight={1: 4.0, 0: 1.0}).fit(X, truth.astype(int))
    np.testing.assert_array_equal(as_truth.predict_proba(X), as_number.predict_proba(X))


# -- what is refused, and leaves the model as it was ------------------------------------------


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"sample_weight": WEIGHT[:-1]}, r"sample_weight\.shape == \(119,\), expected \(120,\)"),
        ({"sample_weight": -WEIGHT}, "Negative values in data passed to `sample_weight`"),
        ({"sample_weight_val": WEIGHT}, "`sample_weight_val` is given without `X_val`"),
        ({"X_val": X, "y_val": Y, "sample_weight_val": WEIGHT[1:]}, r"sample_weight_val\.shape == \(119,\)"),
        ({"X_val": X, "y_val": Y, "sample_weight_val": 0 * WEIGHT}, "`sample_weight_val` holds only zeros"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_leave_the_model_as_it_was(weights, message):
    model = StepwiseRegressor(**QUICK).fit(X, Y)
    before = model.predict(X)
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y, **weights)
    np.testing.assert_array_equal(model.predict(X), before)


def test_the_users_weights_are_left_alone():
    weight = WEIGHT.copy()
    weight.flags.writeable = False
    own = {"X_val": X, "y_val": LABELS, "sample_weight_val": weight}
    StepwiseClassifier(**QUICK, class_weight="balanced").fit(X, LABELS, sample_weight=weight, **own)
    weight = weight + 0.5
    weight.flags.writeable = False
    StepwiseClassifier(**QUICK).fit(X, LABELS, weight, X_val=X, y_val=LABELS, sample_weight_val=weight)
    np.testing.assert_array_equal(weight, WEIGHT + 0.5)
