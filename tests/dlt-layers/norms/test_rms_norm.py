"""RMSNorm against float64 closed forms and torch.nn.RMSNorm."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.norms.rms_norm import RMSNorm


def closed_form(x, axis, gamma, epsilon=1e-6):
    x = np.asarray(x, "float64")
    return x / np.sqrt(np.mean(x**2, axis=axis, keepdims=True) + epsilon) * gamma


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), (1, -1), (-2, -1)])
def test_any_axes_equal_the_closed_form(axis, verify):
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 7)).astype("float32")
    layer = RMSNorm(axis=axis)
    layer.build(x.shape)
    gamma = np.random.default_rng(1).normal(size=layer.gamma.shape).astype("float32")
    layer.gamma.assign(gamma)
    axes = (axis,) if isinstance(axis, int) else axis
    positive = sorted(a % 4 for a in axes)
    broadcast = [x.shape[i] if i in positive else 1 for i in range(4)]
    expected = closed_form(x, tuple(positive), gamma.reshape(broadcast))
    verify("dl_techniques>RMSNorm", "closed form in float64", layer(x), expected)


def test_unit_offset_adds_one_to_the_gain():
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    offset = RMSNorm(unit_offset=True, scale_initializer="zeros")
    np.testing.assert_allclose(
        ops.convert_to_numpy(offset(x)), ops.convert_to_numpy(RMSNorm()(x)), rtol=1e-6
    )


def test_float16_of_large_scale_equals_float32():
    x = (300 * np.random.default_rng(0).normal(size=(4, 64))).astype("float16")
    half = ops.convert_to_numpy(RMSNorm(dtype="float16")(x))
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, closed_form(x, -1, 1.0), rtol=4e-3, atol=4e-3)


def test_zero_input_gives_zeros_and_finite_gradients():
    layer = RMSNorm()
    x = np.zeros((2, 4), "float32")
    layer.build(x.shape)
    result = value_and_gradients(lambda x: ops.sum(layer(x)), layer.trainable_variables, [x])
    assert result.value == 0
    assert all(np.isfinite(g).all() for g in [*result.variables, *result.inputs])


@pytest.mark.oracle
def test_equals_torch_rms_norm_with_gradients(verify):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, g, gamma = (rng.normal(size=s).astype("float32") for s in [(2, 5, 7), (2, 5, 7), (7,)])
    peer = torch.nn.RMSNorm(7, eps=1e-6)
    peer.weight.data = torch.tensor(gamma)
    x_peer = torch.tensor(x, requires_grad=True)
    y_peer = peer(x_peer)
    (y_peer * torch.tensor(g)).sum().backward()

    layer = RMSNorm()
    layer.build(x.shape)
    layer.gamma.assign(gamma)
    ours = value_and_gradients(
        lambda x, g: ops.sum(layer(x) * g), layer.trainable_variables, [x, g]
    )
    name, oracle = "dl_techniques>RMSNorm", f"torch.nn.RMSNorm {torch.__version__}"
    verify(name, oracle, ops.convert_to_numpy(layer(x)), y_peer.detach())
    verify(name, oracle, ours.inputs[0], x_peer.grad, what="gradient of inputs")
    verify(name, oracle, ours.variables[0], peer.weight.grad, what="gradient of gamma")
