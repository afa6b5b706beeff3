"""Powers of the rectifier."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import Count, Example, Tensor, TensorSpec, component
from dl_techniques.layers.activations.elementwise import Elementwise


@component(
    "dl_techniques>ReLUK",
    kind="activation",
    tags=("activation",),
    paper="arXiv:2412.13571",
    since="0.1",
)
class ReLUK(Elementwise):
    """Power of the rectifier, a piecewise polynomial.

    f(x) = max(0, x)^k

    It is homogeneous of degree k: f(c x) = c^k f(x) for c > 0; so keep its inputs normalized. In
    float16 it overflows from x = 40 on for k = 3.

    Args:
        k: The power, an integer of at least 1.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any.

    Output shape:
        The input's.

    Raises:
        ValueError: If `k` is no positive integer.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import ReLUK
        >>> y = ReLUK(k=3)(ops.array([-1.0, 0.0, 2.0]))
        >>> ops.convert_to_numpy(y).astype(float).round(4).tolist()
        [0.0, 0.0, 8.0]

    References:
        Qiu et al., "PowerMLP: An Efficient Version of KAN", arXiv:2412.13571.
    """

    def __init__(self, k: Count = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.k = k

    def call(self, inputs: Tensor) -> Tensor:
        """Rectify and multiply."""
        # By products, not by `power`: it is faster, and its gradient at zero exists everywhere.
        power, square, rest = None, ops.relu(inputs), self.k
        while rest:
            if rest % 2:
                power = square if power is None else power * square
            rest //= 2
            if rest:
                square = ops.square(square)
        return power

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """An odd and an even power."""
        tokens, traits = TensorSpec((2, 3, 5)), frozenset({"elementwise", "monotone"})
        yield Example(cls, {}, tokens, traits=traits)
        yield Example(cls, {"k": 2}, tokens, traits=traits, name="square")
