"""Base of the feed-forward blocks with a gate."""

from __future__ import annotations

from typing import Any

from keras import ops

from dl_techniques.core import Shape, Tensor
from dl_techniques.layers.ffn.feed_forward import FeedForward
from dl_techniques.layers.parts import build_part, dense_part


class GatedFeedForward(FeedForward):
    """A block y = (act(x W_gate) * (x W_up)) W_down; a subclass says what act is.

    Gate and value are two matrices: one matrix for both is no faster, and a checkpoint, an
    adapter or a sharding rule finds each by its name.
    """

    activation_layer: Any

    def build(self, input_shape: Shape) -> None:
        """Build the three projections and the activation."""
        features, output_dim = self._widths(input_shape)
        hidden_dim = self._hidden_dim(features)
        self.gate = dense_part(self, hidden_dim, "gate", features)
        self.up = dense_part(self, hidden_dim, "up", features)
        self.down = dense_part(self, output_dim, "down", hidden_dim)
        build_part(self.activation_layer, self.gate.compute_output_shape(input_shape))
        self.hidden_dropout = self._drop()

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Gate, drop, project."""
        hidden = self.activation_layer(self.gate(inputs)) * self.up(inputs)
        y = self.down(self.hidden_dropout(hidden, training=training))
        # Products of float64 are float32 in Keras on PyTorch.
        return ops.cast(y, self.compute_dtype)

    def _hidden_dim(self, features: int) -> int:
        """The width of gate and value."""
        del features
        assert self.hidden_dim is not None
        return self.hidden_dim
