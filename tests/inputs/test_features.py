"""Statistics of the inputs, against numpy on the training rows alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import RobustScaler

from sk_dlsteps.inputs.features import fit_robust_scaler, fit_scaler, naming_columns, network_statistics


def table(n_rows=50):
    """Four columns of different scales."""
    return np.random.default_rng(0).normal(size=(n_rows, 4)) * [1, 10, 1e-3, 1e5] + [0, 5, 1, -1e5]


def test_the_scaler_has_seen_its_rows_only():
    X, rows = table(), np.arange(0, 50, 3)
    scaler = fit_scaler(X, rows)
    np.testing.assert_allclose(scaler.mean_, X[rows].mean(0))
    np.testing.assert_allclose(scaler.scale_, X[rows].std(0))
    assert scaler.n_samples_seen_ == len(rows)


def test_each_network_sees_inputs_standardised_by_its_own_rows():
    X = table()
    rows = [np.arange(0, 40), np.arange(10, 50), np.arange(50)]
    scaler = fit_scaler(X)
    center, factor = network_statistics(X, scaler, rows)
    seen = (X - center[:, None]) * factor[:, None]
    for k, own in enumerate(rows):
        np.testing.assert_allclose(seen[k], (X - X[own].mean(0)) / X[own].std(0), rtol=1e-9, atol=1e-9)


def test_a_column_that_a_network_saw_constant_says_nothing_to_it():
    X = table()
    X[:40, 2] = 3.0
    center, factor = network_statistics(X, fit_scaler(X), [np.arange(40), np.arange(50)])
    assert factor[0, 2] == 0
    assert factor[1, 2] == pytest.approx(1 / X[:, 2].std())
    assert np.isfinite(center).all()


@pytest.mark.parametrize("size", [1e155, 1e300])
def test_a_variance_beyond_float64_is_refused_by_column(size):
    X = table()
    X[7, 3] = size
    with pytest.raises(ValueError, match=r"Column 3 of X has values too large .* rescale it"):
        fit_scaler(X)


@pytest.mark.parametrize(
    ("X", "column"),
    [
        ([[1, "2"], [3, "red"]], "Column 1"),
        (pd.DataFrame({"size": [1, 2], "colour": ["red", "green"]}), "Column 'colour'"),
    ],
)
def test_text_is_named_by_column(X, column):
    with pytest.raises(ValueError, match=f"^{column} of X holds text .*'red'.*categorical_features"), naming_columns(X):
        np.asarray(X, dtype=float)


@pytest.mark.parametrize("bad", [np.nan, np.inf, None, pd.NA])
def test_what_is_not_finite_is_named_by_column(bad):
    X = pd.DataFrame({"a": [1.0, 2.0], "b": pd.Series([1.0, bad], dtype=object)})
    with pytest.raises(ValueError, match="First seen: Column 'b'"), naming_columns(X):
        raise ValueError("Input X contains NaN.")


def test_other_errors_pass_unchanged():
    with pytest.raises(ValueError, match=r"^something else$"), naming_columns([[1.0]]):
        raise ValueError("something else")


# -- robust -----------------------------------------------------------------------------


def test_robust_networks_see_the_median_and_quartiles_of_their_own_rows():
    X = table()
    rows = [np.arange(0, 40), np.arange(10, 50), np.arange(50)]
    scaler = fit_robust_scaler(X)
    center, factor = network_statistics(X, scaler, rows)
    seen = (X - center[:, None]) * factor[:, None]
    for k, own in enumerate(rows):
        np.testing.assert_allclose(seen[k], RobustScaler().fit(X[own]).transform(X), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [1.0, 1e-17, 1e20])
def test_without_a_quartile_range_half_the_range_counts(size):
    X = np.zeros((40, 3))
    X[:5, 0], X[5:8, 0] = 3 * size, -size
    X[:20, 1] = size
    scaler = fit_robust_scaler(X)
    np.testing.assert_allclose(scaler.scale_, [2 * size, size, 1.0])
    center, factor = network_statistics(X, scaler, [np.arange(20), np.arange(40)])
    assert (factor[:, 2] == 0).all()
    assert factor[0, 1] == 0
    np.testing.assert_allclose(((X - center[1]) * factor[1])[:8, 0], [1.5] * 5 + [-0.5] * 3)


def test_a_range_beyond_float64_is_refused_by_column():
    X = table()
    X[::2, 3], X[1::2, 3] = 1.7e308, -1.7e308
    with pytest.raises(ValueError, match=r"Column 3 of X has values too far apart .* rescale it"):
        fit_robust_scaler(X)
