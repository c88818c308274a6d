"""The techniques of step 4 as parameters of the estimators, against plain torch where there is a reference."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, LRScheduler
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, preparation
from sk_dlsteps.exceptions import StepwiseWarning
from sk_dlsteps.step4_validation.augmentation import Mixup

RNG = np.random.default_rng(0)
X = RNG.normal(2.0, 3.0, size=(60, 3))
Y = np.sin(X[:, 0]) + X[:, 1] / 3
LABELS = np.array(["low", "middle", "high"])[np.digitize(Y, [0, 1])]
TARGETS = {"regression": Y, "binary": Y > 1, "multiclass": LABELS}
QUICK = {"max_epochs": 4, "n_estimators": 1, "random_state": 0, "learning_rate": 0.02, "batch_size": 10}


@pytest.fixture
def float64(monkeypatch):
    """Fits in float64."""
    monkeypatch.setattr(preparation, "_DTYPE", torch.float64)


def estimator(task, **settings):
    """A quick one."""
    kind = StepwiseRegressor if task == "regression" else StepwiseClassifier
    return kind(**{**QUICK, **settings})


def predictions(model, X=X):
    """Probabilities or values."""
    return getattr(model, "predict_proba", model.predict)(X)


TORCH = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
REFERENCES = {
    "weight decay": {"weight_decay": 0.1},
    "batch norm": {"batch_norm": True},
    "clipped norm": {"max_grad_norm": 0.3},
    "clipped values": {"max_grad_value": 0.02},
    "all": {"weight_decay": 0.05, "batch_norm": True, "max_grad_norm": 0.3, "max_grad_value": 0.05},
}


class Start(Callback):
    """Keeps a network's first parameters."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.parameters = {name: p.detach().clone() for name, p in net.module_.networks()[0]}


@pytest.mark.parametrize("optimizer", TORCH)
@pytest.mark.parametrize("what", REFERENCES)
def test_one_network_trains_like_a_plain_torch_loop(float64, what, optimizer):
    given = REFERENCES[what]
    start = Start()
    settings = {"early_stopping": False, "numeric_encoding": None, "lr_schedule": "constant", "hidden_units": (6, 5)}
    model = estimator("regression", optimizer=optimizer, callbacks=[start], **settings, **given).fit(X, Y)
    layers, widths = [], (3, 6, 5)
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), *([nn.BatchNorm1d(n_out)] * bool(given.get("batch_norm"))), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Linear(5, 1)).double()
    linear = [m for m in network if isinstance(m, nn.Linear)]
    with torch.no_grad():
        for layer, own in enumerate(linear):
            weight = start.parameters[f"weights.{layer}"]
            own.weight.copy_(weight if layer == 2 else weight.T)
            own.bias.copy_(start.parameters[f"biases.{layer}"])
    weights = [m.weight for m in linear]
    others = [p for p in network.parameters() if all(p is not w for w in weights)]
    groups = [{"params": weights, "weight_decay": given.get("weight_decay", 0.0)}, {"params": others}]
    options = {"momentum": 0.9} if optimizer == "sgd" else {}
    steps = TORCH[optimizer](groups, lr=0.02, weight_decay=0.0, **options)
    z = (X - X.mean(0)) / X.std(0)
    z = torch.from_numpy(z / np.sqrt(1 + (z / 3) ** 2))
    t = torch.from_numpy((Y - Y.mean()) / Y.std()).unsqueeze(1)
    shuffles = np.random.default_rng(model.pipeline_[-1].seeds[0])
    for _ in range(4):
        for batch in shuffles.permutation(60).reshape(6, 10):
            steps.zero_grad()
            nn.functional.mse_loss(network(z[batch]), t[batch]).backward()
            if "max_grad_value" in given:
                nn.utils.clip_grad_value_(network.parameters(), given["max_grad_value"])
            if "max_grad_norm" in given:
                nn.utils.clip_grad_norm_(network.parameters(), given["max_grad_norm"])
            steps.step()
    expected = network.eval()(z).detach().numpy()[:, 0] * Y.std() + Y.mean()
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-7, atol=1e-9)
    without = estimator("regression", optimizer=optimizer, **settings).fit(X, Y)
    assert not np.allclose(without.predict(X), expected)


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize(
    "settings",
    [
        {"dropout": 0.5},
        {"dropout": (0.25, 0.5), "n_hidden_layers": 3},
        {"batch_norm": True},
        {"weight_decay": 0.1},
        {"max_grad_norm": 0.1},
        {"augmentation": "mixup"},
        {"augmentation": "gaussian_noise"},
        {"augmentation": "swap_noise"},
    ],
    ids=str,
)
def test_every_technique_is_repeatable_and_changes_the_fit(task, settings):
    first, again = (predictions(estimator(task, n_estimators=2, **settings).fit(X, TARGETS[task])) for _ in range(2))
    plain = {name: value for name, value in settings.items() if name == "n_hidden_layers"}
    without = predictions(estimator(task, n_estimators=2, **plain).fit(X, TARGETS[task]))
    np.testing.assert_array_equal(first, again)
    assert np.isfinite(first).all()
    assert not np.allclose(first, without)


@pytest.mark.parametrize("augmentation", ["mixup", "gaussian_noise", "swap_noise"])
@pytest.mark.parametrize("task", TARGETS)
def test_augmented_training_still_learns(task, augmentation):
    y = {"regression": X[:, 1], "binary": X[:, 1] > 2, "multiclass": np.digitize(X[:, 1], [0, 4])}[task]
    model = estimator(task, augmentation=augmentation, max_epochs=40, n_estimators=2).fit(X, y)
    assert model.score(X, y) > 0.8
    if task != "regression":
        np.testing.assert_allclose(model.predict_proba(X).sum(1), 1)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 59, 60, "auto"])
def test_batch_norm_works_with_any_batch_size_and_never_has_a_batch_of_one_row(batch_size):
    model = estimator("regression", batch_norm=True, batch_size=batch_size, max_epochs=2).fit(X, Y)
    assert model.plan_.batch_size == (2 if batch_size == 1 else model.plan_.batch_size) >= 2
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("n_rows", [2, 3, 5, 11])
def test_batch_norm_works_with_hardly_any_rows(n_rows):
    model = estimator("regression", batch_norm=True, n_estimators="auto", batch_size=2).fit(X[:n_rows], Y[:n_rows])
    assert np.isfinite(model.predict(X)).all()


class Watcher:
    """An augmentation that changes nothing and keeps what it was given."""

    def __init__(self):
        self.seen = []

    def __call__(self, X, y, generator):
        self.seen.append((X.clone(), y.clone(), generator))
        return X, y


@pytest.mark.parametrize("task", TARGETS)
def test_augmentations_see_standardised_training_rows_only(float64, task):
    watcher = Watcher()
    y = TARGETS[task]
    model = estimator(task, augmentation=watcher, n_estimators=2, learning_rate=0.01).fit(X, y)
    generators = list({id(g): g for _, _, g in watcher.seen}.values())
    assert len(generators) == 2
    codes = y if task == "regression" else np.searchsorted(np.unique(y), y)
    net = model.pipeline_[-1]
    fleet = net.module_
    rows = torch.from_numpy(model.pipeline_[0].transform(X)).expand(2, -1, -1)
    values = torch.from_numpy(np.array(codes[:, None] if task == "regression" else codes))
    z, t = fleet.standardise(rows), fleet.prepare_target(torch.stack([values] * 2), torch.float64)
    held_out = {}
    for k, generator in enumerate(generators):
        own = [(x, target) for x, target, g in watcher.seen if g is generator]
        rows, targets = (torch.cat(parts) for parts in zip(*own, strict=True))
        distance = torch.cdist(rows, z[k], compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distance.argmin(1)
        assert float(distance.min(1).values.max()) < 1e-12
        torch.testing.assert_close(targets, t[k][nearest])
        counts = torch.bincount(nearest, minlength=60)
        assert set(counts.tolist()) == {0, 4}
        held_out[k] = set(torch.nonzero(counts == 0).flatten().tolist())
        train = z[k][counts > 0]
        np.testing.assert_allclose(train.mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(train.std(0, correction=0), 1, rtol=1e-12)
    # Each row validates one of the networks.
    assert held_out[0] | held_out[1] == set(range(60))
    assert not held_out[0] & held_out[1]


@pytest.mark.parametrize("module", ["mlp", nn.Linear])
@pytest.mark.parametrize("task", TARGETS)
def test_an_augmentation_that_changes_nothing_changes_nothing(float64, task, module):
    with_it, without = (
        estimator(task, augmentation=augmentation, module=module, n_estimators=2).fit(X, TARGETS[task])
        for augmentation in (Watcher(), None)
    )
    np.testing.assert_allclose(predictions(with_it), predictions(without), rtol=1e-10)


def test_the_learning_rate_is_sought_on_augmented_minibatches(float64):
    watcher = Watcher()
    settings = {"learning_rate": "auto", "max_epochs": 60}
    model = estimator("regression", augmentation=watcher, **settings).fit(X, Y)
    # The finder's networks have generators of their own.
    assert len({id(g) for _, _, g in watcher.seen}) == 2
    assert model.learning_rate_ == estimator("regression", **settings).fit(X, Y).learning_rate_


def test_every_network_has_random_numbers_of_its_own():
    drawn = {}

    def drawing(X, y, generator):
        drawn.setdefault(id(generator), []).append(float(torch.rand((), generator=generator)))
        return X, y

    estimator("regression", augmentation=drawing, n_estimators=3).fit(X, Y)
    assert len(drawn) == 3
    flat = [number for own in drawn.values() for number in own]
    assert len(set(flat)) == len(flat)
    first = sorted(map(tuple, drawn.values()))
    drawn.clear()
    estimator("regression", augmentation=drawing, n_estimators=3).fit(X, Y)
    assert sorted(map(tuple, drawn.values())) == first


def test_an_augmentations_error_is_shown_as_it_is():
    def broken(X, y, generator):
        raise FloatingPointError("broken on purpose")

    with pytest.raises(FloatingPointError, match="broken on purpose"):
        estimator("regression", augmentation=broken).fit(X, Y)


class TooFast:
    """A schedule that nothing survives in the second half."""

    def __call__(self, progress):
        return 1.0 if progress < 0.5 else 1e30


EXPLODING = {
    "mlp": {"lr_schedule": TooFast()},
    "deep": {"lr_schedule": TooFast(), "hidden_units": (8, 8, 8)},
    "batch norm": {"lr_schedule": TooFast(), "batch_norm": True, "weight_decay": 0.5},
    "module": {"lr_schedule": TooFast(), "module": nn.Linear},
    "torch's optimizer": {"lr_schedule": TooFast(), "optimizer": torch.optim.RMSprop},
    "a rate from the start": {"learning_rate": 1e30},
    "LRScheduler": {
        "lr_schedule": "constant",
        "callbacks": [LRScheduler("LambdaLR", lr_lambda=lambda epoch: 1.0 if epoch < 4 else 1e30)],
    },
}


@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("task", ["regression", "multiclass"])
@pytest.mark.parametrize("how", EXPLODING)
def test_a_fit_never_ends_in_a_model_of_nans(how, task, early_stopping):
    settings = {"optimizer": "sgd", "max_epochs": 8, "n_estimators": 2, "early_stopping": early_stopping}
    model = estimator(task, **{**settings, **EXPLODING[how]})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, TARGETS[task])
    said = [str(w.message) for w in caught if issubclass(w.category, StepwiseWarning)]
    assert len(caught) == len(said) <= 1
    assert np.isfinite(predictions(model)).all()
    (step,) = (r for r in model.steps_ if r.title == "training")
    assert ("rescues" in step.evidence) == bool(said) == bool(model.pipeline_[-1].rescues_.any())
    if task == "regression" and how not in ("batch norm", "torch's optimizer"):
        assert "became infinite or NaN" in said[0]
        assert "gradients exploded in" in step.because


def test_a_vanishing_gradient_is_in_the_record():
    class Saturate(Callback):
        """Puts every unit of the first layer where tanh is flat."""

        def on_epoch_begin(self, net, **kwargs):
            net.module_.biases[0].data[:] = 50

    settings = {"activation": "tanh", "hidden_units": (3, 3), "max_epochs": 2}
    model = estimator("regression", callbacks=[Saturate()], **settings).fit(X, Y)
    (step,) = (r for r in model.steps_ if r.title == "training")
    means = [model.history_[-1, f"gradient_norm_{layer}"] for layer in (1, 2, 3)]
    np.testing.assert_allclose(np.mean(step.evidence["gradient_norms"], axis=1), means)
    assert "the first layer's gradient has nearly vanished" in step.because
    (step,) = (r for r in estimator("regression", **settings).fit(X, Y).steps_ if r.title == "training")
    assert "gradient_norms" not in step.evidence


def test_dead_units_are_in_the_record():
    class Kill(Callback):
        """Pushes every unit far below zero."""

        def on_epoch_begin(self, net, **kwargs):
            net.module_.biases[0].data[:] = -1e3

    model = estimator("regression", callbacks=[Kill()], max_epochs=2).fit(X, Y)
    (step,) = (r for r in model.steps_ if r.title == "training")
    (dead,) = set(step.evidence["dead_units"])
    assert dead == 1
    assert "no longer answer to any row" in step.because


def no_pair(X, y, generator):
    return X


def one_row_less(X, y, generator):
    return X[1:], y[1:]


def not_finite(X, y, generator):
    return X / 0, y


def flat_target(X, y, generator):
    return X, y.reshape(-1)


@pytest.mark.parametrize("module", ["mlp", nn.Linear])
def test_an_augmentation_must_keep_the_shape_of_the_target(module):
    with pytest.raises(ValueError, match=r"`augmentation` must keep the shape of X, .* and of y, \(\d+, 1\)"):
        StepwiseRegressor(augmentation=flat_target, module=module, **QUICK).fit(X, Y)


def test_an_augmentation_may_return_other_dtypes():
    def plain(X, y, generator):
        return X, y

    def wide(X, y, generator):
        return X.double(), y.to(torch.int32) if y.dtype == torch.int64 else y.double()

    for task in ("regression", "multiclass"):
        expected, model = (estimator(task, augmentation=own).fit(X, TARGETS[task]) for own in (plain, wide))
        np.testing.assert_array_equal(predictions(model), predictions(expected))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda y: y + 3, r"class codes, integers from 0 to 2; it returned values from 3"),
        (lambda y: y.double(), r"and of soft labels, \(\d+, 3\)"),
        (lambda y: 2.0 * nn.functional.one_hot(y, 3), r"soft labels, floats from 0 to 1; it returned values .* to 2"),
    ],
)
def test_labels_that_an_augmentation_returns_are_checked(returned, message):
    def changed(X, y, generator):
        return X, returned(y)

    with pytest.raises(ValueError, match=message):
        estimator("multiclass", augmentation=changed).fit(X, LABELS)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_labels_may_be_soft_for_some_networks_and_minibatches_only(n_classes):
    soften = Mixup(0.4, 1 if n_classes == 2 else n_classes)

    def sometimes(X, y, generator):
        return soften(X, y, generator) if torch.rand((), generator=generator) < 0.5 else (X, y)

    y = np.arange(len(X)) % n_classes
    model = StepwiseClassifier(augmentation=sometimes, **{**QUICK, "n_estimators": 3}).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()


def test_a_loss_that_cannot_take_soft_labels_is_named_with_the_augmentation():
    with pytest.raises(ValueError, match=r"`loss=MultiMarginLoss` cannot take the soft labels that `augmentation`"):
        estimator("multiclass", augmentation="mixup", loss=nn.MultiMarginLoss).fit(X, LABELS)


def test_rows_whose_validation_loss_overflows_leave_a_trained_network_and_a_warning():
    single = {"n_estimators": 1, "max_epochs": 20, "learning_rate": 0.01, "random_state": 0}
    with pytest.warns(StepwiseWarning, match=r"The validation loss of network 0 was not finite after any epoch"):
        model = StepwiseRegressor(**single).fit(X, Y, X_val=X[:20], y_val=np.r_[Y[:19], 1e25])
    (step,) = (r for r in model.steps_ if r.title == "training")
    assert "no validation loss of 1 of 1 networks was finite" in step.because
    assert model.pipeline_[-1].best_epochs_[0] == model.n_iter_
    assert model.score(X, Y) > 0.4


@pytest.mark.parametrize(
    ("augmentation", "message"),
    [
        (no_pair, "`augmentation` must return two tensors"),
        (one_row_less, "`augmentation` must keep the shape of X"),
        (not_finite, "`augmentation` returned numbers that are not finite"),
    ],
)
def test_an_augmentation_that_returns_something_else_is_named(augmentation, message):
    with pytest.raises(ValueError, match=message):
        StepwiseRegressor(augmentation=augmentation, **QUICK).fit(X, Y)
