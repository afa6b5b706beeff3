"""DyTLayer against float64 and x-transformers."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.norms import DynamicTanh, DyTLayer

ID = "dl_techniques>DyTLayer"


@pytest.mark.parametrize("axis", [-1, 1, (1, 3)])
def test_equals_the_formula(axis, verify):
    rng = np.random.default_rng(0)
    x = (3 * rng.normal(size=(2, 4, 3, 5))).astype("float32")
    layer = DyTLayer(axis=axis, alpha_init_value=0.8)
    layer.build(x.shape)
    gamma, beta = (rng.normal(size=layer.gamma.shape).astype("float32") for _ in range(2))
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    axes = {axis} if isinstance(axis, int) else set(axis)
    broadcast = [n if i in axes or i - 4 in axes else 1 for i, n in enumerate(x.shape)]
    gamma, beta = gamma.reshape(broadcast), beta.reshape(broadcast)
    y = layer(x)
    verify(ID, "closed form in float64", y, gamma * np.tanh(0.8 * x.astype("float64")) + beta)
    assert (np.abs(ops.convert_to_numpy(y) - beta) <= np.abs(gamma) + 1e-6).all()
    assert DynamicTanh is DyTLayer


@pytest.mark.oracle
def test_equals_x_transformers_with_gradients(agree, transformers):
    module = pytest.importorskip("x_transformers.x_transformers")
    peer = module.DynamicTanh(7, init_alpha=0.5)
    layer = DyTLayer()
    layer.build((2, 5, 7))
    pairs = [
        (layer.alpha, peer.pre_tanh_scale, lambda a: np.reshape(a, ())),
        (layer.gamma, peer.gamma, np.asarray),
        (layer.beta, peer.beta, np.asarray),
    ]
    x = np.random.default_rng(0).normal(size=(2, 5, 7)).astype("float32")
    oracle = f"x-transformers {version('x-transformers')} DynamicTanh"
    agree(layer, layer, peer, pairs, [x], oracle=oracle, tolerance=1e-5)
