"""What values hold, as texts: the same in every process, and different for whatever differs."""

import functools
import logging
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import nn

from sk_dlsteps.content import content_of


def factory(activation):
    """A function that has taken something from around it."""
    return lambda n_inputs, n_outputs: nn.Sequential(nn.Linear(n_inputs, n_outputs), activation())


class Own:
    """An object with a number and a method."""

    def __init__(self, number):
        self.number = number

    def method(self):
        """What is given instead of a function."""


def layer(value):
    """A module with known weights."""
    linear = nn.Linear(2, 1)
    nn.init.constant_(linear.weight, value)
    nn.init.zeros_(linear.bias)
    return linear


def recursive():
    """A list that holds itself."""
    value = [1]
    return [*value, value.append(value) or value]


def with_rate(rate):
    """A function that refers to a name of its module, and has seen it stand for something."""
    source = "def own(x):\n    return RATE * helper(x)\n"
    names = {"__name__": "project", "RATE": rate, "helper": (lambda x: x) if rate < 3 else (lambda x: x + 1)}
    exec(source, names)
    return names["own"]


def class_with(**names):
    """A class with these in it."""
    return type("Own", (), {**names, "__module__": "project", "__qualname__": "Own"})


MAKERS = {
    "references": [
        lambda: with_rate(1),
        lambda: with_rate(2),
        lambda: with_rate(3),
        lambda: class_with(rate=1),
        lambda: class_with(rate=2),
        lambda: class_with(rate=property(lambda self: 1)),
        lambda: class_with(rate=property(lambda self: 2)),
        lambda: class_with(rate=staticmethod(lambda: 1)),
        lambda: class_with(rate=staticmethod(lambda: 2)),
        lambda: logging.getLogger("a"),
        lambda: logging.getLogger("b"),
    ],
    "numbers": [lambda: 1, lambda: 1.0, lambda: True, lambda: "1", lambda: np.float32(1), lambda: None],
    "arrays": [
        lambda: np.zeros(4),
        lambda: np.zeros((2, 2)),
        lambda: np.zeros(4, dtype=np.float32),
        lambda: np.array([0, None, "a", 0], dtype=object),
        lambda: torch.zeros(4),
        lambda: torch.zeros(4, dtype=torch.bfloat16),
        lambda: sparse.csr_array((2, 2)),
        lambda: sparse.csr_array(np.eye(2)),
    ],
    "frames": [
        lambda: pd.DataFrame({"a": [1.0, 2.0], "b": ["u", "v"]}),
        lambda: pd.DataFrame({"a": [1.0, 2.0], "b": pd.Categorical(["u", "v"])}),
        lambda: pd.DataFrame({"a": [1, 2], "b": ["u", "v"]}),
        lambda: pd.DataFrame({"a": [1.0, 2.0], "c": ["u", "v"]}),
        lambda: pl.DataFrame({"a": [1.0, 2.0], "b": ["u", "v"]}),
    ],
    "functions": [
        lambda: lambda n_inputs, n_outputs: nn.ReLU(),
        lambda: lambda n_inputs, n_outputs: nn.Tanh(),
        lambda: factory(nn.ReLU),
        lambda: factory(nn.Tanh),
        lambda: functools.partial(factory, nn.ReLU),
        lambda: functools.partial(factory, activation=nn.ReLU),
        lambda: Own(1).method,
        lambda: Own(2).method,
        lambda: np.log,
        lambda: Own,
        lambda: len,
    ],
    "objects": [
        lambda: Own(1),
        lambda: Own(2),
        lambda: nn.HuberLoss(delta=0.1),
        lambda: nn.HuberLoss(delta=5.0),
        lambda: nn.CrossEntropyLoss(label_smoothing=0.3),
        lambda: nn.CrossEntropyLoss(),
        lambda: layer(1.0),
        lambda: layer(2.0),
        lambda: make_pipeline(FunctionTransformer(lambda x: x + 1), StandardScaler()),
        lambda: make_pipeline(FunctionTransformer(lambda x: x + 2), StandardScaler()),
        lambda: np.random.RandomState(0),
        lambda: np.random.default_rng(0),
        lambda: torch.Generator().manual_seed(0),
        lambda: {"a", "b", "c", "d"},
        lambda: frozenset({"a", "b", "c", "d"}),
        lambda: {"a": 1, "b": 2},
        lambda: {"a": 2, "b": 1},
        recursive,
    ],
}


def texts():
    """The text of everything above."""
    return {kind: [content_of(make()) for make in makers] for kind, makers in MAKERS.items()}


@pytest.mark.parametrize("kind", list(MAKERS))
def test_what_differs_has_different_texts_and_what_is_made_alike_the_same(kind):
    own = texts()[kind]
    assert len(set(own)) == len(own)
    assert texts()[kind] == own


def test_texts_are_the_same_in_every_process():
    code = (
        f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import test_content as own; print(own.texts())"
    )
    settings = {**os.environ, "PYTHONHASHSEED": "1"}
    other = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(texts())


def test_neither_the_index_nor_the_memory_of_a_table_counts():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["u", "v", "u"]})
    assert content_of(frame) == content_of(frame.set_axis([7, 8, 9]).copy())
    array = np.arange(6.0).reshape(2, 3)
    assert content_of(array) == content_of(np.asfortranarray(array))
    doubled = sparse.csr_array((np.array([1.0, 1.0]), np.array([0, 0]), np.array([0, 2])), shape=(1, 1))
    assert content_of(doubled) == content_of(sparse.csr_array(np.array([[2.0]])))
