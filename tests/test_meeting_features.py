"""Categories, gaps and weights where several of them meet: searches, streams, folds, scikit-learn's settings."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold, RandomizedSearchCV, cross_val_score

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV

QUICK = {"max_epochs": 3, "n_estimators": 2, "random_state": 0, "learning_rate": 0.01}
RNG = np.random.default_rng(0)
N = 240
FRAME = pd.DataFrame(
    {"a": RNG.normal(size=N), "c": RNG.choice(list("xyz"), N), "d": RNG.integers(0, 4, N).astype(float)}
)
Y = 2.0 * (FRAME["c"] == "x") + FRAME["a"] + (FRAME["d"] == 2)


def test_a_search_over_categorical_features_gives_what_scikit_learns_gives():
    space = {"categorical_features": ["from_dtype", ["c", "d"]]}
    settings = {"n_iter": 2, "cv": 3, "random_state": 0}
    ours = StepwiseSearchCV(StepwiseRegressor(**QUICK), space, strategy="random", **settings).fit(FRAME, Y)
    theirs = RandomizedSearchCV(StepwiseRegressor(**QUICK), space, **settings).fit(FRAME, Y)
    scores = ours.cv_results_["mean_test_score"]
    np.testing.assert_allclose(scores, theirs.cv_results_["mean_test_score"], rtol=1e-4)
    assert abs(np.diff(scores)) > 1e-4


def test_a_column_without_values_in_the_first_chunk_is_learnt_from_later_ones():
    X = RNG.normal(size=(N, 3))
    X[:80, 2] = np.nan
    model = (
        StepwiseRegressor(**QUICK).partial_fit(X[:80], Y[:80]).partial_fit(X[80:], Y[80:]).partial_fit(X[:80], Y[:80])
    )
    scaler = model.pipeline_["scaler"]
    np.testing.assert_allclose([scaler.mean_[2], scaler.var_[2]], [X[80:, 2].mean(), X[80:, 2].var()])
    assert np.isfinite(model.predict(X)).all()


def test_a_weight_of_a_class_that_a_fold_lacks_is_no_error(iris):
    X, _, y, _ = iris
    order = np.argsort(y, kind="stable")[::-1]
    model = StepwiseClassifier(class_weight={0: 1, 1: 2, 2: 3}, **QUICK)
    assert np.isfinite(cross_val_score(model, X[order], y[order], cv=KFold(3), error_score="raise")).all()


@pytest.mark.parametrize("scaler", ["standard", "robust", None, PCA()], ids=str)
@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_scikit_learns_output_setting_changes_nothing(output, scaler):
    model = StepwiseRegressor(scaler=scaler, **QUICK)
    expected = model.fit(FRAME, Y).predict(FRAME)
    with sklearn.config_context(transform_output=output):
        np.testing.assert_array_equal(model.fit(FRAME, Y).predict(FRAME), expected)


def test_an_error_behind_the_encoder_names_the_users_column():
    with pytest.raises(ValueError, match=r"^Column 'a' of X has values too large"):
        StepwiseRegressor(**QUICK).fit(FRAME.assign(a=FRAME["a"].where(FRAME.index != 3, 1e300)), Y)


def test_rows_of_weight_zero_do_not_make_a_category_free_text():
    weight = np.repeat([0.0, 1.0], [120, 120])
    text = FRAME.assign(c=[f"free text {i}" for i in range(120)] + FRAME["c"].tolist()[120:])
    own, whole = (StepwiseRegressor(**QUICK).fit(X, Y, sample_weight=weight) for X in (FRAME, text))
    np.testing.assert_array_equal(whole.predict(FRAME), own.predict(FRAME))
