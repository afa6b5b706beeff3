"""Root mean square layer normalization."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    ConstraintLike,
    Example,
    InitializerLike,
    PositiveNumber,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers.norms.axes import (
    checked_axis,
    known_sizes,
    mean_square,
    positive_axes,
    spread,
)
from dl_techniques.layers.same_shape import SameShape

# One call instead of six, which on PyTorch takes two thirds of the time for small inputs. Not
# every supported Keras has it, and it fails for axes that are not the last ones.
_fused = getattr(ops, "rms_normalization", None)


@component(
    "dl_techniques>RMSNorm",
    kind="layer",
    tags=("normalization",),
    paper="arXiv:1910.07467",
    since="0.1",
)
class RMSNorm(SameShape):
    """Root mean square normalization: rescales by the RMS, without centring.

    y = gamma * x / sqrt(mean(x^2) + epsilon), the mean taken over `axis`.

    The statistics are computed in float32 under half-precision policies: the square of a
    float16 overflows from 256 on. Masked positions do not count in means over their axes.

    Args:
        axis: Axis or axes that are normalized together.
        epsilon: Added to the mean square, so that a zero input gives zeros.
        use_scale: Whether to learn the gain gamma, one number for each position on `axis`.
        use_bias: Whether to learn an additive bias of gamma's shape.
        unit_offset: Whether the gain is stored as its difference from one, so that
            y = (1 + gamma) * x / RMS(x) (Gemma); pair it with `scale_initializer="zeros"`.
        scale_initializer: Initializer of gamma.
        scale_regularizer: Regularizer of gamma.
        scale_constraint: Constraint on gamma.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any; with a gain or bias the sizes on `axis` must be known.

    Output shape:
        The input's.

    Raises:
        ValueError: If `axis` is empty, repeated or beyond the input's rank, a size on it is
            unknown, or `epsilon` is not positive.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import RMSNorm
        >>> y = RMSNorm()(ops.array([[3.0, 4.0]]))
        >>> ops.convert_to_numpy(y).astype(float).round(4).tolist()
        [[0.8485, 1.1314]]

    References:
        Zhang and Sennrich, "Root Mean Square Layer Normalization", arXiv:1910.07467.
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: PositiveNumber = 1e-6,
        use_scale: bool = True,
        use_bias: bool = False,
        unit_offset: bool = False,
        scale_initializer: InitializerLike = "ones",
        scale_regularizer: RegularizerLike | None = None,
        scale_constraint: ConstraintLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = checked_axis(axis)
        self.epsilon = epsilon
        self.use_scale = use_scale
        self.use_bias = use_bias
        self.unit_offset = unit_offset
        self.scale_initializer = keras.initializers.get(scale_initializer)
        self.scale_regularizer = keras.regularizers.get(scale_regularizer)
        self.scale_constraint = keras.constraints.get(scale_constraint)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Create gamma and the bias, one number for each position on `axis`."""
        positive_axes(self.axis, len(input_shape))
        affine = self.use_scale or self.use_bias
        shape = known_sizes(self.axis, input_shape) if affine else []
        self.gamma = (
            self.add_weight(
                name="gamma",
                shape=shape,
                initializer=self.scale_initializer,
                regularizer=self.scale_regularizer,
                constraint=self.scale_constraint,
                autocast=False,
            )
            if self.use_scale
            else None
        )
        self.bias = (
            self.add_weight(name="bias", shape=shape, initializer="zeros", autocast=False)
            if self.use_bias
            else None
        )

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalize in float32 and return the compute dtype."""
        x = upcast(inputs)
        axes = positive_axes(self.axis, len(x.shape))
        gamma = None
        if self.gamma is not None:
            gamma = ops.cast(self.gamma, x.dtype)
            gamma = 1.0 + gamma if self.unit_offset else gamma
        if _fused is not None and axes == (len(x.shape) - 1,):
            y = _fused(x, gamma, axis=-1, epsilon=self.epsilon)
        else:
            y = x * ops.rsqrt(mean_square(x, axes, mask) + self.epsilon)
            y = y if gamma is None else y * spread(gamma, self.axis, x)
        if self.bias is not None:
            y = y + spread(ops.cast(self.bias, x.dtype), self.axis, x)
        return ops.cast(y, self.compute_dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Trailing, middle and joint axes."""
        tokens = TensorSpec((2, 5, 6))
        yield Example(cls, inputs=tokens, traits=frozenset({"permutation_equivariant"}))
        yield Example(cls, {"axis": 1, "use_bias": True}, TensorSpec((2, 3, 4, 5)), name="axis_1")
        yield Example(
            cls,
            {"axis": (1, -1), "unit_offset": True, "scale_initializer": "zeros"},
            tokens,
            name="axes_unit_offset",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No axis, a repeated axis, an axis beyond the rank, a useless epsilon."""
        yield Rejection(cls, {"axis": ()}, "axis")
        yield Rejection(cls, {"axis": (1, -2)}, "axis", build=(2, 3, 4))
        yield Rejection(cls, {"axis": 4}, "axis", build=(2, 3, 4))
