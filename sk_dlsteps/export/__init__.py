"""Fitted models outside of Python's own pickles."""
