"""Draw the pictures of the documentation: ``python docs/make_images.py``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from sk_dlsteps import LearningRateDisplay, StepwiseClassifier


def draw_learning_rate(folder: Path) -> Path:
    """Draw the curve from which the model of the README chose its learning rate."""
    X, y = load_breast_cancer(return_X_y=True)
    X_train, _, y_train, _ = train_test_split(X, y, random_state=0)
    model = StepwiseClassifier(random_state=0).fit(X_train, y_train)
    path = folder / "learning_rate.svg"
    # A fixed salt and no date: the same curve gives the same file.
    with mpl.rc_context({"svg.hashsalt": "sk_dlsteps"}):
        figure = Figure(figsize=(7, 4.3), layout="constrained")
        LearningRateDisplay.from_estimator(model, ax=figure.subplots())
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
    print(draw_learning_rate(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "images")))
