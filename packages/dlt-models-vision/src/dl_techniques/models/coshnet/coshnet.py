"""CoShNet: a complex-valued network on shearlet coefficients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    Model,
    Rejection,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers import ComplexConv2D, ComplexDense, ComplexReLU, ShearletTransform
from dl_techniques.layers.arguments import require_integers


@component(
    "dl_techniques>CoShNet",
    kind="model",
    tags=("vision", "complex", "wavelet", "classification"),
    paper="arXiv:2208.06882",
    since="0.1",
)
class CoShNet(Model):
    """CoShNet: classifies images by complex convolutions of their complex shearlets.

    z_0 = shearlets(x), z_l = pool(CReLU(K_l * z_(l - 1) + b_l)) for the convolutions, then
    z_l = CReLU(W_l z_(l - 1) + b_l), y = W [Re z, Im z] + b

    K_l and W_l are complex; the pools take means of 2 x 2 pixels. The shearlets have no weights, so
    the network is small and learns from few images.

    The paper's transform (CoShREM) gives 20 complex channels, with which the defaults have
    1,366,390 parameters. Here `ShearletTransform` gives 1 + 4 (2^n_scales - 1) for each channel of
    the images: 13 for two scales, and 1,355,890 parameters.

    Args:
        input_shape: Height, width and channels of the images.
        classes: Number of classes.
        n_scales: Scales of the shearlets.
        filters: Channels of the convolutions.
        kernel_size: Side of the kernels.
        units: Width of the hidden complex layer.
        complex_units: Width of the last complex layer; `None` for `classes`.
        classifier_activation: Activation of the classifier; `None` for logits.
        seed: Seed of the complex kernels.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, classes)`.

    Raises:
        ValueError: If an argument is out of range, or the images are too small for the
            convolutions.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.coshnet import CoShNet
        >>> model = CoShNet((16, 16, 1), 3, n_scales=1, filters=(4,), units=8)
        >>> tuple(model(np.zeros((2, 16, 16, 1))).shape)
        (2, 3)

    References:
        Ko et al., "CoShNet: A Hybrid Complex Valued Neural Network using Shearlets",
        arXiv:2208.06882.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "default_example": "the defaults are a network of full size, which takes minutes to check",
        "finite_differences": "the shearlets are computed in float32 under every policy, where a "
        "difference of 1e-6 is lost. A test compares a gradient with torch's.",
    }

    def __init__(
        self,
        input_shape: Sequence[int] = (32, 32, 1),
        classes: Count = 10,
        n_scales: Count = 2,
        filters: Sequence[int] = (30, 50),
        kernel_size: Count = 5,
        units: Count = 500,
        complex_units: Count | None = None,
        classifier_activation: ActivationLike | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        shape = _checked(input_shape, filters, kernel_size)
        inputs = keras.Input(shape, name="images")
        transform = ShearletTransform(n_scales, complex_output=True, name="shearlets")
        coefficients = transform(inputs)
        z: Any = (ops.real(coefficients), ops.imag(coefficients))
        for i, count in enumerate(filters):
            z = ComplexConv2D(
                count,
                kernel_size,
                data_format="channels_last",
                seed=_offset(seed, i),
                name=f"conv{i}",
            )(z)
            z = ComplexReLU(name=f"conv{i}_relu")(z)
            pool = keras.layers.AveragePooling2D(
                2, data_format="channels_last", name=f"conv{i}_pool"
            )
            z = tuple(pool(part) for part in z)
        flatten = keras.layers.Flatten(data_format="channels_last", name="flatten")
        z = tuple(flatten(part) for part in z)
        for i, width in enumerate((units, complex_units or classes), len(filters)):
            z = ComplexDense(width, seed=_offset(seed, i), name=f"dense{i - len(filters)}")(z)
            z = ComplexReLU(name=f"dense{i - len(filters)}_relu")(z)
        x: Tensor = keras.layers.Concatenate(name="parts")(list(z))
        x = keras.layers.Dense(classes, activation=classifier_activation, name="head")(x)
        super().__init__(inputs, x, **kwargs)
        self.classes = classes
        self.n_scales = n_scales
        self.filters = tuple(filters)
        self.kernel_size = kernel_size
        self.units = units
        self.complex_units = complex_units
        self.classifier_activation = classifier_activation
        self.seed = seed

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """One small convolution."""
        small: dict[str, Any] = {"input_shape": (8, 8, 1), "classes": 3, "n_scales": 1}
        small |= {"filters": (2,), "kernel_size": 3, "units": 16, "complex_units": 8}
        yield Example(cls, small, TensorSpec((2, 8, 8, 1)))

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No channels, images that the convolutions use up."""
        yield Rejection(cls, {"filters": (0,)}, "filters")
        yield Rejection(cls, {"input_shape": (32, None, 1)}, "input_shape")
        yield Rejection(cls, {"input_shape": (14, 32, 1)}, "input_shape")


def _checked(
    input_shape: Sequence[int], filters: Sequence[int], kernel_size: int
) -> tuple[int, int, int]:
    """The shape of the images, which must outlast the convolutions and pools."""
    for count in filters:
        require_integers(filters=count)
    least = 1
    for _ in filters:
        least = 2 * least + kernel_size - 1
    shape = tuple(input_shape)
    if len(shape) == 3 and all(isinstance(n, int) and n > 0 for n in shape):
        height, width, channels = shape
        if min(height, width) >= least:
            return height, width, channels
    raise ValueError(
        f"`input_shape` must be (height, width, channels), at least {least} high and wide. "
        f"Received: input_shape={shape}"
    )


def _offset(seed: int | None, number: int) -> int | None:
    return None if seed is None else seed + number
