"""What is drawn is what was found, and nothing lies over anything else."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV

from sk_dlsteps import StepwiseRegressor, StepwiseWarning, VerificationDisplay, verify_test_set
from sk_dlsteps.step5_test.looks import forget_looks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 3))
Y = X[:, 0] + RNG.normal(size=300)


@pytest.fixture(autouse=True)
def own_figures():
    """No window, no figure and no look left behind."""
    forget_looks()
    with mpl.rc_context({"backend": "Agg"}):
        yield
        plt.close("all")
    forget_looks()


def searched(y=Y):
    """A search of three candidates."""
    return GridSearchCV(Ridge(), {"alpha": [1.0, 30.0, 100.0]}).fit(X[:200], y[:200])


def texts(ax):
    """Texts of the axes that are not empty."""
    own = [*ax.texts, ax.xaxis.label, ax.title, ax._left_title]
    return [text for text in own if text.get_text()]


def test_scores_and_gap_stand_at_their_values():
    display = VerificationDisplay.from_estimator(searched(), X[200:], Y[200:], n_resamples=100)
    found, (scores, gap) = display.verification, display.axes_
    validation, test = ((line[0].get_xdata(), line[1].get_xdata()) for line in (scores.lines[:2], scores.lines[2:]))
    assert validation[1][0] == found.validation_score
    np.testing.assert_allclose(validation[0], found.validation_score + 2 * found.validation_error * np.array([-1, 1]))
    assert (tuple(test[0]), test[1][0]) == (found.test_interval, found.test_score)
    zero, interval, point = gap.lines
    assert (zero.get_xdata()[0], tuple(interval.get_xdata()), point.get_xdata()[0]) == (
        0,
        found.gap_interval,
        found.gap,
    )
    assert display.ax_._left_title.get_text() == found.verdict.capitalize()
    assert display.figure_ is display.ax_.figure


def test_no_text_lies_over_another_one_or_outside():
    model = StepwiseRegressor(max_epochs=2, n_estimators=2, learning_rate=0.01, random_state=0).fit(X[:200], Y[:200])
    display = VerificationDisplay.from_estimator(model, X[200:], Y[200:], n_resamples=100)
    figure = display.figure_
    figure.canvas.draw()
    boxes = [text.get_window_extent() for ax in (display.ax_, *display.axes_) for text in texts(ax)]
    boxes += [label.get_window_extent() for ax in display.axes_ for label in ax.get_xticklabels() if label.get_text()]
    assert len(boxes) > 12
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
    labels = [text.get_window_extent() for ax in (display.ax_, *display.axes_) for text in texts(ax)]
    width, height = figure.canvas.get_width_height()
    assert all(box.x0 >= -1 and box.x1 <= width + 1 and box.y0 >= -1 and box.y1 <= height + 1 for box in labels)


def test_without_a_promise_the_test_score_stands_alone():
    found = verify_test_set(Ridge().fit(X[:200], Y[:200]), X[200:], Y[200:], n_resamples=100)
    (scores,) = VerificationDisplay(found).plot().axes_
    assert scores.lines[1].get_xdata()[0] == found.test_score


def test_axes_of_one_s_own_are_drawn_on():
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 5))
    display = VerificationDisplay(verify_test_set(searched(), X[200:], Y[200:], n_resamples=100))
    assert display.plot(left) is display
    assert (display.ax_, display.figure_) == (left, figure)
    assert not right.child_axes


def test_a_score_s_name_is_shown_as_it_is():
    def cost_in_dollars(model, X, y):
        return float(model.score(X, y))

    cost_in_dollars.__name__ = "$\\frac$ <b>"
    y = (Y > 0).astype(int)
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, scoring=cost_in_dollars).fit(X[:200], y[:200])
    display = VerificationDisplay.from_estimator(search, X[200:], y[200:], n_resamples=100)
    display.figure_.canvas.draw()
    assert display.axes_[0].get_xlabel() == "$\\frac$ <b>"


def test_a_verdict_of_overfitting_is_marked():
    y = np.r_[Y[:200], RNG.permutation(Y[200:])]
    ordinary, marked = (
        VerificationDisplay.from_estimator(searched(), X[200:], target[200:], n_resamples=100) for target in (Y, y)
    )
    assert marked.verification.verdict == "validation overfitted"
    assert ordinary.axes_[1].lines[1].get_color() != marked.axes_[1].lines[1].get_color()


@pytest.mark.parametrize("columns", [2, 3])
def test_narrow_axes_keep_their_texts_to_themselves(columns):
    figure, axes = plt.subplots(1, columns, figsize=(7, 4), layout="constrained")
    model = StepwiseRegressor(max_epochs=2, n_estimators=2, learning_rate=0.01, random_state=0).fit(X[:200], Y[:200])
    display = VerificationDisplay(verify_test_set(model, X[200:], Y[200:], n_resamples=100)).plot(axes[0])
    figure.canvas.draw()
    boxes = [text.get_window_extent() for ax in (display.ax_, *display.axes_) for text in texts(ax)]
    assert len(boxes) >= 6
    beside = axes[1].get_window_extent().x0
    assert all(box.x0 >= -1 and box.x1 < beside for box in boxes)


def test_a_second_look_names_the_line_of_the_user():
    search = searched()
    VerificationDisplay.from_estimator(search, X[200:], Y[200:], n_resamples=100)
    with pytest.warns(StepwiseWarning, match="2nd time") as caught:
        VerificationDisplay.from_estimator(search, X[200:], Y[200:], n_resamples=100)
    with pytest.warns(StepwiseWarning, match="3rd time") as again:
        verify_test_set(search, X[200:], Y[200:], n_resamples=100)
    assert [warned[0].filename for warned in (caught, again)] == [__file__, __file__]


@pytest.mark.parametrize(("scale", "shown"), [(1e6, "e+12"), (1e-4, "e-08")])
def test_tiny_and_huge_scores_are_shown_with_three_digits(scale, shown):
    search = GridSearchCV(Ridge(), {"alpha": [1.0]}, scoring="neg_mean_squared_error").fit(X[:200], scale * Y[:200])
    display = VerificationDisplay.from_estimator(search, X[200:], scale * Y[200:], n_resamples=100)
    words = [text.get_text() for ax in display.axes_ for text in ax.texts]
    assert all(shown[:2] in word for word in words)
    assert any(shown in word for word in words)
