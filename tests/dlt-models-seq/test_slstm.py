"""SLSTMCell and SLSTMBlock: the recurrence without its stabilizer, heads, order of time."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques.models.tirex import SLSTMBlock, SLSTMCell

HEADS, UNITS, FEATURES = 2, 6, 4


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _plain(x, kernel, recurrent, bias):
    """The recurrence as the paper has it, without m: e^i and sigmoid(f) as they are."""
    batch, steps, _ = x.shape
    width = UNITS // HEADS
    y, c, n = (np.zeros((batch, HEADS, width)) for _ in range(3))
    outputs = []
    for t in range(steps):
        here = x[:, t].reshape(batch, HEADS, -1)
        raw = np.stack([here[:, h] @ kernel[h] + y[:, h] @ recurrent[h] for h in range(HEADS)], 1)
        raw = (raw + bias.reshape(HEADS, -1)).reshape(batch, HEADS, 4, width)
        i, f, z, o = np.moveaxis(raw, 2, 0)
        c = _sigmoid(f) * c + np.exp(i) * np.tanh(z)
        n = _sigmoid(f) * n + np.exp(i)
        y = _sigmoid(o) * c / n
        outputs.append(y.reshape(batch, UNITS))
    return np.stack(outputs, 1)


@pytest.fixture
def layer():
    return keras.layers.RNN(SLSTMCell(UNITS, HEADS), return_sequences=True)


def test_the_cell_is_the_recurrence_without_a_stabilizer(layer, verify):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, FEATURES)).astype("float32")
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=w.shape).astype("float32") for w in layer.get_weights()])
    weights = [w.astype("float64") for w in layer.get_weights()]
    found = keras.ops.convert_to_numpy(layer(x))
    verify("dl_techniques>SLSTMCell", "NumPy, unstabilized", found, _plain(x, *weights))


def test_the_stabilizer_bears_what_overflows(layer):
    """Property: input gates of e^300, far beyond float32, give finite outputs below one."""
    x = np.full((1, 4, FEATURES), 300.0, "float32")
    layer.build(x.shape)
    kernel, recurrent, bias = layer.get_weights()
    layer.set_weights([np.ones_like(kernel), recurrent, bias])
    found = keras.ops.convert_to_numpy(layer(x))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, 1.0, atol=1e-6)  # sigmoid(o) = tanh(z) = 1, c = n


def test_products_that_come_from_outside_give_the_same():
    """Property: `project_inputs=False` on x W equals the cell on x."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, FEATURES)).astype("float32")
    whole = SLSTMCell(UNITS, HEADS)
    whole.build(x.shape)
    kernel, *rest = whole.get_weights()
    part = SLSTMCell(UNITS, HEADS, project_inputs=False)
    part.build((2, 4 * UNITS))
    part.set_weights(rest)
    halves = x.reshape(2, HEADS, -1)
    products = np.stack([halves[:, h] @ kernel[h] for h in range(HEADS)], 1).reshape(2, -1)
    ours, theirs = (keras.ops.convert_to_numpy(c(v)[0]) for c, v in ((whole, x), (part, products)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    forget = rest[1].reshape(HEADS, 4, -1)[:, 1]
    np.testing.assert_array_equal(forget, 1.0)
    assert rest[1].sum() == UNITS


def test_a_block_sees_no_later_token():
    """Property: a change of the last token changes its output alone."""
    x = np.random.default_rng(0).normal(size=(1, 4, 6)).astype("float32")
    other = x.copy()
    other[:, -1] += 1
    block = SLSTMBlock(HEADS)
    ours, theirs = (keras.ops.convert_to_numpy(block(v)) for v in (x, other))
    np.testing.assert_array_equal(ours[:, :-1], theirs[:, :-1])
    assert np.abs(ours[:, -1] - theirs[:, -1]).max() > 0.1
