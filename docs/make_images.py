"""Draw the pictures of the documentation: ``python docs/make_images.py``."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.model_selection import train_test_split

from sk_dlsteps import (
    DriftDetector,
    DriftDisplay,
    DriftTimelineDisplay,
    LearningCurveDisplay,
    LearningRateDisplay,
    StepwiseClassifier,
    learning_curve,
)


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
    for draw in (draw_learning_rate, draw_learning_curve, draw_drift, draw_drift_timeline):
        print(draw(folder))
