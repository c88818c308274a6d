"""Widths by the article's rule, against its closed form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_dlsteps.step2_architecture.hidden_units import CEILING, FLOOR, choose_hidden_units


def widths(hidden_units, factor=2.0, n_hidden_layers=1, n_rows=1000, n_inputs=10, n_outputs=1):
    return choose_hidden_units(
        hidden_units, factor, n_hidden_layers, n_rows=n_rows, n_inputs=n_inputs, n_outputs=n_outputs
    )


@given(
    n_rows=st.integers(1, 10**7),
    n_inputs=st.integers(1, 500),
    n_outputs=st.integers(1, 100),
    factor=st.floats(2, 10),
    n_layers=st.integers(1, 4),
)
def test_the_rule_is_rows_by_a_times_inputs_and_outputs_rounded_and_clamped(
    n_rows, n_inputs, n_outputs, factor, n_layers
):
    found, record = widths("auto", factor, n_layers, n_rows, n_inputs, n_outputs)
    raw = n_rows / (factor * (n_inputs + n_outputs))
    assert found == (min(max(round(raw), FLOOR), CEILING),) * n_layers
    assert record.evidence == {"rule": "auto", "a": factor, "raw": raw, "clamped": found[0], "units": found}
    assert ("floor" in record.because) == (round(raw) < FLOOR)
    assert ("ceiling" in record.because) == (round(raw) > CEILING)


@pytest.mark.parametrize(
    ("n_rows", "n_inputs", "units"),
    [(1_000_000, 20, CEILING), (100, 500, FLOOR), (2 * 11 * 100, 10, 100), (2 * 11 * 100 + 12, 10, 101)],
)
def test_examples_of_the_rule(n_rows, n_inputs, units):
    assert widths("auto", n_rows=n_rows, n_inputs=n_inputs)[0] == (units,)


@pytest.mark.parametrize(("n_inputs", "n_outputs", "units"), [(10, 2, 6), (10, 5, 8), (1, 1, 1), (100, 1, 50)])
def test_the_midpoint_lies_between_inputs_and_outputs(n_inputs, n_outputs, units):
    found, record = widths("midpoint", n_inputs=n_inputs, n_outputs=n_outputs, n_hidden_layers=2)
    assert found == (units, units)
    assert record.evidence["raw"] == (n_inputs + n_outputs) / 2


@pytest.mark.parametrize(
    ("hidden_units", "n_layers", "expected"), [(7, 1, (7,)), (7, 3, (7, 7, 7)), ([9, 4], 5, (9, 4)), ((3,), 1, (3,))]
)
def test_numbers_are_the_users_decision(hidden_units, n_layers, expected):
    found, record = widths(hidden_units, n_hidden_layers=n_layers)
    assert found == expected
    assert record.because == "chosen by you"
    assert record.evidence == {"rule": "given", "units": expected}


def test_the_record_tells_layers_units_and_the_formula():
    _, record = widths("auto", n_rows=2200)
    assert (record.number, record.decision) == (2, "1 hidden layer of 100 units")
    assert record.because == "N_s / (a (N_i + N_o)) = 2200 / (2 (10 + 1)) = 100"
    assert widths([9, 4])[1].decision == "2 hidden layers of 9 and 4 units"
    assert widths([9, 4, 9])[1].decision == "3 hidden layers of 9 and 4 and 9 units"
    assert widths(9, n_hidden_layers=3)[1].decision == "3 hidden layers of 9 units"
