"""What is going on, on one line of a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

from skorch.callbacks import Callback

# Seconds between two updates of a terminal's line, and between two lines of a log.
_TERMINAL, _LOG = 0.1, 5.0


class Progress(Callback):
    """A skorch callback that shows the epoch on standard error.

    On a terminal it rewrites one line; elsewhere it writes a line every few seconds.
    It hears of epochs only: listening to batches would slow training down.

    Parameters
    ----------
    name : str, default=""
        What is being trained.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_dlsteps import StepwiseRegressor
    >>> from sk_dlsteps.report.progress import Progress
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = StepwiseRegressor(callbacks=[Progress("diabetes")], random_state=0).fit(X, y)

    """

    def __init__(self, name: str = "") -> None:
        self.name = name

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Start counting the seconds."""
        self.shown_ = time.monotonic()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Show the epoch, if the last one shown is some time ago."""
        # The work is done outside of this object: a Ctrl-C that arrives in a callback's own
        # method looks to the net as if the callback wanted to end training.
        self.shown_ = _show_epoch(net, self.name, self.shown_)


def announce(words: str) -> None:
    """Say what begins: on the terminal's line, or on a line of its own.

    Parameters
    ----------
    words : str
        A few.

    """
    _write(words)


def is_due(shown: float) -> bool:
    """Whether it is time to show something new: soon on a terminal, later in a log.

    Parameters
    ----------
    shown : float
        When something was shown last, by `time.monotonic`.

    Returns
    -------
    bool

    """
    return time.monotonic() - shown >= (_TERMINAL if sys.stderr.isatty() else _LOG)


def clear() -> None:
    """Wipe the terminal's line; nothing elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def _show_epoch(net: Any, name: str, shown: float) -> float:
    """Write the epoch if it is time; when one was written last."""
    if not is_due(shown):
        return shown
    row = net.history[-1]
    losses = f"training loss {row['train_loss']:.3g}"
    if row.get("valid_loss") is not None:
        losses += f", validation loss {row['valid_loss']:.3g}"
    _write(f"{name}: epoch {row['epoch']} of at most {net.max_epochs}, {losses}".removeprefix(": "))
    return time.monotonic()


def _write(words: str) -> None:
    """Rewrite the line of a terminal, or add one to a log."""
    sys.stderr.write(f"\r\x1b[K{words} ..." if sys.stderr.isatty() else f"{words} ...\n")
    sys.stderr.flush()
