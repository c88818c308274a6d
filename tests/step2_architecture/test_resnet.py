"""ResNets: sizes, first weights, weights from a file, and what is refused."""

import inspect
import io
import math
import sys

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor
from sk_dlsteps.step2_architecture.resnet import N_STEPS, RESNETS, SMALL_IMAGE, ResNet
from sk_dlsteps.step3_training.schedules import CosineRestarts
from sk_dlsteps.step4_validation.early_stopping import CycleEnds

pytest.importorskip("torchvision")
RESNET18 = RESNETS["resnet18"]
FEATURES = {"resnet18": 512, "resnet34": 512, "resnet50": 2048}


@pytest.fixture(autouse=True)
def seeded():
    """Torch's global generator in a known state, and later as before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module")
def module():
    """A small-image network of one channel and three outputs, not to be changed."""
    return RESNET18(input_shape=(1, 8, 8), n_outputs=3)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Weights of a network for large images of three channels and three outputs."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pt"
    torch.save(RESNET18(input_shape=(3, 64, 64), n_outputs=3).state_dict(), path)
    return path


# -- sizes ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 40), (5, 1, 1), (3, 70, 64)])
def test_images_of_any_size_and_number_of_channels_give_the_outputs(shape):
    module = RESNET18(input_shape=shape, n_outputs=4).eval()
    assert module(torch.zeros(2, *shape)).shape == (2, 4)


@pytest.mark.parametrize(("name", "n_features"), FEATURES.items())
def test_a_name_gives_the_network_of_that_depth(name, n_features):
    module = RESNETS[name](input_shape=(1, 4, 4), n_outputs=2)
    assert module.fc.in_features == n_features
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    shortcuts = sum("downsample.0" in own for own, _ in module.named_modules())
    assert len(layers) - shortcuts == int(name.removeprefix("resnet"))


@pytest.mark.parametrize("side", [SMALL_IMAGE - 1, SMALL_IMAGE])
def test_small_images_keep_their_size_in_the_first_layers(side):
    module = RESNET18(input_shape=(3, side, SMALL_IMAGE), n_outputs=2).eval()
    seen = module.maxpool(module.conv1(torch.zeros(1, 3, side, SMALL_IMAGE)))
    assert seen.shape[-1] == (SMALL_IMAGE if side < SMALL_IMAGE else SMALL_IMAGE // 4)


def test_the_stem_can_be_chosen():
    kernels = [RESNET18((3, 8, 8), 2, stem=stem).conv1.kernel_size for stem in ("auto", "small", "standard")]
    assert kernels == [(3, 3), (3, 3), (7, 7)]


def test_the_parameters_that_an_estimator_may_set_are_in_the_signature():
    assert list(inspect.signature(RESNET18).parameters) == ["input_shape", "n_outputs", "weights", "stem", "dropout"]


# -- first weights ----------------------------------------------------------------------


def test_convolutions_and_head_begin_with_he_s_gaussian_weights(module):
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weight = layer.weight.detach()
            fan_in = weight[0].numel()
            # The standard error of a standard deviation of n Gaussian numbers is 1 / sqrt(2 n) of it.
            tolerance = 5 / math.sqrt(2 * weight.numel())
            assert float(weight.std()) == pytest.approx(math.sqrt(2 / fan_in), rel=tolerance), name
    assert not module.fc.bias.any()


def test_the_weights_depend_on_torchs_generator_alone():
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(RESNET18((1, 8, 8), 2).state_dict())
    first, again, other = states
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_every_parameter_gets_a_gradient():
    module = RESNET18((2, 8, 8), 3)
    nn.functional.cross_entropy(module(torch.randn(6, 2, 8, 8)), torch.arange(6) % 3).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    assert all(p.grad.any() for p in module.parameters() if p.dim() > 1)


def test_dropout_acts_in_training_only_and_changes_no_name(module):
    dropping = RESNET18((1, 8, 8), 3, dropout=0.5)
    assert list(dropping.state_dict()) == list(module.state_dict())
    dropping.load_state_dict(module.state_dict())
    X = torch.randn(4, 1, 8, 8)
    assert torch.equal(dropping.eval()(X), module.eval()(X))
    dropping.train()
    # Batch norm sees the same rows both times: only dropout makes a difference.
    assert not torch.equal(dropping(X), dropping(X))


def test_a_network_can_be_pickled(module):
    file = io.BytesIO()
    joblib.dump(module, file)
    X = torch.randn(2, 1, 8, 8)
    assert torch.equal(joblib.load(file).eval()(X), module.eval()(X))
    assert joblib.hash(RESNET18) == joblib.hash(ResNet("resnet18"))


# -- weights from elsewhere ----------------------------------------------------------------


def test_weights_of_a_file_give_the_same_network(file):
    loaded = RESNET18((3, 64, 64), 3, weights=file)
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in torch.load(file).items())


@pytest.mark.parametrize("path", [str, lambda path: path], ids=["str", "path"])
def test_another_number_of_outputs_gets_a_new_head_on_the_old_body(file, path):
    loaded = RESNET18((3, 64, 64), 5, weights=path(file)).state_dict()
    assert loaded["fc.weight"].shape == (5, 512)
    saved = torch.load(file)
    assert all(torch.equal(loaded[name], saved[name]) for name in saved if not name.startswith("fc."))


@pytest.mark.parametrize("n_channels", [1, 2, 4])
def test_an_image_of_equal_channels_gets_the_answer_of_the_weights_whatever_their_number(file, n_channels):
    grey = torch.randn(2, 1, 64, 64)
    answers = [
        RESNET18((n, 64, 64), 3, weights=file).eval()(grey.expand(-1, n, -1, -1)).detach() for n in (3, n_channels)
    ]
    torch.testing.assert_close(*answers, rtol=1e-3, atol=1e-3)


def test_the_stem_is_that_of_the_weights_unless_another_is_asked_for(file, tmp_path):
    assert RESNET18((3, 8, 8), 3, weights=file).conv1.kernel_size == (7, 7)
    small = RESNET18((3, 8, 8), 3, weights=file, stem="small")
    assert small.conv1.kernel_size == (3, 3)
    assert torch.equal(small.layer1[0].conv1.weight, torch.load(file)["layer1.0.conv1.weight"])
    torch.save(small.state_dict(), tmp_path / "small.pth")
    assert RESNET18((3, 99, 99), 3, weights=tmp_path / "small.pth").conv1.kernel_size == (3, 3)


def test_counts_of_minibatches_may_be_missing_in_a_file(module, tmp_path):
    state = {name: value for name, value in module.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pt")
    loaded = RESNET18((1, 8, 8), 3, weights=tmp_path / "old.pt")
    assert torch.equal(loaded.fc.weight, module.fc.weight)


def test_torchvisions_own_weights_are_fetched_by_name(monkeypatch):
    state = RESNET18((3, 64, 64), 1000).state_dict()
    asked = []
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda url, **options: asked.append(url) or state
    )
    module = RESNET18((3, 8, 8), 2, weights="DEFAULT")
    assert torch.equal(module.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    assert module.fc.out_features == 2
    assert len(asked) == 1
    assert "resnet18" in asked[0]


# -- in an estimator ----------------------------------------------------------------------


def test_an_estimator_trains_a_resnet_by_its_name(file):
    X = np.random.default_rng(0).normal(size=(24, 1, 4, 4)).astype(np.float32)
    y = np.arange(24) % 3
    X[:, 0, :2] += 5 * y[:, None, None]
    settings = {"module": "resnet18", "learning_rate": 1e-3, "max_epochs": 1, "random_state": 0}
    model, again = (StepwiseClassifier(**settings).fit(X, y) for _ in range(2))
    assert np.array_equal(model.predict_proba(X), again.predict_proba(X))
    assert model.plan_.n_networks == 1
    assert model.plan_.max_grad_norm is None
    other = clone(model).set_params(max_epochs=1, module__dropout=0.3, module__weights=str(file))
    assert other.get_params()["module__dropout"] == 0.3
    network = next(module for module in other.fit(X, y).pipeline_[-1].module_.modules() if hasattr(module, "layer4"))
    assert network.conv1.kernel_size == (7, 7)
    assert network.avgpool[1].p == 0.3


def test_the_budget_is_the_architecture_s_and_one_cycle_goes_through_all_of_it():
    X = np.random.default_rng(0).normal(size=(200, 1, 2, 2))
    plan = StepwiseRegressor(module="resnet18")._plan(X, X[:, 0, 0, 0])
    n_batches = -(-plan.n_rows // plan.batch_size)
    assert 0.5 * N_STEPS <= plan.max_epochs * n_batches <= 1.5 * N_STEPS
    assert plan.lr_schedule == CosineRestarts((plan.max_epochs,))
    assert plan.stopping == CycleEnds((plan.max_epochs,))
    cycles = StepwiseRegressor(module="resnet18", restart_period=2, max_epochs=6)._plan(X, X[:, 0, 0, 0])
    assert cycles.lr_schedule == CosineRestarts((2, 6))


# -- what is refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((8, 8), r"got X of shape \(n, 8, 8\); for images of one channel give `X\[:, None\]`"),
        ((64,), r"flattened rows with `input_shape=\(channels, height, width\)`, got X of shape \(n, 64\)$"),
        ((28, 30, 3), r"with the channels last, give `X.transpose\(0, 3, 1, 2\)`"),
        ((2, 1, 8, 8), r"got X of shape \(n, 2, 1, 8, 8\)$"),
    ],
)
def test_inputs_that_are_no_images_are_refused_with_the_way_out(shape, message):
    with pytest.raises(ValueError, match=message):
        RESNET18(shape, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stem": "large"}, "`module__stem` must be 'auto' or 'small' or 'standard', got 'large'"),
        ({"dropout": 1.0}, "`module__dropout` must be a number of at least 0 and below 1, got 1.0"),
        ({"dropout": "half"}, "`module__dropout` must be .* got 'half'"),
        ({"weights": "IMAGENET"}, "one of torchvision's: IMAGENET1K_V1.*; got 'IMAGENET'"),
        ({"weights": 3}, "`module__weights` must be None, the path .* got 3"),
        ({"weights": "nowhere/resnet18.pth"}, "`module__weights='nowhere/resnet18.pth'`: there is no such file"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RESNET18((1, 8, 8), 2, **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no archive", "cannot be read; write it by torch.save"),
        ({"fc.weight": torch.zeros(2, 512)}, "of 122 entries .* are missing or have another shape, the first is 'bn1"),
        ({"fc.weight": 3}, "holds no state dict"),
        (torch.zeros(3), "holds no state dict"),
    ],
    ids=["bytes", "part", "numbers", "tensor"],
)
def test_files_that_hold_something_else_are_refused(content, message, tmp_path):
    path = tmp_path / "wrong.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        RESNET18((1, 8, 8), 2, weights=path)


def test_a_file_of_another_resnet_is_refused(file):
    with pytest.raises(ValueError, match=r"cannot begin resnet34 from `weights=.*: of \d+ entries \d+ are missing"):
        RESNETS["resnet34"]((3, 64, 64), 3, weights=file)


def test_weights_that_cannot_be_downloaded_say_what_else_can_be_done(monkeypatch):
    def fail(url, **options):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(OSError, match=r"could not be downloaded \(no network\); download https://.*give the path"):
        RESNET18((3, 64, 64), 2, weights="DEFAULT")


@pytest.mark.parametrize("error", [ImportError("not there"), RuntimeError("operator does not exist")])
def test_a_torchvision_that_is_missing_or_does_not_fit_names_the_extra(error, monkeypatch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] == "torchvision":
                raise error

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(ImportError, match=r'pip install "sk_dlsteps\[vision\]"'):
        RESNET18((3, 64, 64), 2)
