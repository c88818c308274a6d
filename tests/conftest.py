"""Data sets of scikit-learn's, a browser, one thread and patience for everybody, and a torchvision that imports."""

import contextlib
import os
import shutil
import sys
import warnings

# Before anything that reads it is imported: scikit-learn's trees would wait for threads of the other test process.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import HealthCheck, settings
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.model_selection import train_test_split

torch.set_num_threads(1)
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# How long an example takes says something of the machine, nothing of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure(config):
    """Let `--no-cov` work with the marker `no_cover`, which pytest-cov looks at even when it counts nothing."""
    if getattr(config.option, "no_cov", False):
        config.pluginmanager.unregister(name="_cov")


def import_torchvision():
    """Import torchvision, also where its own operators do not load beside a torch without CUDA.

    Its Python code then asks for two operators that nobody defined; the networks and transforms use neither.
    """
    with warnings.catch_warnings(), contextlib.suppress(ImportError):
        warnings.simplefilter("ignore")
        try:
            import torchvision
        except RuntimeError:
            for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
                del sys.modules[name]
            for name in ("nms", "qnms"):
                torch.library.define(
                    f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                )
            import torchvision  # noqa: F401


import_torchvision()


@pytest.fixture(scope="session")
def diabetes():
    """442 rows, 10 columns, a number to predict: X_train, X_test, y_train, y_test."""
    return train_test_split(*load_diabetes(return_X_y=True), random_state=1)


@pytest.fixture(scope="session")
def iris():
    """150 rows, 4 columns, 3 classes: X_train, X_test, y_train, y_test."""
    X, y = load_iris(return_X_y=True)
    return train_test_split(X, y, stratify=y, random_state=0)


@pytest.fixture(scope="session")
def cancer():
    """569 rows, 30 columns, 2 classes: X_train, X_test, y_train, y_test."""
    X, y = load_breast_cancer(return_X_y=True)
    return train_test_split(X, y, stratify=y, random_state=0)


@pytest.fixture(scope="session")
def browser():
    """A browser without a window."""
    if BROWSER is None:
        if os.environ.get("CI"):
            pytest.fail("no browser was found: install chromium")
        pytest.skip("no browser was found: install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        launched = p.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield launched
        launched.close()
