import numpy as np
import pytest
from matplotlib.colors import to_rgb
from sklearn.datasets import load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from torch import nn

from sk_dlsteps import GradientFlowDisplay, StepwiseRegressor
from sk_dlsteps.displays.axes import MAIN, MARK
from sk_dlsteps.step3_training.record import MANY_DEAD, VANISHED

X, y = load_diabetes(return_X_y=True)
QUICK = {"n_estimators": 2, "learning_rate": 0.02, "random_state": 0, "early_stopping": False}


@pytest.fixture(scope="module")
def model():
    return StepwiseRegressor(n_hidden_layers=2, max_epochs=11, **QUICK).fit(X, y)


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def history(norms, **columns):
    """Rows of a history with these norms (epochs, layers)."""
    rows = [{f"gradient_norm_{i}": norm for i, norm in enumerate(row, start=1)} for row in norms]
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    return rows


def test_a_line_is_a_layer_at_the_epochs_in_which_was_looked(model, ax):
    display = GradientFlowDisplay.from_estimator(model, ax=ax)
    assert len(display.lines_) == 3
    for layer, line in enumerate(display.lines_, start=1):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 4, 8])
        norms = np.array(model.history_[:, f"gradient_norm_{layer}"])
        np.testing.assert_array_equal(line.get_ydata(), norms[[0, 1, 3, 7]])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert display.ax_ is ax
    assert display.figure_ is ax.figure


def test_the_last_dot_is_what_the_last_look_at_the_networks_saw(model, ax):
    signals = model.pipeline_[-1].signals_
    for layer, line in enumerate(GradientFlowDisplay.from_estimator(model, ax=ax).lines_, start=1):
        assert line.get_ydata()[-1] == pytest.approx(signals[f"gradient_norm_{layer}"].mean())


def test_the_dashed_line_is_the_bound_of_the_record(model, ax):
    display = GradientFlowDisplay.from_estimator(model, ax=ax)
    assert display.threshold_.get_linestyle() == "--"
    np.testing.assert_allclose(display.threshold_.get_ydata(), VANISHED * display.lines_[-1].get_ydata())


def test_the_dead_units_are_per_cent_on_the_right_with_the_bound_of_the_record(model, ax):
    display = GradientFlowDisplay.from_estimator(model, ax=ax)
    dead = np.array(model.history_[:, "dead_units"])[[0, 1, 3, 7]]
    np.testing.assert_allclose(display.dead_line_.get_ydata(), 100 * dead)
    assert display.dead_line_.axes is display.dead_ax_ is not ax
    bound = display.dead_ax_.lines[1]
    assert set(bound.get_ydata()) == {100 * MANY_DEAD}
    assert "dead units (right)" in labels(ax)


def test_a_smooth_activation_has_no_dead_units(ax):
    model = StepwiseRegressor(activation="tanh", max_epochs=2, **QUICK).fit(X, y)
    display = GradientFlowDisplay.from_estimator(model, ax=ax)
    assert display.dead_ax_ is None
    assert display.dead_line_ is None
    assert labels(ax) == ["layer 1 (inputs)", "layer 2 (outputs)", "layer 1 vanished below"]


def test_a_single_layer_has_nothing_to_vanish_against(ax):
    model = StepwiseRegressor(module=nn.Linear, max_epochs=2, **QUICK).fit(X, y)
    display = GradientFlowDisplay.from_estimator(model, ax=ax)
    assert display.threshold_ is None
    assert labels(ax) == ["layer 1"]


def test_of_many_layers_the_legend_names_some_and_colours_run_from_the_first_to_the_last(ax):
    display = GradientFlowDisplay(history(np.geomspace(1, 2, 40).reshape(2, 20))).plot(ax)
    names = [label for label in labels(ax) if "vanished" not in label]
    assert len(display.lines_) == 20
    assert len(names) == 6
    assert (names[0], names[-1]) == ("layer 1 (inputs)", "layer 20 (outputs)")
    np.testing.assert_allclose([display.lines_[i].get_color() for i in (0, -1)], [to_rgb(MARK), to_rgb(MAIN)])


def test_gradients_that_are_gone_are_drawn_at_the_bottom_or_on_a_plain_axis(ax):
    display = GradientFlowDisplay(history([[1.0, 1.0], [0.0, 0.0]])).plot(ax)
    ax.figure.canvas.draw()
    assert ax.get_yscale() == "log"
    assert display.lines_[0].get_ydata().tolist() == [1, 0]
    other = ax.figure.add_subplot()
    GradientFlowDisplay(history([[0.0, 0.0], [0.0, 0.0]])).plot(other)
    ax.figure.canvas.draw()
    assert other.get_yscale() == "linear"


def test_a_frozen_layer_is_a_gap(ax):
    nan = float("nan")
    display = GradientFlowDisplay(history([[nan, 1.0], [nan, 1.0], [0.5, 2.0]])).plot(ax)
    ax.figure.canvas.draw()
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), [1, 3])
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), [nan, 0.5])


def test_the_model_is_found_in_a_pipeline_and_others_are_refused(model, ax):
    pipeline = make_pipeline(StandardScaler(), model)
    assert GradientFlowDisplay.from_estimator(pipeline, ax=ax).history is model.history_
    with pytest.raises(NotFittedError):
        GradientFlowDisplay.from_estimator(StepwiseRegressor())
    with pytest.raises(ValueError, match="to show its gradients; got DecisionTreeRegressor"):
        GradientFlowDisplay.from_estimator(DecisionTreeRegressor().fit(X, y))
