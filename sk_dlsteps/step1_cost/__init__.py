"""Step 1: pick a cost function."""
