"""Formulas that several segmentation losses share."""

from __future__ import annotations

from collections.abc import Callable

from keras import ops

from dl_techniques.core import Tensor

SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1 before a logarithm."""


def dice_losses(y: Tensor, p: Tensor, weight: Tensor, smooth: float, squared: bool) -> Tensor:
    """Return 1 - (2 sum py + s) / (sum p + sum y + s), `(samples, classes)`.

    Args:
        y: Labels, `(samples, pixels, classes)`.
        p: Probabilities.
        weight: Weights of pixels.
        smooth: s.
        squared: Whether the denominator has squares.
    """
    y, p, weight = _pixels_last(y, p, weight)
    overlap = ops.sum(weight * p * y, axis=-1)
    sizes = weight * (p * p + y * y) if squared else weight * (p + y)
    return 1.0 - (2.0 * overlap + smooth) / (ops.sum(sizes, axis=-1) + smooth)


def tversky_losses(
    y: Tensor, p: Tensor, weight: Tensor, fp_weight: float, fn_weight: float, smooth: float
) -> Tensor:
    """Return 1 - (TP + s) / (TP + a FP + b FN + s), `(samples, classes)`.

    Args:
        y: Labels, `(samples, pixels, classes)`.
        p: Probabilities.
        weight: Weights of pixels.
        fp_weight: a.
        fn_weight: b.
        smooth: s.
    """
    y, p, weight = _pixels_last(y, p, weight)
    tp = ops.sum(weight * p * y, axis=-1)
    fp = ops.sum(weight * p * (1.0 - y), axis=-1)
    fn = ops.sum(weight * (1.0 - p) * y, axis=-1)
    return 1.0 - (tp + smooth) / (tp + fp_weight * fp + fn_weight * fn + smooth)


def _pixels_last(*tensors: Tensor) -> list[Tensor]:
    """Swap pixels and classes: sums over the last axis are three times as fast under XLA."""
    return [ops.swapaxes(tensor, 1, 2) for tensor in tensors]


def over_classes(function: Callable[..., Tensor], scores: Tensor) -> Tensor:
    """Apply a softmax to the classes of each pixel.

    Over a last axis of few classes, backends take several times as long on CPUs.

    Args:
        function: `ops.softmax` or `ops.log_softmax`.
        scores: Logits, `(samples, ..., classes)`.
    """
    return ops.swapaxes(function(ops.swapaxes(scores, 1, -1), axis=1), 1, -1)


def log_probabilities(scores: Tensor, from_logits: bool) -> Tensor:
    """Return the logarithm of the probabilities of exclusive classes.

    Args:
        scores: Logits or probabilities, `(samples, ..., classes)`.
        from_logits: Which of the two.
    """
    if from_logits:
        return over_classes(ops.log_softmax, scores)
    return ops.log(ops.clip(scores, SMALLEST, 1.0))


def log_sides(scores: Tensor, from_logits: bool) -> tuple[Tensor, Tensor]:
    """Return log p and log(1 - p), exact for logits however large.

    Args:
        scores: Logits or probabilities of independent classes.
        from_logits: Which of the two.
    """
    if from_logits:
        return -ops.softplus(-scores), -ops.softplus(scores)
    p = ops.clip(scores, SMALLEST, 1.0 - SMALLEST)
    return ops.log(p), ops.log(1.0 - p)


def sigmoid_focal(
    y: Tensor, scores: Tensor, gamma: float, alpha: float | None, from_logits: bool
) -> Tensor:
    """Return -a_t (1 - p_t)^gamma log p_t of each pixel and class.

    Args:
        y: Labels, 0, 1 or between.
        scores: Logits or probabilities.
        gamma: Focusing exponent.
        alpha: Weight of the positive side, or `None`.
        from_logits: Whether `scores` are logits.
    """
    log_p, log_q = log_sides(scores, from_logits)
    entropy = -(y * log_p + (1.0 - y) * log_q)
    p = ops.exp(log_p)
    missed = y * ops.exp(log_q) + (1.0 - y) * p
    losses = entropy * power(missed, gamma)
    return losses if alpha is None else losses * (alpha * y + (1.0 - alpha) * (1.0 - y))


def softmax_focal(y: Tensor, scores: Tensor, gamma: float, from_logits: bool) -> Tensor:
    """Return -y (1 - p)^gamma log p of each pixel and class.

    Args:
        y: One-hot labels.
        scores: Logits or probabilities.
        gamma: Focusing exponent.
        from_logits: Whether `scores` are logits.
    """
    log_p = log_probabilities(scores, from_logits)
    return -y * power(1.0 - ops.exp(log_p), gamma) * log_p


def power(base: Tensor, exponent: float) -> Tensor:
    """Return a power whose gradient is finite at a base of zero.

    Args:
        base: At least zero, up to rounding.
        exponent: At least zero.
    """
    if exponent == 0:
        return ops.ones_like(base)
    return ops.power(ops.maximum(base, SMALLEST), exponent)
