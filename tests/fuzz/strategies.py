"""What a fuzzed case consists of: an estimator, data and what is done with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from handed_in import TABLES, TARGETS, WEIGHTS
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, QuantileTransformer
from skorch.callbacks import EpochScoring, LRScheduler
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor
from sk_dlsteps.inputs.parameters import TABLE

ESTIMATORS = {"regression": StepwiseRegressor, "classification": StepwiseClassifier}
ACTIONS = (*["fit"] * 4, "fit again", "warm start", "partial_fit", "random", "ladder", "finder", "fine_tune")


def linear(n_inputs, n_outputs):
    """A factory of the smallest module there is."""
    return nn.Linear(n_inputs, n_outputs)


def mean_square(output, target):
    """A cost as a function."""
    return ((output - target) ** 2).mean(-1)


def halve(progress):
    """A schedule as a function."""
    return 1 - progress / 2


def unchanged(X, y, generator):
    """An augmentation that does nothing."""
    return X, y


@lru_cache
def source(task):
    """A fitted estimator to begin from."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    kind = ESTIMATORS[task]
    return kind(max_epochs=1, n_estimators=1, learning_rate=0.1, random_state=0).fit(
        X, y if task == "regression" else (y > 0).astype(int)
    )


# What each parameter may be, at its edges too; others keep their default. Values are made anew for each case.
VALUES: dict[str, Any] = {
    "loss": lambda: [
        *("auto", "squared_error", "absolute_error", "huber", "poisson", "quantile", "cross_entropy", "triplet"),
        *("contrastive", "hinge", nn.MSELoss, nn.L1Loss(), nn.CrossEntropyLoss, mean_square, "mse", nn.Linear),
    ],
    "quantiles": lambda: [(0.5,), (0.1, 0.9), [0.01, 0.5, 0.99], np.array([0.25, 0.75]), (0.9, 0.1), (0.0, 0.5), ()],
    "hidden_units": lambda: [
        "auto",
        "midpoint",
        1,
        7,
        (3, 2),
        [4],
        np.array([5, 5]),
        np.int64(6),
        (),
        0,
        (3, 0),
        "wide",
    ],
    "hidden_size_factor": lambda: [2.0, 1, 1e-9, 1e9, np.float32(3), 0, -1.0, np.nan, np.inf],
    "n_hidden_layers": lambda: [1, 2, 3, 0, 1.0, True],
    "activation": lambda: ["relu", "tanh", "silu", "gelu", "ReLU", nn.ReLU],
    "module": lambda: ["mlp", "lstm", "gru", linear, nn.Linear, nn.Linear(3, 1), nn.Identity(), "mpl", nn.Linear(2, 3)],
    "input_shape": lambda: [None, (3,), (1, 3), (2, 2), (3, 1, 1), (1,), 3, (0,), "auto"],
    "scaler": lambda: [
        *(
            "standard",
            "robust",
            None,
            MinMaxScaler(),
            QuantileTransformer(n_quantiles=5),
            OneHotEncoder(),
            MinMaxScaler,
        ),
        "minmax",
    ],
    "input_clip": lambda: [3.0, None, 1e-3, 1e9, 1, 0, np.inf, np.nan, -3],
    "numeric_encoding": lambda: ["auto", "piecewise_linear", None, "ple"],
    "init_from": lambda: [
        None,
        source("regression"),
        source("classification"),
        {"weight": torch.ones(1)},
        nn.Linear(3, 1),
    ],
    "unfreeze": lambda: ["auto", True, False, 1, {"*": 0}, {"nothing*": 1}, 0, {"*": -1}],
    "differential_rates": lambda: ["auto", 0.5, 1, {"*": 0.1}, {"nothing*": 2.0}, 0, 2.0, {"*": 0}],
    "optimizer": lambda: [
        "adam",
        "adamw",
        "sgd",
        torch.optim.RMSprop,
        torch.optim.SGD,
        torch.optim.LBFGS,
        "Adam",
        torch.optim.Optimizer,
    ],
    "learning_rate": lambda: ["auto", 0.1, 1e-9, 10.0, 1e9, 1, np.float64(0.01), 0, -0.1, np.inf, np.nan],
    "momentum": lambda: [0.9, 0, 0.999, 1, -0.1, np.nan],
    "lr_schedule": lambda: [
        *("auto", "constant", "exponential", "staircase", "plateau", "cosine", "cosine_restarts", halve, "linear"),
    ],
    "restart_period": lambda: ["auto", 1, 5, 10**6, 0, 2.5],
    "restart_mult": lambda: [2, 1, 10**6, 0],
    "batch_size": lambda: ["auto", 1, 2, 7, 10**9, np.int32(4), 0, -1, 8.0],
    "max_epochs": lambda: [1, 2, 3, np.int64(2), 0, -1, 1.5],
    "dropout": lambda: [0.0, 0.5, 0.999, 1e-9, (0.1, 0.5), [0.2], np.array([0.1]), (0.1, 0.2, 0.3), 1.0, -0.1, ()],
    "weight_decay": lambda: [0.0, 0.1, 1e9, 1, -1.0, np.inf],
    "batch_norm": lambda: [False, True, np.True_, 1, "yes"],
    "max_grad_norm": lambda: ["auto", None, 1.0, 1e-12, 1e12, 0, np.inf],
    "max_grad_value": lambda: [None, 1.0, 1e-12, 1e12, 0, np.inf],
    "augmentation": lambda: [None, "gaussian_noise", "mixup", "swap_noise", "image", unchanged, "noise"],
    "class_weight": lambda: [
        None,
        "balanced",
        {0: 2.0},
        {0: 1, 1: 0},
        {0: 0, 1: 0},
        {"no": 1.5},
        {},
        {9: 1.0},
        {0: -1},
    ],
    "calibrate": lambda: [False, True, 1],
    "early_stopping": lambda: [True, False, 0],
    "n_iter_no_change": lambda: ["auto", 1, 10**6, 0],
    "validation_fraction": lambda: [0.15, 1e-9, 0.5, 0.999999, 0, 1, np.nan],
    "n_estimators": lambda: [1, 2, 5, "auto", 0, 1.0],
    "categorical_features": lambda: [
        "from_dtype",
        None,
        [0],
        ["c0"],
        [True, False, True],
        [],
        [-1],
        [99],
        ["w"],
        [0.5],
        "w",
        [None],
        [[0]],
    ],
    "device": lambda: ["auto", "cpu", "cpu:0", "cuda", "cuda:99", "mps", "meta", "xpu", "gpu", "", "cpu:7"],
    "mixed_precision": lambda: [None, "bf16", "fp16", "fp8"],
    "accelerator": lambda: [None, 1],
    "n_threads": lambda: ["auto", 1, 2, 0],
    "callbacks": lambda: [
        *(
            None,
            [],
            (),
            [("score", EpochScoring("neg_mean_squared_error"))],
            [LRScheduler()],
            [1],
            ["lr"],
            [LRScheduler],
        ),
        [("a", 1)],
    ],
    "random_state": lambda: [
        0,
        2**32 - 1,
        np.random.RandomState(3),
        np.int64(5),
        -1,
        2**32,
        0.5,
        np.random.default_rng(0),
    ],
    "verbose": lambda: [0, False, np.False_, -1, None],
}
# Values of wrong types for any parameter at all.
JUNK: Any = lambda: [  # noqa: E731
    *(
        object(),
        b"auto",
        {},
        [],
        (),
        set(),
        1 + 2j,
        np.nan,
        -np.inf,
        "",
        "auto ",
        10**400,
        np.array([]),
        np.array(["a"]),
    ),
    *(np.array(3.0), torch.tensor(1), print, int, range(3), iter([1]), None, True, -1, 0.5, [None], {"a": None}, [[1]]),
]
# Small enough that thousands of cases take minutes.
SMALL = {"max_epochs": 2, "n_estimators": 2, "learning_rate": 0.05, "hidden_units": 4, "random_state": 0}


@dataclass(frozen=True)
class Case:
    """One case: everything that makes it, in few words, so that it can be read and made again."""

    task: str
    action: str
    parameters: dict[str, int | tuple[str, int]] = field(default_factory=dict)
    table: str = "floats"
    target: str = "numbers"
    n_rows: int = 20
    n_columns: int = 3
    weight: str | None = None
    validation: str | None = None
    seed: int = 0

    def estimator(self) -> Any:
        """The estimator, not fitted."""
        return ESTIMATORS[self.task](**self.values())

    def values(self) -> dict[str, Any]:
        """Its parameters."""
        with torch.random.fork_rng(devices=[]):  # which modules draw from
            made = {
                name: JUNK()[place[1]] if isinstance(place, tuple) else VALUES[name]()[place]
                for name, place in self.parameters.items()
            }
        return {**SMALL, **made}

    def data(self, seed: int = 0) -> tuple[Any, Any]:
        """X and y."""
        rng = np.random.default_rng([self.seed, seed])
        return TABLES[self.table](rng, self.n_rows, self.n_columns), TARGETS[self.target](rng, self.n_rows)

    def fit_parameters(self) -> dict[str, Any]:
        """What `fit` gets besides."""
        rng = np.random.default_rng([self.seed, 2])
        own: dict[str, Any] = {}
        if self.weight is not None:
            own["sample_weight"] = WEIGHTS[self.weight](rng, self.n_rows)
        if self.validation in ("alike", "weighted"):
            own["X_val"], own["y_val"] = self.data(1)
        if self.validation == "weighted":
            own["sample_weight_val"] = WEIGHTS["some zeros"](rng, self.n_rows)
        if self.validation == "one row":
            few = Case(**{**vars(self), "n_rows": 1})
            own["X_val"], own["y_val"] = few.data(1)
        if self.validation == "other":
            own["X_val"], own["y_val"] = rng.normal(size=(5, 2)), np.arange(5)
        if self.validation == "only X":
            own["X_val"] = self.data(1)[0]
        return own


# Targets that a classifier or a regressor is likely to take, so that enough cases get further than the door.
LIKELY = {
    "regression": (
        "numbers",
        "whole numbers",
        "counts",
        "two outputs",
        "series of numbers",
        "a constant",
        "an outlier",
    ),
    "classification": ("two classes", "three classes", "words", "several labels", "a rare class", "truth values"),
}
LIKELY_TABLES = (
    "floats",
    "float32",
    "frame",
    "frame with words",
    "some missing",
    "sparse csr",
    "integers",
    "sequences",
)


@st.composite
def cases(draw, actions=ACTIONS) -> Case:
    """Cases of all kinds; three of four keep to likely data, so that they get further than the door."""
    task = draw(st.sampled_from(sorted(ESTIMATORS)))
    of_task = [name for name in sorted(VALUES) if name in TABLE and name in ESTIMATORS[task]().get_params()]
    names = draw(st.lists(st.sampled_from(of_task), max_size=4, unique=True))
    # The first few of each list are right ones.
    at_most = [draw(st.sampled_from([2, 2, 99])) for _ in names]
    parameters: dict[str, Any] = {
        name: draw(st.integers(0, min(most, len(VALUES[name]()) - 1)))
        for name, most in zip(names, at_most, strict=True)
    }
    if draw(st.integers(0, 11)) == 7:
        parameters[draw(st.sampled_from(of_task))] = ("junk", draw(st.integers(0, len(JUNK()) - 1)))
    return Case(
        task,
        draw(st.sampled_from(actions)),
        parameters,
        draw(st.one_of(st.sampled_from(sorted(TABLES)), *[st.sampled_from(LIKELY_TABLES)] * 2)),
        draw(st.one_of(*[st.sampled_from(LIKELY[task])] * 4, st.sampled_from(sorted(TARGETS)))),
        draw(st.one_of(*[st.integers(12, 40)] * 4, st.sampled_from([0, 1, 2, 3, 4, 7]))),
        draw(st.sampled_from([3, 3, 3, 3, 1, 2, 5, 3, 0])),
        draw(
            st.one_of(
                st.none(),
                st.none(),
                st.none(),
                st.sampled_from(["random", "whole", "some zeros"]),
                st.sampled_from(sorted(WEIGHTS)),
            )
        ),
        draw(st.sampled_from([None] * 6 + ["alike", "weighted", "one row", "other", "only X"])),
        draw(st.integers(0, 2**16)),
    )
