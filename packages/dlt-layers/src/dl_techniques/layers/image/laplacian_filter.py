"""High-pass filter from a Gaussian blur."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component, is_number
from dl_techniques.layers.image.fixed_filter import FixedFilter


@component(
    "dl_techniques>LaplacianFilter",
    kind="layer",
    tags=("image", "filter", "vision"),
    since="0.1",
)
class LaplacianFilter(FixedFilter):
    """High-pass filter: subtracts a Gaussian blur from the image.

    y = scale (x - G_sigma x)

    This is the band of a Laplacian pyramid. It approximates -(sigma^2 / 2) times the Laplacian,
    so its sign is opposite to that of the Laplacian of Gaussian, which the original
    dl_techniques calls it; `AdvancedLaplacianFilter(method="log")` is that one.

    Args:
        kernel_size: Number of taps of the Gaussian, one number or (vertical, horizontal); `None`
            for 2 floor(4 sigma + 1/2) + 1.
        sigma: Standard deviation of the Gaussian in pixels.
        scale_factor: Factor of the result.
        padding: As in `GaussianFilter`; `"symmetric"` gives zero for a constant image up to its
            borders.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        The input's; smaller by the kernel less one with `"valid"` padding.

    Raises:
        ValueError: If a size or `sigma` is not positive, `scale_factor` is not a number, or
            `padding` is unknown.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.layers import LaplacianFilter
        >>> y = LaplacianFilter(padding="symmetric")(np.ones((1, 4, 4, 1), "float32"))
        >>> bool(np.abs(np.asarray(y)).max() < 1e-6)
        True

    References:
        Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code", IEEE Transactions on
        Communications 31(4), 1983.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int] | None = None,
        sigma: float = 1.0,
        scale_factor: float = 1.0,
        padding: str = "same",
        **kwargs: Any,
    ) -> None:
        super().__init__(kernel_size, sigma, padding, **kwargs)
        if not is_number(scale_factor):
            raise ValueError(
                f"`scale_factor` must be a finite number. Received: scale_factor={scale_factor!r}"
            )
        self.scale_factor = scale_factor

    def filter(self, x: Tensor) -> Tensor:
        """Subtract the blurred image.

        Args:
            x: Float32 images.
        """
        return self.scale_factor * (self.crop(x) - self.blur(x, self.sigma))

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The default, and a valid one of even size."""
        images = TensorSpec((2, 6, 7, 2))
        traits = frozenset({"scale_equivariant"})
        yield Example(cls, inputs=images, traits=traits)
        even = {"kernel_size": (4, 3), "sigma": 0.7, "scale_factor": -2.0, "padding": "valid"}
        yield Example(cls, even, images, traits=traits, name="even")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid sizes, deviations, factors and padding."""
        yield Rejection(cls, {"kernel_size": 0}, "kernel_size")
        yield Rejection(cls, {"scale_factor": "big"}, "scale_factor")
        yield Rejection(cls, {"padding": "mirror"}, "padding")
        yield Rejection(cls, {"padding": "valid"}, "kernel_size", build=(1, 8, 9, 1))
