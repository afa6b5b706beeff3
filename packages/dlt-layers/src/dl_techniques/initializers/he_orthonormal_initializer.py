"""Orthonormal rows under the name that asks for He's scaling."""

from __future__ import annotations

from dl_techniques.core import component
from dl_techniques.initializers.orthonormal_initializer import OrthonormalInitializer


@component(
    "dl_techniques>HeOrthonormalInitializer",
    kind="initializer",
    tags=("orthogonality",),
    paper="arXiv:1502.01852",
    since="0.1",
)
class HeOrthonormalInitializer(OrthonormalInitializer):
    """Random matrix with orthonormal rows, the same as `OrthonormalInitializer`.

    G in R^(d x n) standard normal, G = Q R, W = gain (Q sign(diag R))^T, so that
    W W^T = gain^2 I.

    The original dl_techniques scaled G by He's rule before the factorization, which has no
    effect: Q does not depend on the scale of G. To scale W by He's rule, pass `gain=2**0.5`, for
    which E[w^2] = 2 / d.

    Args:
        **kwargs: Settings of `OrthonormalInitializer` (`gain`, `seed`).

    Raises:
        ValueError: If the shape is not `(n, d)` with n <= d: more than d rows cannot be
            orthonormal. Also if `gain` is not finite or `seed` is not an integer.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.initializers import HeOrthonormalInitializer
        >>> w = ops.convert_to_numpy(HeOrthonormalInitializer(gain=2**0.5, seed=1)((4, 8)))
        >>> round(float((w**2).mean()), 4)  # 2 / 8
        0.25

    References:
        He et al., "Delving Deep into Rectifiers", arXiv:1502.01852; Mezzadri, "How to generate
        random matrices from the classical compact groups", arXiv:math-ph/0609050.
    """
