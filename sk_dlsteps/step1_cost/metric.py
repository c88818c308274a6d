"""Costs that learn an embedding: rows of one class near each other, rows of different classes apart."""

from __future__ import annotations

import math
from numbers import Integral, Real

import torch
from torch import Tensor

from sk_dlsteps.step1_cost.cost import Cost

# By measurement (docs/benchmarks.md, "Metric learning").
EMBEDDING_SIZE = 32
TRIPLET_MARGIN, CONTRASTIVE_MARGIN = 1.0, 10.0
# Squared distances below these count as 0, where a distance has no derivative: of two rows, and where rounding in
# products of float32 leaves no more.
TINY, NEAREST = 1e-12, 1e-6


class MetricCost(Cost):
    """A cost on distances between the embeddings of a minibatch's rows.

    Networks answer with an embedding: the raw output, or what `embed` makes of it. Predictions come from
    the centres of the classes, the mean embedding of each class over a network's training rows (Snell et al. 2017).

    A cost of your own is a subclass with a `name`, a `title` and a `compare`.

    Parameters
    ----------
    margin : float
        What the distances between rows of different classes should be larger by.
    embedding_size : int
        Numbers of an embedding.

    Raises
    ------
    ValueError
        If a parameter is not what it may be.

    """

    target_scaling = "codes"
    compares_rows = embeds = True
    margin: float
    embedding_size: int

    def __init__(self, margin: float, embedding_size: int = EMBEDDING_SIZE) -> None:
        super().__init__()
        if isinstance(margin, bool) or not (isinstance(margin, Real) and 0 < margin < math.inf):
            raise ValueError(f"`margin` must be a number above 0, got {margin!r}")
        if isinstance(embedding_size, bool) or not (isinstance(embedding_size, Integral) and embedding_size >= 1):
            raise ValueError(f"`embedding_size` must be an integer of at least 1, got {embedding_size!r}")
        self.margin, self.embedding_size = float(margin), int(embedding_size)

    def n_outputs(self, n_columns: int) -> int:
        """The numbers of an embedding, however many classes there are."""
        return self.embedding_size

    def extra_repr(self) -> str:
        """Settings in the printed cost."""
        return f"margin={self.margin:g}, embedding_size={self.embedding_size}"

    def embed(self, raw: Tensor) -> Tensor:
        """Embeddings for raw outputs: those themselves."""
        return raw

    def forward(self, raw: Tensor, target: Tensor, counts: Tensor | None = None) -> Tensor:
        """Loss of each row (..., b) among the b rows beside it; rows that count 0 are not there, and lose nothing."""
        if target.is_floating_point():
            raise ValueError(
                f"`loss='{self.name}'` compares rows by their class, and `augmentation` made soft labels of them; use "
                "an augmentation that leaves labels as they are, such as 'gaussian_noise', or loss='cross_entropy'"
            )
        same = target.unsqueeze(-1) == target.unsqueeze(-2)
        partner = torch.eye(raw.shape[-2], dtype=torch.bool, device=raw.device).logical_not_().expand_as(same)
        if counts is not None:
            there = counts > 0
            partner = partner & there.unsqueeze(-2) & there.unsqueeze(-1)
        return self.compare(self.embed(raw), same & partner, ~same & partner, counts)

    def compare(self, embedding: Tensor, positive: Tensor, negative: Tensor, counts: Tensor | None) -> Tensor:
        """Loss of each row (..., b).

        Parameters
        ----------
        embedding : Tensor of shape (..., b, embedding_size)
            Of every row.
        positive, negative : bool Tensor of shape (..., b, b)
            Which of the others are of the row's class, and of another.
        counts : Tensor of shape (..., b) or None
            What each of the others counts; None: all the same.

        """
        raise TypeError(f"{type(self).__name__} defines no loss")

    def link(self, raw: Tensor) -> Tensor:
        """Probabilities of the classes, from minus the squared distances to their centres up to a constant."""
        return raw.softmax(-1)


class TripletLoss(MetricCost):
    """Triplet loss on the hardest pairs of the minibatch (Hermans et al. 2017).

    A row loses max(0, margin + d(farthest row of its class) - d(nearest row of another)), where d is
    the distance of embeddings. One that lacks a partner of either kind loses nothing.

    Parameters
    ----------
    margin : float, default=1.0
        How much farther rows of other classes should be than rows of the same.
    embedding_size : int, default=32
        Numbers of an embedding.

    Examples
    --------
    >>> import torch
    >>> raw = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    >>> TripletLoss(margin=0.5, embedding_size=2)(raw, torch.tensor([0, 0, 1]))
    tensor([0.0000, 0.5000, 0.0000])

    """

    name = "triplet"

    def __init__(self, margin: float = TRIPLET_MARGIN, embedding_size: int = EMBEDDING_SIZE) -> None:
        super().__init__(margin, embedding_size)
        self.title = f"triplet loss (margin {self.margin:g}) on embeddings of {self.embedding_size} numbers"

    def compare(self, embedding: Tensor, positive: Tensor, negative: Tensor, counts: Tensor | None) -> Tensor:
        """max(0, margin + distance of the farthest positive - that of the nearest negative) of each row."""
        with torch.no_grad():
            squared = squared_distances(embedding)
            farthest = squared.masked_fill(~positive, -math.inf).argmax(-1)
            nearest = squared.masked_fill(~negative, math.inf).argmin(-1)
            has_both = positive.any(-1) & negative.any(-1)
        difference = _distance_to(embedding, farthest) - _distance_to(embedding, nearest)
        return (difference + self.margin).clamp(min=0).where(has_both, 0.0)


class ContrastiveLoss(MetricCost):
    """Contrastive loss over all pairs of the minibatch (Hadsell et al. 2006).

    A pair of one class loses d^2 / 2 and a pair of different classes max(0, margin - d)^2 / 2, where d is
    the distance of embeddings. A row loses the mean over its pairs of one class plus the mean over
    those of different classes, since with many classes there are far more of these.

    Parameters
    ----------
    margin : float, default=10.0
        Distance from which on rows of different classes are far enough.
    embedding_size : int, default=32
        Numbers of an embedding.

    Examples
    --------
    >>> import torch
    >>> raw = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> ContrastiveLoss(margin=2.0, embedding_size=2)(raw, torch.tensor([0, 0, 1]))
    tensor([0.1716, 0.1716, 0.1716])

    """

    name = "contrastive"

    def __init__(self, margin: float = CONTRASTIVE_MARGIN, embedding_size: int = EMBEDDING_SIZE) -> None:
        super().__init__(margin, embedding_size)
        self.title = f"contrastive loss (margin {self.margin:g}) on embeddings of {self.embedding_size} numbers"

    def compare(self, embedding: Tensor, positive: Tensor, negative: Tensor, counts: Tensor | None) -> Tensor:
        """Mean of d^2 / 2 over positives plus that of max(0, margin - d)^2 / 2 over negatives, of each row."""
        squared = squared_distances(embedding)
        apart = (self.margin - squared.clamp(min=NEAREST).sqrt()).clamp(min=0)
        return (_mean(squared, positive, counts) + _mean(apart.square(), negative, counts)) / 2


def squared_distances(embedding: Tensor) -> Tensor:
    """Squared distances (..., b, b) from each row to each other, 0 or more."""
    squared = embedding.square().sum(-1)
    product = embedding @ embedding.mT
    return (squared.unsqueeze(-1) + squared.unsqueeze(-2) - 2 * product).clamp(min=0)


def _distance_to(embedding: Tensor, partner: Tensor) -> Tensor:
    """Distance of each row to another one (..., b), exact and with a derivative of 0 where the two are equal."""
    other = embedding.gather(-2, partner.unsqueeze(-1).expand_as(embedding))
    return (embedding - other).square().sum(-1).clamp(min=TINY).sqrt()


def _mean(losses: Tensor, which: Tensor, counts: Tensor | None) -> Tensor:
    """Mean of each row's losses over some of the others, by what those count; 0 where there are none."""
    weight = which.to(losses.dtype)
    if counts is not None:
        weight = weight * counts.unsqueeze(-2)
    total = weight.sum(-1)
    return (losses * weight).sum(-1) / total.where(total > 0, 1.0)
