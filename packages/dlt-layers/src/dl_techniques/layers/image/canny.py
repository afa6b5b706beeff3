"""Canny's edge detector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import (
    Example,
    PositiveNumber,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    is_number,
    upcast,
)
from dl_techniques.layers.arguments import require_one_of
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of
from dl_techniques.layers.image.correlate import correlate, gaussian_size, gaussian_taps
from dl_techniques.layers.image.hysteresis import hysteresis
from dl_techniques.layers.same_shape import SameShape

_BORDERS = {
    "constant": "same",
    "reflect": "reflect",
    "symmetric": "symmetric",
    "nearest": "nearest",
}
_EPSILON = 1.1920929e-07  # of float32


@component(
    "dl_techniques>Canny",
    kind="layer",
    tags=("image", "edges", "vision"),
    since="0.1",
)
class Canny(SameShape, ChannelsLastLayer):
    """Canny edge detector: thin curves where the blurred image changes most.

    s = G_sigma x;  m = sqrt(s_i^2 + s_j^2), s_i and s_j by unnormalized Sobel filters
    weak = m >= low, and m no smaller than its values one step along the gradient on both sides
    strong = weak and m >= high
    y = 1 on each 8-connected component of weak pixels that holds a strong one, else 0

    The values beside a pixel are interpolated between its neighbours, and the one-pixel border of
    the image holds no edges, as in `skimage.feature.canny`, which gives the same pixels. OpenCV
    and the original dl_techniques compare along four directions instead, and find other edges.

    The result is piecewise constant: all gradients are zero. Each channel is an image of its own.

    Args:
        sigma: Standard deviation of the Gaussian in pixels.
        threshold_min: Lower threshold, in units of m: an ideal step of height 1 reaches about 2.6
            at sigma 1. Multiply both thresholds by 255 for images from 0 to 255.
        threshold_max: Upper threshold, no smaller than the lower one.
        border_mode: How the image goes on beyond its borders: `"constant"` for zeros, whose share
            is divided out; or `"reflect"`, `"symmetric"`, `"nearest"` as in `GaussianFilter`.
        use_quantiles: Whether the thresholds are quantiles of m, from 0 to 1, in each image.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        The input's; 1 on edges and 0 elsewhere.

    Raises:
        ValueError: If `sigma` is not positive, a threshold is negative, the lower one exceeds the
            upper one, a quantile exceeds one, or `border_mode` is unknown.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.layers import Canny
        >>> ramp = 1 / (1 + np.exp(3.2 - np.arange(8.0)))
        >>> x = np.tile(ramp, (8, 1))[None, ..., None].astype("float32")
        >>> np.asarray(Canny()(x))[0, 4, :, 0].astype(int).tolist()
        [0, 0, 0, 1, 0, 0, 0, 0]

    References:
        Canny, "A Computational Approach to Edge Detection", IEEE Transactions on Pattern Analysis
        and Machine Intelligence 8(6), 1986.
    """

    def __init__(
        self,
        sigma: PositiveNumber = 1.0,
        threshold_min: float = 0.1,
        threshold_max: float = 0.2,
        border_mode: str = "constant",
        use_quantiles: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_one_of(_BORDERS, border_mode=border_mode)
        largest = 1.0 if use_quantiles else float("inf")
        for name, value in (("threshold_min", threshold_min), ("threshold_max", threshold_max)):
            if not is_number(value) or not 0 <= value <= largest:
                bound = "a number from 0 to 1" if use_quantiles else "a non-negative number"
                raise ValueError(f"`{name}` must be {bound}. Received: {name}={value!r}")
        if threshold_min > threshold_max:
            raise ValueError(
                "`threshold_min` must not exceed `threshold_max`. "
                f"Received: threshold_min={threshold_min}, threshold_max={threshold_max}"
            )
        self.sigma = sigma
        self.threshold_min = threshold_min
        self.threshold_max = threshold_max
        self.border_mode = border_mode
        self.use_quantiles = use_quantiles
        self._taps = gaussian_taps(gaussian_size(sigma), sigma)

    def build(self, input_shape: Shape) -> None:
        """Check the input's shape."""
        channels_of(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Find the edges, in float32."""
        s = self._smooth(ops.stop_gradient(upcast(inputs)))
        g_i, g_j = _sobel(s)
        m = ops.sqrt(g_i * g_i + g_j * g_j)
        low, high = self._thresholds(m)
        weak = ops.logical_and(m >= low, m > 0)
        weak = ops.logical_and(weak, _is_maximum(m, g_i, g_j))
        # No edges on the one-pixel border of the image.
        inside = ops.pad(ops.ones_like(weak[:, 2:, 2:]), ((0, 0), (1, 1), (1, 1), (0, 0)))
        height, width = ops.shape(weak)[1:3]
        weak = ops.logical_and(weak, inside[:, :height, :width])
        edges = hysteresis(weak, ops.logical_and(weak, m >= high))
        return ops.cast(edges, self.compute_dtype)

    def _smooth(self, x: Tensor) -> Tensor:
        taps, border = self._taps, _BORDERS[self.border_mode]
        blurred = correlate(x, (taps, taps), border)
        if border != "same":
            return blurred
        # Divide by the share of the Gaussian that lies on the image.
        rows = correlate(ops.ones_like(x[:1, :, :1, :1]), (taps, None), border)
        columns = correlate(ops.ones_like(x[:1, :1, :, :1]), (None, taps), border)
        return blurred / (rows * columns + _EPSILON)

    def _thresholds(self, m: Tensor) -> tuple[Any, Any]:
        if not self.use_quantiles:
            return self.threshold_min, self.threshold_max
        low, high = (
            ops.quantile(m, share, axis=(1, 2), keepdims=True)
            for share in (self.threshold_min, self.threshold_max)
        )
        return low, high

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The default; quantiles of wider, mirrored blur."""
        images = TensorSpec((2, 9, 10, 1))
        traits = frozenset({"not_differentiable", "hides_nan"})
        yield Example(cls, inputs=images, traits=traits)
        config: dict[str, Any] = {"sigma": 0.6, "threshold_min": 0.6, "threshold_max": 0.8}
        config |= {"border_mode": "symmetric", "use_quantiles": True}
        pairs = TensorSpec((2, 9, 8, 2))
        yield Example(cls, config, pairs, traits=traits, name="quantiles")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid deviations, thresholds and borders."""
        yield Rejection(cls, {"threshold_min": -0.1}, "threshold_min")
        yield Rejection(cls, {"threshold_min": 0.3}, "threshold_min")
        yield Rejection(cls, {"threshold_max": 1.5, "use_quantiles": True}, "threshold_max")
        yield Rejection(cls, {"border_mode": "same"}, "border_mode")
        yield Rejection(cls, {}, "input_shape", build=(1, 9, 9))


def _sobel(s: Tensor) -> tuple[Tensor, Tensor]:
    """Return the vertical and the horizontal derivative, unnormalized."""
    slope, mean = (-1.0, 0.0, 1.0), (1.0, 2.0, 1.0)
    return (
        correlate(s, (slope, mean), "symmetric"),
        correlate(s, (mean, slope), "symmetric"),
    )


def _is_maximum(m: Tensor, g_i: Tensor, g_j: Tensor) -> Tensor:
    """Return where m is no smaller than its values one step along the gradient.

    The gradient lies between an axis and a diagonal; the value there is a mix of both neighbours.
    """
    height, width = ops.shape(m)[1:3]
    padded = ops.pad(m, ((0, 0), (1, 1), (1, 1), (0, 0)))

    def at(down: int, right: int) -> Tensor:
        return padded[:, 1 + down : 1 + down + height, 1 + right : 1 + right + width]

    a_i, a_j = ops.abs(g_i), ops.abs(g_j)
    steep, falling = a_i > a_j, g_i * g_j >= 0
    larger = ops.maximum(a_i, a_j)
    share = ops.minimum(a_i, a_j) / ops.where(larger > 0, larger, 1.0)
    result: Any = None
    for side in (1, -1):
        diagonal = ops.where(falling, at(side, side), at(side, -side))
        beside = ops.where(falling, at(0, side), at(0, -side))
        axial = ops.where(steep, at(side, 0), beside)
        holds = diagonal * share + axial * (1.0 - share) <= m
        result = holds if result is None else ops.logical_and(result, holds)
    return result
