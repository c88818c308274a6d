"""What is taken over with `init_from`: which last layer, and which one that is."""

import numpy as np
import pytest
import torch
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4))
Y = X @ [1.0, 2.0, 3.0, 4.0]
LABELS = np.digitize(Y, [-3, 3])
QUICK = {"n_estimators": 2, "random_state": 0, "learning_rate": 0.01, "max_epochs": 30}


class HeadFirst(nn.Module):
    """A module that makes its head before its body."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.head = nn.Linear(8, n_outputs)
        self.body = nn.Linear(n_inputs, 8)

    def forward(self, x):
        return self.head(self.body(x).relu())


def transfer_of(model):
    """The record of what was taken over."""
    return next(record for record in model.steps_ if record.title == "transfer")


@pytest.mark.parametrize(
    ("second", "because"),
    [(np.full(300, 5.0), "did not vary in the source's rows"), (5 + 2.2 * X[:, 0], "leave")],
    ids=["constant", "other unit"],
)
def test_every_column_has_to_be_the_source_s_for_a_head_that_is_kept(second, because):
    source = StepwiseRegressor(**QUICK).fit(X, np.stack([Y, second], 1))
    target = np.stack([Y, 5 + X[:, 0]], 1)
    tuned = source.fine_tune(X[:200], target[:200], early_stopping=False)
    found = transfer_of(tuned)
    assert found.because.startswith("the head is new")
    assert because in found.because
    residual = np.square(tuned.predict(X) - target).mean(0)
    assert (residual < 0.1 * target.var(0)).all()


def test_a_column_that_stays_constant_may_stay_so():
    target = np.stack([Y, np.full(300, 5.0)], 1)
    tuned = StepwiseRegressor(**QUICK).fit(X, target).fine_tune(X[:100], target[:100])
    assert "the head is kept" in transfer_of(tuned).because
    np.testing.assert_allclose(tuned.predict(X)[:, 1], 5.0)


@pytest.mark.parametrize("target", [LABELS + 5, LABELS > 1], ids=["three classes", "two classes"])
def test_an_embedding_is_taken_over_whatever_the_classes(target):
    source = StepwiseClassifier(**QUICK, loss="triplet").fit(X, LABELS)
    tuned = source.fine_tune(X[:150], target[:150], learning_rate=1e-12, early_stopping=False)
    assert transfer_of(tuned).evidence["new layers"] == ()
    np.testing.assert_allclose(tuned.transform(X), source.transform(X), atol=1e-5)
    assert tuned.score(X, target) > 0.7


def test_the_head_is_the_layer_that_is_called_last():
    source = StepwiseClassifier(**QUICK, module=HeadFirst).fit(X, LABELS)
    tuned = source.fine_tune(X[:100], LABELS[:100] + 5, unfreeze=False)
    assert transfer_of(tuned).evidence["new layers"] == ("head",)
    before, after = (model.pipeline_[-1].module_.modules_[0] for model in (source, tuned))
    assert torch.equal(after.body.weight, before.body.weight)
    assert not torch.equal(after.head.weight, before.head.weight)


def test_so_is_the_linear_layer_that_a_ready_module_gets_anew():
    known = HeadFirst(4, 9)
    tuned = StepwiseClassifier(**QUICK, init_from=known, unfreeze=False).fit(X, LABELS)
    own = tuned.pipeline_[-1].module_.modules_[0]
    assert own.head.out_features == 3
    assert torch.equal(own.body.weight, known.body.weight)
