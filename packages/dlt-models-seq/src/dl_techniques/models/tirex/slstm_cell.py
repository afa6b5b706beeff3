"""One step of an sLSTM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    InitializerLike,
    Layer,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers.parts import features_of

# Beyond it the sigmoid is one in float32.
_LARGEST_FORGET = 15.0
_START = {"float16": -6e4}


@component(
    "dl_techniques>SLSTMCell",
    kind="layer",
    tags=("recurrent", "time-series"),
    paper="arXiv:2405.04517",
    since="0.1",
)
class SLSTMCell(Layer):
    """sLSTM cell for `keras.layers.RNN`: exponential gates, normalized and stabilized, in heads.

    [i, f, z, o] = x W + y R + b, with W and R block-diagonal, a block for each head;
    m' = max(i, m + log sigmoid(f)), i' = exp(i - m'), f' = exp(m + log sigmoid(f) - m');
    c' = f' c + i' tanh(z), n' = f' n + i', y' = sigmoid(o) c' / n'

    f is cut off at 15. The step is computed in float32. `keras.layers.RNN` keeps the states in
    the compute dtype of the cell: in a model of half precision give the cell `dtype="float32"`,
    as `SLSTMBlock` does.

    Args:
        units: Number of units, a multiple of `num_heads`.
        num_heads: Number of heads. A unit sees the features and the units of its own head.
        project_inputs: Whether the cell multiplies the inputs by W. Otherwise it takes the
            products x W of all steps, which are computed quicker at once.
        use_bias: Whether to add b.
        unit_forget_bias: Whether the biases of f start at one above `bias_initializer`.
        kernel_initializer: Initializer of W.
        recurrent_initializer: Initializer of R.
        bias_initializer: Initializer of b.
        kernel_regularizer: Regularizer of W.
        recurrent_regularizer: Regularizer of R.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: The inputs of one step.
        states: y, c, n and m, `(batch, units)` each; `None` to start.

    Input shape:
        `(batch, features)`, the features a multiple of `num_heads`; without `project_inputs`
        `(batch, 4 units)`, ordered by head, gate, unit.

    Output shape:
        y' `(batch, units)`, and the new states.

    Raises:
        ValueError: If a number is out of range or no multiple of `num_heads`, or the features are
            unknown.

    Example:
        >>> import keras
        >>> from dl_techniques.models.tirex import SLSTMCell
        >>> layer = keras.layers.RNN(SLSTMCell(8, num_heads=2), return_sequences=True)
        >>> tuple(layer(keras.ops.ones((2, 5, 4))).shape)
        (2, 5, 8)

    References:
        Beck et al., "xLSTM: Extended Long Short-Term Memory", arXiv:2405.04517.
    """

    def __init__(
        self,
        units: Count = 64,
        num_heads: Count = 4,
        project_inputs: bool = True,
        use_bias: bool = True,
        unit_forget_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        recurrent_regularizer: RegularizerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if units % num_heads:
            raise ValueError(
                "`units` must be a multiple of `num_heads`. "
                f"Received: units={units}, num_heads={num_heads}"
            )
        self.units = units
        self.num_heads = num_heads
        self.project_inputs = project_inputs
        self.use_bias = use_bias
        self.unit_forget_bias = unit_forget_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = keras.regularizers.get(recurrent_regularizer)
        self.head_units = units // num_heads
        self.state_size = [units] * 4
        self.output_size = units

    def build(self, input_shape: Shape) -> None:
        """Create W, R and b."""
        features = features_of(input_shape)
        heads, units = self.num_heads, self.head_units
        if self.project_inputs and features % heads:
            raise ValueError(
                "The features must be a multiple of `num_heads`. "
                f"Received: input_shape={tuple(input_shape)}, num_heads={heads}"
            )
        if not self.project_inputs and features != 4 * self.units:
            raise ValueError(
                "The features must be 4 units if `project_inputs` is false. "
                f"Received: input_shape={tuple(input_shape)}, units={self.units}"
            )
        self.kernel = None
        if self.project_inputs:
            self.kernel = self.add_weight(
                name="kernel",
                shape=(heads, features // heads, 4 * units),
                initializer=self.kernel_initializer,
                regularizer=self.kernel_regularizer,
            )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(heads, units, 4 * units),
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(4 * self.units,), initializer=self._first_bias
            )

    def call(self, inputs: Tensor, states: Any = None) -> tuple[Tensor, list[Tensor]]:
        """Compute one step."""
        states = self.get_initial_state(ops.shape(inputs)[0]) if states is None else list(states)
        y, c, n, m = (upcast(state) for state in states)
        shape = (-1, self.num_heads, 4 * self.head_units)
        heads = ops.reshape(y, (-1, self.num_heads, self.head_units))
        raw = ops.reshape(self._project(inputs), shape)
        raw = raw + ops.einsum("bhi,hio->bho", heads, ops.cast(self.recurrent_kernel, y.dtype))
        if self.bias is not None:
            raw = raw + ops.reshape(ops.cast(self.bias, y.dtype), shape)
        raw = ops.reshape(raw, (-1, self.num_heads, 4, self.head_units))
        i, f, z, o = (ops.reshape(raw[:, :, gate], (-1, self.units)) for gate in range(4))
        kept = m + ops.log_sigmoid(ops.minimum(f, _LARGEST_FORGET))
        m = ops.maximum(i, kept)
        entering, staying = ops.exp(i - m), ops.exp(kept - m)
        c = staying * c + entering * ops.tanh(z)
        n = staying * n + entering
        y = ops.sigmoid(o) * c / n
        new = [ops.cast(x, s.dtype) for x, s in zip((y, c, n, m), states, strict=True)]
        return ops.cast(y, self.compute_dtype), new

    def get_initial_state(self, batch_size: Any = None) -> list[Tensor]:
        """Return the states before the first step.

        Args:
            batch_size: Number of sequences.
        """
        shape, dtype = (batch_size, self.units), self.compute_dtype
        zeros = [ops.zeros(shape, dtype=dtype) for _ in range(3)]
        # As good as minus infinity, of which differences are no numbers.
        return [*zeros, ops.full(shape, _START.get(dtype, -1e30), dtype=dtype)]

    def compute_output_shape(self, input_shape: Shape) -> Any:
        """Return the shapes of y and the states."""
        shape = (input_shape[0], self.units)
        return shape, [shape] * 4

    def _project(self, inputs: Tensor) -> Tensor:
        if self.kernel is None:
            return upcast(inputs)
        x = upcast(inputs)
        x = ops.reshape(x, (-1, self.num_heads, self.kernel.shape[1]))
        return ops.einsum("bhi,hio->bho", x, ops.cast(self.kernel, x.dtype))

    def _first_bias(self, shape: Shape, dtype: Any = None) -> Tensor:
        start = self.bias_initializer(shape, dtype=dtype)
        if not self.unit_forget_bias:
            return start
        gates = ops.reshape(ops.one_hot([1], 4, dtype=start.dtype), (1, 4, 1))
        ones = ops.ones((self.num_heads, 1, self.head_units), dtype=start.dtype)
        return start + ops.reshape(gates * ones, shape)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """One step from the start, with and without a projection."""
        # The first step has no y to multiply, and forgets nothing.
        dead = ("recurrent_kernel",)
        yield Example(cls, {}, TensorSpec((2, 8)), dead=dead)
        config = {"units": 4, "num_heads": 1, "project_inputs": False, "use_bias": False}
        yield Example(cls, config, TensorSpec((2, 16)), dead=dead, name="products")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers, features that cannot be shared among the heads."""
        yield Rejection(cls, {"units": 6, "num_heads": 4}, "units")
        yield Rejection(cls, {"units": 8}, "num_heads", build=(2, 6))
        yield Rejection(cls, {"units": 8}, "input_shape", build=(2, None))
        yield Rejection(cls, {"units": 8, "project_inputs": False}, "units", build=(2, 8))
