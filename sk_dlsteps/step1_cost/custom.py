"""Costs of the user's own: torch criteria and plain functions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sk_dlsteps.step1_cost.cost import Cost


class CustomCost(Cost):
    """A user's loss per row, on standardised values or on one logit per class or label.

    Parameters
    ----------
    function : callable
        ``(output, target) -> loss per row`` on flat rows: output of shape
        (rows, outputs), target alike, floats 0 and 1 for labels, or (rows,) class codes.
    name : str
        Name in records.
    task : {"regression", "binary", "multiclass", "multilabel"}
        Decides how targets are scaled and which link is used.
    compares_rows : bool, default=True
        Whether the function may look at several rows at once: then it is called for each network on
        its own rows, and otherwise, which is faster, once for all.

    """

    def __init__(
        self, function: Callable[[Tensor, Tensor], Tensor], name: str, task: str, compares_rows: bool = True
    ) -> None:
        super().__init__()
        self.function = function
        self.compares_rows = compares_rows
        self.name = self.title = name
        self.target_scaling = {"regression": "standard", "multilabel": "indicators"}.get(task, "codes")

    def forward(self, raw: Tensor, target: Tensor, counts: Tensor | None = None) -> Tensor:
        """The user's loss of each row; rows that count 0 are not shown to a function that may compare rows."""
        rows = raw.shape[:-1]
        if self.compares_rows and len(rows) > 1:
            weights = [None] * len(raw) if counts is None else counts
            return torch.stack([self(*own) for own in zip(raw, target, weights, strict=True)])
        if counts is not None:
            there = counts > 0
            losses = raw.new_zeros(rows)
            return losses.masked_scatter(there, self._of_rows(raw[there], target[there])) if there.any() else losses
        flat = target.reshape(-1, *target.shape[len(rows) :])
        return self._of_rows(raw.reshape(-1, raw.shape[-1]), flat).reshape(rows)

    def _of_rows(self, output: Tensor, target: Tensor) -> Tensor:
        """The user's loss of each of some rows that may be shown to it together."""
        losses = self._losses(output, target)
        if not isinstance(losses, Tensor):
            raise ValueError(
                f"`loss={self.name}` must return a tensor with one loss per row, got {type(losses).__name__}"
            )
        if losses.shape == output.shape:
            losses = losses.mean(-1)
        if losses.shape != output.shape[:1]:
            raise ValueError(
                f"`loss={self.name}` must return one loss per row, shape ({len(output)},), "
                f"got shape {tuple(losses.shape)}; with a torch function use reduction='none'"
            )
        return losses

    def _losses(self, output: Tensor, target: Tensor) -> Tensor:
        """What the function gives; an error that says so if it cannot take soft labels."""
        try:
            return self.function(output, target)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            if self.target_scaling == "codes" and target.dim() > 1 and target.shape[-1] > 1:
                raise ValueError(
                    f"`loss={self.name}` cannot take the soft labels that `augmentation` makes of class codes "
                    f"({error}); use loss='auto', or an augmentation that leaves labels as they are"
                ) from error
            raise

    @property
    def has_identity_link(self) -> bool:
        """Of numbers, not of classes."""
        return self.target_scaling != "codes"

    def link(self, raw: Tensor) -> Tensor:
        """Softmax for classes, a sigmoid for each label, the value itself for regression."""
        if self.target_scaling == "indicators":
            return raw.sigmoid()
        return raw.softmax(-1) if self.target_scaling == "codes" else raw


class LogProbabilityCost(CustomCost):
    """A criterion that expects log-probabilities (``torch.nn.NLLLoss``)."""

    def _of_rows(self, output: Tensor, target: Tensor) -> Tensor:
        """The criterion of each row on log_softmax(raw)."""
        return super()._of_rows(output.log_softmax(-1), target)


class OneLogitCost(CustomCost):
    """A criterion on one logit and a 0/1 target (``torch.nn.BCEWithLogitsLoss``)."""

    def n_outputs(self, n_columns: int) -> int:
        """One logit."""
        return 1

    def _of_rows(self, output: Tensor, target: Tensor) -> Tensor:
        """The criterion of each row."""
        return super()._of_rows(output, target.unsqueeze(-1).to(output.dtype))

    def link(self, raw: Tensor) -> Tensor:
        """Probabilities of both classes."""
        return torch.cat([torch.sigmoid(-raw), torch.sigmoid(raw)], -1)
