"""Copies of a parameter's value mean the same, and others do not."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import nn

from sk_dlsteps.sameness import same_setting
from sk_dlsteps.step1_cost.metric import TripletLoss


class Holder(nn.Module):
    """A module with an attribute that torch does not know of."""

    def __init__(self, held):
        super().__init__()
        self.held = held


def linear(value):
    """A linear layer whose weights are all alike."""
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, value)
    nn.init.zeros_(layer.bias)
    return layer


VALUES = [
    None,
    "auto",
    0.5,
    3,
    (8, 6),
    np.ones((3, 4)),
    np.array([[1.0, np.nan]]),
    [np.ones(3), np.ones(2)],
    torch.ones(3, 4),
    torch.ones(3, 4, dtype=torch.int64),
    {"a": np.zeros(2)},
    {"a": np.zeros(3)},
    nn.HuberLoss(),
    nn.HuberLoss(delta=7.0),
    nn.CrossEntropyLoss(),
    nn.CrossEntropyLoss(label_smoothing=0.4),
    TripletLoss(1.0, 4),
    TripletLoss(5.0, 4),
    linear(1.0),
    linear(2.0),
    nn.Sequential(linear(1.0)),
    nn.Sequential(nn.LazyLinear(8), nn.LazyLinear(2)),
    nn.Sequential(nn.LazyLinear(9), nn.LazyLinear(2)),
    Holder([linear(1.0)]),
    Holder([linear(2.0)]),
    Holder({"width": np.int64(3)}),
    StandardScaler(),
    StandardScaler(with_mean=False),
    FunctionTransformer(lambda v: v / 16),
    FunctionTransformer(lambda v: v / 8),
    nn.Linear,
    partial(nn.Linear, bias=False),
]


@pytest.mark.parametrize("first", range(len(VALUES)))
def test_a_value_means_the_same_as_its_copy_and_as_nothing_else(first):
    equal = [i for i in range(len(VALUES)) if same_setting(VALUES[first], copy.deepcopy(VALUES[i]))]
    assert equal == [first]


def test_the_kind_of_a_sequence_says_nothing():
    assert same_setting((8, 6), [8, 6])
    assert same_setting(np.array([8, 6]), (8, 6))
    assert not same_setting((8, 6), [8])


def test_a_module_in_training_and_in_evaluation_mode_is_the_same():
    assert same_setting(linear(1.0).eval(), linear(1.0).train())
