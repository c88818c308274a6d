"""Networks of the user's own: classes, factories and instances, on tables and on rows of any shape."""

import copy
import functools

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from skorch.callbacks import Callback
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV, find_learning_rate, learning_curve
from sk_dlsteps.step4_validation.problem import Problem

QUICK = {"n_estimators": 2, "max_epochs": 6, "learning_rate": 0.02, "random_state": 0}


class Conv(nn.Module):
    """Takes its sizes by name."""

    def __init__(self, input_shape, n_outputs, width=4):
        super().__init__()
        channels, height, side = input_shape
        self.conv = nn.Conv2d(channels, width, 3, padding=1)
        self.head = nn.Linear(width * height * side, n_outputs)

    def forward(self, x):
        return self.head(torch.relu(self.conv(x)).flatten(1))


class Lazy(nn.Module):
    """Learns its sizes from the first rows."""

    def __init__(self, n_outputs):
        super().__init__()
        self.net = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(n_outputs))

    def forward(self, x):
        return self.net(x)


class Summed(nn.Module):
    """The last observed step of a sequence; wants to see what is missing."""

    keeps_gaps = True

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.head = nn.Linear(input_shape[1], n_outputs)

    def forward(self, x):
        return self.head(x.nan_to_num(nan=0.0).sum(1) / (~x.isnan()).sum(1).clamp(min=1))


@pytest.fixture(scope="module")
def digits():
    """200 images of digits as (n, 1, 8, 8) and their labels."""
    X, y = load_digits(return_X_y=True)
    return X[:200].reshape(-1, 1, 8, 8), y[:200]


@pytest.fixture(scope="module")
def sequences():
    """Sequences of unequal length, padded with NaN, and the mean of their first column."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 6, 2))
    for row, length in zip(X, rng.integers(1, 7, 120), strict=True):
        row[length:] = np.nan
    return X, np.nanmean(X[..., 0], 1)


def test_images_and_their_flat_rows_give_the_same_networks(digits):
    X, y = digits
    flat = X.reshape(len(X), -1)
    model = StepwiseClassifier(module=Conv, **QUICK).fit(X, y)
    of_flat = StepwiseClassifier(module=Conv, input_shape=(1, 8, 8), **QUICK).fit(flat, y)
    np.testing.assert_array_equal(model.predict_proba(X), of_flat.predict_proba(flat))
    assert model.input_shape_ == of_flat.input_shape_ == (1, 8, 8)
    assert model.n_features_in_ == 64
    assert model.validation_score_ > 0.5


def test_an_image_has_one_mean_and_one_standard_deviation_for_each_channel(digits):
    X, y = digits
    colours = np.concatenate([X, 3 * X + 1], axis=1)
    model = StepwiseClassifier(module=Conv, **QUICK).fit(colours, y)
    scaler = model.pipeline_["scaler"]
    np.testing.assert_allclose(scaler.mean_.reshape(2, -1), colours.mean((0, 2, 3))[:, None] + np.zeros(64))
    np.testing.assert_allclose(scaler.scale_.reshape(2, -1), colours.std((0, 2, 3))[:, None] + np.zeros(64))
    assert "2 channels" in next(record for record in model.steps_ if record.title == "input scaling").decision


def test_the_built_in_network_takes_an_images_pixels_as_columns(digits):
    X, y = digits
    model = StepwiseClassifier(**QUICK).fit(X, y)
    table = StepwiseClassifier(**QUICK).fit(X.reshape(len(X), -1), y)
    np.testing.assert_array_equal(model.predict_proba(X), table.predict_proba(X.reshape(len(X), -1)))


@pytest.mark.parametrize(
    "module",
    [
        Lazy,
        functools.partial(Conv, width=2),
        nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
        nn.Sequential(nn.Flatten(), nn.LazyLinear(10)),
        lambda a, b: nn.Sequential(nn.Flatten(), nn.Linear(a, b)),
    ],
    ids=["lazy", "partial", "instance", "lazy instance", "sizes by position"],
)
def test_a_module_may_come_in_many_ways(module, digits):
    assert StepwiseClassifier(module=module, **QUICK).fit(*digits).validation_score_ > 0.4


def test_an_instance_is_copied_and_its_weights_are_where_training_starts(digits):
    X, y = digits
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    before = copy.deepcopy(module.state_dict())
    short = {**QUICK, "learning_rate": 1e-12}
    model = StepwiseClassifier(module=module, optimizer="sgd", **short).fit(X, y)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
        for own in model.pipeline_["net"].module_.modules_:
            torch.testing.assert_close(own.module.state_dict()[name], value)
    assert module.training


def test_parameters_of_a_module_are_set_cloned_and_searched_as_skorchs(digits):
    X, y = digits
    model = StepwiseClassifier(module=Conv, module__width=3, **QUICK)
    assert model.get_params()["module__width"] == 3
    assert clone(model).set_params(module__width=5).module__width == 5
    assert "module__width=3" in repr(model)
    assert any("width=3" in record.decision for record in model.fit(X, y).steps_)
    for search in (
        GridSearchCV(model, {"module__width": [2, 6]}, cv=2),
        RandomizedSearchCV(model, {"module__width": [2, 6]}, n_iter=2, cv=2, random_state=0),
        StepwiseSearchCV(model, {"module__width": [2, 6]}, strategy="random", n_iter=2, cv=2, random_state=0),
    ):
        best = search.fit(X, y).best_estimator_
        width = search.best_params_["module__width"]
        assert all(own.module.conv.out_channels == width for own in best.pipeline_["net"].module_.modules_)


def test_a_search_over_kinds_of_networks_gives_what_scikit_learns_gives(digits):
    X, y = digits[0][:, 0], digits[1]
    model = StepwiseClassifier(max_epochs=2, learning_rate=0.02, random_state=0)
    space = {"module": ["mlp", "gru"], "scaler": ["standard", "robust"]}
    ours = StepwiseSearchCV(model, space, strategy="random", n_iter=4, cv=2, random_state=0, refit=False).fit(X, y)
    theirs = RandomizedSearchCV(model, space, n_iter=4, cv=2, random_state=0, refit=False).fit(X, y)
    assert ours.cv_results_["params"] == theirs.cv_results_["params"]
    np.testing.assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], atol=1e-6)


def test_a_parameter_that_the_module_does_not_take_is_refused_by_name(digits):
    with pytest.raises(ValueError, match="`module__widht` is no parameter of Conv; did you mean `module__width`"):
        StepwiseClassifier(module=Conv, module__widht=3).fit(*digits)
    with pytest.raises(ValueError, match="`module__width` is for a `module` other than 'mlp'"):
        StepwiseClassifier(module__width=3).fit(*digits)
    with pytest.raises(ValueError, match="`module` is a ready Flatten"):
        StepwiseClassifier(module=nn.Flatten(), module__width=3).fit(*digits)
    with pytest.raises(ValueError, match="needs `depth`: give module__depth"):
        StepwiseClassifier(module=lambda n_inputs, depth: None).fit(*digits)
    with pytest.raises(TypeError, match="unexpected keyword argument 'modul'; did you mean 'module'"):
        StepwiseClassifier(modul=Conv)
    with pytest.raises(ValueError, match="Invalid parameter 'lossy'"):
        StepwiseClassifier().set_params(lossy=1)


def test_a_module_that_fails_or_maps_to_another_size_is_told(digits):
    X, y = digits
    with pytest.raises(ValueError, match=r"`module=Linear` failed on two rows of zeros of shape \(2, 1, 8, 8\)"):
        StepwiseClassifier(module=nn.Linear, **QUICK).fit(X, y)
    with pytest.raises(
        ValueError, match=r"`module` must map \(rows, 1, 8, 8\) to \(rows, 10\), but gave shape \(2, 64\)"
    ):
        StepwiseClassifier(module=nn.Flatten(), **QUICK).fit(X, y)


def test_what_is_missing_is_the_mean_or_what_the_module_makes_of_it(sequences):
    X, y = sequences
    short = {"n_estimators": 2, "max_epochs": 60, "random_state": 0}
    model = StepwiseRegressor(module=Summed, **short).fit(X, y)
    assert model.validation_score_ > 0.95
    flat = StepwiseRegressor(module=lambda n, o: nn.Sequential(nn.Flatten(), nn.Linear(n, o)), **short).fit(X, y)
    assert np.isfinite(flat.predict(X)).all()
    assert flat.validation_score_ < 0.9
    masked = np.ma.masked_invalid(X)
    np.testing.assert_array_equal(
        StepwiseRegressor(module=Summed, **short).fit(masked, y).predict(masked), model.predict(X)
    )


def test_sequences_without_a_scaler_keep_their_gaps(sequences):
    X, y = sequences
    model = StepwiseRegressor(module=Summed, scaler=None, n_estimators=2, max_epochs=60, random_state=0).fit(X, y)
    assert model.validation_score_ > 0.95


@pytest.mark.parametrize("scaler", ["standard", "robust", None, StandardScaler()])
def test_every_scaler_takes_images(scaler, digits):
    assert StepwiseClassifier(module=Conv, scaler=scaler, **QUICK).fit(*digits).validation_score_ > 0.4


def test_a_scaler_that_changes_the_number_of_columns_is_refused(digits):
    half = FunctionTransformer(lambda X: X[:, :32])
    with pytest.raises(ValueError, match=r"makes 32 columns of 64, which are no rows of shape \(1, 8, 8\) any more"):
        StepwiseClassifier(module=Conv, scaler=half, **QUICK).fit(*digits)


def test_the_ladder_knows_what_kind_of_rows_reach_the_network(digits, sequences):
    images = make_pipeline(StandardScaler(), StepwiseClassifier(module=Conv, input_shape=(1, 8, 8), **QUICK))
    for estimator, (X, y), expected in (
        (StepwiseClassifier(module=Conv, **QUICK), digits, (True, False)),
        (images, (digits[0].reshape(len(digits[1]), -1), digits[1]), (True, False)),
        (StepwiseRegressor(module=Summed, **QUICK), sequences, (False, True)),
        (StepwiseRegressor(**QUICK), sequences, (False, False)),
    ):
        halves = [(np.arange(len(X) // 2), np.arange(len(X) // 2, len(X)))]
        start = Problem(estimator, X, y, halves, None, "regression").start
        assert (start["is_image"], start["has_gaps"]) == expected


def test_a_transform_of_images_needs_a_scaling_that_can_be_turned_back(digits):
    for scaler in (None, "standard", "robust"):
        StepwiseClassifier(module=Conv, scaler=scaler, augmentation=nn.Identity(), **QUICK).fit(*digits)
    with pytest.raises(ValueError, match="cannot be turned back; use scaler='standard'"):
        StepwiseClassifier(module=Conv, scaler=StandardScaler(), augmentation=nn.Identity(), **QUICK).fit(*digits)


def test_rows_of_another_shape_are_refused(digits):
    X, y = digits
    model = StepwiseClassifier(module=Conv, **QUICK).fit(X, y)
    with pytest.raises(
        ValueError, match=r"X has rows of shape \(8, 8\), but the networks were trained on rows of shape"
    ):
        model.predict(X[:, 0])
    with pytest.raises(ValueError, match=r"`X_val` and `y_val` do not fit: X has rows of shape \(1, 4, 16\)"):
        StepwiseClassifier(module=Conv, **QUICK).fit(X, y, X_val=X.reshape(-1, 1, 4, 16), y_val=y)
    with pytest.raises(ValueError, match="`categorical_features=\\[0\\]` names columns of a table"):
        StepwiseClassifier(module=Conv, categorical_features=[0], **QUICK).fit(X, y)
    with pytest.raises(ValueError, match="`numeric_encoding='piecewise_linear'` adds columns to a table"):
        StepwiseClassifier(module=Conv, numeric_encoding="piecewise_linear", **QUICK).fit(X, y)


def test_images_go_through_scikit_learns_tools_and_ours(digits):
    X, y = digits
    model = StepwiseClassifier(module=Conv, **QUICK)
    assert cross_val_score(model, X, y, cv=2).mean() > 0.4
    pipeline = make_pipeline(StandardScaler(), clone(model).set_params(input_shape=(1, 8, 8)))
    assert pipeline.fit(X.reshape(len(X), -1), y).score(X.reshape(len(X), -1), y) > 0.5
    assert find_learning_rate(model.set_params(max_epochs=30), X, y).learning_rate > 0
    curve = learning_curve(model.set_params(max_epochs=3), X, y, train_sizes=[0.5, 1.0], cv=2)
    assert np.isfinite(curve.test_scores).all()


def test_networks_of_images_go_on_in_warm_starts_and_streams(digits):
    X, y = digits
    model = StepwiseClassifier(module=Conv, warm_start=True, **QUICK).fit(X, y)
    assert model.fit(X, y).n_iter_ == 12
    stream = StepwiseClassifier(module=Conv, n_estimators=2, random_state=0)
    for _ in range(4):
        for part in (slice(0, 100), slice(100, None)):
            stream.partial_fit(X[part], y[part], classes=range(10))
    assert stream.score(X, y) > 0.7
    scaler = stream.pipeline_["scaler"]
    np.testing.assert_allclose(scaler.mean_, X.mean())
    np.testing.assert_allclose(scaler.scale_, X.std())
    with pytest.raises(ValueError, match="but the networks were trained on rows of shape"):
        stream.partial_fit(X.reshape(-1, 1, 4, 16), y)


def test_a_changed_parameter_of_the_module_ends_a_warm_start(digits):
    model = StepwiseClassifier(module=Conv, module__width=3, warm_start=True, **QUICK).fit(*digits)
    with pytest.raises(ValueError, match="`module__width` was 3 when the networks were made and is 4 now"):
        model.set_params(module__width=4).fit(*digits)


@pytest.mark.parametrize("module", [Conv, Lazy, Conv((1, 8, 8), 10)], ids=["class", "lazy", "instance"])
def test_a_fitted_network_of_images_is_pickled_and_repeated(module, digits, tmp_path):
    X, y = digits
    model = StepwiseClassifier(module=module, **QUICK).fit(X, y)
    joblib.dump(model, tmp_path / "model.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "model.joblib").predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(clone(model).fit(X, y).predict_proba(X), model.predict_proba(X))


def test_a_network_of_images_trains_with_the_whole_recipe(digits):
    X, y = digits
    seen = []

    class Listening(Callback):
        def on_batch_end(self, net, batch=None, training=False, **kwargs):
            seen.append(batch[0].shape)

    model = StepwiseClassifier(
        module=Conv,
        max_grad_norm=1.0,
        weight_decay=1e-3,
        lr_schedule="cosine",
        callbacks=[Listening()],
        class_weight="balanced",
        calibrate=True,
        **QUICK,
    )
    model.fit(X, y, sample_weight=np.arange(len(X)) % 2 + 1.0, X_val=X[:50], y_val=y[:50])
    assert model.temperature_ != 1.0
    assert model.validation_score_ > 0.4
    assert seen


def test_sizes_decide_how_many_threads_pay(digits):
    small = StepwiseClassifier(module=Conv, **QUICK).fit(*digits).plan_
    assert small.flops_per_row == 2 * 64 * (4 * 9 + 4 * 10)
    assert small.flops == 3 * small.batch_size * small.flops_per_row


class Squeezed(nn.Module):
    """Drops every axis of length 1, that of a single row too."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)

    def forward(self, x):
        return self.linear(x).squeeze()


@pytest.mark.parametrize("kind", ["multiclass", "binary", "regression"])
def test_one_row_is_predicted_as_among_others(kind):
    X = np.random.default_rng(0).normal(size=(80, 4))
    y = np.arange(80) % (3 if kind == "multiclass" else 2)
    estimator = StepwiseRegressor if kind == "regression" else StepwiseClassifier
    model = estimator(module=Squeezed, **QUICK).fit(X, y)
    np.testing.assert_allclose(model.predict(X[:1]), model.predict(X[:2])[:1], rtol=1e-5)


def test_the_ladder_climbs_to_parameters_of_the_module(digits):
    X, y = digits
    pipeline = make_pipeline(StandardScaler(), StepwiseClassifier(module=Conv, input_shape=(1, 8, 8), **QUICK))
    space = {"stepwiseclassifier__module__width": [2, 6]}
    ladder = StepwiseSearchCV(pipeline, space, cv=2, random_state=0, error_score="raise").fit(X.reshape(len(X), -1), y)
    tried = {params.get("stepwiseclassifier__module__width") for params in ladder.cv_results_["params"]}
    assert tried == {None, 2, 6}
    with pytest.raises(ValueError, match="names 'modul__width', which is no parameter of the estimator"):
        StepwiseSearchCV(pipeline[-1], {"modul__width": [2]}, cv=2).fit(X, y)


def test_augmentations_that_mix_rows_are_not_for_rows_with_gaps(sequences):
    X, y = sequences
    for augmentation in ("mixup", "swap_noise"):
        with pytest.raises(
            ValueError, match=f"`augmentation='{augmentation}'` puts numbers of different rows together"
        ):
            StepwiseRegressor(module=Summed, augmentation=augmentation, **QUICK).fit(X, y)
    noisy = StepwiseRegressor(module=Summed, augmentation="gaussian_noise", **QUICK).fit(X, y)
    assert np.isfinite(noisy.predict(X)).all()


def test_a_module_made_by_a_factory_says_itself_that_it_wants_gaps(sequences):
    X, y = sequences
    direct, wrapped, partial = (
        StepwiseRegressor(module=module, **QUICK).fit(X, y).predict(X)
        for module in (Summed, lambda input_shape, n_outputs: Summed(input_shape, n_outputs), functools.partial(Summed))
    )
    np.testing.assert_array_equal(wrapped, direct)
    np.testing.assert_array_equal(partial, direct)


@pytest.mark.parametrize("scaler", [None, MinMaxScaler()], ids=["none", "a transformer"])
def test_what_is_missing_becomes_a_columns_mean_without_a_scaler_of_ours(scaler, sequences):
    X, y = sequences
    filled = np.where(np.isnan(X), np.nanmean(X, 0), X)
    models = [StepwiseRegressor(scaler=scaler, early_stopping=False, **QUICK).fit(rows, y) for rows in (X, filled)]
    np.testing.assert_allclose(models[0].predict(X), models[1].predict(filled), rtol=1e-4)


def test_a_transformer_does_not_fill_what_the_module_wants_to_see(sequences):
    X, y = sequences
    complete = np.nan_to_num(X)
    model = StepwiseRegressor(module=Summed, scaler=MinMaxScaler(), **QUICK).fit(complete, y)
    with pytest.raises(ValueError, match="contains NaN"):
        model.predict(X)


class Normed(nn.Module):
    """Has batch norms, which take the variance of a minibatch."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(n_inputs, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, n_outputs))

    def forward(self, x):
        return self.net(x)


def test_batch_norms_of_a_module_never_see_a_single_row(iris):
    X_train, _, y_train, _ = iris
    model = StepwiseClassifier(module=Normed, batch_size=1, **QUICK).fit(X_train, y_train)
    assert model.plan_.batch_size == 2
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        model.partial_fit(X_train[:1], y_train[:1])
    with pytest.raises(ValueError, match="batch norms, which need at least 2 rows to train on, got 1"):
        StepwiseClassifier(module=Normed).partial_fit(X_train[:1], y_train[:1], classes=[0, 1, 2])


def test_going_on_builds_no_module_anew(digits):
    X, y = digits
    built = []

    def factory(n_inputs, n_outputs):
        built.append(n_inputs)
        return nn.Sequential(nn.Flatten(), nn.Linear(n_inputs, n_outputs))

    model = StepwiseClassifier(module=factory, warm_start=True, **QUICK).fit(X, y)
    n_built = len(built)
    model.fit(X, y).partial_fit(X, y)
    assert len(built) == n_built


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).requires_grad_(False), "has no parameter to train"),
        (lambda **sizes: nn.Linear(sizes["n_inputs"], 2), "could not be made, it was given nothing"),
        (lambda *, n_inputs, depth: None, "needs `depth`: give module__depth"),
    ],
    ids=["frozen", "sizes by any name", "a keyword"],
)
def test_modules_that_cannot_be_made_or_trained_are_told(module, message, digits):
    with pytest.raises(ValueError, match=message):
        StepwiseClassifier(module=module, **QUICK).fit(*digits)
