"""Gaussian blur."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import (
    Example,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    is_number,
    upcast,
)
from dl_techniques.layers.arguments import require_one_of, require_pair
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of
from dl_techniques.layers.image.borders import BORDERS
from dl_techniques.layers.image.correlate import correlate, filtered_size, gaussian_taps


@component(
    "dl_techniques>GaussianFilter",
    kind="layer",
    tags=("image", "filter", "vision"),
    since="0.1",
)
class GaussianFilter(ChannelsLastLayer):
    """Gaussian blur: correlates each channel with a fixed, separable Gaussian.

    y = G x, G[i, j] = g_v[i] g_h[j], g[i] = exp(-(i - (n - 1) / 2)^2 / (2 sigma^2)) / Z

    Z makes the taps of each axis sum to one. Pairs are (vertical, horizontal). The layer computes
    in float32 and has no weights.

    Args:
        kernel_size: Number of taps n, one number for both axes or a pair.
        sigma: Standard deviation in pixels, one number or a pair. `None` or a number that is not
            positive stands for 0.3 ((n - 1) / 2 - 1) + 0.8, the rule of OpenCV.
        strides: Step, one number or a pair. The blurred image is sampled at 0, s, 2 s, ...
        padding: `"valid"` to keep only what needs no padding; `"same"` for zeros, which darken
            the borders; `"reflect"` to mirror the image without its edge, `"symmetric"` to mirror
            it with its edge, `"nearest"` to repeat the edge. SciPy's names for the last four are
            `constant`, `mirror`, `reflect` and `nearest`.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        `(batch, ceil(height / s_v), ceil(width / s_h), channels)`; with `"valid"` padding, height
        and width are smaller by n - 1 before the division.

    Raises:
        ValueError: If a size or step is not a positive integer, `sigma` is not a number,
            `padding` is unknown, or the image is smaller than the kernel with `"valid"` padding.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.layers import GaussianFilter
        >>> impulse = np.zeros((1, 3, 3, 1), "float32")
        >>> impulse[0, 1, 1] = 1
        >>> y = np.asarray(GaussianFilter(3, sigma=1.0)(impulse))
        >>> y[0, :, 1, 0].astype(float).round(4).tolist()
        [0.1238, 0.2042, 0.1238]

    References:
        Lindeberg, "Scale-Space for Discrete Signals", IEEE Transactions on Pattern Analysis and
        Machine Intelligence 12(3), 1990.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int] = (5, 5),
        sigma: float | tuple[float, float] | None = 1.0,
        strides: int | tuple[int, int] = 1,
        padding: str = "same",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_size = require_pair(kernel_size=kernel_size)
        self.strides = require_pair(strides=strides)
        require_one_of(("valid", *BORDERS), padding=padding)
        self.padding = padding
        self.sigma = sigma
        sigmas = tuple(sigma) if isinstance(sigma, list | tuple) else (sigma, sigma)
        if len(sigmas) != 2 or not all(value is None or is_number(value) for value in sigmas):
            raise ValueError(
                "`sigma` must be a number, (vertical, horizontal) or None. "
                f"Received: sigma={sigma!r}"
            )
        self._taps = [
            gaussian_taps(size, _deviation(value, size))
            for size, value in zip(self.kernel_size, sigmas, strict=True)
        ]

    def build(self, input_shape: Shape) -> None:
        """Check the input's shape."""
        channels_of(input_shape)
        self.compute_output_shape(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Blur in float32 and return the compute dtype."""
        y = correlate(upcast(inputs), self._taps, self.padding, self.strides)
        return ops.cast(y, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Height and width divided by the strides."""
        batch, height, width, channels = input_shape
        new = [
            filtered_size(size, taps, self.padding, stride)
            for size, taps, stride in zip(
                (height, width), self.kernel_size, self.strides, strict=True
            )
        ]
        return (batch, *new, channels)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The default, an anisotropic blur and a strided one of even size."""
        images = TensorSpec((2, 6, 7, 2))
        traits = frozenset({"scale_equivariant"})
        yield Example(cls, inputs=images, traits=traits)
        anisotropic = {"kernel_size": (3, 9), "sigma": (0.6, 2.1), "padding": "symmetric"}
        yield Example(cls, anisotropic, images, traits=traits, name="anisotropic")
        strided = {"kernel_size": 4, "sigma": None, "strides": (2, 3), "padding": "valid"}
        yield Example(cls, strided, images, traits=traits, name="strided")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid sizes, steps, deviations, padding; an image smaller than the kernel."""
        yield Rejection(cls, {"kernel_size": 0}, "kernel_size")
        yield Rejection(cls, {"strides": (1, 2, 3)}, "strides")
        yield Rejection(cls, {"sigma": (1.0, 2.0, 3.0)}, "sigma")
        yield Rejection(cls, {"sigma": "wide"}, "sigma")
        yield Rejection(cls, {"padding": "mirror"}, "padding")
        small = {"kernel_size": 5, "padding": "valid"}
        yield Rejection(cls, small, "kernel_size", build=(1, 4, 9, 1))
        yield Rejection(cls, {}, "input_shape", build=(1, 9, 9))


def _deviation(sigma: float | None, size: int) -> float:
    return 0.3 * ((size - 1) / 2 - 1) + 0.8 if sigma is None or sigma <= 0 else float(sigma)
