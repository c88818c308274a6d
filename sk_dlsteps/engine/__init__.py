"""The fleet engine: knows torch and skorch, nothing of the steps."""
