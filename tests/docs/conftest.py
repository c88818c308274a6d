"""The scripts of the documentation as modules."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="session")
def script():
    """What a script of the documentation defines, by its path there."""

    def script(path):
        spec = importlib.util.spec_from_file_location(f"docs_{Path(path).stem}", DOCS / path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return script
