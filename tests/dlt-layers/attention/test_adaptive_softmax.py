"""AdaptiveSoftmax and AdaptiveMultiHeadAttention against closed forms, Keras's MHA and torch's."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients, whole_call
from dl_techniques.layers.attention.adaptive_multi_head_attention import AdaptiveMultiHeadAttention
from dl_techniques.layers.attention.adaptive_softmax import COEFFICIENTS, AdaptiveSoftmax

NAME = "dl_techniques>AdaptiveSoftmax"
MHA = "dl_techniques>AdaptiveMultiHeadAttention"


def draw(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def softmax(z):
    p = np.exp(z - z.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def closed_form(z, threshold=0.5, low=0.1, high=1.0, coefficients=COEFFICIENTS):
    z = z.astype("float64")
    p = softmax(z)
    entropy = -np.sum(np.where(p > 0, p * np.log(np.maximum(p, 1e-300)), 0), -1, keepdims=True)
    beta = np.maximum(np.polyval(coefficients, entropy), 1)
    temperature = np.where(entropy > threshold, np.clip(1 / beta, low, high), 1)
    return softmax(z / temperature)


def entropy(p):
    return -np.sum(p * np.log(np.maximum(p, 1e-30)), -1)


@pytest.mark.parametrize("size", [2, 9, 100, 1000])
def test_equals_the_closed_form(size, verify):
    z = np.concatenate([draw(4, 3, size, scale=scale) for scale in (0.0, 0.5, 3.0, 20.0)])
    verify(NAME, "closed form in float64", AdaptiveSoftmax()(z), closed_form(z))


def test_other_temperatures_and_polynomials(verify):
    z = draw(5, 40)
    config = {"min_temp": 0.6, "max_temp": 0.9, "polynomial_coeffs": (1.0, 0.5)}
    expected = closed_form(z, 0.2, 0.6, 0.9, (1.0, 0.5))
    layer = AdaptiveSoftmax(entropy_threshold=0.2, **config)
    verify(NAME, "closed form in float64", layer(z), expected)


def test_sharpens_and_never_reorders():
    z = draw(50, 30)
    plain, sharp = array(ops.softmax(z)), array(AdaptiveSoftmax()(z))
    assert (entropy(sharp) <= entropy(plain) + 1e-6).all()
    assert (entropy(sharp) < entropy(plain) - 0.1).any()
    assert (sharp.argmax(-1) == z.argmax(-1)).all()
    np.testing.assert_allclose(array(AdaptiveSoftmax()(z + 7)), sharp, atol=1e-5)


def test_decided_distributions_and_training_are_left_alone():
    decided = np.array([[9.0, 0.0, 0.0]], "float32")
    np.testing.assert_array_equal(
        array(AdaptiveSoftmax()(decided)), array(ops.softmax(ops.convert_to_tensor(decided)))
    )
    z = draw(3, 20)
    np.testing.assert_allclose(array(AdaptiveSoftmax()(z, training=True)), softmax(z), atol=1e-6)
    adapted = AdaptiveSoftmax(apply_in_training=True)(z, training=True)
    np.testing.assert_allclose(array(adapted), closed_form(z), atol=1e-6)


def test_masked_entries_are_zero_and_do_not_count():
    z = draw(4, 12)
    mask = np.arange(12) < 7
    masked = array(AdaptiveSoftmax()(z, mask=np.broadcast_to(mask, z.shape)))
    assert (masked[:, 7:] == 0).all()
    np.testing.assert_allclose(masked[:, :7], closed_form(z[:, :7]), atol=1e-6)


def test_a_mask_of_tokens_hides_along_their_axis_only():
    z = draw(2, 6, 4)
    real = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    over_tokens = array(AdaptiveSoftmax(axis=1)(z, mask=real))
    assert (over_tokens[0, 4:] == 0).all()
    expected = closed_form(z[0, :4].T).T
    np.testing.assert_allclose(over_tokens[0, :4], expected, atol=1e-6)
    over_features = array(AdaptiveSoftmax()(z, mask=real))
    np.testing.assert_allclose(over_features, closed_form(z), atol=1e-6)


@pytest.mark.parametrize("differentiate", [False, True])
def test_gradients_flow_through_the_temperature_on_request(differentiate):
    z = draw(1, 8)
    layer = AdaptiveSoftmax(differentiate_temperature=differentiate)
    g = draw(1, 8, seed=1)
    ours = value_and_gradients(lambda z, g: ops.sum(layer(z) * g), [], [z, g]).inputs[0]
    step = 1e-6 * np.eye(8)[:, None]
    p = softmax(z.astype("float64"))
    beta = np.maximum(np.polyval(COEFFICIENTS, entropy(p)), 1)[0]
    output = closed_form if differentiate else lambda z: softmax(beta * z.astype("float64"))
    z64 = z.astype("float64")
    numeric = [np.sum((output(z64 + s) - output(z64 - s)) * g) / 2e-6 for s in step]
    np.testing.assert_allclose(ours[0], numeric, atol=1e-4)


def test_large_float16_logits_stay_finite():
    z = draw(3, 50, scale=1e4).astype("float16")
    y = array(AdaptiveSoftmax(dtype="float16")(z))
    assert y.dtype == np.float16
    assert np.isfinite(y).all()


def test_padding_does_not_change_the_temperature():
    layer = AdaptiveMultiHeadAttention(2, 4)
    x = draw(2, 5, 8)
    padded = np.concatenate([x, 9 * draw(2, 4, 8, seed=1)], 1)
    real = np.arange(9)[None] < np.array([[5], [5]])
    np.testing.assert_allclose(
        array(layer(padded, padding_mask=real))[:, :5], array(layer(x)), atol=1e-5
    )


def test_attention_applies_the_closed_form_to_its_logits(verify):
    layer = AdaptiveMultiHeadAttention(2, 4, kernel_initializer="random_normal")
    x = draw(2, 30, 8)
    _, scores = layer(x, return_attention_scores=True)
    q, k = (
        array(projection(x)).reshape(2, 30, 2, 4)
        for projection in (layer.query_projection, layer.key_projection)
    )
    logits = np.einsum("bthd,bshd->bhts", q, k) / 2
    verify(MHA, "closed form in float64", scores, closed_form(logits))


@pytest.mark.parametrize("causal", [False, True])
def test_without_adaption_it_is_keras_multi_head_attention(causal, verify):
    layer = AdaptiveMultiHeadAttention(2, 4, value_dim=3, entropy_threshold=float("inf"))
    peer = keras.layers.MultiHeadAttention(2, 4, value_dim=3)
    query, value = draw(2, 6, 8), draw(2, 6, 7, seed=1)
    mask = np.random.default_rng(2).random((2, 6, 6)) > 0.3
    mask |= np.eye(6, dtype=bool)
    layer.build(query.shape, value.shape)
    # Not called without scores: on JAX, Keras 3.15.1 refuses values wider than keys there.
    peer.build(query.shape, value.shape)
    # Keras makes its weights in the order query, key, value too.
    for ours, theirs in zip(layer.weights, peer.weights, strict=True):
        weight = draw(*theirs.shape, seed=len(theirs.shape))
        theirs.assign(weight)
        ours.assign(weight.reshape(ours.shape))
    how = {"attention_mask": mask, "use_causal_mask": causal, "return_attention_scores": True}
    oracle = f"keras.layers.MultiHeadAttention {keras.__version__}"
    outputs = (whole_call(lambda q, v, x=x: x(q, v, **how))(query, value) for x in (layer, peer))
    for ours, theirs in zip(*outputs, strict=True):
        verify(MHA, oracle, array(ours), array(theirs), tolerance=2e-5)


@pytest.mark.oracle
def test_without_adaption_it_is_torch_multi_head_attention(agree, torch_mha):
    real = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)
    layer = AdaptiveMultiHeadAttention(3, 4, entropy_threshold=float("inf"))
    x = draw(2, 5, 12)
    layer.build(x.shape)
    theirs, pairs, oracle = torch_mha(layer, 12, 3, ~real)
    agree(
        layer,
        lambda x: layer(x, padding_mask=real),
        theirs,
        pairs,
        [x],
        keep=real[:, :, None],
        oracle=oracle,
    )
