"""Residual networks for images: torchvision's, fitted to the channels and the size at hand."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

# Images of which a side is shorter than this keep their size in the first layer: torchvision's own first layers and
# stages divide it by 32, which leaves less than two by two pixels for the last stage.
SMALL_IMAGE = 64
# By measurement (docs/benchmarks.md, "Images").
N_STEPS = 1200
STEMS = ("auto", "small", "standard")
# How the head and the first layer are called in torchvision's ResNets.
_HEAD, _FIRST = ("fc.weight", "fc.bias"), "conv1.weight"


@dataclass(frozen=True)
class ResNet:
    """Builds a ResNet [1]_ for images of any size and number of channels.

    The layers are torchvision's. Small images go through a first convolution of 3x3 with a
    stride of 1 and no max-pooling, since 7x7, stride 2 and pooling would leave
    next to nothing of them. All convolutions and the head begin with He's Gaussian weights, of
    standard deviation ``sqrt(2 / fan_in)``, drawn from torch's global generator.

    Attributes
    ----------
    name : {"resnet18", "resnet34", "resnet50"}
        Which of torchvision's.
    n_networks : int
        Networks of an estimator whose `n_estimators` is "auto".
    n_steps : int
        Optimisation steps in which `max_epochs="auto"` results.
    one_cycle : bool
        With `restart_period="auto"` the rate falls once, over all epochs, and no network ends before:
        a validation set of a few hundred images is soon learnt to the last one, and another cycle helps all the same.
    max_grad_norm : None
        Gradients are not clipped: batch norm keeps them in bounds.
    keeps_gaps : bool
        Missing pixels are filled in before.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun. "Deep Residual Learning for Image Recognition." CVPR 2016.

    Examples
    --------
    >>> import torch
    >>> module = ResNet("resnet18")(input_shape=(1, 8, 8), n_outputs=10)
    >>> module(torch.zeros(4, 1, 8, 8)).shape
    torch.Size([4, 10])

    """

    name: str
    n_networks: ClassVar[int] = 1
    n_steps: ClassVar[int] = N_STEPS
    one_cycle: ClassVar[bool] = True
    max_grad_norm: ClassVar[float | None] = None
    keeps_gaps: ClassVar[bool] = False

    def __call__(
        self,
        input_shape: tuple[int, ...],
        n_outputs: int,
        weights: Any = None,
        stem: str = "auto",
        dropout: float = 0.0,
    ) -> nn.Module:
        """Build a network.

        Parameters
        ----------
        input_shape : tuple of int
            (channels, height, width) of an image.
        n_outputs : int
            Raw outputs.
        weights : path, str or None, default=None
            Where to begin: a file ``.pt`` or ``.pth`` with a state dict of this ResNet, or the
            name of weights that torchvision then downloads, such as "DEFAULT". The head
            is new if it has another number of outputs. A first layer for another number of channels is
            averaged: each channel gets the sum over the old ones divided by the new number, so that
            an image of equal channels gets the answer it had.
        stem : {"auto", "small", "standard"}, default="auto"
            The first layers: "small" is a 3x3 convolution of stride 1, "standard" torchvision's of 7x7 and stride 2
            with a max-pooling. "auto" takes the small one for images of a side below 64, or, with
            `weights`, the one that these were trained with.
        dropout : float, default=0.0
            Share of the features that is zeroed in training before the head.

        Returns
        -------
        module : torch.nn.Module
            Maps (rows, channels, height, width) to (rows, n_outputs).

        Raises
        ------
        ValueError
            If the inputs are no images, or a parameter is not what it may be.
        ImportError
            If torchvision is missing or does not fit the installed torch.
        OSError
            If weights could not be downloaded.

        """
        n_channels, *sides = self._checked_shape(input_shape)
        _check_options(stem, dropout)
        models = _torchvision_models(self.name)
        state = None if weights is None else _state_of(weights, models, self.name)
        if stem == "auto":
            stem = ("small" if min(sides) < SMALL_IMAGE else "standard") if state is None else _stem_of(state)
        module = getattr(models, self.name)(num_classes=n_outputs)
        _fit_first_layers(module, n_channels, stem)
        if dropout:
            # In front of the head, where it changes the name of no parameter.
            module.avgpool = nn.Sequential(module.avgpool, nn.Dropout(float(dropout)))
        draw_he_weights(module)
        if state is not None:
            _load(module, state, f"{self.name} from `weights={str(weights)!r}`")
        return module

    @staticmethod
    def parameters_of(network: nn.Module, parameters: dict[str, Any]) -> dict[str, Any]:
        """Parameters that give a network of the shape of a trained one, without reading the weights it began with."""
        first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
        kept = {name: value for name, value in parameters.items() if name != "weights"}
        return {**kept, "stem": "small" if first.kernel_size[0] == 3 else "standard"}

    def _checked_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of an image, channels first."""
        way_out = ""
        if len(shape) == 2:
            way_out = "; for images of one channel give `X[:, None]`"
        elif len(shape) == 3 and shape[-1] in (3, 4) and min(shape[:2]) > 4:
            way_out = "; with the channels last, give `X.transpose(0, 3, 1, 2)`"
        if way_out or len(shape) != 3:
            got = ", ".join(("n", *map(str, shape)))
            raise ValueError(
                f"`module={self.name!r}` needs images of shape (n, channels, height, width), or flattened rows with "
                f"`input_shape=(channels, height, width)`, got X of shape ({got}){way_out}"
            )
        return shape


RESNETS = {name: ResNet(name) for name in ("resnet18", "resnet34", "resnet50")}


def draw_he_weights(module: nn.Module) -> None:
    """Draw the weights of all convolutions and linear layers from N(0, 2 / fan_in); linear biases are 0."""
    # NOTE[ARTICLE]: He's standard deviation is sqrt(2 / fan_in); torchvision divides by the fan-out instead.
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)


def _torchvision_models(name: str) -> Any:
    """Torchvision's models, imported only now: the package is optional."""
    try:
        from torchvision import models
    # One that was built for another torch raises a RuntimeError.
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f"`module={name!r}` needs torchvision, which is missing or does not fit torch {torch.__version__} "
            f'({error}): pip install "sk_dlsteps[vision]"'
        ) from error
    return models


def _check_options(stem: Any, dropout: Any) -> None:
    """Raise for a `stem` or a `dropout` that is none."""
    if stem not in STEMS:
        raise ValueError(f"`module__stem` must be {' or '.join(map(repr, STEMS))}, got {stem!r}")
    if not (isinstance(dropout, Real) and 0 <= float(dropout) < 1):
        raise ValueError(f"`module__dropout` must be a number of at least 0 and below 1, got {dropout!r}")


def _fit_first_layers(module: nn.Module, n_channels: int, stem: str) -> None:
    """Put in a first convolution for that many channels, without pooling if the images are small."""
    size, stride, padding = (3, 1, 1) if stem == "small" else (7, 2, 3)
    module.conv1 = nn.Conv2d(n_channels, 64, size, stride, padding, bias=False)
    if stem == "small":
        module.maxpool = nn.Identity()


def _stem_of(state: dict[str, Tensor]) -> str:
    """The stem that weights were trained with."""
    first = state.get(_FIRST)
    return "small" if first is not None and first.shape[-1] == 3 else "standard"


def _state_of(weights: Any, models: Any, name: str) -> dict[str, Tensor]:
    """The state dict in a file, or one of torchvision's."""
    if isinstance(weights, os.PathLike) or (isinstance(weights, str) and weights.endswith((".pt", ".pth"))):
        return _read(Path(weights))
    known = models.get_model_weights(name)
    try:
        entry = known.verify(weights)
    except (KeyError, TypeError) as error:
        names = ", ".join(known.__members__)
        raise ValueError(
            f"`module__weights` must be None, the path of a .pt or .pth file with a state dict of {name}, or one of "
            f"torchvision's: {names}; got {weights!r}"
        ) from error
    try:
        return entry.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise OSError(
            f"`module__weights={str(weights)!r}` could not be downloaded ({error}); download {entry.url} elsewhere, "
            "and give the path of the file"
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    """A file's state dict."""
    if not path.is_file():
        raise ValueError(f"`module__weights={str(path)!r}`: there is no such file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"`module__weights={str(path)!r}` cannot be read; {_HOW_TO_SAVE}") from error
    if not (isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values())):
        raise ValueError(f"`module__weights={str(path)!r}` holds no state dict; {_HOW_TO_SAVE}")
    return state


_HOW_TO_SAVE = "write it by torch.save(module.state_dict(), path)"


def _load(module: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Take over a state; its first layer is adapted to the channels, and a head that does not fit stays new."""
    own = module.state_dict()
    state = {name: value for name, value in state.items() if name in own}
    first = state.get(_FIRST)
    if first is not None and first.dim() == 4 and first.shape[1] != own[_FIRST].shape[1]:
        n_channels = own[_FIRST].shape[1]
        state[_FIRST] = (first.sum(1, keepdim=True) / n_channels).expand(-1, n_channels, -1, -1)
    fitting = {name: value for name, value in state.items() if value.shape == own[name].shape}
    # Older files, torchvision's among them, have no counts of minibatches.
    spared = {name for name in own if name in (*_HEAD, _FIRST) or name.endswith("num_batches_tracked")}
    lacking = [name for name in own if name not in fitting and name not in spared]
    if lacking:
        raise ValueError(
            f"cannot begin {what}: of {len(own)} entries {len(lacking)} are missing or have another shape, the first "
            f"is {lacking[0]!r}; {_HOW_TO_SAVE} from the same ResNet"
        )
    module.load_state_dict({**own, **fitting})
