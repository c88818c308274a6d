"""
Drift in the real world
=======================

A model is fitted to young patients and used on old ones. Step 6 asks whether new rows are like the training rows, which
needs no true values, and says what to do.
"""

import pandas as pd
from sklearn.datasets import load_diabetes

from sk_dlsteps import DriftDetector, DriftDisplay, DriftTimelineDisplay, StepwiseRegressor

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
X, y = X.sample(frac=1, random_state=0), y.sample(frac=1, random_state=0)
young = X["age"] < 55
X_train, y_train, X_peers, X_old = X[young][:200], y[young][:200], X[young][200:], X[~young]
model = StepwiseRegressor(random_state=0).fit(X_train, y_train)
detector = DriftDetector.from_estimator(model, X_train)

# %%
# Other young patients are no news. One test in a hundred may say otherwise: ``alpha`` is 0.01 for all of them together.
print(detector.check(X_peers).verdict)

# %%
# The old ones are. The report names the columns, and what follows from that.
report = detector.check(X_old, y[~young])
print(report.verdict, report.drifted_columns)
print(report.next_step)

# %%
# Training rows are filled, new rows are a line.
DriftDisplay.from_report(report, n_columns=4)

# %%
# Over time: patients arrive in batches of 40, at first young ones, then older and older ones. Below the line a batch is
# unlike the training rows.
arrivals = pd.concat([X_peers[:80], X_old.sort_values("age")])
batches = [arrivals[start : start + 40] for start in range(0, 200, 40)]
ages = [f"{batch['age'].min():.0f} to {batch['age'].max():.0f}" for batch in batches]
timeline = detector.check_batches(batches, times=ages)
DriftTimelineDisplay(timeline).plot().ax_.set_xlabel("ages of the batch")
