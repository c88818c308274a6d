"""Augmentation of images, against torch's and numpy's own flips, shifts and turns, and by its properties."""

import pickle
import random

import numpy as np
import pytest
import torch
from torch import nn

from sk_dlsteps import StepwiseClassifier
from sk_dlsteps.step4_validation.augmentation import InShape, choose_augmentation
from sk_dlsteps.step4_validation.image_augmentation import ImageAugmentation, ImageTransform

NOTHING = {"shift": 0.0, "rotation": 0.0, "crop": 0.0, "lighting": 0.0}
STRENGTHS = {"shift": 0.3, "rotation": 30.0, "crop": 0.5, "lighting": 0.5}
ALONE = [{**NOTHING, name: value} for name, value in STRENGTHS.items()] + [
    {**NOTHING, "flip": True},
    {**NOTHING, "flip_vertical": True},
]


def generator(seed=0):
    """A fresh source of randomness."""
    return torch.Generator().manual_seed(seed)


def images(n_rows=16, n_channels=3, height=8, width=12):
    """Standardised images, and class codes."""
    source = generator(1)
    X = torch.randn(n_rows, n_channels, height, width, generator=source)
    return X, torch.randint(4, (n_rows,), generator=source)


def only(**strengths):
    """An augmentation that does nothing else."""
    return ImageAugmentation(**{**NOTHING, **strengths})


def places(height=9, width=9):
    """An image whose channels are the coordinates of its pixels, x and y, from the middle."""
    y, x = torch.meshgrid(torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij")
    return torch.stack([x, y])


# -- properties of all ---------------------------------------------------------------------


def test_zero_strengths_change_nothing():
    X, y = images()
    changed, target = only()(X, y, generator())
    assert torch.equal(changed, X)
    assert torch.equal(target, y)


@pytest.mark.parametrize("strengths", ALONE, ids=lambda s: next(name for name in s if s[name]))
def test_arguments_keep_their_values_and_images_their_shape(strengths):
    X, y = images()
    before = X.clone()
    changed, target = ImageAugmentation(**strengths)(X, y, generator())
    assert torch.equal(X, before)
    assert torch.equal(target, y)
    assert changed.shape == X.shape
    assert changed.dtype == X.dtype
    assert not torch.equal(changed, X)


@pytest.mark.parametrize("strengths", ALONE, ids=lambda s: next(name for name in s if s[name]))
def test_the_same_generator_gives_the_same_and_another_gives_other_images(strengths):
    augmentation, state = ImageAugmentation(**strengths), torch.random.get_rng_state()
    first, again, other = (augmentation(*images(), generator(seed))[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("strengths", ALONE[:4], ids=lambda s: next(name for name in s if s[name]))
def test_every_image_has_its_own_draw(strengths):
    one = images(n_rows=1)[0].expand(8, -1, -1, -1)
    changed = ImageAugmentation(**strengths)(one, torch.zeros(8), generator())[0]
    assert len({tuple(image.flatten().tolist()) for image in changed}) == 8


def test_what_is_drawn_does_not_depend_on_torchs_default_dtype():
    drawn = []
    for dtype in (torch.float32, torch.float64):
        X, y = images()
        torch.set_default_dtype(dtype)
        try:
            drawn.append(ImageAugmentation(flip=True)(X, y, generator())[0])
        finally:
            torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(*drawn)


def test_double_precision_stays():
    X, y = images()
    doubled, _ = ImageAugmentation()(X.double(), y, generator())
    assert doubled.dtype == torch.float64
    torch.testing.assert_close(doubled.float(), ImageAugmentation()(X, y, generator())[0], rtol=1e-4, atol=1e-4)


# -- each against its definition -------------------------------------------------------------


@pytest.mark.parametrize(("name", "axis"), [("flip", 3), ("flip_vertical", 2)])
def test_a_flip_mirrors_about_half_of_the_images_and_twice_is_none(name, axis):
    X, y = images(n_rows=200)
    augmentation = only(**{name: True})
    flipped, _ = augmentation(X, y, generator())
    mirrored = (flipped == X.flip(axis)).flatten(1).all(1)
    assert ((flipped == X).flatten(1).all(1) ^ mirrored).all()
    assert 70 < int(mirrored.sum()) < 130
    assert torch.equal(augmentation(flipped, y, generator())[0], X)


def test_a_shift_moves_every_pixel_by_the_same_bounded_way():
    height, width, share = 8, 20, 0.2
    X = places(height, width).expand(500, -1, -1, -1)
    moved, _ = only(shift=share)(X, torch.zeros(500), generator())
    # Away from the border the coordinates read at a pixel tell where it was taken from.
    ways = (moved - X)[:, :, 3:-3, 5:-5]
    torch.testing.assert_close(ways, ways[:, :, :1, :1].expand_as(ways), rtol=0, atol=1e-4)
    for axis, side in ((0, width), (1, height)):
        way = ways[:, axis, 0, 0]
        assert float(way.abs().max()) <= share * side + 1e-4
        assert float(way.abs().max()) > 0.9 * share * side
        assert abs(float(way.mean())) < 0.1 * share * side


def test_what_comes_in_from_outside_continues_the_border():
    X = torch.full((50, 1, 6, 6), 3.0)
    moved, _ = only(shift=0.9, rotation=90.0)(X, torch.zeros(50), generator())
    torch.testing.assert_close(moved, X)


def test_a_rotation_keeps_distances_from_the_middle_also_in_oblong_images():
    n_rows, most = 300, 20.0
    X = places(9, 21).expand(n_rows, -1, -1, -1)
    turned, _ = only(rotation=most)(X, torch.zeros(n_rows), generator())
    inner = (slice(None), slice(None), slice(3, 6), slice(8, 13))
    torch.testing.assert_close(turned[inner].norm(dim=1), X[inner].norm(dim=1), rtol=1e-4, atol=1e-4)
    right = turned[:, :, 4, 12]
    angles = torch.rad2deg(torch.atan2(right[:, 1], right[:, 0]))
    assert float(angles.abs().max()) <= most + 1e-3
    assert float(angles.min()) < -0.9 * most
    assert float(angles.max()) > 0.9 * most


def test_a_crop_enlarges_a_part_that_lies_inside():
    X = places(16, 24).expand(300, -1, -1, -1)
    cropped, _ = only(crop=0.5)(X, torch.zeros(300), generator())
    for axis, side in ((0, 24), (1, 16)):
        seen = cropped[:, axis].flatten(1)
        assert float(seen.abs().max()) <= (side - 1) / 2 + 1e-4
        shares = (seen.amax(1) - seen.amin(1)) / (side - 1)
        assert float(shares.min()) == pytest.approx(0.5, abs=0.05)
        assert float(shares.max()) <= 1 + 1e-4
    # Both sides are enlarged alike: a pixel's way to its neighbour is as far across as down.
    steps = [cropped[:, 0, 8, 13] - cropped[:, 0, 8, 12], cropped[:, 1, 9, 12] - cropped[:, 1, 8, 12]]
    torch.testing.assert_close(*steps, rtol=1e-3, atol=1e-3)


def test_lighting_scales_around_the_images_mean_and_adds_a_constant():
    X, y = images(n_rows=400)
    lit, _ = only(lighting=0.5)(X, y, generator())
    spread, mean = (values.std((1, 2, 3)) for values in (lit, X)), lit.mean((1, 2, 3)) - X.mean((1, 2, 3))
    factor = torch.div(*spread)
    rebuilt = factor.view(-1, 1, 1, 1) * (X - X.mean((1, 2, 3), keepdim=True)) + lit.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(lit, rebuilt, rtol=1e-4, atol=1e-4)
    for change in (factor - 1, mean):
        assert 0.45 < float(change.abs().max()) <= 0.5 + 1e-4
        assert abs(float(change.mean())) < 0.05


# -- transforms ------------------------------------------------------------------------------


class Noise(nn.Module):
    """Draws from every global generator that there is."""

    def forward(self, image):
        """A noisy image."""
        return image + torch.rand(image.shape) + np.random.rand() + random.random()


def test_a_transform_works_on_each_image_alone_in_the_users_units():
    X = torch.rand(6, 2, 4, 4, generator=generator())
    center, scale = (0.4, 0.6), (0.2, 0.3)
    standardised = (X - torch.tensor(center).view(-1, 1, 1)) / torch.tensor(scale).view(-1, 1, 1)
    seen = []

    def square(image):
        seen.append(image)
        return image.square()

    changed, _ = ImageTransform(square, center, scale)(standardised, torch.zeros(6), generator())
    torch.testing.assert_close(torch.stack(seen), X)
    torch.testing.assert_close(
        changed * torch.tensor(scale).view(-1, 1, 1) + torch.tensor(center).view(-1, 1, 1), X.square()
    )


def test_a_transform_draws_from_the_given_generator_alone():
    X, y = images()
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first, again, other = (ImageTransform(Noise())(X, y, generator(seed))[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    noise = (first - X).flatten(1).mean(1)
    assert len(noise.unique()) == len(X)
    after = torch.random.get_rng_state(), np.random.get_state()[1], random.getstate()
    assert torch.equal(before[0], after[0])
    assert np.array_equal(before[1], after[1])
    assert before[2] == after[2]


def test_the_global_generators_are_put_back_even_if_a_transform_fails():
    def fail(image):
        torch.rand(()), np.random.rand(), random.random()
        raise KeyError("nothing")

    before = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    with pytest.raises(KeyError):
        ImageTransform(fail)(*images(), generator())
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    assert before[2] == random.getstate()


def test_a_generator_goes_on_from_batch_to_batch():
    X, y = images()
    source = generator()
    assert not torch.equal(ImageTransform(Noise())(X, y, source)[0], ImageTransform(Noise())(X, y, source)[0])


@pytest.mark.parametrize("bad", [lambda image: image[:, :-1], lambda image: image.numpy(), lambda image: None])
def test_a_transform_that_changes_the_shape_is_refused(bad):
    with pytest.raises(ValueError, match=r"must give tensors of the images' shape \(3, 8, 12\), got .*; let it end"):
        ImageTransform(bad)(*images(), generator())


def test_integers_that_a_transform_gives_become_the_images_floats():
    X, y = images()
    rounded, _ = ImageTransform(lambda image: (100 * image).int())(X, y, generator())
    assert rounded.dtype == X.dtype
    assert torch.equal(rounded, (100 * X).trunc())


# -- torchvision's ---------------------------------------------------------------------------


def torchvisions(version):
    """Its transforms, of either version."""
    return pytest.importorskip(f"torchvision.transforms{'.v2' if version == 2 else ''}")


@pytest.mark.parametrize("version", [1, 2])
def test_torchvisions_transforms_are_recognised_and_see_images_from_0_to_1(version):
    transforms = torchvisions(version)
    crop = transforms.Compose(
        [transforms.RandomHorizontalFlip(), transforms.ColorJitter(0.5, 0.5, 0.5), transforms.RandomCrop(8, padding=1)]
    )
    X = torch.rand(20, 3, 8, 8, generator=generator())
    center, scale = X.mean((0, 2, 3)), X.std((0, 2, 3))
    standardised = (X - center.view(-1, 1, 1)) / scale.view(-1, 1, 1)
    augmentation = choose_augmentation(crop, 3, (3, 8, 8), center.tolist(), scale.tolist())
    flat = standardised.flatten(1)
    changed, _ = augmentation(flat, torch.zeros(20), generator())
    assert changed.shape == flat.shape
    again = changed.view_as(X) * scale.view(-1, 1, 1) + center.view(-1, 1, 1)
    assert not torch.allclose(again, X, atol=0.1)
    assert float(again.min()) >= -1e-5
    assert float(again.max()) <= 1 + 1e-5


def test_a_flip_of_torchvisions_is_the_same_as_ours():
    always = torchvisions(2).RandomHorizontalFlip(p=1.0)
    X, y = images()
    assert torch.equal(ImageTransform(always)(X, y, generator())[0], X.flip(3))


# -- choosing --------------------------------------------------------------------------------


class Whole(nn.Module):
    """A module that takes a whole minibatch."""

    def forward(self, X, y, generator):
        """All turned over."""
        return -X, y


def test_modules_that_take_one_image_are_transforms_and_those_that_take_a_minibatch_are_none():
    assert isinstance(choose_augmentation(nn.Identity(), shape=(1, 2, 2)).inner, ImageTransform)
    whole = Whole()
    assert choose_augmentation(whole) is whole
    assert choose_augmentation(whole, shape=(1, 2, 2)) == InShape(whole, (1, 2, 2))


def test_center_and_scale_of_the_channels_are_filled_in():
    chosen = choose_augmentation(ImageTransform(abs), shape=(2, 3, 3), center=np.array([1, 2]), scale=np.array([3, 4]))
    assert chosen.inner == ImageTransform(abs, (1.0, 2.0), (3.0, 4.0))


def test_flat_rows_become_images_and_flat_again():
    X, y = images()
    flat, _ = choose_augmentation("image", shape=(3, 8, 12))(X.flatten(1), y, generator())
    assert torch.equal(flat.view_as(X), ImageAugmentation()(X, y, generator())[0])


@pytest.mark.parametrize("augmentation", ["image", ImageAugmentation(flip=True), ImageTransform(abs), nn.Identity()])
@pytest.mark.parametrize(("shape", "words"), [(None, "the rows of a table"), ((8, 8), r"inputs of shape \(8, 8\)")])
def test_inputs_that_are_no_images_are_refused(augmentation, shape, words):
    with pytest.raises(ValueError, match=f"^`augmentation=.* needs images, .* got {words}"):
        choose_augmentation(augmentation, shape=shape)


def test_the_rows_of_a_table_are_refused_by_fit(iris):
    X, _, y, _ = iris
    with pytest.raises(ValueError, match=r"^`augmentation='image'` needs images"):
        StepwiseClassifier(augmentation="image").fit(X, y)


# -- in an estimator -------------------------------------------------------------------------


class Flat(nn.Module):
    """A linear classifier of images."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(n_inputs, n_outputs))

    def forward(self, X):
        """Logits."""
        return self.layers(X)


def fitted(augmentation, **settings):
    """A classifier of 40 images from 0 to 255 of two channels, and these."""
    X = np.random.default_rng(0).integers(0, 256, (40, 2, 4, 6)).astype(np.uint8)
    short = {"module": Flat, "learning_rate": 0.01, "max_epochs": 2, "n_estimators": 1, "random_state": 0}
    model = StepwiseClassifier(augmentation=augmentation, **{**short, **settings})
    return model.fit(X, np.arange(40) % 2), X


@pytest.mark.parametrize(("scaler", "n_estimators"), [("standard", 1), ("robust", 1), (None, 1), ("standard", 2)])
def test_a_transform_sees_training_images_as_the_user_gave_them(scaler, n_estimators):
    seen = []

    def look(image):
        seen.append(image.clone())
        return image

    # Each of two networks has its own mean and standard deviation, the transform those of all rows.
    tolerance = 0.01 if n_estimators == 1 else 15
    _, X = fitted(look_at_one(look), scaler=scaler, n_estimators=n_estimators)
    given = torch.from_numpy(X).float().flatten(1)
    shown = torch.stack(seen).flatten(1)
    assert float((shown[:, None] - given).abs().amax(2).min(1).values.max()) < tolerance


def look_at_one(function):
    """A module that hands each image to a function."""
    module = nn.Module()
    module.forward = lambda image: function(image)
    return module


def test_named_augmentation_and_functions_get_images_in_fit():
    shapes = set()

    def look(X, y, generator):
        shapes.add(tuple(X.shape[1:]))
        return X, y

    fitted(look)
    assert shapes == {(2, 4, 6)}
    plain, augmented = (fitted(augmentation)[0] for augmentation in (None, "image"))
    X = fitted(None)[1]
    assert not np.array_equal(plain.predict_proba(X), augmented.predict_proba(X))
    assert np.array_equal(augmented.predict_proba(X), fitted("image")[0].predict_proba(X))
    assert any("augmentation by ImageAugmentation(flip=False" in step.decision for step in augmented.steps_)


def test_the_built_in_network_sees_rows_of_a_table():
    with pytest.raises(ValueError, match="and a `module` that takes such, got the rows of a table"):
        fitted("image", module="mlp")


@pytest.mark.parametrize("augmentation", [ImageAugmentation(), ImageTransform(abs)], ids=["own", "transform"])
def test_minibatches_that_are_no_images_are_refused(augmentation):
    with pytest.raises(ValueError, match=r"takes images of shape \(n_rows, channels, height, width\), got \(4, 64\)"):
        augmentation(torch.zeros(4, 64), torch.zeros(4), generator())


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("flip", (1, "both", None)),
        ("flip_vertical", (0, "both")),
        ("shift", (-0.1, 1.0, float("nan"), "a", True)),
        ("rotation", (-1, float("inf"), float("nan"))),
        ("crop", (-0.1, 1, None)),
        ("lighting", (-0.1, float("inf"))),
    ],
)
def test_strengths_that_make_no_sense_are_refused(name, values):
    for value in values:
        with pytest.raises(ValueError, match=f"^`{name}` must be .* got {value!r}"):
            ImageAugmentation(**{name: value})


@pytest.mark.parametrize("value", ["flip", None, Noise])
def test_a_transform_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match=r"^`transform` must be a callable from one image"):
        ImageTransform(value)


@pytest.mark.parametrize("augmentation", [ImageAugmentation(crop=0.3), ImageTransform(abs, (0.5,), (2.0,))])
def test_augmentations_are_values(augmentation):
    assert pickle.loads(pickle.dumps(augmentation)) == augmentation
    assert hash(augmentation) == hash(type(augmentation)(**vars(augmentation)))
    inside = InShape(augmentation, (1, 2, 2))
    assert pickle.loads(pickle.dumps(inside)) == inside
