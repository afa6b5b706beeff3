"""A penalty on columns that are not orthonormal."""

from __future__ import annotations

from keras import ops

from dl_techniques.core import Tensor, component
from dl_techniques.regularizers.soft_gram import SoftGram


@component(
    "dl_techniques>SoftOrthonormal",
    kind="regularizer",
    tags=("orthogonality",),
    paper="arXiv:1810.09102",
    since="0.1",
)
class SoftOrthonormal(SoftGram):
    """Soft orthonormality: pulls the columns of a weight towards an orthonormal system.

    factor ||W^T W - I||_F^2 + l1 ||W||_1 + l2 ||W||_F^2

    A weight of more than two axes is seen as W of shape `(prod(shape[:-1]), shape[-1])`, one
    column for each output filter; a vector as one column. In terms of the singular values s_i
    of W (m x n) the first term is factor (sum_i (s_i^2 - 1)^2 + max(n - m, 0)): with fewer
    rows than columns it cannot reach zero, because n columns in R^m are never orthonormal. The
    mode `"auto"` asks for orthonormal rows instead in that case, and can.

    Computed in float32 under half precision, by the smaller of the two Gram matrices.

    Args:
        **kwargs: Settings of `SoftGram` (`factor`, `l1`, `l2`, `mode`).

    Raises:
        ValueError: If a weight is negative, the mode is unknown, or a scalar is given.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.regularizers import SoftOrthonormal
        >>> penalty = SoftOrthonormal(factor=1.0)
        >>> float(penalty(np.eye(3, 2, dtype="float32")))
        0.0
        >>> float(penalty(2 * np.eye(3, 2, dtype="float32")))  # two times (2^2 - 1)^2
        18.0

    References:
        Bansal, Chen and Wang, "Can We Gain More from Orthogonality Regularizations in Training
        Deep CNNs?", arXiv:1810.09102.
    """

    def _distance(self, w: Tensor) -> Tensor:
        """||W^T W - I||_F^2."""
        rows, columns = w.shape
        # W W^T has the same singular values, but for the columns - rows zeros that W^T W has
        # beyond: each of them is at the distance one from the target.
        transposed = ops.transpose(w)
        factors = (w, transposed) if rows < columns else (transposed, w)
        gram = ops.matmul(*factors)
        distance = ops.sum(ops.square(gram - ops.eye(min(rows, columns), dtype=w.dtype)))
        unreachable = max(columns - rows, 0) if self.mode == "columns" else 0
        return distance + unreachable
