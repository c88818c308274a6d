"""Many estimators fitted together: each equals itself fitted alone."""

import weakref
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler
from skorch.callbacks import EpochTimer
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, preparation, together
from sk_dlsteps.exceptions import StepwiseWarning
from sk_dlsteps.inputs import scaler as scaler_module
from sk_dlsteps.step4_validation.augmentation import Mixup
from sk_dlsteps.together import fit_together

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
Y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * RNG.normal(size=120)
LABELS = np.array(["low", "middle", "high"])[np.digitize(Y, [-0.5, 0.5])]
TARGETS = {"regression": Y, "binary": Y > 0, "multiclass": LABELS}
QUICK = {"max_epochs": 4, "n_estimators": 1, "random_state": 0, "learning_rate": 0.02, "batch_size": 16}
CLOSE = {"rtol": 1e-7, "atol": 1e-8}


@pytest.fixture
def float64(monkeypatch):
    """Fits in float64, so that order of summation does not matter."""
    monkeypatch.setattr(preparation, "_DTYPE", torch.float64)


@pytest.fixture
def fleets(monkeypatch):
    """How many fits every fleet held."""
    sizes = []
    train = together._train_merged

    def counted(nets, *args):
        sizes.append(len(nets))
        train(nets, *args)

    monkeypatch.setattr(together, "_train_merged", counted)
    return sizes


def predictions(estimator, X):
    """Probabilities of a classifier, values of a regressor."""
    return getattr(estimator, "predict_proba", estimator.predict)(X)


def fitted_together(estimators, tables):
    """Fit, and what was said of each."""
    said = dict(fit_together(estimators, tables))
    assert sorted(said) == list(range(len(estimators)))
    return said


def assert_equal(one, other, X, **close):
    """Two fitted estimators are the same but for rounding, and for the time they took."""
    close = close or CLOSE
    np.testing.assert_allclose(predictions(one, X), predictions(other, X), **close)
    assert vars(one).keys() == vars(other).keys()
    assert one.learning_rate_ == pytest.approx(other.learning_rate_, rel=1e-12)
    assert one.hidden_units_ == other.hidden_units_
    assert one.loss_ == other.loss_
    assert one.n_iter_ == other.n_iter_
    assert one.training_score_ == pytest.approx(other.training_score_, rel=1e-6)
    assert (one.validation_score_ is None) == (other.validation_score_ is None)
    if one.validation_score_ is not None:
        assert one.validation_score_ == pytest.approx(other.validation_score_, rel=1e-6)
        np.testing.assert_allclose(one.oof_prediction_, other.oof_prediction_, **close)
    for row, expected in zip(one.history_, other.history_, strict=True):
        assert row.keys() == expected.keys()
        for name in row.keys() - {"batches", "dur"}:
            np.testing.assert_allclose(row[name], expected[name], err_msg=name, rtol=1e-6, atol=1e-8)
    assert [(r.number, r.title, r.decision, r.because) for r in one.steps_] == [
        (r.number, r.title, r.decision, r.because) for r in other.steps_
    ]
    assert (one.lr_curve_ is None) == (other.lr_curve_ is None)
    if one.lr_curve_ is not None:
        np.testing.assert_allclose(one.lr_curve_.losses, other.lr_curve_.losses, rtol=1e-6)


def assert_equal_to_alone(estimators, tables):
    """Fit together and one by one, and compare."""
    alone = [clone(own).fit(*table) for own, table in zip(estimators, tables, strict=True)]
    said = fitted_together(estimators, tables)
    assert said == dict.fromkeys(range(len(estimators)))
    for one, other, (own, _) in zip(estimators, alone, tables, strict=True):
        assert_equal(one, other, own)


def candidates(task, **settings):
    """Estimators that differ in all that a search draws."""
    kind = StepwiseRegressor if task == "regression" else StepwiseClassifier
    different = [
        {},
        {"hidden_units": 5, "dropout": 0.5},
        {"hidden_units": 200, "weight_decay": 0.1, "learning_rate": 0.05},
        {"lr_schedule": "constant", "max_epochs": 6, "max_grad_norm": 0.5},
        {"lr_schedule": "plateau", "hidden_size_factor": 10.0, "random_state": 3},
        {"n_iter_no_change": 2, "max_epochs": 9, "input_clip": None},
        {"hidden_units": (8, 6), "dropout": (0.25, 0.5)},
        {"n_hidden_layers": 2, "hidden_units": 7, "lr_schedule": "exponential"},
        {"batch_norm": True},
        {"batch_norm": True, "hidden_units": 9, "dropout": 0.3},
        {"augmentation": "mixup"},
        {"augmentation": "mixup", "max_grad_value": 0.1},
        {"scaler": "robust"},
        {"numeric_encoding": None},
        {"batch_size": 32},
        {"early_stopping": False},
        {"optimizer": "adamw", "weight_decay": 0.01},
        {"module": nn.Linear},
        {"optimizer": torch.optim.RMSprop},
    ]
    return [kind(**{**QUICK, **settings, **own}) for own in different]


@pytest.mark.parametrize("n_estimators", [1, 3])
@pytest.mark.parametrize("task", TARGETS)
def test_estimators_fitted_together_equal_those_fitted_alone(float64, fleets, task, n_estimators):
    estimators = candidates(task, n_estimators=n_estimators)
    assert_equal_to_alone(estimators, [(X, TARGETS[task])] * len(estimators))
    # Most of them in a few fleets.
    assert len(fleets) <= 8
    assert sum(fleets) >= 12


def test_folds_and_tables_of_different_sizes_are_fitted_together(float64, fleets):
    folds = [np.setdiff1d(np.arange(120), np.arange(i, i + 40)) for i in (0, 40, 80)]
    tables = [(X[fold], Y[fold]) for fold in folds] + [(X[:50], Y[:50]), (X[:23], Y[:23]), (X[:4], Y[:4])]
    estimators = [StepwiseRegressor(**{**QUICK, "n_estimators": 2, "hidden_units": 6}) for _ in tables]
    assert_equal_to_alone(estimators, tables)
    # Of 23 rows and of 4 a network trains on less than a minibatch.
    assert fleets == [4]


@pytest.mark.filterwarnings("ignore:No learning rate could be found")
@pytest.mark.parametrize("task", TARGETS)
def test_learning_rates_that_are_to_be_found_are_those_found_alone(float64, task):
    kind = StepwiseRegressor if task == "regression" else StepwiseClassifier
    rows = np.arange(100)
    different = [
        {},
        {"hidden_units": 9},
        {"weight_decay": 0.1, "dropout": 0.3},
        {"max_grad_norm": 0.2},
        {"learning_rate": 0.03},
        {"max_epochs": 45},
        {"random_state": 1},
    ]
    own = {**QUICK, "learning_rate": "auto", "max_epochs": 40, "n_iter_no_change": 3, "n_estimators": 2}
    estimators = [kind(**{**own, **more}) for more in different] * 2
    estimators = [clone(e) for e in estimators]
    tables = [(X, TARGETS[task])] * 7 + [(X[rows], TARGETS[task][rows])] * 7
    assert_equal_to_alone(estimators, tables)
    assert len({e.learning_rate_ for e in estimators}) > 3


@pytest.mark.filterwarnings("ignore:No learning rate could be found")
def test_whole_batches_of_different_sizes_are_fitted_together(float64, fleets):
    estimators = [
        StepwiseRegressor(**{**QUICK, "batch_size": 500, "max_epochs": 60, "learning_rate": rate, "hidden_units": n})
        for rate, n in [("auto", 40), ("auto", 8), (0.01, 9), ("auto", 5)]
    ]
    tables = [(X[:n], Y[:n]) for n in (90, 120, 60, 119)]
    assert_equal_to_alone(estimators, tables)
    assert fleets == [4]
    assert [e.plan_.batch_size for e in estimators] == [e.plan_.n_rows for e in estimators]


def test_rates_that_cannot_be_found_warn_once(float64, fleets):
    different = [{"hidden_units": 4}, {"hidden_units": 5}, {"optimizer": "sgd"}, {"learning_rate": 0.1}]
    estimators = [StepwiseRegressor(**{**QUICK, "learning_rate": "auto", **own}) for own in different]
    with pytest.warns(StepwiseWarning, match="too few minibatches for a range test") as caught:
        fitted_together(estimators, [(X, Y)] * 4)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert "for 3 of 4 fits" in str(caught[0].message)
    assert all(f"({rate})" in str(caught[0].message) for rate in (0.02, 0.05))
    assert [e.learning_rate_ for e in estimators] == [0.02, 0.02, 0.05, 0.1]
    assert fleets == [3]


def test_a_single_rate_that_cannot_be_found_warns_as_alone(float64):
    estimator = StepwiseRegressor(**{**QUICK, "learning_rate": "auto"})
    with pytest.warns(StepwiseWarning) as alone:
        clone(estimator).fit(X, Y)
    with pytest.warns(StepwiseWarning) as together_:
        fitted_together([estimator, StepwiseRegressor(**QUICK)], [(X, Y)] * 2)
    assert [str(w.message) for w in together_] == [str(w.message) for w in alone]
    assert together_[0].filename == __file__


def test_names_of_columns_and_classes_are_kept(float64, fleets):
    frame = pd.DataFrame(X, columns=list("abcd"))
    estimators = [StepwiseClassifier(**{**QUICK, "hidden_units": n}) for n in (4, 5)]
    fitted_together(estimators, [(frame, LABELS)] * 2)
    assert fleets == [2]
    for one in estimators:
        assert one.feature_names_in_.tolist() == list("abcd")
        assert one.n_features_in_ == 4
        assert one.classes_.tolist() == ["high", "low", "middle"]
        assert isinstance(one.pipeline_, Pipeline)
        assert set(one.predict(frame)) <= set(LABELS)
    assert_equal(estimators[0], clone(estimators[0]).fit(frame, LABELS), frame)


def test_a_candidate_that_cannot_be_fitted_yields_its_error_and_leaves_the_rest_alone(float64, fleets):
    good = StepwiseRegressor(**QUICK)
    estimators = [
        clone(good),
        clone(good).set_params(dropout=1.5),
        clone(good).set_params(dropout=(0.1, 0.2, 0.3)),
        clone(good),
        clone(good),
    ]
    tables = [(X, Y), (X, Y), (X, Y), (np.where(X > 2, np.inf, X), Y), (X, Y)]
    said = fitted_together(estimators, tables)
    assert said[0] is said[4] is None
    assert fleets == [2]
    for i, message in [(1, "`dropout` must be a number"), (2, "`dropout` must be a number, a pair"), (3, "infinity")]:
        assert isinstance(said[i], ValueError)
        assert message in str(said[i])
        assert not hasattr(estimators[i], "pipeline_")
    assert_equal(estimators[4], clone(good).fit(X, Y), X)


class Failing:
    """An augmentation that does not get on with one network's width of minibatches."""

    def __call__(self, X, y, generator):
        raise FloatingPointError("broken on purpose")


def test_an_error_in_training_is_that_of_each_fit_of_the_fleet(float64):
    broken = Failing()
    estimators = [StepwiseRegressor(**{**QUICK, "augmentation": broken, "hidden_units": n}) for n in (4, 5)]
    estimators.append(StepwiseRegressor(**QUICK))
    said = fitted_together(estimators, [(X, Y)] * 3)
    assert [str(said[i]) for i in (0, 1)] == ["broken on purpose"] * 2
    assert said[2] is None


def test_a_fit_that_breaks_its_fleet_does_not_break_the_others(float64, monkeypatch):
    merge, before = together.merge, []

    def too_wide(modules):
        """There is no room for one of them, nor for a second fleet beside the first."""
        assert not any(fleet() for fleet in before)
        merged = merge(modules)
        before.append(weakref.ref(merged))
        if any(module.units[0, 0] == 5 for module in modules):
            raise MemoryError("too much at a time")
        return merged

    monkeypatch.setattr(together, "merge", too_wide)
    estimators = [StepwiseRegressor(**{**QUICK, "hidden_units": n}) for n in (4, 5, 6)]
    said = r"3 fits failed as one fleet, with MemoryError: .* \(too much at a time\)\..* device='cpu'\. They"
    with pytest.warns(StepwiseWarning, match=said):
        assert_equal_to_alone(estimators, [(X, Y)] * 3)


def test_what_was_fitted_is_held_by_the_caller_only():
    estimators = [StepwiseRegressor(**{**QUICK, "hidden_units": n}) for n in (4, 5, 6)]
    alive = [weakref.ref(estimator) for estimator in estimators]
    for i, error in fit_together(estimators, [(X, Y)] * 3):
        assert error is None
        estimators[i] = None
        assert [own() is None for own in alive] == [own is None for own in estimators]


@pytest.mark.parametrize("scaler", ["standard", "robust"])
def test_a_table_is_scaled_once_whatever_the_random_state(scaler, monkeypatch):
    name, fits = {"standard": "fit_scaler", "robust": "fit_robust_scaler"}[scaler], []
    fit = getattr(scaler_module, name)
    monkeypatch.setattr(scaler_module, name, lambda *args: fits.append(args) or fit(*args))
    settings = {**QUICK, "n_estimators": 2, "random_state": None, "scaler": scaler}
    estimators = [StepwiseRegressor(**settings) for _ in range(3)]
    assert [error for _, error in fit_together(estimators, [(X, Y)] * 3)] == [None] * 3
    assert len(fits) == 1
    assert not np.array_equal(estimators[0].predict(X), estimators[1].predict(X))


class Shift:
    """An augmentation whose strength its name does not show."""

    def __init__(self, by):
        self.by = by

    def __repr__(self):
        return "Shift()"

    def __call__(self, X, y, generator):
        return X + self.by, y


def scaled(by):
    """A cost of one's own."""

    def cost(output, target):
        return by * (output - target).square().sum(-1)

    return cost


def test_settings_of_one_kind_and_different_values_are_not_mixed_up(float64):
    different = [
        *({"augmentation": Shift(by)} for by in (0.0, 1.0)),
        *({"augmentation": Mixup(alpha)} for alpha in (0.1, 1.0)),
        *({"loss": scaled(by)} for by in (1.0, 5.0)),
        *({"optimizer": "sgd", "momentum": m} for m in (0.0, 0.9)),
        *({"scaler": MinMaxScaler(feature_range=(0, top))} for top in (1, 9)),
        *({"numeric_encoding": encoding} for encoding in (None, "piecewise_linear")),
        *({"input_clip": clip} for clip in (None, 1.0, 3.0)),
        *({"activation": activation} for activation in ("relu", "tanh")),
        *({"validation_fraction": share} for share in (0.1, 0.3)),
        *({"early_stopping": early} for early in (False, True)),
        *({"random_state": seed} for seed in (0, 1)),
        *({"n_estimators": n} for n in (1, 2)),
        *({"n_threads": n} for n in (1, 2)),
    ]
    estimators = [StepwiseRegressor(**{**QUICK, "max_epochs": 2, "hidden_units": 4, **own}) for own in different]
    assert_equal_to_alone(estimators, [(X, Y)] * len(estimators))


@dataclass
class Stretch:
    """An augmentation that can change, and so has no hash."""

    by: float

    def __call__(self, X, y, generator):
        return X * self.by, y


def test_augmentations_go_together_if_they_hold_the_same(float64, fleets):
    one, other = Stretch(1.5), Stretch(1.5)
    different = [*[one] * 2, *[other] * 3, Mixup(0.3), Mixup(0.3), "mixup", Mixup()]
    estimators = [StepwiseRegressor(**{**QUICK, "n_threads": 1, "augmentation": own}) for own in different]
    assert_equal_to_alone(estimators, [(X, Y)] * len(estimators))
    assert sorted(fleets) == [2, 2, 5]


def test_a_random_state_that_moves_on_moves_on_from_fit_to_fit(float64):
    together_, alone = (
        [StepwiseRegressor(**{**QUICK, "random_state": state}) for _ in range(3)]
        for state in (np.random.RandomState(4), np.random.RandomState(4))
    )
    fitted_together(together_, [(X, Y)] * 3)
    for one, other in zip(together_, alone, strict=True):
        assert_equal(one, other.fit(X, Y), X)
    assert not np.allclose(together_[0].predict(X), together_[1].predict(X))


def test_fits_without_a_random_state_differ_from_each_other(float64, fleets):
    estimators = [StepwiseRegressor(**{**QUICK, "random_state": None}) for _ in range(2)]
    fitted_together(estimators, [(X, Y)] * 2)
    assert fleets == [2]
    assert not np.allclose(estimators[0].predict(X), estimators[1].predict(X))
    assert estimators[0].pipeline_[0] is not estimators[1].pipeline_[0]


def test_equal_arrays_that_are_different_objects_are_different_tables(float64):
    estimators = [StepwiseRegressor(**QUICK), StepwiseRegressor(**QUICK), StepwiseRegressor(**QUICK)]
    tables = [(X, Y), (X.copy(), Y.copy()), (X, -Y)]
    assert_equal_to_alone(estimators, tables)
    np.testing.assert_allclose(estimators[0].predict(X), estimators[1].predict(X), **CLOSE)


def test_tables_of_the_same_rows_and_other_targets_are_different_tables(float64):
    rows = X.astype(float)
    estimators = [StepwiseRegressor(**QUICK, scaler=None) for _ in range(2)]
    assert_equal_to_alone(estimators, [(rows, Y), (rows, -(Y**2))])


def test_own_callbacks_and_tables_are_left_to_a_fit_of_their_own(float64, fleets, capsys):
    estimators = [
        StepwiseRegressor(**QUICK, callbacks=[("timer", EpochTimer())]),
        StepwiseRegressor(**QUICK, verbose=1),
        StepwiseRegressor(**QUICK, module=nn.Linear),
    ]
    assert_equal_to_alone(estimators, [(X, Y)] * 3)
    assert fleets == []
    assert capsys.readouterr().out.count("epoch") == 2


def test_regressors_classifiers_and_several_targets_go_together_in_one_call(float64):
    estimators = [StepwiseRegressor(**QUICK), StepwiseClassifier(**QUICK), StepwiseRegressor(**QUICK)]
    assert_equal_to_alone(estimators, [(X, Y), (X, LABELS), (X, np.stack([Y, -Y], 1))])


def test_fleets_stay_small_and_narrow_networks_are_not_filled_up_at_any_price(float64, fleets, monkeypatch):
    monkeypatch.setattr(together, "FLEET_NUMBERS", 3000)
    estimators = [StepwiseRegressor(**{**QUICK, "hidden_units": 20}) for _ in range(7)]
    fitted_together(estimators, [(X, Y)] * 7)
    # A network holds 16 rows of inputs with their ramps, hidden units and the output.
    per_network = 16 * (estimators[0].plan_.n_inputs + 20 + 1)
    assert sum(size * per_network > 3000 for size in fleets) == 0
    assert sum(fleets) + (sum(fleets) < 7) == 7
    fleets.clear()
    monkeypatch.setattr(together, "FLEET_NUMBERS", 10**9)
    monkeypatch.setattr(together, "STEP_FLOPS", 0.0)
    estimators = [StepwiseRegressor(**{**QUICK, "hidden_units": n}) for n in (20, 5, 20, 5)]
    fitted_together(estimators, [(X, Y)] * 4)
    assert fleets == [2, 2]


def test_a_fit_that_explodes_says_so_and_leaves_its_mates_alone(float64):
    different = [{}, {"learning_rate": 1e200}, {"hidden_units": 5}]
    estimators = [StepwiseRegressor(**{**QUICK, "optimizer": "sgd", "learning_rate": 0.01, **own}) for own in different]
    with pytest.warns(StepwiseWarning, match="became infinite or NaN") as caught:
        said = fitted_together(estimators, [(X, Y)] * 3)
    assert len(caught) == 1
    assert said == {0: None, 1: None, 2: None}
    assert np.isfinite(estimators[1].predict(X)).all()
    assert "rescues" in estimators[1].steps_[-2].evidence
    for i in (0, 2):
        assert "rescues" not in estimators[i].steps_[-2].evidence
        assert_equal(estimators[i], clone(estimators[i]).fit(X, Y), X)


def test_at_float32_fits_together_predict_as_well_as_alone():
    estimators = candidates("regression", max_epochs=8)[:6]
    alone = [clone(e).fit(X, Y) for e in estimators]
    fitted_together(estimators, [(X, Y)] * 6)
    for one, other in zip(estimators, alone, strict=True):
        np.testing.assert_allclose(one.predict(X), other.predict(X), atol=2e-3)


settings_of_a_fit = st.fixed_dictionaries(
    {
        "hidden_units": st.sampled_from([3, 11, "auto", (4, 5)]),
        "dropout": st.sampled_from([0.0, 0.3, (0.2, 0.5)]),
        "weight_decay": st.sampled_from([0.0, 0.01]),
        "batch_norm": st.booleans(),
        "lr_schedule": st.sampled_from(["auto", "constant", "cosine", "plateau"]),
        "max_epochs": st.integers(1, 5),
        "batch_size": st.sampled_from([7, 16, 200]),
        "n_estimators": st.integers(1, 3),
        "early_stopping": st.booleans(),
        "random_state": st.integers(0, 1),
    }
)


@given(drawn=st.lists(settings_of_a_fit, min_size=2, max_size=5), n_rows=st.lists(st.integers(6, 60), min_size=5))
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_candidates_fitted_together_equal_those_fitted_alone(float64, drawn, n_rows):
    estimators = [StepwiseRegressor(**{**QUICK, **own}) for own in drawn]
    tables = [(X[:n], Y[:n]) for n in n_rows[: len(drawn)]]
    assert_equal_to_alone(estimators, tables)


def test_criteria_that_hold_the_same_share_a_fleet(float64, fleets):
    losses = [torch.nn.HuberLoss(delta=1.0), torch.nn.HuberLoss(delta=1.0), torch.nn.HuberLoss(delta=0.5)]
    estimators = [StepwiseRegressor(**{**QUICK, "loss": loss}) for loss in losses]
    assert_equal_to_alone(estimators, [(X, Y)] * len(estimators))
    assert fleets == [2]


def test_objects_that_cannot_be_pickled_are_told_by_identity(float64, fleets):
    def same(X, y, generator):
        return X, y

    estimators = [StepwiseRegressor(**{**QUICK, "augmentation": own}) for own in (same, same, lambda X, y, g: (X, y))]
    fitted_together(estimators, [(X, Y)] * 3)
    assert fleets == [2]


def test_tables_that_nobody_shares_are_trained_before_there_are_too_many(float64, fleets, monkeypatch):
    monkeypatch.setattr(together, "MOST_BYTES", X.nbytes)
    estimators = [StepwiseRegressor(**{**QUICK, "random_state": np.random.RandomState(k)}) for k in range(5)]
    alone = [clone(estimator).fit(X, Y) for estimator in estimators]
    fitted_together(estimators, [(X, Y)] * 5)
    assert fleets == [3, 2]
    for one, other in zip(estimators, alone, strict=True):
        assert_equal(one, other, X)


@pytest.mark.parametrize("loss", ["triplet", "contrastive"])
def test_losses_that_compare_rows_are_fitted_together(float64, fleets, loss):
    settings = {"loss": loss, "optimizer": "sgd", "learning_rate": 1e-3, "n_estimators": 3, "max_epochs": 5}
    models = [StepwiseClassifier(**settings, random_state=seed) for seed in range(3)]
    rows, labels = load_iris(return_X_y=True)
    tables = [(rows, labels), (rows[10:], labels[10:]), (rows[:100], labels[:100])]
    alone = [clone(model).fit(*table) for model, table in zip(models, tables, strict=True)]
    fitted_together(models, tables)
    for one, other in zip(models, alone, strict=True):
        assert_equal(one, other, rows)
    # Two classes have fewer centres than three.
    assert sorted(fleets) == [2]


def test_candidates_with_and_without_a_source_receive_tables_of_their_own():
    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=np.where(Y > 0, "up", "down"))
    source = StepwiseClassifier(**QUICK).fit(frame, LABELS)
    narrow = StepwiseClassifier(**QUICK).fit(frame.rename(columns={"a": "z"}), LABELS)
    together_ = [
        StepwiseClassifier(**QUICK, init_from=known) for known in (source, None, FrozenEstimator(source), narrow)
    ]
    errors = dict(fit_together(together_, [(frame, LABELS)] * 4))
    assert [errors[i] for i in range(3)] == [None] * 3
    assert "names of columns" in str(errors[3])
    for model in together_[:3]:
        np.testing.assert_allclose(model.predict_proba(frame), clone(model).fit(frame, LABELS).predict_proba(frame))
