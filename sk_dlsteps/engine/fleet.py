"""A fleet: K networks of one shape that are trained and asked side by side."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from sk_dlsteps.engine.encoding import PiecewiseLinear
from sk_dlsteps.engine.sparse_rows import SparseRows

if TYPE_CHECKING:
    from sk_dlsteps.engine.batches import Part


class Fleet(nn.Module):
    """K networks over one table, each with statistics of its own.

    A row goes through three stages: `prepare` (the network's own centre and
    scale, then a smooth clip), `raw` (the network), and the cost's link back
    to the target's units. `forward` is all three.

    Parameters
    ----------
    cost : Cost
        Loss per row and link of the raw outputs.
    input_center, input_factor : Tensor of shape (K, 1, n_inputs)
        Network k sees ``(x - input_center[k]) * input_factor[k]``.
    target_center, target_scale : Tensor of shape (K, 1, n_targets) or None
        Network k learns ``(y - target_center[k]) / target_scale[k]``; a scale of 0
        makes it answer with the centre. None for class codes.
    target_origin, target_unit : Tensor of shape (K, 1, n_targets) or None
        On a device without float64, `y` above stands for ``(y - target_origin) / target_unit``,
        which float32 can tell apart however far the target lies from 0. Both are float64 and stay on the CPU,
        and so does what is turned back into the user's units.
    input_clip : float or None
        Prepared inputs are squashed to this magnitude by
        ``x / sqrt(1 + (x / input_clip)**2)``; None switches it off.
    input_encoding : PiecewiseLinear or None
        Columns that are added to the prepared inputs.
    n_codes : int
        Last columns of the table, codes of categories, which are left as they are.
    fills_gaps : bool
        Whether training rows may hold NaN, which becomes the network's own centre.
    keeps_gaps : bool
        Whether the networks want to see NaN as such.
    temperature : Tensor of shape (K, 1, 1) or (K, 1, n_outputs), or None
        What raw outputs are divided by before the link, or the factors of the steps between
        quantiles; None: 1, not calibrated.
    precision : torch dtype or None
        Floats of the products in training steps, if narrower than the networks' own.
    class_centers : Tensor of shape (K, n_classes, n_outputs) or None
        Where a cost embeds rows: the mean embedding of each class, NaN for a class without rows. The share of each
        class in what the training rows count stands beside it.

    """

    cost: Any
    input_center: Tensor
    input_factor: Tensor
    target_center: Tensor | None
    target_scale: Tensor | None
    temperature: Tensor
    target_origin: Tensor | None
    target_unit: Tensor | None
    class_centers: Tensor | None
    class_shares: Tensor | None
    order: Tensor
    # Layers that do not train, and what multiplies the rate of each layer, if not 1.
    frozen: frozenset[str] = frozenset()
    rate_scales: Mapping[str, float] | None = None
    # States that are remembered, by name.
    _kept: dict[str, Any]

    def __init__(
        self,
        cost: Any,
        input_center: Tensor,
        input_factor: Tensor,
        target_center: Tensor | None = None,
        target_scale: Tensor | None = None,
        input_clip: float | None = None,
        input_encoding: PiecewiseLinear | None = None,
        n_codes: int = 0,
        fills_gaps: bool = False,
        temperature: Tensor | None = None,
        precision: torch.dtype | None = None,
        target_origin: Tensor | None = None,
        target_unit: Tensor | None = None,
        keeps_gaps: bool = False,
        class_centers: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.cost = cost
        self.input_clip = input_clip
        self.input_encoding = input_encoding
        self.n_codes, self.fills_gaps, self.keeps_gaps = n_codes, fills_gaps, keeps_gaps
        self.precision = precision
        self.register_buffer("input_center", input_center)
        self.register_buffer("input_factor", input_factor)
        self.register_buffer("target_center", target_center)
        self.register_buffer("target_scale", target_scale)
        self.register_buffer("target_origin", target_origin)
        self.register_buffer("target_unit", target_unit)
        self.register_buffer("class_centers", class_centers)
        self.register_buffer("class_shares", None if class_centers is None else torch.ones_like(class_centers[..., :1]))
        self.n_networks = self.n_active = input_center.shape[0]
        if temperature is None:
            n_targets = 1 if target_center is None else target_center.shape[-1]
            temperature = input_center.new_ones(self.n_networks, 1, n_targets * len(cost.quantiles) or 1)
        self.register_buffer("temperature", temperature)
        # The number of the network in each place: a state saved while some had stopped knows whose is whose.
        self.register_buffer("order", torch.arange(self.n_networks, device=input_center.device))

    @property
    def prediction_dtype(self) -> torch.dtype:
        """The dtype to predict in: float64 on the CPU, where it costs little and rows then do not affect each other."""
        on_cpu = self.input_center.device.type == "cpu"
        return torch.float64 if on_cpu else self.input_center.dtype

    @property
    def is_calibrated(self) -> bool:
        """Whether a temperature was fitted; 1 means that none was."""
        return bool((self.temperature != 1).any())

    @property
    def least_rows(self) -> int:
        """Rows that a minibatch needs: two where batch norms take their variance."""
        return 1

    @property
    def widths(self) -> list[int]:
        """Numbers a network holds per row, layer by layer."""
        n_added = 0 if self.input_encoding is None else self.input_encoding.n_added
        return [self.input_center.shape[-1] + n_added + self.n_codes]

    @property
    def flops_per_row(self) -> float:
        """Floating-point operations to predict a row by all networks; infinite if unknown."""
        return math.inf

    def prepare(self, x: Any) -> Any:
        """Inputs as each network sees them, (k, rows, n_inputs), from rows for all active ones or for the first k."""
        return self.encode(self.standardise(x))

    def standardise(self, x: Any, fill: bool | None = None) -> Any:
        """Inputs with each network's own centre and scale, gaps filled: the first stage of `prepare`."""
        if isinstance(x, SparseRows):
            return x.scaled(self.input_factor)
        plain, codes = self._parts(x)
        out = (plain - self._first(self.input_center, x)).mul_(self._first(self.input_factor, x))
        if not self.keeps_gaps and (self.fills_gaps if fill is None else fill):
            out.nan_to_num_(nan=0.0)
        return out if codes is None else torch.cat([out, codes.expand(len(out), -1, -1)], -1)

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Numbers and, if there are any, codes."""
        n = x.shape[-1] - self.n_codes
        return (x[..., :n], x[..., n:]) if self.n_codes else (x, None)

    def encode(self, x: Any) -> Any:
        """Standardised inputs, which are overwritten, clipped and with their ramps: the second stage of `prepare`."""
        if isinstance(x, SparseRows):
            return x.clipped(self.input_clip)
        x, codes = self._parts(x)
        ramps = None if self.input_encoding is None else self.input_encoding(x)
        if self.input_clip is not None:
            x.mul_(torch.addcmul(x.new_ones(()), x, x, value=self.input_clip**-2).rsqrt_())
        parts = [part for part in (x, ramps, codes) if part is not None]
        return x if len(parts) == 1 else torch.cat(parts, -1)

    def relative_target(self, y: Tensor, network: int) -> Tensor:
        """Targets (rows, n_targets) as the device can hold them, with the origin and unit of a network."""
        if self.target_center is None or self.target_origin is None or self.target_unit is None:
            return y
        return (y - self.target_origin[network]) / self.target_unit[network]

    def absolute_target(self, y: Tensor) -> Tensor:
        """Targets of the first networks, (k, rows, n_targets) as the device holds them, in the user's units."""
        if self.target_center is None or self.target_origin is None or self.target_unit is None:
            return y
        y = y.to(self.target_origin)
        return y * self._each(self.target_unit, y) + self._each(self.target_origin, y)

    def prepare_target(self, y: Tensor, dtype: torch.dtype) -> Tensor:
        """Targets as each of the first k networks learns them, from (k, rows, ...) as the device holds them."""
        if self.target_center is None or self.target_scale is None:
            return y
        scale = self._first(self.target_scale, y)
        return ((y - self._first(self.target_center, y)) / scale.where(scale > 0, 1.0)).to(dtype)

    def original_target(self, target: Tensor) -> Tensor:
        """Targets, or several predictions of each side by side, of the first k networks back in the user's units."""
        if self.target_center is None or self.target_scale is None:
            return target
        out = target.to(self.target_scale.dtype)
        return self.absolute_target(out * self._each(self.target_scale, out) + self._each(self.target_center, out))

    def _each(self, statistic: Tensor, like: Tensor) -> Tensor:
        """A statistic of the targets for every prediction of them, of which there may be several for a target."""
        own = self._first(statistic, like)
        return own if own.shape[-1] == like.shape[-1] else own.repeat_interleave(like.shape[-1] // own.shape[-1], -1)

    def predictions(self, raw: Tensor) -> Tensor:
        """Raw outputs (K, rows, n_outputs) through the link, calibrated, in the target's units."""
        raw = self.scored(raw)
        if self.is_calibrated:
            return self.original_target(self.cost.calibrated_link(raw, self._first(self.temperature, raw)))
        return self.original_target(self.cost.link(raw))

    def scored(self, raw: Tensor) -> Tensor:
        """What the link takes: raw outputs or, of embeddings, scores of the classes by their centres and shares."""
        if self.class_centers is None or self.class_shares is None:
            return raw
        centers, shares = self._first(self.class_centers, raw), self._first(self.class_shares, raw)
        return score_classes(self.cost.embed(raw), centers, shares)

    def tempered(self, raw: Tensor) -> Tensor:
        """What the link takes, divided by the networks' temperatures."""
        return self.scored(raw) / self._first(self.temperature, raw)

    def embed(self, x: Any) -> Tensor:
        """Embeddings (K, rows, n_outputs) of rows (rows, n_inputs)."""
        return self.cost.embed(self.outputs(x))

    def forward(self, x: Any) -> Tensor:
        """Predictions of every network, (rows, K, n_predictions), for inputs (rows, n_inputs)."""
        return self.predictions(self.outputs(x)).transpose(0, 1)

    def outputs(self, x: Any) -> Tensor:
        """Raw outputs (K, rows, n_outputs) for inputs (rows, n_inputs)."""
        # What was there in every training row may be missing now.
        fill = not isinstance(x, SparseRows) and bool(x.isnan().any())
        return self.raw(self.encode(self.standardise(x, fill)))

    def raw(self, x: Any) -> Tensor:
        """Raw outputs (K, rows, n_outputs) for prepared inputs (K, rows, n_inputs)."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    def gradients(
        self,
        x: Any,
        target: Tensor,
        sizes: np.ndarray | None = None,
        weight: Tensor | None = None,
        part: Part | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Set ``.grad`` to the mean gradient of each of the first k networks; return losses (k, rows), raw outputs.

        Rows beyond a network's entry in `sizes` do not count; `weight` (k, rows) multiplies losses. Of rows that are
        a `part` of whole minibatches, the gradients are what they add to the mean over those.
        """
        raise TypeError(f"{type(self).__name__} defines no networks")

    def gradient_tensors(self, k: int) -> list[Tensor]:
        """The gradients of the first k networks, to be changed in place."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    def clip(self, k: int, max_norm: Tensor | None, max_value: Tensor | None) -> None:
        """Clip the gradients of the first k networks: entries to `max_value`, then norms to `max_norm`, both (K,)."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    def signals(self, x: Any, target: Tensor, sizes: np.ndarray | None = None) -> tuple[Tensor, Tensor | None]:
        """Norm of each layer's gradient (n_layers, k), and each network's share of dead units, if known."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    def is_finite(self) -> Tensor:
        """Whether each active network holds finite numbers only, (n_active,)."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    def networks(self) -> list[list[tuple[str, nn.Parameter]]]:
        """Named parameters of each network, sharing storage and gradients with the fleet's."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    @property
    def layers(self) -> list[str]:
        """Names of the layers, from the inputs to the outputs."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    def layer_of(self, name: str) -> str:
        """Layer of a parameter that `networks` names."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    @property
    def depths(self) -> dict[str, int]:
        """How deep each layer lies, counted from 0; layers that belong together lie equally deep."""
        return {layer: depth for depth, layer in enumerate(self.layers)}

    @property
    def fixed_layers(self) -> frozenset[str]:
        """Layers that the user's own module does not let train, whatever `freeze` is told."""
        return frozenset()

    def freeze(self, layers: Collection[str]) -> None:
        """Let exactly these layers stay as they are in training, averages of their batch norms included."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    def reorder(self, order: Sequence[int], n_active: int) -> None:
        """Put the networks into another order; only the first `n_active` are trained on."""
        self.n_active = n_active
        index = torch.as_tensor(order, device=self.input_center.device)
        inputs, target = (self.input_center, self.input_factor), (self.target_center, self.target_scale)
        units, of_classes = (self.target_origin, self.target_unit), (self.class_centers, self.class_shares)
        for tensor in (self.order, *inputs, *target, *units, *of_classes, self.temperature):
            if tensor is not None:
                tensor.copy_(tensor[index.to(tensor.device)])
        if self.input_encoding is not None:
            self.input_encoding.reorder(index)

    def load_state_dict(self, *args, **kwargs):
        """Load a state as torch does; networks that were saved in another order go back to their own places."""
        result = super().load_state_dict(*args, **kwargs)
        places = torch.argsort(self.order).tolist()
        if places != sorted(places):
            self.reorder(places, self.n_networks)
        return result

    def _apply(self, fn, recurse=True):
        """Move or cast everything but the target's origin and unit, which stay on the CPU in float64."""
        stay = {name: self._buffers.pop(name) for name in ("target_origin", "target_unit")}
        try:
            return super()._apply(fn, recurse)
        finally:
            self._buffers.update(stay)

    def remember(self, which: Tensor | None, name: str = "best") -> None:
        """Keep the present state of the active networks in the mask `which` (n_active,), all if None, under a name."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    def recall(self, which: Tensor | None = None, name: str = "best") -> None:
        """Put the networks in the mask `which` (K,) back to the state last remembered; all if None."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    def forget(self) -> None:
        """Drop what was remembered and the gradients."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    def as_if_ended(self) -> Fleet:
        """A copy in the middle of a training: every network in its best state and in its own place."""
        fleet = copy.deepcopy(self)
        fleet.recall()
        fleet.reorder(torch.argsort(fleet.order).tolist(), fleet.n_networks)
        fleet.forget()
        return fleet.eval()

    def training_state(self) -> dict[str, Any]:
        """All that training has changed, the networks standing as they do; the tensors are the fleet's own."""
        with_gradient = [name for name, parameter in self.named_parameters() if parameter.grad is not None]
        tensors = {name: tensor.detach() for name, tensor in self._all_tensors()}
        return {
            "tensors": tensors,
            "kept": self._kept,
            "with_gradient": with_gradient,
            "randomness": self.randomness,
        }

    def set_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `training_state` gave."""
        for name, tensor in self._all_tensors():
            tensor.data.copy_(state["tensors"][name])
        self._kept = _on(state["kept"], self.input_center.device)
        for name, parameter in self.named_parameters():
            if name in state["with_gradient"]:
                parameter.grad = torch.zeros_like(parameter)
        self.randomness = state["randomness"]

    def _all_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Name and tensor of all parameters and buffers."""
        yield from self.named_parameters()
        yield from self.named_buffers()

    @property
    def randomness(self) -> list[Any]:
        """States of the networks' own random numbers in training, by place; none where nothing is random."""
        return []

    @randomness.setter
    def randomness(self, states: list[Any]) -> None:
        """Go on from those states."""

    def _first(self, tensor: Tensor, like: Tensor) -> Tensor:
        """A per-network tensor for as many networks as `like` has, in its dtype; for all active ones if it has none."""
        k = len(like) if like.dim() == 3 else self.n_active
        return tensor[:k].to(like.dtype)


def _on(value: Any, device: torch.device) -> Any:
    """Tensors in lists and dicts, on a device."""
    if isinstance(value, Mapping):
        return {name: _on(own, device) for name, own in value.items()}
    return [_on(own, device) for own in value] if isinstance(value, list) else value.to(device)


def score_classes(embedding: Tensor, centers: Tensor, shares: Tensor) -> Tensor:
    """Scores (K, rows, n_classes) of embeddings (K, rows, size), by the centres of the classes and their shares.

    Minus the squared distances to the centres plus the logarithm of the shares, without which it would make no
    difference what a class counts, up to the row's own constant, which makes none to a softmax. A class without
    a centre is taken to be twice as far, in squares, as the farthest of the others.
    """
    unknown = centers.isnan().any(-1).unsqueeze(1)
    centers = centers.nan_to_num(nan=0.0)
    scores = 2 * embedding @ centers.mT - centers.square().sum(-1).unsqueeze(1) + shares.mT.log()
    lowest = scores.masked_fill(unknown, math.inf).amin(-1, keepdim=True).nan_to_num(posinf=0.0)
    return scores.where(~unknown, 2 * lowest - embedding.square().sum(-1, keepdim=True))
