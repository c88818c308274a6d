"""Quantiles from the estimator: intervals, shapes, other levels, searches."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone
from sklearn.metrics import mean_pinball_loss, r2_score
from sklearn.model_selection import GridSearchCV

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV, find_learning_rate
from sk_dlsteps.together import fit_together

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 3))
Y = X[:, 0] + np.abs(X[:, 1]) * RNG.normal(size=400)
TWO = np.column_stack([100 * Y, 3 - Y**2])
FIVE = (0.05, 0.25, 0.5, 0.75, 0.95)


def quantile_model(**parameters):
    """A small fit."""
    return StepwiseRegressor(
        **{"loss": "quantile", "n_estimators": 3, "max_epochs": 15, "learning_rate": 0.02, "random_state": 0}
        | parameters
    )


@pytest.fixture(scope="module")
def fitted():
    """A small model of one target and one of two."""
    return quantile_model().fit(X, Y), quantile_model().fit(X, TWO)


def test_shapes(fitted):
    one, two = fitted
    assert one.predict(X).shape == one.predict(X, quantiles=0.9).shape == one.oof_prediction_.shape == (400,)
    assert one.predict(X, quantiles=[0.1, 0.9]).shape == (400, 2)
    assert two.predict(X).shape == two.predict(X, quantiles=0.9).shape == two.oof_prediction_.shape == (400, 2)
    assert two.predict(X, quantiles=np.array([0.1, 0.5, 0.9])).shape == (400, 2, 3)
    for quantiles in (None, 0.3, [0.1, 0.9]):
        mean, std = two.predict(X, return_std=True, quantiles=quantiles)
        assert mean.shape == std.shape
        np.testing.assert_allclose(mean, two.predict(X, quantiles=quantiles))


@given(
    rows=hnp.arrays(np.float64, (5, 3), elements=st.floats(-1e6, 1e6)),
    levels=st.lists(st.floats(0.05, 0.95), min_size=2, max_size=6),
)
@settings(max_examples=40, deadline=None)
def test_predicted_quantiles_never_cross_wherever_the_row_and_the_levels_are(fitted, rows, levels):
    for model in fitted:
        assert (np.diff(model.predict(rows, quantiles=np.sort(levels))) >= 0).all()


def test_a_prediction_is_the_median_and_scores_are_its_r2(fitted):
    for model, y in zip(fitted, (Y, TWO), strict=True):
        np.testing.assert_allclose(model.predict(X), model.predict(X, quantiles=0.5))
        assert model.score(X, y) == pytest.approx(r2_score(y, model.predict(X)))
        assert model.validation_score_ == pytest.approx(r2_score(y, model.oof_prediction_))


def test_inputs_that_say_nothing_give_the_empirical_quantiles():
    y = RNG.gamma(2.0, 1.0, 1500)
    model = quantile_model(max_epochs=40, early_stopping=False).fit(np.ones((1500, 1)), y)
    found = model.predict(np.ones((1, 1)), quantiles=FIVE)[0]
    shares = [(y < value).mean() for value in found]
    np.testing.assert_allclose(shares, FIVE, atol=0.02)


def test_intervals_follow_the_noise():
    model = quantile_model(max_epochs=60, early_stopping=False).fit(X, Y)
    low, high = model.predict([[0.0, 0.0, 0.0], [0.0, 2.0, 0.0]], quantiles=[0.05, 0.95]).T
    assert (high - low)[1] > 2 * (high - low)[0]


def test_held_out_rows_lie_in_the_intervals_as_often_as_they_should():
    """Without the widths that held-out rows ask for, so large a network's intervals would hold far fewer."""
    model = quantile_model(n_estimators=4, hidden_units=128, max_epochs=100, n_iter_no_change=100).fit(X, Y)
    new = np.random.default_rng(3)
    rows = new.normal(size=(3000, 3))
    y = rows[:, 0] + np.abs(rows[:, 1]) * new.normal(size=3000)
    for wanted, levels in ((0.9, (0.05, 0.95)), (0.5, (0.25, 0.75))):
        low, high = model.predict(rows, quantiles=levels).T
        assert abs(((low <= y) & (y <= high)).mean() - wanted) < 0.08
    (record,) = [step for step in model.steps_ if step.title == "intervals"]
    assert record.evidence["coverage"] == pytest.approx(0.9, abs=0.02)


def test_validation_data_give_the_widths_where_nothing_is_held_out():
    model = quantile_model(early_stopping=False).fit(X[:200], Y[:200], X_val=X[200:], y_val=Y[200:])
    low, high = model.predict(X[200:], quantiles=[0.05, 0.95]).T
    assert ((low <= Y[200:]) & (Y[200:] <= high)).mean() == pytest.approx(0.9, abs=0.011)
    assert not [step for step in quantile_model(early_stopping=False).fit(X, Y).steps_ if step.title == "intervals"]


def test_quantiles_beat_those_of_the_target_alone(fitted):
    new = np.random.default_rng(1).normal(size=(500, 3))
    y = new[:, 0] + np.abs(new[:, 1]) * np.random.default_rng(2).normal(size=500)
    for level in FIVE:
        naive = mean_pinball_loss(y, np.full(500, np.quantile(Y, level)), alpha=level)
        assert mean_pinball_loss(y, fitted[0].predict(new, quantiles=level), alpha=level) < naive


def test_a_constant_target_has_its_value_for_quantiles():
    model = quantile_model(max_epochs=2).fit(X, np.column_stack([Y, np.full(400, 7.0)]))
    assert (model.predict(X, quantiles=FIVE)[:, 1] == 7.0).all()


def test_levels_that_were_not_learnt_and_models_without_quantiles_are_errors(fitted):
    with pytest.raises(ValueError, match=r"`quantiles=0.99` must lie between 0.05 and 0.95"):
        fitted[0].predict(X, quantiles=0.99)
    with pytest.raises(ValueError, match=r"this one has `loss='auto'`; fit StepwiseRegressor\(loss='quantile'\)"):
        quantile_model(loss="auto", max_epochs=1).fit(X, Y).predict(X, quantiles=0.5)


@pytest.mark.parametrize("quantiles", [(), (0.5, 0.5), (0.9, 0.1), (0.0, 0.5), (0.5, 1.0), 0.5, "high", (0.5, None)])
def test_levels_that_cannot_be_learnt_are_refused(quantiles):
    with pytest.raises(ValueError, match="`quantiles` must be a non-empty sequence of strictly increasing numbers"):
        quantile_model(quantiles=quantiles).fit(X, Y)


def test_the_parameter_belongs_to_the_regressor_alone():
    assert "quantiles" in StepwiseRegressor().get_params()
    with pytest.raises(TypeError, match="quantiles"):
        StepwiseClassifier(quantiles=(0.5,))
    assert clone(StepwiseRegressor(quantiles=(0.3,))).quantiles == (0.3,)


def test_a_copy_from_a_pickle_and_one_from_saved_parameters_predict_the_same(fitted, tmp_path):
    model = fitted[1]
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(X, quantiles=FIVE), model.predict(X, quantiles=FIVE))
    model.pipeline_[-1].save_params(f_params=tmp_path / "net.pt")
    other = quantile_model(max_epochs=1).fit(X, TWO)
    other.pipeline_[-1].load_params(f_params=tmp_path / "net.pt")
    np.testing.assert_allclose(other.predict(X, quantiles=FIVE), model.predict(X, quantiles=FIVE))


def test_fits_of_different_levels_are_not_mixed_up_when_fitted_together():
    models = [quantile_model(quantiles=q, hidden_units=u) for q in (FIVE, (0.1, 0.2, 0.5, 0.8, 0.9)) for u in (16, 24)]
    alone = [clone(model).fit(X, Y) for model in models]
    assert all(error is None for _, error in fit_together(models, [(X, Y)] * 4))
    for one, other in zip(models, alone, strict=True):
        wanted = one.quantiles
        np.testing.assert_allclose(
            one.predict(X, quantiles=wanted), other.predict(X, quantiles=wanted), rtol=1e-3, atol=1e-3
        )


def test_a_search_gives_what_scikit_learns_gives():
    grid = {"dropout": [0.0, 0.3], "quantiles": [(0.25, 0.5, 0.75), (0.1, 0.5, 0.9)]}
    ours = StepwiseSearchCV(quantile_model(), grid, strategy="random", n_iter=4, cv=2, random_state=0).fit(X, Y)
    theirs = GridSearchCV(quantile_model(), grid, cv=2).fit(X, Y)
    found = [
        {str(sorted(params.items())): score for params, score in zip(s["params"], s["mean_test_score"], strict=True)}
        for s in (ours.cv_results_, theirs.cv_results_)
    ]
    assert found[0] == pytest.approx(found[1], abs=1e-3)


def test_the_ladder_and_the_finder_take_quantiles():
    search = StepwiseSearchCV(quantile_model(max_epochs=3, n_estimators=2), strategy="ladder", cv=2, random_state=0)
    assert search.fit(X, Y).best_estimator_.predict(X, quantiles=[0.1, 0.9]).shape == (400, 2)
    assert 0 < find_learning_rate(quantile_model(), X, X[:, 0]).learning_rate < 1


class Line(torch.nn.Linear):
    """A network of the user's own."""


def test_a_module_of_the_users_own_and_sgd_learn_quantiles():
    for parameters in ({"module": Line}, {"optimizer": "sgd"}):
        model = quantile_model(**parameters).fit(X, TWO)
        assert (np.diff(model.predict(X, quantiles=FIVE)) >= 0).all()


def test_augmentation_and_validation_data_go_along_with_quantiles():
    model = quantile_model(augmentation="mixup").fit(X[:300], Y[:300], X_val=X[300:], y_val=Y[300:])
    assert model.validation_score_ == pytest.approx(r2_score(Y[300:], model.predict(X[300:])))
