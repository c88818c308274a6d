"""
Transfer from a related task
============================

A network that can tell the digits 0 to 4 apart is where one for 5 to 9 begins, of which only 20 images each are known.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from sk_dlsteps import StepwiseClassifier

X, y = load_digits(return_X_y=True)
source = StepwiseClassifier(random_state=0).fit(X[y < 5], y[y < 5])

# %%
# ``fine_tune`` gives a new model and leaves the old one as it is. The last layer is new, as there are other labels. It
# trains alone at first, then the others join, at smaller rates. Five draws of the 100 images show whether that is luck.
errors = []
for seed in range(5):
    few = np.concatenate([np.random.default_rng(seed).permutation(np.flatnonzero(y == k))[:20] for k in range(5, 10)])
    others = np.setdiff1d(np.flatnonzero(y >= 5), few)
    scratch = StepwiseClassifier(random_state=seed).fit(X[few], y[few])
    tuned = source.fine_tune(X[few], y[few], random_state=seed)
    errors.append([1 - model.score(X[others], y[others]) for model in (scratch, tuned)])
for stage in tuned.plan_.stages:
    print(stage)

# %%
# A line for each draw: the share of the other digits 5 to 9 that is wrong, from scratch and fine-tuned.
_, ax = plt.subplots(figsize=(5, 4), layout="constrained")
ax.plot(["from scratch", "fine-tuned"], np.transpose(errors), marker="o", color="C0")
ax.set(ylabel="wrong labels", ylim=(0, None), xlim=(-0.3, 1.3))
print("mean error: {:.4f} from scratch, {:.4f} fine-tuned".format(*np.mean(errors, axis=0)))
