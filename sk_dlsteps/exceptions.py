"""The package's own warning, and whom it is for."""

import inspect


class StepwiseWarning(UserWarning):
    """Something went differently from what was asked; the text says what to do.

    Filter it like any other warning, for example
    ``warnings.simplefilter("error", sk_dlsteps.StepwiseWarning)``.
    """


def level_of_the_caller() -> int:
    """The `stacklevel` of a warning that points at the line which called this package, whoever stands in between."""
    package, level, last, frame = __name__.partition(".")[0], 0, 0, inspect.currentframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] == package:
            last = level
        level, frame = level + 1, frame.f_back
    return last + 1
