"""Nearest neighbours by the pixels of digits and by learnt embeddings: of classes that were seen, and of new ones.

    python docs/benchmarks/metric_learning.py

Seen: 80 % of the digits train the embedding and are the neighbours of the other 20 %, over 5 splits; beside
it, accuracy by the nearest centre. One-shot: the embedding learns the digits 0 to 4, and each of 5 to 9 is known from
a single example, over 20 draws of it; the fits have another seed for each draw. "pixels" are raw, "scaled" are
standardised as networks see them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sk_dlsteps import StepwiseClassifier

N_SPLITS, N_DRAWS = 5, 20
Maker = Callable[[int], object]
EMBEDDINGS: dict[str, Maker] = {
    "pixels": lambda seed: FunctionTransformer(),
    "scaled": lambda seed: StandardScaler(),
    "triplet": lambda seed: StepwiseClassifier(loss="triplet", random_state=seed),
    "contrastive": lambda seed: StepwiseClassifier(loss="contrastive", random_state=seed),
}


def nearest(train: np.ndarray, y_train: np.ndarray, test: np.ndarray, y_test: np.ndarray) -> float:
    """Accuracy of the nearest neighbour."""
    return float(KNeighborsClassifier(n_neighbors=1).fit(train, y_train).score(test, y_test))


def seen_classes(make: Maker, X: np.ndarray, y: np.ndarray) -> str:
    """Accuracies on new rows of known classes, by the nearest neighbour and by the nearest centre, and seconds."""
    scores, centers, seconds = [], [], []
    for seed in range(N_SPLITS):
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=seed, stratify=y)
        model, start = make(seed), time.perf_counter()
        embedded = model.fit_transform(X_train, y_train)
        seconds.append(time.perf_counter() - start)
        scores.append(nearest(embedded, y_train, model.transform(X_test), y_test))
        if hasattr(model, "predict"):
            centers.append(model.score(X_test, y_test))
    by_center = f"{np.mean(centers):.4f}" if centers else "     -"
    return f"{np.mean(scores):.4f} +- {np.std(scores, ddof=1):.4f}  {by_center}  {np.mean(seconds):5.1f} s"


def new_classes(make: Maker, X: np.ndarray, y: np.ndarray) -> str:
    """Accuracy on classes of which only one example each is known."""
    scores, known, labels = [], y < 5, y[y >= 5]
    for seed in range(N_DRAWS):
        embedded = make(seed).fit(X[known], y[known]).transform(X[~known])
        rng = np.random.default_rng(seed)
        examples = np.array([rng.choice(np.flatnonzero(labels == label)) for label in range(5, 10)])
        rest = np.setdiff1d(np.arange(len(labels)), examples)
        scores.append(nearest(embedded[examples], labels[examples], embedded[rest], labels[rest]))
    return f"{np.mean(scores):.3f} +- {np.std(scores, ddof=1):.3f}"


if __name__ == "__main__":
    X, y = load_digits(return_X_y=True)
    print(f"{'':12} {'seen, 1-NN':17}  centre  seconds   one-shot")
    for name, make in EMBEDDINGS.items():
        print(f"{name:12} {seen_classes(make, X, y)}   {new_classes(make, X, y)}", flush=True)
