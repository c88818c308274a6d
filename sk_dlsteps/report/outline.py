"""What a report says, before it is text, Markdown or HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sk_dlsteps.plan import StepRecord
from sk_dlsteps.report.checklist import ChecklistItem

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS = {
    1: "the cost function",
    2: "the architecture",
    3: "fit the training set",
    4: "fit the validation set",
    5: "verify on a test set",
    6: "verify in the real world",
}
# Inches: as narrow as labels allow, so that they are large enough on a phone.
PICTURE_WIDTH = 6.4


@dataclass(frozen=True)
class Picture:
    """A picture that belongs to a step.

    Attributes
    ----------
    number : int
        Of the step.
    caption : str
        What it shows, for below it.
    alt : str
        What is to be seen in it, for those who do not see it.
    draw : callable
        Draws it on matplotlib Axes.
    height : float
        Of the picture in inches, whose width is `PICTURE_WIDTH`.

    """

    number: int
    caption: str
    alt: str
    draw: Callable[[Axes], Any]
    height: float = 4.0


@dataclass(frozen=True)
class Section:
    """A step of the article in a report.

    Attributes
    ----------
    number : int
        Of the step.
    records : tuple of StepRecord
        What was decided, and why.
    checklist : tuple of ChecklistItem
        What the article names for the step, and whether it was done.
    pictures : tuple of Picture
        What can be shown.

    """

    number: int
    records: tuple[StepRecord, ...]
    checklist: tuple[ChecklistItem, ...]
    pictures: tuple[Picture, ...]

    @property
    def heading(self) -> str:
        """The step's number and title."""
        return f"Step {self.number}: {STEPS[self.number]}"

    @property
    def state(self) -> str:
        """Whether the step was taken: "done" or "open"."""
        taken = any(item.state == "done" for item in self.checklist) if self.checklist else bool(self.records)
        return "done" if taken else "open"


@dataclass(frozen=True)
class Outline:
    """A report step by step.

    Attributes
    ----------
    title : str
        A heading above the steps; "" for none.
    summary : str
        What was done and what is missing; "" for nothing to say.
    sections : tuple of Section
        The steps in order.

    """

    title: str
    summary: str
    sections: tuple[Section, ...]


def outline(
    title: str, records: Sequence[StepRecord], checklist: Sequence[ChecklistItem], pictures: Sequence[Picture]
) -> Outline:
    """Sort what a report holds by steps.

    Parameters
    ----------
    title : str
        A heading above the steps; "" for none.
    records : sequence of StepRecord
        Several of a step keep their order.
    checklist : sequence of ChecklistItem
        With any of them every step has a section, else those that have records.
    pictures : sequence of Picture
        In any order.

    """

    def of_step(things: Sequence[Any], attribute: str, number: int) -> tuple[Any, ...]:
        return tuple(thing for thing in things if getattr(thing, attribute) == number)

    sections = tuple(
        Section(
            number,
            of_step(records, "number", number),
            of_step(checklist, "step", number),
            of_step(pictures, "number", number),
        )
        for number in STEPS
    )
    shown = tuple(section for section in sections if section.records or section.checklist)
    return Outline(title, _summary(shown) if checklist else "", shown)


def _summary(sections: Sequence[Section]) -> str:
    """Which steps were taken, and which are left."""
    left = [f"step {section.number}, {STEPS[section.number]}" for section in sections if section.state == "open"]
    n_open = sum(item.state == "open" for section in sections if section.state == "done" for item in section.checklist)
    n_done = sum(section.state == "done" for section in sections)
    words = [f"{n_done} of {len(sections)} steps were taken."]
    if left:
        words.append(f"Left: {'; '.join(left)}.")
    if n_open:
        words.append(
            f"Of what the article names for the steps taken, {n_open} things were not done; they are listed there."
        )
    return " ".join(words)
