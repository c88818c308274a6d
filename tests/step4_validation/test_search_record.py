import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

from sk_dlsteps.step4_validation.search_record import N_LISTED, search_records

X, y = load_diabetes(return_X_y=True)


def test_no_search_has_nothing_to_tell():
    assert search_records(None) == ()


def test_the_best_candidates_are_listed_with_scores_of_the_search():
    search = RandomizedSearchCV(Ridge(), {"alpha": np.logspace(-3, 3, 50)}, n_iter=8, random_state=0).fit(X, y)
    (record,) = search_records(search)
    rows = record.evidence["the best candidates"]
    scores = np.sort(search.cv_results_["mean_test_score"])[::-1]
    assert [row["validation score"] for row in rows] == pytest.approx(scores[:N_LISTED])
    assert record.decision == rows[0]["candidate"]
    assert f"{search.best_score_:.4f}" in record.because
    assert record.number == 4


def test_of_several_metrics_the_one_that_counts_is_told():
    scoring = ["r2", "neg_mean_absolute_error"]
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, scoring=scoring, refit="neg_mean_absolute_error").fit(X, y)
    (record,) = search_records(search)
    assert "validation neg_mean_absolute_error" in record.evidence["the best candidates"][0]


@pytest.mark.filterwarnings("ignore")
def test_failed_candidates_come_last_and_are_counted():
    search = GridSearchCV(Ridge(), {"alpha": [-1.0, 1.0]}, error_score=np.nan).fit(X, y)
    (record,) = search_records(search)
    rows = record.evidence["the best candidates"]
    assert [np.isnan(row["validation score"]) for row in rows] == [False, True]
    assert record.because.endswith("; 1 failed")
