"""A fleet: K networks of one shape that are trained and asked side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sk_dlsteps.engine.encoding import PiecewiseLinear


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
    input_clip : float or None
        Prepared inputs are squashed to this magnitude by
        ``x / sqrt(1 + (x / input_clip)**2)``; None switches it off.
    input_encoding : PiecewiseLinear or None
        Columns that are added to the prepared inputs.

    """

    cost: Any
    input_center: Tensor
    input_factor: Tensor
    target_center: Tensor | None
    target_scale: Tensor | None
    order: Tensor

    def __init__(
        self,
        cost: nn.Module,
        input_center: Tensor,
        input_factor: Tensor,
        target_center: Tensor | None = None,
        target_scale: Tensor | None = None,
        input_clip: float | None = None,
        input_encoding: PiecewiseLinear | None = None,
    ) -> None:
        super().__init__()
        self.cost = cost
        self.input_clip = input_clip
        self.input_encoding = input_encoding
        self.register_buffer("input_center", input_center)
        self.register_buffer("input_factor", input_factor)
        self.register_buffer("target_center", target_center)
        self.register_buffer("target_scale", target_scale)
        self.n_networks = self.n_active = input_center.shape[0]
        # The number of the network in each place: a state saved while some had stopped knows whose is whose.
        self.register_buffer("order", torch.arange(self.n_networks))

    @property
    def prediction_dtype(self) -> torch.dtype:
        """The dtype to predict in: float64 on the CPU, where it costs little and rows then do not affect each other."""
        on_cpu = self.input_center.device.type == "cpu"
        return torch.float64 if on_cpu else self.input_center.dtype

    @property
    def widths(self) -> list[int]:
        """Numbers a network holds per row, layer by layer."""
        n_added = 0 if self.input_encoding is None else self.input_encoding.n_added
        return [self.input_center.shape[-1] + n_added]

    @property
    def flops_per_row(self) -> float:
        """Floating-point operations to predict a row by all networks; infinite if unknown."""
        return math.inf

    def prepare(self, x: Tensor) -> Tensor:
        """Inputs as each active network sees them, (K, rows, n_inputs), from rows for all or rows for each."""
        x = (x - self._active(self.input_center, x)).mul_(self._active(self.input_factor, x))
        ramps = None if self.input_encoding is None else self.input_encoding(x)
        if self.input_clip is not None:
            x.mul_(torch.addcmul(x.new_ones(()), x, x, value=self.input_clip**-2).rsqrt_())
        return x if ramps is None else torch.cat([x, ramps], -1)

    def prepare_target(self, y: Tensor, dtype: torch.dtype) -> Tensor:
        """Targets as each active network learns them, from (K, rows, ...) in the user's units."""
        if self.target_center is None or self.target_scale is None:
            return y
        scale = self._active(self.target_scale, y)
        return ((y - self._active(self.target_center, y)) / scale.where(scale > 0, 1.0)).to(dtype)

    def original_target(self, target: Tensor) -> Tensor:
        """Targets of the active networks back in the user's units."""
        if self.target_center is None or self.target_scale is None:
            return target
        out = target.to(self.target_scale.dtype)
        return out * self._active(self.target_scale, out) + self._active(self.target_center, out)

    def predictions(self, raw: Tensor) -> Tensor:
        """Raw outputs (K, rows, n_outputs) through the link, in the target's units."""
        return self.original_target(self.cost.link(raw))

    def forward(self, x: Tensor) -> Tensor:
        """Predictions of every network, (rows, K, n_predictions), for inputs (rows, n_inputs)."""
        return self.predictions(self.raw(self.prepare(x))).transpose(0, 1)

    def raw(self, x: Tensor) -> Tensor:
        """Raw outputs (K, rows, n_outputs) for prepared inputs (K, rows, n_inputs)."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    def gradients(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Set ``.grad`` to each network's mean gradient; return losses (K, rows) and raw outputs."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    def networks(self) -> list[list[tuple[str, nn.Parameter]]]:
        """Named parameters of each network, sharing storage and gradients with the fleet's."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    def reorder(self, order: Sequence[int], n_active: int) -> None:
        """Put the networks into another order; only the first `n_active` are trained on."""
        self.n_active = n_active
        index = torch.as_tensor(order, device=self.input_center.device)
        for tensor in (self.order, self.input_center, self.input_factor, self.target_center, self.target_scale):
            if tensor is not None:
                tensor.copy_(tensor[index])
        if self.input_encoding is not None:
            self.input_encoding.reorder(index)

    def load_state_dict(self, *args, **kwargs):
        """Load a state as torch does; networks that were saved in another order go back to their own places."""
        result = super().load_state_dict(*args, **kwargs)
        places = torch.argsort(self.order).tolist()
        if places != sorted(places):
            self.reorder(places, self.n_networks)
        return result

    def remember(self, which: Tensor) -> None:
        """Keep the present state of the active networks in the mask `which` (n_active,)."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    def recall(self, which: Tensor | None = None) -> None:
        """Put the networks in the mask `which` (K,) back to the state last remembered; all if None."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    def forget(self) -> None:
        """Drop what was remembered and the gradients."""
        raise TypeError(f"{type(self).__name__} defines no networks")

    def _active(self, tensor: Tensor, like: Tensor) -> Tensor:
        """The active networks' part of a per-network tensor, in the dtype of `like`."""
        return tensor[: self.n_active].to(like.dtype)


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


class ModuleFleet(Fleet):
    """K copies of a user's own module, trained in turn through autograd.

    Parameters
    ----------
    modules : sequence of Module
        Each maps (rows, n_inputs) to (rows, n_outputs).
    random_states : sequence of Tensor
        State of torch's generator in which each copy starts to train.
    **stages
        The other parameters of `Fleet`.

    """

    def __init__(self, modules: Sequence[nn.Module], random_states: Sequence[Tensor], **stages) -> None:
        super().__init__(**stages)
        self.modules_ = nn.ModuleList(modules)
        self.random_states = list(random_states)
        self._remembered: list[dict[str, Tensor]] = []

    @property
    def prediction_dtype(self) -> torch.dtype:
        """The dtype of the user's modules."""
        return self.input_center.dtype

    def raw(self, x: Tensor) -> Tensor:
        """Raw outputs (K, rows, n_outputs) for prepared inputs (K, rows, n_inputs)."""
        return torch.stack([_two_dimensional(m(x[k])) for k, m in self._trained()])

    def gradients(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Set ``.grad`` to each network's mean gradient; return losses (K, rows) and raw outputs."""
        losses, raws = [], []
        self.zero_grad(set_to_none=False)
        for k, module in self._trained():
            with torch.enable_grad(), self._own_randomness(k, x.device):
                raw = _two_dimensional(module(x[k]))
                loss = self.cost(raw, target[k])
                loss.mean().backward()
            losses.append(loss.detach())
            raws.append(raw.detach())
        return torch.stack(losses), torch.stack(raws)

    def networks(self) -> list[list[tuple[str, nn.Parameter]]]:
        """Named trainable parameters of each network."""
        return [[(n, p) for n, p in m.named_parameters() if p.requires_grad] for m in self.modules_]

    def reorder(self, order: Sequence[int], n_active: int) -> None:
        """Put the networks into another order; only the first `n_active` are trained on."""
        super().reorder(order, n_active)
        states = [{n: t.clone() for n, t in m.state_dict().items()} for m in self.modules_]
        for module, k in zip(self.modules_, order, strict=True):
            module.load_state_dict(states[k])
        self.random_states = [self.random_states[k] for k in order]
        if self._remembered:
            self._remembered = [self._remembered[k] for k in order]

    def remember(self, which: Tensor) -> None:
        """Keep the present state of the active networks in the mask `which` (n_active,)."""
        if not self._remembered:
            self._remembered = [{} for _ in self.modules_]
            which = torch.ones(self.n_networks, dtype=torch.bool)
        for k in which.nonzero().flatten().tolist():
            self._remembered[k] = {n: t.clone() for n, t in self.modules_[k].state_dict().items()}

    def recall(self, which: Tensor | None = None) -> None:
        """Put the networks in the mask `which` (K,) back to the state last remembered; all if None."""
        for k, state in enumerate(self._remembered):
            if which is None or which[k]:
                self.modules_[k].load_state_dict(state)

    def forget(self) -> None:
        """Drop what was remembered and the gradients."""
        self._remembered = []
        self.zero_grad()

    @contextmanager
    def _own_randomness(self, k: int, device: torch.device) -> Iterator[None]:
        """Let torch's global generators go on with network k's stream inside, and as before outside.

        A GPU's generator is seeded from that stream for every step.
        """
        on_gpu = device.type == "cuda"
        with torch.random.fork_rng(devices=[device] if on_gpu else []):
            torch.set_rng_state(self.random_states[k])
            if on_gpu:
                torch.cuda.manual_seed(int(torch.randint(2**62, ())))
            yield
            self.random_states[k] = torch.get_rng_state()

    def _trained(self) -> Iterator[tuple[int, nn.Module]]:
        """Number and module of each active network."""
        return enumerate(self.modules_[: self.n_active])


def _two_dimensional(raw: Tensor) -> Tensor:
    """Raw outputs of shape (rows, n_outputs), also from a module that gives (rows,)."""
    return raw.unsqueeze(-1) if raw.dim() == 1 else raw
