"""When a network has learnt enough."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_dlsteps.step3_training.schedules import Cosine, CosineRestarts
from sk_dlsteps.step4_validation.early_stopping import PATIENCE, CycleEnds, Patience, choose_stopping


def end_of(rule, losses):
    """Epoch after which the rule stops a network with these validation losses; None if it does not."""
    best = [np.array([value]) for value in np.minimum.accumulate(losses)]
    for epoch in range(1, len(losses) + 1):
        best_epoch = np.array([1 + int(np.argmin(losses[:epoch]))])
        if rule.stops(epoch, best[:epoch], best_epoch)[0]:
            return epoch
    return None


@given(losses=st.lists(st.floats(0, 9), min_size=1, max_size=40), patience=st.integers(1, 6))
def test_patience_ends_after_so_many_epochs_without_a_better_loss(losses, patience):
    best, waited, expected = np.inf, 0, None
    for epoch, loss in enumerate(losses, 1):
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        if waited >= patience:
            expected = epoch
            break
    assert end_of(Patience(patience), losses) == expected


@pytest.mark.parametrize(
    ("losses", "end"),
    [
        ([9, 8, 7.99, 7.98, 5, 4, 3, 2], 4),
        ([9, 8, 7, 6, 5.9, 5.8, 5.9, 5.9], 8),
        ([9, 8, 7, 6, 5, 4, 3, 2], None),
        ([8, 8, 8, 8, 1, 1, 1, 1], 4),
        ([-1, -2, -2.01, -2.02, -5, -5, -5, -5], 4),
        ([-1, -2, -3, -4, -5, -6, -7, -8], None),
        ([np.inf, np.inf, np.inf, np.inf, 1, 1, 1, 1], 4),
        ([np.inf, np.inf, 5, 5, 1, 1, 1, 1], None),
    ],
)
def test_a_cycle_that_brought_too_little_is_the_last(losses, end):
    assert end_of(CycleEnds((2, 4, 8), tolerance=0.05), losses) == end


def test_a_single_cycle_is_never_cut_short():
    assert end_of(CycleEnds((4,)), [5.0, 6, 7, 8]) is None


def test_each_network_is_judged_by_itself():
    best = [np.array([4.0, 4.0]), np.array([4.0, 1.0])]
    assert CycleEnds((1, 2)).stops(2, best, np.array([1, 2])).tolist() == [True, False]
    assert Patience(1).stops(2, best, np.array([1, 2])).tolist() == [True, False]


def test_the_rule_follows_from_the_parameters_and_the_schedule():
    restarts = CosineRestarts((3, 9))
    assert choose_stopping(False, "auto", restarts) is None
    assert choose_stopping(True, "auto", restarts) == CycleEnds((3, 9))
    assert choose_stopping(True, "auto", CosineRestarts(tuple(range(1, 31)))) == Patience(PATIENCE)
    assert choose_stopping(True, "auto", CosineRestarts((10, 20, 25))) == Patience(PATIENCE)
    assert choose_stopping(True, "auto", CosineRestarts((15,))) == CycleEnds((15,))
    assert choose_stopping(True, "auto", Cosine()) == Patience(PATIENCE)
    assert choose_stopping(True, "auto", None) == Patience(PATIENCE)
    assert choose_stopping(True, 7, restarts) == Patience(7)


@pytest.mark.parametrize("rule", [Patience(3), CycleEnds((2, 6))])
def test_rules_pickle(rule):
    assert pickle.loads(pickle.dumps(rule)) == rule
