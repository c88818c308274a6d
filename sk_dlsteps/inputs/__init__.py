"""From the user's table to arrays, folds and statistics."""
