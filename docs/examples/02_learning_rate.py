"""
A learning rate that fits the network
=====================================

Which rate is right depends on the network, the optimizer and the data. The range test finds out before the training
begins: it takes one step at each of a series of rising rates and watches the loss.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from sk_dlsteps import LearningRateDisplay, StepwiseClassifier, find_learning_rate

X, y = load_digits(return_X_y=True)
networks = {
    "one layer, Adam": StepwiseClassifier(random_state=0),
    "four layers, Adam": StepwiseClassifier(n_hidden_layers=4, hidden_units=128, random_state=0),
    "one layer, SGD": StepwiseClassifier(optimizer="sgd", random_state=0),
}
curves = {name: find_learning_rate(model, X, y) for name, model in networks.items()}

# %%
# The same data, three networks, three rates. Right of the mark the loss still falls, and soon blows up.
_, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
for ax, (name, curve) in zip(axes, curves.items(), strict=True):
    LearningRateDisplay(curve).plot(ax=ax)
    ax.set_title(f"{name}: {curve.learning_rate:.2g}")

# %%
# What the rate is worth: a short training of the deep network with the rate found, a hundredth of it, and thirty times
# as much. Too small a rate has not arrived when the epochs are over, too large a one learns nothing.
deep, curve = networks["four layers, Adam"], curves["four layers, Adam"]
for factor in (0.01, 1, 30):
    rate = factor * curve.learning_rate
    model = StepwiseClassifier(**{**deep.get_params(), "learning_rate": rate, "max_epochs": 15, "n_estimators": 2})
    print(f"rate {rate:.2g}: held-out accuracy {model.fit(X, y).validation_score_:.3f}")
