"""Whether a model that was written with some versions of its packages can be read with others.

python docs/benchmarks/versions.py write FOLDER      # in one environment: fits models and writes them
python docs/benchmarks/versions.py read FOLDER       # in another one: reads them and compares predictions
"""

import argparse
import pickle
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseWarning
from sk_dlsteps.versions import PACKAGES, versions

FAST = {"max_epochs": 10, "random_state": 0}


def mixed_table():
    """Numbers, some missing, and a category."""
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    X = X.assign(city=pd.Categorical(np.array(["Bergen", "Oslo", "Tromsø"])[np.arange(len(X)) % 3]))
    X.loc[::7, "bmi"] = np.nan
    return X, y


def tables():
    """A table and its target for each model."""
    return {
        "regressor": load_diabetes(return_X_y=True),
        "classifier": load_iris(return_X_y=True),
        "mixed": mixed_table(),
    }


def fitted():
    """Models by name."""
    data = tables()
    models = {
        "regressor": StepwiseRegressor(**FAST),
        "classifier": StepwiseClassifier(calibrate=True, **FAST),
        "mixed": StepwiseRegressor(loss="quantile", warm_start=True, **FAST),
    }
    return {name: model.fit(*data[name]) for name, model in models.items()}


def predictions(model, X):
    """What a model says of rows."""
    return getattr(model, "predict_proba", model.predict)(X)


def write(folder):
    """Fit the models and write each in all ways."""
    folder.mkdir(parents=True, exist_ok=True)
    data = tables()
    for name, model in fitted().items():
        model.save(folder / f"{name}.safetensors")
        joblib.dump(model, folder / f"{name}.joblib")
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(model))
        np.save(folder / f"{name}.npy", predictions(model, data[name][0]))
    pipeline = make_pipeline(StandardScaler(), StepwiseRegressor(**FAST)).fit(*data["regressor"])
    joblib.dump(pipeline, folder / "pipeline.joblib")
    np.save(folder / "pipeline.npy", pipeline.predict(data["regressor"][0]))
    print("written with", versions())


def read(folder):
    """Read the models; print by how much predictions differ, whether a model reports and learns on, and who warned."""
    data = {**tables(), "pipeline": tables()["regressor"]}
    print("read with   ", versions())
    for path in sorted(path for path in folder.iterdir() if path.suffix != ".npy"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                print(path.name.ljust(24), _outcome(path, *data[path.stem]))
            except Exception as error:  # whatever another version may raise is the result
                print(path.name.ljust(24), f"{type(error).__name__}: {str(error)[:200]}")


def _outcome(path, X, y):
    """The largest relative difference of predictions, and what warned; raises if the model cannot go on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = _read(path)
    before = np.load(path.with_suffix(".npy"))
    difference = np.abs(predictions(model, X) - before).max() / np.abs(before).max()
    if path.stem != "pipeline":
        model.report().to_text()
        model.partial_fit(X, y)
    return f"predictions differ by {difference:.0e}, reports and learns on; {_told(caught)}"


def _read(path):
    """A model in any of the three ways."""
    if path.suffix == ".safetensors":
        return (StepwiseClassifier if path.stem == "classifier" else StepwiseRegressor).load(path)
    return joblib.load(path) if path.suffix == ".joblib" else pickle.loads(path.read_bytes())


def _told(caught):
    """Who warned of other versions."""
    kinds = {StepwiseWarning: "sk_dlsteps", InconsistentVersionWarning: "scikit-learn"}
    told = sorted({name for kind, name in kinds.items() if any(issubclass(own.category, kind) for own in caught)})
    return f"warned: {', '.join(told) or 'nobody'}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["write", "read"])
    parser.add_argument("folder", type=Path, help=f"of models; their {', '.join(PACKAGES)} are printed")
    arguments = parser.parse_args()
    {"write": write, "read": read}[arguments.mode](arguments.folder)
