"""Base of gates: weighted truth values, combined by an operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    ConstraintLike,
    Example,
    InitializerLike,
    Layer,
    PositiveNumber,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    upcast,
)
from dl_techniques.layers.arguments import require_one_of
from dl_techniques.layers.logic.logic_operations import SYSTEMS, logic_op, require_arity
from dl_techniques.layers.parts import features_of, is_list_of_shapes


class LogicGate(Layer):
    """y = op(t_1, ..., t_k), with t_i = clip(w_i x_i + b_i, 0, 1).

    A subclass names the operation. At initialization the gate is the pure operation.

    Args:
        logic_system: `"lukasiewicz"`, `"goedel"` or `"product"`, see `logic_op`.
        trainable_weights_per_input: Whether each input has a weight w_i; 1 otherwise.
        use_bias: Whether each input has a bias b_i; 0 otherwise.
        temperature: T, if `apply_sigmoid`.
        apply_sigmoid: Whether t_i = sigmoid(T (w_i x_i + b_i)), for inputs that are logits.
        weight_initializer: Initializer of the weights.
        bias_initializer: Initializer of the biases.
        weight_regularizer: Regularizer of the weights.
        bias_regularizer: Regularizer of the biases.
        weight_constraint: Constraint on the weights.
        bias_constraint: Constraint on the biases.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    OPERATION = "and"

    def __init__(
        self,
        logic_system: str = "lukasiewicz",
        trainable_weights_per_input: bool = True,
        use_bias: bool = True,
        temperature: PositiveNumber = 1.0,
        apply_sigmoid: bool = False,
        weight_initializer: InitializerLike = "ones",
        bias_initializer: InitializerLike = "zeros",
        weight_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        weight_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_one_of(SYSTEMS, logic_system=logic_system)
        self.logic_system = logic_system
        self.trainable_weights_per_input = trainable_weights_per_input
        self.use_bias = use_bias
        self.temperature = temperature
        self.apply_sigmoid = apply_sigmoid
        self.weight_initializer = keras.initializers.get(weight_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.weight_regularizer = keras.regularizers.get(weight_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.weight_constraint = keras.constraints.get(weight_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def build(self, input_shape: Any) -> None:
        """Create the weights and biases, one for each truth value."""
        count = self._count(input_shape)
        self._require_arity(count)
        self.gate_weights = (
            self.add_weight(
                name="gate_weights",
                shape=(count,),
                initializer=self.weight_initializer,
                regularizer=self.weight_regularizer,
                constraint=self.weight_constraint,
                autocast=False,
            )
            if self.trainable_weights_per_input
            else None
        )
        self.gate_biases = (
            self.add_weight(
                name="gate_biases",
                shape=(count,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                autocast=False,
            )
            if self.use_bias
            else None
        )

    def call(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        """Weight, bound and combine, in float32 at least."""
        x = ops.stack(inputs, -1) if isinstance(inputs, list | tuple) else inputs
        truths = self.truths(upcast(x))
        count = truths.shape[-1]
        return ops.cast(
            self._operation()(*(truths[..., i] for i in range(count))), self.compute_dtype
        )

    def truths(self, x: Tensor) -> Tensor:
        """Return t, the truth values that the operation combines.

        Args:
            x: Inputs x_i on the last axis.
        """
        if self.gate_weights is not None:
            x = x * ops.cast(self.gate_weights, x.dtype)
        if self.gate_biases is not None:
            x = x + ops.cast(self.gate_biases, x.dtype)
        return ops.sigmoid(self.temperature * x) if self.apply_sigmoid else ops.clip(x, 0.0, 1.0)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of one input of a list, or of a tensor without its last axis."""
        shape: Shape = input_shape[0] if is_list_of_shapes(input_shape) else input_shape[:-1]
        return shape

    def _operation(self) -> Callable[..., Tensor]:
        return logic_op(self.OPERATION, self.logic_system)

    def _require_arity(self, count: int) -> None:
        require_arity(self.OPERATION, count)

    @staticmethod
    def _count(input_shape: Any) -> int:
        if not is_list_of_shapes(input_shape):
            return features_of(input_shape)
        if len({tuple(shape) for shape in input_shape}) > 1:
            raise ValueError(f"All inputs must have one shape. Received: input_shape={input_shape}")
        return len(input_shape)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Two truth values in a list, and logits on the last axis."""
        truth = TensorSpec((2, 6), low=0.0, high=1.0)
        yield Example(cls, {}, [truth, truth])
        config = {"logic_system": "product", "apply_sigmoid": True, "temperature": 2.0}
        yield Example(cls, config, TensorSpec((2, 3, 2)), name="logits")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """An unknown system, a useless temperature, inputs of two shapes, no inputs."""
        yield Rejection(cls, {"logic_system": "quantum"}, "logic_system")
        yield Rejection(cls, {}, "input_shape", build=[(2, 3), (2, 4)])
        yield Rejection(cls, {}, "inputs", build=(2, 3, 0))
