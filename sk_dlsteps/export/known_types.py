"""The types that a saved model may hold: one table, and how each is taken apart and put together."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from sklearn import decomposition, impute, preprocessing
from sklearn.pipeline import Pipeline
from torch import nn

from sk_dlsteps.classifier import StepwiseClassifier
from sk_dlsteps.continuation import Memory
from sk_dlsteps.engine.batch_norm import BatchNorm
from sk_dlsteps.engine.carried import Carried
from sk_dlsteps.engine.dropout import Dropout
from sk_dlsteps.engine.encoding import PiecewiseLinear
from sk_dlsteps.engine.history import ColumnHistory
from sk_dlsteps.engine.loss_curves import LossCurves
from sk_dlsteps.engine.net import FleetNet
from sk_dlsteps.engine.optimizers import FleetAdam, FleetSGD
from sk_dlsteps.export.annotations import hints_of, is_of_type
from sk_dlsteps.export.checks import FITTED, OPTIONAL
from sk_dlsteps.export.networks import put_net_together, take_net_apart
from sk_dlsteps.export.tree import Kind, Known
from sk_dlsteps.inputs.encoder import TableEncoder
from sk_dlsteps.inputs.levels import Levels
from sk_dlsteps.inputs.running import RunningTarget
from sk_dlsteps.inputs.scaler import BesideCodes, CheckedTransformer
from sk_dlsteps.plan import Plan, Stage, StepRecord
from sk_dlsteps.regressor import StepwiseRegressor
from sk_dlsteps.step1_cost import cost, metric, quantile
from sk_dlsteps.step2_architecture.custom import PREFIX, ModuleBuilder, ModuleChoice
from sk_dlsteps.step2_architecture.mlp import MLPBuilder
from sk_dlsteps.step3_training import schedules, stream_schedules
from sk_dlsteps.step3_training.lr_finder import LRCurve
from sk_dlsteps.step3_training.optimizers import OptimizerChoice
from sk_dlsteps.step4_validation import augmentation, early_stopping, image_augmentation
from sk_dlsteps.step6_real_world.column_reader import ColumnReader
from sk_dlsteps.step6_real_world.model_outputs import Losses, ModelOutputs
from sk_dlsteps.step6_real_world.reference import Reference
from sk_dlsteps.step6_real_world.sketches import LevelSketch, NumberSketch

# Values of a fit: written field by field, and checked against the annotations of their fields.
_VALUES = (
    Plan,
    Stage,
    StepRecord,
    Memory,
    Carried,
    LossCurves,
    LRCurve,
    Levels,
    RunningTarget,
    MLPBuilder,
    ModuleBuilder,
    ModuleChoice,
    OptimizerChoice,
    schedules.Exponential,
    schedules.Staircase,
    schedules.Cosine,
    schedules.CosineRestarts,
    schedules.EndlessRestarts,
    schedules.Plateau,
    stream_schedules.OfCall,
    stream_schedules.PlateauOfCall,
    augmentation.GaussianNoise,
    augmentation.SwapNoise,
    augmentation.Mixup,
    augmentation.InShape,
    image_augmentation.ImageAugmentation,
    early_stopping.Patience,
    early_stopping.CycleEnds,
    ColumnReader,
    Losses,
    ModelOutputs,
    Reference,
    LevelSketch,
    NumberSketch,
)
# Made by calling the class with what its objects call as its parameters do.
_CALLED = (
    cost.SquaredError,
    cost.AbsoluteError,
    cost.HuberLoss,
    cost.PoissonLoss,
    cost.BinaryCrossEntropy,
    cost.LabelsBinaryCrossEntropy,
    cost.CrossEntropy,
    cost.SmoothedCrossEntropy,
    quantile.QuantileLoss,
    metric.TripletLoss,
    metric.ContrastiveLoss,
    PiecewiseLinear,
)
# Of scikit-learn those that run no code but their own.
_TRANSFORMERS = (
    preprocessing.StandardScaler,
    preprocessing.RobustScaler,
    preprocessing.MinMaxScaler,
    preprocessing.MaxAbsScaler,
    preprocessing.Normalizer,
    preprocessing.PowerTransformer,
    preprocessing.QuantileTransformer,
    preprocessing.FunctionTransformer,
    impute.SimpleImputer,
    impute.MissingIndicator,
    decomposition.PCA,
    decomposition.TruncatedSVD,
    TableEncoder,
    BesideCodes,
    CheckedTransformer,
)
_OF_TORCH = [c for c in vars(torch.optim).values() if isinstance(c, type) and issubclass(c, torch.optim.Optimizer)]
# What `set_fit_request` and its like leave.
_REQUESTS = "_metadata_request"
# Attributes of estimators besides their parameters.
_ATTRIBUTES = {*FITTED, *OPTIONAL, _REQUESTS}


def _value(cls: Any) -> Kind:
    """A dataclass."""
    names = [field.name for field in dataclasses.fields(cls)]

    def put_together(parts: dict[str, Any]) -> Any:
        for name, own in parts.items():
            if name not in names or not is_of_type(own, hints_of(cls)[name]):
                raise ValueError(f"`{cls.__name__}.{name}` cannot be what it holds")
        return cls(**parts)

    return Kind(lambda value: {name: getattr(value, name) for name in names}, put_together)


def _called(cls: Any, *set_later: str) -> Kind:
    """A class whose objects have its parameters as attributes."""
    names = [name for name in inspect.signature(cls).parameters if name not in ("args", "kwargs")]

    def put_together(parts: dict[str, Any]) -> Any:
        _check_names(cls, parts, {*names, *set_later})
        made = cls(**{name: parts[name] for name in names})
        for name in set_later:
            setattr(made, name, parts[name])
        return made

    return Kind(lambda value: {name: getattr(value, name) for name in (*names, *set_later)}, put_together)


def _transformer(cls: Any) -> Kind:
    """A scikit-learn transformer: parameters, and what a fit left."""
    defaults = {n: None if p.default is p.empty else p.default for n, p in inspect.signature(cls).parameters.items()}

    def put_together(parts: dict[str, Any]) -> Any:
        for name in parts:
            # What a class has of its own is no attribute of its objects.
            if not name.isidentifier() or name.startswith("__") or hasattr(cls, name):
                raise ValueError(f"it holds a {cls.__name__} with an attribute {name!r}")
        made = cls.__new__(cls)
        vars(made).update({name: value for name, value in defaults.items() if name not in parts} | parts)
        return _with_checked_parameters(made)

    return Kind(lambda value: dict(vars(_with_checked_parameters(value))), put_together)


def _with_checked_parameters(transformer: Any) -> Any:
    """A transformer; a ValueError if scikit-learn would refuse its parameters once it is fitted."""
    if hasattr(transformer, "_parameter_constraints"):
        transformer._validate_params()
    return transformer


def _pipeline(cls: Any) -> Kind:
    """A pipeline without a folder where it would keep, and look for, pickles."""
    kind = _transformer(cls)

    def put_together(parts: dict[str, Any]) -> Any:
        if parts.get("memory") is not None:
            raise ValueError("it holds a pipeline that reads pickles from a folder")
        return kind.put_together(parts)

    return Kind(lambda value: {**kind.take_apart(value), "memory": None}, put_together)


def _estimator(cls: Any) -> Kind:
    """One of the package's estimators."""
    known = set(inspect.signature(cls).parameters)

    def put_together(parts: dict[str, Any]) -> Any:
        given = {name: own for name, own in parts.items() if name in known or name.startswith(PREFIX)}
        fitted = {name: own for name, own in parts.items() if name not in given}
        for name in fitted:
            if name not in _ATTRIBUTES:
                raise ValueError(f"it holds a {cls.__name__} with an attribute {name!r}")
        if given.get("checkpoint") is not None:
            raise ValueError(f"it holds a {cls.__name__} whose `fit` would write files")
        made, requests = cls(**given), fitted.pop(_REQUESTS, None)
        vars(made).update(fitted)
        if requests is not None:
            _request(made, requests)
        return made

    return Kind(lambda value: _state(value, known), put_together)


def _state(estimator: Any, parameters: set[str]) -> dict[str, Any]:
    """What an estimator is written with: no folder that a `fit` would write to, and requests of metadata as dicts."""
    state = {**estimator._state(), "checkpoint": None}
    began_from = state["_memory"].given.get("init_from") if "_memory" in state else None
    if isinstance(began_from, nn.Module) and began_from is not estimator.init_from:
        # It is compared only, and equals nothing that the parameter could be now.
        state["_memory"] = state["_memory"].begun_from(dict(began_from.state_dict()))
    for name in state.keys() - parameters - _ATTRIBUTES:
        if not name.startswith(PREFIX):
            raise ValueError(
                f"`{name}` is an attribute of your own, which a file without code does not keep: del it, or save the "
                "model by joblib.dump(model, path)"
            )
    if _REQUESTS in state:
        every = vars(state[_REQUESTS]).items()
        state[_REQUESTS] = {name: dict(own.requests) for name, own in every if getattr(own, "requests", None)}
    return state


def _request(estimator: Any, requests: dict[str, dict[str, Any]]) -> None:
    """Let an estimator request metadata."""
    every = estimator._get_metadata_request()
    for method, own in requests.items():
        for name, alias in own.items():
            vars(every)[method].add_request(param=name, alias=alias)
    vars(estimator)[_REQUESTS] = every


def _dropout(cls: Any) -> Kind:
    """Masks, with the state of each network's stream."""

    def put_together(parts: dict[str, Any]) -> Dropout:
        _check_names(cls, parts, {"rates", "widths", "streams"})
        made = cls(parts["rates"], parts["widths"], ())
        made.streams = parts["streams"]
        return made

    return Kind(lambda value: {name: getattr(value, name) for name in ("rates", "widths", "streams")}, put_together)


def _history(cls: Any) -> Kind:
    """A history, column by column."""

    def put_together(parts: dict[str, Any]) -> ColumnHistory:
        make, columns, n_epochs = cls().__reduce__()[0], parts["columns"], parts["n_epochs"]
        lengths = {len(column) for column in columns.values()} or {0}
        if lengths != {n_epochs}:
            raise ValueError("it holds a history whose columns are not of one length")
        return make(columns, n_epochs)

    return Kind(lambda value: dict(zip(("columns", "n_epochs"), value.__reduce__()[1], strict=True)), put_together)


def _check_names(cls: type, parts: Iterable[str], names: set[str]) -> None:
    """Raise if the parts of an object are not those that it has."""
    odd = names.symmetric_difference(parts)
    if odd:
        raise ValueError(f"it holds a {cls.__name__} whose {min(odd)!r} is missing or is none")


def _table(*rows: tuple[Iterable[type], Callable[[Any], Kind]]) -> dict[type, Kind]:
    """How the objects of all classes are taken apart and put together."""
    return {cls: how(cls) for classes, how in rows for cls in classes}


KNOWN = Known(
    _table(
        (_VALUES, _value),
        (_CALLED, _called),
        ((BatchNorm,), lambda cls: _called(cls, "mean", "variance")),
        ((Dropout,), _dropout),
        ((ColumnHistory,), _history),
        ((FleetNet,), lambda cls: Kind(take_net_apart, put_net_together)),
        (_TRANSFORMERS, _transformer),
        ((Pipeline,), _pipeline),
        ((StepwiseRegressor, StepwiseClassifier), _estimator),
    ),
    {cls.__name__: cls for cls in (*_OF_TORCH, FleetAdam, FleetSGD)},
)
