"""A stem of capsules that are routed from small patches to large."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    InitializerLike,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers.arguments import require_pair
from dl_techniques.layers.capsules.capsule_block import CapsuleBlock
from dl_techniques.layers.capsules.primary_capsule import PrimaryCapsule
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of
from dl_techniques.layers.embedding.patches import as_sequence, require_whole_patches, token_shape
from dl_techniques.layers.parts import dense_part, fresh_initializer


@component(
    "dl_techniques>HierarchicalCapsuleStem",
    kind="layer",
    tags=("embedding", "vision", "transformer", "capsule", "experimental"),
    since="0.1",
)
class HierarchicalCapsuleStem(ChannelsLastLayer):
    """Capsule stem (experimental): capsules of 4 x 4 pixels, routed and averaged up to a patch.

    x_4 = route(primary(image)), x_2s = route(mean of 2 x 2 neighbours(x_s)) for s = 4, 8, ...,
    P / 2, token = x_P W + b

    At each scale every position has n capsules of c components. Routing is local: the n capsules
    of a position become n others of the same position, by a kernel that all positions of the
    scale share. So no patch sees another one. The stem is this project's own; there is no paper
    and no result that shows what it is good for.

    Squashing makes short capsules much shorter, and a few scales of it would leave nothing of
    them. The routing kernels therefore start at a deviation of 3 sqrt(n / c), at which lengths
    settle between 0 and 1: with |s| = g |u| for random kernels of n capsules that share
    themselves out equally, |v| = |s|^2 / (1 + |s|^2) has a stable value above zero if g > 2.

    Args:
        embed_dim: Width D of a token.
        img_size: Height and width of the images, one number or two; `None` for any.
        patch_size: Side P of a patch: 4 times a power of two.
        num_capsules: Capsules n at each position.
        capsule_dim: Components c of a capsule.
        routing_iterations: Rounds of routing at each scale.
        use_layer_norm: Whether to normalize the components of each capsule after routing, which
            makes all lengths about sqrt(c).
        flatten: Whether to return a sequence; otherwise the map of tokens is returned.
        kernel_initializer: Initializer of the convolution and of W.
        routing_initializer: Initializer of the routing kernels; `None` for a truncated normal
            distribution of the deviation above.
        kernel_regularizer: Regularizer of all kernels.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, whole numbers of patches; both may be unknown.

    Output shape:
        `(batch, height / P * width / P, D)`, or `(batch, height / P, width / P, D)` if not
        `flatten`.

    Raises:
        ValueError: If a number is not positive, `patch_size` is not as above, or the image is no
            whole number of patches or not of `img_size`.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import HierarchicalCapsuleStem
        >>> stem = HierarchicalCapsuleStem(embed_dim=4, img_size=(8, 16), patch_size=8)
        >>> tuple(stem(keras.ops.ones((1, 8, 16, 3))).shape)
        (1, 2, 4)

    References:
        Sabour, Frosst and Hinton, "Dynamic Routing Between Capsules", arXiv:1710.09829 (the
        routing). Touvron et al., "Three things everyone should know about Vision Transformers",
        arXiv:2203.09795 (stems whose patches are independent).
    """

    def __init__(
        self,
        embed_dim: Count,
        img_size: int | Sequence[int] | None = None,
        patch_size: Count = 16,
        num_capsules: Count = 8,
        capsule_dim: Count = 8,
        routing_iterations: int = 3,
        use_layer_norm: bool = False,
        flatten: bool = True,
        kernel_initializer: InitializerLike = "lecun_normal",
        routing_initializer: InitializerLike | None = None,
        kernel_regularizer: RegularizerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if patch_size < 4 or patch_size & (patch_size - 1):
            raise ValueError(
                "`patch_size` must be a power of two, at least 4. "
                f"Received: patch_size={patch_size}"
            )
        self._patch = (patch_size, patch_size)
        self._image: tuple[int | None, int | None] = (None, None)
        if img_size is not None:
            self._image = require_pair(img_size=img_size)
            img_size = img_size if isinstance(img_size, int) else tuple(img_size)
        if any(size is not None and size % patch_size for size in self._image):
            raise ValueError(
                "`img_size` must be a whole number of patches. "
                f"Received: img_size={img_size}, patch_size={patch_size}"
            )
        self.embed_dim = embed_dim
        self.img_size = img_size
        self.patch_size = patch_size
        self.num_capsules = num_capsules
        self.capsule_dim = capsule_dim
        self.routing_iterations = routing_iterations
        self.use_layer_norm = use_layer_norm
        self.flatten = flatten
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.routing_initializer = (
            keras.initializers.TruncatedNormal(stddev=3.0 * math.sqrt(num_capsules / capsule_dim))
            if routing_initializer is None
            else keras.initializers.get(routing_initializer)
        )
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.primary = PrimaryCapsule(
            num_capsules,
            capsule_dim,
            kernel_size=4,
            strides=4,
            kernel_initializer=fresh_initializer(self.kernel_initializer),
            kernel_regularizer=self.kernel_regularizer,
            data_format="channels_last",
            dtype=self.dtype_policy,
            name="primary",
        )
        scales = patch_size.bit_length() - 2
        self.blocks = [
            CapsuleBlock(
                num_capsules,
                capsule_dim,
                routing_iterations=routing_iterations,
                use_layer_norm=use_layer_norm,
                kernel_initializer=fresh_initializer(self.routing_initializer),
                kernel_regularizer=self.kernel_regularizer,
                dtype=self.dtype_policy,
                name=f"block_{i}",
            )
            for i in range(scales)
        ]
        self.pool = keras.layers.AveragePooling2D(
            2, data_format="channels_last", dtype=self.dtype_policy, name="pool"
        )
        self.projection = dense_part(self, embed_dim, "projection")

    def build(self, input_shape: Shape) -> None:
        """Build the convolution, the routing of each scale, and the projection."""
        channels = channels_of(input_shape)
        self._require_image(input_shape)
        self.primary.build((None, None, None, channels))
        for block in self.blocks:
            block.build((None, self.num_capsules, self.capsule_dim))
        self.projection.build((None, None, None, self.num_capsules * self.capsule_dim))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Route at each scale, and average between them."""
        self._require_image(inputs.shape)
        capsules = self.primary(inputs)
        batch, height, width, _ = ops.shape(inputs)
        features = self.num_capsules * self.capsule_dim
        x = ops.reshape(capsules, (batch, height // 4, width // 4, features))
        for i, block in enumerate(self.blocks):
            x = self.pool(x) if i else x
            shape = (batch, *ops.shape(x)[1:])
            at_positions = ops.reshape(x, (-1, self.num_capsules, self.capsule_dim))
            x = ops.reshape(block(at_positions, training=training), shape)
        x = self.projection(x)
        return as_sequence(x) if self.flatten else x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Tokens, or the map of tokens."""
        self._require_image(input_shape)
        height, width = (
            size if declared is None else declared
            for size, declared in zip(input_shape[1:3], self._image, strict=True)
        )
        shape = (input_shape[0], height, width, input_shape[3])
        return token_shape(shape, self._patch, self.embed_dim, self.flatten)

    def _require_image(self, input_shape: Any) -> None:
        require_whole_patches(input_shape, self._patch)
        sizes = zip(input_shape[1:3], self._image, strict=True)
        if any(isinstance(n, int) and declared not in {None, n} for n, declared in sizes):
            raise ValueError(
                "Height and width must be `img_size`. Received: "
                f"input_shape={tuple(input_shape)}, img_size={self.img_size}"
            )

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Three scales."""
        yield Example(cls, {"embed_dim": 4}, TensorSpec((2, 16, 16, 1)))

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers, patches and images that do not fit."""
        good = {"embed_dim": 6, "img_size": 32}
        yield Rejection(cls, {**good, "patch_size": 12}, "patch_size")
        yield Rejection(cls, {**good, "patch_size": 2}, "patch_size")
        yield Rejection(cls, {**good, "img_size": 40}, "img_size")
        yield Rejection(cls, {**good, "img_size": (32, 32, 3)}, "img_size")
        yield Rejection(cls, {**good, "routing_iterations": 0}, "routing_iterations")
        yield Rejection(cls, good, "img_size", build=(None, 32, 48, 3))
        yield Rejection(cls, {"embed_dim": 6}, "patch_size", build=(None, 32, 40, 3))
        yield Rejection(cls, {**good, "data_format": "channels_first"}, "data_format")
