"""Sequences: LSTM and GRU networks that read rows of steps and give one answer at the end."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

# By measurement (docs/sequences.md, "What was measured").
HIDDEN_SIZE = 64
N_STEPS = 2000
# The usual bound on the norm of a recurrent network's gradient (Pascanu, Mikolov and Bengio 2013).
MAX_GRAD_NORM = 1.0
# Where the bias of the gate starts that keeps what a cell holds (Jozefowicz, Zaremba and Sutskever 2015).
KEEPING_BIAS = 1.0


class Recurrent(nn.Module):
    """What LSTM and GRU share: layers over steps, the output at each sequence's end, a linear head.

    Parameters
    ----------
    input_shape : tuple of int
        (T, d): steps, and values of a step.
    n_outputs : int
        Raw outputs of a sequence.
    hidden_size : int, default=64
        Units of each layer and direction.
    num_layers : int, default=1
        Layers on top of each other.
    bidirectional : bool, default=False
        Whether each layer reads the sequence from its end as well; the head sees both directions' ends.
    dropout : float, default=0.0
        Share of the outputs of each layer that is zeroed in training: between layers, and before the head.

    Raises
    ------
    ValueError
        If `input_shape` is not (T, d), or another parameter is not what it may be.

    Notes
    -----
    Sequences of unequal length are padded with NaN, in front or behind. A step is padding if all its values are NaN
    and there is none before it, or none after it, that holds a number. A sequence gives the same answer with its
    padding as alone. Any other NaN counts as 0, which is the mean of standardised values, and a sequence without any
    number as one step of zeros.

    Every sequence is moved to the front, and read to the end of the padding; its answer is taken at its own last
    step. Both directions are layers of their own, the second one over the reversed sequence, so that padding is always
    behind. On a CPU that is faster than a packed sequence.

    """

    n_networks: ClassVar[int] = 1
    n_steps: ClassVar[int] = N_STEPS
    max_grad_norm: ClassVar[float] = MAX_GRAD_NORM
    keeps_gaps: ClassVar[bool] = True
    cell: ClassVar[type[nn.LSTM] | type[nn.GRU]]
    n_gates: ClassVar[int]
    keeping_gate: ClassVar[int]

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_outputs: int,
        *,
        hidden_size: int = HIDDEN_SIZE,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        n_values = _values_of_a_step(input_shape)
        _check_parameters(hidden_size, num_layers, bidirectional, dropout)
        hidden_size = int(hidden_size)
        n_directions = 2 if bidirectional else 1
        self.layers = nn.ModuleList(
            nn.ModuleList(self._new_layer(n_in, hidden_size) for _ in range(n_directions))
            for n_in in (n_values, *[n_directions * hidden_size] * (num_layers - 1))
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(n_directions * hidden_size, n_outputs)
        _start_as_he(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Raw outputs (rows, n_outputs) of sequences (rows, T, d)."""
        missing, lengths = x.isnan(), None
        # A program that is compiled or exported takes padded sequences too, and so always the way that they need.
        if torch.compiler.is_compiling() or missing.any():
            first, lengths = _observed(missing)
            x = _shifted(torch.where(missing, 0.0, x), first)
        outputs = [x]
        for layer in self._layers():
            x = torch.cat([_turned(own, lengths) if i else own for i, own in enumerate(outputs)], -1)
            outputs = [self.dropout(own(_turned(x, lengths) if i else x)[0]) for i, own in enumerate(layer)]
        return self.head(torch.cat([_at_end(own, lengths) for own in outputs], -1))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Lay the copied weights of each layer side by side again, as cuDNN wants them."""
        super().__setstate__(state)
        for layer in self._layers():
            for own in layer:
                own.flatten_parameters()

    def _layers(self) -> list[list[nn.RNNBase]]:
        """The directions of each layer, forwards first."""
        return [list(cast(Iterable[nn.RNNBase], layer)) for layer in self.layers]

    def _new_layer(self, n_in: int, hidden_size: int) -> nn.RNNBase:
        """One layer in one direction: He input weights, orthogonal recurrent ones, a gate that starts by keeping."""
        layer = self.cell(n_in, hidden_size, batch_first=True)
        input_weight, recurrent_weight, input_bias, recurrent_bias = layer.parameters()
        _start_as_he(input_weight)
        for block in recurrent_weight.chunk(self.n_gates):
            nn.init.orthogonal_(block)
        nn.init.zeros_(input_bias)
        nn.init.zeros_(recurrent_bias)
        # One of the two biases, so that their sum is what it should be.
        nn.init.constant_(input_bias.chunk(self.n_gates)[self.keeping_gate], KEEPING_BIAS)
        return layer


class LSTM(Recurrent):
    """A long short-term memory over (rows, T, d); see `Recurrent`.

    The forget gate starts with a bias of 1, so that the cells remember (Gers, Schmidhuber and Cummins 2000;
    Jozefowicz, Zaremba and Sutskever 2015).

    Examples
    --------
    >>> import torch
    >>> from sk_dlsteps.step2_architecture.recurrent import LSTM
    >>> LSTM(input_shape=(5, 2), n_outputs=3, bidirectional=True)(torch.zeros(4, 5, 2)).shape
    torch.Size([4, 3])

    """

    cell, n_gates, keeping_gate = nn.LSTM, 4, 1


class GRU(Recurrent):
    """A gated recurrent unit over (rows, T, d); see `Recurrent`.

    It has no forget gate. In torch's formula h' = (1 - z) n + z h the update gate z does its work, and starts with a
    bias of 1.

    Examples
    --------
    >>> import torch
    >>> from sk_dlsteps.step2_architecture.recurrent import GRU
    >>> GRU(input_shape=(5, 2), n_outputs=3, num_layers=2)(torch.zeros(4, 5, 2)).shape
    torch.Size([4, 3])

    """

    cell, n_gates, keeping_gate = nn.GRU, 3, 1


def _observed(missing: Tensor) -> tuple[Tensor, Tensor]:
    """First step that holds a number, and steps from there to the last such one, (rows,); 0 and 1 if there is none."""
    seen = ~missing.all(-1)
    first, behind = (own.to(torch.uint8).argmax(1) for own in (seen, seen.flip(1)))
    return first, torch.where(seen.any(1), seen.shape[1] - behind - first, 1)


def _shifted(x: Tensor, first: Tensor) -> Tensor:
    """Sequences moved to the front by `first` steps; what comes behind is never looked at."""
    steps = torch.arange(x.shape[1], device=x.device)
    return _gathered(x, (first[:, None] + steps).clamp(max=x.shape[1] - 1))


def _turned(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Each sequence's own steps in reverse; None for the lengths if all are full."""
    if lengths is None:
        return x.flip(1)
    steps = torch.arange(x.shape[1], device=x.device)
    return _gathered(x, (lengths[:, None] - 1 - steps).clamp(min=0))


def _at_end(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Each sequence's last own step, (rows, units)."""
    return x[:, -1] if lengths is None else _gathered(x, lengths[:, None] - 1).squeeze(1)


def _gathered(x: Tensor, steps: Tensor) -> Tensor:
    """The steps (rows, n) of sequences (rows, T, units)."""
    return x.gather(1, steps.unsqueeze(-1).expand(-1, -1, x.shape[2]))


def _start_as_he(weight: Tensor) -> None:
    """Gaussian weights (n_out, n_in) with standard deviation sqrt(2 / n_in) (He et al. 2015)."""
    nn.init.normal_(weight, std=math.sqrt(2 / weight.shape[1]))


def _values_of_a_step(input_shape: tuple[int, ...]) -> int:
    """The d of (T, d)."""
    shape = tuple(input_shape)
    if len(shape) != 2:
        raise ValueError(
            "`X` of a recurrent module must have the shape (n, T, d): rows, steps, values of a step; "
            f"got (n, {', '.join(map(str, shape))}){_way_out(shape)}"
        )
    return int(shape[1])


def _way_out(shape: tuple[int, ...]) -> str:
    """How X becomes (n, T, d)."""
    if len(shape) == 1:
        return f". For one value at each step pass `X[..., None]` or `input_shape=({shape[0]}, 1)`"
    if len(shape) > 2:
        return f". To read it in {shape[0]} steps pass `X.reshape(len(X), {shape[0]}, -1)`"
    return ""


def _check_parameters(hidden_size: Any, num_layers: Any, bidirectional: Any, dropout: Any) -> None:
    """Raise a ValueError that names the parameter that is not what it may be."""
    for name, value, default in (("hidden_size", hidden_size, HIDDEN_SIZE), ("num_layers", num_layers, 1)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(f"`module__{name}` must be an integer of at least 1, such as {default}, got {value!r}")
    if not isinstance(bidirectional, bool | np.bool_):
        raise ValueError(f"`module__bidirectional` must be True or False, got {bidirectional!r}")
    if not isinstance(dropout, Real) or isinstance(dropout, bool) or not 0 <= float(dropout) < 1:
        raise ValueError(f"`module__dropout` must be a number of at least 0 and below 1, such as 0.2, got {dropout!r}")
