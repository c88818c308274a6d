import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_dlsteps import LearningRateDisplay, StepwiseRegressor, StepwiseWarning, find_learning_rate
from sk_dlsteps.step3_training.lr_finder import LRCurve

X, y = load_diabetes(return_X_y=True)


@pytest.fixture(scope="module")
def model():
    return StepwiseRegressor(max_epochs=20, n_estimators=3, random_state=0).fit(X, y)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_the_line_is_the_smoothed_median_on_a_logarithmic_axis(model, ax):
    display = LearningRateDisplay.from_estimator(model, ax=ax)
    np.testing.assert_array_equal(display.line_.get_xdata(), model.lr_curve_.rates)
    np.testing.assert_array_equal(display.line_.get_ydata(), model.lr_curve_.smoothed)
    assert ax.get_xscale() == "log"
    assert display.ax_ is ax
    assert display.figure_ is ax.figure


def test_every_replica_is_drawn_fainter_than_the_median(model, ax):
    display = LearningRateDisplay(model.lr_curve_).plot(ax)
    faint = [line for line in ax.lines if (line.get_alpha() or 1) < 1]
    assert len(faint) == 3
    np.testing.assert_array_equal(faint[2].get_ydata(), model.lr_curve_.losses[:, 2])
    assert all(line.get_linewidth() < display.line_.get_linewidth() for line in faint)


def test_the_pick_is_marked_with_its_value_on_the_curve(model, ax):
    LearningRateDisplay(model.lr_curve_).plot(ax)
    assert f"chosen: {model.learning_rate_:.2g}" in texts(ax)
    (dot,) = (line for line in ax.lines if line.get_marker() == "o")
    assert dot.get_xdata()[0] == model.learning_rate_
    nearest = np.argmin(np.abs(np.log(model.lr_curve_.rates / model.learning_rate_)))
    around = model.lr_curve_.smoothed[nearest - 1 : nearest + 2]
    assert around.min() <= dot.get_ydata()[0] <= around.max()


def test_every_alternative_is_named_once(model, ax):
    LearningRateDisplay(model.lr_curve_).plot(ax)
    named = ", ".join(texts(ax))
    assert all(named.count(name) == 1 for name in ("steepest", "minimum/10", "valley"))


def test_alternatives_at_the_same_rate_share_a_label(ax):
    rates = np.geomspace(1e-4, 1, 50)
    curve = LRCurve(
        rates, np.ones((50, 2)), np.linspace(2, 1, 50), 0.02, "", True, {"steepest": 0.003, "valley": 0.0031}
    )
    LearningRateDisplay(curve).plot(ax)
    assert "steepest, valley" in texts(ax)


def test_the_blow_up_does_not_squeeze_the_curve(ax):
    losses = np.r_[np.linspace(2, 1, 40), np.full(10, 1e6)][:, None]
    smoothed = np.r_[np.linspace(2, 1, 40), np.full(10, np.nan)]
    LearningRateDisplay(LRCurve(np.geomspace(1e-4, 1, 50), losses, smoothed, 0.02, "", True)).plot(ax)
    low, high = ax.get_ylim()
    assert 0 < low < 1
    assert 2 < high < 3


def test_a_name_replaces_the_label_in_the_legend(model, ax):
    LearningRateDisplay(model.lr_curve_).plot(ax, name="diabetes")
    assert "diabetes" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_without_a_range_test_the_default_is_marked(ax):
    with pytest.warns(StepwiseWarning, match="too few minibatches"):
        curve = find_learning_rate(StepwiseRegressor(max_epochs=1, random_state=0), X[:40], y[:40])
    assert not curve.reliable
    LearningRateDisplay(curve).plot(ax)
    ax.figure.canvas.draw()
    assert f"default: {curve.learning_rate:.2g}" in texts(ax)


def test_a_figure_of_its_own_is_made_without_axes(model):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    display = LearningRateDisplay(model.lr_curve_).plot()
    assert plt.fignum_exists(display.figure_.number)
    plt.close(display.figure_)


def test_of_a_pipeline_the_last_step_is_drawn(model, ax):
    display = LearningRateDisplay.from_estimator(make_pipeline(StandardScaler(), model), ax=ax)
    assert display.lr_curve is model.lr_curve_


def test_of_a_search_the_best_model_is_drawn(ax):
    search = GridSearchCV(StepwiseRegressor(max_epochs=20, n_estimators=1, random_state=0), {"dropout": [0.1]}, cv=2)
    display = LearningRateDisplay.from_estimator(search.fit(X, y), ax=ax)
    assert display.lr_curve is search.best_estimator_.lr_curve_


def test_an_estimator_of_others_is_refused():
    with pytest.raises(ValueError, match=r"StepwiseClassifier, or a pipeline or search .*range test; got Ridge"):
        LearningRateDisplay.from_estimator(Ridge().fit(X, y))


def test_an_unfitted_estimator_is_refused():
    with pytest.raises(NotFittedError):
        LearningRateDisplay.from_estimator(StepwiseRegressor())


def test_a_rate_that_was_given_has_no_curve_and_the_error_says_what_to_do():
    model = StepwiseRegressor(learning_rate=0.01, max_epochs=2, n_estimators=2, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=r"`learning_rate=0.01`.*find_learning_rate"):
        LearningRateDisplay.from_estimator(model)
