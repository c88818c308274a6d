"""StepwiseSearchCV: equal to RandomizedSearchCV, whatever fails, whatever interrupts it."""

import io
import pickle
import warnings
import weakref
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest
import torch
from scipy.stats import loguniform, randint
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import Ridge
from sklearn.metrics import make_scorer, mean_absolute_error, r2_score
from sklearn.model_selection import GroupKFold, KFold, RandomizedSearchCV, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV, StepwiseWarning
from sk_dlsteps.step4_validation import candidates

SPACE = {"hidden_units": randint(4, 12), "weight_decay": loguniform(1e-4, 1e-1)}
QUICK = {"n_estimators": 1, "max_epochs": 3, "learning_rate": 0.01, "random_state": 0}
REGRESSOR = StepwiseRegressor(**QUICK)


class Constant(RegressorMixin, BaseEstimator):
    """Predicts a number; what of it is fitted together is yielded backwards, as scikit-learn would not."""

    calls: list = []  # noqa: RUF012
    alive: list = []  # noqa: RUF012

    def __init__(self, shift=0.0, fail=None):
        self.shift = shift
        self.fail = fail

    def fit(self, X, y):
        if self.fail is not None:
            raise self.fail
        self.mean_ = np.mean(y) + self.shift
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)

    @staticmethod
    def _fit_together(estimators, tables):
        Constant.calls.append(list(tables))
        Constant.alive.append([])
        models = [weakref.ref(model) for model in estimators]
        for i in reversed(range(len(tables))):
            try:
                models[i]().fit(*tables[i])
            except Exception as error:
                yield i, error
            else:
                yield i, None
            Constant.alive[-1].append(sum(model() is not None for model in models))


class Counting(TransformerMixin, BaseEstimator):
    """Multiplies, and counts how often it is fitted."""

    fits = 0

    def __init__(self, factor=1.0):
        self.factor = factor

    def fit(self, X, y=None):
        if self.factor == 0:
            raise ValueError("nothing is left")
        Counting.fits += 1
        self.mean_ = X.mean(axis=0)
        return self

    def transform(self, X):
        return (X - self.mean_) * self.factor


def search(estimator=REGRESSOR, space=SPACE, **kwargs):
    return StepwiseSearchCV(
        estimator, space, **{"strategy": "random", "n_iter": 4, "cv": 3, "random_state": 0, **kwargs}
    )


def both(X, y, estimator=REGRESSOR, space=SPACE, fit_params=(), **kwargs):
    """Our search and scikit-learn's, fitted."""
    theirs = RandomizedSearchCV(estimator, space, **{"n_iter": 4, "cv": 3, "random_state": 0, **kwargs})
    return search(estimator, space, **kwargs).fit(X, y, **dict(fit_params)), theirs.fit(X, y, **dict(fit_params))


def assert_alike(ours, theirs):
    """Equal but for seconds and rounding."""
    assert list(ours.cv_results_) == list(theirs.cv_results_)
    for key, values in theirs.cv_results_.items():
        own = ours.cv_results_[key]
        assert type(own) is type(values), key
        if key == "params":
            assert own == values
            continue
        assert (own.shape, own.dtype) == (values.shape, values.dtype), key
        if "_score" in key or "_test_" in key or "_train_" in key:
            if "_time" not in key:
                np.testing.assert_allclose(own, values, rtol=1e-4, atol=1e-5, err_msg=key)
        elif key.startswith("param_"):
            assert own.tolist() == values.tolist()
            assert (own.mask == values.mask).all()
    assert (ours.n_splits_, ours.multimetric_) == (theirs.n_splits_, theirs.multimetric_)
    for name in ("best_index_", "best_params_"):
        assert getattr(ours, name, None) == getattr(theirs, name, None)
    assert hasattr(ours, "best_score_") == hasattr(theirs, "best_score_")
    assert getattr(ours, "best_score_", 0) == pytest.approx(getattr(theirs, "best_score_", 0), rel=1e-4)
    assert hasattr(ours, "best_estimator_") == hasattr(theirs, "best_estimator_")


@pytest.mark.parametrize(
    ("cv", "groups"),
    [
        (3, None),
        (KFold(3, shuffle=True, random_state=1), None),
        ([(np.arange(100), np.arange(100, 200)), (np.arange(150, 250), np.arange(50))], None),
        (GroupKFold(3), np.arange(331) % 7),
    ],
    ids=["number", "splitter", "rows", "groups"],
)
def test_candidates_folds_and_scores_are_those_of_randomized_search(cv, groups, diabetes):
    X, _, y, _ = diabetes
    ours, theirs = both(X, y, cv=cv, fit_params={"groups": groups}, return_train_score=True)
    assert_alike(ours, theirs)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-4)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), rel=1e-4)


def test_classifiers_are_stratified_and_have_classes_and_probabilities(iris):
    X, _, y, _ = iris
    ours, theirs = both(X, y, StepwiseClassifier(**QUICK))
    assert_alike(ours, theirs)
    assert list(ours.classes_) == [0, 1, 2]
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)


def test_draws_and_folds_may_share_one_random_state(diabetes):
    X, _, y, _ = diabetes
    states = [np.random.RandomState(5) for _ in range(2)]
    kinds = (search, lambda **kwargs: RandomizedSearchCV(REGRESSOR, SPACE, n_iter=4, **kwargs))
    ours, theirs = (
        kind(random_state=state, cv=ShuffleSplit(2, random_state=state)).fit(X, y)
        for kind, state in zip(kinds, states, strict=True)
    )
    assert_alike(ours, theirs)


def test_a_space_smaller_than_n_iter_is_searched_whole_with_scikit_learns_warning(diabetes):
    X, _, y, _ = diabetes
    with pytest.warns(UserWarning, match="smaller than n_iter=4"):
        ours, theirs = both(X, y, space={"hidden_units": [4, 8], "weight_decay": [0.0]})
    assert_alike(ours, theirs)
    assert len(ours.cv_results_["params"]) == 2


def two_metrics(estimator, X, y):
    """A scorer that gives several scores."""
    return {"r2": r2_score(y, estimator.predict(X)), "mae": -mean_absolute_error(y, estimator.predict(X))}


def one_metric(estimator, X, y):
    """A scorer that is a plain function."""
    return -mean_absolute_error(y, estimator.predict(X))


@pytest.mark.parametrize(
    ("scoring", "refit"),
    [
        ("neg_mean_absolute_error", True),
        (one_metric, True),
        (one_metric, False),
        (["r2", "neg_mean_absolute_error"], "r2"),
        ({"a": "r2", "b": make_scorer(mean_absolute_error, greater_is_better=False)}, "b"),
        (("r2", "neg_max_error"), False),
        (two_metrics, "mae"),
        (two_metrics, lambda results: 2),
        ("r2", lambda results: results["mean_test_score"].argmin()),
    ],
)
def test_metrics_and_refit_are_those_of_randomized_search(scoring, refit, diabetes):
    X, _, y, _ = diabetes
    ours, theirs = both(X, y, scoring=scoring, refit=refit, return_train_score=True)
    assert_alike(ours, theirs)
    assert type(ours.scorer_) is type(theirs.scorer_)
    if refit and not (callable(refit) and scoring is two_metrics):
        assert ours.score(X, y) == pytest.approx(theirs.score(X, y), rel=1e-4)


def test_several_metrics_need_to_be_told_which_one_counts(diabetes):
    X, _, y, _ = diabetes
    for scoring in (["r2", "neg_max_error"], two_metrics):
        with pytest.raises(ValueError, match="refit"):
            search(scoring=scoring, n_iter=1).fit(X, y)


@pytest.mark.parametrize("scoring", [None, ["r2", "neg_max_error"], two_metrics])
@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite:UserWarning")
def test_a_candidate_that_fails_gets_the_error_score_and_the_rest_go_on(scoring, diabetes):
    X, _, y, _ = diabetes
    space, refit = {"hidden_units": [4, -1, 8]}, "r2" if scoring else True
    for error_score in (np.nan, -7.0):
        with pytest.warns(FitFailedWarning, match=r"3 fits failed out of a total of 9[\s\S]*hidden_units"):
            ours, theirs = both(X, y, space=space, n_iter=3, scoring=scoring, refit=refit, error_score=error_score)
        assert_alike(ours, theirs)
        assert ours.best_params_ != {"hidden_units": -1}


def test_an_error_is_raised_if_wanted_or_if_everything_fails(diabetes):
    X, _, y, _ = diabetes
    with pytest.raises(ValueError, match="`hidden_units`"):
        search(space={"hidden_units": [4, -1]}, n_iter=2, error_score="raise").fit(X, y)
    with pytest.raises(ValueError, match="All the 6 fits failed"):
        search(space={"hidden_units": [-2, -1]}, n_iter=2).fit(X, y)


@pytest.mark.filterwarnings("ignore:Scoring failed:UserWarning", "ignore:One or more of the:UserWarning")
def test_a_scorer_that_fails_gives_the_error_score(diabetes):
    def scorer(estimator, X, y):
        if estimator.hidden_units == 4:
            raise ValueError("not for four")
        return 1.0

    X, _, y, _ = diabetes
    assert_alike(*both(X, y, space={"hidden_units": [4, 8]}, n_iter=2, scoring=scorer, error_score=-1.0))
    with pytest.raises(ValueError, match="not for four"):
        search(space={"hidden_units": [4, 8]}, n_iter=2, scoring=scorer, error_score="raise").fit(X, y)


def test_a_pipeline_fits_its_transformers_once_for_each_fold_and_setting(diabetes):
    X, _, y, _ = diabetes
    pipeline = make_pipeline(Counting(), REGRESSOR)
    space = {"counting__factor": [1.0, 5.0], **{f"stepwiseregressor__{name}": SPACE[name] for name in SPACE}}
    ours, theirs = both(X, y, pipeline, space, n_iter=6)
    assert_alike(ours, theirs)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-4)
    Counting.fits = 0
    search(pipeline, space, n_iter=6, refit=False).fit(X, y)
    assert Counting.fits == 2 * 3


IN_PLACE = FunctionTransformer(lambda X: np.log1p(np.abs(X), out=X))


@pytest.mark.parametrize(
    ("estimator", "prefix"),
    [
        (make_pipeline(IN_PLACE, clone(REGRESSOR).set_params(scaler=None)), "stepwiseregressor__"),
        (make_pipeline(make_pipeline(StandardScaler(copy=False), REGRESSOR)), "pipeline__stepwiseregressor__"),
        (clone(REGRESSOR).set_params(scaler=StandardScaler(copy=False)), ""),
    ],
)
def test_transformers_that_work_in_place_spoil_no_other_candidate(estimator, prefix, diabetes):
    X, _, y, _ = diabetes
    X, before = 100 * X + 500, 100 * X + 500
    assert_alike(*both(X, y, estimator, {f"{prefix}hidden_units": [4, 8, 16]}, n_iter=3, refit=False))
    np.testing.assert_array_equal(X, before)


def test_folds_beyond_the_budget_are_cut_in_turns_with_the_same_results(diabetes, monkeypatch):
    X, _, y, _ = diabetes
    once = search().fit(X, y)
    n_calls = len(Constant.calls)
    monkeypatch.setattr(candidates, "MOST_BYTES", 2 * X.nbytes)
    assert_alike(search().fit(X, y), once)
    search(Constant(), {"shift": [1.0, 2.0]}, n_iter=2, refit=False).fit(X, y)
    assert [len(tables) for tables in Constant.calls[n_calls:]] == [4, 2]


def test_the_time_of_a_fit_contains_that_of_transformers(diabetes, monkeypatch):
    class Clock:
        """Moves when a transformer is fitted only."""

        now = 0.0

        def perf_counter(self):
            return self.now

    clock = Clock()

    class Slow(Counting):
        """Takes its time."""

        def fit(self, X, y=None):
            clock.now += 12.0
            return super().fit(X, y)

    X, _, y, _ = diabetes
    monkeypatch.setattr(candidates, "time", clock)
    model = search(make_pipeline(Slow(), Constant()), {"constant__shift": [1.0, 2.0]}, n_iter=2, refit=False)
    # Twelve seconds in each of three folds, shared by two candidates.
    assert model.fit(X, y).cv_results_["mean_fit_time"].tolist() == [6.0, 6.0]


@pytest.mark.parametrize("strategy", ["random", "ladder"])
def test_targets_may_be_a_series_or_several_columns(strategy, diabetes):
    pd = pytest.importorskip("pandas")
    X, _, y, _ = diabetes
    space = {"hidden_units": [4, 8]}
    series = pd.Series(y, index=np.random.default_rng(0).permutation(len(y)))
    of_array, of_series = (search(space=space, n_iter=2, strategy=strategy).fit(X, own) for own in (y, series))
    assert_alike(of_series, of_array)
    both_columns = np.c_[y, -2 * y]
    ours = search(space=space, n_iter=2, strategy=strategy).fit(X, both_columns)
    assert ours.predict(X).shape == (len(X), 2)
    if strategy == "random":
        assert_alike(*both(X, both_columns, space=space, n_iter=2))
    else:
        assert "a constant guess" in ours.ladder_.verdict


def test_tables_beyond_the_budget_are_trained_in_turns_with_the_same_results(diabetes, monkeypatch):
    X, _, y, _ = diabetes
    pipeline = make_pipeline(StandardScaler(), Constant())
    space = {"standardscaler__with_mean": [True, False], "constant__shift": [1.0, 2.0]}
    once = search(pipeline, space).fit(X, y)
    n_calls = len(Constant.calls)
    monkeypatch.setattr(candidates, "MOST_BYTES", 1)
    assert_alike(search(pipeline, space).fit(X, y), once)
    assert len(Constant.calls) == n_calls + 2 * 3  # one for each setting of the scaler in each fold


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite:UserWarning")
def test_a_transformer_that_fails_is_a_candidate_that_fails(diabetes):
    X, _, y, _ = diabetes
    with pytest.warns(FitFailedWarning, match="nothing is left"):
        assert_alike(*both(X, y, make_pipeline(Counting(), REGRESSOR), {"counting__factor": [0.0, 1.0]}, n_iter=2))


def test_a_pipeline_may_be_nothing_but_the_estimator_or_exchange_it(diabetes):
    X, _, y, _ = diabetes
    assert_alike(*both(X, y, make_pipeline(REGRESSOR), {"stepwiseregressor__hidden_units": [4, 8]}, n_iter=2))
    space = {"stepwiseregressor": [Constant(), Ridge(), REGRESSOR], "standardscaler": ["passthrough", StandardScaler()]}
    ours, theirs = both(X, y, make_pipeline(StandardScaler(), REGRESSOR), space, n_iter=6)
    np.testing.assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=1e-4)


@pytest.mark.parametrize(
    ("estimator", "space", "fit_params"),
    [
        (Ridge(), {"alpha": loguniform(1e-3, 1e3)}, {}),
        (Ridge(), {"alpha": loguniform(1e-3, 1e3)}, {"sample_weight": np.arange(331.0)}),
        (TransformedTargetRegressor(REGRESSOR), {"regressor__hidden_units": [4, 8, 9, 10]}, {}),
    ],
)
def test_what_cannot_be_fitted_together_is_fitted_as_scikit_learn_does(estimator, space, fit_params, diabetes):
    X, _, y, _ = diabetes
    assert_alike(*both(X, y, estimator, space, fit_params=fit_params))


class LogTarget(StepwiseRegressor):
    """Knows more of fitting than the class that it is derived from."""

    def fit(self, X, y):
        return super().fit(X, np.log(y))

    def predict(self, X):
        return np.exp(super().predict(X))


def test_a_subclass_with_a_fit_of_its_own_is_fitted_by_that(diabetes):
    X, _, y, _ = diabetes
    model = LogTarget(**QUICK)
    assert_alike(*both(X, y, model))
    space = {f"logtarget__{name}": values for name, values in SPACE.items()}
    assert_alike(*both(X, y, make_pipeline(StandardScaler(), model), space))


def test_pipelines_in_pipelines_are_trained_together(diabetes):
    X, _, y, _ = diabetes
    inner = make_pipeline(Counting(), Constant())
    outer = make_pipeline(StandardScaler(), inner)
    space = {
        "standardscaler__with_mean": [True, False],
        "pipeline__counting__factor": [1.0, 3.0],
        "pipeline__constant__shift": [0.0, 1.0, 2.0],
    }
    n_calls, Counting.fits = len(Constant.calls), 0
    search(outer, space, n_iter=12, refit=False).fit(X, y)
    assert len(Constant.calls) == n_calls + 1
    assert Counting.fits == 2 * 2 * 3


@pytest.mark.parametrize(
    "space",
    [
        {"pipeline__counting__factor": [1.0, 3.0], "pipeline__pipeline__stepwiseregressor__hidden_units": [4, 8]},
        {
            "pipeline__pipeline": [
                REGRESSOR,
                make_pipeline(Counting(2.0), REGRESSOR),
                make_pipeline(Constant()),
                Ridge(),
            ]
        },
        [{"pipeline__pipeline": [REGRESSOR]}, {"pipeline__pipeline__stepwiseregressor__hidden_units": [4, 8, 9]}],
    ],
)
def test_pipelines_in_pipelines_score_as_in_randomized_search(space, diabetes):
    X, _, y, _ = diabetes
    nested = make_pipeline(StandardScaler(), make_pipeline(Counting(), make_pipeline(REGRESSOR)))
    ours, theirs = both(X, y, nested, space)
    for key in ("mean_test_score", "split0_test_score"):
        np.testing.assert_allclose(ours.cv_results_[key], theirs.cv_results_[key], rtol=1e-4)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-4)


def test_parameters_of_fit_reach_the_estimators(diabetes):
    X, X_val, y, y_val = diabetes
    ours, theirs = both(X, y, space={"hidden_units": [4, 8]}, n_iter=2, fit_params={"X_val": X_val, "y_val": y_val})
    assert_alike(ours, theirs)
    assert ours.best_estimator_.oof_prediction_ is None


def test_metadata_is_routed_as_in_randomized_search(diabetes):
    X, _, y, _ = diabetes
    with config_context(enable_metadata_routing=True):
        estimator = Ridge().set_fit_request(sample_weight=True)
        scoring = make_scorer(r2_score).set_score_request(sample_weight=True)
        fit_params = {"groups": np.arange(331) % 7, "sample_weight": np.arange(331.0)}
        space = {"alpha": loguniform(1e-3, 1e3)}
        assert_alike(*both(X, y, estimator, space, scoring=scoring, cv=GroupKFold(3), fit_params=fit_params))
        with pytest.raises(TypeError, match="weights"):
            search(estimator, space).fit(X, y, weights=y)


def test_all_is_handed_over_in_one_call_and_a_fold_is_one_table(diabetes):
    X, _, y, _ = diabetes
    ours, theirs = both(X, y, Constant(), {"shift": [0.0, 1.0, 2.0, 3.0]})
    assert_alike(ours, theirs)
    tables = Constant.calls[-1]
    assert len(tables) == 4 * 3
    assert len({id(X) for X, _ in tables}) == len({id(y) for _, y in tables}) == 3


def test_scored_estimators_are_dropped_while_others_still_train(diabetes):
    X, _, y, _ = diabetes
    search(Constant(), {"shift": [0.0, 1.0, 2.0, 3.0]}).fit(X, y)
    assert Constant.alive[-1] == list(range(11, -1, -1))


def test_fit_time_is_a_share_of_the_batchs(diabetes):
    X, _, y, _ = diabetes
    results = search(refit=False).fit(X, y).cv_results_
    assert len(set(results["mean_fit_time"])) == 1
    assert 0 < results["mean_fit_time"][0] < 10


def interrupting(after):
    """A scorer during whose next call but `after` the user presses Ctrl-C."""
    calls = []

    def scorer(estimator, X, y):
        calls.append(estimator)
        if len(calls) > after:
            raise KeyboardInterrupt
        return r2_score(y, estimator.predict(X))

    return scorer


@pytest.mark.parametrize("estimator", [REGRESSOR, make_pipeline(StandardScaler(), REGRESSOR), Ridge()])
def test_ctrl_c_keeps_the_candidates_that_have_finished(estimator, diabetes):
    X, _, y, _ = diabetes
    name = "alpha" if isinstance(estimator, Ridge) else next(n for n in estimator.get_params() if "weight_decay" in n)
    whole = search(estimator, {name: SPACE["weight_decay"]}).fit(X, y)
    part = clone(whole).set_params(scoring=interrupting(after=8))
    with pytest.warns(StepwiseWarning, match="2 of 4 candidates had finished"), pytest.raises(KeyboardInterrupt):
        part.fit(X, y)
    for key in ("params", "split2_test_score", "mean_test_score"):
        assert list(part.cv_results_[key]) == list(whole.cv_results_[key][:2])
    assert part.best_params_ == part.cv_results_["params"][part.best_index_]
    assert part.best_score_ == max(part.cv_results_["mean_test_score"])
    assert (part.n_splits_, part.multimetric_) == (3, False)
    assert not hasattr(part, "best_estimator_")
    with pytest.raises(NotFittedError):
        part.predict(X)


@pytest.mark.parametrize("works", [False, True])
def test_ctrl_c_goes_on_if_all_finished_candidates_failed_and_if_warnings_are_errors(works, diabetes):
    calls = []

    class Interrupted(Constant):
        def fit(self, X, y):
            calls.append(len(X))
            if len(calls) > 3:
                raise KeyboardInterrupt
            if not works:
                raise ValueError("never")
            return super().fit(X, y)

    X, _, y, _ = diabetes
    model = search(Interrupted(), {"shift": [0.0, 1.0]}, n_iter=2)
    with warnings.catch_warnings(action="error"), pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert len(calls) == 4
    assert hasattr(model, "cv_results_") == works


def test_ctrl_c_while_the_best_is_refitted_keeps_all_candidates(diabetes):
    class Impatient(Constant):
        def fit(self, X, y):
            if len(X) == 331:
                raise KeyboardInterrupt
            return super().fit(X, y)

    X, _, y, _ = diabetes
    part = search(Impatient(), {"shift": [0.0, 1.0]}, n_iter=2)
    with pytest.warns(StepwiseWarning, match="2 of 2"), pytest.raises(KeyboardInterrupt):
        part.fit(X, y)
    assert len(part.cv_results_["params"]) == 2


def test_without_a_finished_candidate_the_search_stays_as_it_was(diabetes):
    X, _, y, _ = diabetes
    model = search().fit(X, y)
    before = dict(vars(model))
    model.scoring = interrupting(after=2)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    model.scoring = None
    assert vars(model) == before
    with pytest.raises(ValueError, match="infinity"):
        model.set_params(error_score="raise").fit(np.full_like(X, np.inf), y)
    assert vars(model.set_params(error_score=np.nan)) == before


def test_a_wrong_name_is_an_error_before_anything_is_fitted(diabetes):
    X, _, y, _ = diabetes
    n_calls = len(Constant.calls)
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        search(Constant(), {"shift": [1.0, 2.0], "depth": [3]}, n_iter=2).fit(X, y)
    assert len(Constant.calls) == n_calls


INNER = RandomizedSearchCV(REGRESSOR, {"dropout": [0.0, 0.1]}, n_iter=2)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"strategy": "grid"}, "'strategy' parameter"),
        ({"n_iter": 0}, "'n_iter' parameter"),
        ({"max_seconds": -1.0, "strategy": "ladder"}, "'max_seconds' parameter"),
        ({"max_seconds": 5.0}, "strategy='ladder', got 5.0"),
        ({"training_target": "good"}, "'training_target' parameter"),
        ({"training_target": 0.9}, "`training_target` belongs to strategy='ladder', got 0.9"),
        ({"space": 3}, "'param_distributions' parameter"),
        ({"training_target": np.nan, "strategy": "ladder"}, "`training_target` must be 'auto' or a score, .* got nan"),
        ({"training_target": True, "strategy": "ladder"}, "`training_target` must be 'auto' or a score, .* got True"),
        ({"estimator": Ridge(), "space": None}, "must be given, as Ridge offers none"),
        ({"estimator": INNER, "space": None}, "must be given, as RandomizedSearchCV offers none"),
        ({"estimator": INNER, "strategy": "ladder"}, "`strategy='ladder'` climbs .* got RandomizedSearchCV; use"),
        ({"estimator": Ridge(), "strategy": "ladder"}, "`strategy='ladder'` climbs .* got Ridge; use"),
        ({"cv": []}, "nothing to fit|at least one"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_value(wrong, words, diabetes):
    X, _, y, _ = diabetes
    with pytest.raises(ValueError, match=words):
        search(**wrong).fit(X, y)


@pytest.mark.parametrize("strategy", ["random", "ladder"])
@pytest.mark.parametrize(
    ("labels", "message"),
    [(None, "`y` must be given: StepwiseClassifier learns"), (np.array(["a", None] * 20), "`y` holds missing labels")],
    ids=["none", "gaps"],
)
def test_labels_that_no_folds_can_be_made_of_are_refused(strategy, labels, message):
    with pytest.raises(ValueError, match=message):
        search(StepwiseClassifier(), {"dropout": [0.0]}, strategy=strategy).fit(np.zeros((40, 2)), labels)


def test_rows_of_many_lengths_are_refused_in_the_words_of_fit():
    with pytest.raises(ValueError, match="rows of X are not all of one shape"):
        search(error_score="raise").fit([[1.0, 2.0], [3.0]] * 20, np.arange(40.0))


def test_without_a_space_the_estimators_own_is_searched(diabetes):
    X, _, y, _ = diabetes
    own = search(space=None, n_iter=2).fit(X, y)
    assert_alike(own, search(space=REGRESSOR.param_distributions(), n_iter=2).fit(X, y))
    inside = search(make_pipeline(StandardScaler(), REGRESSOR), None, n_iter=2, refit=False).fit(X, y)
    names = {f"stepwiseregressor__{name}": value for name, value in own.cv_results_["params"][0].items()}
    assert inside.cv_results_["params"][0] == names


@pytest.mark.parametrize("strategy", ["random", "ladder"])
@pytest.mark.filterwarnings("ignore:No learning rate could be found:sk_dlsteps.StepwiseWarning")
def test_nothing_of_the_held_out_rows_reaches_a_fit(strategy, diabetes):
    X, _, y, _ = diabetes
    X, y, rows = X[:120], y[:120], np.arange(120)
    train, test = rows[rows % 3 > 0], rows[rows % 3 == 0]
    bad_X, bad_y = X.copy(), y.copy()
    bad_X[test], bad_y[test] = 1e6, -1e6
    model = StepwiseRegressor(n_estimators=2, max_epochs=8, hidden_units=8, random_state=0)

    def fitted_on(X, y):
        kept = []

        def blind(estimator, X, y):
            kept.append(estimator)
            return 0.5 * (len(kept) % 2)

        cv = [(train, test), (train, test[::-1])]
        found = search(model, None, strategy=strategy, n_iter=5, cv=cv, scoring=blind, refit=False).fit(X, y)
        # Scored once or twice on each of two folds. After those the ladder trains on shuffled labels, anybody's.
        n_scored = len(found.cv_results_["params"]) * len(cv) * (2 if strategy == "ladder" else 1)
        return [estimator for estimator in kept if isinstance(estimator, StepwiseRegressor)][:n_scored]

    clean, poisoned = fitted_on(X, y), fitted_on(bad_X, bad_y)
    assert len(clean) == len(poisoned) >= 6
    for one, other in zip(clean, poisoned, strict=True):
        assert one.get_params() == other.get_params()
        assert one.learning_rate_ == other.learning_rate_
        assert one.history_[:, ("train_loss", "valid_loss")] == other.history_[:, ("train_loss", "valid_loss")]
        np.testing.assert_array_equal(one.oof_prediction_, other.oof_prediction_)
        np.testing.assert_array_equal(one.predict(X[train]), other.predict(X[train]))


@pytest.mark.parametrize("strategy", ["random", "ladder"])
def test_random_states_and_threads_are_left_alone(strategy, diabetes):
    X, _, y, _ = diabetes
    before = (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), torch.get_num_threads())
    search(space=None, strategy=strategy, n_iter=2, random_state=None).fit(X, y)
    assert (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), torch.get_num_threads()) == before


def test_candidates_differ_without_a_random_state(diabetes):
    X, _, y, _ = diabetes
    one, other = (search(random_state=None, n_iter=1, refit=False).fit(X, y).best_params_ for _ in range(2))
    assert one != other


class Terminal(io.StringIO):
    """Where a person looks."""

    def isatty(self):
        return True


def test_a_terminal_shows_how_far_the_search_is_if_asked_to(diabetes, monkeypatch):
    X, _, y, _ = diabetes
    monkeypatch.setattr("sk_dlsteps.report.progress._TERMINAL", 0.0)
    with redirect_stderr(Terminal()) as shown, redirect_stdout(io.StringIO()) as printed:
        model = search(verbose=1).fit(X, y)
    assert shown.getvalue().count("\r\x1b[Ksearch: ") == 12
    assert f"12 of 12 fits, best score {model.best_score_:.3f}" in shown.getvalue()
    assert shown.getvalue().endswith("\r\x1b[K")
    with redirect_stderr(Terminal()) as silent:
        search().fit(X, y)
    assert silent.getvalue() == printed.getvalue() == ""


@pytest.mark.parametrize(
    ("scoring", "refit"),
    [(["r2", "neg_max_error"], False), (two_metrics, False), (["r2", "neg_max_error"], lambda results: 0)],
)
def test_the_terminal_shows_no_best_where_no_single_metric_counts(scoring, refit, diabetes, monkeypatch):
    X, _, y, _ = diabetes
    monkeypatch.setattr("sk_dlsteps.report.progress._TERMINAL", 0.0)
    with redirect_stderr(Terminal()) as shown:
        search(scoring=scoring, refit=refit, verbose=1).fit(X, y)
    assert "12 of 12 fits" in shown.getvalue()
    assert "best" not in shown.getvalue()


def test_a_fitted_search_pickles_and_keeps_names_of_columns(diabetes):
    pd = pytest.importorskip("pandas")
    X, _, y, _ = diabetes
    table = pd.DataFrame(X, columns=list("abcdefghij"))
    model = pickle.loads(pickle.dumps(search(n_iter=2).fit(table, y)))
    assert list(model.feature_names_in_) == list("abcdefghij")
    assert model.n_features_in_ == 10
    assert model.predict(table).shape == y.shape
    assert model.refit_time_ > 0


def test_the_ladder_gives_its_candidates_as_results(diabetes):
    X, _, y, _ = diabetes
    model = search(make_pipeline(StandardScaler(), REGRESSOR), None, strategy="ladder", n_iter=8).fit(X, y)
    tried = [params for rung in model.ladder_ for params in rung.candidates]
    assert model.cv_results_["params"] == tried
    assert list(model.cv_results_["rung"]) == [rung.name for rung in model.ladder_ for _ in rung.candidates]
    assert model.best_params_ == tried[model.best_index_] == model.ladder_.params
    assert model.best_score_ == model.cv_results_["mean_test_score"][model.best_index_]
    np.testing.assert_allclose(
        model.cv_results_["mean_test_score"], [score for rung in model.ladder_ for score in rung.test_scores]
    )
    assert not any("train" in key for key in model.cv_results_)
    expected = clone(model.estimator).set_params(**model.best_params_).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))


@pytest.mark.parametrize(
    ("elsewhere", "cv", "words", "params"),
    [
        (-0.1, 3, "On other folds the end is not ahead of the start (-0.1", {}),
        (0.1, 3, "On other folds the end is ahead of the start by +0.1", {"dropout": 0.1}),
        (-0.1, KFold(3, shuffle=True, random_state=0), "not ahead", {}),
        (-0.1, KFold(3), "", {"dropout": 0.1}),
        (-0.1, ShuffleSplit(3, random_state=0), "", {"dropout": 0.1}),
    ],
)
def test_the_end_of_a_ladder_is_confirmed_on_other_folds_where_rows_may_be_shuffled(
    elsewhere, cv, words, params, diabetes
):
    X, _, y, _ = diabetes
    known = []

    def lucky(estimator, X, y):
        """Likes dropout on the first folds that it sees, and otherwise as told."""
        rows = frozenset(X[:, 2])
        if len(known) < 6 and rows not in known:
            known.append(rows)
        gain = 0.1 if rows in known else elsewhere
        return 0.5 + gain * bool(estimator.dropout) if hasattr(estimator, "dropout") else 0.3

    model = search(space={"dropout": [0.1]}, strategy="ladder", n_iter=2, cv=cv, scoring=lucky).fit(X, y)
    assert model.ladder_[-1].kept
    assert model.best_params_ == model.ladder_.params == params
    assert model.best_index_ == model.ladder_.best_index == len(params)
    assert model.best_estimator_.dropout == params.get("dropout", 0.0)
    assert words in model.ladder_.verdict
    assert ("On other folds" in model.ladder_.verdict) == bool(words)


def test_an_interrupted_ladder_keeps_its_rungs(diabetes):
    X, _, y, _ = diabetes
    space = {"dropout": [0.1, 0.2, 0.3], "weight_decay": [0.001, 0.01]}
    model = search(space=space, strategy="ladder", n_iter=8, scoring=interrupting(after=40))
    with pytest.warns(StepwiseWarning, match="There is no `best_estimator_`"), pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert [rung.name for rung in model.ladder_] == ["start", "dropout"]
    assert list(model.cv_results_["rung"][:4]) == ["start", "dropout", "dropout", "dropout"]
    assert model.best_params_ == model.ladder_.params == model.cv_results_["params"][model.best_index_]


def test_the_ladder_looks_for_an_answer_with_the_parameters_of_fit(diabetes):
    class Watching(StepwiseRegressor):
        """Notes with which validation rows it was fitted."""

        given: list = []  # noqa: RUF012

        def fit(self, X, y, X_val=None, y_val=None):
            Watching.given.append(X_val is not None)
            return super().fit(X, y, X_val=X_val, y_val=y_val)

    X, _, y, _ = diabetes
    model = search(Watching(**QUICK), {"dropout": [0.1]}, strategy="ladder", n_iter=2, refit=False)
    model.fit(0 * X, y, X_val=X[:20], y_val=y[:20])
    assert "may not hold the answer" in model.ladder_.verdict
    assert len(model.cv_results_["params"]) == 1
    assert len(Watching.given) == 2 * 3 and all(Watching.given)


@pytest.mark.parametrize("scoring", [["r2", "neg_max_error"], two_metrics])
def test_the_ladder_climbs_by_the_metric_that_counts(scoring, diabetes):
    X, _, y, _ = diabetes
    model = search(space={"dropout": [0.1]}, strategy="ladder", n_iter=2, scoring=scoring, refit="r2").fit(X, y)
    assert model.best_score_ == model.cv_results_["mean_test_r2"][model.best_index_]
    assert model.ladder_.score_name == "r2"
    with pytest.raises(ValueError, match="`refit` must name the metric"):
        model.set_params(refit=False).fit(X, y)


def test_a_ladder_of_several_metrics_is_refused_before_anything_is_fitted(diabetes):
    X, _, y, _ = diabetes
    n_calls = len(Constant.calls)
    for refit in (True, False, lambda results: 0):
        with pytest.raises(ValueError, match="`refit` must name the metric"):
            search(Constant(), {"shift": [1.0]}, strategy="ladder", scoring=["r2"], refit=refit).fit(X, y)
    assert len(Constant.calls) == n_calls


@pytest.mark.filterwarnings(
    "ignore:Scoring failed",
    "ignore:One or more of the test scores are non-finite",
    "ignore:Only one class is present:sklearn.exceptions.UndefinedMetricWarning",
    "ignore:No training row of some folds:sk_dlsteps.StepwiseWarning",
)
def test_where_a_score_needs_every_class_and_folds_lack_some_the_ladder_ends_and_says_why(diabetes):
    X, _, _, _ = diabetes
    labels = np.repeat(["a", "b", "c"], len(X) // 3 + 1)[: len(X)]
    cv = KFold(3)
    model = StepwiseSearchCV(StepwiseClassifier(**QUICK), cv=cv, scoring="roc_auc_ovr", random_state=0)
    model.fit(X, labels)
    assert [rung.name for rung in model.ladder_] == ["start"]
    assert model.best_params_ == {}
    assert "not even a constant guess has a score in every fold" in model.ladder_.verdict
    assert "the start has none in 3 of 3" in model.ladder_.verdict
