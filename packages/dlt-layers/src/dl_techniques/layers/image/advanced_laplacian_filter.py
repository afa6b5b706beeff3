"""Three discrete Laplacians."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.layers.arguments import require_positive_numbers
from dl_techniques.layers.image.correlate import correlate, gaussian_size, gaussian_taps
from dl_techniques.layers.image.fixed_filter import FixedFilter


@component(
    "dl_techniques>AdvancedLaplacianFilter",
    kind="layer",
    tags=("image", "filter", "vision"),
    since="0.1",
)
class AdvancedLaplacianFilter(FixedFilter):
    """Laplacian of images: difference of Gaussians, Laplacian of Gaussian, or the 3 x 3 kernel.

    "dog":    y = (G_sigma - G_sigma2) x, about -(sigma2^2 - sigma^2) / 2 times the next one
    "log":    y = (g''(v) g(h) + g(v) g''(h)) x, g''(i) = (i^2 / sigma^4 - 1 / sigma^2) g(i)
    "kernel": y = [[0, 1, 0], [1, -4, 1], [0, 1, 0]] x

    Args:
        method: `"dog"`, `"log"` or `"kernel"`.
        kernel_size: Number of taps of the Gaussians, one number or (vertical, horizontal); `None`
            for 2 floor(4 s + 1/2) + 1 with the larger deviation s. `"kernel"` is 3 x 3 always.
        sigma: Standard deviation of the Gaussian in pixels; `"kernel"` does not use it.
        sigma2: Standard deviation of the second Gaussian of `"dog"`, above `sigma`; `None` for
            1.6 sigma, which comes closest to the Laplacian of Gaussian.
        normalize: Whether `"log"` is multiplied by sigma^2, so that its response does not fade
            with the scale.
        zero_mean: Whether the mean of the truncated kernel of `"log"` is subtracted from it, so
            that a constant image gives zero.
        padding: As in `GaussianFilter`.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        The input's; smaller by the kernel less one with `"valid"` padding.

    Raises:
        ValueError: If `method` or `padding` is unknown, a size or deviation is not positive, or
            `sigma2` does not exceed `sigma`.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.layers import AdvancedLaplacianFilter
        >>> squares = np.arange(5.0) ** 2
        >>> x = (squares[:, None] + squares)[None, ..., None].astype("float32")
        >>> y = AdvancedLaplacianFilter("kernel", padding="valid")(x)
        >>> np.unique(np.asarray(y)).tolist()
        [4.0]

    References:
        Marr and Hildreth, "Theory of Edge Detection", Proceedings of the Royal Society B 207,
        1980.
    """

    def __init__(
        self,
        method: Literal["dog", "log", "kernel"] = "dog",
        kernel_size: int | tuple[int, int] | None = None,
        sigma: float = 1.0,
        sigma2: float | None = None,
        normalize: bool = True,
        zero_mean: bool = False,
        padding: str = "same",
        **kwargs: Any,
    ) -> None:
        super().__init__(kernel_size, sigma, padding, **kwargs)
        if sigma2 is not None:
            require_positive_numbers(sigma2=sigma2)
            if sigma2 <= sigma:
                raise ValueError(
                    f"`sigma2` must exceed `sigma`. Received: sigma2={sigma2}, sigma={sigma}"
                )
        self.method = method
        self.sigma2 = sigma2
        self.normalize = normalize
        self.zero_mean = zero_mean

    @property
    def support(self) -> tuple[int, int]:
        """Height and width of the whole filter."""
        if self.method == "kernel":
            return (3, 3)
        if self.method == "dog" and self.kernel_size is None:
            size = gaussian_size(self._wide)
            return (size, size)
        return super().support

    @property
    def _wide(self) -> float:
        return 1.6 * self.sigma if self.sigma2 is None else self.sigma2

    def filter(self, x: Tensor) -> Tensor:
        """Apply the chosen method.

        Args:
            x: Float32 images.
        """
        if self.method == "dog":
            return self.blur(x, self.sigma) - self.blur(x, self._wide)
        if self.method == "kernel":
            return self._second_differences(x)
        y = self.blur(x, self.sigma, (2, 0)) + self.blur(x, self.sigma, (0, 2))
        if self.zero_mean:
            mean = self._sum_of_taps() / (self.support[0] * self.support[1])
            y = y - mean * self.correlate(x, lambda axis: np.ones(self.support[axis]))
        return self.sigma**2 * y if self.normalize else y

    def _second_differences(self, x: Tensor) -> Tensor:
        taps = np.array([1.0, -2.0, 1.0])
        vertical = correlate(x, (taps, None), self.padding)
        horizontal = correlate(x, (None, taps), self.padding)
        if self.padding == "valid":
            vertical, horizontal = vertical[:, :, 1:-1], horizontal[:, 1:-1]
        return vertical + horizontal

    def _sum_of_taps(self) -> float:
        """Sum the two-dimensional kernel: the Gaussian factors sum to one."""
        return float(sum(gaussian_taps(size, self.sigma, 2).sum() for size in self.support))

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Each method."""
        images = TensorSpec((2, 6, 7, 2))
        traits = frozenset({"scale_equivariant"})
        yield Example(cls, inputs=images, traits=traits)
        log = {"method": "log", "kernel_size": 5, "zero_mean": True, "padding": "symmetric"}
        yield Example(cls, log, images, traits=traits, name="log")
        kernel = {"method": "kernel", "padding": "valid"}
        yield Example(cls, kernel, images, traits=traits, name="kernel")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Unknown methods and padding, invalid sizes and deviations."""
        yield Rejection(cls, {"kernel_size": (3, 0)}, "kernel_size")
        yield Rejection(cls, {"sigma": 2.0, "sigma2": 2.0}, "sigma2")
        yield Rejection(cls, {"padding": "mirror"}, "padding")
