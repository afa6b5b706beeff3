"""A gate for gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from keras import ops

from dl_techniques.core import Example, Layer, Rejection, Shape, Tensor, TensorSpec, component
from dl_techniques.layers.routing.pairs import pair_of_shapes


@component(
    "dl_techniques>GradientRoutingLayer",
    kind="layer",
    tags=("gradient", "routing"),
    paper="arXiv:2410.04332",
    aliases=("dl_techniques>SelectiveGradientMask",),
    since="0.1",
)
class GradientRoutingLayer(Layer):
    """Gradient routing: passes the signal on, and its gradient only where the mask allows.

    y = x; at training dL/dx = (1 - m) dL/dy

    Here, as in the original dl_techniques, m = 1 blocks; in the paper 1 lets through: pass
    `invert=True` for that. Fractions between 0 and 1 scale the gradient. The mask itself gets
    none. The output equals the signal bit by bit, infinities included. At inference the layer is
    the identity.

    Args:
        invert: Whether 1 lets through and 0 blocks.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        A list `[signal, mask]`; the mask has the signal's shape or broadcasts to it.

    Output shape:
        The signal's.

    Raises:
        ValueError: If there are not two inputs, or the mask does not broadcast to the signal.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from dl_techniques.layers import GradientRoutingLayer
        >>> signal, mask = np.array([[1.0, 2.0]]), np.array([[1.0, 0.0]])
        >>> ops.convert_to_numpy(GradientRoutingLayer()([signal, mask], training=True)).tolist()
        [[1.0, 2.0]]

    References:
        Cloud et al., "Gradient Routing: Masking Gradients to Localize Computation in Neural
        Networks", arXiv:2410.04332.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "gradients_live": "the mask has no gradient by design"
    }

    def __init__(self, invert: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.invert = invert

    def build(self, input_shape: Any) -> None:
        """Check the shapes; there are no weights."""
        signal, mask = pair_of_shapes(input_shape)
        fits = len(mask) <= len(signal) and all(
            n in {1, None} or m in {n, None}
            for n, m in zip(reversed(mask), reversed(signal), strict=False)
        )
        if not fits:
            raise ValueError(
                f"The mask must broadcast to the signal. Received: input_shape={input_shape}"
            )

    def call(self, inputs: Sequence[Tensor], training: bool | None = None) -> Tensor:
        """Return the signal, detached as far as the mask says."""
        signal, mask = inputs
        if not training:
            return signal
        mask = ops.stop_gradient(ops.cast(mask, signal.dtype))
        passing = mask if self.invert else 1.0 - mask
        kept = ops.stop_gradient(signal)
        # 0 but for its gradient; NaN without the condition, where the signal is infinite.
        bracket = ops.where(ops.isfinite(kept), signal - kept, ops.zeros_like(signal))
        partly = ops.where(passing == 0, kept, kept + passing * bracket)
        return ops.where(passing == 1, signal, partly)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the signal's shape."""
        shape: Shape = input_shape[0]
        return shape

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A mask for each number, and one for each channel in the paper's convention."""
        signal = TensorSpec((2, 3, 4))
        yield Example(cls, {}, [signal, TensorSpec((2, 3, 4), values="binary")])
        channels = TensorSpec((2, 1, 4), low=0.0, high=1.0)
        yield Example(cls, {"invert": True}, [signal, channels], name="channels")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """One input, a mask that does not fit."""
        yield Rejection(cls, {}, "input_shape", build=(2, 3))
        yield Rejection(cls, {}, "input_shape", build=[(2, 3), (2, 4)])
