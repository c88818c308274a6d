"""The built-in fleet: multilayer perceptrons as batched products, gradients in closed form."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from sk_dlsteps.engine.batch_norm import BatchNorm, Normalised
from sk_dlsteps.engine.dropout import Dropout
from sk_dlsteps.engine.embedding import Embeddings
from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.layers import EMBEDDINGS
from sk_dlsteps.engine.precision import loss_scale
from sk_dlsteps.engine.sparse_rows import SparseRows

if TYPE_CHECKING:
    from sk_dlsteps.engine.batches import Part

_ACTIVATIONS = {
    "relu": torch.relu_,
    "tanh": torch.tanh_,
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
}
ACTIVATIONS = tuple(_ACTIVATIONS)
_Pair = tuple[Tensor, Tensor]


class _Views(NamedTuple):
    """What belongs to the first networks, layer by layer, and all that training changes of them."""

    layers: list[_Pair]
    gradients: list[_Pair]
    norms: list[BatchNorm]
    norm_gradients: list[_Pair]
    embeddings: list[Tensor]
    state: list[Tensor]


class _Seen(NamedTuple):
    """What a hidden layer leaves for the way back: sums, activations, what it hands on, and what shaped that."""

    z: Tensor
    a: Tensor
    out: Tensor
    normalised: Normalised | None
    mask: Tensor | None


def _is_matrix(name: str) -> bool:
    """Whether a stack holds a matrix for each network, which decays, and not a vector."""
    return name.startswith(("weights", "embeddings"))


def _sums(x: Any, weight: Tensor, bias: Tensor) -> Tensor:
    """What a layer's units sum up."""
    return x.product(weight) + bias if isinstance(x, SparseRows) else torch.baddbmm(bias, x, weight)


def _set_gradient(x: Any, delta: Tensor, out: Tensor) -> None:
    """Set the gradient of a layer's weights, given its inputs and the derivative by its sums."""
    if isinstance(x, SparseRows):
        x.transposed_product(delta, out)
    else:
        torch.bmm(x.mT, delta, out=out)


class MLPFleet(Fleet):
    """K multilayer perceptrons as batched matrix products, gradients in closed form.

    Parameters
    ----------
    weights : sequence of Tensor
        One per layer: hidden layers (K, n_in, n_out), the output layer
        (K, n_out, n_in), the layouts in which their products are fastest.
    biases : sequence of Tensor of shape (K, 1, n_out)
        One per layer.
    activation : str
        One of `ACTIVATIONS`.
    dropout : Dropout or None
        Masks of the hidden activations in training.
    norms : sequence of BatchNorm
        One per hidden layer, or none.
    units : int array of shape (n_hidden_layers, K) or None
        Units that each network really has, where its weights are filled up with zeros
        to the widest; None: all.
    embeddings : sequence of Tensor of shape (K, n_levels, size)
        Vectors of each column of codes.
    **stages
        The other parameters of `Fleet`.

    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        activation: str,
        *,
        dropout: Dropout | None = None,
        norms: Sequence[BatchNorm] = (),
        units: np.ndarray | None = None,
        embeddings: Sequence[Tensor] = (),
        **stages,
    ) -> None:
        super().__init__(n_codes=len(embeddings), **stages)
        self.embeddings = Embeddings(embeddings) if len(embeddings) else None
        self.weights = nn.ParameterList(nn.Parameter(w) for w in weights)
        self.biases = nn.ParameterList(nn.Parameter(b) for b in biases)
        self.norms = nn.ModuleList(norms)
        self.activation = activation
        self.dropout = dropout
        widths = np.array([[b.shape[-1]] for b in biases[:-1]], dtype=int).reshape(-1, 1)
        self.units = np.repeat(widths, self.n_networks, 1) if units is None else units
        self._kept: dict[str, list[Tensor]] = {}
        self._views: dict[int, _Views] = {}

    def raw(self, x: Any) -> Tensor:
        """Raw outputs (k, rows, n_outputs) for prepared inputs (k, rows, n_inputs) of the first k networks."""
        *hidden, (weight, bias) = self._layers(len(x), x.dtype)
        act = _ACTIVATIONS[self.activation]
        x = self._embedded(x)
        for layer, (w, b) in enumerate(hidden):
            z = _sums(x, w, b)
            x = act(self.batch_norms[layer].averaged(z) if self.norms else z)
        return torch.baddbmm(bias, x, weight.mT)

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
        losses, raw, _ = self._there_and_back(x, target, sizes, weight, learn=True, part=part)
        return losses, raw

    def gradient_tensors(self, k: int) -> list[Tensor]:
        """The gradients of the first k networks, to be changed in place."""
        stacks = [stack for _, stack in self.named_stacks() if stack.requires_grad]
        return [stack.grad[:k] for stack in stacks if stack.grad is not None]

    def signals(self, x: Any, target: Tensor, sizes: np.ndarray | None = None) -> tuple[Tensor, Tensor | None]:
        """Norm of each layer's gradient (n_layers, k), and each network's share of units that no row activates."""
        _, _, seen = self._there_and_back(x, target, sizes, None, learn=False)
        k = len(x)
        norms = torch.stack([w.flatten(1).norm(dim=1) for w, _ in self._training_views(k).gradients])
        for layer in range(len(norms)):
            if not self._trains(layer):
                norms[layer] = torch.nan
        if self.activation != "relu" or not seen:
            return norms, None
        units = torch.from_numpy(self.units[:, :k]).to(x.device)
        alive = torch.stack([(layer.a > 0).any(1).sum(1) for layer in seen])
        return norms, 1 - alive.sum(0) / units.sum(0)

    def _there_and_back(
        self,
        x: Any,
        target: Tensor,
        sizes: np.ndarray | None,
        weight: Tensor | None,
        learn: bool,
        part: Part | None = None,
    ) -> tuple[Tensor, Tensor, list[_Seen]]:
        """Losses, raw outputs and what the hidden layers saw; gradients are set. Only learning draws masks."""
        views = self._training_views(x.shape[0])
        share = self._share(x, sizes) if part is None else 1 / part.n_rows
        inputs, dtype = self._embedded(x), x.dtype
        if self.precision is not None:
            inputs, views = inputs.to(self.precision), self._narrow(views)
        seen = self._forward(inputs, views, share, sizes, learn, part)
        last, bias = views.layers[-1]
        raw = torch.baddbmm(bias, seen[-1].out if seen else inputs, last.mT).to(dtype)
        losses, delta = self._loss(raw, target, share, weight)
        scale = loss_scale(delta) if self.precision == torch.float16 else None
        delta = self._backward(inputs, (delta if scale is None else delta * scale).to(inputs.dtype), seen, views, share)
        if self.embeddings is not None and EMBEDDINGS not in self.frozen:
            codes_on = inputs.shape[-1] - self.embeddings.n_added
            delta = torch.bmm(delta, views.layers[0][0][:, codes_on:].mT).to(dtype)
            self.embeddings.gradients(x, delta, views.embeddings)
        if self.precision is not None:
            self._widen(views, scale)
        return losses, raw, seen

    def _loss(self, raw: Tensor, target: Tensor, share: Tensor | float, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        """Loss of each row times its weight, and the derivative of every network's mean by its raw outputs."""
        counts = share[..., 0] if isinstance(share, Tensor) else None
        if weight is not None:
            counts = weight * (share if counts is None else counts)
        if self.cost.compares_rows and counts is not None:
            losses, delta = self.cost.counted_gradient(raw, target, counts)
            return losses if weight is None else losses * weight, delta
        losses, delta = self.cost.value_and_gradient(raw, target)
        delta *= share
        if isinstance(share, Tensor):
            losses = losses.where(share[..., 0] > 0, 0.0)
        if weight is not None:
            losses = losses * weight
            delta *= weight.unsqueeze(-1)
        return losses, delta

    def _embedded(self, x: Any) -> Any:
        """Prepared inputs with vectors in the place of codes."""
        return x if self.embeddings is None else self.embeddings(x)

    def _narrow(self, views: _Views) -> _Views:
        """The same layers in the floats of products, with room for gradients in those."""
        layers = [(w.to(self.precision), b.to(self.precision)) for w, b in views.layers]
        return views._replace(layers=layers, gradients=[(torch.empty_like(w), torch.empty_like(b)) for w, b in layers])

    def _widen(self, views: _Views, scale: Tensor | None) -> None:
        """Take over the gradients that products in narrow floats gave, without the scale of the loss."""
        own = self._training_views(len(views.gradients[0][0]))
        for gradient, narrow in zip(chain(*own.gradients), chain(*views.gradients), strict=True):
            gradient.copy_(narrow)
        if scale is not None:
            for gradient in chain(*own.gradients, *own.norm_gradients, own.embeddings):
                gradient.div_(scale)

    def _share(self, x: Any, sizes: np.ndarray | None) -> Tensor | float:
        """What each row counts: 1 / rows, or (k, b, 1) with zeros for those that fill up."""
        if sizes is None:
            return 1 / x.shape[1]
        rows = torch.from_numpy(sizes).to(x.device).view(-1, 1, 1)
        there = torch.arange(x.shape[1], device=x.device).view(1, -1, 1) < rows
        return there.to(x.dtype) / rows

    def _forward(
        self,
        x: Any,
        views: _Views,
        share: Tensor | float,
        sizes: np.ndarray | None,
        learn: bool,
        part: Part | None,
    ) -> list[_Seen]:
        """What every hidden layer sees of minibatches."""
        act = _ACTIVATIONS[self.activation]
        seen: list[_Seen] = []
        for layer, (w, b) in enumerate(views.layers[:-1]):
            z, normalised, mask = _sums(x, w, b), None, None
            if views.norms:
                norm = views.norms[layer]
                n_rows = x.shape[1] if sizes is None else torch.from_numpy(sizes).to(norm.shift).view(-1, 1, 1)
                z = z.to(norm.shift.dtype)
                if self._trains(layer):
                    z, normalised = norm.by_batch(z, share, n_rows, learn)
                else:
                    z = norm.averaged(z)
                z = z.to(x.dtype)
            a = x = act(z)
            # Between layers that both stay as they are, activations do too.
            if self.dropout is not None and learn and (self._trains(layer) or self._trains(layer + 1)):
                mask = self.dropout.mask(layer, np.full(len(x), x.shape[1]) if sizes is None else sizes, a, part)
                x = a if mask is None else a * mask
            seen.append(_Seen(z, a, x, normalised, mask))
        return seen

    def _backward(self, x: Any, delta: Tensor, seen: list[_Seen], views: _Views, share: Tensor | float) -> Tensor:
        """Set the gradients of layers that train, given that by the raw outputs; return that by the lowest one's sums.

        Below the lowest layer that trains nothing is computed.
        """
        lowest = self._lowest
        if self._trains(len(seen)):
            grad_weight, grad_bias = views.gradients[-1]
            torch.bmm(delta.mT, seen[-1].out if seen else x, out=grad_weight)
            torch.sum(delta, 1, keepdim=True, out=grad_bias)
        if len(seen) > lowest:
            delta = torch.bmm(delta, views.layers[-1][0])
        for layer in reversed(range(lowest, len(seen))):
            z, a, _, normalised, mask = seen[layer]
            if mask is not None:
                delta *= mask
            delta = self._through_activation(delta, z, a)
            if normalised is not None:
                norm, by_norm = views.norms[layer], views.norm_gradients[layer]
                delta = norm.gradients(delta.to(norm.shift.dtype), normalised, share, by_norm).to(z.dtype)
            elif views.norms:
                delta = views.norms[layer].through_averages(delta)
            if self._trains(layer):
                grad_weight, grad_bias = views.gradients[layer]
                _set_gradient(seen[layer - 1].out if layer else x, delta, grad_weight)
                if normalised is None:
                    torch.sum(delta, 1, keepdim=True, out=grad_bias)
                else:
                    # A bias before a norm has no effect; Adam would make steps of what rounding leaves of its gradient.
                    grad_bias.zero_()
            if layer > lowest:
                delta = torch.bmm(delta, views.layers[layer][0].mT)
        return delta

    def _trains(self, layer: int) -> bool:
        """Whether a layer, by its number, is not frozen."""
        return not self.frozen or self._name(layer) not in self.frozen

    @property
    def _lowest(self) -> int:
        """Number of the lowest layer through which a derivative is needed."""
        if not self.frozen or (self.embeddings is not None and EMBEDDINGS not in self.frozen):
            return 0
        last = len(self.weights) - 1
        return next((layer for layer in range(last) if self._trains(layer)), last)

    def _name(self, layer: int) -> str:
        """A layer's name."""
        return "output" if layer == len(self.weights) - 1 else f"hidden_{layer + 1}"

    @property
    def layers(self) -> list[str]:
        """Names of the layers, from the inputs to the outputs."""
        first = [] if self.embeddings is None else [EMBEDDINGS]
        return [*first, *map(self._name, range(len(self.weights)))]

    def layer_of(self, name: str) -> str:
        """Layer of a parameter that `networks` names."""
        kind, number, *_ = name.split(".")
        return kind if kind == EMBEDDINGS else self._name(int(number))

    def freeze(self, layers: Collection[str]) -> None:
        """Let exactly these layers stay as they are in training, averages of their batch norms included."""
        self.frozen = frozenset(layers)
        for name, stack in self.named_stacks():
            stack.requires_grad_(self.layer_of(name) not in self.frozen)

    def train(self, mode: bool = True) -> MLPFleet:
        """Note what is going on, which no part of the fleet asks."""
        self.training = mode
        return self

    def clip(self, k: int, max_norm: Tensor | None, max_value: Tensor | None) -> None:
        """Clip the gradients of the first k networks: entries to `max_value`, then norms to `max_norm`, both (K,)."""
        gradients = self.gradient_tensors(k)
        if not gradients:
            return
        if max_value is not None:
            bound = max_value[:k].to(gradients[0]).view(-1, 1, 1)
            for gradient in gradients:
                torch.clamp(gradient, -bound, bound, out=gradient)
        if max_norm is not None:
            norm = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt_()
            factor = (max_norm[:k].to(norm) / (norm + 1e-6)).clamp_(max=1.0).view(-1, 1, 1)
            for gradient in gradients:
                gradient.mul_(factor)

    def networks(self) -> list[list[tuple[str, nn.Parameter]]]:
        """Named parameters of each network, sharing storage and gradients with the fleet's."""
        out = []
        for k in range(self.n_networks):
            own = []
            for name, stack in self.named_stacks():
                shape = stack.shape[1:] if _is_matrix(name) else stack.shape[-1:]
                parameter = nn.Parameter(stack.data[k].view(shape), stack.requires_grad)
                parameter.grad = self._gradient(stack)[k].view(shape)
                own.append((name, parameter))
            out.append(own)
        return out

    @property
    def least_rows(self) -> int:
        """Rows that a minibatch needs: two where batch norms take their variance."""
        return 2 if self.norms else 1

    @property
    def widths(self) -> list[int]:
        """Numbers a network holds per row, layer by layer."""
        n_vectors = 0 if self.embeddings is None else self.embeddings.n_added - self.embeddings.n_columns
        return [super().widths[0] + n_vectors, *(b.shape[-1] for b in self.biases)]

    @property
    def flops_per_row(self) -> float:
        """Floating-point operations to predict a row by all networks."""
        return 2 * self.n_networks * sum(a * b for a, b in pairwise(self.widths))

    @property
    def batch_norms(self) -> list[BatchNorm]:
        """One per hidden layer, or none."""
        return cast(list[BatchNorm], list(self.norms))

    def named_stacks(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and parameter of every layer's stacks of K."""
        for layer, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            yield f"weights.{layer}", w
            yield f"biases.{layer}", b
        for layer, norm in enumerate(self.batch_norms):
            yield f"norms.{layer}.gain", norm.gain
            yield f"norms.{layer}.shift", norm.shift
        if self.embeddings is not None:
            for column, table in enumerate(self.embeddings.stacks):
                yield f"embeddings.{column}", table

    def decayed(self) -> list[nn.Parameter]:
        """Parameters that weight decay shrinks: weights, and vectors of categories."""
        return [stack for name, stack in self.named_stacks() if _is_matrix(name)]

    def undecayed(self) -> list[nn.Parameter]:
        """Parameters that weight decay spares."""
        return [stack for name, stack in self.named_stacks() if not _is_matrix(name)]

    def reorder(self, order: Sequence[int], n_active: int) -> None:
        """Put the networks into another order; only the first `n_active` are trained on."""
        super().reorder(order, n_active)
        index = torch.as_tensor(order, device=self.input_center.device)
        for tensor in [*self.state_tensors(), *(t for kept in self._kept.values() for t in kept)]:
            tensor.copy_(tensor[index])
        self.units = self.units[:, np.asarray(order)]
        if self.dropout is not None:
            self.dropout.reorder(order)

    def is_finite(self) -> Tensor:
        """Whether each active network holds finite numbers only, (n_active,)."""
        state = self._training_views(self.n_active).state
        if torch.stack(torch._foreach_norm(state)).isfinite().all():
            return torch.ones(self.n_active, dtype=torch.bool, device=self.input_center.device)
        return torch.stack([s.flatten(1).sum(1) for s in state]).isfinite().all(0)

    def remember(self, which: Tensor | None, name: str = "best") -> None:
        """Keep the present state of the active networks in the mask `which` (n_active,), all if None, under a name."""
        if name not in self._kept:
            self._kept[name] = [s.clone() for s in self.state_tensors()]
            return
        state = self._training_views(self.n_active).state
        kept = [tensor[: self.n_active] for tensor in self._kept[name]]
        if which is None:
            torch._foreach_copy_(kept, state)
            return
        chosen = which.view(-1, 1, 1)
        for old, new in zip(kept, state, strict=True):
            torch.where(chosen, new, old, out=old)

    def recall(self, which: Tensor | None = None, name: str = "best") -> None:
        """Put the networks in the mask `which` (K,) back to the state last remembered; all if None."""
        for stack, kept in zip(self.state_tensors(), self._kept.get(name, ()), strict=False):
            if which is None:
                stack.copy_(kept)
            else:
                stack[which] = kept[which]

    def forget(self) -> None:
        """Drop what was remembered and the gradients."""
        self._kept, self._views = {}, {}
        for _, stack in self.named_stacks():
            stack.grad = None

    @property
    def randomness(self) -> list[Any]:
        """States of the networks' streams of dropout masks, by place."""
        return [] if self.dropout is None else [stream.state for stream in self.dropout.streams]

    @randomness.setter
    def randomness(self, states: list[Any]) -> None:
        """Go on from those states."""
        if self.dropout is not None:
            for stream, state in zip(self.dropout.streams, states, strict=True):
                stream.state = state

    def state_tensors(self) -> list[Tensor]:
        """Every tensor that training changes."""
        averages = [t for norm in self.batch_norms for t in (norm.mean, norm.variance)]
        return [*(stack.data for _, stack in self.named_stacks()), *averages]

    def _layers(self, k: int, dtype: torch.dtype) -> list[_Pair]:
        """Weight and bias of the first k networks, layer by layer."""
        pairs = zip(self.weights, self.biases, strict=True)
        return [(w.data[:k].to(dtype), b.data[:k].to(dtype)) for w, b in pairs]

    def _training_views(self, k: int) -> _Views:
        """The first k networks' parameters and gradients, sliced once for many steps."""
        if k not in self._views:
            pairs = list(zip(self.weights, self.biases, strict=True))
            self._views[k] = _Views(
                [(w.data[:k], b.data[:k]) for w, b in pairs],
                [(self._gradient(w)[:k], self._gradient(b)[:k]) for w, b in pairs],
                self.batch_norms,
                [(self._gradient(norm.gain)[:k], self._gradient(norm.shift)[:k]) for norm in self.batch_norms],
                [self._gradient(t)[:k] for t in (self.embeddings.stacks if self.embeddings is not None else ())],
                [tensor[:k] for tensor in self.state_tensors()],
            )
        return self._views[k]

    def _apply(self, fn, recurse=True):
        """Views of moved tensors are stale."""
        self._views = {}
        return super()._apply(fn, recurse)

    def __getstate__(self):
        """Views are made anew."""
        return {**self.__dict__, "_views": {}}

    @staticmethod
    def _gradient(stack: nn.Parameter) -> Tensor:
        """The gradient tensor of a stack, made when first needed."""
        if stack.grad is None:
            stack.grad = torch.zeros_like(stack)
        return stack.grad

    def _through_activation(self, delta: Tensor, z: Tensor, a: Tensor) -> Tensor:
        """Derivative of the loss by the sums `z`, given that by the activations `a`."""
        ops = torch.ops.aten
        if self.activation == "relu":
            return ops.threshold_backward(delta, a, 0)
        if self.activation == "tanh":
            return ops.tanh_backward(delta, a)
        if self.activation == "silu":
            return ops.silu_backward(delta, z)
        return ops.gelu_backward(delta, z)
