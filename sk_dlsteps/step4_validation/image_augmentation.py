"""Augmentation of images: minibatches that are flipped, moved, turned, cropped and lit a little differently."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from sk_dlsteps.engine.randomness import seeded_generators

# Strengths of "image", measured on digits (docs/benchmarks.md, "Images") but not tuned: shares of a side for shifts
# and crops, degrees, and standard deviations.
SHIFT = 0.1
ROTATION = 10.0
CROP = 0.1
LIGHTING = 0.1


@dataclass(frozen=True)
class ImageAugmentation:
    """Moves, turns, crops and lights every image of a minibatch in its own random way.

    One resampling with bilinear interpolation does all of the geometry; what comes in
    from outside continues the border. The whole minibatch is changed at once.

    Parameters
    ----------
    flip : bool, default=False
        Mirror left and right with probability one half. Off by default: digits and letters
        are others in the mirror.
    flip_vertical : bool, default=False
        Mirror top and bottom with probability one half.
    shift : float, default=0.1
        Move by up to this share of each side, to either side.
    rotation : float, default=10.0
        Turn by up to so many degrees, to either side.
    crop : float, default=0.1
        Take a part at a random place, of which the sides are shorter by up to this share, and enlarge it
        to the whole.
    lighting : float, default=0.1
        Change the contrast by up to this factor, and the brightness by up to so many standard
        deviations of the training images.

    Raises
    ------
    ValueError
        If a strength makes no sense; when called, if the inputs are no images.

    Examples
    --------
    >>> import torch
    >>> X, y = torch.rand(3, 1, 8, 8), torch.tensor([0, 1, 2])
    >>> changed, _ = ImageAugmentation(flip=True)(X, y, torch.Generator().manual_seed(0))
    >>> changed.shape
    torch.Size([3, 1, 8, 8])

    """

    flip: bool = False
    flip_vertical: bool = False
    shift: float = SHIFT
    rotation: float = ROTATION
    crop: float = CROP
    lighting: float = LIGHTING

    def __post_init__(self) -> None:
        for name in ("flip", "flip_vertical"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"`{name}` must be True or False, got {getattr(self, name)!r}")
        for name, high in (("shift", 1), ("rotation", math.inf), ("crop", 1), ("lighting", math.inf)):
            value = getattr(self, name)
            if not (isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) < high):
                below = f" and below {high}" if high < math.inf else ""
                raise ValueError(f"`{name}` must be a number of at least 0{below}, got {value!r}")

    def __call__(self, X: Tensor, y: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Changed images (n_rows, channels, height, width), and the targets as they were."""
        check_images(X, "ImageAugmentation")
        for axis, wanted in ((3, self.flip), (2, self.flip_vertical)):
            if wanted:
                X = torch.where(_uniform(X, generator) < 0, X.flip(axis), X)
        if self.shift or self.rotation or self.crop:
            X = self._moved(X, generator)
        if self.lighting:
            X = self._lit(X, generator)
        return X, y

    def _moved(self, X: Tensor, generator: Generator) -> Tensor:
        """Images resampled at places that are shifted, turned and shrunk."""
        n_rows, _, height, width = X.shape
        turn, shrink, *_ = draws = [_uniform(X, generator).view(n_rows) for _ in range(6)]
        angle = turn * math.radians(self.rotation)
        zoom = 1 - self.crop * (shrink + 1) / 2
        # The part's middle stays in the image's, by as much as it is smaller; a side runs from -1 to 1.
        move_x, move_y = (2 * self.shift * moved + (1 - zoom) * placed for moved, placed in (draws[2:4], draws[4:6]))
        cosine, sine = zoom * angle.cos(), zoom * angle.sin()
        across = [cosine, -sine * height / width, move_x]
        down = [sine * width / height, cosine, move_y]
        theta = torch.stack([torch.stack(across, 1), torch.stack(down, 1)], 1)
        grid = F.affine_grid(theta, list(X.shape), align_corners=False)
        # Places outside are taken to the border here: not every device's resampling can do it.
        edge = 1 - 1 / grid.new_tensor([width, height])
        grid = torch.minimum(torch.maximum(grid, -edge), edge)
        return F.grid_sample(X, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    def _lit(self, X: Tensor, generator: Generator) -> Tensor:
        """Images of another contrast around their mean, and another brightness."""
        contrast, brightness = (self.lighting * _uniform(X, generator) for _ in range(2))
        return X + contrast * (X - X.mean((1, 2, 3), keepdim=True)) + brightness


def _uniform(X: Tensor, generator: Generator) -> Tensor:
    """One number from -1 to 1 for each image, in a shape that fits to it."""
    # The dtype by its name: torch's default may be another one tomorrow, and draw other numbers.
    drawn = torch.rand(len(X), 1, 1, 1, generator=generator, dtype=torch.float32, device=X.device)
    return (2 * drawn - 1).to(X.dtype)


@dataclass(frozen=True)
class ImageTransform:
    """Puts each image through a transform, such as torchvision's, in the units of the user's own images.

    The transform may draw from the global generators of torch, numpy and Python: they
    are seeded from the network's own generator, and are afterwards as before.

    Parameters
    ----------
    transform : callable
        From an image (channels, height, width) to one of the same shape: a transform of
        ``torchvision.transforms`` or its ``v2``, or any module or function.
    center, scale : float or tuple of float, default=0.0 and 1.0
        Inputs are standardised by ``(image - center) / scale``, one number for each channel or for all:
        the transform sees the image as it was before. An estimator fills them in.

    Raises
    ------
    ValueError
        If `transform` is no callable; when called, if the inputs are no images, or if a transform
        changes their shape.

    Notes
    -----
    Images are float32. Torchvision's changes of colour and brightness take such images to lie in [0, 1], so give
    images in these units.

    Examples
    --------
    >>> import torch
    >>> darker = ImageTransform(lambda image: 0.5 * image, center=0.5, scale=0.25)
    >>> X, y = (torch.rand(3, 1, 8, 8) - 0.5) / 0.25, torch.tensor([0, 1, 2])
    >>> changed, _ = darker(X, y, torch.Generator().manual_seed(0))
    >>> torch.allclose(0.25 * changed + 0.5, 0.5 * (0.25 * X + 0.5))
    True

    """

    transform: Callable[[Tensor], Any]
    center: float | tuple[float, ...] = field(default=0.0, repr=False)
    scale: float | tuple[float, ...] = field(default=1.0, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.transform) or inspect.isclass(self.transform):
            raise ValueError(
                f"`transform` must be a callable from one image (channels, height, width) to another, "
                f"got {self.transform!r}"
            )

    def __call__(self, X: Tensor, y: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Changed images (n_rows, channels, height, width), and the targets as they were."""
        check_images(X, "ImageTransform")
        center, scale = (_of_channels(values, X) for values in (self.center, self.scale))
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        on_gpu = X.device.type in ("cuda", "mps")
        with seeded_generators(seed, X.device if on_gpu else None):
            changed = [self._changed(image) for image in X * scale + center]
        return (torch.stack(changed) - center) / scale, y

    def _changed(self, image: Tensor) -> Tensor:
        """One image, transformed."""
        try:
            changed = self.transform(image)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`augmentation={self.transform!r}` failed on an image as a tensor of shape {tuple(image.shape)}: "
                f"{error}; it must be a transform of one such image"
            ) from error
        shape = tuple(changed.shape) if isinstance(changed, Tensor) else f"none, of type {type(changed).__name__}"
        if shape != tuple(image.shape):
            raise ValueError(
                f"`augmentation={self.transform!r}` must give tensors of the images' shape {tuple(image.shape)}, got "
                f"{shape}; let it end in a crop or a resize to that size"
            )
        return changed.to(image)


def _of_channels(values: float | tuple[float, ...], X: Tensor) -> Tensor:
    """Numbers of the channels, in a shape that fits to images."""
    return torch.as_tensor(values, dtype=X.dtype, device=X.device).reshape(-1, 1, 1)


def check_images(X: Tensor, what: str) -> None:
    """Raise if a minibatch does not hold images."""
    if X.dim() != 4:
        raise ValueError(f"{what} takes images of shape (n_rows, channels, height, width), got {tuple(X.shape)}")


def changes_one_image(augmentation: Any) -> bool:
    """Whether a callable is a transform of an image: torchvision's, or any module that is called with one thing."""
    # The first transforms of torchvision are no modules. The name of the package tells, without importing it.
    if type(augmentation).__module__.partition(".")[0] == "torchvision":
        return True
    if not isinstance(augmentation, nn.Module):
        return False
    required = [p for p in inspect.signature(augmentation.forward).parameters.values() if p.default is p.empty]
    return len(required) < 3
