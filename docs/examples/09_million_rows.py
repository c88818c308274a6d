"""
A million rows
==============

A large table needs no other call. Networks and epochs become fewer, minibatches larger, and a float32 table is trained
on without a copy. scikit-learn ships no table of this size, so this one is made up.
"""

import time

import numpy as np

from sk_dlsteps import LossCurveDisplay, StepwiseClassifier

rng = np.random.default_rng(0)
X = rng.standard_normal((1_000_000, 30), dtype=np.float32)
y = X[:, :3].prod(axis=1) + 0.3 * X[:, 3] + 0.3 * rng.standard_normal(len(X)) > 0
X_test, y_test = X[-100_000:], y[-100_000:]

# %%
# The fit, without any setting but the seed:
start = time.perf_counter()
model = StepwiseClassifier(random_state=0).fit(X[:-100_000], y[:-100_000])
print(f"{time.perf_counter() - start:.0f} seconds")
for step in model.steps_[1:]:
    print(f"Step {step.number}: {step.decision}")

# %%
# And what it learnt. The target is the sign of a product of three columns and a fourth. No line can follow that, and
# noise keeps everybody from being right about all rows.
print(f"test accuracy {model.score(X_test, y_test):.3f}")

# %%
# An epoch is some thousand steps, so a few of them are enough. The range test needs only a part of one.
LossCurveDisplay.from_estimator(model)
