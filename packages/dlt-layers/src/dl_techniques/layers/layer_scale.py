"""Learnable scaling of a residual branch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import keras
from keras import ops

from dl_techniques.core import (
    ConstraintLike,
    Example,
    InitializerLike,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers.same_shape import SameShape


@component(
    "dl_techniques>LayerScale",
    kind="layer",
    tags=("scaling", "residual"),
    paper="arXiv:2103.17239",
    aliases=("dl_techniques>LearnableMultiplier",),
    since="0.1",
)
class LayerScale(SameShape):
    """Learnable gain: scales each channel, or the whole input, by a number of its own.

    y = gamma * x

    At the end of a residual branch, a small initial gamma makes a deep network start close to
    the identity: hence the default of 1e-5 (CaiT takes 1e-5 to 1e-6, ConvNeXt 1e-6). The name
    `LearnableMultiplier` is an alias with the same default; pass `initializer="ones"` for a gain
    that starts neutral.

    Args:
        multiplier_type: `"CHANNEL"` for one gain for each position on the last axis, `"GLOBAL"`
            for a single number.
        initializer: Initializer of gamma; `None` stands for the constant 1e-5.
        regularizer: Regularizer of gamma.
        constraint: Constraint on gamma.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., channels)`; the channels must be known for `"CHANNEL"`.

    Output shape:
        The input's.

    Raises:
        ValueError: If `multiplier_type` is unknown, or the channels are.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from dl_techniques.layers import LayerScale
        >>> layer = LayerScale(initializer="ones")
        >>> layer.build((None, 2))
        >>> layer.set_weights([np.array([2.0, 0.5])])
        >>> ops.convert_to_numpy(layer(np.array([[3.0, 4.0]]))).tolist()
        [[6.0, 2.0]]

    References:
        Touvron et al., "Going Deeper with Image Transformers", arXiv:2103.17239.
    """

    def __init__(
        self,
        multiplier_type: Literal["CHANNEL", "GLOBAL"] = "CHANNEL",
        initializer: InitializerLike | None = None,
        regularizer: RegularizerLike | None = None,
        constraint: ConstraintLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.multiplier_type = multiplier_type
        self.initializer = (
            keras.initializers.Constant(1e-5)
            if initializer is None
            else keras.initializers.get(initializer)
        )
        self.regularizer = keras.regularizers.get(regularizer)
        self.constraint = keras.constraints.get(constraint)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Create gamma, `(channels,)` or `()`."""
        shape = () if self.multiplier_type == "GLOBAL" else (input_shape[-1],)
        if None in shape:
            raise ValueError(
                f"The channels must be known. Received: input_shape={tuple(input_shape)}"
            )
        self.gamma = self.add_weight(
            name="gamma",
            shape=[size for size in shape if size is not None],
            initializer=self.initializer,
            regularizer=self.regularizer,
            constraint=self.constraint,
            autocast=False,
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Scale, in float32: 1e-6 has hardly a digit in float16."""
        x = upcast(inputs)
        return ops.cast(x * ops.cast(self.gamma, x.dtype), self.compute_dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A gain for each channel, and one for all."""
        tokens = TensorSpec((2, 3, 4))
        traits = frozenset({"permutation_equivariant", "scale_equivariant"})
        yield Example(cls, {}, tokens, traits=traits)
        yield Example(cls, {"multiplier_type": "GLOBAL"}, tokens, traits=traits, name="global")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """An unknown type, unknown channels."""
        yield Rejection(cls, {}, "input_shape", build=(2, None))
