"""`calibrate=True`: networks that know how sure they are, through copies, searches and files."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import accuracy_score, log_loss

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV, StepwiseWarning
from sk_dlsteps.engine.merge import merge, split
from sk_dlsteps.step4_validation.calibration import expected_calibration_error
from sk_dlsteps.together import fit_together

RNG = np.random.default_rng(0)
X = RNG.normal(size=(500, 4))
NOISY = X[:, 0] + X[:, 1] * X[:, 2] + RNG.normal(size=500)
TARGETS = {"binary": NOISY > 0, "multiclass": np.digitize(NOISY, [-0.7, 0.7])}


def classifier(**parameters):
    """A small fit that is too sure of itself."""
    settings = {"n_estimators": 4, "max_epochs": 30, "learning_rate": 0.03, "n_iter_no_change": 30, "random_state": 0}
    return StepwiseClassifier(**{"calibrate": True, **settings} | parameters)


@pytest.fixture(scope="module", params=TARGETS)
def pair(request):
    """Target, the model without and the model with calibration."""
    y = TARGETS[request.param]
    return y, classifier(calibrate=False).fit(X, y), classifier().fit(X, y)


def test_only_the_temperature_differs(pair):
    _, plain, calibrated = pair
    assert plain.temperature_ == 1.0 != calibrated.temperature_
    states = [model.pipeline_[-1].module_.state_dict() for model in (plain, calibrated)]
    assert [name for name in states[0] if not torch.equal(states[0][name], states[1][name])] == ["temperature"]


def test_probabilities_are_the_link_of_the_mean_raw_output_divided_by_the_temperature(pair):
    _, plain, calibrated = pair
    each = plain.pipeline_[-1].network_predictions(plain.pipeline_[:-1].transform(X.astype(np.float32)))
    powers = np.exp(np.log(each).mean(1) / calibrated.temperature_)
    expected = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(calibrated.predict_proba(X), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(calibrated.predict(X), calibrated.classes_[expected.argmax(1)])


def test_held_out_rows_become_more_likely_and_the_record_says_by_how_much(pair):
    y, plain, calibrated = pair
    codes = np.searchsorted(plain.classes_, y)
    (record,) = [step for step in calibrated.steps_ if step.title == "calibration"]
    assert not [step for step in plain.steps_ if step.title == "calibration"]
    for model, name in ((plain, "_before"), (calibrated, "")):
        assert record.evidence[f"log_loss{name}"] == pytest.approx(log_loss(codes, model.oof_prediction_), rel=1e-5)
        error = expected_calibration_error(model.oof_prediction_, codes)
        assert record.evidence[f"calibration_error{name}"] == pytest.approx(error, abs=1e-3)
    assert record.evidence["log_loss"] < record.evidence["log_loss_before"]
    assert record.evidence["temperature"] == calibrated.temperature_
    labels = calibrated.classes_[calibrated.oof_prediction_.argmax(1)]
    assert calibrated.validation_score_ == accuracy_score(y, labels)


def a_fifth_of_it(output, target):
    """Cross-entropy of a fifth of the raw output, whose own softmax is then much too sure."""
    return torch.nn.functional.cross_entropy(output / 5, target, reduction="none")


def test_networks_that_are_five_times_too_sure_get_better_probabilities_for_new_rows():
    new = np.random.default_rng(1)
    X_new = new.normal(size=(2000, 4))
    y_new = X_new[:, 0] + X_new[:, 1] * X_new[:, 2] + new.normal(size=2000) > 0
    sure, calibrated = (classifier(calibrate=c, loss=a_fifth_of_it).fit(X, TARGETS["binary"]) for c in (False, True))
    assert 4 < calibrated.temperature_ < 8
    assert log_loss(y_new, calibrated.predict_proba(X_new)) < 0.9 * log_loss(y_new, sure.predict_proba(X_new))


def test_validation_data_give_the_temperature_of_the_average():
    y = TARGETS["multiclass"]
    model = classifier(early_stopping=False).fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    (record,) = [step for step in model.steps_ if step.title == "calibration"]
    assert record.because == "fitted to 200 validation rows"
    assert record.evidence["log_loss"] == pytest.approx(log_loss(y[300:], model.predict_proba(X[300:])))
    assert model.validation_score_ == pytest.approx(model.score(X[300:], y[300:]))
    near = [
        log_loss(y[300:], model.predict_proba(X[300:]) ** t / (model.predict_proba(X[300:]) ** t).sum(1)[:, None])
        for t in (0.9, 1.1)
    ]
    assert record.evidence["log_loss"] < min(near)


@pytest.mark.parametrize("rows", [slice(0, 8), slice(None)])
def test_without_held_out_rows_a_warning_says_what_to_do(rows):
    with pytest.warns(StepwiseWarning, match="or give `X_val` and `y_val`"):
        model = classifier(early_stopping=rows.start is not None, max_epochs=2).fit(X[rows], TARGETS["binary"][rows])
    assert model.temperature_ == 1.0
    assert not [step for step in model.steps_ if step.title == "calibration"]


def test_the_temperature_survives_a_pickle_a_clone_and_saved_parameters(pair, tmp_path):
    y, _, model = pair
    expected = model.predict_proba(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), expected)
    again = clone(model).fit(X, y)
    assert again.temperature_ == model.temperature_
    np.testing.assert_array_equal(again.predict_proba(X), expected)
    model.pipeline_[-1].save_params(f_params=tmp_path / "net.pt")
    other = classifier(calibrate=False).fit(X, y)
    other.pipeline_[-1].load_params(f_params=tmp_path / "net.pt")
    np.testing.assert_allclose(other.predict_proba(X), expected)


def test_fits_together_are_calibrated_each_on_its_own_rows():
    y = TARGETS["multiclass"]
    models = [classifier(calibrate=c, dropout=d) for c in (True, False) for d in (0.0, 0.5)]
    alone = [clone(model).fit(X, y) for model in models]
    assert all(error is None for _, error in fit_together(models, [(X, y)] * 4))
    for one, other in zip(models, alone, strict=True):
        assert one.temperature_ == pytest.approx(other.temperature_, rel=1e-3)
        np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-3)
    assert len({model.temperature_ for model in models}) == 3


def test_merged_fleets_keep_their_temperatures_in_any_order():
    y = TARGETS["binary"]
    fleets = [classifier(calibrate=c).fit(X, y).pipeline_[-1].module_ for c in (True, False)]
    before = [fleet.temperature.clone() for fleet in fleets]
    merged = merge(fleets)
    torch.testing.assert_close(merged.temperature, torch.cat(before))
    merged.reorder([7, 6, 5, 4, 3, 2, 1, 0], 8)
    torch.testing.assert_close(merged.temperature, torch.cat(before).flip(0))
    split(merge(fleets), fleets)
    torch.testing.assert_close([fleet.temperature for fleet in fleets], before)


def test_a_search_refits_a_calibrated_model():
    search = StepwiseSearchCV(
        classifier(max_epochs=5), {"dropout": [0.0, 0.2]}, strategy="random", n_iter=2, cv=2, scoring="neg_log_loss"
    )
    assert search.fit(X, TARGETS["binary"]).best_estimator_.temperature_ != 1.0


class TwoLayers(torch.nn.Sequential):
    """A network of the user's own."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(torch.nn.Linear(n_inputs, 8), torch.nn.ReLU(), torch.nn.Linear(8, n_outputs))


@pytest.mark.parametrize(
    "parameters", [{"module": TwoLayers}, {"loss": torch.nn.MultiMarginLoss}, {"loss": "smoothed_cross_entropy"}]
)
def test_any_module_and_cost_with_probabilities_can_be_calibrated(parameters):
    y = TARGETS["multiclass"]
    model = classifier(**parameters).fit(X, y)
    (record,) = [step for step in model.steps_ if step.title == "calibration"]
    assert record.evidence["log_loss"] < record.evidence["log_loss_before"]
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1, rtol=1e-6)


def test_the_parameter_belongs_to_the_classifier_alone():
    with pytest.raises(TypeError, match="calibrate"):
        StepwiseRegressor(calibrate=True)
    with pytest.raises(ValueError, match="`calibrate` must be True or False, got 'yes'"):
        classifier(calibrate="yes").fit(X, TARGETS["binary"])
