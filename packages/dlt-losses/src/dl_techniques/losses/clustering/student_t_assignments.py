"""Soft assignments of deep embedded clustering."""

from __future__ import annotations

from keras import ops

from dl_techniques.core import Tensor, component
from dl_techniques.losses.arguments import require_positive


@component(
    "dl_techniques>student_t_assignments",
    kind="function",
    tags=("clustering",),
    paper="arXiv:1511.06335",
    since="0.1",
)
def student_t_assignments(
    embeddings: Tensor, centers: Tensor, degrees_of_freedom: float = 1.0
) -> Tensor:
    """Soft assignment of embeddings to cluster centers by Student's t kernel.

    q_ij = (1 + |z_i - mu_j|^2 / nu)^(-(nu + 1) / 2), divided by its sum over j

    Args:
        embeddings: z, `(samples, features)`.
        centers: mu, `(clusters, features)`.
        degrees_of_freedom: nu; above zero.

    Returns:
        `(samples, clusters)`, sums of one.

    Raises:
        ValueError: If `degrees_of_freedom` is not above zero.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from dl_techniques.losses import student_t_assignments
        >>> z, mu = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 0.0], [2.0, 1.0]])
        >>> ops.convert_to_numpy(student_t_assignments(z, mu)).astype(float).round(4).tolist()
        [[0.8571, 0.1429], [0.6, 0.4]]

    References:
        Xie, Girshick and Farhadi, "Unsupervised Deep Embedding for Clustering Analysis",
        arXiv:1511.06335.
    """
    require_positive(degrees_of_freedom=degrees_of_freedom)
    z, mu = ops.convert_to_tensor(embeddings), ops.convert_to_tensor(centers)
    squares = ops.sum((z[:, None, :] - mu[None, :, :]) ** 2, axis=-1)
    exponent = -(degrees_of_freedom + 1.0) / 2.0
    return ops.softmax(exponent * ops.log1p(squares / degrees_of_freedom), axis=-1)
