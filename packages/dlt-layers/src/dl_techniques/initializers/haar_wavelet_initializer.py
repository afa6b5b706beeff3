"""The Haar wavelet's filters as a depthwise kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dl_techniques.core import Example, Initializer, Rejection, Tensor, TensorSpec, component
from dl_techniques.layers.arguments import require_numbers

# Low-low, low-high, high-low, high-high: rows of the orthonormal bank.
_FILTERS = 0.5 * np.array(
    [
        [[1.0, 1.0], [1.0, 1.0]],
        [[1.0, 1.0], [-1.0, -1.0]],
        [[1.0, -1.0], [1.0, -1.0]],
        [[1.0, -1.0], [-1.0, 1.0]],
    ]
)


@component(
    "dl_techniques>HaarWaveletInitializer",
    kind="initializer",
    tags=("wavelet", "orthogonality", "convolution"),
    since="0.1",
)
class HaarWaveletInitializer(Initializer):
    """The four 2 x 2 filters of the Haar wavelet, in turn for each input channel.

    kernel[:, :, c, m] = scale H_(m mod 4), with H = 1/2 { LL = [[1, 1], [1, 1]],
    LH = [[1, 1], [-1, -1]], HL = [[1, -1], [1, -1]], HH = [[1, -1], [-1, 1]] }

    The factor 1/2 makes the filters orthonormal. With it,
    `DepthwiseConv2D(2, strides=2, depth_multiplier=4)` is the two-dimensional wavelet transform
    (output channel 4 c + m holds filter m of channel c), it keeps the energy of an image with
    even sides, and `Conv2DTranspose` with the same kernel inverts it. With odd sides and
    `padding="valid"` the last row or column is lost. In `Conv2D` the same kernel sums over the
    input channels.

    Args:
        scale: Factor on all filters; 1 for an orthonormal bank.

    Raises:
        ValueError: If the shape is not `(2, 2, channels, multiplier)`, or `scale` not finite.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.initializers import HaarWaveletInitializer
        >>> kernel = ops.convert_to_numpy(HaarWaveletInitializer()((2, 2, 1, 4)))
        >>> kernel[:, :, 0, 1].tolist()
        [[0.5, 0.5], [-0.5, -0.5]]

    References:
        Mallat, "A Theory for Multiresolution Signal Decomposition: The Wavelet Representation",
        IEEE Transactions on Pattern Analysis and Machine Intelligence 11 (1989).
    """

    def __init__(self, scale: float = 1.0) -> None:
        require_numbers(scale=scale)
        self.scale = scale

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        """Return the filters.

        Args:
            shape: `(2, 2, channels, multiplier)`.
            dtype: Of the result; by default `keras.config.floatx()`.
        """
        if len(shape) != 4 or tuple(shape[:2]) != (2, 2):
            raise ValueError(
                f"`shape` must be (2, 2, channels, multiplier). Received: shape={tuple(shape)}"
            )
        channels, multiplier = shape[2:]
        bank = self.scale * np.moveaxis(_FILTERS[np.arange(multiplier) % 4], 0, -1)
        kernel = np.repeat(bank[:, :, None], channels, axis=2)
        dtype = keras.backend.standardize_dtype(dtype or keras.config.floatx())
        return ops.cast(kernel if dtype == "float64" else kernel.astype("float32"), dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """One whole bank, and one and a half of another scale."""
        yield Example(cls, {}, TensorSpec((2, 2, 3, 4)))
        yield Example(cls, {"scale": 2.0}, TensorSpec((2, 2, 2, 6)), name="scale")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """An infinite scale, a text."""
        yield Rejection(cls, {"scale": float("inf")}, "scale")
        yield Rejection(cls, {"scale": "one"}, "scale")
