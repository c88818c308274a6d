"""A fitted estimator as one torch module."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sk_dlsteps.engine.device import threads
from sk_dlsteps.export.torch_inputs import TorchInputs, inputs_of
from sk_dlsteps.export.torch_networks import TorchMLPs, TorchModules, networks_of
from sk_dlsteps.export.torch_outputs import TorchProbabilities, TorchValues, outputs_of


class TorchModule(nn.Module):
    """Raw rows in, predictions out: the scaler, the networks, and their mean.

    Parameters
    ----------
    inputs, networks, outputs : Module
        The three stages.

    """

    def __init__(
        self, inputs: TorchInputs, networks: TorchMLPs | TorchModules, outputs: TorchValues | TorchProbabilities
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.networks = networks
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        """Predictions for rows, in the wider dtype of the rows and the networks."""
        prepared = self.inputs(x)
        predictions = self.outputs(self.networks(prepared))
        return predictions.to(torch.promote_types(x.dtype, prepared.dtype))


@threads()
def to_torch(estimator: Any, quantiles: Any = None) -> TorchModule:
    """The module of a fitted estimator; see the estimators' method."""
    check_is_fitted(estimator)
    pipeline = estimator.pipeline_
    # What is taken from a copy belongs to the module alone.
    fleet = deepcopy(pipeline[-1].module_).cpu()
    return TorchModule(inputs_of(pipeline, fleet), networks_of(fleet), outputs_of(fleet, quantiles)).eval()
