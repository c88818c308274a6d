"""Step 6: what to watch once the model is in use."""
