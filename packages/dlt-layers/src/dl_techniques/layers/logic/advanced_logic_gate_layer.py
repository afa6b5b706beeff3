"""Any operation of fuzzy logic as a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.layers.arguments import require_one_of
from dl_techniques.layers.logic.logic_gate import LogicGate
from dl_techniques.layers.logic.logic_operations import OPERATIONS, logic_op, require_arity


@component(
    "dl_techniques>AdvancedLogicGateLayer",
    kind="layer",
    tags=("logic",),
    paper="arXiv:2002.06100",
    since="0.1",
)
class AdvancedLogicGateLayer(LogicGate):
    """Logic gate: combines weighted truth values by an operation of fuzzy logic.

    y = op(t_1, ..., t_k), with t_i = clip(w_i x_i + b_i, 0, 1), or sigmoid(T (w_i x_i + b_i))

    At initialization w = 1 and b = 0: without the sigmoid the gate is the pure operation, see
    `logic_op`. A gate can learn to negate an input (w = -1, b = 1) or to ignore it (w = 0).

    Args:
        operation: A name that `logic_op` knows, or a function of k tensors in [0, 1]. To be saved
            with a model, a function must be declared with `@component(kind="function")`.
        logic_system: `"lukasiewicz"`, `"goedel"` or `"product"`; a function ignores it.
        trainable_weights_per_input: Whether each input has a weight w_i; 1 otherwise.
        use_bias: Whether each input has a bias b_i; 0 otherwise.
        temperature: T, the steepness of the sigmoid.
        apply_sigmoid: Whether to bound by the sigmoid, for inputs that are logits.
        **kwargs: Settings of `LogicGate` (`weight_initializer`, `bias_initializer`,
            `weight_regularizer`, `bias_regularizer`, `weight_constraint`, `bias_constraint`);
            arguments of `keras.layers.Layer`.

    Input shape:
        A list of k tensors of one shape, or one tensor `(batch, ..., k)`; k must be known.

    Output shape:
        That of one input of the list, or the tensor's without the last axis.

    Raises:
        ValueError: If the operation or the system is unknown, `temperature` is not positive, the
            inputs have different shapes, or the operation takes another number of them.
        TypeError: If the operation is neither a text nor a function.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import AdvancedLogicGateLayer
        >>> gate = AdvancedLogicGateLayer("xor")
        >>> corners = ops.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> ops.convert_to_numpy(gate(corners)).tolist()
        [0.0, 1.0, 1.0, 0.0]

    References:
        van Krieken, Acar and van Harmelen, "Analyzing Differentiable Fuzzy Logic Operators",
        arXiv:2002.06100.
    """

    def __init__(
        self,
        operation: str | Callable[..., Tensor],
        logic_system: str = "lukasiewicz",
        trainable_weights_per_input: bool = True,
        use_bias: bool = True,
        temperature: float = 1.0,
        apply_sigmoid: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            logic_system,
            trainable_weights_per_input,
            use_bias,
            temperature,
            apply_sigmoid,
            **kwargs,
        )
        if isinstance(operation, str):
            require_one_of(OPERATIONS, operation=operation)
        elif not callable(operation):
            raise TypeError(
                f"`operation` must be a name or a function. Received: operation={operation!r}"
            )
        self.operation = operation

    def _operation(self) -> Callable[..., Tensor]:
        if isinstance(self.operation, str):
            return logic_op(self.operation, self.logic_system)
        return self.operation

    def _require_arity(self, count: int) -> None:
        if isinstance(self.operation, str):
            require_arity(self.operation, count)
        elif not count:
            raise ValueError("A gate must have inputs. Received: inputs=0")

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Three truth values in a list, logits, and pure operations without weights."""
        truth = TensorSpec((2, 5), low=0.0, high=1.0)
        yield Example(cls, {"operation": "xor"}, TensorSpec((2, 6, 2), low=0.0, high=1.0))
        goedel = {"operation": "nand", "logic_system": "goedel"}
        yield Example(cls, goedel, [truth, truth, truth], name="three_inputs")
        logits = {"apply_sigmoid": True, "temperature": 0.5, "logic_system": "product"}
        yield Example(cls, {"operation": "or", **logits}, TensorSpec((2, 3, 4)), name="logits")
        pure = {"trainable_weights_per_input": False, "use_bias": False}
        yield Example(cls, {"operation": "reichenbach", **pure}, [truth, truth], name="pure")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Unknown operations and systems, useless temperatures, wrong inputs."""
        yield Rejection(cls, {"operation": "maybe"}, "operation")
        yield Rejection(cls, {"operation": 3}, "operation")
        yield Rejection(cls, {"operation": "and", "logic_system": "fuzzy"}, "logic_system")
        yield Rejection(cls, {"operation": "xor"}, "inputs", build=(2, 3))
        yield Rejection(cls, {"operation": "and"}, "input_shape", build=[(2, 3), (2, 4)])
        yield Rejection(cls, {"operation": "and"}, "input_shape", build=(2, None))
