"""Plots; matplotlib is needed only here."""
