"""The article's ranges: what is drawn, from where, and with which rows in view."""

import json
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import loguniform
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import LRScheduler
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseWarning, find_learning_rate
from sk_dlsteps.inputs.parameters import check_parameters
from sk_dlsteps.plan import Plan
from sk_dlsteps.step2_architecture.hidden_units import choose_hidden_units
from sk_dlsteps.step3_training.lr_finder import SWEEPS
from sk_dlsteps.step4_validation.spaces import (
    Dropout,
    LogUniform,
    LogUniformInteger,
    check_distributions,
    distributions,
)

STEP3 = {"learning_rate", "lr_schedule", "hidden_units", "batch_size", "n_hidden_layers"}
STEP4 = {"dropout", "weight_decay", "batch_norm", "hidden_units", "n_hidden_layers"}
DISTRIBUTIONS = [LogUniform(1e-3, 0.1), LogUniform(1e-6, 0.1, 0.25), LogUniformInteger(8, 512), Dropout()]


def draws(distribution, n=1000, seed=0):
    """Values of a distribution or a list."""
    if isinstance(distribution, list):
        return distribution
    return distribution.rvs(n, random_state=seed).tolist()


def draw(space, rng):
    """One candidate."""
    return {
        name: value[rng.randint(len(value))] if isinstance(value, list) else value.rvs(random_state=rng)
        for name, value in space.items()
    }


def plan(n_rows, n_inputs=10, n_outputs=1, learning_rate=0.01):
    """The decisions on a table of this shape."""
    return Plan(
        task="regression",
        loss="MSE",
        n_inputs=n_inputs,
        n_outputs=n_outputs,
        n_rows=n_rows,
        n_networks=8,
        hidden_units=(64,),
        activation="relu",
        optimizer="adam",
        learning_rate=learning_rate,
        lr_schedule=None,
        batch_size=32,
        max_epochs=100,
        dropout=(0.0,),
        weight_decay=0.0,
        batch_norm=False,
        max_grad_norm=None,
        max_grad_value=None,
        augmentation=None,
        stopping=None,
        device="cpu",
        n_threads=1,
    )


@pytest.mark.parametrize(("step", "names"), [(3, STEP3), (4, STEP4), (None, STEP3 | STEP4)])
def test_each_step_searches_what_the_article_turns_there(step, names):
    assert StepwiseRegressor().param_distributions(step).keys() == names


def test_the_articles_choices():
    space = StepwiseRegressor().param_distributions()
    assert space["n_hidden_layers"] == [1, 2, 3]
    assert space["batch_size"] == [64, 128, 256, 512]
    assert space["batch_norm"] == [False, True]
    assert {"constant", "exponential", "cosine", "cosine_restarts"} == set(space["lr_schedule"])


def test_dropout_is_none_or_in_the_last_or_in_all_layers_between_a_quarter_and_a_half():
    values = draws(StepwiseRegressor().param_distributions(4)["dropout"], 3000)
    none = [v for v in values if v == 0]
    last = [v for v in values if isinstance(v, float) and v > 0]
    pairs = [v for v in values if isinstance(v, tuple)]
    assert len(none) + len(last) + len(pairs) == 3000
    assert stats.chisquare([len(none), len(last), len(pairs)]).pvalue > 0.01
    assert {len(pair) for pair in pairs} == {2}
    for column in (last, *zip(*pairs, strict=True)):
        assert 0.25 <= min(column) < 0.26 < 0.49 < max(column) <= 0.50
        assert stats.kstest(column, stats.uniform(0.25, 0.25).cdf).pvalue > 0.01
    assert abs(np.corrcoef(np.transpose(pairs))[0, 1]) < 0.1


def test_weight_decay_is_log_uniform_or_none():
    values = np.array(draws(StepwiseRegressor().param_distributions(4)["weight_decay"], 3000))
    assert (values == 0).mean() == pytest.approx(0.25, abs=0.03)
    positive = values[values > 0]
    assert positive.min() >= 1e-6
    assert positive.max() <= 0.1
    assert stats.kstest(positive, stats.loguniform(1e-6, 0.1).cdf).pvalue > 0.01


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_without_rows_the_rate_is_log_uniform_around_the_optimizers_default(optimizer):
    rates = StepwiseRegressor(optimizer=optimizer).param_distributions(3)["learning_rate"]
    default = SWEEPS[optimizer].default
    assert math.sqrt(rates.low * rates.high) == pytest.approx(default)
    assert stats.kstest(draws(rates), stats.loguniform(default / 10, default * 10).cdf).pvalue > 0.01


def test_a_torch_optimizer_has_its_own_default():
    space = StepwiseRegressor(optimizer=torch.optim.NAdam).param_distributions()
    assert space["learning_rate"].low < 1e-3 < space["learning_rate"].high < 0.02


def test_without_rows_units_are_log_uniform_from_16_to_512():
    values = draws(StepwiseRegressor().param_distributions(3)["hidden_units"], 20000)
    assert (min(values), max(values)) == (16, 512)
    counts = np.bincount(values, minlength=513)[16:513]
    expected = np.diff(np.log(np.arange(16, 514))) / np.log(513 / 16) * len(values)
    assert stats.chisquare(counts, expected).pvalue > 0.01


@pytest.mark.parametrize("estimator", [StepwiseRegressor(random_state=0), StepwiseClassifier(random_state=0)])
def test_with_rows_the_rate_lies_within_a_factor_of_four_of_the_found_one(estimator, diabetes, cancer):
    X, _, y, _ = diabetes if isinstance(estimator, StepwiseRegressor) else cancer
    found = find_learning_rate(estimator, X, y).learning_rate
    assert estimator.param_distributions(3, X, y)["learning_rate"] == LogUniform(found / 4, found * 4)


@pytest.mark.parametrize("a", [2, 3, 5, 10])
@pytest.mark.parametrize("n_rows", [30, 400, 3000, 10_000, 100_000])
@pytest.mark.parametrize("n_inputs", [2, 20, 300])
def test_units_span_the_rule_and_what_the_default_takes(n_rows, n_inputs, a):
    units = distributions(("hidden_units",), "adam", plan(n_rows, n_inputs))["hidden_units"]
    (default,), record = choose_hidden_units("auto", a, 1, n_rows=n_rows, n_inputs=n_inputs, n_outputs=1)
    assert units.low < default < units.high
    assert max(units.low, min(units.high, record.evidence["raw"])) == max(8, min(512, record.evidence["raw"]))
    assert 8 <= units.low < units.high / 3 <= 512 / 3


def test_units_reach_beyond_the_rule_at_both_ends():
    # 20 inputs and 1 output: 114 units at a = 10 lie above the default's floor, 571 at a = 2 above the bound.
    assert distributions(("hidden_units",), "adam", plan(24_000, 20))["hidden_units"] == LogUniformInteger(32, 512)
    # 29 units at a = 10, 143 at a = 2.
    assert distributions(("hidden_units",), "adam", plan(6_000, 20))["hidden_units"] == LogUniformInteger(14, 286)


@pytest.mark.parametrize(
    ("n_rows", "sizes"),
    [(10, [64]), (300, [64]), (512, [64, 128]), (2047, [64, 128, 256]), (2048, [64, 128, 256, 512])],
)
def test_minibatches_leave_four_steps_in_an_epoch_and_one_size_always(n_rows, sizes):
    assert distributions(("batch_size",), "adam", plan(n_rows))["batch_size"] == sizes


def test_step_4_needs_no_range_test(diabetes):
    # Pure noise: a range test would find nothing and warn.
    X, _, _, _ = diabetes
    y = np.random.default_rng(0).normal(size=len(X))
    model = StepwiseRegressor(max_epochs=1, random_state=0)
    assert model.param_distributions(4, X, y).keys() == STEP4
    with pytest.warns(StepwiseWarning, match="No learning rate could be found"):
        rates = model.param_distributions(3, X, y)["learning_rate"]
    assert math.sqrt(rates.low * rates.high) == pytest.approx(SWEEPS["adam"].default)


@pytest.mark.parametrize("prefix", ["stepwiseregressor", "stepwiseregressor__"])
def test_a_prefix_for_pipelines(prefix):
    model = StepwiseRegressor()
    space = model.param_distributions(prefix=prefix)
    assert space == {f"stepwiseregressor__{name}": value for name, value in model.param_distributions().items()}


def test_a_prefix_of_nested_steps():
    assert "model__regressor__dropout" in StepwiseRegressor().param_distributions(4, prefix="model__regressor__")


def test_what_has_no_effect_is_left_out():
    own = StepwiseRegressor(module=nn.Linear)
    assert own.param_distributions(3).keys() == {"learning_rate", "lr_schedule", "batch_size"}
    assert own.param_distributions(4).keys() == {"weight_decay"}
    no_decay = StepwiseRegressor(optimizer=torch.optim.Rprop)
    assert no_decay.param_distributions(4).keys() == STEP4 - {"weight_decay"}
    for callback in (LRScheduler, LRScheduler(), ("schedule", LRScheduler())):
        steered = StepwiseRegressor(callbacks=[callback])
        assert steered.param_distributions(3).keys() == STEP3 - {"lr_schedule"}


def test_what_is_set_is_searched_all_the_same():
    model = StepwiseRegressor(hidden_units=(8, 4), dropout=0.1, learning_rate=1e-3)
    assert model.param_distributions() == StepwiseRegressor().param_distributions()


def test_dropout_layer_by_layer_keeps_the_number_of_layers(diabetes):
    X, _, y, _ = diabetes
    model = StepwiseRegressor(n_hidden_layers=3, dropout=(0.1, 0.2, 0.3), max_epochs=2, n_estimators=1, random_state=0)
    space = model.param_distributions(3)
    assert space.keys() == STEP3 - {"n_hidden_layers"}
    RandomizedSearchCV(model, space, n_iter=3, cv=2, random_state=0, refit=False).fit(X, y)
    assert model.param_distributions().keys() == STEP3 | STEP4
    assert StepwiseRegressor(dropout=(0.1, 0.2)).param_distributions(3).keys() == STEP3


@pytest.mark.parametrize("step", [1, 2, 5, "4", "search"])
def test_other_steps_have_nothing_to_search(step):
    with pytest.raises(ValueError, match=r"`step` must be 3, 4 or None for both, got"):
        StepwiseRegressor().param_distributions(step)


def test_rows_and_target_belong_together(diabetes):
    X, _, y, _ = diabetes
    with pytest.raises(ValueError, match=r"`y` is missing.*leave out `X`"):
        StepwiseRegressor().param_distributions(X=X)
    with pytest.raises(ValueError, match=r"`X` is missing.*leave out `y`"):
        StepwiseRegressor().param_distributions(y=y)


def test_bad_parameters_and_data_are_named(diabetes):
    X, _, y, _ = diabetes
    with pytest.raises(ValueError, match="`optimizer` must be"):
        StepwiseRegressor(optimizer="adaam").param_distributions()
    with pytest.raises(ValueError, match="`prefix` must be a string such as"):
        StepwiseRegressor().param_distributions(prefix=None)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        StepwiseRegressor().param_distributions(X=X, y=y[1:])


@pytest.mark.parametrize("seed", [None, 3, np.random.RandomState(3)], ids=["None", "int", "RandomState"])
def test_no_random_state_is_touched_and_the_estimator_stays_as_it_was(seed, diabetes):
    X, _, y, _ = diabetes
    model = StepwiseRegressor(random_state=seed)
    attributes = dict(vars(model))
    before = states(model)
    for distribution in model.param_distributions(X=X, y=y).values():
        if not isinstance(distribution, list):
            distribution.rvs()
    assert vars(model) == attributes
    assert states(model) == before


def states(model):
    """Every random state that might have been drawn from."""
    numpys, torchs = np.random.get_state(), torch.get_rng_state()
    own = model.random_state.get_state() if isinstance(model.random_state, np.random.RandomState) else None
    return str(numpys[1].tolist()), numpys[2:], torchs.tolist(), own and (own[1].tolist(), own[2:])


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=str)
class TestDistributions:
    def test_the_same_seed_gives_the_same_draws(self, distribution):
        assert draws(distribution, seed=1) == draws(distribution, seed=1) != draws(distribution, seed=2)

    def test_draws_one_by_one_equal_draws_together(self, distribution):
        rng = np.random.RandomState(5)
        assert [distribution.rvs(random_state=rng) for _ in range(20)] == draws(distribution, 20, seed=5)

    def test_no_seed_gives_fresh_draws(self, distribution):
        assert draws(distribution, seed=None) != draws(distribution, seed=None)

    def test_new_generators_are_welcome(self, distribution):
        values = [distribution.rvs(50, random_state=np.random.default_rng(0)).tolist() for _ in range(2)]
        assert values[0] == values[1]

    def test_shapes_are_scipys(self, distribution):
        for size in (0, 1, 3, (2, 3)):
            assert distribution.rvs(size, random_state=0).shape == stats.uniform.rvs(size=size, random_state=0).shape

    def test_values_are_plain(self, distribution):
        for value in draws(distribution):
            parts = value if type(value) is tuple else (value,)
            assert {type(part) for part in parts} <= {int, float}
            assert json.loads(json.dumps(value)) == (list(value) if type(value) is tuple else value)

    def test_it_survives_a_pickle_and_a_repr(self, distribution):
        assert pickle.loads(pickle.dumps(distribution)) == distribution
        names = {"LogUniform": LogUniform, "LogUniformInteger": LogUniformInteger, "Dropout": Dropout}
        assert eval(repr(distribution), names) == distribution


@given(low=st.floats(1e-8, 1e3), ratio=st.floats(1, 1e6), seed=st.integers(0, 2**32 - 1))
def test_log_uniform_draws_stay_within_their_bounds(low, ratio, seed):
    values = draws(LogUniform(low, low * ratio), 20, seed)
    assert low <= min(values) <= max(values) <= low * ratio


@given(low=st.integers(1, 1000), width=st.integers(0, 1000), seed=st.integers(0, 2**32 - 1))
def test_integer_draws_stay_within_their_bounds(low, width, seed):
    values = draws(LogUniformInteger(low, low + width), 20, seed)
    assert low <= min(values) <= max(values) <= low + width


@given(
    n_rows=st.integers(2, 10**7),
    n_inputs=st.integers(1, 5000),
    rate=st.floats(1e-5, 1),
    step=st.sampled_from([3, 4]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_candidate_of_every_table_passes_the_door(n_rows, n_inputs, rate, step, seed):
    names = tuple(StepwiseRegressor().param_distributions(step))
    space = distributions(names, "adam", plan(n_rows, n_inputs, learning_rate=rate))
    candidate = draw(space, np.random.RandomState(seed))
    check_parameters(StepwiseRegressor().set_params(**candidate).get_params())


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), with_rows=st.booleans())
def test_every_candidate_fits_diabetes(seed, with_rows, diabetes):
    X, X_test, y, _ = diabetes
    model = StepwiseRegressor(n_estimators=2, random_state=0)
    space = model.param_distributions(X=X, y=y) if with_rows else model.param_distributions()
    model.set_params(max_epochs=2, **draw(space, np.random.RandomState(seed)))
    assert np.isfinite(model.fit(X, y).predict(X_test)).all()


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), step=st.sampled_from([3, 4, None]))
def test_every_candidate_fits_breast_cancer(seed, step, cancer):
    X, X_test, y, _ = cancer
    model = StepwiseClassifier(max_epochs=2, n_estimators=2, learning_rate=0.02, random_state=0)
    model.set_params(**draw(model.param_distributions(step), np.random.RandomState(seed)))
    assert np.isfinite(model.fit(X, y).predict_proba(X_test)).all()


@pytest.mark.parametrize(
    ("space", "error", "message"),
    [
        ([{}, {}], ValueError, r"`param_distributions` must be one dict for strategy='ladder'.*got 2 of them"),
        ({"droput": [0.1]}, ValueError, r"'droput', which is no parameter.*did you mean 'dropout'\?"),
        ({"xyz": [0.1]}, ValueError, r"'xyz', which is no parameter.*`estimator.get_params\(\)`"),
        ({"dropout": 0.3}, TypeError, r"dropout"),
        ({"dropout": []}, ValueError, r"at least one value for 'dropout', got \[\]"),
        ({"activation": "tanh"}, TypeError, r"for 'activation', got 'tanh'; for a single value give \['tanh'\]"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(space, error, message):
    with pytest.raises(error, match=message):
        check_distributions(space, StepwiseClassifier().get_params())


def test_a_name_without_its_prefix_gets_it_in_the_error():
    names = make_pipeline(StandardScaler(), StepwiseClassifier()).get_params()
    with pytest.raises(ValueError, match="did you mean 'stepwiseclassifier__dropout'"):
        check_distributions({"dropout": [0.1]}, names)


def test_spaces_of_lists_arrays_and_distributions_pass():
    space = {"dropout": np.linspace(0, 0.5, 3), "hidden_units": [(8, 4), 16], "learning_rate": loguniform(1e-3, 1e-1)}
    assert check_distributions(space, StepwiseClassifier().get_params()) is None
    assert check_distributions(None, ()) is None
