"""Mixed precision: products of minibatches in narrow floats, all else in float32."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# accelerate's names.
PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}
# What the derivatives of one network's loss add up to when they enter products in float16, in magnitude: far above
# the smallest number that float16 can hold, and so far below the largest, 65,504, that sums of products stay below it.
_SUM = 2.0**7


def choose_precision(mixed_precision: str | None, device: str) -> torch.dtype | None:
    """The floats of products; None for the networks' own. float16 needs a GPU that computes with it."""
    if mixed_precision == "fp16" and torch.device(device).type != "cuda":
        raise ValueError(
            f"`mixed_precision='fp16'` needs CUDA, and this fit is on device {device!r}; use mixed_precision='bf16'"
        )
    return None if mixed_precision is None else PRECISIONS[mixed_precision]


def accelerators_precision(accelerator: Any) -> str | None:
    """The mixed precision that an accelerator was made with; None if there is neither."""
    if accelerator is None or accelerator.mixed_precision == "no":
        return None
    if accelerator.mixed_precision not in PRECISIONS:
        known = " or ".join(map(repr, PRECISIONS))
        raise ValueError(f"`accelerator` has mixed_precision={accelerator.mixed_precision!r}; use {known}")
    return accelerator.mixed_precision


def loss_scale(delta: Tensor) -> Tensor:
    """A power of two (k, 1, 1) for each network's derivatives (k, rows, n_outputs), which float16 holds once scaled.

    A gradient that is computed from scaled derivatives is divided by the scale again. In bfloat16 nothing
    needs it: that reaches as far as float32.
    """
    total = delta.abs().sum((1, 2), keepdim=True, dtype=torch.float32)
    # Where there is no derivative, or one that is not finite, any scale does.
    usable = total.where((total > 0) & total.isfinite(), _SUM)
    return (_SUM / usable).log2_().floor_().exp2_()
