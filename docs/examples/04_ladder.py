"""
The article's ladder
====================

Step 4 as a search that gives reasons. It tries the article's techniques one after the other, and keeps what improves
the score by more than its noise. Candidates and folds train side by side.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sk_dlsteps import SearchDisplay, StepwiseClassifier, StepwiseSearchCV

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=600, random_state=0)

# %%
# A single network with a small rate and few epochs, so that there is something to find.
start = StepwiseClassifier(n_estimators=1, max_epochs=10, learning_rate=0.002, random_state=0)
search = StepwiseSearchCV(start, cv=3, scoring="neg_log_loss", random_state=0).fit(X_train, y_train)
print(search.ladder_)

# %%
# Each dot is a candidate. It is kept if it stands to the right of the red line by more than its bar, which is the noise
# of its difference to the level so far.
SearchDisplay.from_estimator(search)

# %%
# What it brought on rows that nobody has seen:
start.fit(X_train, y_train)
end = search.best_estimator_
before = start.get_params()
print("changed:", {name: value for name, value in end.get_params().items() if before[name] != value})
print(f"accuracy before: {start.score(X_test, y_test):.3f}")
print(f"accuracy after:  {end.score(X_test, y_test):.3f}")
