"""Which layers train when, and at which share of the rate."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_dlsteps.step3_training.transfer import (
    HEAD_SHARE,
    RATE_RATIO,
    UPPER_SHARE,
    choose_scales,
    choose_stages,
    is_staged,
)

LAYERS = ["conv1", "bn1", "layer1", "layer2", "fc"]


def stages(unfreeze, layers=LAYERS, new=("fc",), n_epochs=100, inherits=True):
    """What trains in each stage, and for how long."""
    return [(stage.trained, stage.n_epochs) for stage in choose_stages(unfreeze, layers, new, n_epochs, inherits)]


def test_auto_trains_the_head_then_the_upper_half_then_all():
    head, upper = round(100 * HEAD_SHARE), round(100 * UPPER_SHARE)
    expected = [(("fc",), head), (("layer1", "layer2", "fc"), upper), (tuple(LAYERS), 100 - head - upper)]
    assert stages("auto") == expected


def test_a_body_of_one_layer_joins_at_once():
    head = round(100 * HEAD_SHARE)
    assert stages("auto", ["hidden_1", "output"], ("output",)) == [
        (("output",), head),
        (("hidden_1", "output"), 100 - head),
    ]


def test_without_anything_to_keep_auto_trains_all():
    assert stages("auto", inherits=False) == [(tuple(LAYERS), 100)]


def test_true_false_and_a_number_of_epochs():
    assert stages(True) == [(tuple(LAYERS), 100)]
    assert stages(False) == [(("fc",), 100)]
    assert stages(30) == [(("fc",), 30), (tuple(LAYERS), 70)]


def test_patterns_join_at_their_epochs_and_the_rest_never():
    found = stages({"layer*": 10, "layer2": 5, "bn1": 0})
    assert found == [
        (("bn1", "fc"), 5),
        (("bn1", "layer2", "fc"), 5),
        (("bn1", "layer1", "layer2", "fc"), 90),
    ]


def test_new_layers_train_from_the_start():
    assert stages(False, new=("conv1", "fc")) == [(("conv1", "fc"), 100)]
    assert stages({"fc": 50, "layer2": 50})[0] == (("fc",), 50)


def test_a_kept_head_trains_too_and_has_nothing_to_catch_up_with():
    assert stages(False, new=()) == [(("fc",), 100)]
    assert stages("auto", new=()) == stages("auto", new=("conv1",)) == [(tuple(LAYERS), 100)]


@given(n_epochs=st.integers(1, 300), n_layers=st.integers(1, 8))
def test_the_stages_of_auto_fill_the_epochs_and_end_with_all_layers(n_epochs, n_layers):
    layers = [f"layer{i}" for i in range(n_layers)]
    found = choose_stages("auto", layers, layers[-1:], n_epochs, True)
    assert sum(stage.n_epochs for stage in found) == n_epochs
    assert min(stage.n_epochs for stage in found) >= 1
    assert found[-1].frozen == ()
    for before, after in pairwise(found):
        assert set(before.trained) < set(after.trained)


@pytest.mark.parametrize("unfreeze", [100, 200, {"layer1": 100}])
def test_layers_that_would_join_after_the_end_are_an_error(unfreeze):
    with pytest.raises(ValueError, match=r"`unfreeze=.* after (100|200) epochs, but `max_epochs` is 100"):
        stages(unfreeze)


@pytest.mark.parametrize("name", ["unfreeze", "differential_rates"])
def test_a_pattern_that_fits_no_layer_is_an_error_with_the_names_there_are(name):
    choose = {"unfreeze": stages, "differential_rates": lambda patterns: choose_scales(patterns, LAYERS, True)}[name]
    with pytest.raises(ValueError, match=f"`{name}` names 'layer3', which fits no layer; there are conv1, bn1"):
        choose({"layer3": 1, "fc": 1})


def test_rates_fall_by_one_factor_from_layer_to_layer():
    assert choose_scales(0.5, LAYERS, False) == dict(zip(LAYERS, [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0], strict=True))
    assert choose_scales("auto", LAYERS, True)["conv1"] == pytest.approx(RATE_RATIO)
    assert choose_scales("auto", LAYERS, True)["bn1"] == pytest.approx(RATE_RATIO**0.75)
    assert choose_scales("auto", LAYERS, False) == choose_scales(1.0, LAYERS, True) == {}


def test_what_lies_equally_deep_has_one_rate_and_joins_together():
    depths = {"conv1": 0, "bn1": 0, "layer1": 1, "layer2": 2, "fc": 3}
    found = choose_scales(0.5, LAYERS, True, depths)
    assert found == {"conv1": 1 / 8, "bn1": 1 / 8, "layer1": 1 / 4, "layer2": 1 / 2, "fc": 1.0}
    assert choose_scales("auto", LAYERS, True, depths)["bn1"] == pytest.approx(RATE_RATIO)
    depths = {"conv1": 0, "bn1": 1, "layer1": 1, "layer2": 1, "fc": 2}
    found = choose_stages("auto", LAYERS, ("fc",), 100, True, depths)
    assert [stage.trained for stage in found[:2]] == [("fc",), ("bn1", "layer1", "layer2", "fc")]


def test_patterns_give_layers_rates_of_their_own_the_first_that_fits_counting():
    found = choose_scales({"layer2": 0.5, "layer*": 0.1}, LAYERS, True)
    assert found == {"conv1": 1.0, "bn1": 1.0, "layer1": 0.1, "layer2": 0.5, "fc": 1.0}


def test_only_what_was_set_makes_stages():
    plain = {"init_from": None, "unfreeze": "auto", "differential_rates": "auto"}
    assert not is_staged(plain)
    for name, value in (("init_from", object()), ("unfreeze", False), ("differential_rates", 1.0)):
        assert is_staged({**plain, name: value})
