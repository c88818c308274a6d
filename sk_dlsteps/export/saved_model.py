"""A model as a file of safetensors: arrays as tensors, the rest as JSON, and nothing that could be executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from sk_dlsteps.callback_support import without_callbacks
from sk_dlsteps.engine.device import threads
from sk_dlsteps.export import tensor_file
from sk_dlsteps.export.annotations import is_of_type
from sk_dlsteps.export.checks import check_model
from sk_dlsteps.export.known_types import KNOWN
from sk_dlsteps.export.tree import Reader, UnknownType, Writer
from sk_dlsteps.inputs.parameters import check_parameters
from sk_dlsteps.versions import check_versions, versions

# Raised when what is written can no longer be read by what was there before.
FORMAT = 1


def save(model: Any, path: Any) -> None:
    """Write a model; see `StepwiseEstimator.save`."""
    own = {} if isinstance(model.module, str) else {"module": model.module}
    tensor_file.write(path, *pack(model, own))


def load(cls: type, path: Any, module: Any = None) -> Any:
    """Read a model of a class; see `StepwiseEstimator.load`."""
    text, arrays = tensor_file.read(path)
    try:
        return unpack(cls, text, arrays, {"module": module})
    except Warning:
        raise
    except Exception as error:  # whatever a file may hold, there is one kind of error
        raise ValueError(f"{path} holds no model that can be loaded: {_reason(error)}") from error


def pack(model: Any, own: Mapping[str, Any]) -> tuple[str, dict[str, np.ndarray]]:
    """A model as JSON and arrays by name.

    Parameters
    ----------
    model : StepwiseRegressor or StepwiseClassifier
        Fitted or not.
    own : dict
        Objects of the user's own that are left out, since `unpack` will be given them, by names of parameters.

    Raises
    ------
    ValueError
        If it holds something that neither can say, such as a function, or a parameter is not what it may be.

    """
    check_parameters(model.get_params(deep=False))
    for name in getattr(model, "feature_names_in_", ()):
        if not name.isascii() and name.encode(errors="ignore").decode() != name:
            raise ValueError(f"the name of the column {name!r} holds a half of a character; rename it, and fit again")
    bare = object.__new__(type(model))
    vars(bare).update(vars(model))
    model = without_callbacks(bare)
    writer = Writer(KNOWN, own)
    try:
        with threads():
            node = writer.node(model, ())
    except UnknownType as unknown:
        kind = type(unknown.value).__name__
        raise ValueError(
            f"{_place(model, unknown.path)} holds an object of type {kind}, which a file without code "
            "cannot hold; save the model by joblib.dump(model, path)"
        ) from unknown
    document = {"format": FORMAT, "versions": versions(), "model": node}
    return json.dumps(document, allow_nan=False), writer.arrays


def _place(model: Any, path: tuple[str, ...]) -> str:
    """What a value belongs to, in the user's words: a parameter or attribute, or a category."""
    own = [path[i + 1] for i, part in enumerate(path[:-1]) if part in ("_one_hot", "_embedded")]
    if own and path[0] == "pipeline_":
        name = model.pipeline_["columns"]._names_in(None)[int(own[0])]
        return f"the category {name!r}, whose levels may be text, numbers and truth values,"
    return f"`{path[0] if path else type(model).__name__}`"


def unpack(cls: type, text: str, arrays: Mapping[str, np.ndarray], own: Mapping[str, Any] | None = None) -> Any:
    """A model of a class, of JSON and arrays.

    Parameters
    ----------
    cls : type
        Of the model.
    text : str
        JSON.
    arrays : dict
        Arrays by name.
    own : dict, default=None
        Objects of the user's own that were left out; None for one that is not given.

    Raises
    ------
    ValueError
        Or another error, if they are not those of a model.

    """
    # What skops has read may be anything.
    if not isinstance(text, str) or not is_of_type(arrays, dict[str, np.ndarray]):
        raise ValueError("it is no text with arrays")
    if any(array.dtype.hasobject for array in arrays.values()):
        raise ValueError("it holds an array of objects")
    document = json.loads(text, parse_constant=_no_number)
    if not isinstance(document, dict) or type(document.get("format")) is not int:
        raise ValueError("it was not written by sk_dlsteps")
    if document["format"] > FORMAT:
        raise ValueError(f"it has format {document['format']}, and this version reads {FORMAT}; upgrade sk_dlsteps")
    if set(document) != {"format", "versions", "model"} or not is_of_type(document["versions"], dict[str, str]):
        raise ValueError("it has other parts than a model's")
    own = {name: value for name, value in (own or {}).items() if value is not None}
    n_bytes = len(text) + sum(array.nbytes for array in arrays.values())
    reader = Reader(KNOWN, arrays, own, n_bytes)
    with threads():
        model = reader.whole(document["model"])
    for name in own.keys() - reader.used:
        raise ValueError(f"it was saved without a `{name}` of your own; leave it out")
    if type(model) is not cls:
        kind = type(model).__name__
        raise ValueError(f"it is a {kind}, and no {cls.__name__}; use {kind}.load")
    check_model(model, n_bytes)
    # The caller of the estimator's `load`.
    check_versions(document["versions"], "saved")
    return model


def _no_number(name: str) -> None:
    """Raise for what JSON has no word for."""
    raise ValueError(f"it holds {name}")


def _reason(error: Exception) -> str:
    """What is wrong, in short; what Python says of values that do not fit together says little by itself."""
    text = (str(error) or type(error).__name__).splitlines()[0][:300]
    return text if isinstance(error, ValueError) else f"its values do not fit together ({text})"
