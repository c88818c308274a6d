"""What a source is, what goes on from it, and what is said where it cannot."""

import functools
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import nn

from sk_dlsteps import StepwiseClassifier
from sk_dlsteps.step2_architecture.resnet import RESNETS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
LABELS = np.digitize(X[:, 0] + X[:, 1], [-0.7, 0.7])
OTHER = (X[:, 1] > 0).astype(int)
QUICK = {"n_estimators": 2, "random_state": 0, "learning_rate": 0.01, "max_epochs": 2}


class Net(nn.Module):
    """A network that takes more than sizes."""

    def __init__(self, n_inputs, n_outputs, body=None, anything=None):
        super().__init__()
        self.body = nn.Linear(n_inputs, 8) if body is None else body
        self.anything = anything
        self.head = nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.head(self.body(x).relu())


class Unpicklable:
    """Something that pickling cannot take."""

    def __reduce__(self):
        raise TypeError("not this one")

    def __deepcopy__(self, memo):
        return Unpicklable()


def networks_of(model):
    """The networks, one module each."""
    return model.pipeline_[-1].module_.modules_


def taken(model):
    """What the record says of what was taken over."""
    return next(record.decision for record in model.steps_ if record.title == "transfer")


def error_of(model, *args):
    """What is wrong with a fit."""
    with pytest.raises(ValueError) as caught:
        model.fit(*args)
    return str(caught.value)


@pytest.fixture(scope="module")
def source():
    return StepwiseClassifier(**QUICK).fit(X, LABELS)


@pytest.mark.parametrize(
    "parameters",
    [
        {"module": Net, "module__body": nn.Sequential(nn.Linear(4, 8), nn.Tanh())},
        {"module": Net, "module__anything": nn.Tanh()},
        {"module": Net, "module__anything": torch.ones(3, 4)},
        {"module": Net, "module__anything": np.ones((3, 4))},
        {"module": Net, "module__anything": [np.ones(3), np.ones(2)]},
        {"module": Net, "module__anything": Unpicklable()},
        {"module": functools.partial(lambda a, b, h: nn.Sequential(nn.Linear(a, h), nn.Linear(h, b)), h=4)},
        {"module": nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))},
        {"scaler": FunctionTransformer(lambda v: v / 2)},
    ],
    ids=["module", "function", "tensor", "array", "arrays", "unpicklable", "partial", "lazy", "scaler"],
)
def test_what_nobody_changed_is_what_the_networks_were_made_with(parameters):
    model = StepwiseClassifier(**QUICK, **parameters).fit(X, LABELS)
    tuned = model.fine_tune(X, OTHER)
    again = clone(StepwiseClassifier(**QUICK, **parameters, init_from=model)).fit(X, OTHER)
    np.testing.assert_array_equal(again.predict_proba(X), tuned.predict_proba(X))
    assert again.set_params(warm_start=True).fit(X, OTHER).n_iter_ > tuned.n_iter_


def test_a_transformer_s_parameters_are_the_copy_s_own():
    model = StepwiseClassifier(**QUICK, scaler=StandardScaler()).fit(X, LABELS)
    copied = clone(StepwiseClassifier(**QUICK, scaler=model.scaler, init_from=model))
    assert "`scaler=" in error_of(copied.set_params(scaler__with_mean=False), X, OTHER)
    assert model.scaler.with_mean


def test_networks_share_no_module_that_is_passed_on():
    body = nn.Linear(4, 8)
    before = body.weight.detach().clone()
    model = StepwiseClassifier(**QUICK, module=Net, module__body=body).fit(X, LABELS)
    tuned = model.fine_tune(X, OTHER)
    assert torch.equal(body.weight, before)
    weights = [network.body.weight for fitted in (model, tuned) for network in networks_of(fitted)]
    assert len({tuple(weight.flatten().tolist()) for weight in weights}) == 4


def test_a_lazy_layer_gets_a_head_of_another_size():
    lazy = StepwiseClassifier(**QUICK, module=nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3)))
    assert taken(lazy.fit(X, LABELS).fine_tune(X, OTHER)) == "0 taken over; 2 new"
    half = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.LazyLinear(9, bias=False))
    tuned = StepwiseClassifier(**QUICK, init_from=half).fit(X, LABELS)
    assert taken(tuned) == "0 taken over; 2 new"
    assert networks_of(tuned)[0][2].bias is None
    nothing = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(9))
    assert "lazy layers, which have no weights" in error_of(StepwiseClassifier(init_from=nothing), X, LABELS)


@pytest.mark.parametrize("stem", ["small", "standard"])
def test_a_file_of_weights_is_read_once(tmp_path, stem):
    images, path = RNG.normal(size=(24, 1, 4, 4)), tmp_path / "weights.pt"
    torch.save(RESNETS["resnet18"]((1, 4, 4), 3, stem=stem).state_dict(), path)
    settings = {**QUICK, "n_estimators": 1, "max_epochs": 1, "module": "resnet18", "module__weights": str(path)}
    model = StepwiseClassifier(**settings).fit(images, np.arange(24) % 3)
    path.unlink()
    tuned = model.fine_tune(images, np.arange(24) % 2).fine_tune(images, np.arange(24) % 2)
    assert taken(tuned) == "conv1, bn1, layer1, layer2, layer3, layer4, fc taken over"


def test_an_estimator_is_not_its_own_source(source):
    model = clone(source).fit(X, LABELS)
    tuned = model.fine_tune(X, OTHER)
    for init_from in (model, FrozenEstimator(model), tuned):
        with pytest.raises(ValueError, match=r"`init_from` is this estimator itself.*`fine_tune`"):
            model.set_params(init_from=init_from)
    assert model.init_from is None
    model.init_from = tuned
    assert "`init_from` is this estimator itself" in error_of(model, X, OTHER)


def test_a_source_may_change_afterwards():
    source = StepwiseClassifier(**QUICK, hidden_units=7).fit(X, LABELS)
    tuned = StepwiseClassifier(**QUICK, init_from=source, warm_start=True).fit(X, OTHER)
    source.set_params(hidden_units=3).fit(X, LABELS)
    assert tuned.partial_fit(X, OTHER).fit(X, OTHER).hidden_units_ == (7,)
    assert "`hidden_units` was 'auto'" in error_of(tuned.set_params(hidden_units=5), X, OTHER)


@pytest.mark.parametrize("parameters", [{"hidden_units": 7}, {"module": Net}, {"scaler": "robust"}], ids=str)
def test_a_pickled_source_goes_on_without_its_own(parameters):
    first = StepwiseClassifier(**QUICK, **parameters).fit(X, LABELS)
    second = StepwiseClassifier(**QUICK, init_from=first).fit(X, OTHER)
    loaded = pickle.loads(pickle.dumps(second.fine_tune(X, OTHER))).init_from
    assert loaded.init_from is None
    np.testing.assert_allclose(
        loaded.partial_fit(X, OTHER).predict_proba(X), second.partial_fit(X, OTHER).predict_proba(X), rtol=1e-6
    )


def test_flat_rows_may_be_the_source_s_images():
    images = X.reshape(120, 1, 2, 2)
    model = StepwiseClassifier(**QUICK, module=nn.Sequential(nn.Flatten(), nn.Linear(4, 3))).fit(images, LABELS)
    flat = model.fine_tune(X, LABELS, input_shape=(1, 2, 2))
    np.testing.assert_array_equal(flat.predict_proba(X), model.fine_tune(images, LABELS).predict_proba(images))
    assert flat.fine_tune(X, OTHER).set_params(warm_start=True).fit(X, OTHER).input_shape_ == (1, 2, 2)
    assert "or flat ones and `input_shape=(1, 2, 2)`" in error_of(clone(flat).set_params(input_shape=None), X, OTHER)
    with pytest.raises(ValueError, match=r"`input_shape=\(2, 2\)` is not what the networks"):
        model.fine_tune(X, LABELS, input_shape=(2, 2))


def test_sequences_of_another_length_have_a_way_out():
    sequences = RNG.normal(size=(120, 6, 2))
    model = StepwiseClassifier(**QUICK, module="lstm").fit(sequences, LABELS)
    short, long = sequences[:, :4], np.concatenate([sequences, sequences], 1)
    tuned = StepwiseClassifier(**QUICK, init_from=model)
    assert "Pad the sequences with NaN to 6 steps" in error_of(tuned, short, LABELS)
    padded = np.concatenate([short, np.full((120, 2, 2), np.nan)], 1)
    assert tuned.fit(padded, LABELS).predict(padded).shape == (120,)
    assert "modules_[0].state_dict()`, as `init_from`" in error_of(clone(tuned), long, LABELS)
    state = model.pipeline_[-1].module_.modules_[0].state_dict()
    other = StepwiseClassifier(**QUICK, module="lstm", init_from=state).fit(long, LABELS)
    assert taken(other) == "layers, head taken over"


def test_a_state_may_have_something_before_all_of_its_names():
    known = Net(4, 7)
    state = torch.nn.DataParallel(nn.Sequential(known)).state_dict()
    assert "module.0.head.bias" in state
    tuned = StepwiseClassifier(**QUICK, module=Net, init_from=state, unfreeze=False).fit(X, LABELS)
    assert taken(tuned) == "body taken over; head new"
    assert torch.equal(networks_of(tuned)[1].body.weight, known.body.weight)
