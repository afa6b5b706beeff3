"""LogitNorm, MaxLogitNorm and DecoupledMaxLogit against torch and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.norms import DecoupledMaxLogit, LogitNorm, MaxLogitNorm


def call(layer, x):
    return ops.convert_to_numpy(layer(x))


def logits(shape=(6, 5), scale=1.0):
    return (scale * np.random.default_rng(0).normal(size=shape)).astype("float32")


@pytest.mark.parametrize("axis", [-1, 1, (1, 2)])
def test_logits_get_the_length_of_the_temperature(axis, verify):
    z = logits((2, 3, 5))
    length = np.sqrt(np.sum(z.astype("float64") ** 2, axis=axis, keepdims=True))
    oracle = "closed form in float64"
    verify("dl_techniques>LogitNorm", oracle, LogitNorm(axis=axis)(z), z / length / 0.04)
    verify("dl_techniques>MaxLogitNorm", oracle, MaxLogitNorm(axis=axis)(z), z / length)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_bounds_order_and_scale(scale):
    z = logits(scale=scale)
    y = call(LogitNorm(temperature=0.1), z)
    assert np.abs(y).max() <= 10 + 1e-4
    np.testing.assert_array_equal(y.argsort(), z.argsort())
    np.testing.assert_allclose(y, call(LogitNorm(temperature=0.1), logits()), rtol=1e-3)


def test_the_lower_bound_of_the_loss_is_attained():
    k, tau = 4, 0.5
    z = np.array([[k - 1.0, *[-1.0] * (k - 1)]], "float32")
    y = call(LogitNorm(temperature=tau), z)[0]
    loss = np.log(np.sum(np.exp(y - y[0])))
    bound = np.log(1 + (k - 1) * np.exp(-np.sqrt(k / (k - 1)) / tau))
    assert loss == pytest.approx(bound, rel=1e-5)


@pytest.mark.parametrize("layer", [LogitNorm(), MaxLogitNorm(), DecoupledMaxLogit(3)])
def test_gradients_are_finite_at_zero(layer):
    x = np.zeros((2, 4), "float32")
    layer.build(x.shape)
    result = value_and_gradients(
        lambda x: sum(ops.sum(y) for y in _flat(layer(x))), layer.trainable_variables, [x]
    )
    assert all(np.isfinite(g).all() for g in [*result.variables, *result.inputs])


def _flat(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)


def test_the_largest_logit_is_the_product_of_its_parts():
    rng = np.random.default_rng(0)
    f = rng.normal(size=(7, 6)).astype("float32")
    layer = DecoupledMaxLogit(4, constant=3.0, return_parts=True)
    z, score, cosine, length = map(ops.convert_to_numpy, layer(f))
    w = ops.convert_to_numpy(layer.kernel).astype("float64")
    np.testing.assert_allclose(z, f @ w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(length, np.linalg.norm(f, axis=1), rtol=1e-5)
    cosines = f @ w / np.linalg.norm(f, axis=1, keepdims=True) / np.linalg.norm(w, axis=0)
    np.testing.assert_allclose(cosine, cosines.max(axis=1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(score, 3 * cosine + length, rtol=1e-5)
    products = np.linalg.norm(w, axis=0) * length[:, None] * cosines
    np.testing.assert_allclose(products.max(axis=1), z.max(axis=1), rtol=1e-4)


def test_the_score_of_a_longer_feature_grows_by_its_length_alone():
    f = np.random.default_rng(1).normal(size=(5, 6)).astype("float32")
    layer = DecoupledMaxLogit(4, constant=2.0, return_parts=True)
    _, score, cosine, length = map(ops.convert_to_numpy, layer(f))
    tripled = ops.convert_to_numpy(layer(3 * f)[1])
    np.testing.assert_allclose(tripled, 2 * cosine + 3 * length, rtol=1e-5)
    assert (tripled > score).all()


@pytest.mark.oracle
def test_the_loss_equals_the_papers_in_torch_with_gradients(verify):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    z, y = logits((9, 5), scale=3.0), np.arange(9) % 5
    peer = torch.tensor(z, requires_grad=True)
    norms = torch.norm(peer, p=2, dim=-1, keepdim=True) + 1e-7
    loss = functional.cross_entropy(peer / norms / 0.04, torch.tensor(y))
    loss.backward()
    one_hot = ops.one_hot(y, 5)

    def ours(z):
        return -ops.mean(ops.sum(ops.log_softmax(LogitNorm()(z)) * one_hot, axis=-1))

    result = value_and_gradients(ours, [], [z])
    oracle = f"cross-entropy of normalized logits in torch {torch.__version__}"
    name = "dl_techniques>LogitNorm"
    verify(name, oracle, result.value, loss)
    verify(name, oracle, result.inputs[0], peer.grad, what="gradient of inputs")


@pytest.mark.oracle
def test_the_parts_equal_cosine_similarity_in_torch_with_gradients(verify):
    torch = pytest.importorskip("torch")
    f = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    layer = DecoupledMaxLogit(4, constant=3.0)
    layer.build(f.shape)
    peer = torch.tensor(f, requires_grad=True)
    weight = torch.tensor(ops.convert_to_numpy(layer.kernel), requires_grad=True)
    cosines = torch.nn.functional.cosine_similarity(peer[:, :, None], weight[None], dim=1)
    score = 3 * cosines.max(dim=1).values + peer.norm(dim=1)
    score.sum().backward()
    result = value_and_gradients(lambda f: ops.sum(layer(f)[1]), [layer.kernel], [f])
    name = "dl_techniques>DecoupledMaxLogit"
    oracle = f"torch.nn.functional.cosine_similarity {torch.__version__}"
    verify(name, oracle, layer(f)[1], score)
    verify(name, oracle, result.inputs[0], peer.grad, what="gradient of inputs")
    verify(name, oracle, result.variables[0], weight.grad, what="gradient of weights")
