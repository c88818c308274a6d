"""A step-by-step guide to deep-learning projects as scikit-learn estimators."""

from sk_dlsteps.classifier import StepwiseClassifier
from sk_dlsteps.displays.learning_rate import LearningRateDisplay
from sk_dlsteps.exceptions import StepwiseWarning
from sk_dlsteps.recipe import find_learning_rate
from sk_dlsteps.regressor import StepwiseRegressor

__all__ = [
    "LearningRateDisplay",
    "StepwiseClassifier",
    "StepwiseRegressor",
    "StepwiseWarning",
    "find_learning_rate",
]
