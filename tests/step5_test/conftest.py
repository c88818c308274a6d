"""Test sets that nobody has looked at."""

import pytest

from sk_dlsteps.step5_test.looks import forget_looks


@pytest.fixture(autouse=True)
def unseen():
    """Each test has its own looks."""
    forget_looks()
    yield
    forget_looks()
