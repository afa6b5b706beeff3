"""Scaled dot-product attention: the one computation that every attention layer shares."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import keras
from keras import ops

from dl_techniques.core import Tensor, upcast

Normalizer: TypeAlias = Callable[[Tensor], Tensor]
"""Turns logits (B, H, T, S) in float32 into weights; masked logits are `MASKED`."""

MASKED = -1e9
"""The logit of a key that may not be attended to, in float32: its weight is exactly zero."""


class _Sizes(NamedTuple):
    """Sizes of an attention; those of type `Any` may be scalar tensors."""

    batch: Any
    queries: Any
    keys: Any
    heads: Any
    kv_heads: Any
    group: int
    """Query heads for each key head."""
    width: int
    value_width: int


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    padding_mask: Tensor | None = None,
    causal: bool = False,
    window: int | None = None,
    offset: Tensor | int | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
    seed: Any = None,
    training: bool | None = False,
    normalizer: Normalizer | None = None,
    return_scores: bool = False,
) -> Any:
    """Attend with every query to the keys that it may see.

    O = softmax(scale Q K^T + bias) V, where query head j reads key head floor(j Hk / H).

    Logits are normalized in float32. All masks are combined by logical and; a query that may
    see no key at all gets the average of the values.

    Args:
        query: (B, T, H, d).
        key: (B, S, Hk, d); Hk must divide H.
        value: (B, S, Hk, dv).
        bias: Added to the logits; rank 4, broadcastable to (B, H, T, S).
        mask: Which keys each query may see, nonzero = may: (T, S), (B, T, S) or (B, 1 | H, T, S).
        padding_mask: (B, S), nonzero = a real token.
        causal: Whether query i sees key j only if j <= i + `offset`.
        window: See only keys closer than this to the position i + `offset`.
        offset: Position of the first query among the keys, a number or a scalar tensor. By
            default S - T: the queries are the last tokens of the keys, as when decoding.
        scale: Factor of the logits; by default 1 / sqrt(d).
        dropout: Rate of dropped attention weights in training.
        seed: The layer's `keras.random.SeedGenerator`, for dropout.
        training: Whether dropout is active.
        normalizer: Replacement of the softmax.
        return_scores: Whether to return the attention weights, before dropout, too.

    Returns:
        O of shape (B, T, H, dv), or the pair of O and the weights (B, H, T, S).

    Raises:
        ValueError: If shapes or masks do not fit together.
    """
    sizes = _sizes(query, key, value)
    dropout = dropout if training else 0.0
    plain = normalizer is not None or dropout > 0 or return_scores or not _has_fused_kernel()
    plain = plain or (bias is not None and not _fused_kernel_takes_bias())
    # Scaled before the product: the raw logits of float16 inputs overflow.
    query = query * (sizes.width**-0.5 if scale is None else scale)
    allowed = all_of(_rank_4(mask, sizes), _rank_4_padding(padding_mask, sizes))
    by_position = causal or window is not None
    # The kernels' own causal masks align the first query with the first key.
    by_kernel = causal and not plain and _is_square(sizes)
    by_kernel = by_kernel and all(x is None for x in (allowed, bias, window, offset))
    if by_position and not by_kernel:
        allowed = all_of(allowed, visible(sizes.queries, sizes.keys, causal, window, offset))
    if not plain:
        return _fused(query, key, value, sizes, bias, allowed, by_kernel)
    output, scores = _plain(
        query, key, value, sizes, bias, allowed, normalizer or _softmax, dropout, seed
    )
    return (output, scores) if return_scores else output


def visible(
    queries: Any,
    keys: Any,
    causal: bool = False,
    window: int | None = None,
    offset: Tensor | int | None = None,
) -> Tensor:
    """Return which keys each query sees by their positions alone.

    Args:
        queries: Number of queries T.
        keys: Number of keys S.
        causal: Whether later keys are hidden.
        window: Hide keys that are not closer than this.
        offset: Position of the first query among the keys; by default S - T.

    Returns:
        A boolean tensor (1, 1, T, S).
    """
    i = ops.arange(queries)[:, None] + (keys - queries if offset is None else offset)
    j = ops.arange(keys)[None, :]
    conditions = [j <= i] if causal else []
    if window is not None:
        conditions.append(i - j < window)
        if not causal:
            conditions.append(j - i < window)
    return functools.reduce(ops.logical_and, conditions)[None, None]


def all_of(*masks: Tensor | None) -> Tensor | None:
    """Return the logical and of the given masks as booleans; `None` without masks.

    Args:
        *masks: Masks that broadcast to one shape.
    """
    given = [ops.cast(ops.convert_to_tensor(mask), "bool") for mask in masks if mask is not None]
    return functools.reduce(ops.logical_and, given) if given else None


def _plain(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    sizes: _Sizes,
    bias: Tensor | None,
    allowed: Tensor | None,
    normalizer: Normalizer,
    dropout: float,
    seed: Any,
) -> tuple[Tensor, Tensor]:
    """Two products around the normalizer.

    The queries of a group of heads are stacked along the tokens, so that keys and values are
    read where they are instead of being repeated.
    """
    batch, queries, keys, heads, kv_heads, group, width, value_width = sizes
    stacked = group * queries
    q = ops.reshape(ops.transpose(query, (0, 2, 1, 3)), (batch, kv_heads, stacked, width))
    k = ops.transpose(key, (0, 2, 3, 1))
    v = ops.transpose(value, (0, 2, 1, 3))
    if keras.backend.standardize_dtype(query.dtype) == "float16":
        q, k = upcast(q), upcast(k)
    logits = ops.reshape(upcast(ops.matmul(q, k)), (batch, heads, queries, keys))
    if bias is not None:
        logits = logits + upcast(bias)
    if allowed is not None:
        logits = ops.where(allowed, logits, ops.cast(MASKED, logits.dtype))
    scores = ops.cast(normalizer(logits), value.dtype)
    weights = scores
    if dropout > 0:
        weights = keras.random.dropout(weights, dropout, seed=seed)
    weights = ops.reshape(weights, (batch, kv_heads, stacked, keys))
    output = ops.reshape(ops.matmul(weights, v), (batch, heads, queries, value_width))
    return ops.transpose(output, (0, 2, 1, 3)), scores


def _fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    sizes: _Sizes,
    bias: Tensor | None,
    allowed: Tensor | None,
    causal: bool,
) -> Tensor:
    """`keras.ops.dot_product_attention`, spared of what a backend refuses."""
    if bias is not None and allowed is not None:
        # PyTorch takes one of the two. float16 ends at 65504.
        half = keras.backend.standardize_dtype(bias.dtype) == "float16"
        bias = ops.where(allowed, bias, ops.cast(-3e4 if half else MASKED, bias.dtype))
        allowed = None
    folded = sizes.kv_heads == 1 < sizes.group and not causal and bias is None
    folded = folded and (allowed is None or allowed.shape[1:3] == (1, 1))
    if folded:
        # One key head serves every query alike: heads become tokens, and nothing is repeated.
        query = ops.reshape(query, (sizes.batch, sizes.queries * sizes.group, 1, sizes.width))
    elif sizes.group > 1:
        key, value = (ops.repeat(x, sizes.group, axis=2) for x in (key, value))
    # JAX, and PyTorch's kernel for the CPU, want values as wide as the keys.
    width = max(sizes.width, sizes.value_width)
    output = ops.dot_product_attention(
        _widened(query, width),
        _widened(key, width),
        _widened(value, width),
        bias=bias,
        mask=allowed,
        scale=1.0,
        is_causal=causal,
    )
    output = output[..., : sizes.value_width]
    if folded:
        shape = (sizes.batch, sizes.queries, sizes.heads, sizes.value_width)
        output = ops.reshape(output, shape)
    return output


def _widened(x: Tensor, width: int) -> Tensor:
    """The tensor with zeros behind its features."""
    missing = width - x.shape[-1]
    return ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, missing))) if missing else x


@functools.cache
def _has_fused_kernel() -> bool:
    """Return whether `keras.ops.dot_product_attention` is more than two products around a softmax.

    TensorFlow has no such kernel (and its form crashes at one key head, and on Keras 3.8 at any
    grouped heads); JAX has one on accelerators, and on the CPU takes up to 1.5 times the time of
    the plain form (2 x 512 tokens, 8 heads over 2, JAX 0.10); PyTorch has one everywhere, which
    on the CPU takes 0.3 to 0.8 of it.
    """
    name = keras.backend.backend()
    if name == "jax":
        return any(not device.startswith("cpu") for device in keras.distribution.list_devices())
    return bool(name == "torch")


@functools.cache
def _fused_kernel_takes_bias() -> bool:
    """Return whether the kernel adds a bias; on PyTorch, Keras 3.8 refuses it."""
    one = ops.ones((1, 1, 1, 1))
    try:
        ops.dot_product_attention(one, one, one, bias=one)
    except ValueError:
        return False
    return True


def _softmax(logits: Tensor) -> Tensor:
    return ops.softmax(logits, axis=-1)


def _sizes(query: Tensor, key: Tensor, value: Tensor) -> _Sizes:
    shapes = [tuple(x.shape) for x in (query, key, value)]
    received = "query.shape={}, key.shape={}, value.shape={}".format(*shapes)
    if any(len(shape) != 4 for shape in shapes):
        raise ValueError(
            "`query`, `key` and `value` must have the shape (batch, tokens, heads, width). "
            f"Received: {received}"
        )
    q, k, v = shapes
    one_to_one = q[2] == k[2]
    if q[3] != k[3] or k[2] != v[2] or not (one_to_one or (q[2] and k[2] and q[2] % k[2] == 0)):
        raise ValueError(
            "`query` and `key` must have one width, `key` and `value` one number of heads, which "
            f"must divide that of `query`. Received: {received}"
        )
    batch, queries, heads, width = ops.shape(query)
    keys, kv_heads = ops.shape(key)[1:3]
    group = 1 if one_to_one else q[2] // k[2]
    return _Sizes(batch, queries, keys, heads, kv_heads, group, width, v[3])


def _is_square(sizes: _Sizes) -> bool:
    """Return whether it is known that there are as many queries as keys."""
    static = isinstance(sizes.queries, int) and isinstance(sizes.keys, int)
    return static and sizes.queries == sizes.keys


def _rank_4(mask: Tensor | None, sizes: _Sizes) -> Tensor | None:
    """An attention mask in a shape that broadcasts over (B, H, T, S)."""
    if mask is None:
        return None
    mask = ops.convert_to_tensor(mask)
    rank = len(mask.shape)
    full = mask[None, None] if rank == 2 else mask[:, None] if rank == 3 else mask
    if len(full.shape) != 4 or not _broadcasts(full.shape, sizes):
        raise ValueError(
            "`attention_mask` must have the shape (T, S), (B, T, S), (B, 1, T, S) or (B, H, T, S) "
            f"with T={sizes.queries}, S={sizes.keys}, H={sizes.heads}. "
            f"Received: attention_mask.shape={tuple(mask.shape)}"
        )
    return full


def _broadcasts(shape: Any, sizes: _Sizes) -> bool:
    """Return whether the known sizes of a mask fit the known sizes of the logits."""
    wanted = (sizes.heads, sizes.queries, sizes.keys)
    return all(
        not isinstance(got, int) or not isinstance(want, int) or got in {1, want}
        for got, want in zip(shape[1:], wanted, strict=True)
    )


def _rank_4_padding(mask: Tensor | None, sizes: _Sizes) -> Tensor | None:
    """A mask (B, S) of real keys as (B, 1, 1, S)."""
    if mask is None:
        return None
    mask = ops.convert_to_tensor(mask)
    if len(mask.shape) != 2 or not _broadcasts((None, 1, 1, mask.shape[1]), sizes):
        raise ValueError(
            f"`padding_mask` must have the shape (B, S) with S={sizes.keys}. "
            f"Received: padding_mask.shape={tuple(mask.shape)}"
        )
    return mask[:, None, None, :]
