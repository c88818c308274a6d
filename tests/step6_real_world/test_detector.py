import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_dlsteps import DriftDetector, StepwiseClassifier, StepwiseRegressor

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def regression():
    """A model of 400 rows, and 400 further ones."""
    X, y = make_regression(800, 6, noise=20, random_state=0)
    model = StepwiseRegressor(max_epochs=30, learning_rate=0.01, random_state=0).fit(X[:400], y[:400])
    return model, X[:400], X[400:], y[400:]


@pytest.fixture(scope="module")
def classification():
    """The same for three classes that are text."""
    X, codes = make_classification(800, 6, n_informative=4, n_classes=3, random_state=0)
    y = np.array(["a", "b", "c"])[codes]
    model = StepwiseClassifier(max_epochs=20, learning_rate=0.01, random_state=0).fit(X[:400], y[:400])
    return model, X[:400], X[400:], y[400:]


def table(n, seed=0):
    """A frame of all kinds of columns."""
    rng = RNG(seed)
    return pd.DataFrame(
        {
            "size": rng.normal(size=n),
            "rooms": rng.poisson(2, n),
            "colour <b>": rng.choice(["red", "blue", "a | b"], n),
            "old": rng.random(n) < 0.5,
            "gaps": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
        }
    )


@pytest.mark.parametrize("name", ["regression", "classification"])
def test_further_rows_of_a_model_are_clean(name, request):
    model, X_old, X_new, y_new = request.getfixturevalue(name)
    report = DriftDetector.from_estimator(model, X_old).check(X_new, y_new)
    assert report.verdict == "no drift"
    assert report.alarms == ()
    assert set(report.p_values) == {"columns", "all columns together", "predictions", "target", "score"}
    assert report.level == pytest.approx(0.01 / 5)


def test_inputs_that_drift_where_the_model_does_not_care_are_only_inputs(regression):
    _, _, X_new, y_new = regression
    X = np.column_stack([X_new, RNG(0).normal(size=len(X_new))])
    y = y_new
    wide = StepwiseRegressor(max_epochs=30, learning_rate=0.01, random_state=0).fit(X[:200], y[:200])
    X[200:, 6] += 0.7
    report = DriftDetector.from_estimator(wide).check(X[200:], y[200:])
    assert report.verdict == "inputs drifted"
    assert report.drifted_columns == ("column 6",)
    assert "as before" in report.next_step


def test_inputs_that_move_the_predictions_are_told(regression):
    model, _, X_new, _ = regression
    report = DriftDetector.from_estimator(model).check(X_new + 0.5)
    assert report.verdict == "predictions drifted"
    assert "columns" in report.alarms
    assert "true values" in report.next_step


def test_a_new_relation_is_a_score_that_dropped_while_the_inputs_are_as_before(regression):
    model, _, X_new, y_new = regression
    report = DriftDetector.from_estimator(model).check(X_new, RNG(0).permutation(y_new))
    assert report.verdict == "score dropped"
    assert report.alarms == ("score",)
    assert report.score.interval[0] > 0
    assert report.next_step.startswith("the inputs look as before")
    assert "change the validation and test sets" in report.next_step
    assert "step 4" in report.next_step
    assert "cost function" in report.next_step


def test_the_score_before_is_the_validation_score_and_after_that_of_single_networks(classification):
    model, _, X_new, y_new = classification
    score = DriftDetector.from_estimator(model).check(X_new, y_new).score
    votes = model.pipeline_[-1].votes(model.pipeline_[:-1].transform(X_new))
    single = (model.classes_[votes.argmax(2)] == y_new[:, None]).mean()
    assert score.before == pytest.approx(model.validation_score_)
    assert score.after == pytest.approx(single, abs=0.02)
    assert score.interval[0] < score.drop < score.interval[1]


def test_labels_that_are_frequent_now_or_new_are_a_target_that_drifted(classification):
    model, _, X_new, y_new = classification
    y = np.where(RNG(0).random(len(y_new)) < 0.3, "unheard of", y_new)
    report = DriftDetector.from_estimator(model).check(X_new, y)
    assert report.verdict == "score dropped"
    assert "target" in report.alarms
    assert report.target[0].unseen == (y == "unheard of").sum()
    only_target = DriftDetector().fit(X_new, y_new).check(X_new, y)
    assert only_target.verdict == "target drifted"


def test_rows_without_a_true_value_yet_are_left_out_of_the_score(regression, classification):
    model, _, X_new, y_new = regression
    some = np.where(np.arange(len(y_new)) < 100, y_new, np.nan)
    assert DriftDetector.from_estimator(model).check(X_new, some).score.n_rows == 100
    model, _, X_new, y_new = classification
    some = [label if i < 90 else None for i, label in enumerate(y_new)]
    assert DriftDetector.from_estimator(model).check(X_new, some).score.n_rows == 90
    few = DriftDetector.from_estimator(model).check(X_new, [*some[:2], *[None] * (len(some) - 2)])
    assert few.score is None
    assert any("true value" in note for note in few.notes)


def test_several_targets_and_several_labels_are_checked():
    X, y = make_regression(300, 4, n_targets=2, noise=5, random_state=0)
    model = StepwiseRegressor(max_epochs=10, learning_rate=0.01, random_state=0).fit(X[:200], y[:200])
    report = DriftDetector.from_estimator(model).check(X[200:], y[200:])
    assert [test.name for test in report.predictions] == ["prediction of target 0", "prediction of target 1"]
    assert report.verdict == "no drift"
    labels = (y > 0).astype(int)
    model = StepwiseClassifier(max_epochs=10, learning_rate=0.01, random_state=0).fit(X[:200], labels[:200])
    report = DriftDetector.from_estimator(model).check(X[200:], labels[200:])
    assert report.verdict == "no drift"
    assert report.score.score == "subset accuracy"
    assert len(report.target) == 2


@pytest.mark.parametrize("kind", ["pandas", "polars", "objects", "sparse", "images"])
def test_tables_of_any_kind_are_clean_to_their_own_rows_and_not_to_others(kind):
    old, new = table(300, 0), table(300, 1)
    other = new.assign(rooms=new["rooms"] + 2)
    if kind == "polars":
        old, new, other = (pl.from_pandas(own) for own in (old, new, other))
    if kind == "objects":
        old, new, other = (own.astype(object).to_numpy() for own in (old, new, other))
    if kind == "sparse":
        old, new, other = (sparse.random_array((300, 40), density=d, rng=i) for i, d in enumerate((0.1, 0.1, 0.2)))
    if kind == "images":
        old, new, other = (RNG(i).random((300, 1, 6, 6)) * s for i, s in enumerate((1, 1, 1.2)))
    detector = DriftDetector().fit(old)
    assert detector.check(new).verdict == "no drift"
    assert detector.check(other).verdict == "inputs drifted"


def test_pipelines_and_other_estimators_are_looked_through(regression):
    _, X_old, X_new, y_new = regression
    pipeline = make_pipeline(StandardScaler(), StepwiseRegressor(max_epochs=5, learning_rate=0.01, random_state=0))
    pipeline.fit(X_new, y_new)
    assert DriftDetector.from_estimator(pipeline, X_new).check(X_old).verdict == "no drift"
    assert DriftDetector.from_estimator(pipeline).check(X_old * 2).verdict != "no drift"
    forest = make_pipeline(StandardScaler(), RandomForestRegressor(5, random_state=0)).fit(X_new, y_new)
    report = DriftDetector.from_estimator(forest, X_new, y_new).check(X_old + 1)
    assert report.verdict == "inputs drifted"
    assert "from_estimator" in report.next_step


def test_a_shift_of_half_a_standard_deviation_in_one_of_20_columns_is_found_with_500_rows():
    for seed in range(10):
        rng = RNG(seed)
        X_new = rng.normal(size=(500, 20))
        X_new[:, 11] += 0.5
        report = DriftDetector().fit(rng.normal(size=(500, 20))).check(X_new)
        assert "column 11" in report.drifted_columns


@pytest.mark.no_cover  # many times what other tests do once
def test_false_alarms_of_made_up_rows_keep_to_alpha():
    alarms = 0
    for seed in range(60):
        rng = RNG(seed)
        X = rng.normal(size=(200, 4)) * [1, 10, 0, 1] + rng.poisson(1, size=(200, 4))
        alarms += DriftDetector(alpha=0.05).fit(X[:100], X[:100, 0]).check(X[100:], X[100:, 0]).verdict != "no drift"
    assert alarms <= 8


def test_nothing_but_the_report_is_left_behind(regression):
    model, X_old, X_new, y_new = regression
    before = copy.deepcopy((X_old, X_new, y_new)), np.random.get_state()[1].copy(), set(vars(model))
    detector = DriftDetector.from_estimator(model, X_old)
    own = set(vars(detector))
    first, second = detector.check(X_new, y_new), detector.check(X_new, y_new)
    assert repr(first) == repr(second)
    for kept, now in zip(before[0], (X_old, X_new, y_new), strict=True):
        np.testing.assert_array_equal(kept, now)
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])
    assert before[2] == set(vars(model))
    assert own == set(vars(detector))


def test_a_detector_is_cloned_and_pickled():
    detector = DriftDetector(alpha=0.05).fit(table(100), np.arange(100.0))
    assert clone(detector).get_params() == detector.get_params()
    kept = pickle.loads(pickle.dumps(detector))
    assert repr(kept.check(table(50, 1))) == repr(detector.check(table(50, 1)))


def test_what_few_rows_can_say_is_said():
    detector = DriftDetector().fit(RNG(0).normal(size=(500, 3)))
    one = detector.check(np.zeros((1, 3)))
    assert one.verdict == "no drift"
    assert one.smallest_shift == np.inf
    assert any("rows are needed" in note for note in one.notes)
    assert detector.check(RNG(1).normal(size=(2000, 3))).smallest_shift < 0.4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X[:0], "no rows"),
        (lambda X: X.drop(columns="rooms"), r"`X_new` lacks \['rooms'\]"),
        (lambda X: X.assign(more=1), r"has \['more'\] besides"),
        (lambda X: X[X.columns[::-1]], "another order"),
        (lambda X: X.to_numpy()[:, :3], "has 3 columns"),
        (lambda X: X.assign(size="text"), "'size' of X holds text"),
        (lambda X: X.assign(size=np.inf), "infinity.*'size'"),
        (lambda X: sparse.eye_array(5), "is sparse, and the training table was dense"),
    ],
)
def test_other_tables_are_errors_that_name_what_is_wrong(change, message):
    X = table(60)
    with pytest.raises(ValueError, match=message):
        DriftDetector().fit(X).check(change(X))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": 1}, "`alpha` must be a number above 0 and below 1, got 1"),
        ({"n_bins": 1}, "`n_bins` must be an integer of at least 2, got 1"),
        ({"max_samples": 5.0}, "`max_samples` must be an integer of at least 20, got 5.0"),
        ({"random_state": "x"}, "`random_state` must be an integer of at least 0, a RandomState or None, got 'x'"),
        ({"random_state": -1}, "`random_state` must be an integer of at least 0, .*got -1"),
    ],
)
def test_parameters_that_cannot_be_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        DriftDetector(**parameters).fit(table(30))


def test_targets_that_do_not_fit_are_errors(regression):
    model, _, X_new, y_new = regression
    detector = DriftDetector.from_estimator(model)
    with pytest.raises(ValueError, match="`y_new` has 3 values, and `X_new` has 400 rows"):
        detector.check(X_new, y_new[:3])
    with pytest.raises(ValueError, match="`y_new` holds what is no number"):
        detector.check(X_new, ["a"] * len(X_new))
    with pytest.raises(ValueError, match="`X` has 1 rows"):
        DriftDetector().fit(X_new[:1])


def test_labels_of_another_type_are_an_error_and_no_score(classification):
    X = RNG(0).normal(size=(200, 3))
    y = (X[:, 0] > 0).astype(int)
    model = StepwiseClassifier(max_epochs=3, learning_rate=0.01, random_state=0).fit(X, y)
    for detector in (DriftDetector.from_estimator(model), DriftDetector().fit(X, y)):
        with pytest.raises(ValueError, match=r"none of the training labels: \[.*'1'.*\], and those were \[0, 1\]"):
            detector.check(X, y.astype(str))
        with pytest.raises(ValueError, match=r"shape \(200, 2\), and the training target had 1 column;"):
            detector.check(X, np.column_stack([y, y]))
        for same in (y.astype(bool), y.astype(float), y[:, None]):
            assert detector.check(X, same).target[0].p_value == 1.0
    model = classification[0]
    with pytest.raises(ValueError, match="none of the training labels"):
        DriftDetector.from_estimator(model).check(classification[2], np.zeros(400))


def test_targets_of_another_shape_are_an_error(regression):
    model, _, X_new, y_new = regression
    two = np.column_stack([y_new, y_new])
    for detector in (DriftDetector.from_estimator(model), DriftDetector().fit(X_new, y_new)):
        with pytest.raises(ValueError, match=r"shape \(400, 2\), and the training target had 1 column;"):
            detector.check(X_new, two)
        with pytest.raises(ValueError, match="`y_new` has 1 values, and `X_new` has 400 rows"):
            detector.check(X_new, 3.0)
    with pytest.raises(ValueError, match=r"shape \(400,\), and the training target had 2 columns;"):
        DriftDetector().fit(X_new, two).check(X_new, y_new)


def test_very_many_targets_are_counted_too():
    X = RNG(0).normal(size=(60, 3))
    y = X @ RNG(1).normal(size=(3, 12))
    model = StepwiseRegressor(max_epochs=2, learning_rate=0.01, random_state=0).fit(X, y)
    detector = DriftDetector.from_estimator(model)
    assert len(detector.check(X, y).target) == 10
    with pytest.raises(ValueError, match=r"shape \(60, 11\), and the training target had 12 columns;"):
        detector.check(X, y[:, :11])


def test_several_labels_are_zeros_and_ones():
    X = RNG(0).normal(size=(100, 3))
    labels = (X[:, :2] > 0).astype(int)
    detector = DriftDetector().fit(X, labels)
    assert detector.check(X, sparse.csr_array(labels)).verdict == "no drift"
    with pytest.raises(ValueError, match="`y_new` holds other numbers than 0 and 1"):
        detector.check(X, labels + 1)


def test_a_detector_without_a_target_notes_that_true_values_are_not_tested():
    X = RNG(0).normal(size=(100, 2))
    y = np.repeat(["a", "b"], 50)
    detector = DriftDetector().fit(X, y)
    assert detector.check(X, y).target
    detector.fit(X)
    for given in (y, np.zeros(100)):
        report = detector.check(X, given)
        assert report.target == ()
        assert report.notes == ("target: the training targets were not given",)


def test_few_new_rows_of_categories_and_counts_are_tested():
    old = table(500)
    new = table(19, 1)
    detector = DriftDetector().fit(old)
    assert detector.check(new).verdict == "no drift"
    assert detector.check(new.assign(**{"colour <b>": "never heard of"})).drifted_columns == ("colour <b>",)
    assert detector.check(new.assign(rooms=new["rooms"] + 4)).drifted_columns == ("rooms",)
    assert detector.check(new.assign(**{"colour <b>": None})).drifted_columns == ("colour <b>",)


def test_levels_that_cannot_be_compared_are_noted():
    old = pd.DataFrame({"id": [f"a {i}" for i in range(60)]}).astype("category")
    new = pd.DataFrame({"id": [f"b {i}" for i in range(30)]}).astype("category")
    report = DriftDetector().fit(old).check(new)
    assert "levels of 'id': none is more frequent than another" in report.notes
    assert "none is more frequent" in repr(report)


def test_columns_whose_names_look_alike_are_told_apart():
    X = pd.DataFrame(RNG(0).normal(size=(200, 3)), columns=[1, "1", "2"])
    report = DriftDetector().fit(X).check(X.add([0, 5, 0]))
    assert report.drifted_columns == ("'1'",)
    assert [test.name for test in report.columns] == ["1", "'1'", "2"]
