"""Optimizers that move K networks in one call, and how any optimizer is steered per network."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


class FleetOptimizer(torch.optim.Optimizer):
    """An optimizer over stacks of K parameters, with a rate and a decay for each network.

    Each group carries ``lr`` for all and ``factors``: None, or K floats that
    multiply it; and ``weight_decay``: a number, or an array of K. Networks may take
    different numbers of steps, see `expect`.

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
        self.n_networks = self.n_active = stack.shape[0]
        self.device = stack.device
        self._slices: dict[tuple[int, int, int], list[list[Tensor]]] = {}
        self.expect([1] * self.n_networks)

    moments: tuple[str, ...] = ()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as torch does.

        Torch's own method is wrapped to be left alone by its compiler, and the
        wrapper's first call imports that compiler: over a second for nothing.
        """
        inspect.unwrap(torch.optim.Optimizer.add_param_group)(self, param_group)

    def expect(self, n_steps: Sequence[int]) -> None:
        """Begin to count the steps of networks, which each take so many in an epoch; the numbers do not rise."""
        self.counts: list[Tensor] = []
        # Networks that take equally many have taken equally many, unless one begins anew.
        self.count_of = self._new_counts(np.asarray(n_steps))
        self.find_runs()

    def _new_counts(self, kinds: np.ndarray) -> np.ndarray:
        """The number of a count that stands at zero for each network; those of one kind share one."""
        distinct, kind = np.unique(kinds, return_inverse=True)
        first = len(self.counts)
        self.counts += [torch.zeros((), device=self.device) for _ in distinct]
        return first + kind

    def find_runs(self) -> None:
        """Note where each run of active networks that share a count ends, and that count's number."""
        self.n_moving = self.n_active
        of = self.count_of[: self.n_active].tolist()
        last = len(of) - 1
        self.runs = [(k + 1, n) for k, n in enumerate(of) if k == last or n != of[k + 1]]

    def step(self, closure=None):
        """Move the first `n_moving` networks along their gradients: all active ones, unless somebody says otherwise."""
        start = 0
        counted = set()
        for end, n in self.runs:
            if end > self.n_moving:
                break
            if n not in counted:
                self.counts[n] += 1
                counted.add(n)
            for i, group in enumerate(self.param_groups):
                self._move_run(i, group, start, end, self.counts[n])
            start = end

    # Torch would wrap `step` for its profiler, which costs as much as the kernel itself.
    step.hooked = True  # type: ignore[attr-defined]

    def _move_run(self, i: int, group: dict[str, Any], start: int, end: int, count: Tensor) -> None:
        """Move a run of networks of group i: in one call if they have one rate and decay, else by a unit step."""
        tensors = self._tensors(i, start, end)
        if not tensors[0]:
            return
        factors, decay = group["factors"], group["weight_decay"]
        if factors is None and not isinstance(decay, np.ndarray):
            self._move(group, group["lr"], decay, count, tensors)
            return
        rates = group["lr"] * (np.ones(end) if factors is None else np.asarray(factors))[start:end]
        decays = np.broadcast_to(decay, self.n_networks)[start:end]
        if (rates == rates[0]).all() and (decays == decays[0]).all():
            self._move(group, float(rates[0]), float(decays[0]), count, tensors)
            return
        parameters, gradients, *moments = tensors
        # Zeros that a step at rate 1 turns into the direction, which each network follows at its own rate.
        directions = [torch.zeros_like(p) for p in parameters]
        if decays.any():
            self._decay(group, parameters, gradients, rates, decays)
        self._move(group, 1.0, 0.0, count, [directions, gradients, *moments])
        for parameter, direction, rate in zip(parameters, directions, _per_network(rates, parameters), strict=True):
            parameter.addcmul_(direction, rate)

    def _decay(
        self,
        group: dict[str, Any],
        parameters: list[Tensor],
        gradients: list[Tensor],
        rates: np.ndarray,
        decays: np.ndarray,
    ) -> None:
        """Add each network's decay to its gradient or, decoupled, take it off its parameters."""
        if group.get("decoupled_weight_decay"):
            for parameter, kept in zip(parameters, _per_network(1 - rates * decays, parameters), strict=True):
                parameter.mul_(kept)
            return
        for parameter, gradient, decay in zip(parameters, gradients, _per_network(decays, parameters), strict=True):
            gradient.addcmul_(parameter, decay)

    def _move(
        self, group: dict[str, Any], lr: float, weight_decay: float, count: Tensor, tensors: list[list[Tensor]]
    ) -> None:
        """Move some networks of a group at one rate and decay, which have taken `count` steps with this one."""
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

    def reset(self, which: Sequence[int]) -> None:
        """Let some networks begin anew, without moments and steps."""
        for state in self.state.values():
            for tensor in state.values():
                tensor[list(which)] = 0
        self.count_of[list(which)] = self._new_counts(self.count_of[list(which)])
        self.find_runs()

    def forget_slices(self) -> None:
        """Choose and slice the stacks anew."""
        self._slices.clear()

    def clear(self) -> None:
        """Be as before the first step."""
        self.state.clear()
        self._slices.clear()
        self.expect([1] * self.n_networks)


def _per_network(values: np.ndarray, stacks: list[Tensor]) -> list[Tensor]:
    """One number per network, to be multiplied with each of some stacks."""
    column = torch.from_numpy(np.array(values, dtype=float)).to(stacks[0])
    return [column.view(-1, *[1] * (stack.dim() - 1)) for stack in stacks]


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

    def _move(
        self, group: dict[str, Any], lr: float, weight_decay: float, count: Tensor, tensors: list[list[Tensor]]
    ) -> None:
        """Move some networks of a group at one rate and decay."""
        parameters, gradients, means, squares = tensors
        kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
        kernel(
            parameters,
            gradients,
            means,
            squares,
            [],
            [count] * len(parameters),
            lr=lr,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=weight_decay,
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

    def _move(
        self, group: dict[str, Any], lr: float, weight_decay: float, count: Tensor, tensors: list[list[Tensor]]
    ) -> None:
        """Move some networks of a group at one rate and decay."""
        parameters, gradients, buffers = tensors
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, gradients)
        if weight_decay:
            torch._foreach_add_(buffers, parameters, alpha=weight_decay)
        torch._foreach_add_(parameters, buffers, alpha=-lr)


def set_rate(
    optimizer: torch.optim.Optimizer, rate: float, factors: Sequence[float] | np.ndarray | None = None
) -> None:
    """Give every network the rate, times its factor and the scale of the layers where there are any."""
    for group in optimizer.param_groups:
        own = rate * group.get("scale", 1.0)
        if "factors" in group:
            group["lr"], group["factors"] = own, factors
        elif factors is None or group["network"] < len(factors):
            group["lr"] = own * (1.0 if factors is None else factors[group["network"]])


def set_factors(optimizer: torch.optim.Optimizer, factors: Sequence[float] | np.ndarray | None) -> None:
    """Multiply the rates that somebody else sets by a factor for each network."""
    for group in optimizer.param_groups:
        if "factors" in group:
            group["factors"] = factors
        elif factors is None or group["network"] < len(factors):
            group["factor"] = 1.0 if factors is None else float(factors[group["network"]])


def step_first(optimizer: torch.optim.Optimizer, k: int) -> None:
    """Move the first k networks; torch's own optimizers know no order and move all that have a gradient."""
    if isinstance(optimizer, FleetOptimizer):
        optimizer.n_moving = k
        optimizer.step()
        return
    # For the step only: whoever sets the rates reads them too.
    rates = [group["lr"] for group in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate * group.get("factor", 1.0)
    optimizer.step()
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


def reset(optimizer: torch.optim.Optimizer, which: Sequence[int]) -> None:
    """Forget what was gathered of some networks' gradients."""
    if isinstance(optimizer, FleetOptimizer):
        optimizer.reset(which)
        return
    for group in optimizer.param_groups:
        if group["network"] in which:
            for parameter in group["params"]:
                optimizer.state.pop(parameter, None)


def notice_frozen(optimizer: torch.optim.Optimizer) -> None:
    """Move only stacks that now require a gradient: a callback may freeze some before an epoch, or free them."""
    if isinstance(optimizer, FleetOptimizer):
        optimizer.forget_slices()


def reorder(optimizer: torch.optim.Optimizer, order: Sequence[int], n_active: int) -> None:
    """Put the optimizer's state into the networks' new order."""
    if isinstance(optimizer, FleetOptimizer):
        optimizer.n_active = n_active
        index = torch.as_tensor(order, device=optimizer.device)
        for state in optimizer.state.values():
            for tensor in state.values():
                tensor.copy_(tensor[index])
        optimizer.count_of = optimizer.count_of[np.asarray(order)]
        for group in optimizer.param_groups:
            if isinstance(group["weight_decay"], np.ndarray):
                group["weight_decay"] = group["weight_decay"][np.asarray(order)]
        optimizer.find_runs()
        return
    networks: dict[int, list[Tensor]] = {}
    for group in optimizer.param_groups:
        networks.setdefault(group["network"], []).extend(group["params"])
    states = {p: optimizer.state[p] for own in networks.values() for p in own if p in optimizer.state}
    for k, source in enumerate(order):
        for p, q in zip(networks[k], networks[source], strict=True):
            if q in states:
                optimizer.state[p] = states[q]
            else:
                optimizer.state.pop(p, None)
            if k >= n_active:
                p.grad = None


def clear(optimizer: torch.optim.Optimizer) -> None:
    """Drop the optimizer's state, which only further steps would need."""
    if isinstance(optimizer, FleetOptimizer):
        optimizer.clear()
    else:
        optimizer.state.clear()


def state_of(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What an optimizer has gathered, by the order of its parameters, for `restore`; it may be pickled."""
    if not isinstance(optimizer, FleetOptimizer):
        return {"kind": type(optimizer), "state": copy.deepcopy(optimizer.state_dict()["state"])}
    stacks = [p for group in optimizer.param_groups for p in group["params"]]
    moments = [{name: tensor.clone() for name, tensor in optimizer.state.get(p, {}).items()} for p in stacks]
    counts = [count.clone() for count in optimizer.counts]
    return {"kind": type(optimizer), "state": moments, "counts": counts, "count_of": optimizer.count_of.copy()}


def restore(optimizer: torch.optim.Optimizer, kept: dict[str, Any]) -> None:
    """Go on from what `state_of` gave; an optimizer of another kind, or nothing that was kept, begins anew."""
    if kept.get("kind") is not type(optimizer):
        return
    if not isinstance(optimizer, FleetOptimizer):
        optimizer.load_state_dict({**optimizer.state_dict(), "state": kept["state"]})
        return
    stacks = [p for group in optimizer.param_groups for p in group["params"]]
    for stack, moments in zip(stacks, kept["state"], strict=True):
        if moments:
            optimizer.state[stack] = {name: tensor.to(stack, copy=True) for name, tensor in moments.items()}
    optimizer.counts = [count.to(optimizer.device, copy=True) for count in kept["counts"]]
    optimizer.count_of = kept["count_of"].copy()
    optimizer.find_runs()
