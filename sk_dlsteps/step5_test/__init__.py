"""Step 5: what the test set says."""
