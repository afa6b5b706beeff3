"""The Mish activation."""

from __future__ import annotations

from collections.abc import Iterator

import keras

from dl_techniques.core import Example, Tensor, TensorSpec, component
from dl_techniques.layers.activations.elementwise import Elementwise


@component(
    "dl_techniques>Mish",
    kind="activation",
    tags=("activation",),
    paper="arXiv:1908.08681",
    since="0.1",
)
class Mish(Elementwise):
    """Mish: a smooth activation that regularizes itself and lets small negative values pass.

    mish(x) = x tanh(softplus(x)), with softplus(x) = log(1 + exp(x)).

    Its minimum is -0.30884 at x = -1.19243; mish'(0) = 0.6. For a bounded form see
    `SaturatedMish`.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any.

    Output shape:
        The input's.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import Mish
        >>> y = Mish()(ops.array([-1.0, 0.0, 2.0]))
        >>> ops.convert_to_numpy(y).astype(float).round(4).tolist()
        [-0.3034, 0.0, 1.944]

    References:
        Misra, "Mish: A Self Regularized Non-Monotonic Activation Function", arXiv:1908.08681.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Apply the activation."""
        return keras.activations.mish(inputs)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Tokens."""
        yield Example(cls, inputs=TensorSpec((2, 3, 5)), traits=frozenset({"elementwise"}))
