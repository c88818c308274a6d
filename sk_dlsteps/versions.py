"""Versions of the packages that a model was made with, and those that are here."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from sk_dlsteps.exceptions import StepwiseWarning, level_of_the_caller

PACKAGES = ("sk_dlsteps", "scikit-learn", "skorch", "torch", "numpy")


def versions() -> dict[str, str]:
    """Version of each of the packages that a model depends on; none of one that only lies on the path."""
    return dict(_found())


@cache
def _found() -> tuple[tuple[str, str], ...]:
    """Pairs of a package and its version, without what only tells how it was built."""
    found = []
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found.append((name, version(name).partition("+")[0]))
    return tuple(found)


def check_versions(written: Mapping[str, str], how: str) -> None:
    """Warn if a model was written with other versions than those that are here.

    Parameters
    ----------
    written : dict
        Versions by package.
    how : str
        What was done to the model, for the warning.

    Warns
    -----
    StepwiseWarning
        If a version is another one.

    """
    here = _found()
    other = [f"{name} {_shown(written[name])} (here {own})" for name, own in here if written.get(name, own) != own]
    if other:
        warnings.warn(
            f"The model was {how} with {', '.join(other)}. It may predict something else, or fail; install those "
            "versions, or check its predictions on rows with known ones and write it anew.",
            StepwiseWarning,
            stacklevel=level_of_the_caller(),
        )


def _shown(version: str) -> str:
    """A version as it is; what is none, in short and without control characters."""
    return version if re.fullmatch(r"[\w.+!-]{1,40}", version, re.ASCII) else ascii(version[:40])
