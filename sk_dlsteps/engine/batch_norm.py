"""Batch normalisation of hidden sums, K networks at a time, with its gradient in closed form."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

# Torch's own settings: the weight of the newest minibatch in the running averages, and what is
# added to a variance.
MOMENTUM, EPS = 0.1, 1e-5


class Normalised(NamedTuple):
    """What the way back needs: the sums before gain and shift, and what they were multiplied by."""

    z: Tensor
    inverse_std: Tensor


class BatchNorm(nn.Module):
    """Normalises the sums of a hidden layer (Ioffe & Szegedy 2015).

    In training by mean and variance of the minibatch, in prediction by their
    exponentially weighted averages over the minibatches (article, step 4).

    Parameters
    ----------
    gain, shift : Tensor of shape (K, 1, units)
        Where the learnt scale and centre start.

    """

    mean: Tensor
    variance: Tensor

    def __init__(self, gain: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.gain, self.shift = nn.Parameter(gain), nn.Parameter(shift)
        self.register_buffer("mean", torch.zeros_like(gain))
        self.register_buffer("variance", torch.ones_like(gain))

    def averaged(self, z: Tensor) -> Tensor:
        """Sums (k, rows, units) normalised by the running averages."""
        k = len(z)
        mean, variance, gain, shift = (
            t.data[:k].to(z.dtype) for t in (self.mean, self.variance, self.gain, self.shift)
        )
        return torch.addcmul(shift, z - mean, (variance + EPS).rsqrt_().mul_(gain))

    def by_batch(self, z: Tensor, share: Tensor | float, sizes: Tensor | int, learn: bool) -> tuple[Tensor, Normalised]:
        """Sums (k, b, units) normalised over their rows, each counting by its share; `learn` moves the averages.

        `share` is 1 / rows, or a tensor (k, b, 1) with zeros for rows that do not count.
        """
        k = len(z)
        mean = _mean(z, share)
        centred = z - mean
        variance = _mean(centred.square(), share)
        if learn:
            self.mean[:k].lerp_(mean, MOMENTUM)
            # As torch's: the average is of the unbiased variance.
            self.variance[:k].lerp_(variance * (sizes / (sizes - 1)), MOMENTUM)
        inverse_std = (variance + EPS).rsqrt_()
        normalised = centred.mul_(inverse_std)
        return torch.addcmul(self.shift.data[:k], normalised, self.gain.data[:k]), Normalised(normalised, inverse_std)

    def through_averages(self, delta: Tensor) -> Tensor:
        """Derivative by the sums, given that by what `averaged` made of them."""
        k = len(delta)
        return delta * (self.gain.data[:k] * (self.variance[:k] + EPS).rsqrt()).to(delta.dtype)

    def gradients(self, delta: Tensor, seen: Normalised, share: Tensor | float, out: tuple[Tensor, Tensor]) -> Tensor:
        """Derivative by the sums, given that by the result; those by gain and shift go to `out`."""
        by_gain, by_shift = out
        torch.sum(delta * seen.z, 1, keepdim=True, out=by_gain)
        torch.sum(delta, 1, keepdim=True, out=by_shift)
        common = by_shift + seen.z * by_gain
        return (delta - common * share).mul_(seen.inverse_std * self.gain.data[: len(delta)])


def _mean(values: Tensor, share: Tensor | float) -> Tensor:
    """Mean (k, 1, units) over the rows of each network."""
    return torch.bmm(share.mT, values) if isinstance(share, Tensor) else values.mean(1, keepdim=True)
