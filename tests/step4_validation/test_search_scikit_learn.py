"""scikit-learn's checks of searches, with no failures but those that it expects of RandomizedSearchCV."""

import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV

# Some checks fit pure noise or a handful of rows, and candidates, folds and finders say so.
pytestmark = [
    pytest.mark.filterwarnings("ignore:No learning rate could be found:sk_dlsteps.StepwiseWarning"),
    pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:The least populated class in y:UserWarning"),
    # Counting lines would double the time, and our own tests are to reach them.
    pytest.mark.no_cover,
]

QUICK = {"max_epochs": 6, "learning_rate": 0.1, "n_estimators": 1, "random_state": 0}
SMALL = {"cv": 2, "random_state": 0, "error_score": "raise"}
UNITS = {"hidden_units": [8, 16]}


def expected_failures(search):
    """What scikit-learn lists for its own RandomizedSearchCV: Ridge takes y of two dimensions without a word."""
    return {"check_supervised_y_2d": "Ridge warns of nothing"} if isinstance(search.estimator, Ridge) else {}


@parametrize_with_checks(
    [
        StepwiseSearchCV(StepwiseRegressor(**QUICK), UNITS, strategy="random", n_iter=2, **SMALL),
        StepwiseSearchCV(StepwiseClassifier(**QUICK), UNITS, strategy="random", n_iter=2, **SMALL),
        StepwiseSearchCV(StepwiseRegressor(**QUICK), {"dropout": [0.2]}, strategy="ladder", n_iter=2, **SMALL),
        StepwiseSearchCV(StepwiseClassifier(**QUICK), {"dropout": [0.2]}, strategy="ladder", n_iter=2, **SMALL),
        StepwiseSearchCV(
            make_pipeline(StandardScaler(), StepwiseClassifier(**QUICK)),
            {"stepwiseclassifier__hidden_units": [8, 16]},
            strategy="random",
            n_iter=2,
            **SMALL,
        ),
        StepwiseSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, strategy="random", n_iter=2, **SMALL),
        StepwiseSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, strategy="random", n_iter=2, **SMALL),
    ],
    expected_failed_checks=expected_failures,
)
def test_searches_pass_the_checks_of_scikit_learn(estimator, check):
    check(estimator)
