"""
Sequences of unequal length
===========================

An LSTM reads a digit line by line, as a sequence of eight steps. Some sequences end early: how many lines does it take
to know the digit?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sk_dlsteps import StepwiseClassifier

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(digits.images, digits.target, random_state=0)


def first_lines(images, n_lines):
    """The images with as many lines as given for each; what is missing at the end is NaN."""
    return np.where(np.arange(8)[:, None] < np.reshape(n_lines, (-1, 1, 1)), images, np.nan)


# %%
# Training images end after three to eight lines. Nothing else needs to be said: sequences that end in NaN are shorter.
n_lines = np.random.default_rng(0).integers(3, 9, len(X_train))
model = StepwiseClassifier(module="lstm", module__hidden_size=48, max_epochs=40, random_state=0)
model.fit(first_lines(X_train, n_lines), y_train)
print(next(step.decision for step in model.steps_ if step.title == "network architecture"))

# %%
# From a third of the image it guesses, from five lines it mostly knows.
seen = np.arange(2, 9)
accuracy = [model.score(first_lines(X_test, n), y_test) for n in seen]
_, ax = plt.subplots(layout="constrained")
ax.plot(seen, accuracy, marker="o")
ax.set(xlabel="lines seen", ylabel="test accuracy", ylim=(0, 1))

# %%
# With all eight lines, the default network is better and quicker: it sees them as one row of a table. An LSTM is for
# sequences of many lengths. On two recorded series it gained nothing over simpler models, see :doc:`/sequences`.
table = StepwiseClassifier(random_state=0).fit(X_train.reshape(-1, 64), y_train)
print(f"LSTM {accuracy[-1]:.3f}, default network {table.score(X_test.reshape(-1, 64), y_test):.3f}")
