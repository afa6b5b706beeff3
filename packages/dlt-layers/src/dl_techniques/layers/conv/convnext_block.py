"""Base of the two versions of the ConvNeXt block."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    ActivationLike,
    Count,
    Fraction,
    InitializerLike,
    PositiveNumber,
    RegularizerLike,
    Shape,
    Tensor,
    resolve,
)
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of, strided
from dl_techniques.layers.conv.depthwise import DepthwiseConvolution
from dl_techniques.layers.parts import build_part, call_part, fresh_initializer
from dl_techniques.layers.stochastic_depth import StochasticDepth


class ConvNeXtBlock(ChannelsLastLayer):
    """shortcut(x) + DropPath(scale(project(respond(act(expand(LN(depthwise(x))))))).

    The versions differ in `respond` and `scale`, which are the identity here.

    Args:
        filters: Number of output channels; `None` for the input's.
        kernel_size: Odd size of the depthwise kernel.
        expansion: Width of the hidden features, in `filters`.
        strides: Step of the depthwise convolution.
        drop_path: Probability that a sample skips the block at training.
        use_bias: Whether the layers have biases, normalizations included.
        activation: Activation of the hidden features: name, function, layer or configuration.
            `"gelu"` is the exact one.
        norm_epsilon: Added to the variance.
        kernel_initializer: Initializer of all kernels; `None` for a truncated normal distribution
            of deviation 0.02.
        kernel_regularizer: Regularizer of all kernels.
        bias_regularizer: Regularizer of all biases.
        seed: Seed of the draws of `drop_path`.
        **kwargs: Settings of `ChannelsLastLayer` and arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        filters: Count | None = None,
        kernel_size: Count = 7,
        expansion: Count = 4,
        *,
        strides: Count = 1,
        drop_path: Fraction = 0.0,
        use_bias: bool = True,
        activation: ActivationLike | None = "gelu",
        norm_epsilon: PositiveNumber = 1e-6,
        kernel_initializer: InitializerLike | None = None,
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(
                "`kernel_size` must be odd, so that the padding is symmetric. "
                f"Received: kernel_size={kernel_size}"
            )
        self.filters = filters
        self.kernel_size = kernel_size
        self.expansion = expansion
        self.strides = strides
        self.drop_path = drop_path
        self.use_bias = use_bias
        self.activation = activation
        self.activation_layer = resolve(activation, kind="activation", dtype=self.dtype_policy)
        self.norm_epsilon = norm_epsilon
        self.kernel_initializer = (
            keras.initializers.TruncatedNormal(stddev=0.02)
            if kernel_initializer is None
            else keras.initializers.get(kernel_initializer)
        )
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.seed = seed
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Create and build the layers of the branch and of the shortcut."""
        channels = channels_of(input_shape)
        output_shape = self.compute_output_shape(input_shape)
        filters = self.filters or channels
        inner_shape = (*output_shape[:-1], channels)
        hidden_shape = (*output_shape[:-1], self.expansion * filters)
        self.depthwise = DepthwiseConvolution(
            self.kernel_size, self.strides, data_format=self.data_format, **self._settings()
        )
        self.norm = keras.layers.LayerNormalization(
            epsilon=self.norm_epsilon, center=self.use_bias, dtype=self.dtype_policy
        )
        # A product on the last axis is at least as fast as a 1 x 1 convolution.
        self.expand = keras.layers.Dense(self.expansion * filters, **self._settings())
        self.project = keras.layers.Dense(filters, **self._settings())
        self.depthwise.build(input_shape)
        self.norm.build(inner_shape)
        self.expand.build(inner_shape)
        build_part(self.activation_layer, hidden_shape)
        self.project.build(hidden_shape)
        self.build_version(hidden_shape, output_shape)
        self.stochastic_depth: Any = None
        if self.drop_path:
            self.stochastic_depth = StochasticDepth(
                self.drop_path, self.seed, dtype=self.dtype_policy
            )
            self.stochastic_depth.build(output_shape)
        self._build_shortcut(input_shape, filters)

    def _settings(self) -> dict[str, Any]:
        return {
            "use_bias": self.use_bias,
            "kernel_initializer": fresh_initializer(self.kernel_initializer),
            "kernel_regularizer": self.kernel_regularizer,
            "bias_regularizer": self.bias_regularizer,
            "dtype": self.dtype_policy,
        }

    def _build_shortcut(self, input_shape: Shape, filters: int) -> None:
        """The mean of the pixels that the strides join, and a projection to new channels."""
        channels = channels_of(input_shape)
        self.shortcut_pool: Any = None
        self.shortcut_project: Any = None
        if self.strides > 1:
            self.shortcut_pool = keras.layers.AveragePooling2D(
                self.strides,
                self.strides,
                padding="same",
                data_format=self.data_format,
                dtype=self.dtype_policy,
            )
        if filters != channels:
            self.shortcut_project = keras.layers.Dense(filters, **self._settings())
            self.shortcut_project.build((*input_shape[:-1], channels))

    def build_version(self, hidden_shape: Shape, output_shape: Shape) -> None:
        """Create and build what the version adds.

        Args:
            hidden_shape: Shape of what `respond` gets.
            output_shape: Shape of what `scale` gets.
        """

    def respond(self, hidden: Tensor) -> Tensor:
        """Transform the hidden features.

        Args:
            hidden: Features after the activation.
        """
        return hidden

    def scale(self, branch: Tensor) -> Tensor:
        """Transform the branch.

        Args:
            branch: Its output.
        """
        return branch

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Add the branch to the input."""
        x = self.expand(self.norm(self.depthwise(inputs)))
        x = call_part(self.activation_layer, x, training)
        x = self.scale(self.project(self.respond(x)))
        if self.stochastic_depth is not None:
            x = self.stochastic_depth(x, training=training)
        shortcut = inputs
        if self.shortcut_pool is not None:
            shortcut = self.shortcut_pool(shortcut)
        if self.shortcut_project is not None:
            shortcut = self.shortcut_project(shortcut)
        # Products of float64 are float32 in Keras on PyTorch.
        return ops.cast(shortcut + x, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Height and width divided by the strides and rounded up."""
        batch, height, width, channels = input_shape
        sizes = (strided(height, self.strides), strided(width, self.strides))
        return (batch, *sizes, self.filters or channels)
