"""Augmentation: minibatches that differ a little from the rows they were drawn from; here for tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from sk_dlsteps.engine.device import widest_float
from sk_dlsteps.step4_validation.image_augmentation import ImageAugmentation, ImageTransform, changes_one_image

Augmentation = Callable[[Tensor, Tensor, Generator], tuple[Tensor, Tensor]]

# Strengths of the augmentations that go by a name. None is tuned yet: a tenth of a column's standard deviation,
# a tenth of the entries, and a value from the range 0.1 to 0.4 that the paper of mixup found best.
NOISE_STD = 0.1
SWAP_SHARE = 0.1
MIXUP_ALPHA = 0.2


@dataclass(frozen=True)
class GaussianNoise:
    """Adds noise of standard deviation `std` to every input.

    Parameters
    ----------
    std : float, default=0.1
        In standard deviations of a column, as inputs arrive standardised.

    Raises
    ------
    ValueError
        If `std` is negative or not finite.

    Examples
    --------
    >>> import torch
    >>> X, y = torch.zeros(1000, 2), torch.zeros(1000, 1)
    >>> noisy, _ = GaussianNoise(std=0.5)(X, y, torch.Generator().manual_seed(0))
    >>> round(float(noisy.std()), 1)
    0.5

    """

    std: float = NOISE_STD

    def __post_init__(self) -> None:
        if not (isinstance(self.std, Real) and 0 <= self.std < math.inf):
            raise ValueError(f"`std` must be a number of at least 0, got {self.std!r}")

    def __call__(self, X: Tensor, y: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Noisy inputs, and the targets as they were."""
        noise = torch.randn(X.shape, generator=generator, dtype=X.dtype, device=X.device)
        return torch.add(X, noise, alpha=self.std), y


@dataclass(frozen=True)
class SwapNoise:
    """Takes a share of the entries from the same column of other rows.

    Each entry is replaced, with probability `share`, by the value that another
    random row of the minibatch has there, as VIME corrupts tables [1]_. Columns
    keep their distribution, whatever it is.

    Parameters
    ----------
    share : float, default=0.1
        Probability of each entry to be replaced, from 0 to 1.

    Raises
    ------
    ValueError
        If `share` is not from 0 to 1.

    References
    ----------
    .. [1] J. Yoon, Y. Zhang, J. Jordon, M. van der Schaar. "VIME: Extending the Success of Self- and
       Semi-supervised Learning to Tabular Domain." NeurIPS 2020.

    Examples
    --------
    >>> import torch
    >>> X, y = torch.arange(4.0).reshape(4, 1), torch.zeros(4, 1)
    >>> swapped, _ = SwapNoise(share=1.0)(X, y, torch.Generator().manual_seed(0))
    >>> bool((swapped != X).all()), bool(torch.isin(swapped, X).all())
    (True, True)

    """

    share: float = SWAP_SHARE

    def __post_init__(self) -> None:
        if not (isinstance(self.share, Real) and 0 <= self.share <= 1):
            raise ValueError(f"`share` must be a number from 0 to 1, got {self.share!r}")

    def __call__(self, X: Tensor, y: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Inputs of which some come from other rows, and the targets as they were."""
        n_rows = len(X)
        if n_rows < 2:
            return X, y
        # The dtype by its name: torch's default may be another one tomorrow, and draw other numbers.
        swap = torch.rand(X.shape, generator=generator, dtype=torch.float32, device=X.device) < self.share
        # A step of 1 to n_rows - 1 rows, round the end, never leads back to the row itself.
        step = torch.randint(1, n_rows, X.shape, generator=generator, device=X.device)
        other = (torch.arange(n_rows, device=X.device)[:, None] + step) % n_rows
        return torch.where(swap, X.gather(0, other), X), y


@dataclass(frozen=True)
class Mixup:
    """Mixes every row, and its target, with another row of the minibatch [1]_.

    The shares are lambda and 1 - lambda, with a lambda from Beta(alpha, alpha)
    for each pair. The row itself gets the larger share: the mixtures are
    distributed as in the paper, and every row is the main part of one.

    Class codes become soft labels, see `choose_augmentation`.

    Parameters
    ----------
    alpha : float, default=0.2
        Near 0 rows stay almost as they are; 1 draws lambda evenly from [0, 1].
    n_outputs : int or None, default=None
        For class codes, the raw outputs of the network: 1 for a single logit, or one
        for each class. An estimator fills it in.

    Raises
    ------
    ValueError
        If `alpha` is not above 0; when called, if class codes are to be mixed
        and `n_outputs` is None.

    References
    ----------
    .. [1] H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz. "mixup: Beyond Empirical Risk Minimization."
       ICLR 2018.

    Examples
    --------
    >>> import torch
    >>> X, y = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 2])
    >>> mixed, soft = Mixup(alpha=1.0, n_outputs=3)(X, y, torch.Generator().manual_seed(1))
    >>> soft.shape, bool(torch.allclose(soft[:, 2:], mixed))
    (torch.Size([2, 3]), True)

    """

    alpha: float = MIXUP_ALPHA
    n_outputs: int | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.alpha, Real) and 0 < self.alpha < math.inf):
            raise ValueError(f"`alpha` must be a number above 0, got {self.alpha!r}")

    def __call__(self, X: Tensor, y: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Mixed inputs and targets."""
        other = torch.randperm(len(X), generator=generator, device=X.device)
        share = symmetric_beta(self.alpha, len(X), generator)
        share = torch.maximum(share, 1 - share).to(X.dtype).unsqueeze(-1)
        target = y if y.is_floating_point() else self._columns(y).to(X.dtype)
        mixed, soft = (values[other].lerp(values, share.to(values.dtype)) for values in (X, target))
        return mixed, soft.squeeze(-1) if target.dim() > y.dim() and self.n_outputs == 1 else soft

    def _columns(self, codes: Tensor) -> Tensor:
        """Class codes as columns of 0 and 1, one for each raw output."""
        if self.n_outputs is None:
            raise ValueError(
                "`n_outputs` must say how many raw outputs a classifier has for Mixup to mix class codes, got None; "
                "an estimator sets it in a Mixup that is its `augmentation`"
            )
        return codes.unsqueeze(-1) if self.n_outputs == 1 else F.one_hot(codes, self.n_outputs)


def symmetric_beta(alpha: float, n: int, generator: Generator) -> Tensor:
    """Numbers (n,) from Beta(alpha, alpha) on the generator's device, in its widest floats.

    torch.distributions draws from the global generator only. Here a Student t
    with 2 alpha degrees of freedom, by Bailey's polar method (1994), is taken to the unit
    interval: W / sqrt(1 + W^2) with W = cos(2 pi V) sqrt(U^(-1 / alpha) - 1),
    written so that no power overflows.
    """
    dtype = widest_float(generator.device)
    u, v = torch.rand(2, n, generator=generator, dtype=dtype, device=generator.device)
    exponent = u.log_() / alpha
    cosine = v.mul_(2 * math.pi).cos_()
    squared = cosine.square() * -exponent.expm1()
    ratio = squared / (exponent.exp_() + squared)
    return (1 + ratio.sqrt_().copysign_(cosine)) / 2


AUGMENTATIONS: dict[str, Augmentation] = {
    "gaussian_noise": GaussianNoise(),
    "mixup": Mixup(),
    "swap_noise": SwapNoise(),
}
# Those that only images can have.
IMAGE_AUGMENTATIONS: dict[str, Augmentation] = {"image": ImageAugmentation()}
NAMED = {**AUGMENTATIONS, **IMAGE_AUGMENTATIONS}
# Those that put together numbers of different rows, and so need all numbers to be there.
MIX_ROWS = {"mixup", "swap_noise"}


def check_for_gaps(augmentation: Any) -> None:
    """Raise for what rows with NaN that a module wants to see cannot go through."""
    named = isinstance(augmentation, str) and augmentation in MIX_ROWS
    if named or isinstance(augmentation, Mixup | SwapNoise):
        raise ValueError(
            f"`augmentation={augmentation!r}` puts numbers of different rows together, and X has gaps (NaN); use "
            "'gaussian_noise', or sequences of one length."
        )


@dataclass(frozen=True)
class InShape:
    """Gives flat rows to an augmentation in the shape that they have for the user.

    Attributes
    ----------
    inner : callable
        ``(X, y, generator) -> (X, y)`` with X of shape (n_rows, *shape).
    shape : tuple of int
        Shape of an input.

    """

    inner: Augmentation
    shape: tuple[int, ...]

    def __call__(self, X: Tensor, y: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """What the inner one gives, with X flat again."""
        shaped = X.reshape(len(X), *self.shape)
        result = self.inner(shaped, y, generator)
        # Whatever is no pair of tensors is told so by the engine.
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Tensor)):
            return result
        changed, target = result
        if changed.shape != shaped.shape:
            raise ValueError(
                f"`augmentation` must keep the shape of X, {tuple(shaped.shape)}; it returned {tuple(changed.shape)}"
            )
        return changed.reshape(X.shape), target


def choose_augmentation(
    augmentation: Any,
    n_outputs: int | None = None,
    shape: tuple[int, ...] | None = None,
    center: Iterable[float] | None = None,
    scale: Iterable[float] | None = None,
) -> Augmentation | None:
    """Resolve `augmentation`.

    Parameters
    ----------
    augmentation : {"gaussian_noise", "image", "mixup", "swap_noise"}, callable, transform or None
        A callable ``(X, y, generator) -> (X, y)`` gets the tensors of one network's minibatch:
        standardised inputs (n_rows, n_features), or (n_rows, *shape), and standardised targets
        (n_rows, n_targets) or class codes (n_rows,). It must return new tensors of as many rows and
        columns; codes may become soft labels: the probability of the second class, (n_rows,), where
        the network has a single logit, and otherwise the classes' probabilities,
        (n_rows, n_classes). A transform of torchvision's, or another module that is called with one
        image, becomes an `ImageTransform`.
    n_outputs : int or None, default=None
        Raw outputs of a classifier's network; None for regression.
    shape : tuple of int or None, default=None
        Shape of an input, (channels, height, width) of an image; None for the rows of a table.
    center, scale : sequence of float or None, default=None
        By what each channel was standardised, for an `ImageTransform`.

    Returns
    -------
    augmentation : callable or None
        Takes rows as they come from a table, (n_rows, n_features), whatever their shape. A named
        one has its usual strength; a `Mixup` knows `n_outputs`.

    Raises
    ------
    ValueError
        If an augmentation of images gets other inputs.

    Examples
    --------
    >>> choose_augmentation("mixup", n_outputs=3)
    Mixup(alpha=0.2, n_outputs=3)
    >>> choose_augmentation(SwapNoise(share=0.2))
    SwapNoise(share=0.2)
    >>> choose_augmentation("image", shape=(1, 8, 8)).inner
    ImageAugmentation(flip=False, flip_vertical=False, shift=0.1, rotation=10.0, crop=0.1, lighting=0.1)

    """
    chosen: Any = NAMED[augmentation] if isinstance(augmentation, str) else augmentation
    if isinstance(chosen, Mixup):
        return replace(chosen, n_outputs=n_outputs)
    # Noise and mixtures are the same in any shape.
    if chosen is None or isinstance(chosen, GaussianNoise | SwapNoise):
        return chosen
    if changes_one_image(chosen):
        chosen = ImageTransform(chosen)
    if isinstance(chosen, ImageAugmentation | ImageTransform):
        _check_for_images(augmentation, shape)
    if isinstance(chosen, ImageTransform) and center is not None and scale is not None:
        chosen = replace(chosen, center=tuple(map(float, center)), scale=tuple(map(float, scale)))
    return chosen if shape is None else InShape(chosen, tuple(shape))


def needs_units(augmentation: Augmentation | None) -> bool:
    """Whether a chosen augmentation has to turn standardised images back into the user's units."""
    return isinstance(augmentation, InShape) and isinstance(augmentation.inner, ImageTransform)


def _check_for_images(augmentation: Any, shape: tuple[int, ...] | None) -> None:
    """Raise if inputs of that shape are no images."""
    if shape is None or len(shape) != 3:
        got = "the rows of a table" if shape is None else f"inputs of shape {tuple(shape)}"
        raise ValueError(
            f"`augmentation={augmentation!r}` needs images, X of shape (n, channels, height, width) or flattened rows "
            f"with `input_shape=(channels, height, width)`, and a `module` that takes such, got {got}"
        )
