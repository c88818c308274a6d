from itertools import pairwise

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_dlsteps import SearchDisplay, StepwiseRegressor, StepwiseSearchCV
from sk_dlsteps.step4_validation.noise import Difference
from sk_dlsteps.step4_validation.rungs import Ladder, Rung

X, y = load_diabetes(return_X_y=True)
QUICK = {"n_estimators": 1, "max_epochs": 4, "random_state": 0}
SPACE = {"learning_rate": [0.001, 0.01, 0.1], "hidden_units": [8, (8, 4)], "lr_schedule": ["cosine", "constant"]}


@pytest.fixture(scope="module")
def ladder_search():
    model = StepwiseRegressor(learning_rate=0.001, **QUICK)
    return StepwiseSearchCV(model, n_iter=12, cv=3, random_state=0).fit(X, y)


@pytest.fixture(scope="module")
def random_search():
    model = StepwiseRegressor(**QUICK)
    settings = {"strategy": "random", "n_iter": 8, "cv": 3, "random_state": 0, "return_train_score": True}
    return StepwiseSearchCV(model, SPACE, **settings).fit(X, y)


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def line(ax, label):
    """The line that the legend calls so."""
    (found,) = (line for line in ax.lines if line.get_label() == label)
    return found


def ticks(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def results(scores, params=None, **columns):
    """A search's results with these mean scores."""
    n = len(scores)
    return {
        "params": params or [{"p": i} for i in range(n)],
        "mean_test_score": np.array(scores, dtype=float),
        "std_test_score": np.full(n, 0.01),
        **columns,
    }


def rung(name, test, kept, step=4, train=None, error=0.01, start=False):
    """A rung of a ladder; the best of its candidates is the one with the highest score."""
    known = np.isfinite(test)
    best = int(np.nanargmax(test)) if known.any() else None
    differences = () if start else tuple(Difference(score, error) for score in test)
    changes = tuple({"p": i} for i in range(len(test)))
    train = tuple(train or np.add(test, 0.1))
    return Rung(step, name, "", changes, changes, tuple(test), train, differences, best, kept, {}, "")


def ladder(*rungs, best_index=0):
    start = rung("start", [0.5], True, 3, train=[0.5], start=True)
    return Ladder((start, *rungs), {}, best_index, "", "R2", "")


# -- ladders --------------------------------------------------------------------------------


def test_a_ladder_is_drawn_from_top_to_bottom_with_every_candidate(ladder_search, ax):
    display = SearchDisplay.from_estimator(ladder_search, ax=ax)
    rungs = ladder_search.ladder_
    ax.figure.canvas.draw()
    assert ticks(ax.yaxis) == [rung.name for rung in rungs]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    np.testing.assert_array_equal(display.points_.get_xdata(), [score for rung in rungs for score in rung.test_scores])
    np.testing.assert_array_equal(
        display.train_points_.get_xdata(), [score for rung in rungs for score in rung.train_scores]
    )
    np.testing.assert_array_equal(
        display.points_.get_ydata().round(), [i for i, rung in enumerate(rungs) for _ in rung.candidates]
    )
    assert ax.get_xlabel() == "R2"
    assert display.ax_ is ax
    assert display.figure_ is ax.figure


def test_what_was_kept_is_marked(ladder_search, ax):
    display = SearchDisplay.from_estimator(ladder_search, ax=ax)
    kept = [rung for rung in ladder_search.ladder_ if rung.kept]
    assert len(kept) > 1
    np.testing.assert_array_equal(display.best_.get_xdata(), [rung.test_scores[rung.best] for rung in kept])


def test_the_level_to_beat_steps_where_a_rung_was_kept(ax):
    made = ladder(rung("a", [0.6, 0.55], True), rung("b", [0.58], False), rung("c", [0.7], True), best_index=4)
    SearchDisplay(results([0.5] * 5), ladder=made).plot(ax)
    level = line(ax, "level to beat")
    np.testing.assert_array_equal(level.get_xdata()[2:], [0.5, 0.5, 0.6, 0.6, 0.6, 0.6])
    np.testing.assert_array_equal(level.get_ydata()[2:], [0, 1.5, 1.5, 2.5, 2.5, 3.5])


def test_the_bars_are_as_long_as_the_noise_of_the_change(ax):
    SearchDisplay(results([0.5] * 3), ladder=ladder(rung("a", [0.6, 0.5], True, error=0.02), best_index=1)).plot(ax)
    (bars,) = (bars for bars in ax.collections if bars.get_label() == "noise of the change")
    ends = np.array([path.vertices[:, 0] for path in bars.get_paths()])
    np.testing.assert_allclose(ends[1:], [[0.58, 0.62], [0.48, 0.52]])


def test_a_ladder_that_went_back_to_its_start_says_so(ax):
    SearchDisplay(results([0.5] * 2), ladder=ladder(rung("a", [0.6], True), best_index=0)).plot(ax)
    taken = line(ax, "taken in the end")
    assert taken.get_xdata().tolist() == [0.5]
    other = ax.figure.add_subplot()
    SearchDisplay(results([0.5] * 2), ladder=ladder(rung("a", [0.6], True), best_index=1)).plot(other)
    assert "taken in the end" not in labels(other)


def test_a_candidate_without_a_score_and_one_far_below_stand_on_the_edge(ax):
    made = ladder(rung("a", [np.nan, 0.52], False), rung("b", [-1000.0, 0.51], False))
    SearchDisplay(results([0.5] * 5), ladder=made).plot(ax)
    ax.figure.canvas.draw()
    assert line(ax, "no score").get_ydata().tolist() == [0.75]
    assert line(ax, "far below").get_ydata().tolist() == [1.75]
    assert ax.get_xlim()[0] > 0


def test_training_scores_far_off_stand_on_the_other_edge(ax):
    made = ladder(rung("a", [0.52], False, train=[0.55]), rung("b", [0.51], False, train=[40.0]))
    SearchDisplay(results([0.5] * 3), ladder=made).plot(ax)
    assert line(ax, "training, beyond").get_ydata().tolist() == [2]
    assert ax.get_xlim()[1] < 1


def test_a_start_without_any_score_is_drawn(ax):
    failed = Rung(3, "start", "", ({},), ({},), (np.nan,), (np.nan,), (), 0, True, {}, "")
    SearchDisplay(results([np.nan]), ladder=Ladder((failed,), {}, 0, "", "R2", "")).plot(ax)
    ax.figure.canvas.draw()
    assert "no score" in labels(ax)


def test_long_and_odd_names_of_rungs_do_not_touch(ax):
    names = ["$x^ and <b>\n" + "very " * 20, "a|b", *map(str, range(10))]
    made = ladder(*(rung(name, [0.5], False) for name in names))
    SearchDisplay(results([0.5] * 13), ladder=made).plot(ax)
    ax.figure.set_size_inches(4, 3)
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.get_yticklabels()]
    assert all(above.y0 >= below.y1 - 1 for above, below in pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0
    assert len(ticks(ax.yaxis)[1]) == 26


# -- other searches -------------------------------------------------------------------------


def test_candidates_stand_in_the_order_of_trial_with_the_best_so_far(random_search, ax):
    display = SearchDisplay.from_estimator(random_search, ax=ax)
    scores = random_search.cv_results_["mean_test_score"]
    np.testing.assert_array_equal(display.points_.get_xdata(), np.arange(1, 9))
    np.testing.assert_array_equal(display.points_.get_ydata(), scores)
    np.testing.assert_array_equal(display.train_points_.get_ydata(), random_search.cv_results_["mean_train_score"])
    shown = np.where(scores < ax.get_ylim()[0], np.nan, scores)
    np.testing.assert_array_equal(line(ax, "best so far").get_ydata(), np.fmax.accumulate(shown))
    assert display.best_.get_ydata().tolist() == [random_search.best_score_]
    assert display.best_.get_xdata().tolist() == [random_search.best_index_ + 1]
    assert ax.get_ylabel() == "R2"


def test_the_bars_are_the_spread_over_the_folds(random_search, ax):
    SearchDisplay.from_estimator(random_search, ax=ax)
    found = random_search.cv_results_
    mean, spread = found["mean_test_score"], found["std_test_score"]
    (bars,) = ax.collections
    ends = np.array([path.vertices[:, 1] for path in bars.get_paths()])
    np.testing.assert_allclose(ends, np.transpose([mean - spread, mean + spread]))


def test_a_candidate_that_failed_and_one_far_below_are_marked_at_the_bottom(ax):
    SearchDisplay(results([0.5, np.nan, 0.6, -1e6, 0.55])).plot(ax)
    ax.figure.canvas.draw()
    assert line(ax, "failed").get_xdata().tolist() == [2]
    assert line(ax, "far below").get_xdata().tolist() == [4]
    assert ax.get_ylim()[0] > 0
    assert line(ax, "best so far").get_ydata().tolist() == [0.5, 0.5, 0.6, 0.6, 0.6]


@pytest.mark.parametrize("scores", [[np.nan, np.nan], [0.5], [0.5, 0.5], []])
def test_results_with_nothing_to_compare_are_drawn(scores, ax):
    display = SearchDisplay(results(scores, std_test_score=np.zeros(len(scores)))).plot(ax)
    ax.figure.canvas.draw()
    np.testing.assert_array_equal(display.points_.get_ydata(), scores)
    assert display.best_ is None


def test_without_training_scores_none_are_drawn(ax):
    display = SearchDisplay(results([0.5, 0.6])).plot(ax)
    assert display.train_points_ is None
    assert "training" not in labels(ax)


# -- against a parameter --------------------------------------------------------------------


def test_numbers_stand_on_an_axis_that_is_logarithmic_if_they_spread_wide(random_search, ax):
    display = SearchDisplay.from_estimator(random_search, parameter="learning_rate", ax=ax)
    rates = [params["learning_rate"] for params in random_search.cv_results_["params"]]
    np.testing.assert_array_equal(display.points_.get_xdata(), rates)
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "learning_rate")
    other = ax.figure.add_subplot()
    SearchDisplay(results([0.5, 0.6], [{"p": 0.0}, {"p": 0.5}])).plot(other, parameter="p")
    assert other.get_xscale() == "linear"


def test_other_values_are_categories(random_search, ax):
    display = SearchDisplay.from_estimator(random_search, parameter="hidden_units", ax=ax)
    ax.figure.canvas.draw()
    names = ticks(ax.xaxis)
    assert set(names) == {"(8, 4)", "8"}
    drawn = [names[int(place)] for place in display.points_.get_xdata()]
    assert drawn == [str(params["hidden_units"]) for params in random_search.cv_results_["params"]]


def test_categories_may_be_anything_and_the_legend_stays_clear_of_them(ax):
    values = ["$x^", None, True, StandardScaler, "<script>\n|" + "long " * 9, float("nan"), 3]
    SearchDisplay(results(range(7), [{"p": value} for value in values])).plot(ax, parameter="p")
    ax.figure.set_size_inches(4, 3)
    ax.figure.canvas.draw()
    names = ticks(ax.xaxis)
    assert {"$x^", "None", "True", "StandardScaler", "nan", "3"} < set(names)
    label = ax.xaxis.label.get_window_extent()
    assert ax.get_legend().get_window_extent().y1 < label.y0
    assert min(text.get_window_extent().y0 for text in ax.get_xticklabels()) > label.y1 - 1


def test_a_candidate_without_the_parameter_has_no_place(ax):
    display = SearchDisplay(results([0.5, 0.6], [{"p": 1.0}, {"q": 2}]), best_index=1).plot(ax, parameter="p")
    ax.figure.canvas.draw()
    np.testing.assert_array_equal(display.points_.get_xdata(), [1.0, np.nan])
    assert display.best_ is None


def test_numbers_among_other_values_are_categories_in_their_order(ax):
    values = [10, "auto", 0.5, True, 9.0, 1e-7, "all"]
    SearchDisplay(results(range(7), [{"p": value} for value in values])).plot(ax, parameter="p")
    ax.figure.canvas.draw()
    assert ticks(ax.xaxis) == ["1e-07", "0.5", "9", "10", "True", "all", "auto"]


def test_a_ladder_against_a_parameter_marks_what_it_ended_with(ladder_search, ax):
    display = SearchDisplay.from_estimator(ladder_search, parameter="learning_rate", ax=ax)
    best = ladder_search.best_index_
    assert display.best_.get_ydata().tolist() == [ladder_search.best_score_]
    assert display.best_.get_xdata()[0] == display.points_.get_xdata()[best]
    assert np.isnan(display.points_.get_xdata()[0])


def test_the_prefix_of_a_pipeline_may_be_left_out(ax):
    pipeline = make_pipeline(StandardScaler(), Ridge())
    search = GridSearchCV(pipeline, {"ridge__alpha": [0.1, 1.0, 10.0, 100.0]}, cv=3).fit(X, y)
    display = SearchDisplay.from_estimator(search, parameter="alpha", ax=ax)
    np.testing.assert_array_equal(display.points_.get_xdata(), [0.1, 1, 10, 100])
    with pytest.raises(ValueError, match=r"`parameter` must be one of those searched, \['ridge__alpha'\], got 'beta'"):
        SearchDisplay.from_estimator(search, parameter="beta")


# -- which searches -------------------------------------------------------------------------


def test_searches_of_scikit_learn_are_drawn_alone_in_a_pipeline_and_without_a_refit(ax):
    search = RandomizedSearchCV(Ridge(), {"alpha": [0.1, 1.0, 10.0]}, n_iter=3, random_state=0, cv=3)
    display = SearchDisplay.from_estimator(make_pipeline(StandardScaler(), search).fit(X, y), ax=ax)
    assert len(display.points_.get_xdata()) == 3
    display = SearchDisplay.from_estimator(search.set_params(refit=False).fit(X, y), ax=ax)
    assert display.best_.get_xdata().tolist() == [search.best_index_ + 1]


def test_of_several_metrics_the_one_that_counts_or_the_one_asked_for_is_drawn(ax):
    settings = {"scoring": ["r2", "neg_mean_absolute_error"], "cv": 3}
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, refit="r2", **settings).fit(X, y)
    display = SearchDisplay.from_estimator(search, ax=ax)
    np.testing.assert_array_equal(display.points_.get_ydata(), search.cv_results_["mean_test_r2"])
    display = SearchDisplay.from_estimator(search, metric="neg_mean_absolute_error", ax=ax.figure.add_subplot())
    np.testing.assert_array_equal(display.points_.get_ydata(), search.cv_results_["mean_test_neg_mean_absolute_error"])
    assert display.ax_.get_ylabel() == "Negative mean absolute error"
    with pytest.raises(ValueError, match=r"`metric` must be one of \['neg_mean_absolute_error', 'r2'\], got 'mse'"):
        SearchDisplay.from_estimator(search, metric="mse")
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, refit=False, **settings).fit(X, y)
    with pytest.raises(ValueError, match=r"`metric` must name one of .*`refit=False` names none; got None"):
        SearchDisplay.from_estimator(search)


def test_what_is_no_search_is_refused_with_a_way_out():
    with pytest.raises(NotFittedError):
        SearchDisplay.from_estimator(StepwiseSearchCV(StepwiseRegressor()))
    with pytest.raises(ValueError, match=r"`search` must be a fitted search.*got Ridge; .*LossCurveDisplay"):
        SearchDisplay.from_estimator(Ridge().fit(X, y))
