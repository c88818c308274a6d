"""Recurrent networks: torch's own layers, padding that does not matter, how they begin, what they refuse."""

import copy
import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sk_dlsteps import StepwiseRegressor
from sk_dlsteps.step2_architecture.recurrent import GRU, LSTM

KINDS = [LSTM, GRU]
SHAPES = list(itertools.product(KINDS, (1, 2), (False, True)))
NAN = float("nan")
each_shape = pytest.mark.parametrize(("kind", "num_layers", "bidirectional"), SHAPES)


def network(kind, num_layers=1, bidirectional=False, *, input_shape=(9, 3), n_outputs=2, seed=0, **parameters):
    """A small network in float64, ready to predict."""
    torch.manual_seed(seed)
    parameters = {"hidden_size": 5, "num_layers": num_layers, "bidirectional": bidirectional, **parameters}
    return kind(input_shape=input_shape, n_outputs=n_outputs, **parameters).double().eval()


def trained(*args, **parameters):
    """A network no number of which is where it began: a fresh one answers zeros with zeros after any steps."""
    own = network(*args, **parameters)
    for values in own.parameters():
        values.data.normal_(std=0.5)
    return own


def cells(own):
    """The recurrent layers of all directions."""
    return [layer for directions in own.layers for layer in directions]


def sequences(n_rows=4, n_steps=9, n_values=3, seed=1):
    """Random numbers."""
    return torch.randn(n_rows, n_steps, n_values, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def padded(x, front, behind):
    """Sequences with steps of NaN around them."""
    return nn.functional.pad(x, (0, 0, front, behind), value=NAN)


def as_torch(own):
    """Torch's own network of several layers and directions, with our weights."""
    n_values, hidden_size = own.layers[0][0].input_size, own.layers[0][0].hidden_size
    two = len(own.layers[0]) == 2
    whole = own.cell(n_values, hidden_size, len(own.layers), batch_first=True, bidirectional=two).double()
    for i, directions in enumerate(own.layers):
        for layer, suffix in zip(directions, ("", "_reverse"), strict=False):
            for name, values in layer.named_parameters():
                getattr(whole, name.replace("l0", f"l{i}{suffix}")).data.copy_(values)
    return whole


def ends_of(whole, packed):
    """The last layer's states at the ends of the sequences, all directions side by side."""
    state = whole(packed)[1]
    state = state[0] if isinstance(state, tuple) else state
    return torch.cat(list(state[-2 if whole.bidirectional else -1 :]), -1)


@each_shape
def test_full_sequences_give_what_torch_gives(kind, num_layers, bidirectional):
    own, x = trained(kind, num_layers, bidirectional), sequences()
    torch.testing.assert_close(own(x), own.head(ends_of(as_torch(own), x)))


@each_shape
def test_sequences_of_unequal_length_give_what_torch_gives_for_packed_ones(kind, num_layers, bidirectional):
    own, lengths = trained(kind, num_layers, bidirectional), [9, 4, 1, 6]
    x = sequences()
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    rows = torch.cat(
        [padded(row[None, :length], 0, 9 - length) for row, length in zip(x, lengths, strict=True)],
    )
    torch.testing.assert_close(own(rows), own.head(ends_of(as_torch(own), packed)))


@settings(deadline=None, max_examples=40)
@given(
    shape=st.sampled_from(SHAPES),
    front=st.integers(0, 4),
    behind=st.integers(0, 4),
    length=st.integers(1, 6),
    others=st.integers(0, 2),
    holes=st.booleans(),
)
def test_a_padded_sequence_gives_what_it_gives_alone(shape, front, behind, length, others, holes):
    own = trained(*shape)
    x = sequences(1, length, seed=length)
    if holes:
        x[0, :, 1] = NAN
    beside = sequences(others, front + length + behind, seed=7)
    together = own(torch.cat([beside, padded(x, front, behind)]))
    torch.testing.assert_close(together[others:], own(x))


@each_shape
def test_gradients_of_a_padded_sequence_are_those_of_the_sequence_alone(kind, num_layers, bidirectional):
    own, x = trained(kind, num_layers, bidirectional), sequences(3, 4)
    gradients = [
        torch.autograd.grad(own(rows).square().sum(), list(own.parameters()))
        for rows in (x, padded(x, 2, 0), padded(x, 1, 3))
    ]
    for alone, *others in zip(*gradients, strict=True):
        for other in others:
            torch.testing.assert_close(other, alone)


@each_shape
def test_rows_do_not_influence_each_other(kind, num_layers, bidirectional):
    own, x = trained(kind, num_layers, bidirectional), sequences()
    x[1, 5:] = NAN
    x[2, 3, 0] = NAN
    x[3] = NAN
    torch.testing.assert_close(own(x), torch.cat([own(row[None]) for row in x]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_gap_inside_a_sequence_counts_as_the_mean(kind):
    own, x = trained(kind, bidirectional=True), sequences()
    x[:, 4] = NAN
    x[:, 0, 1] = NAN
    torch.testing.assert_close(own(x), own(x.nan_to_num(0.0)))


@each_shape
def test_a_sequence_without_a_number_counts_as_one_step_of_zeros(kind, num_layers, bidirectional):
    own = trained(kind, num_layers, bidirectional)
    nothing = torch.full((2, 9, 3), NAN, dtype=torch.float64)
    torch.testing.assert_close(own(nothing), own(torch.zeros(2, 1, 3, dtype=torch.float64)))


def test_the_input_is_left_as_it_was():
    x = padded(sequences(), 1, 2)
    before = x.clone()
    network(LSTM, bidirectional=True)(x)
    torch.testing.assert_close(x, before, rtol=0, atol=0, equal_nan=True)


@each_shape
def test_recurrent_weights_are_orthogonal_for_each_gate(kind, num_layers, bidirectional):
    for layer in cells(network(kind, num_layers, bidirectional)):
        blocks = layer.weight_hh_l0.reshape(kind.n_gates, 5, 5)
        torch.testing.assert_close(
            blocks.mT @ blocks, torch.eye(5).double().expand(kind.n_gates, 5, 5), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("kind", KINDS)
def test_input_weights_and_the_head_have_the_std_of_he(kind):
    own = network(kind, 2, True, input_shape=(9, 120), n_outputs=60, hidden_size=100)
    weights = [layer.weight_ih_l0 for layer in cells(own)]
    for weight, n_in in zip([*weights, own.head.weight], [120, 120, 200, 200, 200], strict=True):
        assert weight.shape[1] == n_in
        assert abs(float(weight.detach().std()) / math.sqrt(2 / n_in) - 1) < 4 / math.sqrt(2 * weight.numel())


@pytest.mark.parametrize(("kind", "gate"), [(LSTM, 1), (GRU, 1)])
def test_the_gate_that_keeps_starts_at_one_and_all_other_biases_at_zero(kind, gate):
    own = network(kind, 2, True)
    expected = torch.zeros(kind.n_gates, 5, dtype=torch.float64)
    expected[gate] = 1.0
    for layer in cells(own):
        assert torch.equal((layer.bias_ih_l0 + layer.bias_hh_l0).reshape(kind.n_gates, 5), expected)
    assert not own.head.bias.any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_gate_with_the_bias_is_the_one_that_keeps_the_state(kind):
    # Wide open, it keeps what the first step put there through steps of zeros.
    own = network(kind, input_shape=(30, 3))
    layer = own.layers[0][0]
    x = torch.cat([sequences(1, 1), torch.zeros(1, 29, 3, dtype=torch.float64)], 1)
    layer.weight_hh_l0.data.zero_()
    layer.bias_ih_l0.data.chunk(kind.n_gates)[kind.keeping_gate].fill_(50.0)
    state = layer(x)[1]
    after_one = layer(x[:, :1])[1]
    kept = [s[1] if isinstance(s, tuple) else s for s in (after_one, state)]
    torch.testing.assert_close(kept[1], kept[0])


def test_dropout_acts_between_layers_and_before_the_head_and_only_in_training():
    own, x = network(LSTM, 2, dropout=0.5, hidden_size=40), sequences()
    seen = []
    for layer in cells(own)[1:]:
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    own.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    own.train()(x)
    assert [0.35 < float((values == 0).double().mean()) < 0.65 for values in seen] == [True, True]
    seen.clear()
    torch.testing.assert_close(own.eval()(x), network(LSTM, 2, hidden_size=40)(x))
    assert not any((values == 0).any() for values in seen)


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_of_torch_decides_on_weights_and_masks(kind):
    first, same, other = (network(kind, dropout=0.5, seed=seed).train() for seed in (3, 3, 4))
    outputs = []
    for own in (first, same, other):
        torch.manual_seed(8)
        outputs.append(own(sequences()))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda own: pickle.loads(pickle.dumps(own))])
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_gives_the_same_and_trains_alone(kind, duplicate):
    own, x = network(kind, 2, True), padded(sequences(), 0, 2)
    before = own(x).detach()
    other = duplicate(own)
    assert torch.equal(other(x), before)
    other(x).sum().backward()
    torch.optim.SGD(other.parameters(), lr=0.1).step()
    assert torch.equal(own(x), before)
    assert not torch.isclose(other(x), before).any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_on_a_gpu_raises_no_warning_and_gives_the_same_as_on_the_cpu(kind):
    own, x = network(kind, 2, True), padded(sequences(), 1, 2)
    on_gpu = copy.deepcopy(own.cuda())(x.cuda()).cpu()
    torch.testing.assert_close(on_gpu, own.cpu()(x))


@pytest.mark.parametrize(
    ("shape", "way_out"),
    [
        ((50,), r"got \(n, 50\)\. For one value at each step pass `X\[\.\.\., None\]` or `input_shape=\(50, 1\)`"),
        ((8, 6, 3), r"got \(n, 8, 6, 3\)\. To read it in 8 steps pass `X\.reshape\(len\(X\), 8, -1\)`"),
    ],
)
def test_another_shape_than_steps_and_values_is_an_error_with_a_way_out(shape, way_out):
    with pytest.raises(ValueError, match=rf"`X` of a recurrent module must have the shape \(n, T, d\).*{way_out}"):
        LSTM(input_shape=shape, n_outputs=1)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("hidden_size", 0, "an integer of at least 1, such as 64, got 0"),
        ("hidden_size", 8.0, "an integer of at least 1, such as 64, got 8.0"),
        ("num_layers", True, "an integer of at least 1, such as 1, got True"),
        ("bidirectional", "both", "True or False, got 'both'"),
        ("dropout", 1.0, "a number of at least 0 and below 1, such as 0.2, got 1.0"),
        ("dropout", "0.5", "a number of at least 0 and below 1, such as 0.2, got '0.5'"),
    ],
)
def test_a_parameter_that_may_not_be_is_named_with_its_value_and_the_way_out(name, value, text):
    with pytest.raises(ValueError, match=f"`module__{name}` must be {text}"):
        GRU(input_shape=(9, 3), n_outputs=1, **{name: value})


def test_parameters_of_numpy_are_as_good_as_python_s():
    parameters = {"hidden_size": np.int64(7), "num_layers": np.int64(2), "bidirectional": np.True_, "dropout": 0}
    assert GRU(input_shape=(9, 3), n_outputs=1, **parameters).head.in_features == 14


@pytest.mark.parametrize("kind", KINDS)
def test_narrow_floats_are_close_to_wide_ones(kind):
    own, x = network(kind, 2, True).float(), padded(sequences().float(), 1, 2)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = own(x)
    torch.testing.assert_close(narrow.float(), own(x), atol=0.1, rtol=0.1)


class LastMark(nn.Module):
    """An LSTM over rows of a table that hold twelve steps of two values."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.body = LSTM(input_shape=(n_inputs // 2, 2), n_outputs=n_outputs, hidden_size=16)

    def forward(self, x):
        """Rows to sequences and on."""
        return self.body(x.unflatten(1, (-1, 2)))


def test_an_lstm_learns_to_add_the_marked_numbers():
    generator = np.random.default_rng(0)
    X = np.zeros((1200, 12, 2))
    X[..., 0] = generator.uniform(-1, 1, (1200, 12))
    np.put_along_axis(X[..., 1], generator.random((1200, 12)).argpartition(2)[:, :2], 1.0, axis=1)
    y = X.prod(-1).sum(1)
    model = StepwiseRegressor(
        module=LastMark, n_estimators=1, max_grad_norm=1.0, max_epochs=15, learning_rate=0.02, random_state=0
    ).fit(X[:1000].reshape(1000, -1), y[:1000])
    assert ((model.predict(X[1000:].reshape(200, -1)) - y[1000:]) ** 2).mean() < 0.05 * y[1000:].var()
