"""Models of every kind on small real tables, and what a saved file holds."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import save
from scipy import sparse
from sklearn.datasets import load_diabetes, load_iris
from sklearn.preprocessing import MinMaxScaler

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor

DIABETES = load_diabetes(return_X_y=True)
X, Y = (part[:150] for part in DIABETES)
IRIS, SPECIES = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
CITIES = np.array(["Bergen", "Oslo", "Tromsø"])[SPECIES]
FRAME = pd.DataFrame({"bmi": np.where(X[:, 2] > 0.05, np.nan, X[:, 2]), "city": pd.Categorical(CITIES), "age": X[:, 0]})
# Enough rows of enough levels for vectors of them.
MANY = pd.DataFrame({"code": [f"code {i % 12}" for i in range(900)], "age": np.resize(X[:, 0], 900)})
FAST = {"max_epochs": 2, "n_estimators": 2, "learning_rate": 0.01, "random_state": 0}


def _regressor(**parameters):
    """A regressor that fits fast."""
    return StepwiseRegressor(**{**FAST, **parameters})


def _classifier(**parameters):
    """A classifier that fits fast."""
    return StepwiseClassifier(**{**FAST, **parameters})


def _streamed():
    """A classifier of two chunks."""
    model = _classifier(lr_schedule="cosine_restarts")
    return model.partial_fit(IRIS[::2], NAMES[::2], classes=np.unique(NAMES)).partial_fit(IRIS[1::2], NAMES[1::2])


# For each model how it is fitted, and rows to predict.
MODELS = {
    "defaults": lambda: (StepwiseRegressor(max_epochs=10, n_estimators=2, random_state=0).fit(*DIABETES), X),
    "several targets": lambda: (_regressor().fit(X, np.column_stack([Y, -Y])), X),
    "quantiles": lambda: (_regressor(loss="quantile").fit(X, Y), X),
    "poisson": lambda: (
        _regressor(loss="poisson", random_state=np.random.RandomState(0)).fit(X, Y),
        X,
    ),
    "mixed frame": lambda: (_regressor().fit(FRAME, Y), FRAME),
    "vectors": lambda: (_classifier().fit(MANY, np.resize(NAMES, 900)), MANY),
    "weights": lambda: (_regressor().fit(X, Y, np.arange(150) % 3), X),
    "validation data": lambda: (_regressor(scaler=None).fit(X, Y, X_val=X, y_val=Y), X),
    "sparse": lambda: (_regressor().fit(table := sparse.csr_array(np.where(X > 0, X, 0)), Y), table),
    "a transformer": lambda: (_regressor(scaler=MinMaxScaler()).fit(X, Y), X),
    "techniques": lambda: (
        _regressor(
            scaler="robust",
            optimizer="sgd",
            batch_norm=True,
            dropout=0.2,
            activation="gelu",
            lr_schedule="plateau",
            augmentation="gaussian_noise",
            max_grad_norm=1.0,
        ).fit(X, Y),
        X,
    ),
    "warm start": lambda: (_regressor(warm_start=True, dropout=0.2).fit(X, Y), X),
    "lstm": lambda: (
        _regressor(module="lstm", module__hidden_size=4).fit(X.reshape(150, 5, 2), Y),
        X.reshape(150, 5, 2),
    ),
    "classes": lambda: (
        _classifier(class_weight={"setosa": 1, "versicolor": 2, "virginica": 3}).fit(IRIS, NAMES),
        IRIS,
    ),
    "calibrated": lambda: (_classifier(calibrate=True).fit(IRIS, SPECIES), IRIS),
    "truth values": lambda: (_classifier().fit(IRIS, SPECIES > 0), IRIS),
    "labels": lambda: (_classifier().fit(IRIS, np.column_stack([SPECIES > 0, SPECIES > 1])), IRIS),
    "embedding": lambda: (_classifier(loss="triplet").fit(IRIS, NAMES), IRIS),
    "stream": lambda: (_streamed(), IRIS),
    "fine-tuned": lambda: (_classifier().fit(IRIS, SPECIES > 0).fine_tune(IRIS, NAMES, unfreeze={"hidden_1": 1}), IRIS),
}


@pytest.fixture(params=MODELS)
def kind(request):
    """Name of each model."""
    return request.param


@pytest.fixture(scope="session")
def fitted():
    """Models with rows to predict, by name, each fitted once."""
    kept = {}

    def of(name):
        if name not in kept:
            kept[name] = MODELS[name]()
        return kept[name]

    return of


class Saved:
    """The content of a file, to be changed and written again.

    Parameters
    ----------
    path : path
        A saved model.

    """

    def __init__(self, path):
        with safe_open(path, framework="np") as file:
            self.document = json.loads(file.metadata()["sk_dlsteps"])
            self.arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    @property
    def model(self):
        """The parts of the estimator."""
        ((_, parts),) = self.document["model"].items()
        return parts

    @property
    def steps(self):
        """The steps of the pipeline."""
        return self.model["pipeline_"]["Pipeline"]["steps"]

    @property
    def networks(self):
        """What holds the weights."""
        return self.step(-1)["FleetNet"]["networks"]["dict"]

    def step(self, number):
        """A step of the pipeline."""
        return self.steps[number]["tuple"][1]

    def bytes(self, text=None):
        """The file again; another text may take the place of the JSON."""
        return save(self.arrays, {"sk_dlsteps": json.dumps(self.document) if text is None else text})


@pytest.fixture
def saved(fitted, tmp_path):
    """What the file of a model holds, by the model's name."""

    def of(name):
        path = tmp_path / "saved.safetensors"
        fitted(name)[0].save(path)
        return Saved(path)

    return of
