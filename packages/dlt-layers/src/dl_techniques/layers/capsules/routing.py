"""Dynamic routing by agreement."""

from __future__ import annotations

from keras import ops

from dl_techniques.core import Tensor
from dl_techniques.layers.capsules.squash import squash


def route(
    predictions: Tensor,
    bias: Tensor | None,
    iterations: int,
    epsilon: float,
    stop_gradient: bool,
) -> tuple[Tensor, Tensor]:
    """Let output capsules gather the predictions that agree with them.

    c_ij = softmax_j(b_ij), v_j = squash(sum_i c_ij u_ij), b_ij += u_ij . v_j, from b = 0 on.

    Args:
        predictions: u_ij, `(batch, J, I, Q)` in float32 at least: so the capsules of one output
            are a matrix, and a round is two products of matrices without a copy.
        bias: `(J, Q)`, added before squashing, or `None`.
        iterations: How many times v is computed.
        epsilon: Of `squash`.
        stop_gradient: Whether gradients flow through the last round only.

    Returns:
        The output capsules v `(batch, J, Q)`, and the coefficients c `(batch, J, I)` of the last
        round.
    """
    logits = ops.zeros_like(predictions[..., 0])
    for remaining in reversed(range(iterations)):
        coefficients = ops.softmax(logits, axis=1)
        s = ops.matmul(coefficients[:, :, None], predictions)[:, :, 0]
        capsules = squash(s if bias is None else s + bias, -1, epsilon)
        if remaining:
            logits = logits + ops.matmul(predictions, capsules[..., None])[..., 0]
            logits = ops.stop_gradient(logits) if stop_gradient else logits
    return capsules, coefficients
