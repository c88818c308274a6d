"""The built-in fleet: multilayer perceptrons as batched products, gradients in closed form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sk_dlsteps.engine.fleet import Fleet

_ACTIVATIONS = {
    "relu": torch.relu_,
    "tanh": torch.tanh_,
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
}
ACTIVATIONS = tuple(_ACTIVATIONS)


class _Views(NamedTuple):
    """Slices of the active networks: (weight, bias) and their gradients, layer by layer."""

    n_active: int
    layers: list[tuple[Tensor, Tensor]]
    gradients: list[tuple[Tensor, Tensor]]


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
    **stages
        The other parameters of `Fleet`.

    """

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor], activation: str, **stages) -> None:
        super().__init__(**stages)
        self.weights = nn.ParameterList(nn.Parameter(w) for w in weights)
        self.biases = nn.ParameterList(nn.Parameter(b) for b in biases)
        self.activation = activation
        self._remembered: list[Tensor] = []
        self._views: _Views | None = None

    def raw(self, x: Tensor) -> Tensor:
        """Raw outputs (K, rows, n_outputs) for prepared inputs (K, rows, n_inputs)."""
        *hidden, (weight, bias) = self._layers(x.dtype)
        act = _ACTIVATIONS[self.activation]
        for w, b in hidden:
            x = act(torch.baddbmm(b, x, w))
        return torch.baddbmm(bias, x, weight.mT)

    def gradients(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Set ``.grad`` to each network's mean gradient; return losses (K, rows) and raw outputs."""
        views = self._training_views()
        *hidden, (weight, bias) = views.layers
        act = _ACTIVATIONS[self.activation]
        inputs, sums = [x], []
        for w, b in hidden:
            z = torch.baddbmm(b, inputs[-1], w)
            sums.append(z)
            inputs.append(act(z))
        raw = torch.baddbmm(bias, inputs[-1], weight.mT)
        losses, delta = self.cost.value_and_gradient(raw, target)
        delta /= x.shape[1]

        grad_weight, grad_bias = views.gradients[-1]
        torch.bmm(delta.mT, inputs[-1], out=grad_weight)
        torch.sum(delta, 1, keepdim=True, out=grad_bias)
        delta = torch.bmm(delta, weight)
        for layer in reversed(range(len(hidden))):
            delta = self._through_activation(delta, sums[layer], inputs[layer + 1])
            grad_weight, grad_bias = views.gradients[layer]
            torch.bmm(inputs[layer].mT, delta, out=grad_weight)
            torch.sum(delta, 1, keepdim=True, out=grad_bias)
            if layer:
                delta = torch.bmm(delta, hidden[layer][0].mT)
        return losses, raw

    def networks(self) -> list[list[tuple[str, nn.Parameter]]]:
        """Named parameters of each network, sharing storage and gradients with the fleet's."""
        out = []
        for k in range(self.n_networks):
            own = []
            for name, stack in self.named_stacks():
                shape = stack.shape[-1:] if stack.shape[1] == 1 and name.startswith("biases") else stack.shape[1:]
                parameter = nn.Parameter(stack.data[k].view(shape))
                parameter.grad = self._gradient(stack)[k].view(shape)
                own.append((name, parameter))
            out.append(own)
        return out

    @property
    def widths(self) -> list[int]:
        """Numbers a network holds per row, layer by layer."""
        return [*super().widths, *(b.shape[-1] for b in self.biases)]

    @property
    def flops_per_row(self) -> float:
        """Floating-point operations to predict a row by all networks."""
        return 2 * self.n_networks * sum(a * b for a, b in pairwise(self.widths))

    def named_stacks(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and parameter of every layer's stack of K."""
        for layer, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            yield f"weights.{layer}", w
            yield f"biases.{layer}", b

    def reorder(self, order: Sequence[int], n_active: int) -> None:
        """Put the networks into another order; only the first `n_active` are trained on."""
        super().reorder(order, n_active)
        index = torch.as_tensor(order, device=self.input_center.device)
        for tensor in [*(p.data for _, p in self.named_stacks()), *self._remembered]:
            tensor.copy_(tensor[index])

    def remember(self, which: Tensor) -> None:
        """Keep the present state of the active networks in the mask `which` (n_active,)."""
        stacks = [p.data for _, p in self.named_stacks()]
        if not self._remembered:
            self._remembered = [s.clone() for s in stacks]
            return
        chosen = which.view(-1, 1, 1)
        for kept, stack in zip(self._remembered, stacks, strict=True):
            kept = kept[: self.n_active]
            torch.where(chosen, stack[: self.n_active], kept, out=kept)

    def recall(self, which: Tensor | None = None) -> None:
        """Put the networks in the mask `which` (K,) back to the state last remembered; all if None."""
        for (_, stack), kept in zip(self.named_stacks(), self._remembered, strict=False):
            if which is None:
                stack.data.copy_(kept)
            else:
                stack.data[which] = kept[which]

    def forget(self) -> None:
        """Drop what was remembered and the gradients."""
        self._remembered, self._views = [], None
        for _, stack in self.named_stacks():
            stack.grad = None

    def _layers(self, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of the active networks, layer by layer."""
        a = self.n_active
        pairs = zip(self.weights, self.biases, strict=True)
        return [(w.data[:a].to(dtype), b.data[:a].to(dtype)) for w, b in pairs]

    def _training_views(self) -> _Views:
        """The active networks' parameters and gradients, sliced once for many steps."""
        if self._views is None or self._views.n_active != self.n_active:
            a = self.n_active
            pairs = list(zip(self.weights, self.biases, strict=True))
            self._views = _Views(
                a,
                [(w.data[:a], b.data[:a]) for w, b in pairs],
                [(self._gradient(w)[:a], self._gradient(b)[:a]) for w, b in pairs],
            )
        return self._views

    def _apply(self, fn, recurse=True):
        """Views of moved tensors are stale."""
        self._views = None
        return super()._apply(fn, recurse)

    def __getstate__(self):
        """Views are made anew."""
        return {**self.__dict__, "_views": None}

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
