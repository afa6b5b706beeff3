"""Shearlets on a cone-adapted grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of
from dl_techniques.layers.image.shearlet_filters import (
    analytic_factor,
    default_scales,
    shearlet_filters,
)


@component(
    "dl_techniques>ShearletTransform",
    kind="layer",
    tags=("image", "wavelet", "vision"),
    paper="arXiv:1202.1773",
    since="0.1",
)
class ShearletTransform(ChannelsLastLayer):
    """Shearlet transform: splits an image into scales and directions, and loses nothing.

    c_k = ifft2(psi_k fft2(x)),  sum_k psi_k^2 = 1,  x = sum_k ifft2(psi_k fft2(c_k))

    The filters psi_k are the cone-adapted Meyer shearlets of Haeuser and Steidl for any height
    and width, a Parseval frame: the coefficients have the energy of the image. With J scales there
    are K = 1 + sum_j 2^(j + 2) of them: the lowpass, then for each scale the directions of the
    horizontal cone, of the vertical cone, and the two seams. The filters are made symmetric at the
    Nyquist frequencies of even sizes; without it real coefficients would lose energy there.

    The layer computes in float32 under every policy, and has no weights. `inverse` reconstructs
    the image.

    Args:
        n_scales: Number of scales J; `None` for floor(log2(max(height, width)) / 2), at least 1.
        complex_output: Whether to return complex64 coefficients. Their real parts respond to
            lines, their imaginary parts to edges.
        return_lowpass: Whether the first coefficient of each channel, the lowpass, is returned.
            Without it there is no inverse.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; all but the batch must be known.

    Output shape:
        `(batch, height, width, channels * K)`, the K coefficients of a channel side by side;
        K - 1 without the lowpass.

    Raises:
        ValueError: If `n_scales` is not a positive integer, or the image's size is unknown.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.layers import ShearletTransform
        >>> shearlets = ShearletTransform(n_scales=2)
        >>> x = np.random.default_rng(0).normal(size=(1, 12, 15, 1)).astype("float32")
        >>> c = shearlets(x)
        >>> tuple(c.shape), bool(np.allclose(shearlets.inverse(c), x, atol=1e-5))
        ((1, 12, 15, 13), True)

    References:
        Haeuser and Steidl, "Fast Finite Shearlet Transform", arXiv:1202.1773;
        Ko et al., "CoShNet: A Hybrid Complex Valued Neural Network using Shearlets",
        arXiv:2208.06882.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "finite_differences": "Keras 3.8 transforms in float32 on TensorFlow, and so does the "
        "layer everywhere; a difference of 1e-6 is lost in it. A test compares the gradient with "
        "the adjoint."
    }

    def __init__(
        self,
        n_scales: Count | None = None,
        complex_output: bool = False,
        return_lowpass: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.n_scales = n_scales
        self.complex_output = complex_output
        self.return_lowpass = return_lowpass

    def build(self, input_shape: Shape) -> None:
        """Compute the filters for the image's size."""
        channels_of(input_shape)
        _, height, width, _ = input_shape
        if height is None or width is None:
            raise ValueError(
                f"Height and width must be known. Received: input_shape={tuple(input_shape)}"
            )
        filters = shearlet_filters(height, width, self.n_scales)
        if self.complex_output:
            filters = filters * analytic_factor(height, width)
        elif len(filters) % 2:
            # Filters go in pairs; one of zeros completes the last pair.
            filters = np.concatenate([filters, np.zeros_like(filters[:1])])
        # Constants, not weights: a model file need not hold what its shape determines.
        self._filters = filters.astype("float32")

    def call(self, inputs: Tensor) -> Tensor:
        """Transform each channel, in float32."""
        x = ops.cast(ops.transpose(inputs, (0, 3, 1, 2)), "float32")[:, :, None]
        real, imaginary = ops.fft2((x, ops.zeros_like(x)))
        if self.complex_output:
            psi = ops.convert_to_tensor(self._filters, dtype=x.dtype)
            real, imaginary = ops.ifft2((psi * real, psi * imaginary))
            real, imaginary = (self._arranged(part) for part in (real, imaginary))
            return ops.cast(real, "complex64") + 1j * ops.cast(imaginary, "complex64")
        # Each filter gives a real image: two of them come from one complex transform.
        first, second = (
            ops.convert_to_tensor(self._filters[start::2], dtype=x.dtype) for start in (0, 1)
        )
        pair = ops.ifft2(
            (first * real - second * imaginary, first * imaginary + second * real),
        )
        y = ops.stack(pair, axis=3)
        y = ops.reshape(y, (-1, x.shape[1], len(self._filters), *x.shape[3:]))
        return ops.cast(self._arranged(y), self.compute_dtype)

    def _arranged(self, y: Tensor) -> Tensor:
        """Move (batch, channels, filters, height, width) into channels-last images."""
        y = y[:, :, 0 if self.return_lowpass else 1 : self._count]
        _, channels, filters, height, width = y.shape
        y = ops.transpose(y, (0, 3, 4, 1, 2))
        return ops.reshape(y, (-1, height, width, channels * filters))

    @property
    def _count(self) -> int:
        # The lowpass is no product of scales, so that the true number is odd.
        return len(self._filters) - 1 + len(self._filters) % 2

    def inverse(self, coefficients: Tensor) -> Tensor:
        """Reconstruct the images from their coefficients.

        Args:
            coefficients: The layer's output, `(batch, height, width, channels * K)`.

        Returns:
            `(batch, height, width, channels)`.

        Raises:
            ValueError: If the layer has not been called yet, or drops the lowpass.
        """
        if not self.built or not self.return_lowpass:
            raise ValueError(
                "`inverse` needs a layer that was built, with `return_lowpass`. "
                f"Received: built={self.built}, return_lowpass={self.return_lowpass}"
            )
        c = coefficients
        if self.complex_output:
            real, imaginary = ops.real(c), ops.imag(c)
        else:
            real = ops.cast(c, "float32")
            imaginary = ops.zeros_like(real)
        psi = self._filters[: self._count]
        height, width = psi.shape[1:]
        parts = [
            ops.transpose(
                ops.reshape(part, (-1, height, width, c.shape[-1] // len(psi), len(psi))),
                (0, 3, 4, 1, 2),
            )
            for part in (real, imaginary)
        ]
        psi = ops.convert_to_tensor(psi, dtype=real.dtype)
        spectrum = [ops.sum(psi * part, axis=2) for part in ops.fft2(tuple(parts))]
        x, _ = ops.ifft2(tuple(spectrum))
        return ops.transpose(x, (0, 2, 3, 1))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """K coefficients for each channel."""
        batch, height, width, channels = input_shape
        if height is None or width is None or channels is None:
            raise ValueError(
                f"Height and width must be known. Received: input_shape={tuple(input_shape)}"
            )
        scales = default_scales(height, width) if self.n_scales is None else self.n_scales
        filters = 4 * (2**scales - 1) + int(self.return_lowpass)
        return (batch, height, width, channels * filters)

    def compute_output_spec(self, inputs: Any) -> Any:
        """The shape, and complex64 for complex coefficients."""
        dtype = "complex64" if self.complex_output else self.compute_dtype
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The default, two scales without the lowpass on odd sizes, and complex coefficients."""
        traits = frozenset({"scale_equivariant"})
        yield Example(cls, inputs=TensorSpec((2, 8, 8, 2)), traits=traits)
        directions = {"n_scales": 2, "return_lowpass": False}
        odd = TensorSpec((2, 7, 9, 1))
        yield Example(cls, directions, odd, traits=traits, name="directions")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No scales, and images of unknown size."""
        yield Rejection(cls, {}, "input_shape", build=(1, None, 8, 1))
        yield Rejection(cls, {}, "input_shape", build=(1, 8, 8))
