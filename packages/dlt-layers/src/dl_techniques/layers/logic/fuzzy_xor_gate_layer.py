"""XOR of fuzzy logic as a layer."""

from __future__ import annotations

from collections.abc import Iterator

from dl_techniques.core import Rejection, component
from dl_techniques.layers.logic.logic_gate import LogicGate


@component(
    "dl_techniques>FuzzyXORGateLayer",
    kind="layer",
    tags=("logic",),
    paper="arXiv:2002.06100",
    since="0.1",
)
class FuzzyXORGateLayer(LogicGate):
    """Fuzzy XOR gate: true as far as its two inputs differ.

    y = (t_1 AND NOT t_2) OR (NOT t_1 AND t_2), with
    t_i = clip(w_i x_i + b_i, 0, 1), or sigmoid(T (w_i x_i + b_i))

    At initialization w = 1 and b = 0: without the sigmoid the gate is the pure operation, see
    `logic_op`.

    In the Lukasiewicz system y = |t_1 - t_2|. In the product system two halves give 0.4375.

    Args:
        temperature: T, the steepness of the sigmoid.
        **kwargs: Settings of `LogicGate` (`logic_system`, `trainable_weights_per_input`,
            `use_bias`, `apply_sigmoid`, `weight_initializer`, `bias_initializer`,
            `weight_regularizer`, `bias_regularizer`, `weight_constraint`, `bias_constraint`);
            arguments of `keras.layers.Layer`.

    Input shape:
        A list of two tensors of one shape, or one tensor `(batch, ..., 2)`.

    Output shape:
        That of one input of the list, or the tensor's without the last axis.

    Raises:
        ValueError: If the system is unknown, `temperature` is not positive, or the inputs are
            not two of one shape.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import FuzzyXORGateLayer
        >>> x, y = ops.array([0.25, 1.0]), ops.array([1.0, 1.0])
        >>> ops.convert_to_numpy(FuzzyXORGateLayer()([x, y])).tolist()
        [0.75, 0.0]

    References:
        van Krieken, Acar and van Harmelen, "Analyzing Differentiable Fuzzy Logic Operators",
        arXiv:2002.06100.
    """

    OPERATION = "xor"

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """As for all gates, and three inputs."""
        yield from super().rejections()
        yield Rejection(cls, {}, "inputs", build=(2, 3))
