"""Targets of deep embedded clustering."""

from __future__ import annotations

from keras import ops

from dl_techniques.core import Tensor, component


@component(
    "dl_techniques>dec_targets",
    kind="function",
    tags=("clustering",),
    paper="arXiv:1511.06335",
    since="0.1",
)
def dec_targets(q: Tensor) -> Tensor:
    """Sharpened assignments that deep embedded clustering trains towards.

    p_ij = (q_ij^2 / f_j) / sum_j' (q_ij'^2 / f_j'), f_j = sum_i q_ij

    Compute them over the whole data set, not over a batch.

    Args:
        q: Soft assignments, `(samples, clusters)`.

    Returns:
        A tensor of the same shape, without gradient.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from dl_techniques.losses import dec_targets
        >>> p = dec_targets(np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1]]))
        >>> ops.convert_to_numpy(p)[0].astype(float).round(4).tolist()
        [0.8452, 0.0743, 0.0805]

    References:
        Xie, Girshick and Farhadi, "Unsupervised Deep Embedding for Clustering Analysis",
        arXiv:1511.06335.
    """
    q = ops.convert_to_tensor(q)
    sharpened = q * q / ops.sum(q, axis=0)
    return ops.stop_gradient(sharpened / ops.sum(sharpened, axis=-1, keepdims=True))
