"""attend against the formula in float64, over all combinations of masks, and its limits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.attention.attend import attend


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def tensors(*arrays):
    return [ops.convert_to_tensor(a) for a in arrays]


def formula(q, k, v, bias=0.0, allowed=True):
    q, k, v = (x.astype("float64") for x in (q, k, v))
    group = q.shape[2] // k.shape[2]
    k, v = np.repeat(k, group, 2), np.repeat(v, group, 2)
    logits = np.einsum("bthd,bshd->bhts", q, k) / np.sqrt(q.shape[-1]) + bias
    logits = np.where(allowed, logits, -1e30)
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return np.einsum("bhts,bshd->bthd", p, v), p


def attention_mask(rank, shape, seed=0):
    """A mask of `rank`, and as it broadcasts over (B, H, T, S)."""
    shape = {2: shape[2:], 3: (shape[0], *shape[2:]), 4: shape}[rank]
    mask = np.random.default_rng(seed).random(shape) > 0.4
    return mask, mask.reshape({2: (1, 1), 3: (shape[0], 1), 4: shape[:2]}[rank] + shape[-2:])


SIZES = [  # T, S, H, Hk, d, dv
    (5, 5, 4, 2, 3, 3),
    (3, 7, 4, 1, 2, 2),
    (7, 3, 4, 4, 2, 4),
    (5, 5, 6, 1, 4, 3),
]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("scores", [False, True])
def test_equals_the_formula_under_all_masks(sizes, scores):
    queries, keys, heads, kv_heads, width, value_width = sizes
    q, k, v = (
        draw(2, queries, heads, width),
        draw(2, keys, kv_heads, width, seed=1),
        draw(2, keys, kv_heads, value_width, seed=2),
    )
    bias, padding = draw(1, heads, queries, keys, seed=3), np.ones((2, keys), bool)
    padding[1, -2:] = False
    i, j = np.arange(queries)[:, None] + keys - queries, np.arange(keys)[None]
    options = itertools.product([None, 2, 3, 4], [0, 1], [0, 1], [False, True], [None, 2])
    for rank, biased, padded, causal, window in options:
        mask, allowed = (
            (None, True) if rank is None else attention_mask(rank, (2, heads, queries, keys))
        )
        allowed = np.broadcast_to(allowed, (2, heads, queries, keys)).copy()
        allowed &= (j <= i) | (not causal)
        allowed &= padding[:, None, None] | (not padded)
        allowed &= True if window is None else np.abs(i - j) < window
        result = attend(
            *tensors(q, k, v),
            bias=ops.convert_to_tensor(bias) if biased else None,
            mask=None if mask is None else mask.astype("int32"),
            padding_mask=padding if padded else None,
            causal=causal,
            window=window,
            return_scores=scores,
        )
        expected, weights = formula(q, k, v, bias if biased else 0.0, allowed)
        # (B, T, H): a query that sees nothing must be finite, and no more.
        seeing = allowed.any(-1).transpose(0, 2, 1)
        output = array(result[0] if scores else result)
        assert np.isfinite(output).all()
        np.testing.assert_allclose(output[seeing], expected[seeing], atol=2e-6)
        if scores:
            np.testing.assert_allclose(
                array(result[1])[allowed.any(-1)], weights[allowed.any(-1)], atol=1e-6
            )
            assert (array(result[1])[~allowed & allowed.any(-1, keepdims=True)] == 0).all()


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("biased", [False, True])
def test_gradients_do_not_depend_on_the_path(kv_heads, biased):
    q, k, v = draw(2, 5, 4, 4), draw(2, 5, kv_heads, 4, seed=1), draw(2, 5, kv_heads, 8, seed=2)
    g, bias = draw(2, 5, 4, 8, seed=3), draw(1, 4, 5, 5, seed=4)
    padding = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])

    def loss(q, k, v, g, bias, scores):
        how = {"bias": bias if biased else None, "padding_mask": padding, "return_scores": scores}
        output = attend(q, k, v, **how)
        return ops.sum((output[0] if scores else output) * g)

    one, other = (
        value_and_gradients(lambda *a, s=scores: loss(*a, s), [], [q, k, v, g, bias])
        for scores in (False, True)
    )
    for name, a, b in zip(("query", "key", "value"), one.inputs, other.inputs, strict=False):
        np.testing.assert_allclose(a, b, atol=2e-5, err_msg=name)
    if biased:
        np.testing.assert_allclose(one.inputs[4], other.inputs[4], atol=2e-5)


@pytest.mark.parametrize("scores", [False, True])
def test_large_float16_inputs_stay_finite(scores):
    q, k, v = tensors(*(100 * draw(2, 6, 2, 32, seed=i).astype("float16") for i in range(3)))
    padding = np.array([[1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]])
    result = attend(q, k, v, padding_mask=padding, causal=True, return_scores=scores)
    output = array(result[0] if scores else result)
    assert output.dtype == np.float16
    assert np.isfinite(output).all()


@pytest.mark.parametrize("scores", [False, True])
def test_masked_keys_do_not_matter(scores):
    q, k, v = draw(2, 4, 2, 3), draw(2, 6, 1, 3, seed=1), draw(2, 6, 1, 3, seed=2)
    padding = np.arange(6)[None] < np.array([[4], [6]])

    def output(change):
        moved = [x + change * ~padding[:, :, None, None] for x in (k, v)]
        result = attend(*tensors(q, *moved), padding_mask=padding, return_scores=scores)
        return array(result[0] if scores else result)

    np.testing.assert_allclose(output(np.float32(10)), output(np.float32(0)), atol=1e-6)


def test_a_query_that_sees_nothing_gets_the_average_of_the_values():
    q, k, v = draw(1, 2, 1, 3), draw(1, 4, 1, 3, seed=1), draw(1, 4, 1, 3, seed=2)
    mask = np.array([[1, 0, 0, 0], [0, 0, 0, 0]])
    for scores in (False, True):
        result = attend(*tensors(q, k, v), mask=mask, return_scores=scores)
        output = array(result[0] if scores else result)
        np.testing.assert_allclose(output[0, 1, 0], v[0, :, 0].mean(0), atol=1e-6)
        np.testing.assert_allclose(output[0, 0, 0], v[0, 0, 0], atol=1e-6)


def test_dropout_keeps_the_mean_and_leaves_inference_alone():
    import keras

    q, k = draw(1, 1, 1, 2), draw(1, 4000, 1, 2, seed=1)
    v = np.ones((1, 4000, 1, 2), "float32")
    seed = keras.random.SeedGenerator(1)
    dropped = [
        float(array(attend(*tensors(q, k, v), dropout=0.3, seed=seed, training=True))[0, 0, 0, 0])
        for _ in range(3)
    ]
    assert len(set(dropped)) == 3
    np.testing.assert_allclose(dropped, 1.0, atol=0.1)
    np.testing.assert_allclose(array(attend(*tensors(q, k, v), dropout=0.3)), 1.0, rtol=1e-5)


def test_another_normalizer_sees_masked_logits():
    def hardest(logits):
        return ops.cast(logits == ops.max(logits, axis=-1, keepdims=True), logits.dtype)

    q, k, v = draw(1, 3, 2, 4), draw(1, 5, 2, 4, seed=1), draw(1, 5, 2, 4, seed=2)
    _, weights = formula(q, k, v, allowed=np.tri(3, 5, 2, dtype=bool))
    output, scores = attend(*tensors(q, k, v), causal=True, normalizer=hardest, return_scores=True)
    np.testing.assert_array_equal(array(scores), weights == weights.max(-1, keepdims=True))
    assert output.shape == (1, 3, 2, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": np.ones((3, 4))}, "attention_mask"),
        ({"mask": np.ones((2, 2, 3, 4))}, "attention_mask"),
        ({"mask": np.ones(5)}, "attention_mask"),
        ({"padding_mask": np.ones((2, 3))}, "padding_mask"),
        ({"padding_mask": np.ones((2, 1, 5))}, "padding_mask"),
    ],
)
def test_masks_that_do_not_fit_are_refused(change, message):
    q, k, v = tensors(draw(2, 3, 4, 2), draw(2, 5, 2, 2), draw(2, 5, 2, 2))
    with pytest.raises(ValueError, match=message):
        attend(q, k, v, **change)


@pytest.mark.parametrize("shape", [(2, 5, 3, 2), (2, 5, 2, 4), (2, 5, 2)])
def test_keys_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match=r"key\.shape"):
        attend(*tensors(draw(2, 3, 4, 2), draw(*shape), draw(2, 5, 2, 2)))
