"""Values become JSON and arrays, and the same values again."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sk_dlsteps.export.known_types import KNOWN
from sk_dlsteps.export.random_sources import SOURCES
from sk_dlsteps.export.tree import MAX_DEPTH, Reader, UnknownType, Writer
from sk_dlsteps.plan import StepRecord

ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
KEYS = st.integers() | st.text() | st.booleans() | st.none() | st.tuples(st.integers(), st.text())
DTYPES = st.sampled_from(["?", "i1", "u2", "<i8", ">i4", "f2", "f4", ">f8", "<U3", "M8[D]", "m8[ms]"])
ARRAYS = DTYPES.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)
OBJECTS = st.lists(ATOMS, max_size=4).map(lambda values: np.array([*values, None], dtype=object)[:-1])
VALUES = st.recursive(
    ATOMS | ARRAYS | OBJECTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.builds(
            StepRecord, st.integers(), st.text(), st.text(), st.text(), st.dictionaries(st.text(), inner, max_size=2)
        )
    ),
    max_leaves=8,
)


def again(value):
    """A value through JSON text and arrays."""
    writer = Writer(KNOWN, {})
    text = json.dumps(writer.node(value, ()), allow_nan=False)
    return Reader(KNOWN, writer.arrays, {}).whole(json.loads(text))


def assert_same(first, second):
    """Two values are of one type and hold the same."""
    assert type(first) is type(second)
    if isinstance(first, np.ndarray):
        np.testing.assert_array_equal(first, second.astype(first.dtype))
        assert first.shape == second.shape
        assert first.dtype.kind == second.dtype.kind
        # Text is as wide as the longest.
        assert first.dtype.kind == "U" or first.dtype == second.dtype.newbyteorder(first.dtype.byteorder)
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    elif isinstance(first, dict):
        assert_same(list(first.items()), list(second.items()))
    elif isinstance(first, StepRecord):
        assert_same(vars(first), vars(second))
    else:
        assert first == second or (first != first and second != second)


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_every_value_comes_back(value):
    assert_same(value, again(value))


@pytest.mark.parametrize(
    "value",
    [np.float64(0.1), np.int8(3), np.True_, np.str_("x"), np.float32(np.nan), np.datetime64("2024-01-02")],
    ids=repr,
)
def test_scalars_of_numpy_keep_their_type(value):
    result = again(value)
    assert type(result) is type(value)
    assert result == value or np.isnan(value)


def test_the_layout_of_a_table_stays():
    for order in "CF":
        flags = again(np.asarray(np.arange(6.0).reshape(2, 3), order=order)).flags
        assert flags[f"{order}_CONTIGUOUS"]


def test_tensors_dtypes_and_classes_come_back():
    tensor, dtype, numbers, cls, gap, names = again(
        [torch.tensor([[1.5]]), torch.bfloat16, np.dtype("<f4"), torch.optim.Adagrad, ..., frozenset({"b", "a"})]
    )
    assert tensor.dtype == torch.float32
    assert tensor.tolist() == [[1.5]]
    assert (dtype, numbers, cls, gap, names) == (torch.bfloat16, np.dtype("f4"), torch.optim.Adagrad, ..., {"a", "b"})


@pytest.mark.parametrize("kind", SOURCES, ids=lambda kind: kind.__name__)
def test_a_source_of_random_numbers_goes_on_where_it_was(kind):
    source = kind(np.random.PCG64(7)) if kind is np.random.Generator else kind(7)
    draw = source.random_raw if isinstance(source, np.random.BitGenerator) else source.random
    draw(3)
    restored = again(source)
    drawn = (restored.random_raw if isinstance(restored, np.random.BitGenerator) else restored.random)(5)
    np.testing.assert_array_equal(drawn, draw(5))


def test_one_object_in_two_places_stays_one():
    record = StepRecord(1, "a", "b", "c")
    first, (second, other) = again([record, (record, StepRecord(1, "a", "b", "c"))])
    assert first is second
    assert other is not first


@pytest.mark.parametrize(
    "value",
    [
        len,
        lambda: 0,
        object(),
        {1, 2},
        b"bytes",
        1j,
        np.array([1j]),
        np.longdouble(1),
        int,
        torch.tensor([1j]),
        np.ma.ones(2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_plain_value_is_refused_with_its_place(value):
    with pytest.raises(UnknownType) as refused:
        Writer(KNOWN, {}).node({"a": [0, value]}, ())
    assert refused.value.path[:2] == ("a", "1")


def test_values_that_hold_themselves_are_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(UnknownType) as refused:
        Writer(KNOWN, {}).node(endless, ())
    assert len(refused.value.path) == MAX_DEPTH + 1
