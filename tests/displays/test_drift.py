import datetime

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_regression

from sk_dlsteps import DriftDetector, DriftDisplay, DriftTimelineDisplay, StepwiseRegressor
from sk_dlsteps.displays.axes import MAIN, MARK

RNG = np.random.default_rng


@pytest.fixture(autouse=True)
def _closed():
    with mpl.rc_context({"backend": "Agg"}):
        yield
        plt.close("all")


def table(n, shift, seed=0):
    """Numbers, counts, a category and gaps, under names that mathtext would choke on."""
    rng = RNG(seed)
    return pd.DataFrame(
        {
            "$\\frac{": rng.normal(shift, 1, n),
            "rooms": rng.poisson(2 + shift, n),
            "colour\n<b>": rng.choice(["$_red", "blue"], n),
            "gaps": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
            "nothing": np.full(n, np.nan),
        }
    )


@pytest.fixture(scope="module")
def report():
    """Two of five columns have drifted."""
    return DriftDetector().fit(table(400, 0)).check(table(300, 1, seed=1))


def texts(ax):
    """All texts but those of the axis."""
    return [text.get_text() for text in ax.texts]


def test_the_columns_that_drifted_most_stand_on_top(report):
    display = DriftDisplay.from_report(report, n_columns=3)
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels[0] == "$\\frac{"
    assert labels == [test.name.replace("\n", " ") for test in report.most_drifted[:3]]
    display.figure_.canvas.draw()


def test_old_and_new_shares_are_drawn_and_marked_where_they_drifted(report):
    ax = DriftDisplay.from_report(report).ax_
    steps = [patch for patch in ax.patches if hasattr(patch, "get_data")]
    assert len(steps) == 2 * 5
    first = [step.get_data() for step in steps[:2]]
    centres = [
        np.average((data.edges[1:] + data.edges[:-1]) / 2, weights=data.values - data.baseline) for data in first
    ]
    assert centres[1] > centres[0] + 0.1
    marked = [text for text in ax.texts if text.get_color() == MARK]
    assert len(marked) == len(report.drifted_columns) == 2
    assert "PSI" in marked[0].get_text()
    gaps = next(test for test in report.columns if test.name == "gaps")
    assert any(f"missing {gaps.missing_before:.0%} to {gaps.missing:.0%}" in text for text in texts(ax))


def test_a_picture_is_drawn_where_it_is_told_and_of_a_model():
    X, y = make_regression(200, 3, random_state=0)
    model = StepwiseRegressor(max_epochs=3, learning_rate=0.01, random_state=0).fit(X[:100], y[:100])
    ax = plt.figure().subplots()
    display = DriftDisplay.from_estimator(model, X[100:], y[100:], X=X[:100], ax=ax, alpha=0.02)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert display.report.alpha == 0.02
    assert display.report.domain is not None


def test_a_number_of_columns_must_be_one(report):
    with pytest.raises(ValueError, match="`n_columns` must be an integer of at least 1, got 0"):
        DriftDisplay(report, n_columns=0)


@pytest.mark.parametrize(
    "times",
    [
        None,
        ["$_mon", "tue", "wed", "thu"],
        [datetime.date(2024, 1, day) for day in (1, 2, 3, 9)],
        [1.5, 2.5, 3.5, 9.0],
        [None, ("a", 1), "b", 2],
        [datetime.time(hour) for hour in (1, 2, 3, 9)],
        [np.datetime64("2024-01-01") + day for day in range(4)],
    ],
)
def test_batches_stand_at_their_times_and_alarms_are_marked(times):
    detector = DriftDetector().fit(RNG(0).normal(size=(300, 3)))
    batches = [RNG(seed).normal(shift, 1, size=(100, 3)) for seed, shift in enumerate([0, 0, 1])]
    timeline = detector.check_batches([*batches, np.empty((0, 3))], times)
    display = DriftTimelineDisplay(timeline).plot()
    clean, drifted = display.ax_.collections[:2]
    assert mpl.colors.to_hex(clean.get_facecolor()[0]) == MAIN
    assert mpl.colors.to_hex(drifted.get_facecolor()[0]) == MARK
    assert (len(clean.get_offsets()), len(drifted.get_offsets())) == (2, 1)
    assert drifted.get_offsets()[0, 1] == pytest.approx(timeline.table[2]["p"])
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (np.zeros(200), RNG(0).normal(size=300)),
        (RNG(0).integers(1, 6, 300), RNG(1).normal(3, 1, 300)),
        ([f"level {i}" for i in range(3000)], [f"new {i}" for i in range(1500)]),
        (["a", "b"] * 100, [f"new {i}" for i in range(3000)]),
    ],
)
def test_new_rows_are_drawn_where_they_have_become_something_else(old, new):
    old, new = (pd.DataFrame({"x": pd.Series(own)}) for own in (old, new))
    kind = "category" if old["x"].dtype.kind not in "if" else "float"
    report = DriftDetector().fit(old.astype(kind)).check(new.astype(kind))
    ax = DriftDisplay.from_report(report).ax_
    before, after = (patch.get_data() for patch in ax.patches if hasattr(patch, "get_data"))
    assert (after.values - after.baseline).sum() > 0.01
    assert (before.values - before.baseline).sum() > 0.01
    if len(old) == 3000:
        assert "others" in texts(ax)


def test_columns_without_any_value_have_no_bars(report):
    columns = [test.name for test in report.most_drifted]
    ax = DriftDisplay.from_report(report).ax_
    bars = [patch.get_data() for patch in ax.patches if hasattr(patch, "get_data")]
    place = columns.index("nothing")
    for data in bars[2 * place : 2 * place + 2]:
        assert not (data.values - data.baseline).any()


def test_the_ends_of_numbers_far_from_zero_are_told_apart():
    X = pd.DataFrame({"time": 1.7e9 + RNG(0).normal(size=300)})
    ends = texts(DriftDisplay.from_report(DriftDetector().fit(X).check(X + 1)).ax_)[:2]
    assert float(ends[0]) < float(ends[1])


def test_batches_are_checked_and_drawn_of_a_model():
    X, y = make_regression(200, 3, random_state=0)
    model = StepwiseRegressor(max_epochs=3, learning_rate=0.01, random_state=0).fit(X[:100], y[:100])
    ax = plt.figure().subplots()
    batches = [X[100:150], (X[150:] + 3, y[150:])]
    display = DriftTimelineDisplay.from_estimator(model, iter(batches), ["mon", "tue"], ax=ax, alpha=0.02)
    assert display.ax_ is ax
    assert display.timeline == DriftDetector.from_estimator(model, alpha=0.02).check_batches(batches, ["mon", "tue"])
    assert display.timeline.alarms == ("tue",)
