"""Dropout masks, every network's from a stream of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from sk_dlsteps.engine.batches import Part

# A mask compares random bytes with the rate, so rates are rounded to a 256th.
_LEVELS = 256


class Dropout:
    """Masks of the hidden activations of K networks (Srivastava et al. 2014).

    Parameters
    ----------
    rates : float array of shape (n_hidden_layers, K)
        Share of each layer's activations that is zeroed, in [0, 1); what is left is
        scaled up so that sums keep their expectation.
    widths : int array of shape (n_hidden_layers, K)
        Units of each layer.
    seeds : sequence of int
        One per network; its masks depend on nothing else.

    """

    def __init__(self, rates: np.ndarray, widths: np.ndarray, seeds: Sequence[int]) -> None:
        self.rates, self.widths = np.asarray(rates, dtype=float), np.asarray(widths)
        # Bytes below it are zeroed, (n_hidden_layers, K).
        self.thresholds = np.minimum(np.round(self.rates * _LEVELS), _LEVELS - 1).astype(np.uint8)
        streams = (np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(1,))) for seed in seeds)
        self.streams: list[np.random.BitGenerator] = list(streams)

    def mask(self, layer: int, sizes: np.ndarray, like: Tensor, part: Part | None = None) -> Tensor | None:
        """Factors of the activations `like` (k, b, units), of which network j has ``sizes[j]`` rows; None for all 1.

        Of a `part` of whole minibatches they are what the whole ones' would be there.
        """
        thresholds = self.thresholds[layer, : len(like)]
        if not thresholds.any():
            return None
        n_rows = like.shape[1] if part is None else part.n_rows
        if part is not None:
            sizes = np.full(len(like), n_rows)
        drawn = np.empty((len(like), n_rows, like.shape[2]), dtype=np.uint8)
        for k in np.flatnonzero(thresholds):
            rows, units = sizes[k], self.widths[layer, k]
            raw = np.asarray(self.streams[k].random_raw(-(-rows * units // 8)))
            drawn[k, :rows, :units] = raw.view(np.uint8)[: rows * units].reshape(rows, units)
        if part is not None:
            drawn = drawn[:, part.rows]
        threshold = torch.from_numpy(thresholds).to(like.device).view(-1, 1, 1)
        kept = torch.from_numpy(drawn).to(like.device) >= threshold
        return torch.where(kept, _LEVELS / (_LEVELS - threshold.to(like.dtype)), 0.0)

    def reorder(self, order: Sequence[int]) -> None:
        """Put the networks into another order."""
        index = np.asarray(order)
        self.rates, self.thresholds, self.widths = (a[:, index] for a in (self.rates, self.thresholds, self.widths))
        self.streams = [self.streams[k] for k in order]
