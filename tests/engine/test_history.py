import copy
import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from skorch.history import History

from sk_dlsteps.engine.history import ColumnHistory

VALUES = st.one_of(st.floats(), st.booleans(), st.integers(-5, 5), st.none(), st.text(max_size=3))
ROWS = st.lists(st.dictionaries(st.sampled_from(["epoch", "train_loss", "valid_loss", "batches"]), VALUES), max_size=6)


def as_text(history):
    """Names, values and their types, of which NaN is one."""
    return [[(name, type(value), repr(value)) for name, value in sorted(row.items())] for row in history]


@given(ROWS)
def test_a_pickle_gives_every_row_back(rows):
    for again in (pickle.loads(pickle.dumps(ColumnHistory(rows))), copy.deepcopy(ColumnHistory(rows))):
        assert type(again) is ColumnHistory
        assert as_text(again) == as_text(rows)


def test_it_is_smaller_than_skorchs():
    rng = np.random.default_rng(0)
    names = ["train_loss", "valid_loss", "lr", "gradient_norm_1", "gradient_norm_2", "dead_units", "dur"]
    rows = [
        {"batches": [{}], "epoch": i, **dict(zip(names, rng.normal(size=7).tolist(), strict=True))} for i in range(240)
    ]
    sizes = [len(pickle.dumps(kind(copy.deepcopy(rows)))) for kind in (History, ColumnHistory)]
    assert sizes[1] < 0.75 * sizes[0]


def test_it_is_written_and_read_as_skorchs():
    history = ColumnHistory()
    for loss in (0.5, 0.25):
        history.new_epoch()
        history.record("train_loss", loss)
    assert pickle.loads(pickle.dumps(history))[:, "train_loss"] == [0.5, 0.25]
