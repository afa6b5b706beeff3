"""Mish with an upper bound."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from dl_techniques.core import Example, PositiveNumber, Tensor, TensorSpec, component
from dl_techniques.layers.activations.elementwise import Elementwise


@component(
    "dl_techniques>SaturatedMish",
    kind="activation",
    tags=("activation",),
    paper="arXiv:1908.08681",
    since="0.1",
)
class SaturatedMish(Elementwise):
    """Mish that saturates for large inputs.

    f(x) = mish(min(x, alpha)), or with `smooth=True`
    f(x) = mish(alpha) + beta tanh((mish(x) - mish(alpha)) / beta) for x > alpha, mish(x) else.

    The bound is mish(alpha), 2.98654 for alpha = 3, or mish(alpha) + beta in the smooth form. The
    hard form has no gradient above alpha: a unit that is driven there does not come back. The
    smooth form is continuous with its derivative. Both are this project's own.

    Args:
        alpha: Where saturation begins.
        smooth: Whether to approach the bound smoothly.
        beta: By how much the smooth form may exceed mish(alpha).
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any.

    Output shape:
        The input's.

    Raises:
        ValueError: If `alpha` or `beta` is not positive.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import SaturatedMish
        >>> y = SaturatedMish()(ops.array([-1.0, 2.0, 9.0]))
        >>> ops.convert_to_numpy(y).astype(float).round(4).tolist()
        [-0.3034, 1.944, 2.9865]

    References:
        Misra, "Mish: A Self Regularized Non-Monotonic Activation Function", arXiv:1908.08681.
    """

    def __init__(
        self,
        alpha: PositiveNumber = 3.0,
        smooth: bool = False,
        beta: PositiveNumber = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha
        self.smooth = smooth
        self.beta = beta

    def call(self, inputs: Tensor) -> Tensor:
        """Apply the activation."""
        if not self.smooth:
            # Not `minimum`, which rounds float64 to float32 on PyTorch.
            alpha = ops.cast(self.alpha, inputs.dtype)
            return keras.activations.mish(ops.where(inputs > alpha, alpha, inputs))
        y = keras.activations.mish(inputs)
        bound = self.alpha * math.tanh(math.log1p(math.exp(self.alpha)))
        return ops.where(
            inputs > self.alpha, bound + self.beta * ops.tanh((y - bound) / self.beta), y
        )

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Hard and smooth, low enough to be reached."""
        tokens, traits = TensorSpec((2, 3, 5)), frozenset({"elementwise"})
        yield Example(cls, {}, tokens, traits=traits)
        smooth = {"alpha": 0.5, "smooth": True, "beta": 0.3}
        yield Example(cls, smooth, tokens, traits=traits, name="smooth")
