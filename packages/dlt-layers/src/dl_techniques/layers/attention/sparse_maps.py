"""Sparse alternatives of the softmax over the last axis, with exact gradients.

`keras.ops.sparsemax` of Keras 3.15 gives rows that do not sum to one, so it is not used here.
"""

from __future__ import annotations

from keras import ops

from dl_techniques.core import Tensor
from dl_techniques.layers.attention.attend import MASKED


def sparsemax(logits: Tensor) -> Tensor:
    """The Euclidean projection of the logits onto the simplex.

    p = max(z - tau, 0) with tau = (sum_{i <= k} z_(i) - 1) / k over the k largest logits that
    satisfy 1 + k z_(k) > sum_{i <= k} z_(i).

    Args:
        logits: z, in float32.

    References:
        Martins and Astudillo, arXiv:1602.02068.
    """
    z, largest, k = _sorted(ops.stop_gradient(logits))
    support = 1.0 + k * largest > ops.cumsum(largest, axis=-1)
    count = ops.sum(ops.cast(support, z.dtype), axis=-1, keepdims=True)
    total = ops.sum(ops.where(support, largest, 0.0), axis=-1, keepdims=True)
    p = ops.maximum(z - (total - 1.0) / count, 0.0)
    return _with_gradient(p, ops.cast(p > 0, p.dtype), logits)


def entmax15(logits: Tensor) -> Tensor:
    """The 1.5-entmax, between softmax and sparsemax.

    p = max(z / 2 - tau, 0)^2, with tau such that p sums to one. With M and S the mean and second
    moment of the k largest z / 2, tau_k = M - sqrt(max((1 - k (S - M^2)) / k, 0)), and k is the
    largest with tau_k <= z_(k) / 2.

    Args:
        logits: z, in float32.

    References:
        Peters et al., arXiv:1905.05702.
    """
    z, largest, k = _sorted(ops.stop_gradient(logits) / 2.0)
    mean = ops.cumsum(largest, axis=-1) / k
    second = ops.cumsum(ops.square(largest), axis=-1) / k
    delta = (1.0 - k * (second - ops.square(mean))) / k
    taus = mean - ops.sqrt(ops.maximum(delta, 0.0))
    support = ops.cast(taus <= largest, z.dtype)
    last = ops.sum(support, axis=-1, keepdims=True)
    tau = ops.sum(ops.where(k == last, taus, 0.0), axis=-1, keepdims=True)
    root = ops.maximum(z - tau, 0.0)
    return _with_gradient(ops.square(root), root, logits)


def top_k_softmax(logits: Tensor, k: int) -> Tensor:
    """The softmax over the entries that are at least the k-th largest; ties all stay.

    Args:
        logits: z, in float32.
        k: How many, or all if there are fewer.

    References:
        Zhao et al., arXiv:1912.11637.
    """
    z, largest, position = _sorted(ops.stop_gradient(logits))
    threshold = ops.amin(ops.where(position <= k, largest, 0.0), axis=-1, keepdims=True)
    return ops.softmax(ops.where(z >= threshold, logits, ops.cast(MASKED, z.dtype)), axis=-1)


def _sorted(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The logits below their largest, the same in descending order, and the positions 1, 2, ..."""
    descending = -ops.sort(-z, axis=-1)
    largest = descending[..., :1]
    positions = ops.cast(ops.arange(1, ops.shape(z)[-1] + 1), z.dtype)
    return z - largest, descending - largest, positions


def _with_gradient(p: Tensor, weight: Tensor, logits: Tensor) -> Tensor:
    """Give p the gradient diag(s) - s s^T / sum(s), s being `weight`.

    Left to itself, automatic differentiation meets an infinite slope of the square root.
    """
    mean = ops.sum(weight * logits, axis=-1, keepdims=True) / ops.sum(
        weight, axis=-1, keepdims=True
    )
    linear = weight * (logits - mean)
    return p + linear - ops.stop_gradient(linear)
