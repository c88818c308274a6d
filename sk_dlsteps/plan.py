"""The decisions of one training and the records that explain them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any


@dataclass(frozen=True)
class Stage:
    """A part of a training in which some layers stay as they are.

    Attributes
    ----------
    trained, frozen : tuple of str
        Names of the layers, from the inputs to the outputs.
    n_epochs : int
        Epochs at the most.
    scales : dict
        What multiplies the rate of each layer, by its name; empty if nothing does.
    learning_rate : float
        Rate of the last layer before any schedule; NaN until it was found.
    lr_curve : LRCurve or None
        What the range test of the stage saw; None if the rate was given.

    """

    trained: tuple[str, ...]
    frozen: tuple[str, ...]
    n_epochs: int
    scales: dict[str, float] = field(default_factory=dict)
    learning_rate: float = float("nan")
    lr_curve: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Plan:
    """Every resolved decision of one training; nothing in it is "auto" any more.

    A changed decision is a new plan (``dataclasses.replace``).

    Attributes
    ----------
    task : {"regression", "binary", "multiclass", "multilabel"}
        What the target asks for.
    loss : str
        Name of the cost (step 1).
    n_inputs, n_outputs : int
        Columns that enter a network, raw outputs that leave it.
    n_rows : int
        Rows each network is trained on, N_s of the width rule.
    n_networks : int
        Networks of the fleet.
    hidden_units : tuple of int
        Units of each hidden layer (step 2).
    activation : str
        Non-linearity of the hidden layers.
    optimizer : str
        Name of the optimizer (step 3).
    learning_rate : float
        Rate before any schedule; NaN until it was found.
    lr_schedule : object
        What multiplies the rate, a function of the progress in [0, 1].
    batch_size : int
        Rows of a minibatch.
    max_epochs : int
        Passes through the training rows at the most.
    dropout : tuple of float
        Share of each hidden layer's activations that is zeroed in training (step 4).
    weight_decay : float
        lambda in lambda/2 times the sum of the squared weights.
    batch_norm : bool
        Whether hidden activations are normalised.
    max_grad_norm, max_grad_value : float or None
        Bounds on the norm and the entries of each network's gradient.
    augmentation : callable or None
        What changes training minibatches.
    stopping : object or None
        The rule that may end a network's training early.
    device : str
        Torch device that trains.
    n_threads : int
        Threads that train.
    mixed_precision : {"bf16", "fp16"} or None
        Floats of the products in training steps; None for float32.
    n_processes : int
        Processes that share each minibatch.
    flops_per_row : float or None
        Operations that a module takes for a row; None for the built-in network, whose layers tell.
    input_shape : tuple of int or None
        Of a row as a module gets it; None for a row of a table.
    stages : tuple of Stage
        Parts of a training in which layers are frozen or have rates of their own; then the rate and the
        schedule above are those of the last stage. Empty for any other training.

    """

    task: str
    loss: str
    n_inputs: int
    n_outputs: int
    n_rows: int
    n_networks: int
    hidden_units: tuple[int, ...]
    activation: str
    optimizer: str
    learning_rate: float
    lr_schedule: Any
    batch_size: int
    max_epochs: int
    dropout: tuple[float, ...]
    weight_decay: float
    batch_norm: bool
    max_grad_norm: float | None
    max_grad_value: float | None
    augmentation: Any
    stopping: Any
    device: str
    n_threads: int
    mixed_precision: str | None = None
    n_processes: int = 1
    flops_per_row: float | None = None
    input_shape: tuple[int, ...] | None = None
    stages: tuple[Stage, ...] = ()

    @property
    def flops(self) -> float:
        """Operations of a training step of all networks, or of one module, as those are trained in turn."""
        if self.flops_per_row is not None:
            return 3 * self.batch_size * self.flops_per_row
        layers = (self.n_inputs, *self.hidden_units, self.n_outputs)
        return 6 * self.n_networks * self.batch_size * sum(a * b for a, b in pairwise(layers))


@dataclass(frozen=True)
class StepRecord:
    """One decision of one step, with its reason and its figures.

    Attributes
    ----------
    number : int
        Step of the article, 1 to 6.
    title : str
        What was decided upon, a few words.
    decision : str
        What was decided.
    because : str
        Why.
    evidence : dict
        The figures behind it, by name.

    """

    number: int
    title: str
    decision: str
    because: str
    evidence: dict[str, Any] = field(default_factory=dict)


class Reported(ABC):
    """What prints as the text of its records, and shows itself in a notebook as a report."""

    @property
    def _title(self) -> str | None:
        """A heading; None for none."""
        return None

    @abstractmethod
    def records(self) -> tuple[StepRecord, ...]:
        """The records for a report."""

    def __repr__(self) -> str:
        from sk_dlsteps.report.report import Report

        return Report(self.records(), title=self._title).to_text().rstrip("\n")

    def _repr_html_(self) -> str:
        from sk_dlsteps.report.report import Report

        return Report(title=self._title).add(self)._repr_html_()
