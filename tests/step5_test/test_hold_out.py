import numpy as np
import pytest

from sk_dlsteps.inputs.table import TableError
from sk_dlsteps.step5_test.hold_out import hold_out_test_set


def test_rows_are_parted_with_every_class_s_share():
    y = np.repeat(["a", "b"], [90, 30])
    train, test = hold_out_test_set(y, "classification", 0.2, seed=0)
    np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(120))
    assert len(test) == 24
    assert (y[test] == "b").sum() == 6


def test_the_seed_decides_on_the_test_set():
    y = np.arange(100.0)
    first, again, other = (hold_out_test_set(y, "regression", 0.2, seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("test_size", [0.05, 0.9])
def test_too_few_rows_on_one_side_are_refused(test_size):
    with pytest.raises(TableError, match=rf"a test size of {test_size} leaves too few of the 40 rows"):
        hold_out_test_set(np.arange(40.0), "regression", test_size, seed=0)


@pytest.mark.parametrize("labels", [np.repeat([0, 1], [39, 1]), np.arange(40).astype(str)], ids=["one", "no two alike"])
def test_training_rows_without_two_classes_that_recur_are_refused(labels):
    with pytest.raises(TableError, match=r"32 training rows .* at least two classes need two rows each"):
        hold_out_test_set(labels, "classification", 0.2, seed=0)
