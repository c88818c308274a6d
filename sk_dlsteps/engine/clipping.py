"""Bounds on gradients, one for each network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def bounds_of_networks(bounds: Sequence[float | None], n_networks: Sequence[int]) -> np.ndarray:
    """The bound of each net for each of its networks, infinite where there is none."""
    return np.repeat([np.inf if bound is None else float(bound) for bound in bounds], n_networks)


def as_bound(bounds: np.ndarray) -> Tensor | None:
    """Bounds as a tensor; None if none of them binds."""
    return torch.from_numpy(bounds) if np.isfinite(bounds).any() else None
