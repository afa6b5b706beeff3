"""PowerMLP: the formula in torch with gradients, the count of parameters, exact polynomials."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques.core.testing.differentiation import differentiator
from dl_techniques.models.power_mlp import PowerMLP


def test_parameters():
    """Closed form: 2 in out + out of a hidden layer, in out + out of the last."""
    model = PowerMLP(3, (5, 4))
    model.build((None, 2))
    assert model.count_params() == (2 * 2 * 5 + 5) + (2 * 5 * 4 + 4) + (4 * 3 + 3)


@pytest.mark.oracle
def test_forward_and_gradients_agree_with_torch(verify):
    import torch

    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    model = PowerMLP(2, (5, 4))
    model.build((None, 3))
    found = differentiator(lambda t: keras.ops.sum(model(t) ** 2), model.trainable_variables)([x])
    weights = [torch.tensor(w, requires_grad=True) for w in model.get_weights()]
    h = torch.tensor(x)
    for kernel, bias, basis in (weights[:3], weights[3:6]):
        h = torch.relu(h @ kernel + bias) ** 3 + torch.nn.functional.silu(h) @ basis
    y = h @ weights[6] + weights[7]
    (y**2).sum().backward()
    name, oracle = "dl_techniques>PowerMLP", "torch"
    verify(name, oracle, keras.ops.convert_to_numpy(model(x)), y.detach().numpy())
    for ours, theirs in zip(found.variables, weights, strict=True):
        verify(name, oracle, np.asarray(ours), theirs.grad.numpy(), what="gradient of weights")


@pytest.mark.parametrize("k", [1, 2])
def test_represents_piecewise_polynomials(k):
    """Closed form: max(0, x)^k + (-1)^k max(0, -x)^k = x^k, with the smooth branch at zero."""
    model = PowerMLP(1, (2,), k=k)
    model.build((None, 1))
    kernel, zeros = np.array([[1.0, -1.0]]), np.zeros(2)
    last = np.array([[1.0], [(-1.0) ** k]])
    model.set_weights([kernel, zeros, np.zeros((1, 2)), last, np.array([0.5])])
    x = np.linspace(-2, 2, 9, dtype="float32")[:, None]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x)), x**k + 0.5, rtol=1e-6)


def test_learns_a_product():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).uniform(-1, 1, (256, 2)).astype("float32")
    y = x[:, :1] * x[:, 1:]
    model = PowerMLP(1, (8,))
    model.compile(keras.optimizers.Adam(0.02, clipnorm=1.0), "mse")
    model.fit(x, y, epochs=60, batch_size=64, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.05 * y.var()
