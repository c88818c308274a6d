import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from sklearn.preprocessing import RobustScaler, StandardScaler

from sk_dlsteps.inputs.features import fit_robust_scaler, fit_scaler, learn_rows
from sk_dlsteps.inputs.shapes import as_rows, channels_of, check_shape

SHAPES = hnp.array_shapes(min_dims=3, max_dims=5, min_side=1, max_side=4)


def channels_last(X):
    """All values of each channel, one column for each."""
    axis = 2 if X.ndim == 3 else 1
    return np.moveaxis(X, axis, -1).reshape(-1, X.shape[axis])


@given(hnp.arrays(np.float64, SHAPES, elements=st.floats(-1e3, 1e3)))
def test_rows_keep_their_numbers_in_order(X):
    rows, shape = as_rows(X, None)
    assert shape == X.shape[1:]
    np.testing.assert_array_equal(rows.reshape(X.shape), X)
    again, given_shape = as_rows(rows, shape)
    assert again is rows
    assert given_shape == shape


@pytest.mark.parametrize("X", [np.zeros((3, 4)), [[1.0, 2.0]], sparse.eye_array(3), [1.0, 2.0]])
def test_a_table_stays_as_it_is(X):
    assert as_rows(X, None) == (X, None) if not isinstance(X, np.ndarray) else as_rows(X, None)[0] is X


def test_nested_lists_and_tensors_are_rows_too():
    nested = [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]
    for X in (nested, torch.tensor(nested)):
        rows, shape = as_rows(X, None)
        assert shape == (2, 2)
        np.testing.assert_array_equal(rows, [[1, 2, 3, 4], [5, 6, 7, 8]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, bool, np.float16])
def test_pixels_become_float32(dtype):
    assert as_rows(np.ones((2, 1, 3, 3), dtype), None)[0].dtype == np.float32


def test_what_a_masked_array_hides_is_missing():
    X = np.ma.masked_array(np.arange(8).reshape(2, 2, 2), mask=[[[0, 0], [0, 0]], [[0, 0], [1, 1]]])
    np.testing.assert_array_equal(as_rows(X, None)[0], [[0, 1, 2, 3], [4, 5, np.nan, np.nan]])


def test_sequences_of_unequal_length_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"not all of one shape .* Pad sequences of unequal length with NaN"):
        as_rows([np.zeros((3, 2)), np.zeros((4, 2))], None)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"`input_shape` is \(1, 4, 4\), but the rows of X have the shape \(4, 4\)"):
        as_rows(np.zeros((2, 4, 4)), (1, 4, 4))
    with pytest.raises(ValueError, match=r"`input_shape=\(2, 3\)` takes 6 columns, and X has 5"):
        as_rows(np.zeros((2, 5)), (2, 3))
    with pytest.raises(ValueError, match=r"`input_shape=\(2, 3\)` needs dense rows"):
        as_rows(sparse.csr_array((2, 6)), (2, 3))
    with pytest.raises(ValueError, match=r"rows of shape \(3, 2\), but the networks were trained on rows of a table"):
        check_shape((3, 2), None)


def test_channels_are_the_first_axis_of_images_and_the_last_of_sequences():
    assert channels_of(None) is None
    assert channels_of((7,)) is None
    np.testing.assert_array_equal(channels_of((2, 2, 2)), [0, 0, 0, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(channels_of((3, 2)), [0, 1, 0, 1, 0, 1])


@given(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=3, max_dims=4, min_side=2, max_side=4)),
    st.integers(0, 2**32 - 1),
)
def test_channels_share_the_statistics_of_all_their_values(like, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(3, 2, (6, *like.shape[1:]))
    X[rng.random(X.shape) < 0.2] = np.nan
    weight = rng.integers(1, 4, 6).astype(float)
    rows, channels = X.reshape(6, -1), channels_of(X.shape[1:])
    by_value = np.repeat(weight, rows.shape[1] // (channels.max() + 1))
    reference = StandardScaler().fit(channels_last(X), sample_weight=by_value)
    for scaler in (fit_scaler(rows, None, weight, channels), in_parts(rows, weight, channels)):
        np.testing.assert_allclose(scaler.mean_, reference.mean_[channels])
        np.testing.assert_allclose(scaler.var_, reference.var_[channels])
        np.testing.assert_allclose(scaler.transform(rows), (rows - scaler.mean_) / np.sqrt(scaler.var_))
    robust = RobustScaler().fit(channels_last(X))
    own = fit_robust_scaler(rows, None, None, channels)
    np.testing.assert_allclose(own.center_, robust.center_[channels])
    np.testing.assert_allclose(own.scale_, robust.scale_[channels])


def in_parts(rows, weight, channels):
    """A scaler that has seen a table in two halves."""
    scaler = StandardScaler()
    for half in (slice(0, 3), slice(3, None)):
        with np.errstate(invalid="ignore"):
            learn_rows(scaler, rows[half], weight[half], channels)
    return scaler


def test_a_channel_of_one_value_is_constant_and_a_pixel_of_one_value_is_not():
    X = np.random.default_rng(0).normal(size=(20, 2, 3))
    X[..., 1] = 7.1
    X[:, 0, 0] = 0.0
    scaler = fit_scaler(X.reshape(20, -1), None, None, channels_of((2, 3)))
    assert (scaler.scale_[channels_of((2, 3)) == 1] == 1).all()
    assert (scaler.scale_[channels_of((2, 3)) == 0] == np.sqrt(scaler.var_[0])).all()


def test_tensors_of_any_kind_and_arrays_of_arrays_are_rows():
    X = torch.arange(8.0, requires_grad=True).reshape(2, 2, 2)
    of_objects = np.empty(2, dtype=object)
    of_objects[:] = list(X.detach().numpy())
    for rows in (X, X.to(torch.bfloat16), of_objects):
        np.testing.assert_array_equal(as_rows(rows, None)[0], np.arange(8).reshape(2, 4))


def test_a_list_of_rows_is_compared_with_the_shape_too():
    with pytest.raises(ValueError, match="takes 6 columns, and X has 4"):
        as_rows([[1, 2, 3, 4]], (2, 3))
