import numpy as np
import pytest
import torch
from scipy.stats import loguniform
from skorch.callbacks import LRScheduler
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor
from sk_dlsteps.inputs.parameters import check_parameters
from sk_dlsteps.step4_validation.techniques import (
    RUNG_SIZE,
    TECHNIQUES,
    Situation,
    choose_techniques,
)

BY_NAME = {technique.name: technique for technique in TECHNIQUES}


def situation(n_rows=600, **parameters):
    return Situation({**StepwiseRegressor().get_params(), **parameters}, n_rows, 10, 1)


def proposals(name, n_rows=600, **parameters):
    return BY_NAME[name].candidates(situation(n_rows, **parameters), "", 0)


def linear(n_inputs, n_outputs):
    return nn.Linear(n_inputs, n_outputs)


STARTS = [
    {},
    {"learning_rate": 0.1, "optimizer": "sgd", "lr_schedule": "constant", "n_hidden_layers": 3, "dropout": (0.1, 0.2)},
    {"hidden_units": (32, 16), "weight_decay": 0.01, "optimizer": "adamw", "batch_size": 512, "dropout": 0.5},
    {"hidden_units": np.array([8, 2000]), "batch_norm": True, "augmentation": "mixup", "learning_rate": 1e-5},
    {"hidden_units": "midpoint", "n_hidden_layers": 2, "lr_schedule": "cosine", "dropout": [0.1, 0.2, 0.3]},
]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("n_rows", [8, 600, 100_000])
def test_every_candidate_passes_the_door_and_changes_something(name, start, n_rows):
    changes = proposals(name, n_rows, **start)
    assert len(changes) <= RUNG_SIZE
    parameters = situation(n_rows, **start).parameters
    for change in changes:
        check_parameters({**parameters, **change})
        assert set(change) - set(BY_NAME[name].parameters) <= {"learning_rate", "optimizer", "hidden_units", "dropout"}
        assert any(repr(value) != repr(parameters[key]) for key, value in change.items())


def test_the_order_is_the_articles():
    assert list(BY_NAME) == [
        *("learning rate", "optimizer", "cosine decay", "restarts", "units", "minibatch", "layers"),
        *("dropout", "dropout, earlier layers", "weight decay", "batch norm", "augmentation"),
        *("layer sizes", "number of layers", "dropout, new layers"),
    ]
    assert [technique.step for technique in TECHNIQUES] == [3] * 7 + [4] * 8


def test_rates_lie_around_the_one_given_or_the_finders_default():
    assert proposals("learning rate", learning_rate=0.03) == [
        {"learning_rate": 0.01},
        {"learning_rate": 0.09},
        {"learning_rate": "auto"},
    ]
    assert [change["learning_rate"] for change in proposals("learning rate")] == [0.02, 0.007, 0.06]
    assert [change["learning_rate"] for change in proposals("learning rate", optimizer="sgd")] == [0.05, 0.017, 0.15]


def test_adam_replaces_gradient_descent_with_a_rate_of_its_own():
    assert proposals("optimizer", optimizer="sgd", learning_rate=0.5) == [
        {"optimizer": "adam", "learning_rate": "auto"}
    ]
    assert proposals("optimizer") == []


def test_restarts_are_what_auto_has_already():
    assert proposals("cosine decay") == [{"lr_schedule": "cosine"}]
    assert proposals("restarts") == []
    assert proposals("restarts", lr_schedule="cosine") == [{"lr_schedule": "cosine_restarts"}]


def test_units_are_multiples_of_the_rules_width():
    assert proposals("units") == [{"hidden_units": 128}, {"hidden_units": 256}]
    assert proposals("units", hidden_units=10, n_hidden_layers=2) == [{"hidden_units": 20}, {"hidden_units": 40}]
    assert proposals("layer sizes", hidden_units=(40, 20)) == [
        {"hidden_units": (20, 10)},
        {"hidden_units": (80, 40)},
        {"hidden_units": (80, 10)},
        {"hidden_units": (20, 40)},
    ]


def test_layers_become_more_and_fewer_up_to_three():
    assert proposals("layers") == [{"n_hidden_layers": 2}, {"n_hidden_layers": 3}]
    assert proposals("number of layers", n_hidden_layers=2) == [{"n_hidden_layers": 3}, {"n_hidden_layers": 1}]
    assert proposals("number of layers", hidden_units=(30, 20)) == [
        {"hidden_units": (30, 20, 20)},
        {"hidden_units": (30,)},
    ]


def test_dropout_given_layer_by_layer_becomes_a_pair_that_fits_any_depth():
    assert proposals("number of layers", n_hidden_layers=3, dropout=(0.1, 0.2, 0.3)) == [
        {"n_hidden_layers": 2, "dropout": (0.1, 0.3)}
    ]


def test_minibatches_stay_near_and_leave_an_epoch_four_steps():
    assert proposals("minibatch", 600) == [{"batch_size": 64}, {"batch_size": 128}]
    assert proposals("minibatch", 100) == []
    assert proposals("minibatch", 100_000) == [{"batch_size": 512}, {"batch_size": 256}, {"batch_size": 128}]


def test_earlier_layers_get_dropout_only_where_there_are_some():
    assert proposals("dropout, earlier layers", dropout=0.5) == []
    assert proposals("dropout, earlier layers", dropout=0.5, n_hidden_layers=2) == [
        {"dropout": (0.25, 0.5)},
        {"dropout": (0.5, 0.5)},
    ]


def test_decay_is_decoupled_for_adamw_and_l2_for_the_others():
    assert proposals("weight decay", optimizer="sgd") == [{"weight_decay": 1e-3}, {"weight_decay": 1e-2}]
    assert proposals("weight decay", optimizer="adamw") == [{"weight_decay": 0.02}, {"weight_decay": 0.1}]
    assert [change.get("optimizer") for change in proposals("weight decay")] == [None, None, "adamw", "adamw"]


def test_a_module_of_ones_own_gets_only_what_has_an_effect_on_it():
    parameters = StepwiseRegressor(module=linear).get_params()
    names = [technique.name for technique in choose_techniques(None, parameters, "")]
    assert names == [
        *("learning rate", "optimizer", "cosine decay", "restarts", "minibatch", "weight decay", "augmentation")
    ]


def test_names_carry_the_prefix():
    change = BY_NAME["dropout"].candidates(situation(), "pipe__stepwiseregressor__", 0)[0]
    assert change == {"pipe__stepwiseregressor__dropout": 0.25}


def test_a_users_distributions_take_the_place_of_ours():
    space = {"net__dropout": [0.1, 0.2, 0.7], "net__learning_rate": loguniform(1e-3, 1e-1), "pca__n_components": [2, 3]}
    techniques = choose_techniques(space, StepwiseClassifier().get_params(), "net__")
    assert [technique.name for technique in techniques] == ["learning rate", "dropout", "other parameters"]
    rates, dropouts, others = (technique.candidates(situation(), "net__", 0) for technique in techniques)
    assert len(rates) == RUNG_SIZE
    assert all(1e-3 <= change["net__learning_rate"] <= 1e-1 for change in rates)
    assert sorted(change["net__dropout"] for change in dropouts) == [0.1, 0.2, 0.7]
    assert sorted(change["pca__n_components"] for change in others) == [2, 3]


def test_units_given_by_the_user_are_tried_in_both_steps():
    techniques = choose_techniques({"hidden_units": [8, 16]}, StepwiseClassifier().get_params(), "")
    assert [(technique.step, technique.name) for technique in techniques] == [(3, "units"), (4, "layer sizes")]


def test_rungs_that_would_do_nothing_have_no_candidates():
    assert proposals("weight decay", optimizer=torch.optim.Rprop) == []
    assert proposals("weight decay", optimizer=torch.optim.RMSprop) != []
    for name in ("cosine decay", "restarts"):
        assert proposals(name, lr_schedule="constant", callbacks=[LRScheduler]) == []
        assert proposals(name, lr_schedule="constant", callbacks=None) != []


def test_images_have_an_augmentation_of_their_own_and_gaps_leave_only_noise():
    parameters = StepwiseRegressor(module="lstm").get_params()
    rungs = [
        [change["augmentation"] for change in BY_NAME["augmentation"].candidates(seen, "", 0)]
        for seen in (Situation(parameters, 600, 10, 1, is_image=True), Situation(parameters, 600, 10, 1, has_gaps=True))
    ]
    assert rungs == [["image", "gaussian_noise", "mixup", "swap_noise"], ["gaussian_noise"]]


def test_rows_whose_classes_are_compared_are_not_mixed():
    assert {"augmentation": "mixup"} in proposals("augmentation")
    assert [change["augmentation"] for change in proposals("augmentation", loss="triplet")] == [
        "gaussian_noise",
        "swap_noise",
    ]
