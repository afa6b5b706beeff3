"""PowerMLPLayer against a torch module of the paper's formula."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers import PowerMLPLayer


@pytest.mark.oracle
@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 5)])
def test_equals_torch_with_gradients(k, shape, agree):
    torch = pytest.importorskip("torch")
    layer = PowerMLPLayer(6, k=k)
    layer.build(shape)
    power = torch.nn.Linear(5, 6)
    basis = torch.nn.Linear(5, 6, bias=False)

    def theirs(x):
        return torch.relu(power(x)) ** k + basis(torch.nn.functional.silu(x))

    pairs = [
        (layer.kernel, power.weight, np.transpose),
        (layer.bias, power.bias, np.asarray),
        (layer.basis_kernel, basis.weight, np.transpose),
    ]
    x = np.random.default_rng(3).normal(size=shape).astype("float32")
    agree(layer, layer, theirs, pairs, [x], oracle=f"torch.nn {torch.__version__}")


def test_the_two_kernels_start_with_different_numbers():
    layer = PowerMLPLayer(4)
    layer.build((None, 3))
    assert (ops.convert_to_numpy(layer.kernel) != ops.convert_to_numpy(layer.basis_kernel)).all()


def test_large_negative_inputs_have_finite_gradients():
    """The literal x / (1 + exp(-x)) has NaN at -100."""
    layer = PowerMLPLayer(2)
    x = np.array([[-100.0, -1e4]], "float32")
    layer.build(x.shape)
    result = value_and_gradients(lambda x: ops.sum(layer(x)), layer.trainable_variables, [x])
    assert all(np.isfinite(g).all() for g in (*result.inputs, *result.variables))
