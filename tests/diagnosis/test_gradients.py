"""Gradients and units, judged from what the training saw."""

import pytest
from skorch.callbacks import Callback

from sk_dlsteps import StepwiseWarning, diagnose


class Shift(Callback):
    """Puts the first layer's units far to one side before every epoch."""

    def __init__(self, to):
        self.to = to

    def on_epoch_begin(self, net, **kwargs):
        net.module_.biases[0].data[:] = self.to


def codes_of_gradients(model):
    """Codes of this kind of evidence."""
    kinds = {"vanishing_gradients", "dead_units", "exploding_gradients"}
    return [code for code in diagnose(model).codes if code in kinds]


def found(model, code):
    """The finding of a code."""
    (finding,) = (f for f in diagnose(model) if f.code == code)
    return finding


def test_a_first_layer_whose_gradient_has_vanished_is_found(small, rule):
    saturated = {"activation": "tanh", "hidden_units": (3, 3), "max_epochs": 4}
    model = small(callbacks=[Shift(50)], **saturated).fit(*rule)
    finding = found(model, "vanishing_gradients")
    first, *_, last = finding.evidence["layers"]
    assert first["mean gradient norm"] < 1e-3 * last["mean gradient norm"]
    assert (finding.severity, finding.evidence["networks"]) == (3, 3)
    assert "activation='relu'" in finding.action
    assert codes_of_gradients(small(**saturated).fit(*rule)) == []


def test_dead_units_are_found(small, rule):
    model = small(callbacks=[Shift(-1e3)], max_epochs=4).fit(*rule)
    finding = found(model, "dead_units")
    assert finding.evidence["dead share of each network"] == [1.0, 1.0, 1.0]
    assert "batch_norm=True" in finding.action
    assert codes_of_gradients(small(max_epochs=4).fit(*rule)) == []


def test_exploding_gradients_are_found_and_the_first_remedy_is_a_bound(small, rule):
    with pytest.warns(StepwiseWarning, match="became infinite or NaN"):
        model = small(optimizer="sgd", learning_rate=50.0).fit(*rule)
    finding = found(model, "exploding_gradients")
    assert max(finding.evidence["rescues of each network"]) > 0
    assert finding.action == "clip the gradients: max_grad_norm=1.0"
    assert codes_of_gradients(small(optimizer="sgd", learning_rate=0.02).fit(*rule)) == []
