"""Orthonormal rows, uniformly distributed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dl_techniques.core import Example, Initializer, Rejection, Tensor, TensorSpec, component
from dl_techniques.layers.arguments import require_numbers, require_seed


@component(
    "dl_techniques>OrthonormalInitializer",
    kind="initializer",
    tags=("orthogonality",),
    paper="arXiv:math-ph/0609050",
    since="0.1",
)
class OrthonormalInitializer(Initializer):
    """Random matrix with orthonormal rows, uniform over all such matrices.

    G in R^(d x n) standard normal, G = Q R, W = gain (Q sign(diag R))^T, so that
    W W^T = gain^2 I.

    The signs of the diagonal of R make the distribution uniform (Haar); signs taken from Q itself
    would not. Numbers are drawn and factored in float64 by NumPy: a seed gives the same matrix
    on every backend. Since a QR factorization does not know the scale of G, no variance scaling
    of G can survive it: choose `gain` instead; sqrt(2) restores E[w^2] = 2 / d, which He et al.
    derive for rectifiers.

    Args:
        gain: Length of the rows.
        seed: Seed of the draw; `None` takes one at construction, so that each instance differs,
            while each call of one instance gives the same numbers.

    Raises:
        ValueError: If the shape is not `(n, d)` with n <= d: more than d rows cannot be
            orthonormal. Also if `gain` is not finite or `seed` is not an integer.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.initializers import OrthonormalInitializer
        >>> w = ops.convert_to_numpy(OrthonormalInitializer(seed=1)((2, 5)))
        >>> abs(w @ w.T).astype(float).round(4).tolist()
        [[1.0, 0.0], [0.0, 1.0]]

    References:
        Mezzadri, "How to generate random matrices from the classical compact groups",
        arXiv:math-ph/0609050.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        require_numbers(gain=gain)
        require_seed(seed)
        self.gain = gain
        self.seed = seed
        # Python's generator, because `keras.utils.set_random_seed` seeds it.
        self._drawn = random.getrandbits(32) if seed is None else seed

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        """Draw the matrix.

        Args:
            shape: `(n, d)` with n <= d.
            dtype: Of the result; by default `keras.config.floatx()`.
        """
        if len(shape) != 2 or shape[0] > shape[1]:
            raise ValueError(
                "`shape` must be (rows, columns) with at most as many rows as columns. "
                f"Received: shape={tuple(shape)}"
            )
        rows, columns = shape
        normal = np.random.default_rng(self._drawn).standard_normal((columns, rows))
        q, r = np.linalg.qr(normal)
        signs = np.where(np.diag(r) < 0, -1.0, 1.0)
        w = self.gain * (q * signs).T
        dtype = keras.backend.standardize_dtype(dtype or keras.config.floatx())
        # Not every backend takes float64 arrays as half-precision tensors.
        return ops.cast(w if dtype == "float64" else w.astype("float32"), dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """An oblong and a square matrix."""
        yield Example(cls, {"seed": 3}, TensorSpec((3, 5)))
        yield Example(cls, {"gain": 2.0, "seed": 4}, TensorSpec((4, 4)), name="gain")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No number, no seed."""
        yield Rejection(cls, {"gain": float("inf")}, "gain")
        yield Rejection(cls, {"seed": "one"}, "seed")
