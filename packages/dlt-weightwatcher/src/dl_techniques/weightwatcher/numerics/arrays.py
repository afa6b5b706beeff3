"""The types of arrays that are passed around."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


def smallest_step(dtype: np.dtype[Any]) -> float:
    """The relative rounding error that is taken for the noise of stored weights.

    Half-precision and quantized weights are exact numbers of single precision, which is what
    they are computed from; only double precision resolves more.

    Args:
        dtype: The dtype of the storage.
    """
    return float(np.finfo(np.float64 if dtype == np.float64 else np.float32).eps)
