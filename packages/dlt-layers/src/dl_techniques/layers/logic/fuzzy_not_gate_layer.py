"""NOT of fuzzy logic as a layer."""

from __future__ import annotations

from collections.abc import Iterator

from dl_techniques.core import Example, Rejection, TensorSpec, component
from dl_techniques.layers.logic.logic_gate import LogicGate


@component(
    "dl_techniques>FuzzyNOTGateLayer",
    kind="layer",
    tags=("logic",),
    paper="arXiv:2002.06100",
    since="0.1",
)
class FuzzyNOTGateLayer(LogicGate):
    """Fuzzy NOT gate: true as far as its input is false.

    y = 1 - t, with
    t = clip(w x + b, 0, 1), or sigmoid(T (w x + b))

    At initialization w = 1 and b = 0: without the sigmoid the gate is the pure operation, see
    `logic_op`.

    Args:
        temperature: T, the steepness of the sigmoid.
        **kwargs: Settings of `LogicGate` (`logic_system`, `trainable_weights_per_input`,
            `use_bias`, `apply_sigmoid`, `weight_initializer`, `bias_initializer`,
            `weight_regularizer`, `bias_regularizer`, `weight_constraint`, `bias_constraint`);
            arguments of `keras.layers.Layer`.

    Input shape:
        A list of one tensor, or one tensor `(batch, ..., 1)`.

    Output shape:
        That of one input of the list, or the tensor's without the last axis.

    Raises:
        ValueError: If the system is unknown, `temperature` is not positive, or there is more
            than one input.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import FuzzyNOTGateLayer
        >>> x = ops.array([0.25, 1.0])
        >>> ops.convert_to_numpy(FuzzyNOTGateLayer()([x])).tolist()
        [0.75, 0.0]

    References:
        van Krieken, Acar and van Harmelen, "Analyzing Differentiable Fuzzy Logic Operators",
        arXiv:2002.06100.
    """

    OPERATION = "not"

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A truth value in a list, and a logit on the last axis."""
        yield Example(cls, {}, [TensorSpec((2, 6), low=0.0, high=1.0)])
        config = {"apply_sigmoid": True, "temperature": 2.0}
        yield Example(cls, config, TensorSpec((2, 3, 1)), name="logits")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """As for all gates, and two inputs."""
        yield from super().rejections()
        yield Rejection(cls, {}, "inputs", build=(2, 2))
