"""What is wrong with a fitted model, and what to do next."""

from sk_dlsteps.diagnosis.finding import Diagnosis, Finding

__all__ = ["Diagnosis", "Finding"]
