import pickle
import zlib

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.metrics import check_scoring
from sklearn.model_selection import KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor
from sk_dlsteps.step4_validation.ladder import climb
from sk_dlsteps.step4_validation.problem import Problem

K = 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = X @ [1.0, 1.0, 1.0] + RNG.normal(size=60)
FOLDS = [0.0, 0.01, -0.01, 0.02, -0.02]


class World:
    """An `evaluate` whose truth is known: a score for settings, and noise of each candidate in each fold."""

    def __init__(self, truth, noise=0.0, train=0.99, model=None, seed=0):
        self.truth, self.noise, self.train, self.seed = truth, noise, train, seed
        self.model = StepwiseRegressor(n_estimators=1) if model is None else model
        self.calls = []

    @property
    def tried(self):
        return [params for call in self.calls for params in call]

    def problem(self, y):
        prefix = "" if isinstance(self.model, StepwiseRegressor) else f"{self.model.steps[-1][0]}__"
        splits = list(KFold(K).split(X))
        return Problem(self.model, X, y, splits, check_scoring(self.model, "r2"), "regression", prefix, "R2")

    def settings(self, params):
        given = {**self.model.get_params(), **params}
        return {name.rpartition("__")[2]: value for name, value in given.items()}

    def score(self, params):
        rng = np.random.default_rng([self.seed, zlib.crc32(repr(sorted(params.items())).encode())])
        return self.truth(self.settings(params)) + np.array(FOLDS) + self.noise * rng.normal(size=K)

    def evaluate(self, candidates):
        self.calls.append(candidates)
        test = np.array([self.score(params) for params in candidates])
        return test, np.full_like(test, self.train)


def ladders(world, y=Y, **settings):
    settings = {
        **{"n_iter": None, "max_seconds": None, "training_target": "auto", "param_distributions": None},
        **{"random_state": 0},
        **settings,
    }
    return list(climb(world.evaluate, world.problem(y), **settings))


def final(world, **settings):
    return ladders(world, **settings)[-1]


def likes_dropout(p):
    last = p["dropout"] if isinstance(p["dropout"], float) else p["dropout"][-1]
    return 0.6 - abs(last - 0.375)


def flat(p):
    return 0.5


def test_a_known_best_dropout_is_found_and_nothing_else_is_kept():
    world = World(likes_dropout)
    ladder = final(world)
    assert ladder.params == {"dropout": 0.375}
    assert [rung.name for rung in ladder if rung.kept] == ["start", "dropout"]
    assert world.tried[ladder.best_index] == ladder.params
    assert "every rung was tried" in ladder.verdict


def test_improvements_add_up_and_later_rungs_start_from_them():
    def truth(p):
        decay = 0.1 if p["weight_decay"] == 0.01 and p["optimizer"] == "adam" else 0.0
        return likes_dropout(p) + decay + 0.1 * p["batch_norm"]

    ladder = final(World(truth))
    assert ladder.params == {"dropout": 0.375, "weight_decay": 0.01, "batch_norm": True}
    decay = next(rung for rung in ladder if rung.name == "weight decay")
    assert all(params["dropout"] == 0.375 for params in decay.candidates)
    assert decay.differences[decay.best].mean == pytest.approx(0.1)
    assert decay.params == {"dropout": 0.375, "weight_decay": 0.01}


def test_the_training_fit_decides_whether_step_3_is_climbed():
    fitted = final(World(flat, train=0.99))
    assert {rung.step for rung in fitted[1:]} == {4}
    unfitted = final(World(lambda p: 0.3, train=0.3))
    names = [rung.name for rung in unfitted if rung.step == 3]
    assert names == ["start", "learning rate", "cosine decay", "units", "layers"]
    assert unfitted.training_target.startswith("the linear model fits the training rows as well (difference -0.")
    assert unfitted.training_target.endswith("), and no rung of step 3 helped: taken for the noise floor")
    assert f"Training fit: {unfitted.training_target}." in " ".join(str(unfitted).split())


def test_without_rungs_of_step_3_or_with_some_that_helped_the_verdict_on_the_fit_says_so():
    bare = final(World(flat, train=0.3), param_distributions={"dropout": [0.5]})
    assert ", and no rung of step 3 was there to try: taken for" in bare.training_target
    helped = final(World(lambda p: 0.2 + 0.1 * (p["lr_schedule"] == "cosine"), train=0.3))
    assert ", and what helped in step 3 did not change that: taken for" in helped.training_target


def test_a_training_fit_that_ran_out_of_budget_is_not_taken_for_the_noise_floor():
    ladder = final(World(flat, train=0.3), n_iter=2)
    assert ladder.training_target.startswith("not good enough yet, the linear model fits")


def test_step_3_ends_where_the_target_is_reached():
    world = World(flat)
    world.evaluate_given = world.evaluate

    def evaluate(candidates):
        test, train = world.evaluate_given(candidates)
        rates = [params.get("learning_rate") for params in candidates]
        good = np.array([rate == 0.06 for rate in rates])[:, None]
        return np.where(good, 0.8, 0.5) + 0 * test, np.where(good, 0.9, 0.6) + 0 * train

    world.evaluate = evaluate
    ladder = final(world, training_target=0.85, n_iter=6)
    assert [rung.name for rung in ladder] == ["start", "learning rate", "dropout"]
    assert ladder[1].kept
    assert ladder.training_target == "good enough, training 0.9 reaches the 0.85 you asked for"


def test_gradient_descent_gives_way_to_adam_and_decay_and_restarts():
    def truth(p):
        schedules = {"constant": 0.0, "cosine": 0.1, "cosine_restarts": 0.2}
        return 0.3 + 0.1 * (p["optimizer"] == "adam") + schedules[p["lr_schedule"]]

    model = StepwiseRegressor(n_estimators=1, optimizer="sgd", lr_schedule="constant", learning_rate=0.3)
    ladder = final(World(truth, train=0.3, model=model))
    assert ladder.params == {"optimizer": "adam", "learning_rate": "auto", "lr_schedule": "cosine_restarts"}


@pytest.mark.parametrize("seed", range(3))
def test_the_result_is_never_worse_than_the_start_in_the_scores_seen(seed):
    world = World(flat, noise=0.05, seed=seed)
    ladder = final(world)
    means = [world.score(params).mean() for params in world.tried]
    assert means[ladder.best_index] >= means[0]


def test_pure_noise_keeps_few_rungs():
    rungs = [rung for seed in range(20) for rung in final(World(flat, noise=0.05, seed=seed))[1:]]
    assert np.mean([rung.kept for rung in rungs]) < 0.25


def test_equal_scores_keep_the_start():
    ladder = final(World(flat))
    assert ladder.params == {}
    assert ladder.best_index == 0
    assert not any(rung.kept for rung in ladder[1:])


@pytest.mark.parametrize("n_iter", range(1, 24))
def test_the_budget_of_candidates_is_never_exceeded_and_spent_while_there_are_rungs(n_iter):
    world = World(likes_dropout)
    ladder = final(world, n_iter=n_iter)
    assert len(world.tried) <= n_iter
    if n_iter < 16:
        assert len(world.tried) == n_iter
        assert "`n_iter`" in ladder.verdict
    assert world.tried[ladder.best_index] == ladder.params


def test_a_rung_that_does_not_fit_is_shortened():
    ladder = final(World(likes_dropout), n_iter=3)
    assert [len(rung.candidates) for rung in ladder] == [1, 2]
    assert ladder.verdict.startswith("The ladder ended because the 3 candidates of `n_iter` were spent.")


def test_the_budget_of_seconds_is_kept():
    now = [0.0]
    world = World(likes_dropout)
    inner = world.evaluate

    def evaluate(candidates):
        now[0] += 2.0 * len(candidates)
        return inner(candidates)

    world.evaluate = evaluate
    ladder = final(world, max_seconds=14, clock=lambda: now[0])
    assert now[0] == 14
    assert [len(rung.candidates) for rung in ladder] == [1, 3, 3]
    assert [rung.name for rung in ladder] == ["start", "dropout", "weight decay"]
    assert "seconds of `max_seconds` were spent" in ladder.verdict


def test_no_candidate_is_tried_twice():
    world = World(likes_dropout, noise=0.02, train=0.6)
    final(world)
    keys = [repr(sorted(params.items())) for params in world.tried]
    assert len(set(keys)) == len(keys)


def test_values_of_the_start_are_not_tried_again_under_another_name():
    world = World(flat, train=0.3)
    same = {"dropout": [0, np.float32(0.0)], "batch_norm": [np.False_], "n_hidden_layers": np.array([1])}
    final(world, param_distributions={"lr_schedule": ["cosine_restarts", "auto"], **same})
    assert world.tried == [{}]
    pipeline = make_pipeline(PolynomialFeatures(2), StepwiseRegressor(n_estimators=1, hidden_units=(8, 4)))
    world = World(flat, train=0.3, model=pipeline)
    final(
        world,
        param_distributions={"stepwiseregressor__hidden_units": [[8, 4]], "polynomialfeatures__degree": [np.int64(2)]},
    )
    assert world.tried == [{}]


def test_candidates_that_fail_are_passed_over():
    def truth(p):
        return np.nan if p["dropout"] in (0.25, 0.375) else 0.5 + 0.1 * (p["dropout"] == 0.5)

    ladder = final(World(truth))
    assert ladder.params["dropout"] == 0.5
    everything = final(World(lambda p: np.nan if p["weight_decay"] else 0.5))
    rung = next(rung for rung in everything if rung.name == "weight decay")
    assert (rung.best, rung.kept, rung.verdict) == (None, False, "no candidate has a score in every fold")
    assert everything.params == {}


def test_a_start_that_fails_gives_way_to_whatever_works():
    hole = np.array([0, 0, np.nan, 0, 0])
    ladder = final(World(lambda p: 0.5 if p["batch_norm"] else 0.5 + hole))
    assert ladder.params["batch_norm"] is True
    rung = next(rung for rung in ladder if rung.name == "batch norm")
    assert rung.verdict == "kept: batch_norm=True has a score in every fold, which nothing had before"
    assert "Validation R2 unknown at the start and 0.5000 at the end" in ladder.verdict


def test_a_start_without_a_score_in_one_fold_gives_way_to_one_with_all_of_them():
    hole = np.array([0, 0, np.nan, 0, 0])
    worse_but_whole = World(lambda p: 0.2 if p["dropout"] == 0.5 else 0.5 + hole)
    assert final(worse_but_whole, training_target=0.9).params == {"dropout": 0.5}


def test_where_nothing_has_a_score_in_every_fold_the_verdict_says_so():
    world = World(lambda p: 0.5 + np.array([0, np.nan, np.nan, 0, 0]))
    ladder = final(world)
    assert (ladder.params, ladder.best_index) == ({}, 0)
    assert not any(rung.kept for rung in ladder[1:])
    assert ladder.training_target == "not good enough yet, a fold has no score"
    assert "Nothing could be compared" in ladder.verdict
    assert "the start has none in 2 of 5" in ladder.verdict
    assert "nan" not in ladder.verdict


def test_a_start_that_fails_in_every_fold_ends_the_ladder():
    world = World(lambda p: np.nan)
    world.train = np.nan
    ladder = final(world)
    assert world.tried == [{}]
    assert len(ladder) == 1
    assert ladder.verdict.startswith("The ladder ended because the start has no score in any fold")


def test_a_perfect_score_on_a_target_without_variation_is_no_lack_of_an_answer():
    world = World(lambda p: 1.0 - np.array(FOLDS), train=1.0)
    ladder = final(world, y=np.full(len(X), 3.0))
    assert world.tried == [{}]
    assert "the validation score is perfect" in ladder.verdict
    assert ladder.training_target == "good enough, training 1 is almost perfect"


def test_a_rung_that_makes_the_score_perfect_is_the_last():
    world = World(lambda p: (1.0 if p["dropout"] == 0.5 else 0.5) - np.array(FOLDS))
    ladder = final(world)
    assert [rung.name for rung in ladder] == ["start", "dropout"]
    assert "the validation score is perfect" in ladder.verdict


def test_a_perfect_validation_score_ends_the_ladder():
    world = World(lambda p: 1.0 - np.array(FOLDS), train=1.0)
    ladder = final(world)
    assert world.tried == [{}]
    assert "perfect" in ladder.verdict


@pytest.mark.parametrize("own", [1, 5, "auto"])
def test_every_candidate_has_the_estimators_own_networks(own):
    world = World(likes_dropout, model=StepwiseRegressor(n_estimators=own))
    ladder = final(world)
    assert world.calls[0] == [{}]
    assert all("n_estimators" not in params for params in world.tried)
    assert ladder.params == {"dropout": 0.375}


def test_a_user_who_names_n_estimators_has_it_searched_as_any_other():
    world = World(lambda p: 0.5 + 0.1 * (p["n_estimators"] == 4), model=StepwiseRegressor())
    ladder = final(world, param_distributions={"n_estimators": [1, 2, 4]})
    assert [rung.name for rung in ladder] == ["start", "other parameters"]
    assert ladder.params == {"n_estimators": 4}


def test_only_parameters_named_by_the_user_are_tried():
    world = World(likes_dropout)
    space = {"dropout": [0.1, 0.3], "activation": ["tanh", "silu"]}
    ladder = final(world, param_distributions=space)
    assert [rung.name for rung in ladder] == ["start", "dropout", "other parameters"]
    assert {params.get("dropout") for params in world.tried} == {None, 0.1, 0.3}
    assert ladder.params == {"dropout": 0.3}


def test_the_same_random_state_draws_the_same():
    space = {"dropout": list(np.linspace(0.1, 0.9, 50)), "activation": ["tanh", "silu", "gelu"]}
    worlds = [World(flat) for _ in range(3)]
    for world, seed in zip(worlds, (1, 1, 2), strict=True):
        final(world, param_distributions=space, random_state=seed)
    assert worlds[0].tried == worlds[1].tried != worlds[2].tried


def test_no_random_state_leaves_numpys_global_one_alone():
    before = np.random.get_state()[1].copy()
    final(World(flat), param_distributions={"dropout": [0.1, 0.2, 0.3]}, random_state=None)
    assert np.array_equal(before, np.random.get_state()[1])


def test_in_a_pipeline_names_carry_the_prefix():
    model = make_pipeline(StandardScaler(), StepwiseRegressor())
    world = World(likes_dropout, model=model)
    ladder = final(world)
    assert ladder.params == {"stepwiseregressor__dropout": 0.375}
    assert {name for params in world.calls[-1] for name in params} > {"stepwiseregressor__dropout"}


def test_each_ladder_on_the_way_is_whole():
    for ladder in ladders(World(likes_dropout, model=StepwiseRegressor())):
        assert len(repr(ladder)) > 0
        assert ladder.params == ladder[-1].params
        assert ladder.verdict


def test_an_interruption_passes_through_and_the_rungs_before_are_kept():
    world = World(likes_dropout)
    inner = world.evaluate

    def evaluate(candidates):
        if len(world.calls) == 2:
            raise KeyboardInterrupt
        return inner(candidates)

    seen = []
    settings = {"n_iter": 30, "max_seconds": None, "training_target": "auto", "param_distributions": None}
    with pytest.raises(KeyboardInterrupt):
        for ladder in climb(evaluate, world.problem(Y), random_state=0, **settings):
            seen.append(ladder)
    assert [rung.name for rung in seen[-1]] == ["start", "dropout"]
    assert seen[-1].params == {"dropout": 0.375}
    assert seen[0].verdict == "The ladder was interrupted; rungs climbed until then: start."
    assert seen[-1].verdict == "The ladder was interrupted; rungs climbed until then: start, dropout."


def test_rungs_are_announced_before_they_are_climbed():
    heard = []
    ladder = final(World(flat), announce=heard.append)
    assert heard == [rung.name for rung in ladder]


def searching(model, rows, target, **settings):
    """The last ladder of a search by scikit-learn's own cross-validation."""
    splits = list(KFold(3).split(rows))

    def evaluate(candidates):
        models = [clone(model).set_params(**params) for params in candidates]
        results = [cross_validate(m, rows, target, cv=splits, return_train_score=True) for m in models]
        return [r["test_score"] for r in results], [r["train_score"] for r in results]

    settings = {
        **{"n_iter": 8, "max_seconds": None, "training_target": "auto", "param_distributions": None},
        **settings,
    }
    problem = Problem(model, rows, target, splits, check_scoring(model), "regression")
    *_, ladder = climb(evaluate, problem, random_state=0, **settings)
    return ladder


@pytest.mark.filterwarnings("ignore:No learning rate could be found")
def test_a_real_search_finds_its_way():
    rows, target = (table[:200] for table in load_diabetes(return_X_y=True))
    model = StepwiseRegressor(max_epochs=5, n_estimators=2, random_state=0)
    ladder = searching(model, rows, target)
    assert sum(len(rung.candidates) for rung in ladder) <= 8
    scores = [score for rung in ladder for score in rung.test_scores]
    assert scores[ladder.best_index] >= scores[0]
    assert clone(model).set_params(**ladder.params).fit(rows, target).plan_.n_networks == 2
    assert len(pickle.dumps(ladder)) < 20_000


@pytest.mark.parametrize(("signal", "hopeless"), [(0.0, True), (1.0, False)])
def test_labels_that_inputs_cannot_predict_are_recognised_by_shuffling_them(signal, hopeless):
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(80, 2))
    target = signal * rows[:, 0] + rng.normal(size=80)
    model = StepwiseRegressor(max_epochs=30, n_estimators=1, learning_rate=0.02, random_state=0)
    ladder = searching(model, rows, target, param_distributions={"n_hidden_layers": [1, 2], "dropout": [0.5]})
    assert ("the inputs may not hold the answer" in ladder.verdict) == hopeless
    assert "On the same rows, the linear model" in ladder.verdict
    hurried = searching(model, rows, target, max_seconds=1e-9)
    assert ("The end is not beyond noise ahead of a constant guess." in hurried.verdict) == hopeless


def test_where_not_even_the_training_rows_can_be_fitted_step_4_has_nothing_to_improve():
    rows = np.zeros((80, 2))
    model = StepwiseRegressor(max_epochs=5, n_estimators=1, learning_rate=0.02, random_state=0)
    ladder = searching(model, rows, RNG.normal(size=80), param_distributions={"dropout": [0.5], "batch_size": [16]})
    assert [rung.name for rung in ladder] == ["start", "minibatch"]
    assert "the inputs may not hold the answer" in ladder.verdict
    assert "so that step 4 has nothing to improve" in ladder.verdict


def test_an_overfit_is_cured_by_step_4_before_an_answer_is_doubted():
    world = World(lambda p: 0.5 if p["dropout"] else -0.5, train=0.9)
    ladder = final(world, y=np.random.default_rng(5).normal(size=60))
    assert ladder.training_target.startswith("good enough")
    assert "dropout" in [rung.name for rung in ladder if rung.kept]
    assert "constant guess" in ladder.verdict
    assert "not beyond noise ahead" not in ladder.verdict


MANY = np.random.default_rng(1).normal(size=(800, 4))
# Factors that put the rule's width between its bounds, which would hide what it is made of.
MODELS = [
    ("", StepwiseRegressor(n_estimators=1, hidden_size_factor=0.2)),
    ("", StepwiseRegressor(n_estimators=8, hidden_size_factor=0.2)),
    ("", StepwiseRegressor(n_estimators=8, hidden_size_factor=0.2, early_stopping=False)),
    ("", StepwiseRegressor(n_estimators=8, hidden_size_factor=0.7, numeric_encoding=None)),
    (
        "stepwiseregressor__",
        make_pipeline(PolynomialFeatures(2), StepwiseRegressor(n_estimators=1, hidden_size_factor=0.05)),
    ),
    (
        "stepwiseclassifier__",
        make_pipeline(PolynomialFeatures(2), StepwiseClassifier(n_estimators=8, hidden_size_factor=0.2)),
    ),
]


@pytest.mark.parametrize(("prefix", "model"), MODELS)
def test_units_are_tried_around_the_width_that_the_estimator_really_has(prefix, model):
    target = MANY[:, 0] if "classifier" not in prefix else np.arange(800) % 3
    splits = list(KFold(2).split(MANY))
    train, _ = splits[0]
    fitted = clone(model).set_params(**{f"{prefix}max_epochs": 2, f"{prefix}learning_rate": 0.01})
    fitted.fit(MANY[train], target[train])
    (width,) = (fitted if not prefix else fitted[-1]).hidden_units_

    def evaluate(candidates):
        return np.full((len(candidates), 2), 0.5), np.full((len(candidates), 2), 0.9)

    settings = {"n_iter": None, "max_seconds": None, "training_target": 0.8, "param_distributions": None}
    task = "classification" if "classifier" in prefix else "regression"
    problem = Problem(model, MANY, target, splits, check_scoring(model), task, prefix)
    *_, ladder = climb(evaluate, problem, random_state=0, **settings)
    sizes = next(rung for rung in ladder if rung.name == "layer sizes")
    assert [change[f"{prefix}hidden_units"] for change in sizes.changes] == [max(round(width / 2), 8), width * 2]


@pytest.mark.parametrize(("space", "error"), [({"droput": [0.1]}, ValueError), ({"dropout": 0.3}, TypeError)])
def test_a_space_with_a_mistake_is_refused_before_anything_is_trained(space, error):
    world = World(flat)
    with pytest.raises(error, match="drop"):
        final(world, param_distributions=space)
    assert world.calls == []
