"""ResNets on scikit-learn's digits: accuracy on held-out images, with and without augmentation, of all rows and few.

    python docs/benchmarks/digits.py [--module resnet18] [--seeds 3] [--shares 1.0 0.2] [--max-epochs 15]

1,797 images of 8x8 pixels in 16 grey levels. For each seed a stratified fifth is held out to test. Of the
rest a stratified share is trained on, once for each augmentation. What is left out of the settings is left to the
estimator. "mlp" is the default table model on the same rows.
"""

import argparse
import itertools
import time
import warnings

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from sk_dlsteps import StepwiseClassifier


def split(share, seed):
    """Images from 0 to 1, (n, 1, 8, 8), and digits: those to train on, those to test, and their targets."""
    X, y = load_digits(return_X_y=True)
    X = (X.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=seed)
    if share < 1:
        X_train, _, y_train, _ = train_test_split(
            X_train, y_train, train_size=share, stratify=y_train, random_state=seed
        )
    return X_train, X_test, y_train, y_test


def judged(settings, share, seed):
    """Accuracy, log loss and seconds of one fit."""
    X_train, X_test, y_train, y_test = split(share, seed)
    if settings["module"] == "mlp":
        X_train, X_test = X_train.reshape(len(X_train), -1), X_test.reshape(len(X_test), -1)
    start = time.perf_counter()
    model = StepwiseClassifier(**settings, random_state=seed).fit(X_train, y_train)
    seconds = time.perf_counter() - start
    probabilities = model.predict_proba(X_test)
    accuracy = float((model.classes_[probabilities.argmax(1)] == y_test).mean())
    return accuracy, float(log_loss(y_test, probabilities)), seconds, model


def judge(module, augmentation, share, arguments):
    """Print a line for each seed, and one of the means."""
    settings = {"module": module, "augmentation": None if augmentation == "none" else augmentation}
    if module != "mlp":
        settings["max_epochs"] = arguments.max_epochs
    what = f"| {module} | {augmentation} | {len(split(share, 0)[0])} |"
    figures = []
    for seed in range(arguments.seeds):
        accuracy, loss, seconds, model = judged(settings, share, seed)
        figures.append((accuracy, loss, seconds))
        of_fit = f"{model.n_iter_} | {model.learning_rate_:.1e}"
        print(f"{what} {seed} | {accuracy:.4f} | {loss:.4f} | {of_fit} | {seconds:.0f} |", flush=True)
    accuracy, loss, seconds = np.mean(figures, 0)
    print(f"{what} mean | {accuracy:.4f} | {loss:.4f} | | | {seconds:.0f} |", flush=True)


def main():
    """Judge every network, augmentation and share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--module", nargs="+", default=["mlp", "resnet18"])
    parser.add_argument("--augmentation", nargs="+", default=["none", "image"])
    parser.add_argument("--shares", nargs="+", type=float, default=[1.0, 0.2])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max-epochs", default="auto", type=lambda text: text if text == "auto" else int(text))
    arguments = parser.parse_args()
    print("| network | augmentation | training rows | seed | accuracy | log loss | epochs | rate | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    for share, module in itertools.product(arguments.shares, arguments.module):
        for augmentation in arguments.augmentation:
            # To the table model there are no images.
            if (module, augmentation) != ("mlp", "image"):
                judge(module, augmentation, share, arguments)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    main()
