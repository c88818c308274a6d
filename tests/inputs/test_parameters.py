"""The door for parameters: each wrong value is refused by name, each right one let in."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor
from sk_dlsteps.inputs.parameters import TABLE, check_parameters
from sk_dlsteps.step4_validation.augmentation import Mixup, SwapNoise

DEFAULTS = StepwiseClassifier().get_params() | StepwiseRegressor().get_params()
COUNTS = ["n_hidden_layers", "restart_mult", "restart_period", "batch_size", "max_epochs", "n_iter_no_change"]
COUNTS += ["n_estimators", "n_threads", "hidden_units"]
REALS = ["hidden_size_factor", "learning_rate", "momentum", "weight_decay", "validation_fraction", "input_clip"]
REALS += ["dropout", "max_grad_norm", "max_grad_value"]
CHOICES = ["hidden_units", "activation", "module", "optimizer", "lr_schedule", "learning_rate", "batch_size"]
CHOICES += ["mixed_precision"]
CHOICES += ["max_epochs", "n_iter_no_change", "n_estimators", "n_threads", "restart_period", "scaler", "augmentation"]
NULLABLE = ("scaler", "numeric_encoding", "input_clip", "max_grad_norm", "max_grad_value", "augmentation")
NULLABLE += ("mixed_precision", "accelerator", "input_shape", "init_from")
# What no parameter takes, but for those named.
NONSENSE = {
    "an object": (object(), ()),
    "a dict": ({"a": 1}, ("class_weight", "unfreeze", "differential_rates")),
    "a complex number": (1j, ()),
    "bytes": (b"auto", ()),
    "NaN": (float("nan"), ()),
    "minus infinity": (-float("inf"), ()),
    "a negative integer": (-1, ()),
    "an empty list": ([], ("callbacks", "categorical_features")),
    "a list of text": (["a"], ("categorical_features",)),
    "a set": ({1}, ()),
    "None": (None, (*NULLABLE, "callbacks", "checkpoint", "random_state", "categorical_features", "class_weight")),
    "the class int": (int, ("module",)),
}


def refused(name, value):
    """The message with which a value is refused."""
    with pytest.raises(ValueError, match=rf"^`{name}` must be ") as info:
        check_parameters({**DEFAULTS, name: value})
    assert repr(value) in str(info.value)
    return str(info.value)


def test_the_table_lists_exactly_the_parameters():
    assert set(TABLE) == set(DEFAULTS)
    of_each = [set(kind().get_params()) for kind in (StepwiseRegressor, StepwiseClassifier)]
    assert of_each[0] ^ of_each[1] == {"quantiles", "class_weight", "calibrate"}


def test_defaults_are_let_in():
    check_parameters(DEFAULTS)


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_refused_with_name_and_value(name, kind):
    value, welcome = NONSENSE[kind]
    if name in welcome:
        check_parameters({**DEFAULTS, name: value})
    else:
        refused(name, value)


@given(name=st.sampled_from(COUNTS), value=st.one_of(st.integers(max_value=0), st.floats(), st.booleans()))
def test_counts_are_positive_integers(name, value):
    refused(name, value)


@given(name=st.sampled_from(COUNTS), value=st.integers(1, 2**31), kind=st.sampled_from([int, np.int64, np.uint32]))
def test_counts_may_come_from_numpy(name, value, kind):
    check_parameters({**DEFAULTS, name: kind(value)})


@given(name=st.sampled_from(REALS), value=st.floats(max_value=-1e-300), kind=st.sampled_from([float, np.float64]))
def test_no_number_is_negative(name, value, kind):
    refused(name, kind(value))


@given(
    name=st.sampled_from(REALS), value=st.floats(0.001, 0.999), kind=st.sampled_from([float, np.float64, np.float32])
)
def test_numbers_may_come_from_numpy(name, value, kind):
    check_parameters({**DEFAULTS, name: kind(value)})


@pytest.mark.parametrize("name", ["momentum", "validation_fraction", "dropout"])
def test_shares_stay_below_one(name):
    assert "below 1" in refused(name, 1.0)


@given(name=st.sampled_from(CHOICES), value=st.text(max_size=12))
@settings(max_examples=200)
def test_other_names_are_refused(name, value):
    if TABLE[name][0](value):
        assert repr(value) in TABLE[name][1]
    else:
        refused(name, value)


@pytest.mark.parametrize(
    ("name", "typo", "meant"),
    [
        ("activation", "rellu", "relu"),
        ("optimizer", "adamm", "adam"),
        ("lr_schedule", "cosine_restart", "cosine_restarts"),
        ("hidden_units", "midpiont", "midpoint"),
        ("learning_rate", "Auto", "auto"),
        ("scaler", "Robust", "robust"),
        ("augmentation", "gausian_noise", "gaussian_noise"),
    ],
)
def test_a_mistyped_name_is_recognised(name, typo, meant):
    assert f"did you mean {meant!r}?" in refused(name, typo)


@pytest.mark.parametrize("value", [2**32, -1, True, 1.5, "0", np.random.default_rng(0)])
def test_random_state_is_what_numpy_takes(value):
    refused("random_state", value)


@pytest.mark.parametrize("value", [None, 0, 2**32 - 1, np.int64(3), np.random.RandomState(0)])
def test_random_state_may_be_none_a_seed_or_a_random_state(value):
    check_parameters({**DEFAULTS, "random_state": value})


@pytest.mark.parametrize("value", [(64,), [64, 32], np.array([64, 32]), range(1, 3), (np.int64(8), 4)])
def test_widths_may_be_any_sequence(value):
    check_parameters({**DEFAULTS, "hidden_units": value})


@pytest.mark.parametrize("value", [(64, 0), [64, 1.5], ("a",), np.ones((2, 2), int), (True,), np.array(5.0)])
def test_widths_are_positive_integers(value):
    with pytest.raises(ValueError, match="`hidden_units` must be "):
        check_parameters({**DEFAULTS, "hidden_units": value})


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimizer": torch.nn.Linear},
        {"loss": torch.optim.SGD},
        {"max_grad_value": 10**400},
        {"max_epochs": 10**400},
        {"callbacks": "early"},
        {"callbacks": [("early", 1)]},
        {"callbacks": [torch.nn.Linear]},
        {"early_stopping": "yes"},
        {"early_stopping": 1},
        {"verbose": -1},
        {"device": 0},
        {"activation": torch.relu},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_fit_and_the_finder_refuse_before_they_look_at_the_data(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=rf"^`{name}` must be "):
        StepwiseRegressor(**wrong).fit("no data", None)


def test_init_and_set_params_only_store():
    value = object()
    model = StepwiseRegressor(loss=value, n_estimators=-3).set_params(hidden_units=value)
    assert model.loss is value
    assert model.hidden_units is value
    assert model.n_estimators == -3


def test_an_unknown_torch_device_is_refused(diabetes):
    X, _, y, _ = diabetes
    with pytest.raises(ValueError, match=re.escape("`device='gpu'` is no torch device; use 'auto', 'cpu'")):
        StepwiseRegressor(device="gpu").fit(X, y)


@pytest.mark.parametrize("module", [torch.nn.Linear, torch.nn.Linear(10, 1), lambda n_inputs, n_outputs: None])
def test_a_module_is_a_class_an_instance_or_a_factory(module):
    check_parameters({**DEFAULTS, "module": module})


@pytest.mark.parametrize("shape", [(1, 8, 8), [50, 2], np.array([3, 4, 4]), (64,)])
def test_an_input_shape_is_a_sequence_of_sizes(shape):
    check_parameters({**DEFAULTS, "input_shape": shape})
    refused("input_shape", 64)
    refused("input_shape", (8, 0))


@pytest.mark.parametrize("value", [0, 0.5, (0.2, 0.5), [0.1, 0.2, 0.3], np.array([0.25, 0.0]), (np.float32(0.5),)])
def test_dropout_may_be_a_share_or_a_sequence_of_them(value):
    check_parameters({**DEFAULTS, "dropout": value})


@pytest.mark.parametrize("value", [(0.2, 1.0), [0.2, -0.1], (), ("0.5",), (True,), np.ones((2, 2)) / 2])
def test_shares_of_dropout_are_numbers_below_one(value):
    with pytest.raises(ValueError, match="`dropout` must be a number of at least 0 and below 1"):
        check_parameters({**DEFAULTS, "dropout": value})


@pytest.mark.parametrize("value", [RobustScaler(), PCA(3), make_pipeline(RobustScaler(), PCA(3))])
def test_any_transformer_may_scale(value):
    check_parameters({**DEFAULTS, "scaler": value})


@pytest.mark.parametrize("value", ["minmax", Ridge(), make_pipeline(PCA(3), Ridge()), np.tanh])
def test_what_cannot_transform_cannot_scale(value):
    assert "'standard' or 'robust', a scikit-learn transformer" in refused("scaler", value)


@pytest.mark.parametrize("value", [SwapNoise(0.3), Mixup(), lambda X, y, generator: (X, y)])
def test_any_function_may_augment(value):
    check_parameters({**DEFAULTS, "augmentation": value})


@pytest.mark.parametrize(("name", "kind"), [("scaler", RobustScaler), ("augmentation", Mixup)])
def test_a_class_is_refused_for_its_instance(name, kind):
    assert f"give an instance: {kind.__name__}(...)" in refused(name, kind)
