"""Tables, targets and weights of every kind that somebody may hand in, right ones and wrong ones."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse as sp
import torch


def _numbers(rng, n, d):
    return rng.normal(size=(n, d))


def _with(values, share, value):
    """Some of the values replaced by another."""
    values = np.array(values)
    flat = values.reshape(-1)
    flat[: max(1, int(share * len(flat))) if len(flat) else 0] = value
    return values


def _frame(rng, n, d):
    return pd.DataFrame(_numbers(rng, n, d), columns=[f"c{i}" for i in range(d)])


def _words(rng, n, words=("red", "green", "blue")):
    return np.array(words, dtype=object)[rng.integers(len(words), size=n)]


def _read_only(values):
    values.flags.writeable = False
    return values


def _frame_with(**columns):
    """A frame of numbers with one more column."""
    ((name, make),) = columns.items()
    return lambda rng, n, d: _frame(rng, n, d).assign(**{name: make(rng, n)})


def _polars(rng, n, d):
    return pl.DataFrame({f"c{i}": rng.normal(size=n) for i in range(d)})


def _polars_with(make):
    """A frame of polars with one more column."""
    return lambda rng, n, d: pl.DataFrame({**_polars(rng, n, d).to_dict(), "w": make(rng, n)})


def _sparse(name):
    """A sparse array of a format."""
    return lambda rng, n, d: sp.random_array((n, d), density=0.4, format=name, rng=rng)


def _renamed(names):
    def build(rng, n, d):
        frame = _frame(rng, n, d)
        frame.columns = names(d)
        return frame

    return build


TABLES = {
    "floats": _numbers,
    "float32": lambda rng, n, d: _numbers(rng, n, d).astype(np.float32),
    "float16": lambda rng, n, d: _numbers(rng, n, d).astype(np.float16),
    "long doubles": lambda rng, n, d: _numbers(rng, n, d).astype(np.longdouble),
    "integers": lambda rng, n, d: rng.integers(-5, 6, size=(n, d)),
    "bytes": lambda rng, n, d: rng.integers(0, 256, size=(n, d)).astype(np.uint8),
    "large integers": lambda rng, n, d: rng.integers(-(2**62), 2**62, size=(n, d)),
    "truth values": lambda rng, n, d: rng.integers(0, 2, size=(n, d)).astype(bool),
    "big-endian": lambda rng, n, d: _numbers(rng, n, d).astype(">f8"),
    "constant": lambda rng, n, d: np.full((n, d), 3.7),
    "zeros": lambda rng, n, d: np.zeros((n, d)),
    "equal rows": lambda rng, n, d: np.tile(rng.normal(size=(1, d)), (n, 1)),
    "huge": lambda rng, n, d: _numbers(rng, n, d) * 1e30,
    "far too large": lambda rng, n, d: _numbers(rng, n, d) * 1e300,
    "tiny": lambda rng, n, d: _numbers(rng, n, d) * 1e-300,
    "subnormal": lambda rng, n, d: _numbers(rng, n, d) * 1e-320,
    "far from zero": lambda rng, n, d: 1e12 + _numbers(rng, n, d),
    "one outlier": lambda rng, n, d: _with(_numbers(rng, n, d), 0, 1e15),
    "some missing": lambda rng, n, d: _with(_numbers(rng, n, d), 0.2, np.nan),
    "all missing": lambda rng, n, d: np.full((n, d), np.nan),
    "a column missing": lambda rng, n, d: np.column_stack([np.full(n, np.nan), _numbers(rng, n, d)]),
    "infinite": lambda rng, n, d: _with(_numbers(rng, n, d), 0.1, -np.inf),
    "complex": lambda rng, n, d: _numbers(rng, n, d) * 1j,
    "objects": lambda rng, n, d: _numbers(rng, n, d).astype(object),
    "objects with None": lambda rng, n, d: _with(_numbers(rng, n, d).astype(object), 0.2, None),
    "objects with words": lambda rng, n, d: _with(_numbers(rng, n, d).astype(object), 0.2, "red"),
    "objects of no sense": lambda rng, n, d: _with(_numbers(rng, n, d).astype(object), 0.1, {"a": 1}),
    "decimals": lambda rng, n, d: np.array([[decimal.Decimal(i + j) for j in range(d)] for i in range(n)]).reshape(
        n, d
    ),
    "strings": lambda rng, n, d: (
        np.column_stack([_words(rng, n) for _ in range(d)]).astype(str) if d else _numbers(rng, n, d)
    ),
    "strings of numbers": lambda rng, n, d: _numbers(rng, n, d).astype(str),
    "byte strings": lambda rng, n, d: _numbers(rng, n, d).astype("S"),
    "dates": lambda rng, n, d: rng.integers(0, 10**6, size=(n, d)).astype("datetime64[s]"),
    "records": lambda rng, n, d: np.zeros(n, dtype=[("a", float), ("b", int)]),
    "one dimension": lambda rng, n, d: rng.normal(size=n),
    "a number": lambda rng, n, d: 3.0,
    "nothing": lambda rng, n, d: None,
    "a word": lambda rng, n, d: "table.csv",
    "a dict": lambda rng, n, d: {"a": rng.normal(size=n)},
    "lists": lambda rng, n, d: _numbers(rng, n, d).tolist(),
    "ragged lists": lambda rng, n, d: [list(rng.normal(size=1 + i % 3)) for i in range(n)],
    "lists of words": lambda rng, n, d: [["a"] * d for _ in range(n)],
    "tuples": lambda rng, n, d: tuple(map(tuple, _numbers(rng, n, d))),
    "columns first": lambda rng, n, d: np.asfortranarray(_numbers(rng, n, d)),
    "backwards": lambda rng, n, d: _numbers(rng, n, d)[::-1, ::-1],
    "with gaps between": lambda rng, n, d: _numbers(rng, 2 * n, 2 * d)[::2, ::2],
    "read-only": lambda rng, n, d: _read_only(_numbers(rng, n, d)),
    "read-only float32": lambda rng, n, d: _read_only(_numbers(rng, n, d).astype(np.float32)),
    "masked": lambda rng, n, d: np.ma.masked_greater(_numbers(rng, n, d), 0.5),
    "a matrix": lambda rng, n, d: sp.csr_matrix(_numbers(rng, n, d)).todense(),
    "tensor": lambda rng, n, d: torch.from_numpy(_numbers(rng, n, d)),
    "half tensor": lambda rng, n, d: torch.from_numpy(_numbers(rng, n, d)).bfloat16(),
    "tensor with gradient": lambda rng, n, d: torch.from_numpy(_numbers(rng, n, d)).requires_grad_(),
    "sequences": lambda rng, n, d: rng.normal(size=(n, 4, d)),
    "images": lambda rng, n, d: rng.normal(size=(n, d, 6, 6)),
    "byte images": lambda rng, n, d: rng.integers(0, 256, size=(n, 1, 6, 6)).astype(np.uint8),
    "five dimensions": lambda rng, n, d: rng.normal(size=(n, d, 2, 2, 2)),
    "empty sequences": lambda rng, n, d: np.zeros((n, 0, d)),
    "nested lists": lambda rng, n, d: rng.normal(size=(n, 3, d)).tolist(),
    "ragged sequences": lambda rng, n, d: [rng.normal(size=(1 + i % 3, d)).tolist() for i in range(n)],
    "frame": _frame,
    "frame with gaps": lambda rng, n, d: _frame(rng, n, d).mask(rng.random((n, d)) < 0.2),
    "frame of float32": lambda rng, n, d: _frame(rng, n, d).astype(np.float32),
    "frame with an index": lambda rng, n, d: _frame(rng, n, d).set_axis(pd.Index(list(range(n))[::-1]), axis=0),
    "frame with words": _frame_with(w=_words),
    "frame with strings": _frame_with(w=lambda rng, n: pd.array(_words(rng, n), dtype="string")),
    "frame with categories": _frame_with(
        w=lambda rng, n: pd.Categorical(_words(rng, n), categories=["red", "green", "blue", "x"])
    ),
    "frame with categories of numbers": _frame_with(w=lambda rng, n: pd.Categorical(rng.integers(3, size=n))),
    "frame with missing categories": _frame_with(w=lambda rng, n: pd.Categorical(_words(rng, n, ("a", "b", None)))),
    "frame with many categories": _frame_with(w=lambda rng, n: pd.Categorical([f"level {i}" for i in range(n)])),
    "frame with flags": _frame_with(w=lambda rng, n: rng.integers(0, 2, size=n).astype(bool)),
    "frame with nullable integers": _frame_with(w=lambda rng, n: pd.array([None, *range(n - 1)][:n], dtype="Int64")),
    "frame with nullable floats": _frame_with(w=lambda rng, n: pd.array([None, *range(n - 1)][:n], dtype="Float32")),
    "frame with nullable flags": _frame_with(w=lambda rng, n: pd.array(([None, True, False] * n)[:n], dtype="boolean")),
    "frame with arrow numbers": _frame_with(
        w=lambda rng, n: pd.array(([None, 1.5, 2.0] * n)[:n], dtype="double[pyarrow]")
    ),
    "frame with dates": _frame_with(w=lambda rng, n: pd.date_range("2026-01-01", periods=n)),
    "frame with durations": _frame_with(w=lambda rng, n: pd.to_timedelta(np.arange(n), unit="h")),
    "frame with days": _frame_with(w=lambda rng, n: [datetime.date(2026, 1, 1)] * n),
    "frame with lists": _frame_with(w=lambda rng, n: [[1, 2]] * n),
    "frame with intervals": _frame_with(w=lambda rng, n: pd.interval_range(0, n) if n else np.zeros(0)),
    "frame with sparse numbers": _frame_with(w=lambda rng, n: pd.arrays.SparseArray(rng.integers(0, 2, size=n) * 1.0)),
    "frame with an empty column": _frame_with(w=lambda rng, n: np.full(n, np.nan)),
    "frame with a column of None": _frame_with(w=lambda rng, n: [None] * n),
    "frame with mixed values": _frame_with(w=lambda rng, n: (["a", 1, 2.5, None] * n)[:n]),
    "frame with infinity": _frame_with(w=lambda rng, n: np.full(n, np.inf)),
    "frame with free text": _frame_with(w=lambda rng, n: [f"a sentence of some words, number {i}" for i in range(n)]),
    "frame of duplicate names": _renamed(lambda d: ["a"] * d),
    "frame of mixed names": _renamed(lambda d: ["a", 1, None, 2.5, ("b", "c"), *range(10, 20)][:d]),
    "frame of numbers as names": _renamed(lambda d: list(range(d))),
    "frame of names on two levels": _renamed(
        lambda d: pd.MultiIndex.from_tuples([("a", i) for i in range(d)]) if d else []
    ),
    "series": lambda rng, n, d: pd.Series(rng.normal(size=n)),
    "polars": _polars,
    "polars with words": _polars_with(lambda rng, n: pl.Series(_words(rng, n).tolist(), dtype=pl.String)),
    "polars with categories": _polars_with(lambda rng, n: pl.Series(_words(rng, n).tolist(), dtype=pl.Categorical)),
    "polars with nulls": _polars_with(lambda rng, n: pl.Series(([None, 1, 2] * n)[:n], dtype=pl.Int32)),
    "polars with dates": _polars_with(lambda rng, n: pl.Series([datetime.date(2026, 1, 1)] * n, dtype=pl.Date)),
    "polars with lists": _polars_with(lambda rng, n: pl.Series([[1, 2]] * n, dtype=pl.List(pl.Int64))),
    "polars with nulls only": _polars_with(lambda rng, n: pl.Series([None] * n)),
    "lazy polars": lambda rng, n, d: _polars(rng, n, d).lazy(),
    "arrow": lambda rng, n, d: _polars(rng, n, d).to_arrow(),
    **{f"sparse {name}": _sparse(name) for name in ("csr", "csc", "coo", "dok", "lil", "dia")},
    "sparse matrix": lambda rng, n, d: sp.csr_matrix(np.where(rng.random((n, d)) < 0.5, 0.0, 1.0)),
    "sparse integers": lambda rng, n, d: sp.csr_array(rng.integers(0, 3, size=(n, d))),
    "sparse zeros": lambda rng, n, d: sp.csr_array((n, d)),
    "sparse with gaps": lambda rng, n, d: sp.csr_array(_with(_numbers(rng, n, d), 0.1, np.nan)),
    "sparse of long indices": lambda rng, n, d: _long(sp.random_array((n, d), density=0.5, format="csr", rng=rng)),
    "sparse of one dimension": lambda rng, n, d: sp.coo_array(rng.normal(size=n)),
}


def _long(X):
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def _classes(rng, n, k):
    """Codes of k classes, each of which is there if the rows suffice."""
    codes = np.arange(n) % k
    rng.shuffle(codes)
    return codes


TARGETS = {
    "numbers": lambda rng, n: rng.normal(size=n),
    "float32 numbers": lambda rng, n: rng.normal(size=n).astype(np.float32),
    "whole numbers": lambda rng, n: rng.integers(0, 50, size=n),
    "counts": lambda rng, n: rng.poisson(2.0, size=n),
    "huge numbers": lambda rng, n: rng.normal(size=n) * 1e100,
    "numbers far too large": lambda rng, n: rng.normal(size=n) * 1e200,
    "tiny numbers": lambda rng, n: rng.normal(size=n) * 1e-200,
    "subnormal numbers": lambda rng, n: rng.normal(size=n) * 1e-320,
    "numbers far from zero": lambda rng, n: 1e15 + rng.integers(0, 9, size=n),
    "a constant": lambda rng, n: np.full(n, 7.0),
    "zeros": lambda rng, n: np.zeros(n),
    "an outlier": lambda rng, n: _with(rng.normal(size=n), 0, 1e12),
    "numbers with a gap": lambda rng, n: _with(rng.normal(size=n), 0, np.nan),
    "numbers with infinity": lambda rng, n: _with(rng.normal(size=n), 0, np.inf),
    "complex numbers": lambda rng, n: rng.normal(size=n) + 1j,
    "a column": lambda rng, n: rng.normal(size=(n, 1)),
    "two outputs": lambda rng, n: rng.normal(size=(n, 2)),
    "two outputs, one constant": lambda rng, n: np.column_stack([rng.normal(size=n), np.ones(n)]),
    "no outputs": lambda rng, n: np.zeros((n, 0)),
    "three dimensions": lambda rng, n: rng.normal(size=(n, 2, 2)),
    "frame of numbers": lambda rng, n: pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n)}),
    "series of numbers": lambda rng, n: pd.Series(rng.normal(size=n), index=np.arange(n)[::-1]),
    "polars series": lambda rng, n: pl.Series(rng.normal(size=n)),
    "tensor": lambda rng, n: torch.from_numpy(rng.normal(size=n)),
    "list": lambda rng, n: rng.normal(size=n).tolist(),
    "two classes": lambda rng, n: _classes(rng, n, 2),
    "three classes": lambda rng, n: _classes(rng, n, 3),
    "as many classes as rows": lambda rng, n: np.arange(n),
    "one class": lambda rng, n: np.ones(n, dtype=int),
    "a rare class": lambda rng, n: _with(np.zeros(n, dtype=int), 0, 1),
    "truth values": lambda rng, n: _classes(rng, n, 2).astype(bool),
    "negative labels": lambda rng, n: _classes(rng, n, 2) * 2 - 1,
    "large labels": lambda rng, n: _classes(rng, n, 3) * 2**60,
    "labels as floats": lambda rng, n: _classes(rng, n, 3).astype(float),
    "unsigned labels": lambda rng, n: _classes(rng, n, 3).astype(np.uint8),
    "words": lambda rng, n: np.array(["zebra", "ant", "cat"])[_classes(rng, n, 3)],
    "words as objects": lambda rng, n: np.array(["no", "yes"], dtype=object)[_classes(rng, n, 2)],
    "list of words": lambda rng, n: np.array(["no", "yes"])[_classes(rng, n, 2)].tolist(),
    "words and None": lambda rng, n: np.array(["no", None], dtype=object)[_classes(rng, n, 2)],
    "words and numbers": lambda rng, n: np.array(["no", 1], dtype=object)[_classes(rng, n, 2)],
    "numbers as objects": lambda rng, n: _classes(rng, n, 2).astype(object),
    "byte strings": lambda rng, n: np.array([b"no", b"yes"])[_classes(rng, n, 2)],
    "categories": lambda rng, n: pd.Series(pd.Categorical(np.array(["no", "yes"])[_classes(rng, n, 2)])),
    "nullable labels": lambda rng, n: pd.Series(_classes(rng, n, 2), dtype="Int64"),
    "nullable labels with a gap": lambda rng, n: pd.Series([None, *_classes(rng, max(n - 1, 0), 2)][:n], dtype="Int64"),
    "strings of pandas": lambda rng, n: pd.Series(np.array(["no", "yes"])[_classes(rng, n, 2)], dtype="string"),
    "dates": lambda rng, n: np.arange(n).astype("datetime64[D]"),
    "several labels": lambda rng, n: rng.integers(0, 2, size=(n, 3)),
    "several labels, one constant": lambda rng, n: np.column_stack([rng.integers(0, 2, size=(n, 2)), np.ones(n, int)]),
    "sparse labels": lambda rng, n: sp.csr_matrix(rng.integers(0, 2, size=(n, 3))),
    "several labels of many values": lambda rng, n: rng.integers(0, 4, size=(n, 2)),
    "lists of labels": lambda rng, n: [["a", "b"][: i % 3] for i in range(n)],
    "None": lambda rng, n: None,
    "one too few": lambda rng, n: _classes(rng, max(n - 1, 0), 2),
    "a number": lambda rng, n: 1.0,
    "a word": lambda rng, n: "target",
}

WEIGHTS = {
    "ones": lambda rng, n: np.ones(n),
    "random": lambda rng, n: rng.random(n) + 0.1,
    "whole": lambda rng, n: rng.integers(1, 4, size=n),
    "some zeros": lambda rng, n: rng.integers(0, 3, size=n),
    "mostly zeros": lambda rng, n: (np.arange(n) < 3).astype(float),
    "one row only": lambda rng, n: (np.arange(n) < 1).astype(float),
    "zeros": lambda rng, n: np.zeros(n),
    "negative": lambda rng, n: _with(np.ones(n), 0, -1.0),
    "missing": lambda rng, n: _with(np.ones(n), 0, np.nan),
    "infinite": lambda rng, n: _with(np.ones(n), 0, np.inf),
    "huge": lambda rng, n: np.full(n, 1e200),
    "tiny": lambda rng, n: np.full(n, 1e-300),
    "uneven": lambda rng, n: 10.0 ** rng.integers(-12, 12, size=n),
    "scalar": lambda rng, n: 2.0,
    "one too many": lambda rng, n: np.ones(n + 1),
    "two columns": lambda rng, n: np.ones((n, 2)),
    "words": lambda rng, n: _words(rng, n),
    "truth values": lambda rng, n: np.arange(n) % 2 == 0,
    "objects": lambda rng, n: np.ones(n).astype(object),
    "list": lambda rng, n: [1.5] * n,
    "series": lambda rng, n: pd.Series(np.ones(n) * 2, index=np.arange(n)[::-1]),
    "a word": lambda rng, n: "balanced",
    "None inside": lambda rng, n: _with(np.ones(n).astype(object), 0, None),
}
