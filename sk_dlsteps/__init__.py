"""A step-by-step guide to deep-learning projects as scikit-learn estimators."""

from sk_dlsteps.classifier import StepwiseClassifier
from sk_dlsteps.diagnosis.diagnose import diagnose
from sk_dlsteps.displays.calibration import CalibrationDisplay
from sk_dlsteps.displays.drift import DriftDisplay
from sk_dlsteps.displays.drift_timeline import DriftTimelineDisplay
from sk_dlsteps.displays.gradient_flow import GradientFlowDisplay
from sk_dlsteps.displays.learning_curve import LearningCurveDisplay
from sk_dlsteps.displays.learning_rate import LearningRateDisplay
from sk_dlsteps.displays.loss_curve import LossCurveDisplay
from sk_dlsteps.displays.search import SearchDisplay
from sk_dlsteps.displays.verification import VerificationDisplay
from sk_dlsteps.exceptions import StepwiseWarning
from sk_dlsteps.learning_rate import find_learning_rate
from sk_dlsteps.regressor import StepwiseRegressor
from sk_dlsteps.report.report import Report
from sk_dlsteps.step4_validation.learning_curve import learning_curve
from sk_dlsteps.step4_validation.search import StepwiseSearchCV
from sk_dlsteps.step5_test.verification import Verification, verify_test_set
from sk_dlsteps.step6_real_world.detector import DriftDetector

__all__ = [
    "CalibrationDisplay",
    "DriftDetector",
    "DriftDisplay",
    "DriftTimelineDisplay",
    "GradientFlowDisplay",
    "LearningCurveDisplay",
    "LearningRateDisplay",
    "LossCurveDisplay",
    "Report",
    "SearchDisplay",
    "StepwiseClassifier",
    "StepwiseRegressor",
    "StepwiseSearchCV",
    "StepwiseWarning",
    "Verification",
    "VerificationDisplay",
    "diagnose",
    "find_learning_rate",
    "learning_curve",
    "verify_test_set",
]
