"""The parameters that StepwiseRegressor and StepwiseClassifier share, and how they are got, set, cloned and pickled."""

from __future__ import annotations

import copyreg
import difflib
import inspect
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

from sklearn.base import BaseEstimator

from sk_dlsteps.callback_support import CallbackSupportMixin
from sk_dlsteps.exceptions import StepwiseWarning, level_of_the_caller
from sk_dlsteps.inheritance import INHERITED, fitted_source
from sk_dlsteps.step2_architecture.custom import PREFIX
from sk_dlsteps.versions import check_versions, versions

# Where a pickle holds the versions that it was written with.
_VERSIONS = "_versions"


def showing_shared_parameters(own_init: Callable[..., None]) -> Callable[..., None]:
    """Put the parameters that both estimators share into the signature of an ``__init__`` that passes them on.

    scikit-learn and `help` read the signature, and so see all parameters. ``**module_parameters`` is not shown:
    scikit-learn takes whatever stands there for the name of a parameter.
    """
    *shared, _ = inspect.signature(Parameters.__init__).parameters.values()
    own = [p for p in inspect.signature(own_init).parameters.values() if p.kind is p.KEYWORD_ONLY]
    parameters = [*shared, *own]
    own_init.__signature__ = inspect.Signature(parameters, return_annotation=None)  # type: ignore[attr-defined]
    return own_init


class Attributes(dict):
    """The state in a pickle: attributes by name. What reads only types that it trusts does not trust this one."""


class Parameters(CallbackSupportMixin, BaseEstimator):
    """Parameters of both estimators; see those."""

    def __init__(
        self,
        *,
        loss: Any = "auto",
        hidden_units: Any = "auto",
        hidden_size_factor: float = 2.0,
        n_hidden_layers: int = 1,
        activation: str = "relu",
        module: Any = "mlp",
        input_shape: Any = None,
        scaler: Any = "standard",
        input_clip: float | None = 3.0,
        numeric_encoding: str | None = "auto",
        optimizer: Any = "adam",
        learning_rate: Any = "auto",
        momentum: float = 0.9,
        lr_schedule: Any = "auto",
        restart_period: Any = "auto",
        restart_mult: int = 2,
        batch_size: Any = "auto",
        max_epochs: Any = "auto",
        dropout: Any = 0.0,
        weight_decay: float = 0.0,
        batch_norm: bool = False,
        max_grad_norm: Any = "auto",
        max_grad_value: float | None = None,
        augmentation: Any = None,
        init_from: Any = None,
        unfreeze: Any = "auto",
        differential_rates: Any = "auto",
        early_stopping: bool = True,
        n_iter_no_change: Any = "auto",
        validation_fraction: float = 0.15,
        n_estimators: Any = "auto",
        categorical_features: Any = "from_dtype",
        device: str = "auto",
        mixed_precision: str | None = None,
        accelerator: Any = None,
        n_threads: Any = "auto",
        callbacks: Any = None,
        warm_start: bool = False,
        checkpoint: Any = None,
        checkpoint_every: int = 10,
        on_interrupt: str = "raise",
        random_state: Any = None,
        verbose: int = 0,
        **module_parameters: Any,
    ) -> None:
        self.loss = loss
        self.hidden_units = hidden_units
        self.hidden_size_factor = hidden_size_factor
        self.n_hidden_layers = n_hidden_layers
        self.activation = activation
        self.module = module
        self.input_shape = input_shape
        self.scaler = scaler
        self.input_clip = input_clip
        self.numeric_encoding = numeric_encoding
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.lr_schedule = lr_schedule
        self.restart_period = restart_period
        self.restart_mult = restart_mult
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.batch_norm = batch_norm
        self.max_grad_norm = max_grad_norm
        self.max_grad_value = max_grad_value
        self.augmentation = augmentation
        self.init_from = init_from
        self.unfreeze = unfreeze
        self.differential_rates = differential_rates
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.validation_fraction = validation_fraction
        self.n_estimators = n_estimators
        self.categorical_features = categorical_features
        self.device = device
        self.mixed_precision = mixed_precision
        self.accelerator = accelerator
        self.n_threads = n_threads
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.on_interrupt = on_interrupt
        self.random_state = random_state
        self.verbose = verbose
        for name, value in module_parameters.items():
            if not name.startswith(PREFIX):
                raise TypeError(_unexpected(type(self), name))
            setattr(self, name, value)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get parameters, those that are passed on to `module` included.

        Parameters
        ----------
        deep : bool, default=True
            Whether to add the parameters of objects such as a transformer given as `scaler`.

        Returns
        -------
        params : dict
            Values by name, ``module__*`` too where they were given.

        """
        of_module = {name: value for name, value in vars(self).items() if name.startswith(PREFIX)}
        # A source is fitted, and its parameters are no longer anybody's to set.
        own = {name: value for name, value in super().get_params(deep).items() if not name.startswith("init_from__")}
        return {**own, **of_module}

    def set_params(self, **params: Any) -> Self:
        """Set parameters, also ``module__*``, which are passed on to `module`.

        Parameters
        ----------
        **params : dict
            Values by name.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If there is no parameter of such a name.

        """
        for name in params:
            if name.startswith("init_from__"):
                raise ValueError(f"`{name}` would change the fitted estimator that `init_from` is; fit it anew instead")
        self._check_descent(params.get("init_from"))
        of_module = {name: value for name, value in params.items() if name.startswith(PREFIX)}
        super().set_params(**{name: value for name, value in params.items() if name not in of_module})
        for name, value in of_module.items():
            setattr(self, name, value)
        return self

    def _check_descent(self, init_from: Any) -> None:
        """Raise if a source is this estimator itself, or began from it."""
        ancestors: list[Any] = []
        while (source := fitted_source(init_from)) is not None and source not in ancestors:
            if source is self:
                raise ValueError(
                    "`init_from` is this estimator itself, or was fine-tuned from it; call `fine_tune`, which gives a "
                    "new estimator, or give a copy.deepcopy of it"
                )
            ancestors.append(source)
            init_from = source.init_from

    def _state(self) -> dict[str, Any]:
        """What is written: an accelerator belongs to its process and stays there, and a source goes without its own."""
        state = {**vars(self), "accelerator": None}
        given = state.get("init_from")
        state["init_from"] = source = _without_ancestors(given)
        if "_memory" in state:
            began_from = state["_memory"].given.get("init_from")
            kept = source if began_from is given else _without_ancestors(began_from)
            state["_memory"] = state["_memory"].begun_from(kept)
        return state

    def __reduce_ex__(self, protocol):
        """Pickle and copy objects as they are, by the state of a derived class if that has one of its own."""
        own = type(self).__getstate__ is not Parameters.__getstate__
        return copyreg.__newobj__, (type(self),), self.__getstate__() if own else self._attributes()  # type: ignore[attr-defined]

    def _attributes(self) -> Attributes:
        """The state in a pickle."""
        return Attributes({**self._state(), _VERSIONS: versions()})

    def __getstate__(self):
        """Text and arrays, for those such as skops that trust no class but this one; a derived class has attributes."""
        if type(self).__getstate__ is not Parameters.__getstate__:
            return self._attributes()
        from sk_dlsteps.export.saved_model import pack

        text, arrays = pack(self, {})
        return {"text": text, "arrays": arrays}

    def __setstate__(self, state):
        """Take over either, and warn if other versions of packages have written it."""
        if isinstance(state, dict) and state.keys() == {"text", "arrays"}:
            from sk_dlsteps.export.saved_model import unpack

            self.__dict__ = vars(unpack(type(self), **state))
            return
        if not isinstance(state, Attributes):
            state = _of_unknown_origin(type(self), state)
        defaults = inspect.signature(type(self)).parameters.values()
        missing = {p.name: p.default for p in defaults if p.default is not p.empty and p.name not in state}
        self.__dict__ = {**missing, **state}
        # scikit-learn warns of its own, as a fitted pipeline is inside.
        written = self.__dict__.pop(_VERSIONS, {})
        check_versions({name: own for name, own in written.items() if name != "scikit-learn"}, "pickled")

    def __sklearn_clone__(self) -> Self:
        """Clone all parameters but the source, which goes on being fitted, and what the two must have in common."""
        return self._copy_with(self.init_from)

    def _copy_with(self, init_from: Any) -> Self:
        """An unfitted copy with that source.

        What describes a fitted source's networks is the same object in both, since some copies cannot be told from
        other objects. Only transformers are cloned: a search may set their parameters.
        """
        same = {"init_from": init_from}
        if fitted_source(init_from) is not None:
            same |= {name: value for name, value in self.get_params(deep=False).items() if _describes(name, value)}
        bare = object.__new__(type(self))
        bare.__dict__ = {**vars(self), **dict.fromkeys(same)}
        copied = super(Parameters, bare).__sklearn_clone__()
        vars(copied).update(same)
        return copied


def _describes(name: str, value: Any) -> bool:
    """Whether a parameter tells what networks are like, and has no parameters of its own that one could set."""
    return (name in INHERITED or name.startswith(PREFIX)) and not hasattr(value, "set_params")


def _without_ancestors(init_from: Any) -> Any:
    """What a fit began from, without what that began from itself, and without the state of its optimizer."""
    source = fitted_source(init_from)
    if source is None:
        return init_from
    bare = object.__new__(type(source))
    memory = replace(source._memory, carried=None).begun_from(None)
    bare.__dict__ = {**vars(source), "init_from": None, "_memory": memory}
    return bare


def _of_unknown_origin(kind: type, state: Any) -> dict[str, Any]:
    """A state without its class, as older pickles have it, if it replaces no method and lets no `fit` write files."""
    if not isinstance(state, dict) or not all(isinstance(name, str) and not hasattr(kind, name) for name in state):
        raise ValueError(f"the state of a {kind.__name__} is neither that of a pickle nor one that `save` would write")
    if _VERSIONS not in state:
        warnings.warn(
            f"The {kind.__name__} was pickled before versions were kept. Parameters that are new since then have their "
            "defaults, and `checkpoint` is None; check its predictions on rows with known ones, and write it anew.",
            StepwiseWarning,
            stacklevel=level_of_the_caller(),
        )
    return {**state, "checkpoint": None}


def _unexpected(kind: type, name: str) -> str:
    """What is wrong with a parameter that an estimator does not have."""
    near = difflib.get_close_matches(name, inspect.signature(kind).parameters, n=1)
    meant = f"; did you mean '{near[0]}'?" if near else ""
    return f"{kind.__name__}.__init__() got an unexpected keyword argument '{name}'{meant}"
