"""What a cost is: a loss per row, its gradient, and the link to predictions."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Cost(nn.Module):
    """A loss per row together with the link from raw output to prediction.

    Subclasses define `forward` and `link`; those that know their derivative in
    closed form override `value_and_gradient`.

    Attributes
    ----------
    name : str
        The name users select it by.
    title : str
        The name people read.
    target_scaling : {"standard", "scale", "codes", "indicators"}
        Targets arrive standardised, divided by their mean, as class codes, or as columns of
        0 and 1. Instead of codes there may be soft labels, as floats: the probability of the
        second class for a single logit, or the probabilities of all classes in a last axis.
        Indicators are floats anyway.
    quantiles : tuple of float
        Levels of the quantiles that a prediction holds of each target; empty where it holds one value.
    compares_rows : bool
        Whether the loss of a row depends on the rows beside it. Then `forward` sees the rows of one network in
        each of its leading places, and takes `counts` of shape (..., rows): rows that count 0 are not there.
    embeds : bool
        Whether raw outputs are embeddings, which `embed` finishes, and predictions come from the centres of classes.

    """

    name: str
    title: str
    target_scaling: str
    quantiles: tuple[float, ...] = ()
    compares_rows: bool = False
    embeds: bool = False

    @property
    def has_identity_link(self) -> bool:
        """Whether predictions are raw outputs."""
        return type(self).link is Cost.link

    def n_outputs(self, n_columns: int) -> int:
        """Raw outputs needed for `n_columns` target columns (or classes)."""
        return n_columns

    def forward(self, raw: Tensor, target: Tensor) -> Tensor:
        """Loss of each row, shape ``raw.shape[:-1]``."""
        raise TypeError(f"{type(self).__name__} defines no loss")

    def value_and_gradient(self, raw: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each row and its derivative with respect to `raw`."""
        with torch.enable_grad():
            raw = raw.detach().requires_grad_()
            losses = self(raw, target)
            (gradient,) = torch.autograd.grad(losses.sum(), raw)
        # The gradient of a linear loss is one number shown many times, which nobody could scale in place.
        return losses.detach(), gradient.contiguous()

    def counted_gradient(self, raw: Tensor, target: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each row, of a cost that compares them, and the derivative of their sum weighted by `counts`."""
        with torch.enable_grad():
            raw = raw.detach().requires_grad_()
            losses = self(raw, target, counts)
            (gradient,) = torch.autograd.grad((losses * counts).sum(), raw)
        return losses.detach(), gradient

    def link(self, raw: Tensor) -> Tensor:
        """Prediction for raw outputs: a value, or the classes' probabilities."""
        return raw

    def calibrated_link(self, raw: Tensor, temperature: Tensor) -> Tensor:
        """Prediction of networks whose raw outputs are divided by a temperature."""
        return self.link(raw / temperature)

    def point(self, prediction: np.ndarray) -> np.ndarray:
        """The one value per target, or the probabilities, that a prediction stands for."""
        return prediction

    def extra_repr(self) -> str:
        """Name in the printed module."""
        return self.name


class SquaredError(Cost):
    """Mean squared error, the article's cost for regression."""

    name, title, target_scaling = "squared_error", "MSE", "standard"

    def forward(self, raw: Tensor, target: Tensor) -> Tensor:
        """Squared error of each row, averaged over the outputs."""
        return (raw - target).square_().mean(-1)

    def value_and_gradient(self, raw: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each row and 2 (raw - target) / n_outputs."""
        error = raw - target
        return error.square().mean(-1), error.mul_(2 / raw.shape[-1])


class AbsoluteError(Cost):
    """Mean absolute error: the median instead of the mean."""

    name, title, target_scaling = "absolute_error", "absolute error", "standard"

    def forward(self, raw: Tensor, target: Tensor) -> Tensor:
        """Absolute error of each row, averaged over the outputs."""
        return (raw - target).abs_().mean(-1)

    def value_and_gradient(self, raw: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each row and sign(raw - target) / n_outputs."""
        error = raw - target
        return error.abs().mean(-1), error.sign_().div_(raw.shape[-1])


class HuberLoss(Cost):
    """Squared error up to one standard deviation of the target, absolute beyond it."""

    name, title, target_scaling = "huber", "Huber loss", "standard"

    def forward(self, raw: Tensor, target: Tensor) -> Tensor:
        """Huber loss (delta 1) of each row, averaged over the outputs."""
        return F.huber_loss(raw, target, reduction="none").mean(-1)

    def value_and_gradient(self, raw: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each row and the clipped error / n_outputs."""
        error = (raw - target).clamp_(-1, 1)
        return self(raw, target), error.div_(raw.shape[-1])


class PoissonLoss(Cost):
    """Poisson deviance with a log link, for counts and other targets >= 0."""

    name, title, target_scaling = "poisson", "Poisson loss (log link)", "scale"

    def forward(self, raw: Tensor, target: Tensor) -> Tensor:
        """exp(raw) - target * raw of each row, averaged over the outputs."""
        return (raw.exp() - target * raw).mean(-1)

    def value_and_gradient(self, raw: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each row and (exp(raw) - target) / n_outputs."""
        mean = raw.exp()
        losses = (mean - target * raw).mean(-1)
        return losses, mean.sub_(target).div_(raw.shape[-1])

    def link(self, raw: Tensor) -> Tensor:
        """Expected value, exp(raw)."""
        return raw.exp()


class BinaryCrossEntropy(Cost):
    """Binary cross-entropy on one logit, the article's cost for two classes."""

    name, title, target_scaling = "binary_cross_entropy", "BCE with logits", "codes"

    def n_outputs(self, n_columns: int) -> int:
        """One logit."""
        return 1

    def forward(self, raw: Tensor, target: Tensor) -> Tensor:
        """log(1 + exp(raw)) - target * raw of each row."""
        logit = raw[..., 0]
        return F.softplus(logit) - target * logit

    def value_and_gradient(self, raw: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each row and sigmoid(raw) - target."""
        return self(raw, target), raw.sigmoid().sub_(target.unsqueeze(-1))

    def link(self, raw: Tensor) -> Tensor:
        """Probabilities of both classes."""
        return torch.cat([torch.sigmoid(-raw), torch.sigmoid(raw)], -1)


class LabelsBinaryCrossEntropy(Cost):
    """Binary cross-entropy on a logit for each label, for rows that may have several."""

    name, title, target_scaling = "binary_cross_entropy", "BCE with logits, label by label", "indicators"

    def forward(self, raw: Tensor, target: Tensor) -> Tensor:
        """log(1 + exp(raw)) - target * raw of each row, averaged over the labels."""
        return (F.softplus(raw) - target * raw).mean(-1)

    def value_and_gradient(self, raw: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each row and (sigmoid(raw) - target) / n_labels."""
        return self(raw, target), raw.sigmoid().sub_(target).div_(raw.shape[-1])

    def link(self, raw: Tensor) -> Tensor:
        """Probability of each label."""
        return raw.sigmoid()


class CrossEntropy(Cost):
    """Cross-entropy over softmax, the article's cost for more than two classes.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share of each label that is spread evenly over all classes.

    """

    name, title, target_scaling = "cross_entropy", "CE", "codes"

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, raw: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of each row."""
        return self._loss(raw.log_softmax(-1), target)

    def _loss(self, log_p: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of each row from the classes' log-probabilities."""
        if target.is_floating_point():
            losses = -(log_p * target).sum(-1)
        else:
            losses = -log_p.gather(-1, target.unsqueeze(-1)).squeeze(-1)
        if self.label_smoothing:
            losses = losses.lerp(-log_p.mean(-1), self.label_smoothing)
        return losses

    def value_and_gradient(self, raw: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each row and softmax(raw) minus the (smoothed) label."""
        log_p = raw.log_softmax(-1)
        losses, share = self._loss(log_p, target), 1 - self.label_smoothing
        # Probabilities too small for a normal number, of which many classes have many, take thirty times as long.
        gradient = log_p.clamp_(min=math.log(torch.finfo(raw.dtype).tiny) + 1).exp_()
        if self.label_smoothing:
            gradient.sub_(self.label_smoothing / raw.shape[-1])
        if target.is_floating_point():
            gradient.sub_(target, alpha=share)
        else:
            column = target.unsqueeze(-1)
            gradient.scatter_add_(-1, column, gradient.new_full((), -share).expand(column.shape))
        return losses, gradient

    def link(self, raw: Tensor) -> Tensor:
        """Probabilities of the classes."""
        return raw.softmax(-1)


class SmoothedCrossEntropy(CrossEntropy):
    """Cross-entropy with a tenth of each label spread over all classes."""

    name, title = "smoothed_cross_entropy", "label-smoothed CE"

    def __init__(self, label_smoothing: float = 0.1) -> None:
        super().__init__(label_smoothing)
