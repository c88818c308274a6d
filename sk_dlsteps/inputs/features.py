"""Statistics of the inputs, from training rows only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.preprocessing import RobustScaler, StandardScaler
from torch import Tensor

from sk_dlsteps.engine.encoding import PiecewiseLinear
from sk_dlsteps.plan import StepRecord

# Ramps of a column: one for so many rows, within bounds; rows for each ramp of all columns; inputs
# in all; and a ramp's standard deviation beside that of the column itself, 1. By measurement
# (docs/benchmarks.md, "Choosing the defaults"), but for the rows per ramp, which keep small models small.
ROWS_PER_BIN, MIN_BINS, MAX_BINS = 64, 3, 16
ROWS_PER_RAMP, MAX_INPUTS = 6, 512
RAMP_STD = 0.1
# Rows that are enough for quantiles.
QUANTILE_ROWS = 10_000
# Numbers of a table that are looked at, or written, at a time.
CHUNK = 2**20


@contextmanager
def naming_columns(X: Any) -> Iterator[None]:
    """Let an error about the contents of X also name the column, and the way out for text."""
    for name, dtype in zip(getattr(X, "columns", ()), getattr(X, "dtypes", ()), strict=False):
        kind = str(dtype).lower()
        if any(word in kind for word in ("date", "time", "duration", "period")):
            raise ValueError(
                f"Column {name!r} of X holds {'dates' if 'date' in kind else 'times'}. Turn them into numbers first, "
                "for example by skrub.DatetimeEncoder, or drop the column."
            )
    try:
        yield
    except ValueError as error:
        if "could not convert string" in str(error):
            raise ValueError(
                f"{_first_column(X, _is_text)} of X holds text ({error}). Name the columns that are categories in "
                "`categorical_features`, or make X a DataFrame, whose columns tell by their dtypes."
            ) from error
        if str(error).startswith("Input X contains"):
            raise ValueError(f"{error}\nFirst seen: {_first_column(X, _is_not_finite)}.") from error
        if "array element with a sequence" in str(error):
            raise _neither_number_nor_text(X, error) from error
        raise
    except TypeError as error:
        if "float() argument" in str(error):
            raise _neither_number_nor_text(X, error) from error
        raise


def _neither_number_nor_text(X: Any, error: Exception) -> Exception:
    """An error of the same kind that names the column."""
    return type(error)(
        f"{_first_column(X, _is_other)} of X holds values that are neither numbers nor text ({error}); make them "
        "numbers, or drop the column."
    )


def _first_column(X: Any, test: Callable[[Any], bool]) -> str:
    """The first column with such a value, by its name if it has one."""
    if sparse.issparse(X):
        entries = X.tocoo()
        return f"Column {entries.col[[test(value) for value in entries.data]].min()}"
    names = list(X.columns) if hasattr(X, "columns") else None
    rows = np.asarray(X, dtype=object)
    at = next((i for i in range(rows.shape[1]) if any(map(test, rows[:, i]))), None) if rows.ndim == 2 else None
    if at is None:
        return "A column"
    return f"Column {names[at]!r}" if names else f"Column {at}"


def _is_text(value: Any) -> bool:
    """Whether a value is a string that is no number."""
    try:
        float(value)
    except ValueError:
        return True
    except TypeError:
        return False
    return False


def _is_other(value: Any) -> bool:
    """Whether a value can be no number at all."""
    try:
        float(value)
    except TypeError:
        return value is not None
    except ValueError:
        return False
    return False


def _is_not_finite(value: Any) -> bool:
    """Whether a value is missing or infinite."""
    try:
        return not np.isfinite(np.float64(value))
    except (TypeError, ValueError):
        return True


def fit_scaler(
    X: Any, rows: np.ndarray | None = None, weight: np.ndarray | None = None, channels: np.ndarray | None = None
) -> StandardScaler:
    """A StandardScaler that has seen those rows only, a bounded number at a time, each as often as its weight says.

    Columns of one channel share their mean and standard deviation.

    NOTE[ARTICLE]: the article divides by the variance; meant is its root.
    """
    scaler = StandardScaler(with_mean=not sparse.issparse(X)).set_output(transform="default")
    with np.errstate(over="ignore", invalid="ignore"):
        for own in chunks(X, rows):
            learn_rows(scaler, X[own], None if weight is None else weight[own], channels)
    check_usable(scaler)
    return scaler


def learn_rows(scaler: StandardScaler, X: Any, weight: np.ndarray | None, channels: np.ndarray | None = None) -> None:
    """Let a StandardScaler see further rows; a column without a value in them stays as it is."""
    without = np.zeros(X.shape[1], dtype=bool) if sparse.issparse(X) else np.isnan(X).all(0)
    before = {}
    if without.any() and hasattr(scaler, "mean_"):
        before = {name: getattr(scaler, name)[without] for name in ("mean_", "var_", "scale_")}
    if hasattr(scaler, "mean_"):
        # Of a column without a value so far: scikit-learn would add to it what comes now.
        unseen = np.isnan(scaler.mean_)
        scaler.mean_[unseen], scaler.var_[unseen] = 0.0, 0.0
    scaler.partial_fit(X, sample_weight=weight)
    for name, values in before.items():
        getattr(scaler, name)[without] = values
    if channels is not None:
        _pool(scaler, channels)


def _pool(scaler: StandardScaler, channels: np.ndarray) -> None:
    """Give all columns of a channel the mean and variance of all their values together."""
    counts = np.broadcast_to(scaler.n_samples_seen_, channels.shape).astype(float)
    seen = counts > 0
    total = np.bincount(channels, counts)
    total[total == 0] = np.nan

    def mean(values: np.ndarray) -> np.ndarray:
        return (np.bincount(channels, counts * np.where(seen, values, 0.0)) / total)[channels]

    middle = mean(scaler.mean_)
    scaler.var_ = mean(scaler.var_ + (scaler.mean_ - middle) ** 2)
    scaler.mean_ = middle
    # As scikit-learn does: what is left of a constant by rounding is none.
    rounding = counts * np.finfo(float).eps * scaler.var_ + (counts * middle * np.finfo(float).eps) ** 2
    scaler.scale_ = np.where(scaler.var_ <= rounding, 1.0, np.sqrt(scaler.var_))


def check_usable(scaler: StandardScaler) -> None:
    """Raise for values whose variance float64 cannot hold."""
    # Not scale_: StandardScaler takes a column of infinite variance for a constant one.
    usable = (np.isfinite(scaler.var_) & np.isfinite(scaler.mean_)) | (np.asarray(scaler.n_samples_seen_) == 0)
    if not usable.all():
        raise ValueError(
            f"Column {int(np.argmin(usable))} of X has values too large for their variance to be computed "
            "in float64; rescale it, for example by its logarithm."
        )


def chunks(X: Any, rows: np.ndarray | None = None) -> Iterator[slice | np.ndarray]:
    """All rows of a table, or some of them, a bounded number at a time."""
    n_rows, n_columns = X.shape
    step = max(1, CHUNK // max(1, n_columns))
    if sparse.issparse(X):
        # Only what is written down takes memory; and statistics of a chunk take time for every column.
        step = max(1, max(CHUNK, 16 * n_columns) * n_rows // max(1, X.nnz))
    for start in range(0, n_rows if rows is None else len(rows), step):
        yield slice(start, start + step) if rows is None else rows[start : start + step]


def used_rows(rows: Sequence[np.ndarray], n_rows: int) -> np.ndarray | None:
    """Rows of a table that train any network; None if all do."""
    used = np.zeros(n_rows, dtype=bool)
    for own in {id(own): own for own in rows}.values():
        used[own] = True
    return None if used.all() else np.flatnonzero(used)


def fit_robust_scaler(
    X: np.ndarray, rows: np.ndarray | None = None, weight: np.ndarray | None = None, channels: np.ndarray | None = None
) -> RobustScaler:
    """A RobustScaler that has seen those rows only; columns of one channel share their median and quartile range.

    Where the quartiles are equal it divides by half the range, as RealMLP does
    (Holzmüller et al. 2024), and not by 1.
    """
    own = X if rows is None else X[rows]
    if weight is not None and rows is not None:
        weight = weight[rows]
    if channels is not None:
        return _fit_robust_channels(own, weight, channels)
    missing = np.isnan(own).all(0)
    with np.errstate(over="ignore", invalid="ignore"):
        scaler = RobustScaler().set_output(transform="default").fit(_without_empty(own, missing))
        if weight is not None:
            low, scaler.center_, high = quantiles(own, [0.25, 0.5, 0.75], weight)
            scaler.scale_ = np.where(high > low, high - low, 1.0)
        scaler.center_[missing], scaler.scale_[missing] = np.nan, np.nan
        # 1 may be a quartile range, or stand for none, or for one that is small beside 1.
        for column in np.flatnonzero(scaler.scale_ == 1):
            low, high = quantiles(own[:, [column]], [0.25, 0.75], weight)[:, 0]
            half_range = (np.nanmax(own[:, column]) - np.nanmin(own[:, column])) / 2
            scaler.scale_[column] = (high - low) or half_range or 1.0
    usable = (np.isfinite(scaler.scale_) & np.isfinite(scaler.center_)) | missing
    if not usable.all():
        raise ValueError(
            f"Column {int(np.argmin(usable))} of X has values too far apart for their range to be computed "
            "in float64; rescale it, for example by its logarithm."
        )
    return scaler


def _fit_robust_channels(X: np.ndarray, weight: np.ndarray | None, channels: np.ndarray) -> RobustScaler:
    """A RobustScaler of all columns, whose channels are looked at as columns of their own."""
    n_positions = len(channels) // (channels.max() + 1)
    values = X[:, np.argsort(channels, kind="stable")].reshape(len(X), -1, n_positions).transpose(0, 2, 1)
    counts = None if weight is None else np.repeat(weight, n_positions)
    inner = fit_robust_scaler(values.reshape(len(X) * n_positions, -1), None, counts)
    scaler = RobustScaler().set_output(transform="default").fit(np.zeros((1, X.shape[1])))
    scaler.center_, scaler.scale_ = inner.center_[channels], inner.scale_[channels]
    return scaler


def quantiles(X: np.ndarray, levels: Sequence[float] | np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Quantiles (n_levels, n_columns) of the values that are there; weighted ones are values of the table."""
    if weight is None and not np.isnan(X.min(initial=0.0)):
        return np.quantile(X, levels, axis=0)
    if weight is None:
        missing = np.isnan(X).all(0)
        found = np.nanquantile(_without_empty(X, missing), levels, axis=0)
        found[:, missing] = np.nan
        return found
    columns = [(column[there], weight[there]) for column in X.T for there in [~np.isnan(column)]]
    none = np.full(len(levels), np.nan)
    found = [
        np.quantile(own, levels, weights=counts, method="inverted_cdf") if counts.any() else none
        for own, counts in columns
    ]
    return np.array(found).T.reshape(len(levels), X.shape[1])


def _without_empty(X: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The same table with zeros in columns that are missing throughout, of which numpy would warn.

    Not to hear it would take a change of the warnings' filters, which belong to all threads of the process.
    """
    return np.where(missing, X.dtype.type(0), X) if missing.any() else X


def middle_and_scale(
    scaler: StandardScaler | RobustScaler, X: Any, rows: np.ndarray | None, channels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a scaler subtracts from each column, what it divides it by, and which are constant over its rows."""
    if isinstance(scaler, StandardScaler):
        # A column without any value counts as constant: its variance is NaN.
        constant = scaler.scale_ != np.sqrt(scaler.var_)
        middle = scaler.mean_ if scaler.with_mean else np.zeros_like(scaler.mean_)
    else:
        own = X if rows is None else X[rows]
        constant, middle = _is_constant(own), scaler.center_
        if channels is not None:
            # A pixel may be the same in all images, and yet tell something if its channel is not.
            constant = np.repeat(False, len(channels))
    return np.nan_to_num(middle, nan=0.0), np.where(np.isnan(scaler.scale_), 1.0, scaler.scale_), constant


def _is_constant(X: np.ndarray) -> np.ndarray:
    """Which columns hold one value only, or none."""
    first = X[np.argmax(~np.isnan(X), axis=0), np.arange(X.shape[1])]
    return ((first == X) | np.isnan(X)).all(0)


def network_statistics(
    X: Any,
    scaler: StandardScaler | RobustScaler,
    rows: Sequence[np.ndarray],
    weight: np.ndarray | None = None,
    channels: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Centre and factor (K, n_columns) that turn the table into each network's own scaled inputs.

    A column that is constant over a network's training rows gets the factor 0:
    the network could learn nothing about it.
    """
    fit = fit_scaler if isinstance(scaler, StandardScaler) else fit_robust_scaler
    seen: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for own in rows:
        if id(own) not in seen:
            whole = len(own) == X.shape[0]
            inner = scaler if whole else fit(X, own, weight, channels)
            middle, scale, constant = middle_and_scale(inner, X, None if whole else own, channels)
            seen[id(own)] = middle, np.where(constant, 0.0, 1 / scale)
    centers, factors = zip(*(seen[id(own)] for own in rows), strict=True)
    return np.stack(centers), np.stack(factors)


def piecewise_linear(
    Z: np.ndarray, rows: Sequence[np.ndarray], center: Tensor, factor: Tensor, weight: np.ndarray | None = None
) -> PiecewiseLinear | None:
    """Ramps between the quantiles of each network's training rows, or None if no column has enough values.

    Ramps have mean 0 and a standard deviation of `RAMP_STD` (as if values between
    two quantiles were spread evenly); a bin without width adds nothing. The
    number of bins grows with the rows, and their sum stays in proportion to them.
    """
    n_rows = min(len(own) for own in rows)
    n_columns = max(1, Z.shape[1])
    room = min(n_rows // ROWS_PER_RAMP, MAX_INPUTS - n_columns) // n_columns
    n_bins = min(MAX_BINS, n_rows // ROWS_PER_BIN, room)
    if n_bins < MIN_BINS:
        return None
    levels = np.linspace(0, 1, n_bins + 1)
    distinct = {id(own): own for own in rows}.values()
    edges = {id(own): _edges(Z, own[:: max(1, len(own) // QUANTILE_ROWS)], levels, weight) for own in distinct}
    e = (np.stack([edges[id(own)] for own in rows]) - _columns(center)) * _columns(factor)
    width = np.diff(e)
    live = width > 1e-6
    columns = np.flatnonzero((live.sum(-1) >= MIN_BINS).any(0))
    if not len(columns):
        return None
    below, above = levels[:-1], levels[1:]
    mean = 1 - above + (above - below) / 2
    gain = RAMP_STD / np.sqrt(1 - above + (above - below) / 3 - mean**2)
    slope = np.where(live, gain / np.where(live, width, 1.0), 0.0)
    offset = -slope * e[..., :-1] - np.where(live, mean * gain, 0.0)
    low, high = np.where(live, -mean * gain, 0.0), np.where(live, (1 - mean) * gain, 0.0)
    ramps = (torch.from_numpy(part[:, None, columns]).to(center.dtype) for part in (slope, offset, low, high))
    return PiecewiseLinear(torch.from_numpy(columns), *ramps)


def _edges(Z: np.ndarray, rows: np.ndarray, levels: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Quantiles (n_columns, n_levels) of some rows; 0 in columns without any value."""
    return np.nan_to_num(quantiles(Z[rows], levels, None if weight is None else weight[rows]).T)


def encoding_record(
    parameter: str | None, used: str | None, n_columns: int, n_added: int, kind: str = "standardised"
) -> tuple[StepRecord, ...]:
    """The record of the encoding; none where there is nothing to tell."""
    if used is None:
        return ()
    because = "chosen by you"
    if parameter == "auto":
        because = "a regression is seldom smooth in every column; ramps let the network bend at the data's quantiles"
    decision = f"{n_columns} {kind} columns and {n_added} piecewise-linear ramps"
    if not n_added:
        decision, because = f"{n_columns} {kind} columns", "no column has room for piecewise-linear ramps"
    return (StepRecord(2, "input encoding", decision, because, {"columns": n_columns, "ramps": n_added}),)


def _columns(statistic: Tensor) -> np.ndarray:
    """A statistic (K, 1, n) as (K, n, 1)."""
    return statistic.numpy().astype(float).transpose(0, 2, 1)
