"""Data sets that come with scikit-learn, and one thread for everybody."""

import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.model_selection import train_test_split

torch.set_num_threads(1)


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
