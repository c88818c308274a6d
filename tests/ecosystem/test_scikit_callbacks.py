"""scikit-learn's callbacks follow fits and searches, which go as they do without."""

import pickle
import runpy
import sys
import warnings

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Checkpoint, EpochScoring

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV, callback_support, diagnose

callback = pytest.importorskip("sklearn.callback", reason="this scikit-learn has no callbacks")
SHORT = {"max_epochs": 6, "n_estimators": 2, "learning_rate": 0.02, "random_state": 0}


def go_on(name, number):
    """Do nothing."""


class Listener:
    """Writes down what happens; does what it is told to in the middle of it."""

    def __init__(self, max_propagation_depth=None, act=go_on):
        self.max_propagation_depth, self.act = max_propagation_depth, act
        self.heard = []

    def setup(self, estimator, context):
        self.heard.append(("setup", type(estimator).__name__))

    def teardown(self, estimator, context):
        self.heard.append(("teardown", type(estimator).__name__))

    def on_fit_task_begin(self, estimator, context):
        self.heard.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context):
        self.heard.append(("end", context.task_name, context.task_id))
        return self.act(context.task_name, context.task_id)

    def ended(self, name):
        """Numbers of the tasks of that name, in the order in which they ended."""
        return [number for event, *task in self.heard if event == "end" for own, number in [task] if own == name]


class Watcher:
    """Asks the estimator of each task something, before and after."""

    def __init__(self, ask):
        self.ask, self.before, self.after = ask, [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, *, fitted_estimator=None):
        if fitted_estimator is not None:
            self.before.append(self.ask(fitted_estimator))

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.after.append(self.ask(fitted_estimator))


def stop(name, number):
    """Say that three epochs are enough."""
    return name == "epoch" and number == 2


def fail(name, number):
    """Raise an error of no kind that anybody expects."""
    if name in ("epoch", "candidate-split-evaluation") and number == 2:
        raise ZeroDivisionError("from a callback")


def interrupt(name, number):
    """Press Ctrl-C."""
    if name == "epoch" and number == 2:
        raise KeyboardInterrupt


def monitored(model, X, y, scoring="r2", **given):
    """A fitted model and the rows of its monitor's log: the fit, then the epochs."""
    monitor = callback.ScoringMonitor(scoring=scoring)
    model.set_callbacks(monitor).fit(X, y, **given)
    return model, monitor.get_logs().data


def own_module(n_inputs, n_outputs):
    """A module that no formula knows."""
    return torch.nn.Sequential(torch.nn.Linear(n_inputs, 4), torch.nn.ELU(), torch.nn.Linear(4, n_outputs))


@pytest.mark.parametrize(
    "parameters",
    [{}, {"loss": "quantile"}, {"module": own_module}, {"unfreeze": 2}, {"scaler": None, "batch_norm": True}],
    ids=lambda parameters: "-".join(parameters),
)
def test_each_epoch_is_scored_and_the_networks_are_those_of_a_fit_without_callbacks(parameters, diabetes):
    X, X_test, y, _ = diabetes
    model, (whole, *epochs) = monitored(StepwiseRegressor(**SHORT, **parameters), X, y)
    plain = StepwiseRegressor(**SHORT, **parameters).fit(X, y)
    np.testing.assert_array_equal(model.predict(X_test), plain.predict(X_test))
    assert [row["task_name"] for row in (whole, *epochs)] == ["fit", *["epoch"] * 6]
    assert [row["task_id"] for row in epochs] == list(range(6))
    assert len({row["r2"] for row in epochs}) > 1
    assert whole["r2"] == model.score(X, y)
    if "loss" not in parameters:  # the intervals are calibrated in the end
        assert epochs[-1]["r2"] == whole["r2"]


def test_an_epochs_estimator_predicts_like_a_fit_of_so_many_epochs(diabetes):
    X, X_test, y, _ = diabetes
    kind = {**SHORT, "lr_schedule": "constant", "n_iter_no_change": 50}
    watcher = Watcher(lambda fitted: (fitted.n_iter_, fitted.predict(X_test)))
    StepwiseRegressor(**kind).set_callbacks(watcher).fit(X, y)
    *epochs, _ = watcher.after
    assert [n for n, _ in epochs] == [1, 2, 3, 4, 5, 6]
    assert [n for n, _ in watcher.before] == [0, 1, 2, 3, 4, 5]
    for (n, prediction), (_, of_the_next) in zip(epochs[:-1], watcher.before[1:], strict=True):
        shorter = StepwiseRegressor(**{**kind, "max_epochs": n}).fit(X, y)
        np.testing.assert_array_equal(prediction, shorter.predict(X_test))
        np.testing.assert_array_equal(of_the_next, prediction)


def test_the_centers_of_embeddings_are_those_of_the_epoch(iris):
    X, X_test, y, _ = iris
    kind = {**SHORT, "loss": "triplet", "lr_schedule": "constant", "n_iter_no_change": 50}
    watcher = Watcher(lambda fitted: (fitted.predict_proba(X_test), fitted.transform(X_test)))
    StepwiseClassifier(**kind).set_callbacks(watcher).fit(X, y)
    shorter = StepwiseClassifier(**{**kind, "max_epochs": 3}).fit(X, y)
    p, embedding = watcher.after[2]
    np.testing.assert_array_equal(p, shorter.predict_proba(X_test))
    np.testing.assert_array_equal(embedding, shorter.transform(X_test))


def test_networks_that_have_stopped_are_in_their_own_place(diabetes):
    X, X_test, y, _ = diabetes
    kind = {"max_epochs": 40, "n_estimators": 4, "n_iter_no_change": 1, "learning_rate": 0.05, "random_state": 0}
    watcher = Watcher(lambda fitted: fitted.predict(X_test, return_std=True))
    model = StepwiseRegressor(**kind, lr_schedule="constant").set_callbacks(watcher).fit(X, y)
    assert len({*model.pipeline_[-1].best_epochs_}) > 1
    np.testing.assert_array_equal(watcher.after[-2], watcher.after[-1])


def test_weights_reach_the_score(diabetes):
    X, _, y, _ = diabetes
    weight = np.where(y > 200, 20.0, 0.5)
    model, (whole, *_) = monitored(StepwiseRegressor(**SHORT), X, y, sample_weight=weight)
    assert whole["r2"] == model.score(X, y, sample_weight=weight) != model.score(X, y)


def test_a_table_of_strings_is_scored_as_it_is_given():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"kind": ["a", "b", "c"] * 20, "size": np.arange(60.0)})
    y = np.where(X["kind"] == "b", "yes", "no")
    _, rows = monitored(StepwiseClassifier(**{**SHORT, "max_epochs": 20}), X, y, "accuracy")
    assert rows[-1]["accuracy"] == 1


def test_a_warm_start_tells_of_its_own_epochs(diabetes):
    X, _, y, _ = diabetes
    plain = StepwiseRegressor(**SHORT, warm_start=True).fit(X, y).fit(X, y)
    watcher = Watcher(lambda fitted: fitted.n_iter_)
    model = StepwiseRegressor(**SHORT, warm_start=True).fit(X, y).set_callbacks(watcher).fit(X, y)
    assert watcher.after == [7, 8, 9, 10, 11, 12, 12]
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))


@pytest.mark.parametrize("unfreeze", [True, 2])
def test_a_callback_ends_the_training(unfreeze, diabetes):
    X, _, y, _ = diabetes
    listener = Listener(act=stop)
    model = StepwiseRegressor(**SHORT, unfreeze=unfreeze).set_callbacks(listener).fit(X, y)
    assert model.n_iter_ == 3
    assert listener.ended("epoch") == [0, 1, 2]
    assert listener.heard[-2:] == [("end", "fit", 0), ("teardown", "StepwiseRegressor")]


@pytest.mark.parametrize(("act", "error"), [(fail, ZeroDivisionError), (interrupt, KeyboardInterrupt)])
@pytest.mark.parametrize("warm_start", [False, True])
def test_an_error_of_a_callback_leaves_the_estimator_as_it_was(act, error, warm_start, diabetes):
    X, _, y, _ = diabetes
    model = StepwiseRegressor(**SHORT, warm_start=warm_start).fit(X, y)
    listener = Listener(act=act)
    before = vars(model.set_callbacks(listener)).copy()
    with pytest.raises(error):
        model.fit(X, y)
    assert vars(model) == before
    assert listener.heard[-1] == ("teardown", "StepwiseRegressor")


def test_an_error_at_the_very_end_leaves_the_estimator_unfitted(diabetes):
    X, _, y, _ = diabetes

    class Late(Listener):
        def teardown(self, estimator, context):
            raise OSError("cannot close")

    model = StepwiseRegressor(**SHORT).set_callbacks(Late())
    with pytest.raises(OSError, match="cannot close"):
        model.fit(X, y)
    assert not hasattr(model, "pipeline_")


def test_neither_the_model_nor_its_pickle_keeps_the_rows_that_callbacks_saw(diabetes):
    X, _, y, _ = diabetes
    plain = StepwiseRegressor(**SHORT).fit(X, y)
    model = StepwiseRegressor(**SHORT).set_callbacks(Listener()).fit(X, y)
    assert [name for name, _ in model.pipeline_[-1].callbacks_] == ["epoch_timer"]
    assert len(pickle.dumps(model)) < len(pickle.dumps(plain)) + 5000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), plain.predict(X))


def test_a_net_may_be_pickled_while_it_trains(diabetes, tmp_path):
    X, _, y, _ = diabetes
    no_files = dict.fromkeys(["f_params", "f_optimizer", "f_criterion", "f_history"])
    checkpoint = Checkpoint(monitor=None, f_pickle="net.pkl", dirname=tmp_path, **no_files)
    model = StepwiseRegressor(**SHORT, callbacks=[checkpoint])
    model.set_callbacks(Listener(act=lambda name, number: None)).fit(X, y)
    assert len(pickle.loads((tmp_path / "net.pkl").read_bytes()).history) == 6


def test_clones_share_callbacks_as_scikit_learns_do(diabetes):
    X, _, y, _ = diabetes
    monitor = callback.ScoringMonitor(scoring="r2")
    model = StepwiseRegressor(**SHORT).set_callbacks(monitor)
    for _ in range(2):
        clone(model).fit(X, y)
    assert len(monitor.get_logs(select="all")) == 2


def test_a_pipeline_and_a_search_of_scikit_learn_hand_callbacks_on(diabetes):
    X, _, y, _ = diabetes
    listener = Listener()
    pipeline = make_pipeline(StandardScaler(), StepwiseRegressor(**SHORT))
    search = GridSearchCV(pipeline, {"stepwiseregressor__dropout": [0.0, 0.5]}, cv=2)
    search.set_callbacks(listener).fit(X, y)
    assert listener.ended("epoch") == 5 * [0, 1, 2, 3, 4, 5]
    assert not hasattr(search.best_estimator_[-1], "_skl_callbacks")


SPACE = {"dropout": [0.0, 0.25, 0.5]}
RANDOM = {"param_distributions": SPACE, "strategy": "random", "n_iter": 3, "cv": 2}
LADDER = {"strategy": "ladder", "n_iter": 5, "cv": 2}


@pytest.mark.parametrize("settings", [RANDOM, LADDER, {**RANDOM, "n_jobs": 2}], ids=["random", "ladder", "workers"])
def test_a_search_tells_of_its_candidates_and_of_the_epochs_of_the_final_fit(settings, diabetes):
    X, _, y, _ = diabetes
    plain, told = (StepwiseSearchCV(StepwiseRegressor(**SHORT), random_state=0, **settings) for _ in range(2))
    listener = Listener()
    with joblib.parallel_config("threading"):  # processes would take seconds to start
        plain.fit(X, y)
        told.set_callbacks(listener).fit(X, y)
    np.testing.assert_array_equal(told.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(told.predict(X), plain.predict(X))
    assert len(listener.ended("candidate-split-evaluation")) == 2 * len(plain.cv_results_["params"])
    assert listener.ended("epoch") == [0, 1, 2, 3, 4, 5]
    begun, ended = ([task for event, *task in listener.heard if event == what] for what in ("begin", "end"))
    assert sorted(begun) == sorted(ended)
    if settings is LADDER:
        rungs = [f"rung: {rung.name}" for rung in told.ladder_]
        assert [name for name, _ in ended if name.startswith("rung")] == rungs


def test_a_search_does_not_hand_on_what_is_for_the_outermost_estimator_only(diabetes):
    X, _, y, _ = diabetes
    listener = Listener(max_propagation_depth=0)
    StepwiseSearchCV(StepwiseRegressor(**SHORT), **RANDOM).set_callbacks(listener).fit(X, y)
    assert listener.ended("refit-with-best-params") == [1]
    assert not listener.ended("epoch")


def test_candidates_with_callbacks_of_their_own_are_fitted_one_by_one(diabetes):
    X, _, y, _ = diabetes
    monitor = callback.ScoringMonitor(scoring="r2")
    model = StepwiseRegressor(**{**SHORT, "max_epochs": 2}).set_callbacks(monitor)
    StepwiseSearchCV(model, **RANDOM).fit(X, y)
    assert [len(log.data) for log in monitor.get_logs(select="all")] == [3] * (3 * 2 + 1)


def test_an_error_of_a_callback_leaves_the_search_as_it_was(diabetes):
    X, _, y, _ = diabetes
    search = StepwiseSearchCV(StepwiseRegressor(**SHORT), **RANDOM).fit(X, y).set_callbacks(Listener(act=fail))
    before = vars(search).copy()
    with pytest.raises(ZeroDivisionError, match="from a callback"):
        search.fit(X, y)
    assert vars(search) == before


def test_callbacks_of_the_outermost_belong_to_the_search(diabetes):
    X, _, y, _ = diabetes
    model = StepwiseRegressor(**SHORT).set_callbacks(Listener())
    with pytest.raises(TypeError, match=r"`estimator` was given Listener by `set_callbacks`.*give it to the search"):
        StepwiseSearchCV(model, **RANDOM).set_callbacks(Listener()).fit(X, y)


@pytest.mark.parametrize("whole", ["model", "search"])
def test_a_progress_bar_counts_epochs(whole, diabetes, capsys):
    pytest.importorskip("rich")
    X, _, y, _ = diabetes
    model = StepwiseRegressor(**SHORT)
    told = model if whole == "model" else StepwiseSearchCV(model, **RANDOM)
    told.set_callbacks(callback.ProgressBar()).fit(X, y)
    shown = capsys.readouterr().out
    assert "StepwiseRegressor - fit" in shown
    assert "100%" in shown


def test_skorchs_callbacks_go_on_beside_them(diabetes):
    X, _, y, _ = diabetes
    scoring = EpochScoring("neg_mean_absolute_error", name="mae", lower_is_better=False)
    watcher = Watcher(lambda fitted: fitted.n_iter_)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = StepwiseRegressor(**SHORT, callbacks=[scoring]).set_callbacks(watcher).fit(X, y)
    assert "mae" in model.history_[-1]
    assert len(watcher.after) == 7


def test_a_diagnosis_tells_nobody_of_its_own_fits(diabetes):
    X, _, y, _ = diabetes
    listener = Listener()
    model = StepwiseRegressor(**SHORT).set_callbacks(listener).fit(X, y)
    heard = [*listener.heard]
    diagnose(model, X, y, cv=2, random_state=0)
    assert listener.heard == heard


def test_an_older_scikit_learn_has_no_callbacks_and_that_is_all(monkeypatch, diabetes):
    X, _, y, _ = diabetes
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    older = runpy.run_path(callback_support.__file__)
    assert not hasattr(older["CallbackSupportMixin"], "set_callbacks")
    assert older["callbacks_of"](StepwiseRegressor(**SHORT).fit(X, y)) == []


def cut_off(name, number):
    """Raise in the fourth epoch."""
    if name == "epoch" and number == 3:
        raise ZeroDivisionError("the lights went out")


def test_epochs_that_come_from_a_checkpoint_keep_their_numbers(diabetes, tmp_path):
    X, _, y, _ = diabetes
    model = StepwiseRegressor(**SHORT, checkpoint=tmp_path, checkpoint_every=1).set_callbacks(Listener(act=cut_off))
    with pytest.raises(ZeroDivisionError):
        model.fit(X, y)
    listener = Listener()
    model.set_callbacks(listener).fit(X, y)
    # The fourth epoch was complete, but had not been stored.
    assert listener.ended("epoch") == [3, 4, 5]
    np.testing.assert_array_equal(model.predict(X), StepwiseRegressor(**SHORT).fit(X, y).predict(X))


def test_an_error_at_the_end_leaves_the_checkpoint(diabetes, tmp_path):
    X, _, y, _ = diabetes

    def fail_at_the_end(name, number):
        if name == "fit":
            raise ZeroDivisionError("from a callback")

    model = StepwiseRegressor(**SHORT, checkpoint=tmp_path, checkpoint_every=1)
    with pytest.raises(ZeroDivisionError):
        model.set_callbacks(Listener(act=fail_at_the_end)).fit(X, y)
    assert not hasattr(model, "pipeline_")
    assert len(list(tmp_path.iterdir())) == 1
    assert model.set_callbacks().fit(X, y).n_iter_ == 6
    assert not any(tmp_path.iterdir())


def test_a_model_with_callbacks_is_saved_without_them(diabetes, tmp_path):
    pytest.importorskip("safetensors")
    X, _, y, _ = diabetes
    model = StepwiseRegressor(**SHORT).set_callbacks(Listener()).fit(X, y)
    model.save(tmp_path / "model")
    again = StepwiseRegressor.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert callback_support.callbacks_of(model) and not callback_support.callbacks_of(again)
