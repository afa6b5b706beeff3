"""OR of fuzzy logic as a layer."""

from __future__ import annotations

from dl_techniques.core import component
from dl_techniques.layers.logic.logic_gate import LogicGate


@component(
    "dl_techniques>FuzzyORGateLayer",
    kind="layer",
    tags=("logic",),
    paper="arXiv:2002.06100",
    since="0.1",
)
class FuzzyORGateLayer(LogicGate):
    """Fuzzy OR gate: true as far as any of its inputs is.

    y = t_1 OR ... OR t_k, with
    t_i = clip(w_i x_i + b_i, 0, 1), or sigmoid(T (w_i x_i + b_i))

    At initialization w = 1 and b = 0: without the sigmoid the gate is the pure operation, see
    `logic_op`.

    Args:
        temperature: T, the steepness of the sigmoid.
        **kwargs: Settings of `LogicGate` (`logic_system`, `trainable_weights_per_input`,
            `use_bias`, `apply_sigmoid`, `weight_initializer`, `bias_initializer`,
            `weight_regularizer`, `bias_regularizer`, `weight_constraint`, `bias_constraint`);
            arguments of `keras.layers.Layer`.

    Input shape:
        A list of k tensors of one shape, or one tensor `(batch, ..., k)`; k must be known.

    Output shape:
        That of one input of the list, or the tensor's without the last axis.

    Raises:
        ValueError: If the system is unknown, `temperature` is not positive, or the inputs have
            different shapes or an unknown number.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import FuzzyORGateLayer
        >>> x, y = ops.array([0.25, 1.0]), ops.array([0.5, 0.0])
        >>> ops.convert_to_numpy(FuzzyORGateLayer()([x, y])).tolist()
        [0.75, 1.0]

    References:
        van Krieken, Acar and van Harmelen, "Analyzing Differentiable Fuzzy Logic Operators",
        arXiv:2002.06100.
    """

    OPERATION = "or"
