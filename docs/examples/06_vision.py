"""
A network of your own for images
================================

Any torch module can take the built-in network's place, and the recipe around it stays. Here a small convolutional
network reads scikit-learn's digits, 8 x 8 pixels. (For a ResNet, ``module="resnet18"`` is enough.)
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from sk_dlsteps import StepwiseClassifier

digits = load_digits()
X = (digits.images[:, None] / 16).astype(np.float32)  # (images, channels, height, width)
X_train, X_test, y_train, y_test = train_test_split(X, digits.target, train_size=300, random_state=0)


def small_cnn(in_channels, n_outputs):
    """Three convolutions and a head; sizes that it takes are passed by name."""

    def block(n_in, n_out, stride):
        return nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()

    body = *block(in_channels, 16, 1), *block(16, 32, 2), *block(32, 32, 1)
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, n_outputs))


# %%
# With 300 images to learn from, moved and turned copies of them help. The default model, which sees 64 columns and
# knows nothing of neighbours, stands beside. All 300 train, as the cosine ends by itself.
schedule = {"early_stopping": False, "max_epochs": 100, "lr_schedule": "cosine", "learning_rate": 0.02}
cnn = StepwiseClassifier(module=small_cnn, n_estimators=1, **schedule, random_state=0)
models = {
    "table": StepwiseClassifier(random_state=0).fit(X_train.reshape(300, 64), y_train),
    "images": clone(cnn).fit(X_train, y_train),
    "images, augmented": clone(cnn).set_params(augmentation="image").fit(X_train, y_train),
}
for name, model in models.items():
    rows = X_test.reshape(len(X_test), 64) if name == "table" else X_test
    print(f"{name}: {model.score(rows, y_test):.3f}")

# %%
# The test images that the last model gets most wrong: what it says, and what they are.
model = models["images, augmented"]
of_truth = model.predict_proba(X_test)[np.arange(len(y_test)), y_test]
_, axes = plt.subplots(1, 8, figsize=(10, 1.7), layout="constrained")
for ax, i in zip(axes, of_truth.argsort(), strict=False):
    ax.imshow(X_test[i, 0], cmap="gray_r")
    ax.set(title=f"{model.predict(X_test[i : i + 1])[0]}, is {y_test[i]}", xticks=[], yticks=[])
