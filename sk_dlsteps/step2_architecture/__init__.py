"""Step 2: pick an initial network architecture."""
