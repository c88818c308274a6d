"""What `scaler` does to the table before any network sees it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sk_dlsteps.inputs.features import fit_robust_scaler, fit_scaler, network_statistics
from sk_dlsteps.inputs.target import ClassTarget, Target
from sk_dlsteps.plan import StepRecord

# Numbers of a sparse table that are written out as a dense one: 1 GB in float64.
MAX_DENSE = 2**27
# How far out a scaled value may lie. A quartile range knows nothing of outliers, which then reach every network:
# float32 must hold their squares, with room for the clip. A standard deviation grows with them, so that one reaches
# only networks that do not train on it: the number itself must be one.
FARTHEST = {"robust": 1e18, "standard": 1e38}


@dataclass(frozen=True)
class ScaledInputs:
    """A table as it comes out of the fitted scaler, and what each network does to it further.

    Attributes
    ----------
    scaler : transformer
        Fitted to the rows that train any network.
    Z : ndarray of shape (n_rows, n_columns)
        The table that the scaler gave.
    center, factor : Tensor of shape (K, 1, n_columns)
        What turns it into each network's own inputs.
    clipped : bool
        Whether `input_clip` acts on those.
    kind : str
        What the columns are, in a word.
    records : tuple of StepRecord
        What was done, if it was not the default.

    """

    scaler: Any
    Z: np.ndarray
    center: Tensor
    factor: Tensor
    clipped: bool
    kind: str
    records: tuple[StepRecord, ...] = ()


def scale_inputs(
    parameter: Any,
    X: np.ndarray,
    target: Target,
    rows: Sequence[np.ndarray],
    seed: int,
    dtype: torch.dtype,
    once: Callable[[Hashable, Callable[[], Any]], Any] = lambda key, make: make(),
) -> ScaledInputs:
    """Fit the scaler to the rows that train any network, and scale the table.

    Parameters
    ----------
    parameter : {"standard", "robust"}, transformer or None
        The user's `scaler`.
    X : ndarray of shape (n_rows, n_features)
        Checked inputs.
    target : RegressionTarget, ClassTarget or LabelsTarget
        Given to a transformer as the user gave it.
    rows : sequence of int arrays
        Training rows of each network.
    seed : int
        For parts of a transformer that have no `random_state` yet.
    dtype : torch dtype
        Of the networks.
    once : callable
        ``(key, make) -> value``, which may keep a value for other fits on the same table.

    """
    used = np.unique(np.concatenate(list({id(own): own for own in rows}.values())))
    if isinstance(parameter, str):
        return _by_statistics(parameter, X, rows, used, dtype, once)
    if parameter is None:
        scaler: Any = FunctionTransformer().set_output(transform="default").fit(X)
        Z, kind, decision = X, "unscaled", "the inputs go to the networks as they are"
        evidence: dict[str, Any] = {"columns": X.shape[1]}
    else:
        scaler = CheckedTransformer(_seeded(parameter, seed))
        Z = _fit_transform(scaler, X, _as_given(target), used)
        name, kind = type(parameter).__name__, "transformed"
        decision = f"{name}, fitted to the training rows, makes {Z.shape[1]} columns of {X.shape[1]}"
        evidence = {"columns": X.shape[1], "transformed columns": Z.shape[1], "scaler": _one_line(parameter)}
    _check_representable(Z, dtype, "X" if parameter is None else f"the output of `scaler={_one_line(parameter)}`")
    shape = len(rows), 1, Z.shape[1]
    record = StepRecord(2, "input scaling", decision, "chosen by you", evidence)
    return ScaledInputs(
        scaler, Z, torch.zeros(shape, dtype=dtype), torch.ones(shape, dtype=dtype), False, kind, (record,)
    )


def _by_statistics(
    parameter: str,
    X: np.ndarray,
    rows: Sequence[np.ndarray],
    used: np.ndarray,
    dtype: torch.dtype,
    once: Callable[[Hashable, Callable[[], Any]], Any],
) -> ScaledInputs:
    """Scale by a middle and a width of each column, with those of each network's own rows."""
    robust = parameter == "robust"
    whole = len(used) == len(X)

    def scale() -> tuple[Any, np.ndarray]:
        scaler = (fit_robust_scaler if robust else fit_scaler)(X, None if whole else used)
        with np.errstate(over="ignore"):
            return scaler, scaler.transform(X)

    # Of all rows they do not depend on the folds, and so not on anybody's random state.
    scaler, Z = once(("whole table", parameter) if whole else None, scale)
    center, factor = network_statistics(X, scaler, rows, dtype)
    _check_reach(Z, center, factor, parameter)
    if not robust:
        return ScaledInputs(scaler, Z, center, factor, True, "standardised")
    decision = "median 0 and quartile range 1, each network by its own training rows"
    constant = int((factor == 0).all(0).sum())
    evidence = {"columns": X.shape[1], "constant columns": constant}
    record = StepRecord(2, "input scaling", decision, "chosen by you", evidence)
    return ScaledInputs(scaler, Z, center, factor, True, "robustly scaled", (record,))


class CheckedTransformer(TransformerMixin, BaseEstimator):
    """A user's transformer whose output is made a dense table of finite numbers, or refused.

    Parameters
    ----------
    transformer : scikit-learn transformer
        Stays as it is: a clone is fitted.

    Attributes
    ----------
    transformer_ : scikit-learn transformer
        The fitted clone.

    """

    def __init__(self, transformer: Any) -> None:
        self.transformer = transformer

    def fit(self, X, y=None):
        """Fit a clone."""
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X, y=None):
        """Fit a clone and give its output for the rows it was fitted to, as a Pipeline does."""
        with _naming_scaler(self.transformer):
            inner = clone(self.transformer)
            # A transformer may work in place, and the table is the user's and that of other fits.
            own = X.copy()
            out = inner.fit_transform(own, y) if hasattr(inner, "fit_transform") else inner.fit(own, y).transform(own)
            out = _as_table(out, len(X))
        self.transformer_ = inner
        return out

    def transform(self, X):
        """Its output, checked."""
        check_is_fitted(self)
        with _naming_scaler(self.transformer):
            return _as_table(self.transformer_.transform(X.copy()), len(X))


@contextmanager
def _naming_scaler(transformer: Any) -> Iterator[None]:
    """Let an error of a transformer say whose it is, and what the transformer gets."""
    try:
        yield
    except Warning:
        raise
    except Exception as error:
        raise ValueError(
            f"`scaler={_one_line(transformer)}` failed: {error}\nIt gets the rows of X as an array of numbers, whose "
            "columns have no names; what needs more than that can stand before the estimator in a Pipeline."
        ) from error


def _as_table(out: Any, n_rows: int) -> np.ndarray:
    """A transformer's output as a dense array of finite numbers."""
    if sparse.issparse(out):
        out = _written_out(out)
    table = check_array(out, dtype=(np.float64, np.float32), order="C", input_name="its output")
    if len(table) != n_rows:
        raise ValueError(f"its output has {len(table)} rows, not {n_rows} as its input")
    return table


def _written_out(table: Any) -> np.ndarray:
    """A sparse table as a dense one, unless it is too large."""
    if table.shape[0] * table.shape[1] > MAX_DENSE:
        raise ValueError(
            f"its sparse output of {table.shape[0]} rows and {table.shape[1]} columns is too large to be written out; "
            "reduce the columns, for example by a TruncatedSVD after it"
        )
    return table.toarray()


def _fit_transform(scaler: CheckedTransformer, X: np.ndarray, y: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Fit to the used rows and transform all."""
    if len(used) == len(X):
        return scaler.fit_transform(X, y)
    fitted = scaler.fit_transform(X[used], y[used])
    held_out = np.setdiff1d(np.arange(len(X)), used, assume_unique=True)
    rest = scaler.transform(X[held_out])
    Z = np.empty((len(X), fitted.shape[1]), np.result_type(fitted, rest))
    Z[used], Z[held_out] = fitted, rest
    return Z


def _seeded(transformer: Any, seed: int) -> Any:
    """A clone in which every `random_state` that is None is a seed, so that the fit can be repeated."""
    with _naming_scaler(transformer):
        copy = clone(transformer)
    states = {name: value for name, value in copy.get_params().items() if name.split("__")[-1] == "random_state"}
    return copy.set_params(**{name: seed for name, value in states.items() if value is None})


def _as_given(target: Target) -> np.ndarray:
    """The target as the user gave it: labels, or numbers in one dimension if they are one column."""
    if isinstance(target, ClassTarget):
        return target.labels[target.values]
    return target.values[:, 0] if target.n_columns == 1 else target.values


def _check_representable(Z: np.ndarray, dtype: torch.dtype, what: str) -> None:
    """Raise if the networks' numbers cannot hold a value."""
    largest = np.maximum(Z.max(0), -Z.min(0))
    if (largest > torch.finfo(dtype).max).any():
        raise ValueError(
            f"Column {int(np.argmax(largest))} of {what} has values up to {largest.max():.1e}, too large for "
            f"{str(dtype).removeprefix('torch.')}; use scaler='standard' or a transformer that scales."
        )


def _check_reach(Z: np.ndarray, center: Tensor, factor: Tensor, parameter: str) -> None:
    """Raise if a value lies too far out, for a network that may not have trained on it, for float32."""
    low, high = torch.from_numpy(Z.min(0)), torch.from_numpy(Z.max(0))
    reach = (torch.maximum(high - center, center - low) * factor).amax((0, 1)).numpy()
    near = reach < FARTHEST[parameter]
    if not near.all():
        units = "quartile ranges from its median" if parameter == "robust" else "standard deviations from its mean"
        raise ValueError(
            f"Column {int(np.argmin(near))} of X has values more than {FARTHEST[parameter]:g} {units}, too far for "
            f"scaler={parameter!r}; drop those rows if the values stand for something missing, or rescale the column, "
            "for example by its logarithm."
        )


def _one_line(transformer: Any) -> str:
    """A transformer as text without line breaks."""
    return " ".join(repr(transformer).split())
