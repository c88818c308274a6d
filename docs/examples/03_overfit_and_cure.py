"""
Overfitting, and what helps
===========================

A network that knows its training rows by heart and little else. We make one on purpose, ask ``diagnose`` what is
wrong, and try the remedies that it names.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from sk_dlsteps import LossCurveDisplay, StepwiseRegressor, diagnose

X, y = load_diabetes(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)


def scores(model):
    """R² in words."""
    return f"training {model.training_score_:.2f}, test {model.score(X_test, y_test):.2f}"


# %%
# One network of two layers for 331 patients, without held-out rows, trained to the end: all right on the rows that it
# has seen, worse than the mean on others.
sick = StepwiseRegressor(
    hidden_units=(128, 128), n_estimators=1, early_stopping=False, max_epochs=200, random_state=0
).fit(X_train, y_train)
print(scores(sick))
print(diagnose(sick, X_train, y_train))

# %%
# The first remedy is to stop in time. That is the default, as are several networks, each of which holds out other rows.
better = StepwiseRegressor(random_state=0).fit(X_train, y_train)
print(scores(better))
print(diagnose(better, X_train, y_train))

# %%
# A gap is left, just beyond what is allowed. The second remedy is dropout, here with a little weight decay. Now the gap
# is within the limit. The test score is a little higher too, but 111 test rows cannot tell that from chance.
regularised = StepwiseRegressor(dropout=0.25, weight_decay=0.01, random_state=0).fit(X_train, y_train)
print(scores(regularised))
print(diagnose(regularised, X_train, y_train))

# %%
# The losses of both trainings, thin lines for the networks. On the left the validation loss soon turns, and each
# network keeps its best epoch. On the right it stays near the training loss.
_, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, (title, model) in zip(axes, {"early stopping": better, "and dropout, decay": regularised}.items(), strict=True):
    LossCurveDisplay.from_estimator(model, ax=ax)
    ax.set_title(title)
