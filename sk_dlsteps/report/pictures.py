"""Which pictures belong to what a report holds, and a picture as SVG within a page."""

from __future__ import annotations

import io
import re
import warnings
from functools import singledispatch
from html import escape
from typing import Any

from sk_dlsteps.displays.axes import COLOURS
from sk_dlsteps.displays.drift import DriftDisplay
from sk_dlsteps.displays.drift_timeline import DriftTimelineDisplay
from sk_dlsteps.displays.gradient_flow import GradientFlowDisplay
from sk_dlsteps.displays.learning_curve import LearningCurveDisplay
from sk_dlsteps.displays.learning_rate import LearningRateDisplay
from sk_dlsteps.displays.loss_curve import LossCurveDisplay
from sk_dlsteps.displays.search import SearchDisplay
from sk_dlsteps.displays.verification import VerificationDisplay
from sk_dlsteps.fitted import Fitted
from sk_dlsteps.report.outline import PICTURE_WIDTH, Picture
from sk_dlsteps.step4_validation.learning_curve import LearningCurve
from sk_dlsteps.step5_test.verification import Verification
from sk_dlsteps.step6_real_world.drift_report import DriftReport
from sk_dlsteps.step6_real_world.timeline import DriftTimeline


@singledispatch
def pictures_of(part: Any) -> list[Picture]:
    """Pictures of a part of a report.

    Parameters
    ----------
    part : object
        Something with records, or a `Fitted` model.

    Returns
    -------
    pictures : list of Picture
        None for most parts.

    """
    return []


@pictures_of.register
def _(fitted: Fitted) -> list[Picture]:
    model, pictures = fitted.model, []
    if model.lr_curve_ is not None:
        alt = (
            "Minibatch loss against learning rate, of fresh networks that took one step at each of a series of rising "
            f"rates; {model.lr_curve_.learning_rate:.2g} was chosen."
        )
        pictures.append(Picture(3, "The learning-rate finder", alt, LearningRateDisplay(model.lr_curve_).plot))
    alt = f"Training and validation losses of {model.plan_.n_networks} networks over {model.n_iter_} epochs."
    pictures.append(Picture(3, "The losses", alt, lambda ax: LossCurveDisplay.from_estimator(model, ax=ax)))
    if any(name.startswith("gradient_norm") for row in model.history_ for name in row):
        alt = f"Norm of each layer's gradient over {model.n_iter_} epochs."
        draw = GradientFlowDisplay.from_estimator
        pictures.append(Picture(3, "The gradients", alt, lambda ax: draw(model, ax=ax)))
    if fitted.search is not None:
        search, n = fitted.search, len(fitted.search.cv_results_["params"])
        alt = f"Validation scores of the {n} candidates of the search, the best of them marked."
        height = max(4.0, 1.6 + 0.32 * len(search.ladder_)) if hasattr(search, "ladder_") else 4.0
        pictures.append(
            Picture(4, "The search", alt, lambda ax: SearchDisplay.from_estimator(search, ax=ax), height=height)
        )
    return pictures


@pictures_of.register
def _(curve: LearningCurve) -> list[Picture]:
    alt = (
        f"Training and validation {curve.score_name} at {curve.train_sizes[0]} to {curve.train_sizes[-1]} training "
        f"rows: {curve.record.decision}."
    )
    return [Picture(4, "The learning curve", alt, LearningCurveDisplay(curve).plot)]


@pictures_of.register
def _(verification: Verification) -> list[Picture]:
    if verification.gap is None:
        return []
    alt = (
        f"Validation and test {verification.score_name} with their intervals, and the gap between them with its own: "
        f"{verification.verdict}."
    )
    return [Picture(5, "What validation promised, and the test set", alt, VerificationDisplay(verification).plot)]


@pictures_of.register
def _(report: DriftReport) -> list[Picture]:
    display = DriftDisplay(report)
    alt = f"Distributions of the {len(display.columns)} columns that drifted most, training rows against new rows."
    height = 1.2 + 0.75 * len(display.columns)
    return [Picture(6, "Training rows against new rows", alt, display.plot, height=height)]


@pictures_of.register
def _(timeline: DriftTimeline) -> list[Picture]:
    n = len(timeline.table)
    alt = f"How unlikely each of {n} batches is if nothing has drifted; {len(timeline.alarms)} of them drifted."
    return [Picture(6, "Batches over time", alt, DriftTimelineDisplay(timeline).plot)]


def as_svg(picture: Picture, prefix: str) -> str | None:
    """Draw a picture as an SVG element in the colours of the page around it.

    Parameters
    ----------
    picture : Picture
        What to draw.
    prefix : str
        Begins the ids in it, which must be others than those of other pictures.

    Returns
    -------
    svg : str or None
        None if matplotlib is missing.

    """
    try:
        import matplotlib.style
        from matplotlib.figure import Figure
    except ImportError:
        return None
    # Text stays text; the same picture gives the same file.
    own = {"svg.fonttype": "none", "svg.hashsalt": "sk_dlsteps", "font.family": "sans-serif"}
    with matplotlib.style.context(["default", own]), warnings.catch_warnings():
        # The page's own fonts have what matplotlib's lack.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=(PICTURE_WIDTH, picture.height), layout="constrained")
        picture.draw(figure.subplots())
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _embedded(file.getvalue(), picture.alt, prefix)


def _embedded(svg: str, alt: str, prefix: str) -> str:
    """The element alone, with a text for those who do not see it, in the colours of its page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg))
    # In tags only: a name in the picture may look like an id.
    svg = re.sub(r"<[a-z][^<>]*>", lambda tag: _own_ids(tag[0], used, prefix), svg)
    # Black and white are the ink and the paper of the page, which may have shades of the other colours, too.
    svg = re.sub(r"#000000\b", "currentColor", svg)
    svg = re.sub(r"#ffffff\b", "var(--paper)", svg)
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(alt, quote=True)}" ', 1).strip()


def _own_ids(tag: str, used: set[str], prefix: str) -> str:
    """A tag whose id is the picture's own, if anything refers to it."""
    tag = re.sub(r' id="([^"]*)"', lambda found: f' id="{prefix}{found[1]}"' if found[1] in used else "", tag)
    return re.sub(r"(url\(#|href=\"#)", rf"\g<1>{prefix}", tag)
