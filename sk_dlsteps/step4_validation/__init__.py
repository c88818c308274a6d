"""Step 4: fit the validation set."""
