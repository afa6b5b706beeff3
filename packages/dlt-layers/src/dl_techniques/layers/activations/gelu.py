"""The GELU activation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from dl_techniques.core import Example, Tensor, TensorSpec, component
from dl_techniques.layers.activations.elementwise import Elementwise


@component(
    "dl_techniques>GELU",
    kind="activation",
    tags=("activation",),
    paper="arXiv:1606.08415",
    since="0.1",
)
class GELU(Elementwise):
    """GELU: weighs a number by the chance that a normal one is smaller.

    gelu(x) = x Phi(x), with the distribution function Phi of the standard normal distribution

    The approximation 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) differs by up to 4.7e-4.

    Args:
        approximate: Whether to use the approximation.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any.

    Output shape:
        The input's.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import GELU
        >>> y = GELU()(ops.array([-1.0, 0.0, 2.0]))
        >>> ops.convert_to_numpy(y).astype(float).round(4).tolist()
        [-0.1587, 0.0, 1.9545]

    References:
        Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415.
    """

    def __init__(self, approximate: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.approximate = approximate

    def call(self, inputs: Tensor) -> Tensor:
        """Apply the activation."""
        return keras.activations.gelu(inputs, approximate=self.approximate)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Exact and approximate."""
        tokens, traits = TensorSpec((2, 3, 5)), frozenset({"elementwise"})
        yield Example(cls, {}, tokens, traits=traits)
        yield Example(cls, {"approximate": True}, tokens, traits=traits, name="approximate")
