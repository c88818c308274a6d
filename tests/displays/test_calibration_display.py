import numpy as np
import pytest
from sklearn import calibration
from sklearn.datasets import load_iris, make_classification, make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_dlsteps import CalibrationDisplay, StepwiseClassifier, StepwiseRegressor

X, y = make_classification(300, flip_y=0.2, random_state=0)
NAMES = np.array(["a$b", "<b>$^\n|"], dtype=object)[y]
QUICK = {"n_estimators": 3, "max_epochs": 4, "learning_rate": 0.01, "random_state": 0}


@pytest.fixture(scope="module")
def model():
    return StepwiseClassifier(**QUICK).fit(X, y)


@pytest.fixture(scope="module")
def iris_model():
    return StepwiseClassifier(**QUICK).fit(*load_iris(return_X_y=True))


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_without_rows_the_curve_is_that_of_the_held_out_predictions(model, ax):
    display = CalibrationDisplay.from_estimator(model, y=y, ax=ax)
    expected = calibration.calibration_curve(y, model.oof_prediction_[:, 1], n_bins=10, strategy="quantile")
    np.testing.assert_array_equal(display.line_.get_ydata(), expected[0])
    np.testing.assert_array_equal(display.line_.get_xdata(), expected[1])
    assert "StepwiseClassifier, held-out rows" in labels(ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure


def test_with_rows_it_is_scikit_learns(model, ax):
    ours = CalibrationDisplay.from_estimator(model, X, y, n_bins=5, strategy="uniform", ax=ax)
    other = ax.figure.add_subplot()
    theirs = calibration.CalibrationDisplay.from_estimator(model, X, y, ax=other)
    np.testing.assert_array_equal(ours.prob_true, theirs.prob_true)
    np.testing.assert_array_equal(ours.prob_pred, theirs.prob_pred)
    np.testing.assert_array_equal(ours.y_prob, theirs.y_prob)


def test_estimators_of_others_are_drawn_on_rows(ax):
    model = LogisticRegression().fit(X, y)
    display = CalibrationDisplay.from_estimator(model, X, y, ax=ax)
    np.testing.assert_array_equal(display.y_prob, model.predict_proba(X)[:, 1])
    assert "LogisticRegression" in labels(ax)


def test_the_positive_class_may_be_chosen_and_called_anything(ax):
    model = StepwiseClassifier(**QUICK).fit(X, NAMES)
    display = CalibrationDisplay.from_estimator(model, y=NAMES, pos_label="a$b", ax=ax)
    ax.figure.canvas.draw()
    column = list(model.classes_).index("a$b")
    np.testing.assert_array_equal(display.y_prob, model.oof_prediction_[:, column])
    assert ax.get_xlabel() == "Mean probability of class a$b"
    other = ax.figure.add_subplot()
    CalibrationDisplay.from_estimator(model, y=NAMES, pos_label=NAMES[y == 1][0], ax=other)
    ax.figure.canvas.draw()
    assert other.get_xlabel() == "Mean probability of class <b>$^ |"


def test_of_several_classes_the_most_likely_one_is_right_as_often_as_it_says(iris_model, ax):
    target = load_iris(return_X_y=True)[1]
    display = CalibrationDisplay.from_estimator(iris_model, y=target, n_bins=4, ax=ax)
    oof = iris_model.oof_prediction_
    expected = calibration.calibration_curve(oof.argmax(1) == target, oof.max(1), n_bins=4, strategy="quantile")
    np.testing.assert_array_equal(display.prob_true, expected[0])
    assert ax.get_xlabel() == "Mean probability of the most likely class"


def test_of_several_classes_one_may_be_drawn_against_the_rest(iris_model, ax):
    target = load_iris(return_X_y=True)[1]
    display = CalibrationDisplay.from_estimator(iris_model, y=target, pos_label=2, n_bins=4, ax=ax)
    expected = calibration.calibration_curve(
        target == 2, iris_model.oof_prediction_[:, 2], n_bins=4, strategy="quantile"
    )
    np.testing.assert_array_equal(display.prob_true, expected[0])


def test_rows_with_several_labels_are_drawn_label_by_label_together(ax):
    rows, several = make_multilabel_classification(100, n_classes=3, random_state=0)
    model = StepwiseClassifier(**QUICK).fit(rows, several)
    display = CalibrationDisplay.from_estimator(model, y=several, ax=ax)
    np.testing.assert_array_equal(display.y_prob, model.oof_prediction_.ravel())
    with pytest.raises(ValueError, match=r"`pos_label` must be None where rows have several labels, got 1"):
        CalibrationDisplay.from_estimator(model, y=several, pos_label=1)


def test_rows_that_nobody_held_out_are_left_out(ax):
    model = StepwiseClassifier(**{**QUICK, "n_estimators": 1}).fit(X, y)
    held_out = ~np.isnan(model.oof_prediction_[:, 0])
    assert 0 < held_out.sum() < len(y)
    display = CalibrationDisplay.from_estimator(model, y=y, ax=ax)
    np.testing.assert_array_equal(display.y_prob, model.oof_prediction_[held_out, 1])


def test_several_curves_share_axes_one_diagonal_and_their_names(model, ax):
    CalibrationDisplay.from_estimator(model, y=y, name="one", ax=ax)
    second = CalibrationDisplay.from_estimator(model, X, y, name="two", color="red", ax=ax)
    assert labels(ax) == ["Perfectly calibrated", "one", "two"]
    assert second.line_.get_color() == "red"


def test_the_model_is_found_in_a_pipeline(model, ax):
    display = CalibrationDisplay.from_estimator(make_pipeline(StandardScaler(), model), y=y, ax=ax)
    np.testing.assert_array_equal(display.y_prob, model.oof_prediction_[:, 1])


def test_what_cannot_be_drawn_is_refused_with_a_way_out(model):
    draw = CalibrationDisplay.from_estimator
    with pytest.raises(ValueError, match="`y` is missing"):
        draw(model, X)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        draw(model, y=y[:-1])
    with pytest.raises(ValueError, match=r"`pos_label` must be one of the classes \[.*\], got 7"):
        draw(model, y=y, pos_label=7)
    without = StepwiseClassifier(**QUICK, early_stopping=False).fit(X, y)
    with pytest.raises(ValueError, match=r"without held-out rows.*give `X` and `y`"):
        draw(without, y=y)
    with pytest.raises(ValueError, match="must be a classifier to have probabilities, got StepwiseRegressor"):
        draw(StepwiseRegressor(**QUICK).fit(X, y), y=y)
    with pytest.raises(ValueError, match="to show its held-out rows; got LogisticRegression"):
        draw(LogisticRegression().fit(X, y), y=y)
    with pytest.raises(NotFittedError):
        draw(StepwiseClassifier(), y=y)
