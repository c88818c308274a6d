"""What `scaler` does to the table before any network sees it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import FunctionTransformer, RobustScaler, StandardScaler
from torch import Tensor

from sk_dlsteps.inputs.features import (
    CHUNK,
    chunks,
    fit_robust_scaler,
    fit_scaler,
    middle_and_scale,
    network_statistics,
    used_rows,
)
from sk_dlsteps.inputs.own_scaler import CheckedTransformer, as_given, fit_transformer, one_line, seeded
from sk_dlsteps.inputs.shapes import Shape, channels_of
from sk_dlsteps.inputs.target import Target
from sk_dlsteps.plan import StepRecord

# How far out a scaled value may lie. A quartile range knows nothing of outliers, which then reach every network:
# float32 must hold their squares, with room for the clip. A standard deviation grows with them, so that one reaches
# only networks that do not train on it: the number itself must be one.
FARTHEST = {"robust": 1e18, "standard": 1e38}
# How many of its widths a column's middle may lie from zero for float32 to subtract it: to a thousandth of a width.
MAX_OFFSET = 1e4


class Statistics(NamedTuple):
    """What each network subtracts from its inputs, and what it multiplies them by, (K, 1, n_columns)."""

    center: Tensor
    factor: Tensor

    @classmethod
    def of(cls, center: np.ndarray, factor: np.ndarray, dtype: torch.dtype) -> Statistics:
        """Statistics (K, n_columns) as tensors."""
        return cls(*(torch.from_numpy(part[:, None, :]).to(dtype) for part in (center, factor)))


@dataclass(frozen=True)
class ScaledInputs:
    """A table as networks are trained on it, and what each network does to it further.

    Attributes
    ----------
    scaler : transformer
        Fitted to the rows that train any network.
    Z : array or sparse array of shape (n_rows, n_columns)
        The table that the scaler gives or, if `direct`, the one it was given: what the scaler would do is then part of
        what each network does, and no second table takes up memory.
    n_plain : int
        Its first columns are numbers; codes of categories follow.
    own : Statistics
        What turns `Z` into each network's own inputs.
    final : Statistics
        What turns the scaler's output into them.
    direct : bool
        Whether `Z` has not gone through the scaler.
    clipped : bool
        Whether `input_clip` acts on the inputs.
    kind : str
        What the columns are, in a word.
    records : tuple of StepRecord
        What was done, if it was not the default.

    """

    scaler: Any
    Z: Any
    n_plain: int
    own: Statistics
    final: Statistics
    direct: bool
    clipped: bool
    kind: str
    records: tuple[StepRecord, ...] = ()

    def as_table(self, X: Any) -> Any:
        """Rows of the kind the scaler was fitted to, as rows of `Z`."""
        return X if self.direct else self.scaler.transform(X)

    def as_scaled(self, Z: Any) -> Any:
        """Rows of `Z` as the scaler gives them."""
        return self.scaler.transform(Z) if self.direct else Z


def scale_inputs(
    parameter: Any,
    X: Any,
    n_plain: int,
    target: Target,
    rows: Sequence[np.ndarray],
    weight: np.ndarray | None,
    seed: int,
    dtype: torch.dtype,
    once: Callable[[Hashable, Callable[[], Any]], Any] = lambda key, make: make(),
    direct: bool = False,
    shape: Shape | None = None,
    keeps_gaps: bool = False,
) -> ScaledInputs:
    """Fit the scaler to the rows that train any network, and scale the table.

    Parameters
    ----------
    parameter : {"standard", "robust"}, transformer or None
        The user's `scaler`.
    X : array or sparse array of shape (n_rows, n_columns)
        Checked inputs.
    n_plain : int
        Columns that are scaled; the codes behind them are left as they are.
    target : RegressionTarget, ClassTarget or LabelsTarget
        Given to a transformer as the user gave it.
    rows : sequence of int arrays
        Training rows of each network.
    weight : ndarray of shape (n_rows,) or None
        What each row counts in means and quantiles.
    seed : int
        For parts of a transformer that have no `random_state` yet.
    dtype : torch dtype
        Of the networks.
    once : callable
        ``(key, make) -> value``, which may keep a value for other fits on the same table.
    direct : bool
        Whether a table whose numbers are already the networks' may be trained on without a scaled copy.
    shape : tuple of int or None
        Of one row as the networks see it, whose channels "standard" and "robust" scale as a whole; None for a table.
    keeps_gaps : bool
        Whether the networks want to see what is missing as NaN.

    """
    used = used_rows(rows, X.shape[0])
    plain = X if n_plain == X.shape[1] else X[:, :n_plain]
    if not n_plain:
        # Codes only: there is nothing to scale, and no scaler takes a table without columns.
        nothing = Statistics.of(np.zeros((len(rows), 0)), np.zeros((len(rows), 0)), dtype)
        return ScaledInputs(_passing_on(X), X, 0, nothing, nothing, False, False, "no")
    if isinstance(parameter, str):
        if sparse.issparse(X) and parameter == "robust":
            raise ValueError("`scaler='robust'` subtracts medians, which sparse X cannot bear; use scaler='standard'.")
        return _by_statistics(parameter, X, plain, rows, used, weight, dtype, once, direct, channels_of(shape))
    if parameter is None:
        # Of a table nothing is missing here, but something may be later.
        gaps = SimpleImputer(keep_empty_features=True).set_output(transform="default")
        as_it_is = sparse.issparse(X) or keeps_gaps
        scaler: Any = _passing_on(X) if as_it_is else gaps.fit(X if used is None else X[used])
        Z = X if as_it_is or not np.isnan(X.min(initial=0.0)) else scaler.transform(X)
        kind, decision = "unscaled", "the inputs go to the networks as they are"
        evidence: dict[str, Any] = {"columns": X.shape[1]}
    else:
        inner = CheckedTransformer(seeded(parameter, seed), fills_gaps=not keeps_gaps)
        Z = fit_transformer(inner, plain, as_given(target), used)
        if shape is not None and Z.shape[1] != n_plain:
            raise ValueError(
                f"`scaler={one_line(parameter)}` makes {Z.shape[1]} columns of {n_plain}, which are no rows of shape "
                f"{shape} any more; put it before the estimator in a Pipeline, and set `input_shape`."
            )
        name, kind = type(parameter).__name__, "transformed"
        decision = f"{name}, fitted to the training rows, makes {Z.shape[1]} columns of {n_plain}"
        evidence = {"columns": n_plain, "transformed columns": Z.shape[1], "scaler": one_line(parameter)}
        scaler, Z, n_plain = _with_codes(inner, n_plain, X), _beside(Z, X, n_plain), Z.shape[1]
    _check_representable(Z, dtype, "X" if parameter is None else f"the output of `scaler={one_line(parameter)}`")
    shape = len(rows), n_plain
    record = StepRecord(2, "input scaling", decision, "chosen by you", evidence)
    none = Statistics.of(np.zeros(shape), np.ones(shape), dtype)
    return ScaledInputs(scaler, Z, n_plain, none, none, False, False, kind, (record,))


def _by_statistics(
    parameter: str,
    X: Any,
    plain: Any,
    rows: Sequence[np.ndarray],
    used: np.ndarray | None,
    weight: np.ndarray | None,
    dtype: torch.dtype,
    once: Callable[[Hashable, Callable[[], Any]], Any],
    direct: bool,
    channels: np.ndarray | None,
) -> ScaledInputs:
    """Scale by a middle and a width of each column or channel, with those of each network's own rows."""
    robust = parameter == "robust"

    def fit() -> tuple[Any, Any, Any]:
        inner = (fit_robust_scaler if robust else fit_scaler)(plain, used, weight, channels)
        middle, scale, _ = middle_and_scale(inner, plain, used, channels)
        scaler = _with_codes(inner, plain.shape[1], X)
        if direct and _holds(X, dtype) and (abs(middle) <= MAX_OFFSET * scale).all():
            return inner, scaler, None
        return inner, scaler, _scaled(scaler, X)

    # Of all rows they do not depend on the folds, and so not on anybody's random state.
    pooled = channels is not None
    inner, scaler, Z = once(("whole table", parameter, direct, pooled) if used is None else None, fit)
    middle, scale, _ = middle_and_scale(inner, plain, used, channels)
    center, factor = network_statistics(plain, inner, rows, weight, channels)
    final = (center - middle) / scale, factor * scale
    center, factor = (center, factor) if Z is None else final
    _check_reach(plain if Z is None else Z[:, : plain.shape[1]], center, factor, parameter)
    kind = "standardised"
    records: tuple[StepRecord, ...] = ()
    if robust:
        kind = "robustly scaled"
        decision = "median 0 and quartile range 1, each network by its own training rows"
        evidence = {"columns": plain.shape[1], "constant columns": int((factor == 0).all(0).sum())}
        records = (StepRecord(2, "input scaling", decision, "chosen by you", evidence),)
    if channels is not None:
        records = (_channels_record(middle, scale, channels, robust),)
    table, statistics = (X if Z is None else Z), (Statistics.of(center, factor, dtype), Statistics.of(*final, dtype))
    return ScaledInputs(scaler, table, plain.shape[1], *statistics, Z is None, True, kind, records)


def units_of_channels(scaler: Any, shape: Shape | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Middle and width by which each channel was scaled, a number each; None where only the scaler knows.

    Several networks' own statistics differ from these by as much as the rows do that they hold out.
    """
    channels = channels_of(shape)
    if channels is None or not isinstance(scaler, StandardScaler | RobustScaler):
        return None, None
    _, first = np.unique(channels, return_index=True)
    middle = scaler.mean_ if isinstance(scaler, StandardScaler) else scaler.center_
    return middle[first], scaler.scale_[first]


def _channels_record(middle: np.ndarray, scale: np.ndarray, channels: np.ndarray, robust: bool) -> StepRecord:
    """The record of what all numbers of a channel were scaled by."""
    _, first = np.unique(channels, return_index=True)
    names = ("median", "quartile range") if robust else ("mean", "standard deviation")
    return StepRecord(
        2,
        "input scaling",
        f"one {names[0]} and one {names[1]} for each of {len(first)} channel{'s' if len(first) > 1 else ''}",
        "the numbers of a channel are of one kind, wherever they stand; each network takes its own training rows",
        {
            f"{name}s": [float(f"{value:.6g}") for value in own[first]]
            for name, own in zip(names, (middle, scale), strict=True)
        },
    )


def _holds(X: Any, dtype: torch.dtype) -> bool:
    """Whether a table is one of the networks' own numbers, row by row."""
    return isinstance(X, np.ndarray) and X.dtype == np.float32 and dtype is torch.float32 and X.flags.c_contiguous


def _scaled(scaler: Any, X: Any) -> Any:
    """The scaler's output; of a large table in float32, made a bounded number of rows at a time."""
    with np.errstate(over="ignore"):
        if sparse.issparse(X) or X.size <= CHUNK:
            return scaler.transform(X)
        Z = np.empty(X.shape, np.float32)
        for own in chunks(X):
            Z[own] = scaler.transform(X[own])
    return Z


def _passing_on(X: Any) -> FunctionTransformer:
    """A transformer that changes nothing."""
    return FunctionTransformer(accept_sparse=True).set_output(transform="default").fit(X)


class BesideCodes(TransformerMixin, BaseEstimator):
    """A fitted transformer of the first columns; codes of categories behind them stay as they are.

    Parameters
    ----------
    transformer : fitted transformer
        Of the first columns.
    n_plain : int
        How many those are.

    """

    def __init__(self, transformer: Any, n_plain: int) -> None:
        self.transformer = transformer
        self.n_plain = n_plain

    def fit(self, X, y=None):
        """Fit the transformer to the first columns."""
        self.transformer.fit(X[:, : self.n_plain], y)
        return self

    def transform(self, X):
        """The transformer's output beside the codes."""
        return _beside(self.transformer.transform(X[:, : self.n_plain]), X, self.n_plain)

    def __sklearn_is_fitted__(self) -> bool:
        """As the transformer is."""
        return True

    def get_feature_names_out(self, input_features=None):
        """Names of the transformer's columns, then those of the codes."""
        names = np.asarray(input_features, dtype=object)
        return np.concatenate([self.transformer.get_feature_names_out(names[: self.n_plain]), names[self.n_plain :]])


def _with_codes(inner: Any, n_plain: int, X: Any) -> Any:
    """A fitted transformer of the first columns as one of the whole table."""
    return inner if n_plain == X.shape[1] else BesideCodes(inner, n_plain).set_output(transform="default")


def _beside(Z: np.ndarray, X: np.ndarray, n_plain: int) -> np.ndarray:
    """Transformed columns beside the codes of the table they were made of."""
    return Z if n_plain == X.shape[1] else np.hstack([Z, X[:, n_plain:]])


def _check_representable(Z: np.ndarray, dtype: torch.dtype, what: str) -> None:
    """Raise if the networks' numbers cannot hold a value."""
    low, high = _extremes(Z)
    largest = np.maximum(high, -low)
    if (largest > torch.finfo(dtype).max).any():
        raise ValueError(
            f"Column {int(np.argmax(largest))} of {what} has values up to {largest.max():.1e}, too large for "
            f"{str(dtype).removeprefix('torch.')}; use scaler='standard' or a transformer that scales."
        )


def _extremes(Z: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value of each column; 0 where all are missing."""
    if sparse.issparse(Z):
        return Z.min(0).toarray().ravel(), Z.max(0).toarray().ravel()
    low, high = Z.min(0), Z.max(0)
    if not np.isnan(low).any():
        return low, high
    return np.nan_to_num(np.fmin.reduce(Z, 0)), np.nan_to_num(np.fmax.reduce(Z, 0))


def _check_reach(Z: Any, center: np.ndarray, factor: np.ndarray, parameter: str) -> None:
    """Raise if a value lies too far out, for a network that may not have trained on it, for float32."""
    low, high = (extreme.astype(float) for extreme in _extremes(Z))
    with np.errstate(over="ignore", invalid="ignore"):
        reach = (np.maximum(high - center, center - low) * factor).max(0)
    near = reach < FARTHEST[parameter]
    if not near.all():
        units = "quartile ranges from its median" if parameter == "robust" else "standard deviations from its mean"
        raise ValueError(
            f"Column {int(np.argmin(near))} of X has values more than {FARTHEST[parameter]:g} {units}, too far for "
            f"scaler={parameter!r}; drop those rows if the values stand for something missing, or rescale the column, "
            "for example by its logarithm."
        )


def check_reach(Z: Any) -> None:
    """Raise if a value of rows that came later than the scaler's own lies too far out for float32."""
    low, high = _extremes(Z)
    far = np.maximum(high, -low)
    if len(far) and (far > FARTHEST["robust"]).any():
        column = int(np.argmax(far))
        raise ValueError(
            f"Column {column} of X has values up to {far[column]:.1e} once it is scaled, too far for float32; drop "
            "those rows if the values stand for something missing, or rescale the column, for example by its logarithm."
        )
