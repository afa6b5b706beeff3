"""Images as sequences of patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    ConstraintLike,
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
from dl_techniques.layers.arguments import require_pair
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of
from dl_techniques.layers.embedding.patches import as_sequence, require_whole_patches, token_shape
from dl_techniques.layers.parts import build_part, call_part


@component(
    "dl_techniques>PatchEmbedding",
    kind="layer",
    tags=("embedding", "vision", "transformer"),
    paper="arXiv:2010.11929",
    since="0.1",
)
class PatchEmbedding(ChannelsLastLayer):
    """Patch embedding: cuts an image into patches and projects each to a token.

    y_n = x_n E + b, where x_n in R^(P^2 C) is the n-th patch in row-major order, flattened as
    (row, column, channel), and E in R^(P^2 C x D).

    Args:
        patch_size: Side P of a patch, one number or (height, width).
        embed_dim: Width D of a token.
        use_bias: Whether to add b.
        norm: Normalization of the tokens: a name such as `"RMSNorm"` or `"LayerNormalization"`
            (with epsilon 1e-6), a configuration, a layer, or `None` for nothing.
        flatten: Whether to return a sequence; otherwise the map of tokens is returned.
        strict_size: `True` to refuse images that are no whole number of patches; `"pad"` to pad
            them with zeros at the bottom and on the right.
        kernel_initializer: Initializer of E.
        bias_initializer: Initializer of b.
        kernel_regularizer: Regularizer of E.
        bias_regularizer: Regularizer of b.
        kernel_constraint: Constraint on E.
        bias_constraint: Constraint on b.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, C)`; height and width may be unknown.

    Output shape:
        `(batch, height / P * width / P, D)`, or `(batch, height / P, width / P, D)` if not
        `flatten`.

    Raises:
        ValueError: If a size is not positive, `strict_size` is unknown, or the image is no whole
            number of patches although it must be.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import PatchEmbedding
        >>> layer = PatchEmbedding(2, embed_dim=1, kernel_initializer="ones")
        >>> image = keras.ops.reshape(keras.ops.arange(16, dtype="float32"), (1, 4, 4, 1))
        >>> keras.ops.convert_to_numpy(layer(image)).tolist()
        [[[10.0], [18.0], [42.0], [50.0]]]

    References:
        Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at
        Scale", arXiv:2010.11929.
    """

    def __init__(
        self,
        patch_size: int | Sequence[int],
        embed_dim: Count,
        use_bias: bool = True,
        norm: Any = None,
        flatten: bool = True,
        strict_size: bool | str = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._patch = require_pair(patch_size=patch_size)
        self.patch_size = patch_size if isinstance(patch_size, int) else tuple(patch_size)
        self.embed_dim = embed_dim
        if strict_size is not True and strict_size != "pad":
            raise ValueError(
                f"`strict_size` must be True or 'pad'. Received: strict_size={strict_size!r}"
            )
        self.use_bias = use_bias
        self.norm = norm
        self.flatten = flatten
        self.strict_size = strict_size
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.projection = keras.layers.Conv2D(
            embed_dim,
            self._patch,
            strides=self._patch,
            use_bias=use_bias,
            data_format="channels_last",
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            dtype=self.dtype_policy,
            name="projection",
        )
        self.norm_layer = resolve(
            norm, kind="layer", argument="norm", epsilon=1e-6, dtype=self.dtype_policy
        )

    def build(self, input_shape: Shape) -> None:
        """Build the projection and the norm."""
        channels = channels_of(input_shape)
        self._require_whole_patches(input_shape)
        self.projection.build((None, None, None, channels))
        build_part(self.norm_layer, self.compute_output_shape(input_shape))

    def call(self, inputs: Tensor) -> Tensor:
        """Cut, project, normalize."""
        self._require_whole_patches(inputs.shape)
        x = inputs
        if self.strict_size == "pad":
            height, width = ops.shape(x)[1:3]
            rows, columns = self._patch
            x = ops.pad(x, ((0, 0), (0, -height % rows), (0, -width % columns), (0, 0)))
        x = self.projection(x)
        x = as_sequence(x) if self.flatten else x
        return call_part(self.norm_layer, x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Tokens, or the map of tokens."""
        self._require_whole_patches(input_shape)
        return token_shape(input_shape, self._patch, self.embed_dim, self.flatten)

    def _require_whole_patches(self, input_shape: Any) -> None:
        if self.strict_size is True:
            advice = "; `strict_size='pad'` fills an image up"
            require_whole_patches(input_shape, self._patch, advice)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Tokens, normalized tokens of a padded image, a map."""
        yield Example(cls, {"patch_size": 2, "embed_dim": 5}, TensorSpec((2, 4, 6, 3)))
        yield Example(
            cls,
            {"patch_size": (2, 3), "embed_dim": 4, "norm": "RMSNorm", "strict_size": "pad"},
            TensorSpec((2, 3, 4, 2)),
            name="padded",
        )
        yield Example(
            cls,
            {"patch_size": 2, "embed_dim": 4, "flatten": False, "use_bias": False},
            TensorSpec((2, 4, 2, 1)),
            name="map",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid sizes, an unknown rule, a cut patch."""
        good = {"patch_size": 4, "embed_dim": 8}
        yield Rejection(cls, {**good, "patch_size": 0}, "patch_size")
        yield Rejection(cls, {**good, "patch_size": (2, 2, 2)}, "patch_size")
        yield Rejection(cls, {**good, "strict_size": "crop"}, "strict_size")
        yield Rejection(cls, {**good, "norm": "NoSuchNorm"}, "norm")
        yield Rejection(cls, good, "patch_size", build=(None, 10, 8, 3))
