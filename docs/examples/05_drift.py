"""
Drift in the real world
=======================

A model is fitted to young patients and used on old ones. Step 6 asks whether new rows are like the training rows, which
needs no true values, and says what to do.
"""

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
# Over time: the patients arrive in batches of 40, the youngest first. Below the line a batch is unlike the training
# rows.
by_age = X.drop(X_train.index).sort_values("age")
batches = [by_age[start : start + 40] for start in range(0, len(by_age) - 39, 40)]
timeline = detector.check_batches(batches, times=[f"up to {batch['age'].max():.0f}" for batch in batches])
DriftTimelineDisplay(timeline).plot()
