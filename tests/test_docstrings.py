"""Docstrings of all public names, by numpydoc's own validator."""

import inspect

import pytest

import sk_dlsteps

validate = pytest.importorskip("numpydoc.validate")

# What our docstrings do otherwise, on purpose.
IGNORED = {
    "GL02": "quotes close on a line of their own after a blank one",
    "GL03": "the same blank line",
    "ES01": "a summary that says it all needs no more words",
    "SA01": "a section See Also stands where somebody would look for something else",
    "EX01": "the example of a method stands with its class",
    "RT02": "a value that is returned has a name",
}
# Values that are returned describe their fields under Attributes, as nobody makes them.
VALUES = {"Verification"}


def public_names():
    """Dotted names of what users import, and of the methods and properties that are ours."""
    for name in sk_dlsteps.__all__:
        yield name
        owner = getattr(sk_dlsteps, name)
        for attribute in dir(owner) if inspect.isclass(owner) else ():
            given = inspect.getattr_static(owner, attribute)
            own = getattr(given, "fget", None) or getattr(owner, attribute, None)
            is_ours = str(getattr(own, "__module__", "")).startswith("sk_dlsteps")
            if is_ours and inspect.isroutine(own) and not attribute.startswith("_"):
                yield f"{name}.{attribute}"


@pytest.mark.parametrize("name", [*public_names()])
def test_numpydoc_finds_nothing_wrong(name):
    ignored = {*IGNORED, "PR01"} if name in VALUES else {*IGNORED}
    errors = validate.validate(f"sk_dlsteps.{name}")["errors"]
    assert [error for error in errors if error[0] not in ignored] == []


def test_every_exception_is_still_needed():
    found = {code for name in public_names() for code, _ in validate.validate(f"sk_dlsteps.{name}")["errors"]}
    assert IGNORED.keys() <= found


def test_methods_and_properties_are_among_the_names():
    assert {"StepwiseRegressor.predict", "StepwiseSearchCV.fit", "Report.of"} <= {*public_names()}
