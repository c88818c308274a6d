"""The learning-rate finder's picture."""

from __future__ import annotations


class LearningRateDisplay:
    """Loss against learning rate, as the article's picture, with the pick marked."""
