"""Fitted models for other places: other processes, other languages, other runtimes."""
