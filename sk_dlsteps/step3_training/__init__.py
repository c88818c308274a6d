"""Step 3: fit the training set."""
