"""The sigmoid form of GELU."""

from __future__ import annotations

from collections.abc import Iterator

from keras import ops

from dl_techniques.core import Example, Tensor, TensorSpec, component
from dl_techniques.layers.activations.elementwise import Elementwise

_SLOPE = 1.702


@component(
    "dl_techniques>QuickGELU",
    kind="activation",
    tags=("activation",),
    paper="arXiv:1606.08415",
    since="0.1",
)
class QuickGELU(Elementwise):
    """QuickGELU: weighs a number by a sigmoid, the older approximation of GELU.

    quick_gelu(x) = x sigmoid(1.702 x)

    It differs from GELU by up to 0.02. The first CLIP models were trained with it, and give wrong
    features with another form.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any.

    Output shape:
        The input's.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import QuickGELU
        >>> y = QuickGELU()(ops.array([-1.0, 0.0, 2.0]))
        >>> ops.convert_to_numpy(y).astype(float).round(4).tolist()
        [-0.1542, 0.0, 1.9357]

    References:
        Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415; Radford et al.,
        "Learning Transferable Visual Models From Natural Language Supervision", arXiv:2103.00020.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Apply the activation."""
        return inputs * ops.sigmoid(_SLOPE * inputs)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """On tokens."""
        yield Example(cls, {}, TensorSpec((2, 3, 5)), traits=frozenset({"elementwise"}))
