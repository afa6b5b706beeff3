"""The dtype in which reductions are computed."""

from __future__ import annotations

import keras

from dl_techniques.core.contract.keras_types import Tensor


def upcast(x: Tensor) -> Tensor:
    """The tensor in float32 at least.

    Norms, softmaxes, entropies and sums over space overflow or lose their digits in half
    precision: compute them on `upcast(x)` and cast the result to the layer's `compute_dtype`.
    A float64 tensor stays float64.

    Args:
        x: A floating tensor.

    Example:
        >>> import keras
        >>> keras.backend.standardize_dtype(upcast(keras.ops.ones((2,), "float16")).dtype)
        'float32'
    """
    dtype = keras.backend.standardize_dtype(x.dtype)
    return x if dtype == "float64" else keras.ops.cast(x, "float32")
