"""`fine_tune` and `init_from`: networks that begin as others ended."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, Freezer
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV, StepwiseWarning, find_learning_rate

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4))
Y = np.sin(X[:, 0]) + X[:, 1] + 0.2 * RNG.normal(size=300)
LABELS = np.digitize(Y, [-0.7, 0.7])
OTHER = np.array(["calm", "wild"])[(np.abs(Y) > 0.8).astype(int)]
QUICK = {"n_estimators": 2, "random_state": 0, "learning_rate": 0.01, "max_epochs": 5}


class Net(nn.Module):
    """A module with a batch norm."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_inputs, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.head = nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.head(self.body(x))


def fleet_of(model):
    """The networks."""
    return model.pipeline_[-1].module_


def body_of(model):
    """All that is not in the last layer, a tensor of each network by name."""
    fleet = fleet_of(model)
    if hasattr(fleet, "named_stacks"):
        return {n: s.data.clone() for n, s in fleet.named_stacks() if fleet.layer_of(n) != fleet.layers[-1]}
    return {n: t.clone() for n, t in fleet.modules_.state_dict().items() if ".head." not in f".{n}."}


def record(model, title):
    """The record of that title."""
    return next(record for record in model.steps_ if record.title == title)


@pytest.fixture(scope="module")
def classifier():
    return StepwiseClassifier(**QUICK).fit(X, LABELS)


@pytest.fixture(scope="module")
def regressor():
    return StepwiseRegressor(**QUICK).fit(X, Y)


@pytest.mark.parametrize("parameters", [{}, {"unfreeze": True}, {"module": Net}], ids=str)
def test_the_source_stays_as_it_was(parameters):
    kept = {name: value for name, value in parameters.items() if name == "module"}
    source = StepwiseClassifier(**QUICK, **kept).fit(X, LABELS)
    before, predicted = pickle.dumps(fleet_of(source).state_dict()), source.predict_proba(X)
    history, settings = list(source.history_), source.get_params()
    tuned = source.fine_tune(X[:80] + 0.5, OTHER[:80], **{n: v for n, v in parameters.items() if n not in kept})
    assert pickle.dumps(fleet_of(source).state_dict()) == before
    np.testing.assert_array_equal(source.predict_proba(X), predicted)
    assert (list(source.history_), source.get_params()) == (history, settings)
    assert tuned is not source
    assert tuned.init_from is source
    assert all(p.requires_grad for p in fleet_of(source).parameters())


@pytest.mark.parametrize("module", ["mlp", Net])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", torch.optim.RMSprop])
def test_a_body_that_stays_frozen_is_the_source_s(module, optimizer):
    source = StepwiseClassifier(**QUICK, module=module).fit(X, LABELS)
    tuned = source.fine_tune(X[:80], OTHER[:80], unfreeze=False, weight_decay=0.1, optimizer=optimizer)
    for name, tensor in body_of(source).items():
        assert torch.equal(body_of(tuned)[name], tensor), name
    again = tuned.set_params(warm_start=True).fit(X[:80], OTHER[:80])
    for name, tensor in body_of(source).items():
        assert torch.equal(body_of(again)[name], tensor), name


def test_networks_go_round_where_the_source_has_fewer(classifier):
    tuned = classifier.fine_tune(X[:80], OTHER[:80], unfreeze=False, n_estimators=3)
    for name, tensor in body_of(classifier).items():
        assert torch.equal(body_of(tuned)[name], tensor[[0, 1, 0]])
    center = fleet_of(classifier).input_center
    assert torch.equal(fleet_of(tuned).input_center, center[[0, 1, 0]])


@pytest.mark.parametrize(
    ("target", "kind", "new"),
    [
        (LABELS, StepwiseClassifier, None),
        (LABELS + 5, StepwiseClassifier, "other classes"),
        (OTHER, StepwiseClassifier, "the source's task was multiclass"),
        (np.stack([LABELS > 0, LABELS > 1], 1).astype(int), StepwiseClassifier, "task was multiclass"),
        (Y, StepwiseRegressor, "task was multiclass"),
        (np.digitize(Y, [-1, 0, 1]), StepwiseClassifier, "the source had 3 outputs"),
    ],
)
def test_the_head_is_new_where_it_would_stand_for_something_else(classifier, target, kind, new):
    tuned = kind(**QUICK, init_from=classifier).fit(X[:80], target[:80])
    assert tuned.predict(X).shape == target.shape
    found = record(tuned, "transfer")
    assert found.evidence["new layers"] == (("output",) if new else ())
    assert (new or "the head is kept") in found.because


@pytest.mark.parametrize("module", ["mlp", Net])
def test_a_regression_of_the_same_values_begins_with_the_source_s_predictions(module):
    source = StepwiseRegressor(**QUICK, module=module).fit(X, 1000 + 50 * Y)
    # Averages of a batch norm that trains would move.
    still = {**QUICK, "learning_rate": 1e-12, "early_stopping": False, "unfreeze": False}
    begun = StepwiseRegressor(**still, init_from=source).fit(X[:60], 1010 + 50 * Y[:60])
    np.testing.assert_allclose(begun.predict(X), source.predict(X), rtol=1e-6)
    assert record(begun, "transfer").evidence["new layers"] == ()
    other = StepwiseRegressor(**still, init_from=source).fit(X[:60], Y[:60])
    assert record(other, "transfer").because.startswith("the head is new, since the source's predictions leave")
    assert record(other, "transfer").evidence["new layers"] == (fleet_of(other).layers[-1],)


def test_stages_are_recorded_with_what_trained_when_and_at_which_rate(classifier):
    tuned = classifier.fine_tune(X[:80], OTHER[:80], max_epochs=10, unfreeze=4, differential_rates=0.25)
    first, second = record(tuned, "stage 1 of 2"), record(tuned, "stage 2 of 2")
    assert first.evidence["frozen"] == ("hidden_1",)
    assert first.evidence["rates"] == {"output": 0.01}
    assert second.evidence["rates"] == {"hidden_1": pytest.approx(0.0025), "output": 0.01}
    assert second.evidence["planned epochs"] == "5 to 10"
    assert tuned.n_iter_ == len(tuned.history_) == first.evidence["epochs"] + second.evidence["epochs"]
    assert [stage.n_epochs for stage in tuned.plan_.stages] == [4, 6]
    assert tuned.plan_.max_epochs == 10
    assert (tuned.pipeline_[-1].best_epochs_ <= tuned.n_iter_).all()


def test_each_stage_has_a_range_test_of_its_own():
    settings = {**QUICK, "learning_rate": "auto", "max_epochs": 40, "batch_size": 16}
    source = StepwiseClassifier(**settings).fit(X, LABELS)
    tuned = source.fine_tune(X[:150], OTHER[:150], unfreeze=20)
    rates = [stage.learning_rate for stage in tuned.plan_.stages]
    assert tuned.learning_rate_ == rates[-1] != rates[0]
    assert tuned.lr_curve_ is not None
    curve = find_learning_rate(StepwiseClassifier(**settings, init_from=source, unfreeze=20), X[:150], OTHER[:150])
    assert curve.learning_rate == pytest.approx(rates[0])


def test_each_stage_keeps_its_curve(classifier):
    tuned = classifier.fine_tune(X[:150], OTHER[:150], learning_rate="auto", batch_size=16, max_epochs=40, unfreeze=20)
    curves = [stage.lr_curve for stage in tuned.plan_.stages]
    assert curves[-1] is tuned.lr_curve_ is not curves[0]
    assert all(curve.losses.size for curve in curves)


class Ends(Callback):
    """Ends the training in its third epoch."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 3:
            raise KeyboardInterrupt


def test_a_callback_that_ends_training_ends_all_stages(classifier):
    tuned = classifier.fine_tune(X[:80], OTHER[:80], max_epochs=10, unfreeze=4, callbacks=[Ends()])
    assert tuned.n_iter_ == 3
    assert [stage.trained for stage in tuned.plan_.stages] == [("output",)]
    assert record(tuned, "stage 1 of 1").evidence["epochs"] == 3


def test_a_callback_that_freezes_is_for_a_single_stage():
    source = StepwiseClassifier(**QUICK, module=Net).fit(X, LABELS)
    freezer = Freezer("modules_.*.body.*")
    with pytest.raises(ValueError, match=r"`callbacks` holds Freezer.* 2 stages.*`unfreeze`"):
        source.fine_tune(X[:80], OTHER[:80], unfreeze=2, callbacks=[("mine", freezer)])
    tuned = source.fine_tune(X[:80], OTHER[:80], unfreeze=True, callbacks=[freezer])
    assert torch.equal(fleet_of(tuned).modules_[0].body[0].weight, fleet_of(source).modules_[0].body[0].weight)


def test_rates_fall_by_themselves_in_the_built_in_network_only(classifier):
    of_module = StepwiseClassifier(**QUICK, module=Net).fit(X, LABELS).fine_tune(X[:80], OTHER[:80])
    assert of_module.plan_.stages[-1].scales == {}
    assert classifier.fine_tune(X[:80], OTHER[:80]).plan_.stages[-1].scales["hidden_1"] < 1
    half = of_module.fine_tune(X[:80], OTHER[:80], differential_rates=0.5)
    assert half.plan_.stages[-1].scales == {"body": 0.5, "head": 1.0}


def test_what_a_module_keeps_fixed_is_recorded_as_frozen():
    def partly_fixed(n_inputs, n_outputs):
        module = Net(n_inputs, n_outputs)
        module.body.requires_grad_(False)
        return module

    source = StepwiseClassifier(**QUICK, module=partly_fixed).fit(X, LABELS)
    tuned = source.fine_tune(X[:80], OTHER[:80], unfreeze=True)
    assert record(tuned, "stage 1 of 1").evidence["frozen"] == ("body",)
    for name, tensor in body_of(source).items():
        assert torch.equal(body_of(tuned)[name], tensor)


def test_a_default_rate_is_warned_of_where_the_fit_was_called(classifier):
    few = {"learning_rate": "auto", "max_epochs": 1}
    with pytest.warns(StepwiseWarning, match="No learning rate could be found") as of_a_new_head:
        StepwiseClassifier(**{**QUICK, **few}, init_from=classifier).fit(X[:20], OTHER[:20])
    with pytest.warns(StepwiseWarning, match="No learning rate could be found") as of_a_kept_head:
        classifier.fine_tune(X[:20], LABELS[:20], **few)
    assert {warning.filename for warning in (*of_a_new_head, *of_a_kept_head)} == {__file__}


def test_the_best_state_so_far_stays_in_the_running(regressor):
    tuned = regressor.fine_tune(X[:80], Y[:80], learning_rate=5.0, unfreeze=True, max_grad_norm=1.0)
    assert (tuned.pipeline_[-1].best_epochs_ == 0).all()
    np.testing.assert_allclose(tuned.predict(X), regressor.predict(X), rtol=1e-5)


def test_rates_for_each_layer_also_act_without_a_source():
    plain = StepwiseRegressor(**QUICK).fit(X, Y)
    same = StepwiseRegressor(**QUICK, differential_rates={"output": 1.0}).fit(X, Y)
    np.testing.assert_allclose(same.predict(X), plain.predict(X), rtol=1e-5)
    frozen = StepwiseRegressor(**QUICK, unfreeze=False).fit(X, Y)
    still = StepwiseRegressor(**{**QUICK, "learning_rate": 1e-12}).fit(X, Y)
    torch.testing.assert_close(body_of(frozen)["weights.0"], body_of(still)["weights.0"])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_units": 7}, "`hidden_units=7` is not what the networks of `init_from` were made with, .*'auto'"),
        ({"activation": "tanh"}, "`activation='tanh'`"),
        ({"module": Net}, "`module="),
        ({"scaler": None}, "`scaler=None`"),
        ({"batch_norm": True}, "`batch_norm=True`"),
        ({"unfreeze": {"layer4*": 1}}, "`unfreeze` names 'layer4*', which fits no layer; there are hidden_1, output"),
        ({"unfreeze": 5}, "`unfreeze=5` lets layers join after 5 epochs, but `max_epochs` is 5"),
        ({"init_from": None}, "`init_from` is the estimator whose"),
    ],
)
def test_what_contradicts_the_source_is_an_error(classifier, parameters, message):
    with pytest.raises(ValueError, match=message.replace("*'", "[*]'") if "layer4" in message else message):
        classifier.fine_tune(X[:80], OTHER[:80], **parameters)


def test_the_width_that_the_rule_gave_may_be_given(classifier):
    tuned = classifier.fine_tune(X[:80], OTHER[:80], hidden_units=classifier.hidden_units_[0])
    assert tuned.hidden_units_ == classifier.hidden_units_


def test_a_table_has_the_source_s_columns(classifier):
    with pytest.raises(ValueError, match="number of columns was 4 and is 3 now"):
        classifier.fine_tune(X[:80, :3], OTHER[:80])
    frame = pd.DataFrame(X, columns=list("abcd"))
    named = StepwiseClassifier(**QUICK).fit(frame, LABELS)
    with pytest.raises(ValueError, match=r"names of columns was \['a', 'b', 'c', 'd'\] and is \['e'"):
        named.fine_tune(frame.rename(columns={"a": "e"})[:80], OTHER[:80])
    assert named.fine_tune(frame[:80], OTHER[:80]).feature_names_in_.tolist() == list("abcd")


def test_a_state_dict_fills_what_has_its_name_and_shape():
    torch.manual_seed(0)
    known = Net(4, 7)
    tuned = StepwiseClassifier(**QUICK, module=Net, init_from=known.state_dict(), unfreeze=False).fit(X, LABELS)
    for name, tensor in known.state_dict().items():
        for own in fleet_of(tuned).modules_:
            assert torch.equal(own.state_dict()[name], tensor) != name.startswith("head")
    found = record(tuned, "transfer")
    assert found.evidence["new layers"] == ("head",)
    assert "body.0.weight" in found.evidence["taken over"]


def test_a_module_is_the_architecture_and_stays_as_it_is():
    torch.manual_seed(0)
    known = Net(4, 7)
    before = pickle.dumps(known.state_dict())
    model = StepwiseClassifier(**QUICK, init_from=known, unfreeze=False)
    assert clone(model).init_from is known
    tuned = model.fit(X, LABELS)
    assert pickle.dumps(known.state_dict()) == before
    assert fleet_of(tuned).modules_[0].head.out_features == 3
    assert torch.equal(fleet_of(tuned).modules_[1].body[0].weight, known.body[0].weight)
    again = tuned.fine_tune(X, OTHER, unfreeze=False)
    assert torch.equal(fleet_of(again).modules_[1].body[0].weight, known.body[0].weight)


def test_rows_of_any_shape_go_on_in_a_ready_module_with_another_head():
    images = X.reshape(300, 2, 2)
    source = StepwiseClassifier(**QUICK, module=nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Linear(5, 3)))
    tuned = source.fit(images, LABELS).fine_tune(images[:80], LABELS[:80])
    assert record(tuned, "transfer").evidence["new layers"] == ()
    other = tuned.fine_tune(images[:80], OTHER[:80])
    assert record(other, "transfer").evidence["new layers"] == ("2",)
    assert other.predict(images).shape == (300,)
    flat = source.fine_tune(images[:80], OTHER[:80])
    np.testing.assert_array_equal(other.predict(images) == "calm", other.predict(X) == "calm")
    assert flat.input_shape_ == (2, 2)
    with pytest.raises(ValueError, match="shape of rows was"):
        source.fine_tune(X[:80].reshape(80, 4, 1), LABELS[:80])


@pytest.mark.parametrize(
    ("init_from", "message"),
    [
        (StepwiseClassifier(), "`init_from` must be .*a fitted StepwiseRegressor or StepwiseClassifier"),
        ({"a": 1}, "`init_from` must be .*a state dict of tensors"),
        ({"weight": torch.zeros(3)}, "give the fitted estimator itself, or the `module` that the state belongs to"),
    ],
)
def test_what_is_no_source_is_an_error(init_from, message):
    with pytest.raises(ValueError, match=message):
        StepwiseClassifier(**QUICK, init_from=init_from).fit(X, LABELS)


def test_a_state_that_nothing_of_fits_is_an_error():
    with pytest.raises(ValueError, match=r"no tensor that the networks have.*it has weight, the networks have body"):
        StepwiseClassifier(**QUICK, module=Net, init_from={"weight": torch.zeros(3)}).fit(X, LABELS)


def test_clones_and_searches_keep_the_fitted_source(classifier):
    model = StepwiseClassifier(**QUICK, init_from=classifier)
    assert clone(model).init_from is classifier
    assert clone(make_pipeline(StandardScaler(), model))[-1].init_from is classifier
    assert not [name for name in model.get_params() if name.startswith("init_from__")]
    with pytest.raises(ValueError, match="`init_from__max_epochs` would change the fitted estimator"):
        model.set_params(init_from__max_epochs=3)
    search = GridSearchCV(model, {"unfreeze": [False, True]}, cv=2).fit(X, OTHER)
    assert search.best_estimator_.init_from is classifier
    sources = GridSearchCV(StepwiseClassifier(**QUICK), {"init_from": [None, FrozenEstimator(classifier)]}, cv=2)
    assert np.isfinite(sources.fit(X, OTHER).cv_results_["mean_test_score"]).all()


def test_a_search_of_ours_gives_what_scikit_learn_s_gives(classifier):
    model, space = StepwiseClassifier(**QUICK, init_from=classifier), {"unfreeze": [False, True, 2]}
    ours = StepwiseSearchCV(model, strategy="random", param_distributions=space, n_iter=3, cv=2, random_state=0)
    theirs = GridSearchCV(model, space, cv=2)
    scores = [
        dict(zip(map(str, s.cv_results_["params"]), s.cv_results_["mean_test_score"], strict=True))
        for s in (ours.fit(X, OTHER), theirs.fit(X, OTHER))
    ]
    assert scores[0] == pytest.approx(scores[1])


def test_nothing_of_a_fixed_architecture_is_searched(classifier):
    model = StepwiseClassifier(**QUICK, init_from=classifier)
    assert not {"hidden_units", "n_hidden_layers", "batch_norm"} & set(model.param_distributions())
    assert "dropout" in model.param_distributions()


def test_a_pickled_model_holds_its_source_but_not_that_one_s(classifier):
    once = classifier.fine_tune(X[:80], OTHER[:80])
    twice = once.fine_tune(X[:80], OTHER[:80])
    loaded = pickle.loads(pickle.dumps(twice))
    np.testing.assert_array_equal(loaded.predict_proba(X), twice.predict_proba(X))
    assert loaded.init_from.init_from is None
    assert twice.init_from.init_from is classifier
    refitted = clone(loaded).fit(X[:80], OTHER[:80])
    np.testing.assert_array_equal(refitted.predict_proba(X), twice.predict_proba(X))


@pytest.mark.parametrize("module", ["mlp", Net])
def test_further_fits_go_on_from_a_fine_tuned_model(module):
    source = StepwiseClassifier(**QUICK, module=module).fit(X, LABELS)
    tuned = StepwiseClassifier(**QUICK, init_from=source, warm_start=True).fit(X[:80], OTHER[:80])
    n_before = tuned.n_iter_
    tuned.fit(X[:80], OTHER[:80])
    assert tuned.n_iter_ > n_before
    tuned.partial_fit(X[80:160], OTHER[80:160])
    assert tuned.predict(X).shape == (300,)
    with pytest.raises(ValueError, match="begin with `fit` or `fine_tune`"):
        StepwiseClassifier(**QUICK, init_from=source).partial_fit(X, OTHER, classes=np.unique(OTHER))


@pytest.mark.parametrize("name", ["accelerator", "callbacks"])
def test_what_cannot_share_stages_is_refused(classifier, name):
    from skorch.callbacks import LRScheduler

    class Alone:
        """An accelerator of one process."""

        num_processes, process_index, device, mixed_precision = 1, 0, torch.device("cpu"), "no"
        reduce = staticmethod(lambda tensor, how: tensor)

    value = {"accelerator": Alone(), "callbacks": [LRScheduler()]}[name]
    model = StepwiseClassifier(**QUICK, init_from=classifier, **{name: value})
    with pytest.raises(ValueError, match=f"`{name}`.*fine-tuning"):
        model.fit(X[:80], OTHER[:80])


def table_of(n, rng):
    """A table with a category of many levels, one of few, and gaps."""
    frame = pd.DataFrame(rng.normal(size=(n, 2)), columns=["a", "b"])
    frame["many"] = rng.choice([f"level {i}" for i in range(12)], n)
    frame["few"] = rng.choice(["x", "y"], n)
    frame.loc[rng.random(n) < 0.1, "a"] = np.nan
    return frame, np.nan_to_num(frame["a"]) + (frame["few"] == "x") + rng.normal(0, 0.1, n)


@pytest.mark.parametrize("module", ["mlp", Net])
def test_tables_with_categories_gaps_and_ramps(module):
    frame, y = table_of(900, np.random.default_rng(0))
    source = StepwiseRegressor(**QUICK, module=module).fit(frame, y)
    tuned = source.fine_tune(frame[:300], y[:300], unfreeze=False)
    assert "embeddings" in fleet_of(tuned).layers
    for name, tensor in body_of(source).items():
        assert torch.equal(body_of(tuned)[name], tensor)
    assert tuned.fine_tune(frame[:300], y[:300], unfreeze={"embeddings": 2}).plan_.stages[1].trained[0] == "embeddings"
    assert np.isfinite(source.fine_tune(frame[:300], y[:300]).predict(frame)).all()


@pytest.mark.parametrize(
    ("parameters", "target"),
    [
        ({"loss": "quantile"}, Y),
        ({}, np.stack([Y, X[:, 2]], 1)),
        ({"loss": "poisson"}, np.exp(Y)),
        ({"batch_norm": True, "dropout": 0.2, "hidden_units": (8, 6)}, Y),
        ({"augmentation": "gaussian_noise", "scaler": "robust"}, Y),
        ({"scaler": StandardScaler(), "optimizer": "adamw", "weight_decay": 0.1}, Y),
        ({"scaler": None, "max_grad_norm": 0.5}, Y),
    ],
    ids=str,
)
def test_other_settings_of_a_regression(parameters, target):
    source = StepwiseRegressor(**QUICK, **parameters).fit(X, target)
    tuned = source.fine_tune(X[:90], target[:90], max_epochs=10)
    assert tuned.predict(X).shape == target.shape
    if parameters.get("loss") != "quantile":
        assert tuned.score(X, target) > 0.2


def test_weights_count_and_validation_data_decide(classifier):
    weight = np.where(np.arange(160) < 80, 1.0, 0.0)
    some = classifier.fine_tune(X[:80], OTHER[:80])
    counted = classifier.fine_tune(X[:160], OTHER[:160], sample_weight=weight)
    np.testing.assert_allclose(counted.predict_proba(X), some.predict_proba(X), atol=1e-6)
    validated = classifier.fine_tune(X[:80], OTHER[:80], X_val=X[200:], y_val=OTHER[200:], calibrate=True)
    assert validated.validation_score_ == pytest.approx(validated.score(X[200:], OTHER[200:]))
    assert validated.temperature_ != 1


def test_sparse_tables(classifier):
    source = StepwiseClassifier(**QUICK).fit(sparse.csr_array(np.maximum(X, 0)), LABELS)
    tuned = source.fine_tune(sparse.csr_array(np.maximum(X[:80], 0)), OTHER[:80])
    assert tuned.predict(sparse.csr_array(X)).shape == (300,)
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        classifier.fine_tune(sparse.csr_array(X[:80]), OTHER[:80])
