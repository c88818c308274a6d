"""Ctrl-C that waits for a moment at which nothing is half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupt:
    """Whether somebody has pressed Ctrl-C."""

    asked = False

    def check(self) -> None:
        """Raise `Interrupted` if so: called where everything may be left."""
        if self.asked:
            raise Interrupted

    def note(self, number: int, frame: object) -> None:
        """What the first Ctrl-C does; a second one is a KeyboardInterrupt at once."""
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Interrupted(KeyboardInterrupt):
    """Somebody pressed Ctrl-C, and nothing is half done."""


@contextmanager
def deferred_interrupt(defer: bool) -> Iterator[Interrupt]:
    """Let the block look for a first Ctrl-C itself; without `defer` it is a KeyboardInterrupt, as the second one is.

    Python tells its main thread only, and a handler that is not Python's own has its reasons: elsewhere and with
    such a one nothing is deferred.
    """
    interrupt = Interrupt()
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not defer or not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupt
        return
    signal.signal(signal.SIGINT, interrupt.note)
    try:
        yield interrupt
    finally:
        if signal.getsignal(signal.SIGINT) == interrupt.note:
            signal.signal(signal.SIGINT, signal.default_int_handler)
