import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_dlsteps import LossCurveDisplay, StepwiseRegressor
from sk_dlsteps.engine.loss_curves import LossCurves
from sk_dlsteps.step1_cost.cost import SquaredError

X, y = load_diabetes(return_X_y=True)
QUICK = {"n_estimators": 3, "learning_rate": 0.02, "random_state": 0}


@pytest.fixture(scope="module")
def model():
    return StepwiseRegressor(max_epochs=12, **QUICK).fit(X, y)


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def restarts(ax):
    return [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]


def history(rates, **columns):
    """Rows of a history with these rates and losses."""
    rows = [{"train_loss": 1.0, "lr": rate} for rate in rates]
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    return rows


def test_the_thick_lines_are_the_columns_of_the_history(model, ax):
    display = LossCurveDisplay.from_estimator(model, ax=ax)
    for line, column in zip(display.lines_, ("train_loss", "valid_loss"), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, model.n_iter_ + 1))
        np.testing.assert_array_equal(line.get_ydata(), model.history_[:, column])
    assert display.ax_ is ax
    assert display.figure_ is ax.figure


def test_a_thin_line_is_a_network_with_a_gap_where_it_has_stopped(model, ax):
    display = LossCurveDisplay.from_estimator(model, ax=ax)
    curves = np.hstack([model.loss_curves_.train, model.loss_curves_.valid])
    drawn = np.array([line.get_ydata() for line in display.network_lines_]).T
    np.testing.assert_array_equal(drawn, curves)
    thickest = max(line.get_linewidth() for line in display.network_lines_)
    assert thickest < min(line.get_linewidth() for line in display.lines_)


def test_the_dots_are_the_best_epochs_with_their_losses(model, ax):
    best = LossCurveDisplay.from_estimator(model, ax=ax).best_
    np.testing.assert_array_equal(best.get_xdata(), model.pipeline_[-1].best_epochs_)
    np.testing.assert_allclose(best.get_ydata(), model.pipeline_[-1].best_losses_, rtol=1e-6)


def test_a_network_that_stayed_as_it_began_has_no_dot(ax):
    curves = LossCurves(np.ones((3, 2)), np.array([[1, 2], [3, 4], [5, 6]]), np.array([0, 2]))
    best = LossCurveDisplay(history([1, 1, 1], valid_loss=[1.5, 3.5, 5.5]), curves).plot(ax).best_
    assert (best.get_xdata().tolist(), best.get_ydata().tolist()) == ([2], [4])


def test_one_network_has_no_thin_lines_and_no_means(ax):
    model = StepwiseRegressor(max_epochs=3, **{**QUICK, "n_estimators": 1}).fit(X, y)
    display = LossCurveDisplay.from_estimator(model, ax=ax)
    assert display.network_lines_ == []
    assert labels(ax)[:3] == ["training", "validation", "best epoch"]


def test_without_validation_rows_there_is_one_curve_and_no_best(ax):
    model = StepwiseRegressor(max_epochs=3, early_stopping=False, **QUICK).fit(X, y)
    display = LossCurveDisplay.from_estimator(model, ax=ax)
    assert len(display.lines_) == 1
    assert len(display.network_lines_) == 3
    assert display.best_ is None
    assert labels(ax)[:2] == ["training, mean", "single networks"]


def test_a_warm_start_goes_on_to_the_right(ax):
    model = StepwiseRegressor(max_epochs=4, warm_start=True, **QUICK).fit(X, y)
    n_before = model.n_iter_
    display = LossCurveDisplay.from_estimator(model.fit(X, y), ax=ax)
    assert len(display.lines_[0].get_xdata()) == model.n_iter_ > n_before
    np.testing.assert_array_equal(display.best_.get_xdata(), model.loss_curves_.best_epochs)
    assert n_before + 0.5 in restarts(ax)


def test_a_single_epoch_of_a_stream_is_a_dot(ax):
    model = StepwiseRegressor(**QUICK).partial_fit(X, y)
    display = LossCurveDisplay.from_estimator(model, ax=ax)
    ax.figure.canvas.draw()
    assert display.lines_[0].get_marker() == "o"


def test_a_module_of_the_users_own_is_drawn_as_well(ax):
    model = StepwiseRegressor(module=torch.nn.Linear, max_epochs=3, **QUICK).fit(X, y)
    assert len(LossCurveDisplay.from_estimator(model, ax=ax).network_lines_) == 6


@pytest.mark.parametrize(
    ("rates", "expected"),
    [([3, 2, 1, 3, 2, 1], [3.5]), ([1, 2, 3, 2, 1], []), ([2, 2, 2], []), ([3, 1, 3, 1, 3], [2.5, 4.5]), ([1], [])],
)
def test_a_dotted_line_stands_where_the_rate_rises_after_it_fell(rates, expected, ax):
    curves = LossCurves(np.ones((len(rates), 1)), None, np.array([1]))
    LossCurveDisplay(history(rates), curves).plot(ax)
    assert restarts(ax) == expected


@pytest.mark.parametrize(
    ("losses", "scale"),
    [([1.0, 0.5], "linear"), ([20.0, 0.5], "log"), ([20.0, -0.5], "linear"), ([np.nan] * 2, "linear")],
)
def test_losses_that_spread_wide_and_are_positive_stand_on_a_logarithmic_axis(losses, scale, ax):
    curves = LossCurves(np.array(losses)[:, None], None, np.array([2]))
    LossCurveDisplay(history([1, 1], train_loss=losses), curves).plot(ax)
    ax.figure.canvas.draw()
    assert ax.get_yscale() == scale


def test_the_loss_is_named_and_may_be_called_anything(model, ax):
    LossCurveDisplay.from_estimator(model, ax=ax)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Epoch", "Loss (squared error)")

    class Dollars(SquaredError):
        name = "a$b_c$^"

    model = StepwiseRegressor(loss=Dollars(), max_epochs=1, **QUICK).fit(X, y)
    other = LossCurveDisplay.from_estimator(model, ax=ax.figure.add_subplot()).ax_
    ax.figure.canvas.draw()
    assert other.get_ylabel() == "Loss (a$b c$^)"


def test_the_legend_hides_no_data(model, ax):
    figure = ax.figure
    figure.set_size_inches(4, 3)
    LossCurveDisplay.from_estimator(model, ax=ax)
    figure.canvas.draw()
    legend, label = ax.get_legend().get_window_extent(), ax.xaxis.label.get_window_extent()
    assert legend.y1 < label.y0 < ax.get_window_extent().y0
    assert legend.y0 >= 0
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.width


def test_the_model_is_found_in_pipelines_and_searches(model, ax):
    pipeline = make_pipeline(StandardScaler(), StepwiseRegressor(max_epochs=2, **QUICK))
    search = GridSearchCV(pipeline, {"stepwiseregressor__dropout": [0.0]}, cv=2).fit(X, y)
    display = LossCurveDisplay.from_estimator(search, ax=ax)
    assert display.loss_curves is search.best_estimator_[-1].loss_curves_


def test_what_is_not_fitted_or_not_ours_is_refused():
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(StepwiseRegressor())
    with pytest.raises(ValueError, match=r"a fitted StepwiseRegressor .*to show its losses; got Ridge"):
        LossCurveDisplay.from_estimator(make_pipeline(Ridge()).fit(X, y))


def test_a_figure_of_its_own_is_made_without_axes(model):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    display = LossCurveDisplay.from_estimator(model)
    assert plt.fignum_exists(display.figure_.number)
    plt.close(display.figure_)


def test_without_matplotlib_every_plot_names_the_extra():
    script = """
import sys
sys.modules["matplotlib"] = None
import numpy as np
from sk_dlsteps import *
from sk_dlsteps.engine.loss_curves import LossCurves
from sk_dlsteps.step3_training.lr_finder import LRCurve
for display in (
    LearningRateDisplay(LRCurve(np.ones(1), np.ones((1, 1)), np.ones(1), 1.0, "", True)),
    LossCurveDisplay([{}], LossCurves(np.ones((1, 1)), None, np.ones(1))),
    GradientFlowDisplay([{"gradient_norm_1": 1.0}]),
    SearchDisplay({"params": [{}]}),
    CalibrationDisplay(np.ones(1), np.ones(1), np.ones(1)),
):
    try:
        display.plot()
    except ImportError as error:
        print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ['The plot needs matplotlib: pip install "sk_dlsteps[plot]"'] * 5
