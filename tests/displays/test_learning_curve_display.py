import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

from sk_dlsteps import LearningCurveDisplay, learning_curve

X, y = load_diabetes(return_X_y=True)


@pytest.fixture(scope="module")
def curve():
    return learning_curve(Ridge(), X, y, random_state=0)


def dashed(ax):
    return [line for line in ax.lines if line.get_linestyle() == "--"]


def test_the_lines_are_the_means_over_folds(curve, ax):
    display = LearningCurveDisplay(curve).plot(ax)
    for line, scores in zip(display.lines_, (curve.train_scores, curve.test_scores), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), curve.train_sizes)
        np.testing.assert_allclose(line.get_ydata(), scores.mean(axis=1))
    assert display.ax_ is ax
    assert display.figure_ is ax.figure


def test_the_bands_are_a_standard_deviation_wide(curve, ax):
    LearningCurveDisplay(curve).plot(ax)
    for band, scores in zip(ax.collections, (curve.train_scores, curve.test_scores), strict=True):
        heights = band.get_paths()[0].vertices[:, 1]
        mean, spread = scores.mean(axis=1), scores.std(axis=1)
        assert heights.max() == pytest.approx((mean + spread).max())
        assert heights.min() == pytest.approx((mean - spread).min())


def test_the_dashed_line_leads_to_the_expected_score_at_twice_the_rows(curve, ax):
    LearningCurveDisplay(curve).plot(ax)
    (line,) = dashed(ax)
    np.testing.assert_array_equal(line.get_xdata(), [353, 706])
    np.testing.assert_allclose(line.get_ydata(), [curve.test_scores[-1].mean(), curve.expected_score])
    bars = [line for line in ax.lines if np.array_equal(line.get_xdata(), [706, 706])]
    np.testing.assert_allclose(bars[0].get_ydata(), curve.expected_interval)


def test_the_verdict_stands_above_the_picture(curve, ax):
    LearningCurveDisplay(curve).plot(ax)
    assert ax.get_title(loc="left") == "More rows would help"
    assert " ".join(ax.texts[0].get_text().split()) == curve.because


def test_the_axes_name_the_score_and_the_sizes(curve, ax):
    LearningCurveDisplay(curve).plot(ax)
    ax.figure.canvas.draw()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Training rows", "R2")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["35", "70", "141", "247", "353", "706"]
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {
        "training",
        "validation",
        "expected, 80 % interval",
    }


def test_labels_of_sizes_that_touch_are_left_out(ax):
    curve = learning_curve(Ridge(), X, y, train_sizes=[20, 340, 345, 350], random_state=0)
    LearningCurveDisplay(curve).plot(ax)
    ax.figure.canvas.draw()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["20", "350", "700"]


def test_without_an_expectation_only_the_measured_is_drawn(ax):
    curve = learning_curve(Ridge(), X, y, train_sizes=[100, 200], random_state=0)
    LearningCurveDisplay(curve).plot(ax)
    ax.figure.canvas.draw()
    assert not dashed(ax)
    assert ax.get_title(loc="left") == "Cannot tell whether more rows would help"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["100", "200"]


def test_failed_fits_are_gaps(curve, ax):
    scores = curve.test_scores.copy()
    scores[0], scores[1, 0] = np.nan, np.nan
    (_, validation) = LearningCurveDisplay(replace(curve, test_scores=scores)).plot(ax).lines_
    ax.figure.canvas.draw()
    assert np.isnan(validation.get_ydata()[0])
    assert validation.get_ydata()[1] == pytest.approx(scores[1, 1:].mean())


def test_a_collapse_at_few_rows_does_not_squeeze_the_rest(curve, ax):
    scores = curve.test_scores.copy()
    scores[0] = -1000
    LearningCurveDisplay(replace(curve, test_scores=scores)).plot(ax)
    low, high = ax.get_ylim()
    assert -2 < low < 0.4
    assert 0.5 < high < 1.2


def test_from_estimator_computes_what_it_draws(curve, ax):
    display = LearningCurveDisplay.from_estimator(Ridge(), X, y, random_state=0, ax=ax)
    np.testing.assert_array_equal(display.curve.test_scores, curve.test_scores)
    settings = {"train_sizes": [0.3, 1.0], "cv": 3, "scoring": "neg_mean_squared_error", "random_state": 1}
    display = LearningCurveDisplay.from_estimator(Ridge(), X, y, ax=ax.figure.subplots(), **settings)
    np.testing.assert_array_equal(display.curve.test_scores, learning_curve(Ridge(), X, y, **settings).test_scores)
    assert display.ax_.get_ylabel() == "Negative mean squared error"


def test_a_figure_of_its_own_is_made_without_axes(curve):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    display = LearningCurveDisplay(curve).plot()
    assert plt.fignum_exists(display.figure_.number)
    plt.close(display.figure_)


def test_without_matplotlib_the_curve_is_computed_and_the_plot_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "twice the rows" in learning_curve(Ridge(), X, y, random_state=0).because
    with pytest.raises(ImportError, match=r'The plot needs matplotlib: pip install "sk_dlsteps\[plot\]"'):
        LearningCurveDisplay.from_estimator(Ridge(), X, y, random_state=0)
