"""Temperatures and calibration errors against brute force and known answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn.metrics import log_loss

from sk_dlsteps.engine.batches import Rows
from sk_dlsteps.inputs.target import ClassTarget
from sk_dlsteps.step4_validation.calibration import LOG_BOUND, calibrate, expected_calibration_error, fit_temperature


def two_columns(raw):
    """Both classes of one logit."""
    return np.column_stack([expit(-raw), expit(raw)])


def drawn(probabilities, rng):
    """A class for each row."""
    return (probabilities.cumsum(1) < rng.random((len(probabilities), 1))).sum(1).clip(max=probabilities.shape[1] - 1)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_a_known_temperature_is_found_again(temperature, n_classes):
    rng = np.random.default_rng(0)
    raw = rng.normal(scale=2, size=(20_000, 1 if n_classes == 2 else n_classes))
    link = two_columns if n_classes == 2 else lambda raw: softmax(raw, 1)
    codes = drawn(link(raw), rng)
    assert fit_temperature(raw * temperature, link, codes) == pytest.approx(temperature, rel=0.05)


def test_a_known_temperature_of_labels_is_found_again():
    rng = np.random.default_rng(0)
    raw = rng.normal(scale=2, size=(20_000, 3))
    labels = (rng.random(raw.shape) < expit(raw)).astype(int)
    assert fit_temperature(3 * raw, expit, labels) == pytest.approx(3, rel=0.05)
    assert (
        expected_calibration_error(expit(3 * raw), labels) > 0.1 > 10 * expected_calibration_error(expit(raw), labels)
    )


@given(seed=st.integers(0, 10**6), n_rows=st.integers(1, 60), size=st.sampled_from([0.1, 1.0, 50.0]))
@settings(max_examples=40, deadline=None)
def test_no_other_temperature_is_more_likely(seed, n_rows, size):
    rng = np.random.default_rng(seed)
    raw, codes = size * rng.normal(size=(n_rows, 3)), rng.integers(3, size=n_rows)

    def cost(log_temperature):
        p = softmax(raw / np.exp(log_temperature), 1)[np.arange(n_rows), codes]
        return -np.log(np.maximum(p, np.finfo(float).tiny)).sum() + log_temperature**2 / 2

    found = np.log(fit_temperature(raw, lambda raw: softmax(raw, 1), codes))
    near = np.clip(found + np.array([-0.01, 0.01]), -LOG_BOUND, LOG_BOUND)
    assert cost(found) <= min(map(cost, near)) * (1 + 1e-4)


def test_rows_that_are_all_right_do_not_make_certainties():
    raw = np.repeat([[3.0, 0.0]], 50, axis=0)
    found = fit_temperature(raw, lambda raw: softmax(raw, 1), np.zeros(50, dtype=int))
    assert 0.3 < found < 1


@given(seed=st.integers(0, 10**6), n_rows=st.integers(1, 80), n_bins=st.integers(1, 20))
def test_the_calibration_error_is_that_of_a_loop_over_bins(seed, n_rows, n_bins):
    rng = np.random.default_rng(seed)
    p, codes = softmax(rng.normal(size=(n_rows, 3)), 1), rng.integers(3, size=n_rows)
    order = np.argsort(p.max(1))
    expected = 0.0
    for rows in np.array_split(order, n_bins):
        if len(rows):
            accuracy = np.mean([p[i].argmax() == codes[i] for i in rows])
            expected += len(rows) / n_rows * abs(accuracy - p[rows].max(1).mean())
    assert expected_calibration_error(p, codes, n_bins) == pytest.approx(expected)


def test_the_record_compares_held_out_rows_before_and_after():
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(600, 1))
    codes = drawn(two_columns(raw), rng)
    halves = [np.arange(300), np.arange(300, 600)]
    # Each network is right by a miracle about its own training rows.
    outputs = np.repeat(200.0 * codes[:, None, None] - 100, 2, 1)
    for network, own in enumerate(halves):
        outputs[own, network] = 3 * raw[own]
    held = 3 * raw
    Z = np.arange(600)[:, None]
    found = calibrate(lambda z: outputs[z[:, 0]], two_columns, Z, ClassTarget(codes), Rows(halves[::-1], halves))
    assert found.record.evidence["log_loss_before"] == pytest.approx(log_loss(codes, two_columns(held)))
    tempered = two_columns(held / found.temperature)
    assert found.record.evidence["log_loss"] == pytest.approx(log_loss(codes, tempered))
    assert found.record.evidence["calibration_error"] == expected_calibration_error(tempered, codes)
    assert found.record.because.startswith("fitted to 600 rows")


def test_without_held_out_rows_there_is_no_temperature():
    Z, codes = np.zeros((10, 1)), np.arange(10) % 2
    everything = Rows([np.arange(10)] * 2)
    assert calibrate(lambda z: np.zeros((len(z), 2, 1)), two_columns, Z, ClassTarget(codes), everything) is None
