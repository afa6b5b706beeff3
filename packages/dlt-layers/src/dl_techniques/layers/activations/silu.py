"""The SiLU activation."""

from __future__ import annotations

from collections.abc import Iterator

from keras import ops

from dl_techniques.core import Example, Tensor, TensorSpec, component
from dl_techniques.layers.activations.elementwise import Elementwise


@component(
    "dl_techniques>SiLU",
    kind="activation",
    tags=("activation",),
    paper="arXiv:1702.03118",
    since="0.1",
)
class SiLU(Elementwise):
    """SiLU, also known as Swish: a number times its own sigmoid.

    silu(x) = x sigmoid(x) = x / (1 + exp(-x))

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any.

    Output shape:
        The input's.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import SiLU
        >>> y = SiLU()(ops.array([-1.0, 0.0, 2.0]))
        >>> ops.convert_to_numpy(y).astype(float).round(4).tolist()
        [-0.2689, 0.0, 1.7616]

    References:
        Elfwing, Uchibe and Doya, "Sigmoid-Weighted Linear Units for Neural Network Function
        Approximation in Reinforcement Learning", arXiv:1702.03118.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Apply the activation."""
        return ops.silu(inputs)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Tokens."""
        yield Example(cls, inputs=TensorSpec((2, 3, 5)), traits=frozenset({"elementwise"}))
