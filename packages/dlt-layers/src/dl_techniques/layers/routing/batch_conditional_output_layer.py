"""A choice between two tensors, sample by sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from keras import ops

from dl_techniques.core import Example, Layer, Rejection, Shape, Tensor, TensorSpec, component
from dl_techniques.layers.routing.pairs import require_one_shape


@component(
    "dl_techniques>BatchConditionalOutputLayer",
    kind="layer",
    tags=("routing",),
    aliases=("dl_techniques>ConditionalOutput",),
    since="0.1",
)
class BatchConditionalOutputLayer(Layer):
    """Conditional output: the ground truth of a sample where there is one, else the inference.

    y_n = inference_n if all entries of ground_truth_n are 0, else ground_truth_n

    Zero means exactly zero, of either sign; a NaN counts as an entry. The choice is for whole
    samples, also where a batch has as many samples as features, for which the recipe of the
    original dl_techniques chose columns. Gradients flow to the chosen tensor only.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        A list `[ground_truth, inference]` of two tensors `(batch, ...)` of one shape.

    Output shape:
        That of either.

    Raises:
        ValueError: If there are not two inputs of one shape.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from dl_techniques.layers import BatchConditionalOutputLayer
        >>> truth, inference = np.array([[0.0, 0.0], [0.0, 5.0]]), np.array([[1.0, 2.0]] * 2)
        >>> ops.convert_to_numpy(BatchConditionalOutputLayer()([truth, inference])).tolist()
        [[1.0, 2.0], [0.0, 5.0]]

    References:
        Williams and Zipser, "A Learning Algorithm for Continually Running Fully Recurrent Neural
        Networks", Neural Computation 1 (1989) (teacher forcing).
    """

    def build(self, input_shape: Any) -> None:
        """Check the shapes; there are no weights."""
        require_one_shape(input_shape)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Choose."""
        ground_truth, inference = inputs
        absent = ops.equal(ground_truth, 0)
        axes = tuple(range(1, len(ground_truth.shape)))
        if axes:
            absent = ops.all(absent, axis=axes, keepdims=True)
        return ops.where(absent, inference, ground_truth)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of either tensor."""
        shape: Shape = input_shape[0]
        return shape

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Vectors and images; zeros are frequent in the first."""
        truth = TensorSpec((4, 1), values="binary")
        yield Example(cls, {}, [truth, TensorSpec((4, 1))])
        truth = TensorSpec((6, 1, 2, 1), values="binary")
        yield Example(cls, {}, [truth, TensorSpec((6, 1, 2, 1))], name="images")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """One input, two shapes."""
        yield Rejection(cls, {}, "input_shape", build=(2, 3))
        yield Rejection(cls, {}, "input_shape", build=[(2, 3), (2, 4)])
