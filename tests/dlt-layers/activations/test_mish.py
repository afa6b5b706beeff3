"""Mish against float64 and torch."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.activations import Mish

ID = "dl_techniques>Mish"


def test_equals_the_formula(verify):
    x = np.linspace(-30, 30, 241)
    expected = x * np.tanh(np.log1p(np.exp(x)))
    verify(ID, "closed form in float64", Mish()(x.astype("float32")), expected)


def test_known_points():
    minimum = float(Mish()(np.array([-1.19243], "float32"))[0])
    assert minimum == pytest.approx(-0.30884, abs=1e-5)
    x = np.array([0.0, -1e4, 1e4], "float32")
    gradient = value_and_gradients(lambda x: ops.sum(Mish()(x)), [], [x]).inputs[0]
    np.testing.assert_allclose(gradient, [0.6, 0.0, 1.0], atol=1e-6)


@pytest.mark.oracle
def test_equals_torch_with_gradients(verify):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(scale=4, size=(3, 7)).astype("float32")
    peer = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.mish(peer)
    expected.sum().backward()
    ours = value_and_gradients(lambda x: ops.sum(Mish()(x)), [], [x])
    oracle = f"torch.nn.functional.mish {torch.__version__}"
    verify(ID, oracle, Mish()(x), expected)
    verify(ID, oracle, ours.inputs[0], peer.grad, what="gradient of inputs")
