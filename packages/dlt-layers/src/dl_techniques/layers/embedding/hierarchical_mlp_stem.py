"""A stem of small patches that never look at their neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    InitializerLike,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    resolve,
)
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of
from dl_techniques.layers.embedding.patches import as_sequence, require_whole_patches, token_shape
from dl_techniques.layers.norm_choice import choose_norm
from dl_techniques.layers.parts import build_part, call_part, fresh_initializer


@component(
    "dl_techniques>HierarchicalMLPStem",
    kind="layer",
    tags=("embedding", "vision", "transformer"),
    paper="arXiv:2203.09795",
    since="0.1",
)
class HierarchicalMLPStem(ChannelsLastLayer):
    """Hierarchical MLP stem (hMLP): patches of 4 x 4 pixels, then of 2 x 2 patches, and so on.

    For P = 16: conv 4 x 4 to D / 4, norm, act; conv 2 x 2 to D / 4, norm, act; conv 2 x 2 to D,
    norm; each stride is its kernel's size.

    No patch sees another one, so masking patches before and after the stem is the same (with
    batch normalization at inference). It costs a few percent of a vision transformer.

    Args:
        embed_dim: Width D of a token; divisible by 4.
        patch_size: Side P of a patch: 4 times a power of two, at least 8.
        norm: Normalization after each convolution: `"batch"`, `"layer"`, `"rms"` (epsilon
            1e-5), `"none"` for a linear stem, or anything that names or is a layer.
        activation: Activation after every norm but the last.
        use_bias: Whether the convolutions have biases.
        flatten: Whether to return a sequence; otherwise the map of tokens is returned.
        kernel_initializer: Initializer of the convolutions.
        kernel_regularizer: Regularizer of the convolutions.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, whole numbers of patches; both may be unknown.

    Output shape:
        `(batch, height / P * width / P, D)`, or `(batch, height / P, width / P, D)` if not
        `flatten`.

    Raises:
        ValueError: If `patch_size` or `embed_dim` do not divide as they must, or the image is no
            whole number of patches.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import HierarchicalMLPStem
        >>> tuple(HierarchicalMLPStem(embed_dim=8)(keras.ops.ones((1, 32, 48, 3))).shape)
        (1, 6, 8)

    References:
        Touvron et al., "Three things everyone should know about Vision Transformers",
        arXiv:2203.09795.
    """

    def __init__(
        self,
        embed_dim: Count,
        patch_size: Count = 16,
        norm: Any = "batch",
        activation: ActivationLike | None = "gelu",
        use_bias: bool = True,
        flatten: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        kernel_regularizer: RegularizerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if embed_dim % 4:
            raise ValueError(f"`embed_dim` must be divisible by 4. Received: embed_dim={embed_dim}")
        if patch_size < 8 or patch_size & (patch_size - 1):
            raise ValueError(
                "`patch_size` must be a power of two, at least 8. "
                f"Received: patch_size={patch_size}"
            )
        self.embed_dim = embed_dim
        self.patch_size = patch_size
        self.norm = norm
        self.activation = activation
        self.use_bias = use_bias
        self.flatten = flatten
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        sides = [4] + [2] * (patch_size.bit_length() - 3)
        self.convs = [
            keras.layers.Conv2D(
                embed_dim if i == len(sides) - 1 else embed_dim // 4,
                side,
                strides=side,
                use_bias=use_bias,
                data_format="channels_last",
                kernel_initializer=fresh_initializer(self.kernel_initializer),
                kernel_regularizer=self.kernel_regularizer,
                dtype=self.dtype_policy,
                name=f"conv_{i}",
            )
            for i, side in enumerate(sides)
        ]
        self.norms = [choose_norm(norm, epsilon=1e-5, dtype=self.dtype_policy) for _ in sides]
        self.activations = [
            resolve(
                activation,
                kind="activation",
                argument="activation",
                fresh=True,
                dtype=self.dtype_policy,
            )
            for _ in sides[1:]
        ]

    def build(self, input_shape: Shape) -> None:
        """Build all convolutions, norms and activations."""
        require_whole_patches(input_shape, self._patch)
        channels_of(input_shape)
        shape = input_shape
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
            build_part(norm, shape)
            if i < len(self.activations):
                build_part(self.activations[i], shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Convolve, normalize, activate, from small patches to large."""
        require_whole_patches(inputs.shape, self._patch)
        x = inputs
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = call_part(norm, conv(x), training)
            if i < len(self.activations):
                x = call_part(self.activations[i], x, training)
        return as_sequence(x) if self.flatten else x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Tokens, or the map of tokens."""
        require_whole_patches(input_shape, self._patch)
        return token_shape(input_shape, self._patch, self.embed_dim, self.flatten)

    @property
    def _patch(self) -> tuple[int, int]:
        """Height and width of a patch."""
        return (self.patch_size, self.patch_size)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Batch normalization, and a linear stem that gives a map."""
        yield Example(
            cls,
            {"embed_dim": 8},
            TensorSpec((2, 16, 32, 1)),
            traits=frozenset({"couples_batch"}),
        )
        yield Example(
            cls,
            {"embed_dim": 4, "patch_size": 8, "norm": "none", "flatten": False},
            TensorSpec((2, 8, 16, 2)),
            name="linear_map",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Widths and patches that do not divide."""
        yield Rejection(cls, {"embed_dim": 6}, "embed_dim")
        yield Rejection(cls, {"embed_dim": 8, "patch_size": 12}, "patch_size")
        yield Rejection(cls, {"embed_dim": 8, "patch_size": 4}, "patch_size")
        yield Rejection(cls, {"embed_dim": 8, "norm": "no_such"}, "norm")
        yield Rejection(cls, {"embed_dim": 8}, "patch_size", build=(None, 16, 20, 3))
