"""Where pictures are drawn, and in which colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

# What a picture is about, what it is compared with, what is marked, and what stands behind: told apart by those who
# see few colours, and to be seen on white and on black.
COLOURS = {"main": "#2f7fc1", "other": "#7a8290", "mark": "#d1495b", "faint": "#8fb3d1"}
MAIN, OTHER, MARK, FAINT = COLOURS.values()
# Inches from which on a legend has three columns.
_WIDE = 4.5
# Behind a label that stands on lines.
PLATE = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}


def axes_to_draw_on(ax: Axes | None = None, height: float = 4.3) -> Axes:
    """Take the axes given, or make a figure.

    Parameters
    ----------
    ax : matplotlib Axes, default=None
        Returned as they are.
    height : float, default=4.3
        Of a new figure in inches; its width is 7.

    Returns
    -------
    ax : matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is missing.

    """
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('The plot needs matplotlib: pip install "sk_dlsteps[plot]"') from error
    return plt.subplots(figsize=(7, height), layout="constrained")[1]


def width_of(ax: Axes) -> float:
    """Width in inches, as far as it is known before the figure is drawn."""
    return float(ax.get_window_extent().width / ax.figure.dpi)


def legend_below(ax: Axes, ticks: float = 1.0) -> None:
    """Put the legend where it hides no data: under the axis, whose ticks are so many characters high, and its label."""
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(
        handles,
        labels,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        # In font sizes of the legend: beside the labels of ticks there is that of the axis.
        borderaxespad=3.2 + ticks,
        ncols=min(len(labels), 3 if width_of(ax) > _WIDE else 2),
        frameon=False,
        fontsize="small",
        columnspacing=1.2,
        handlelength=1.6,
    )


def label_in_numbers(axis: Axis) -> None:
    """Let a logarithmic axis have a few ticks in each decade, with plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def shortened(name: str, most: int) -> str:
    """Cut a name to one line of a few letters.

    Parameters
    ----------
    name : str
        Of anything.
    most : int
        Letters.

    """
    text = " ".join(name.split())
    return text if len(text) <= most else f"{text[: most - 3]}..."
