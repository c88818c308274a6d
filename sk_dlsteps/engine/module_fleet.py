"""A fleet of the user's own modules, trained in turn through autograd."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.layers import calls_noted, layer_at, layers_of
from sk_dlsteps.engine.precision import loss_scale
from sk_dlsteps.engine.randomness import borrowed_generators
from sk_dlsteps.engine.sparse_rows import SparseRows

if TYPE_CHECKING:
    from sk_dlsteps.engine.batches import Part


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

    # Names of parameters that are frozen by `freeze`.
    _held: frozenset[str] = frozenset()

    def __init__(self, modules: Sequence[nn.Module], random_states: Sequence[Tensor], **stages) -> None:
        super().__init__(**stages)
        self.modules_ = nn.ModuleList(modules)
        self.random_states = list(random_states)
        self._kept: dict[str, list[dict[str, Tensor]]] = {}
        self._flops_per_row: float | None = None
        self._layer_paths: dict[str, str] | None = None

    @property
    def prediction_dtype(self) -> torch.dtype:
        """The dtype of the user's modules."""
        return self.input_center.dtype

    @property
    def least_rows(self) -> int:
        """Rows that a minibatch needs: two where batch norms take their variance."""
        return 2 if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.modules()) else 1

    @property
    def flops_per_row(self) -> float:
        """Floating-point operations to predict a row by one network, since they compute in turn."""
        if self._flops_per_row is None:
            self._flops_per_row = self._count_flops()
        return self._flops_per_row

    def _count_flops(self) -> float:
        """Operations for a row: those that torch can count, and at least two for each weight."""
        with FlopCounterMode(display=False) as counted:
            self._run_once()
        return float(max(counted.get_total_flops(), 2 * sum(p.numel() for p in self.modules_[0].parameters())))

    def _run_once(self) -> None:
        """Let the first network see a row of zeros, which leaves no trace."""
        training = self.training
        self.eval()
        with torch.no_grad(), borrowed_generators():
            self.modules_[0](self.input_center.new_zeros(1, self.widths[0]))
        self.train(training)

    @property
    def _paths(self) -> dict[str, str]:
        """Path of each layer by its name, in the order in which the layers are called."""
        if self._layer_paths is None:
            with calls_noted(self.modules_[0]) as called:
                self._run_once()
            self._layer_paths = layers_of(self.modules_[0], called)
        return self._layer_paths

    def raw(self, x: Any) -> Tensor:
        """Raw outputs (K, rows, n_outputs) for prepared inputs (K, rows, n_inputs)."""
        x = x.dense() if isinstance(x, SparseRows) else x
        return torch.stack([_two_dimensional(m(x[k]), x.shape[1]) for k, m in self._trained()])

    def gradients(
        self,
        x: Any,
        target: Tensor,
        sizes: np.ndarray | None = None,
        weight: Tensor | None = None,
        part: Part | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Set ``.grad`` to each active network's mean gradient; return losses (k, rows) and raw outputs."""
        assert sizes is None, "a user's modules are trained on minibatches of one size"
        losses, raws = [], []
        x = x.dense() if isinstance(x, SparseRows) else x
        self.zero_grad(set_to_none=False)
        for k, module in self._trained():
            with torch.enable_grad(), self._own_randomness(k, x.device, 0 if part is None else part.first):
                with self._autocast(x.device):
                    raw = _two_dimensional(module(x[k]), x.shape[1])
                if self.precision is not None:
                    raw = raw.to(x.dtype)
                counts = () if weight is None or not self.cost.compares_rows else (weight[k],)
                loss = self.cost(raw, target[k], *counts) * (1.0 if weight is None else weight[k])
                self._backward(k, raw, loss.mean() if part is None else loss.sum() / part.n_rows)
            losses.append(loss.detach())
            raws.append(raw.detach())
        return torch.stack(losses), torch.stack(raws)

    def gradient_tensors(self, k: int) -> list[Tensor]:
        """The gradients of the first k networks, to be changed in place."""
        return [p.grad for own in self.networks()[:k] for _, p in own if p.grad is not None]

    def _autocast(self, device: torch.device) -> AbstractContextManager:
        """Torch's own choice of what is computed in the narrow floats, if there are such."""
        return nullcontext() if self.precision is None else torch.autocast(device.type, self.precision)

    def _backward(self, k: int, raw: Tensor, loss: Tensor) -> None:
        """Add a loss's gradient to those of network k, through derivatives that float16 can hold if need be."""
        if self.precision != torch.float16:
            loss.backward()
            return
        (delta,) = torch.autograd.grad(loss, raw, retain_graph=True)
        scale = loss_scale(delta.unsqueeze(0)).squeeze()
        raw.backward(delta * scale)
        for gradient in (p.grad for p in self.modules_[k].parameters() if p.grad is not None):
            gradient.div_(scale)

    def clip(self, k: int, max_norm: Tensor | None, max_value: Tensor | None) -> None:
        """Clip the gradients of the first k networks: entries to `max_value`, then norms to `max_norm`, both (K,)."""
        for network, own in enumerate(self.networks()[:k]):
            parameters = [p for _, p in own]
            if max_value is not None and math.isfinite(max_value[network]):
                nn.utils.clip_grad_value_(parameters, float(max_value[network]))
            if max_norm is not None and math.isfinite(max_norm[network]):
                nn.utils.clip_grad_norm_(parameters, float(max_norm[network]))

    def signals(self, x: Any, target: Tensor, sizes: np.ndarray | None = None) -> tuple[Tensor, Tensor | None]:
        """Norm of each weight's gradient in the last step; what a unit is, a user's module does not tell."""
        return torch.stack([self._norms(module) for _, module in self._trained()], 1), None

    def _norms(self, module: nn.Module) -> Tensor:
        """Norm of the gradient of each weight of a network: 0 if it has none, NaN if it is frozen for a while."""
        weights = [(n, p) for n, p in module.named_parameters() if p.dim() > 1]
        own = [p for n, p in weights if p.requires_grad or n in self._held]
        norms = [p.new_zeros(()) if p.grad is None else p.grad.norm() for p in own]
        out = torch.stack([norm.cpu() for norm in norms] or [torch.zeros(())])
        out[[i for i, p in enumerate(own) if not p.requires_grad]] = torch.nan
        return out

    def is_finite(self) -> Tensor:
        """Whether each active network holds finite numbers only, (n_active,)."""
        modules = [m for _, m in self._trained()]
        finite = [all(bool(t.isfinite().all()) for t in m.state_dict().values()) for m in modules]
        return torch.tensor(finite, dtype=torch.bool)

    def networks(self) -> list[list[tuple[str, nn.Parameter]]]:
        """Named trainable parameters of each network."""
        return [[(n, p) for n, p in m.named_parameters() if p.requires_grad] for m in self.modules_]

    @property
    def layers(self) -> list[str]:
        """Names of the layers, from the inputs to the outputs."""
        return list(self._paths)

    def layer_of(self, name: str) -> str:
        """Layer of a parameter that `networks` names."""
        return layer_at(name, self._paths)

    @property
    def depths(self) -> dict[str, int]:
        """How deep each layer lies: one of vectors only, such as a norm, as deep as the layer before it."""
        matrices = {self.layer_of(name) for name, p in self.modules_[0].named_parameters() if p.dim() > 1}
        out, depth = {}, -1
        for layer in self.layers:
            depth += layer in matrices or layer == self.layers[-1] or depth < 0
            out[layer] = depth
        return out

    @property
    def fixed_layers(self) -> frozenset[str]:
        """Layers none of whose parameters may train, by the user's own `requires_grad`; none if that were all."""
        parameters = list(self.modules_[0].named_parameters())
        moving = {self.layer_of(name) for name, p in parameters if p.requires_grad or name in self._held}
        return frozenset({*self.layers} - moving) if moving else frozenset()

    def freeze(self, layers: Collection[str]) -> None:
        """Let exactly these layers stay as they are in training; what the user has frozen stays so as well."""
        paths, held = self._paths, set()
        self.frozen = frozenset(layers)
        for module in self.modules_:
            for name, parameter in module.named_parameters():
                if parameter.requires_grad or name in self._held:
                    parameter.requires_grad_(layer_at(name, paths) not in self.frozen)
                    held |= set() if parameter.requires_grad else {name}
        self._held = frozenset(held)

    def train(self, mode: bool = True) -> ModuleFleet:
        """Let the modules train, but for those in frozen layers: dropout and the averages of batch norms rest."""
        super().train(mode)
        if mode and self.frozen:
            paths = self._paths
            for module in self.modules_:
                for name, part in module.named_modules():
                    if name and any(_is_in(name, paths[layer]) for layer in self.frozen):
                        part.training = False
        return self

    def reorder(self, order: Sequence[int], n_active: int) -> None:
        """Put the networks into another order; only the first `n_active` are trained on."""
        super().reorder(order, n_active)
        states = [{n: t.clone() for n, t in m.state_dict().items()} for m in self.modules_]
        for module, k in zip(self.modules_, order, strict=True):
            module.load_state_dict(states[k])
        self.random_states = [self.random_states[k] for k in order]
        self._kept = {name: [kept[k] for k in order] for name, kept in self._kept.items()}

    def remember(self, which: Tensor | None, name: str = "best") -> None:
        """Keep the present state of the active networks in the mask `which` (n_active,), all if None, under a name."""
        if name not in self._kept:
            self._kept[name] = [{} for _ in self.modules_]
            which = torch.ones(self.n_networks, dtype=torch.bool)
        if which is None:
            which = torch.ones(self.n_active, dtype=torch.bool)
        for k in which.nonzero().flatten().tolist():
            self._kept[name][k] = {n: t.clone() for n, t in self.modules_[k].state_dict().items()}

    def recall(self, which: Tensor | None = None, name: str = "best") -> None:
        """Put the networks in the mask `which` (K,) back to the state last remembered; all if None."""
        for k, state in enumerate(self._kept.get(name, ())):
            if which is None or which[k]:
                self.modules_[k].load_state_dict(state)

    def forget(self) -> None:
        """Drop what was remembered and the gradients."""
        self._kept = {}
        self.zero_grad()

    @property
    def randomness(self) -> list[Any]:
        """States of torch's generator in which each module goes on, by place."""
        return list(self.random_states)

    @randomness.setter
    def randomness(self, states: list[Any]) -> None:
        """Go on from those states."""
        self.random_states = list(states)

    @contextmanager
    def _own_randomness(self, k: int, device: torch.device, process: int) -> Iterator[None]:
        """Let torch's global generators go on with network k's stream inside, and as before outside.

        A GPU's generator is seeded from that stream for every step. Processes that share a minibatch, all but the
        first, draw other numbers for their rows.
        """
        on_gpu = device.type in ("cuda", "mps")
        with borrowed_generators(device if on_gpu else None):
            torch.set_rng_state(self.random_states[k])
            if process:
                torch.default_generator.manual_seed(int(torch.randint(2**62, ())) + process)
            if on_gpu:
                getattr(torch, device.type).manual_seed(int(torch.randint(2**62, ())))
            yield
            self.random_states[k] = torch.get_rng_state()

    def _trained(self) -> Iterator[tuple[int, nn.Module]]:
        """Number and module of each active network."""
        return enumerate(self.modules_[: self.n_active])


def _is_in(name: str, path: str) -> bool:
    """Whether a module stands at a path or below it."""
    return not path or name == path or name.startswith(f"{path}.")


def _two_dimensional(raw: Tensor, n_rows: int) -> Tensor:
    """Raw outputs of shape (rows, n_outputs), also from a module that squeezes what has length 1."""
    return raw if raw.dim() == 2 else raw.reshape(n_rows, -1)
