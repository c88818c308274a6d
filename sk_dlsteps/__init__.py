"""A step-by-step guide to deep-learning projects as scikit-learn estimators."""

from sk_dlsteps.classifier import StepwiseClassifier
from sk_dlsteps.diagnosis.diagnose import diagnose
from sk_dlsteps.displays.learning_curve import LearningCurveDisplay
from sk_dlsteps.displays.learning_rate import LearningRateDisplay
from sk_dlsteps.exceptions import StepwiseWarning
from sk_dlsteps.finder import find_learning_rate
from sk_dlsteps.regressor import StepwiseRegressor
from sk_dlsteps.step4_validation.learning_curve import learning_curve
from sk_dlsteps.step4_validation.search import StepwiseSearchCV

__all__ = [
    "LearningCurveDisplay",
    "LearningRateDisplay",
    "StepwiseClassifier",
    "StepwiseRegressor",
    "StepwiseSearchCV",
    "StepwiseWarning",
    "diagnose",
    "find_learning_rate",
    "learning_curve",
]
