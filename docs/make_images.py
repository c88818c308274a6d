"""Draw the pictures of the documentation: ``python docs/make_images.py``."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, make_classification
from sklearn.model_selection import train_test_split

from sk_dlsteps import (
    CalibrationDisplay,
    DriftDetector,
    DriftDisplay,
    DriftTimelineDisplay,
    GradientFlowDisplay,
    LearningCurveDisplay,
    LearningRateDisplay,
    LossCurveDisplay,
    SearchDisplay,
    StepwiseClassifier,
    StepwiseRegressor,
    StepwiseSearchCV,
    StepwiseWarning,
    VerificationDisplay,
    learning_curve,
    verify_test_set,
)
from sk_dlsteps.displays.axes import MAIN, MARK


def draw_learning_rate(folder: Path) -> Path:
    """Draw the curve from which the model of the README chose its learning rate."""
    X, y = load_breast_cancer(return_X_y=True)
    X_train, _, y_train, _ = train_test_split(X, y, random_state=0)
    model = StepwiseClassifier(random_state=0).fit(X_train, y_train)
    return _save(folder / "learning_rate.svg", lambda ax: LearningRateDisplay.from_estimator(model, ax=ax))


def draw_learning_curve(folder: Path) -> Path:
    """Draw the learning curve of the page on step 4."""
    X, y = load_digits(return_X_y=True)
    model = StepwiseClassifier(n_estimators=1, max_epochs=10, learning_rate=0.01, random_state=0)
    curve = learning_curve(model, X, y, random_state=0)
    return _save(folder / "learning_curve.svg", LearningCurveDisplay(curve).plot)


def draw_loss_curve(folder: Path) -> Path:
    """Draw the training of the gallery's regressor."""
    model = StepwiseRegressor(random_state=0).fit(*load_diabetes(return_X_y=True))
    return _save(folder / "loss_curve.svg", LossCurveDisplay(model.history_, model.loss_curves_, "squared error").plot)


def draw_gradient_flow(folder: Path) -> Path:
    """Draw the gradients of the gallery's deep network."""
    settings = {"n_hidden_layers": 5, "hidden_units": 32, "learning_rate": 0.003, "max_epochs": 32, "n_estimators": 2}
    model = StepwiseClassifier(**settings, random_state=0).fit(*_digits())
    return _save(folder / "gradient_flow.svg", GradientFlowDisplay(model.history_).plot)


def draw_search_ladder(folder: Path) -> Path:
    """Draw the gallery's ladder."""
    model = StepwiseClassifier(n_estimators=1, max_epochs=10, learning_rate=0.002, random_state=0)
    search = StepwiseSearchCV(model, n_iter=18, cv=3, scoring="neg_log_loss", random_state=0).fit(*_digits())
    return _save(folder / "search_ladder.svg", lambda ax: SearchDisplay.from_estimator(search, ax=ax))


def draw_search_random(folder: Path) -> Path:
    """Draw the gallery's random search, candidate by candidate."""
    search = _random_search()
    return _save(folder / "search_random.svg", lambda ax: SearchDisplay.from_estimator(search, ax=ax))


def draw_search_parameter(folder: Path) -> Path:
    """Draw the same against the learning rate."""
    search, name = _random_search(), "learning_rate"
    return _save(
        folder / "search_parameter.svg", lambda ax: SearchDisplay.from_estimator(search, parameter=name, ax=ax)
    )


def draw_calibration(folder: Path) -> Path:
    """Draw the gallery's probabilities, as they are and calibrated."""
    X, y = make_classification(1000, 100, n_informative=20, flip_y=0.1, random_state=0)
    few = {"n_estimators": 3, "max_epochs": 20, "random_state": 0}
    models = {
        name: StepwiseClassifier(calibrate=calibrate, **few).fit(X, y)
        for name, calibrate in (("as it is", False), ("calibrate=True", True))
    }

    def draw(ax: Axes) -> None:
        for (name, model), colour in zip(models.items(), (MAIN, MARK), strict=True):
            CalibrationDisplay.from_estimator(model, y=y, name=name, color=colour, ax=ax)

    return _save(folder / "calibration.svg", draw)


def draw_verification(folder: Path) -> Path:
    """Draw the gallery's test set."""
    X, y = make_classification(1000, 100, n_informative=20, flip_y=0.1, random_state=0)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    model = StepwiseClassifier(n_estimators=3, max_epochs=20, random_state=0).fit(X_train, y_train)
    with warnings.catch_warnings():
        # Drawn again, it is looked at again.
        warnings.simplefilter("ignore", StepwiseWarning)
        verification = verify_test_set(model, X_test, y_test)
    return _save(folder / "verification.svg", VerificationDisplay(verification).plot)


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """The first 600 digits."""
    X, y = load_digits(return_X_y=True)
    return X[:600], y[:600]


def _random_search() -> StepwiseSearchCV:
    """The gallery's random search."""
    space = {"learning_rate": [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3], "hidden_units": [16, 64, 256]}
    model = StepwiseClassifier(n_estimators=1, max_epochs=10, random_state=0)
    settings = {"strategy": "random", "n_iter": 16, "cv": 3, "scoring": "neg_log_loss", "random_state": 0}
    return StepwiseSearchCV(model, space, **settings).fit(*_digits())


def draw_drift(folder: Path) -> Path:
    """Draw the columns of the page on step 6."""
    X, _ = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    X_new = X[300:].assign(bmi=X["bmi"] + 2)
    report = DriftDetector().fit(X[:300]).check(X_new)
    return _save(folder / "drift.svg", DriftDisplay(report, n_columns=5).plot)


def draw_drift_timeline(folder: Path) -> Path:
    """Draw the stream of the page on step 6."""
    rng = np.random.default_rng(0)
    detector = DriftDetector().fit(rng.normal(size=(1000, 5)))
    shifts = [0.0] * 10 + [0.1, 0.2, 0.3, 0.4, 0.5]
    timeline = detector.check_batches(rng.normal([shift, 0, 0, 0, 0], 1, size=(200, 5)) for shift in shifts)
    return _save(folder / "drift_timeline.svg", DriftTimelineDisplay(timeline).plot)


def _save(path: Path, draw: Callable[[Axes], object]) -> Path:
    """A picture as SVG; the same picture gives the same file, as the salt is fixed and there is no date."""
    with mpl.rc_context({"svg.hashsalt": "sk_dlsteps"}):
        figure = Figure(figsize=(7, 4.3), layout="constrained")
        draw(figure.subplots())
        figure.savefig(path, metadata={"Date": None})
    path.write_text("".join(_tidy(line) for line in path.read_text().splitlines()))
    return path


def _tidy(line: str) -> str:
    """A line without spaces at its end; points of a path to a hundredth of a pixel."""
    line = line.rstrip()
    if line[:2] in ("M ", "L "):
        line = re.sub(r"(\.\d\d)\d+", r"\1", line)
    return line + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "images")
    drawings = (
        draw_learning_rate,
        draw_learning_curve,
        draw_loss_curve,
        draw_gradient_flow,
        draw_search_ladder,
        draw_search_random,
        draw_search_parameter,
        draw_calibration,
        draw_drift,
        draw_drift_timeline,
        draw_verification,
    )
    for draw in drawings:
        print(draw(folder))
