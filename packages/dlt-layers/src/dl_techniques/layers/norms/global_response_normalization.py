"""Global response normalization."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
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
from dl_techniques.layers.norms.axes import checked_axis, norm, positive_axes
from dl_techniques.layers.same_shape import SameShape


@component(
    "dl_techniques>GlobalResponseNormalization",
    kind="layer",
    tags=("normalization", "vision"),
    paper="arXiv:2301.00808",
    aliases=("dl_techniques>GlobalResponseNorm", "dl_techniques>GRN"),
    since="0.1",
)
class GlobalResponseNormalization(SameShape):
    """Global response normalization: lets channels compete by their norms over space.

    G_c = ||X_c||_2 over the positions of one sample, N_c = G_c / (mean_c G_c + epsilon),
    Y = gamma * (X * N) + beta + X.

    With its zero-initialized gamma and beta the layer starts as the identity. A channel that is
    stronger than the average is amplified, a weaker one damped. Without beta the layer is
    homogeneous: f(a X) = a f(X) for a > 0, so it may stand in a bias-free network.

    The norms are computed in float32. Masked positions do not count in them.

    Args:
        axis: The axes of the positions; by default all but the first (samples) and the last
            (channels). An input `(batch, channels)` has no positions: there G is |X|.
        epsilon: Added to the mean norm, outside of the root.
        use_bias: Whether to learn beta.
        use_residual: Whether to add X.
        gamma_initializer: Initializer of gamma, `(channels,)`.
        beta_initializer: Initializer of beta, `(channels,)`.
        gamma_regularizer: Regularizer of gamma.
        beta_regularizer: Regularizer of beta.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., channels)`; only the channels must be known.

    Output shape:
        The input's.

    Raises:
        ValueError: If `axis` names the samples or the channels, an axis twice or one beyond the
            input's rank, the channels are unknown, or `epsilon` is not positive.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import GlobalResponseNormalization
        >>> layer = GlobalResponseNormalization(gamma_initializer="ones")
        >>> y = layer(ops.array([[[3.0, 1.0], [4.0, 0.0]]]))  # G = (5, 1), N = (5/3, 1/3)
        >>> ops.convert_to_numpy(y).astype(float).round(3).tolist()
        [[[8.0, 1.333], [10.667, 0.0]]]

    References:
        Woo et al., "ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders",
        arXiv:2301.00808.
    """

    def __init__(
        self,
        axis: int | Sequence[int] | None = None,
        epsilon: PositiveNumber = 1e-6,
        use_bias: bool = True,
        use_residual: bool = True,
        gamma_initializer: InitializerLike = "zeros",
        beta_initializer: InitializerLike = "zeros",
        gamma_regularizer: RegularizerLike | None = None,
        beta_regularizer: RegularizerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = None if axis is None else checked_axis(axis)
        self.epsilon = epsilon
        self.use_bias = use_bias
        self.use_residual = use_residual
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.beta_initializer = keras.initializers.get(beta_initializer)
        self.gamma_regularizer = keras.regularizers.get(gamma_regularizer)
        self.beta_regularizer = keras.regularizers.get(beta_regularizer)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Create gamma and beta, one number for each channel."""
        self._positions(len(input_shape))
        channels = input_shape[-1]
        if channels is None:
            raise ValueError(
                f"The channels must be known. Received: input_shape={tuple(input_shape)}"
            )
        self.gamma = self.add_weight(
            name="gamma",
            shape=(channels,),
            initializer=self.gamma_initializer,
            regularizer=self.gamma_regularizer,
            autocast=False,
        )
        self.beta = (
            self.add_weight(
                name="beta",
                shape=(channels,),
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                autocast=False,
            )
            if self.use_bias
            else None
        )

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scale each channel by its share of the response."""
        x = upcast(inputs)
        g = norm(x, self._positions(len(x.shape)), mask)
        response = g / (ops.mean(g, axis=-1, keepdims=True) + self.epsilon)
        y = ops.cast(self.gamma, x.dtype) * (x * response)
        if self.beta is not None:
            y = y + ops.cast(self.beta, x.dtype)
        if self.use_residual:
            y = y + x
        return ops.cast(y, self.compute_dtype)

    def _positions(self, rank: int) -> tuple[int, ...]:
        if self.axis is None:
            return tuple(range(1, rank - 1))
        axes = positive_axes(self.axis, rank)
        if axes[0] == 0 or axes[-1] == rank - 1:
            raise ValueError(
                "`axis` must name axes between the first (samples) and the last (channels). "
                f"Received: axis={self.axis} for an input of rank {rank}"
            )
        return axes

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Images, tokens without a bias, features without positions."""
        gain = {"gamma_initializer": keras.initializers.Constant(0.5)}
        yield Example(cls, {}, TensorSpec((2, 3, 5, 4)))
        yield Example(
            cls,
            {**gain, "use_bias": False},
            TensorSpec((2, 6, 3)),
            traits=frozenset({"permutation_equivariant", "scale_equivariant"}),
            name="bias_free",
        )
        yield Example(cls, {**gain, "use_residual": False}, TensorSpec((3, 5)), name="features")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Samples, channels or no axis at all; a useless epsilon."""
        yield Rejection(cls, {"axis": 0}, "axis", build=(2, 3, 4))
        yield Rejection(cls, {"axis": (1, -1)}, "axis", build=(2, 3, 4))
        yield Rejection(cls, {"axis": (1, 1)}, "axis", build=(2, 3, 4))
        yield Rejection(cls, {"axis": ()}, "axis")
        yield Rejection(cls, {}, "input_shape", build=(2, 3, None))
