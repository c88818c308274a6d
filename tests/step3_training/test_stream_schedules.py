import math
import pickle

import numpy as np
import pytest

from sk_dlsteps.step3_training.schedules import (
    Cosine,
    CosineRestarts,
    EndlessRestarts,
    Exponential,
    Plateau,
    describe_schedule,
)
from sk_dlsteps.step3_training.stream_schedules import choose_stream_schedule, part_of_call

PARAMETERS = {"lr_schedule": "auto", "max_epochs": "auto", "restart_period": "auto", "restart_mult": 2}


@pytest.mark.parametrize(("period", "mult"), [(1, 2), (3, 2), (1, 3), (2, 5), (1, 1), (4, 1)])
def test_cycles_without_end_are_those_of_a_fit_as_long_as_it_lasts(period, mult):
    ends, length = [period], period
    while ends[-1] < 100:
        length *= mult
        ends.append(ends[-1] + length)
    planned, endless = CosineRestarts(tuple(ends)), EndlessRestarts(period, mult)
    moments = np.arange(0, 100, 0.125)
    np.testing.assert_allclose([endless(t) for t in moments], [planned(t / ends[-1]) for t in moments], atol=1e-9)


@pytest.mark.parametrize("mult", [2, 3, 7, 10])
def test_every_cycle_begins_at_the_full_rate_however_late(mult):
    endless = EndlessRestarts(1, mult)
    for n in range(1, 40):
        begin = (mult**n - 1) // (mult - 1)
        if begin < 2**40:
            assert endless(begin) == 1.0
            assert endless(begin - 1 / 64) < 0.01


@pytest.mark.parametrize("name", ["auto", "cosine_restarts"])
def test_restarts_need_no_end(name):
    assert choose_stream_schedule({**PARAMETERS, "lr_schedule": name}, Cosine()) == (EndlessRestarts(1, 2), None)
    given = {**PARAMETERS, "lr_schedule": name, "restart_period": 5, "restart_mult": 3, "max_epochs": 10}
    assert choose_stream_schedule(given, Cosine()) == (EndlessRestarts(5, 3), None)


def test_neither_do_a_constant_rate_and_a_plateau():
    assert choose_stream_schedule({**PARAMETERS, "lr_schedule": "constant"}, None) == (None, None)
    assert choose_stream_schedule({**PARAMETERS, "lr_schedule": "plateau"}, Plateau()) == (Plateau(), None)


def test_a_schedule_with_an_end_ends_after_max_epochs_calls_and_stays():
    schedule, n_calls = choose_stream_schedule(
        {**PARAMETERS, "lr_schedule": "exponential", "max_epochs": 4}, Exponential()
    )
    assert n_calls == 4
    rates = [part_of_call(schedule, call, n_calls)(p) for call in range(6) for p in (0.0, 0.5)]
    np.testing.assert_allclose(rates, [0.01 ** min(i / 8, 1) for i in range(12)])


def test_without_max_epochs_it_says_what_to_do():
    with pytest.raises(ValueError, match=r"`lr_schedule='cosine'` needs an end.*set `max_epochs`"):
        choose_stream_schedule({**PARAMETERS, "lr_schedule": "cosine"}, Cosine())


def test_a_call_goes_through_its_part_of_the_cycle():
    part = part_of_call(EndlessRestarts(2, 2), 1, None)
    assert part(0.0) == pytest.approx(0.5)
    assert part(0.5) == pytest.approx(0.5 * (1 + math.cos(0.75 * math.pi)))
    assert part_of_call(None, 3, None) is None


def test_a_plateau_goes_on_looking_at_losses():
    part = part_of_call(Plateau(), 7, None)
    state = part.update(None, np.array([1.0, 2.0]))
    for _ in range(6):
        state = part.update(state, np.array([1.0, 1.0]))
    assert state["factors"].tolist() == [0.2, 1.0]
    assert not hasattr(part_of_call(EndlessRestarts(), 7, None), "update")


def test_parts_and_cycles_pickle_and_speak():
    part = part_of_call(EndlessRestarts(3, 2), 4, None)
    assert pickle.loads(pickle.dumps(part)) == part
    assert describe_schedule(EndlessRestarts(1, 2)) == (
        "a cosine in cycles without end, the first over one call, each next one 2 times longer"
    )
    assert describe_schedule(EndlessRestarts(3, 1)).endswith("the first over 3 calls, all as long")
