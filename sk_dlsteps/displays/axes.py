"""Where pictures are drawn, and in which colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What a picture is about, what it is compared with, what is marked, and what stands behind: told apart by those who
# see few colours, and to be seen on white and on black.
COLOURS = {"main": "#2f7fc1", "other": "#7a8290", "mark": "#d1495b", "faint": "#8fb3d1"}
MAIN, OTHER, MARK, FAINT = COLOURS.values()
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
