"""scikit-learn's own checks, with no expected failures."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor

pytestmark = [
    # Some checks fit pure noise, on which a single network's loss falls for no rate, and the finder says so.
    pytest.mark.filterwarnings("ignore:No learning rate could be found:sk_dlsteps.StepwiseWarning"),
    # Counting lines would double the time, and our own tests are to reach them.
    pytest.mark.no_cover,
]


@parametrize_with_checks(
    [
        StepwiseRegressor(),
        StepwiseClassifier(),
        StepwiseRegressor(n_estimators=1, max_epochs=30, learning_rate=0.02),
        StepwiseClassifier(n_estimators=1, max_epochs=30, learning_rate=0.02),
        StepwiseClassifier(loss="triplet", n_estimators=1, max_epochs=20),
    ]
)
def test_estimators_pass_every_check_of_scikit_learn(estimator, check):
    check(estimator)
