import numpy as np
import pytest
from sklearn.decomposition import IncrementalPCA
from sklearn.preprocessing import FunctionTransformer, QuantileTransformer, StandardScaler

from sk_dlsteps.inputs.features import fit_robust_scaler, fit_scaler
from sk_dlsteps.inputs.own_scaler import CheckedTransformer
from sk_dlsteps.inputs.running import RunningTarget, inner_scaler, is_standard, stays, updated_scaler
from sk_dlsteps.inputs.scaler import BesideCodes

RNG = np.random.default_rng(0)
X = RNG.normal(3.0, [1.0, 10.0, 0.1], (90, 3))
WEIGHT = RNG.uniform(0.1, 5.0, 90)
PARTS = (slice(0, 7), slice(7, 8), slice(8, 60), slice(60, 90))


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_statistics_of_parts_are_those_of_the_whole(weight):
    running = None
    for part in PARTS:
        own = RunningTarget.of(X[part], None if weight is None else weight[part])
        running = own if running is None else running.and_also(own)
    mean = np.average(X, 0, weight)
    assert running.count == pytest.approx(90 if weight is None else weight.sum())
    np.testing.assert_allclose(running.mean, mean)
    np.testing.assert_allclose(running.std, np.sqrt(np.average((X - mean) ** 2, 0, weight)))
    center, scale = running.center_and_scale("standard")
    np.testing.assert_allclose([center, scale], [running.mean, running.std])


def test_statistics_survive_numbers_whose_squares_leave_float64():
    tiny = X * 1e-200
    running = RunningTarget.of(tiny[:40]).and_also(RunningTarget.of(tiny[40:]))
    np.testing.assert_allclose(running.std / 1e-200, X.std(0))


def test_a_column_of_one_value_has_the_scale_zero_until_another_comes():
    running = RunningTarget.of(np.full((3, 1), 0.1)).and_also(RunningTarget.of(np.full((4, 1), 0.1)))
    assert [part.tolist() for part in running.center_and_scale("standard")] == [[0.1], [0.0]]
    center, scale = running.and_also(RunningTarget.of(np.full((1, 1), 0.5))).center_and_scale("standard")
    np.testing.assert_allclose([center[0], scale[0]], [0.15, np.std([0.1] * 7 + [0.5])])


def test_counts_are_divided_by_their_mean_or_by_one_while_it_is_zero():
    zeros = RunningTarget.of(np.zeros((4, 1)))
    assert [part.tolist() for part in zeros.center_and_scale("scale")] == [[0.0], [1.0]]
    some = zeros.and_also(RunningTarget.of(np.full((4, 1), 6.0)))
    assert [part.tolist() for part in some.center_and_scale("scale")] == [[0.0], [3.0]]


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_the_standard_scaler_has_seen_all_parts_and_the_old_one_stays(weight):
    scaler = first = fit_scaler(X[:7], weight=None if weight is None else weight[:7])
    mean = first.mean_.copy()
    for part in PARTS[1:]:
        scaler = updated_scaler(scaler, X[part], None if weight is None else weight[part])
    expected = StandardScaler().fit(X, sample_weight=weight)
    np.testing.assert_allclose(scaler.mean_, expected.mean_)
    np.testing.assert_allclose(scaler.scale_, expected.scale_)
    np.testing.assert_array_equal(first.mean_, mean)


def test_the_standard_scaler_may_stand_beside_codes():
    coded = np.column_stack([X, np.arange(90) % 4])
    scaler = updated_scaler(BesideCodes(fit_scaler(X[:50]), 3), coded[50:], None)
    assert is_standard(scaler)
    np.testing.assert_allclose(inner_scaler(scaler).mean_, X.mean(0))
    np.testing.assert_array_equal(scaler.transform(coded)[:, 3], coded[:, 3])


def test_weights_of_float32_rows_are_counted_beyond_float32():
    rows = X.astype(np.float32)
    scaler = fit_scaler(rows, weight=np.full(90, 2.0**24))
    for _ in range(3):
        scaler = updated_scaler(scaler, rows, np.full(90, 0.5))
    np.testing.assert_allclose(scaler.n_samples_seen_, 90 * 2.0**24 + 3 * 45, rtol=1e-12)


def test_an_infinite_variance_names_the_column():
    rows = X.copy()
    rows[:, 1] *= 1e200
    with pytest.raises(ValueError, match="Column 1 of X has values too large"):
        updated_scaler(fit_scaler(X), rows, None)


def test_a_transformer_learns_on_if_it_can():
    pca = CheckedTransformer(IncrementalPCA(2)).fit(X[:50])
    before = pca.transform(X)
    grown = updated_scaler(pca, X[50:], None)
    assert not stays(pca)
    np.testing.assert_array_equal(pca.transform(X), before)
    reference = IncrementalPCA(2).fit(X[:50]).partial_fit(X[50:])
    np.testing.assert_array_equal(grown.transform(X), reference.transform(X))


@pytest.mark.parametrize(
    ("scaler", "expected"),
    [
        (fit_robust_scaler(X), True),
        (CheckedTransformer(QuantileTransformer(n_quantiles=10)).fit(X), True),
        (FunctionTransformer().fit(X), False),
        (fit_scaler(X), False),
    ],
)
def test_statistics_stay_where_a_scaler_has_some_and_learns_no_more(scaler, expected):
    assert stays(scaler) == expected
    if not isinstance(scaler, StandardScaler):
        assert updated_scaler(scaler, X, None) is scaler
