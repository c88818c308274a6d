"""Architectures that `module` knows by name, besides the built-in "mlp"."""

from __future__ import annotations

from typing import Any

from sk_dlsteps.step2_architecture.recurrent import GRU, LSTM
from sk_dlsteps.step2_architecture.resnet import RESNETS

# Each is called by name with the sizes that it takes, and says what it wants where training is left to "auto".
ARCHITECTURES: dict[str, Any] = {**RESNETS, "lstm": LSTM, "gru": GRU}


def channel_axis(shape: tuple[int, ...]) -> int:
    """Where the channels of a row stand: last in a sequence (T, d), first in an image (C, H, W)."""
    return 1 if len(shape) == 2 else 0
