"""New statistics for networks that have learnt with others, undone in their weights so that no prediction jumps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sk_dlsteps.engine.fleet import Fleet
from sk_dlsteps.engine.mlp_fleet import MLPFleet


def move_inputs(
    fleet: Fleet, old: tuple[np.ndarray, np.ndarray], new: tuple[np.ndarray, np.ndarray], final: np.ndarray
) -> None:
    """Let a table standardised by new statistics do what one by the old ones did.

    Exact without `input_clip`; with it for values near the middle. Modules of a user's own are given the new
    statistics and nothing else.

    Parameters
    ----------
    fleet : Fleet
        Changed in place.
    old : pair of ndarray of shape (K, n_columns)
        What network k subtracted from the user's columns, and multiplied them by; 0 for a constant column.
    new : pair of ndarray of shape (n_columns,)
        The same from now on, for all networks.
    final : ndarray of shape (n_columns,)
        The factor that turns the new table into the networks' inputs: 1, or 0 for a constant column.

    """
    center, factor = old
    new_center, new_factor = new
    # What was z before is ratio * z + shift now.
    ratio = np.where(new_factor > 0, factor / np.where(new_factor > 0, new_factor, 1.0), 1.0)
    # A column that was constant begins without a say; if all were, nothing is learnt yet that could jump, and weights
    # of zero throughout would never learn anything.
    ratio[(factor == 0).all(1)] = 1.0
    shift = np.where(new_factor > 0, (new_center - center) * factor, 0.0)
    n_columns = len(new_center)
    fleet.input_center[..., :n_columns] = 0.0
    fleet.input_factor[..., :n_columns] = torch.from_numpy(final).to(fleet.input_factor)
    if not isinstance(fleet, MLPFleet):
        return
    weight, bias = fleet.weights[0].data, fleet.biases[0].data
    own = weight[:, :n_columns].double()
    bias += torch.einsum("kn,knu->ku", torch.from_numpy(shift), own.cpu()).unsqueeze(1).to(bias)
    weight[:, :n_columns] = (own * torch.from_numpy(ratio).to(own).unsqueeze(-1)).to(weight)
    encoding = fleet.input_encoding
    if encoding is not None:
        columns = encoding.columns.cpu().numpy()
        by_column = (torch.from_numpy(part[:, None, columns, None]).to(encoding.slope) for part in (ratio, shift))
        new_ratio, new_shift = by_column
        encoding.offset += encoding.slope * new_shift
        encoding.slope *= new_ratio


def move_target(fleet: Fleet, center: np.ndarray, scale: np.ndarray) -> bool:
    """Let networks learn targets by a new centre and scale (n_targets,), and predict what they did.

    False, and nothing is changed, where that cannot be undone in the output layer: for a link other than the
    identity and the exponential, and for modules of a user's own.
    """
    if fleet.target_center is None or fleet.target_scale is None or not isinstance(fleet, MLPFleet):
        return False
    identity, log_link = fleet.cost.has_identity_link, fleet.cost.target_scaling == "scale"
    if not (identity or log_link):
        return False
    new_center, new_scale = (torch.from_numpy(part).to(fleet.target_scale) for part in (center, scale))
    weight, bias = fleet.weights[-1].data, fleet.biases[-1].data
    divisor = new_scale.where(new_scale > 0, 1.0)
    if log_link:
        bias += (fleet.target_scale / divisor).log().to(bias)
    else:
        # Of a target that has been constant so far the networks have learnt nothing that would not be it.
        varies = new_scale > 0
        ratio = (fleet.target_scale / divisor).where(varies, 1.0)
        moved = bias.double() * ratio + ((fleet.target_center - new_center) / divisor).where(varies, 0.0)
        bias.copy_(moved)
        weight.copy_(weight.double() * _as_column(ratio))
    fleet.target_center.copy_(new_center.expand_as(fleet.target_center))
    fleet.target_scale.copy_(new_scale.expand_as(fleet.target_scale))
    return True


def _as_column(per_output: Tensor) -> Tensor:
    """Numbers (K, 1, n_outputs) for output weights (K, n_outputs, n_in)."""
    return per_output.mT
