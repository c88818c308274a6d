"""Optimizers that move K networks in one call, and how any optimizer is steered per network."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor


class FleetOptimizer(torch.optim.Optimizer):
    """An optimizer over stacks of K parameters, with a rate factor per network.

    Each group carries ``lr`` for all and ``factors``: None, or K floats that
    multiply it. Only the first ``n_active`` networks of each stack move.

    Parameters
    ----------
    params : iterable
        Stacks of shape (K, ...), or groups of them.
    defaults : dict
        Options of the groups.

    """

    def __init__(self, params: Iterable, defaults: dict[str, Any]) -> None:
        super().__init__(params, {**defaults, "factors": None})
        stack = self.param_groups[0]["params"][0]
        self.n_active = stack.shape[0]
        self.count = torch.zeros((), dtype=torch.float32, device=stack.device)
        self._slices: dict[tuple[int, int, int], list[list[Tensor]]] = {}

    moments: tuple[str, ...] = ()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as torch does.

        Torch's own method is wrapped to be left alone by its compiler, and the
        wrapper's first call imports that compiler: over a second for nothing.
        """
        inspect.unwrap(torch.optim.Optimizer.add_param_group)(self, param_group)

    def step(self, closure=None):
        """Move every active network along its gradient."""
        self.count += 1
        for i, group in enumerate(self.param_groups):
            if group["factors"] is None:
                self._move(group, group["lr"], self._tensors(i, 0, self.n_active))
            else:
                for k in range(self.n_active):
                    self._move(group, group["lr"] * group["factors"][k], self._tensors(i, k, k + 1))

    # Torch would wrap `step` for its profiler, which costs as much as the kernel itself.
    step.hooked = True  # type: ignore[attr-defined]

    def _move(self, group: dict[str, Any], lr: float, tensors: list[list[Tensor]]) -> None:
        """Move some networks of a group at one rate."""
        raise TypeError(f"{type(self).__name__} defines no move")

    def _tensors(self, i: int, start: int, stop: int) -> list[list[Tensor]]:
        """Parameters, gradients and moments of some networks of group i, sliced once for many steps."""
        key = (i, start, stop)
        if key not in self._slices:
            stacks = [p for p in self.param_groups[i]["params"] if p.requires_grad]
            states = [[self._moment(p, name) for p in stacks] for name in self.moments]
            whole = [[p.data for p in stacks], [p.grad for p in stacks], *states]
            self._slices[key] = [[t[start:stop] for t in kind] for kind in whole]
        return self._slices[key]

    def _moment(self, stack: Tensor, name: str) -> Tensor:
        """A moment of a stack of parameters, zero before the first step."""
        state = self.state[stack]
        if name not in state:
            state[name] = torch.zeros_like(stack)
        return state[name]

    def forget_slices(self) -> None:
        """Choose and slice the stacks anew."""
        self._slices.clear()

    def clear(self) -> None:
        """Be as before the first step."""
        self.state.clear()
        self._slices.clear()
        self.count.zero_()


class FleetAdam(FleetOptimizer):
    """Adam (Kingma & Ba 2015) or, decoupled, AdamW (Loshchilov & Hutter 2019) through torch's fused kernel.

    Parameters
    ----------
    params : iterable
        Stacks of shape (K, ...), or groups of them.
    lr : float
        Learning rate.
    betas : pair of float, default=(0.9, 0.999)
        Decay of the running means of the gradient and its square.
    eps : float, default=1e-8
        Added to the denominator.
    weight_decay : float, default=0.0
        Decay of the parameters; groups may differ.
    decoupled : bool, default=False
        True decays the weights themselves (AdamW), False adds the decay to the gradient.

    """

    moments = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "decoupled_weight_decay": decoupled})

    def _move(self, group: dict[str, Any], lr: float, tensors: list[list[Tensor]]) -> None:
        """Move some networks of a group at one rate."""
        parameters, gradients, means, squares = tensors
        if not parameters:
            return
        kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
        kernel(
            parameters,
            gradients,
            means,
            squares,
            [],
            [self.count] * len(parameters),
            lr=lr,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )


class FleetSGD(FleetOptimizer):
    """Stochastic gradient descent with momentum, in torch's form.

    Parameters
    ----------
    params : iterable
        Stacks of shape (K, ...), or groups of them.
    lr : float
        Learning rate.
    momentum : float, default=0.0
        Share of the last step that is kept.
    weight_decay : float, default=0.0
        Added to the gradient, times the parameter; groups may differ.

    """

    moments = ("momentum_buffer",)

    def __init__(self, params: Iterable, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def _move(self, group: dict[str, Any], lr: float, tensors: list[list[Tensor]]) -> None:
        """Move some networks of a group at one rate."""
        parameters, gradients, buffers = tensors
        if not parameters:
            return
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, gradients)
        if group["weight_decay"]:
            torch._foreach_add_(buffers, parameters, alpha=group["weight_decay"])
        torch._foreach_add_(parameters, buffers, alpha=-lr)


def set_rate(optimizer: torch.optim.Optimizer, rate: float, factors: Sequence[float] | None = None) -> None:
    """Give every network the rate, times its factor where there are any."""
    for group in optimizer.param_groups:
        if "factors" in group:
            group["lr"], group["factors"] = rate, factors
        elif factors is None or group["network"] < len(factors):
            group["lr"] = rate * (1.0 if factors is None else factors[group["network"]])


def notice_frozen(optimizer: torch.optim.Optimizer) -> None:
    """Move only stacks that now require a gradient: a callback may freeze some before an epoch, or free them."""
    if isinstance(optimizer, FleetOptimizer):
        optimizer.forget_slices()


def reorder(optimizer: torch.optim.Optimizer, order: Sequence[int], n_active: int) -> None:
    """Put the optimizer's state into the networks' new order."""
    if isinstance(optimizer, FleetOptimizer):
        optimizer.n_active = n_active
        index = torch.as_tensor(order, device=optimizer.count.device)
        for state in optimizer.state.values():
            for tensor in state.values():
                tensor.copy_(tensor[index])
        return
    networks: dict[int, list[Tensor]] = {}
    for group in optimizer.param_groups:
        networks.setdefault(group["network"], []).extend(group["params"])
    states = {p: optimizer.state[p] for own in networks.values() for p in own if p in optimizer.state}
    for k, source in enumerate(order):
        for p, q in zip(networks[k], networks[source], strict=True):
            if q in states:
                optimizer.state[p] = states[q]
            if k >= n_active:
                p.grad = None


def clear(optimizer: torch.optim.Optimizer) -> None:
    """Drop the optimizer's state, which only further steps would need."""
    if isinstance(optimizer, FleetOptimizer):
        optimizer.clear()
    else:
        optimizer.state.clear()
