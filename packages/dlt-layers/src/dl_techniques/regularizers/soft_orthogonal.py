"""A penalty on columns that are not orthogonal."""

from __future__ import annotations

from keras import ops

from dl_techniques.core import Tensor, component
from dl_techniques.regularizers.soft_gram import SoftGram
from dl_techniques.regularizers.soft_orthonormal import SoftOrthonormal

# `SoftOrthonormal` has this module path in the original dl_techniques.
__all__ = ["SoftOrthogonal", "SoftOrthonormal"]


@component(
    "dl_techniques>SoftOrthogonal",
    kind="regularizer",
    tags=("orthogonality",),
    paper="arXiv:1810.09102",
    since="0.1",
)
class SoftOrthogonal(SoftGram):
    """Soft orthogonality: pulls the columns of a weight apart and leaves their lengths alone.

    factor ||G - diag(G)||_F^2 + l1 ||W||_1 + l2 ||W||_F^2, with G = W^T W

    A weight of more than two axes is seen as W of shape `(prod(shape[:-1]), shape[-1])`, one
    column for each output filter; a vector as one column. Unlike `SoftOrthonormal`, the penalty
    is zero for every diagonal Gram matrix, also that of zero columns. The norm is squared, as in
    the paper: unsquared it has no gradient at the target. Computed in float32 under half
    precision.

    Args:
        **kwargs: Settings of `SoftGram` (`factor`, `l1`, `l2`, `mode`).

    Raises:
        ValueError: If a weight is negative, the mode is unknown, or a scalar is given.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.regularizers import SoftOrthogonal
        >>> penalty = SoftOrthogonal(factor=1.0)
        >>> float(penalty(np.diag([2.0, 3.0]).astype("float32")))
        0.0
        >>> float(penalty(np.ones((3, 2), "float32")))  # two entries of 3 off the diagonal
        18.0

    References:
        Bansal, Chen and Wang, "Can We Gain More from Orthogonality Regularizations in Training
        Deep CNNs?", arXiv:1810.09102.
    """

    def _distance(self, w: Tensor) -> Tensor:
        """||G - diag(G)||_F^2."""
        rows, columns = w.shape
        if self.mode == "auto" and rows < columns:
            w, columns = ops.transpose(w), rows
        gram = ops.matmul(ops.transpose(w), w)
        return ops.sum(ops.square(gram * (1.0 - ops.eye(columns, dtype=w.dtype))))
