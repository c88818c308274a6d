"""
Quick start
===========

A table of 569 tumours, 30 measurements each. No settings but the seed: the estimator takes the article's steps and
says what it decided.
"""

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from sk_dlsteps import LearningRateDisplay, StepwiseClassifier, verify_test_set

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
model = StepwiseClassifier(random_state=0).fit(X_train, y_train)

# %%
# Every decision of steps 1 to 4 stands in ``steps_``, with its reason.
for step in model.steps_:
    print(f"Step {step.number}: {step.decision}\n    because {step.because}")

# %%
# The learning rate was read off this curve: fresh networks took one step at each of a series of rising rates. The pick
# lies to the right of the steepest point, where the loss is still falling.
LearningRateDisplay.from_estimator(model)

# %%
# Each training row was held out by one of the networks, so validation costs nothing extra. Step 5 asks whether rows
# that nobody has seen confirm it. With 143 of them the interval is wide, and the verdict says so.
print(verify_test_set(model, X_test, y_test))

# %%
# From here on it is an estimator of scikit-learn's like any other.
print(model.predict(X_test[:3]))
print(model.predict_proba(X_test[:3]).round(3))
