"""scikit-learn's own checks, with no expected failures."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor


@parametrize_with_checks(
    [
        StepwiseRegressor(),
        StepwiseClassifier(),
        StepwiseRegressor(n_estimators=1),
        StepwiseClassifier(n_estimators=1),
    ]
)
def test_estimators_pass_every_check_of_scikit_learn(estimator, check):
    check(estimator)
