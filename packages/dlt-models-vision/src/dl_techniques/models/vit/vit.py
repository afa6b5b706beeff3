"""The vision transformer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import keras

from dl_techniques.core import (
    Count,
    Example,
    Fraction,
    PositiveNumber,
    Rejection,
    Tensor,
    TensorSpec,
    Whole,
    component,
)
from dl_techniques.layers import (
    ClassToken,
    PatchEmbedding,
    PositionalEmbedding,
    VisionTransformerLayer,
)
from dl_techniques.layers.arguments import (
    require_integers,
    require_one_of,
    require_pair,
)
from dl_techniques.models.vision.graph import (
    classifier,
    drop_path_rates,
    image_input,
    patch_map,
    truncated_normal,
)
from dl_techniques.models.vision.vision_model import VisionModel


class Size(NamedTuple):
    """The settings of a variant."""

    dim: int
    depth: int
    num_heads: int
    patch_size: int = 16


SIZES: Mapping[str, Size] = {
    "tiny": Size(192, 12, 3),
    "small": Size(384, 12, 6),
    "base": Size(768, 12, 12),
    "large": Size(1024, 24, 16),
    "huge": Size(1280, 32, 16, 14),
}
POOLINGS = ("token", "avg")


@component(
    "dl_techniques>ViT",
    kind="model",
    tags=("vision", "transformer", "classification"),
    paper="arXiv:2010.11929",
    aliases=("dl_techniques>VisionTransformer",),
    since="0.1",
    variants=("tiny", "small", "base", "large", "huge"),
)
class ViT(VisionModel):
    """Vision transformer: patches and a class token through pre-norm transformer blocks.

    z_0 = [c; x_1 E; ...; x_N E] + P, z_l = block_l(z_(l - 1)), y = head(LN(z_L)_0).

    Args:
        variant: `"tiny"`, `"small"`, `"base"`, `"large"` (patches of 16 pixels) or `"huge"` (14).
        include_top: Whether the model ends with its classifier.
        weights: First weights: `None` for random ones, a tag such as `"imagenet"`, a file of any
            layout, or a `WeightEntry`. Positions are resampled to the size of the images.
        input_shape: Height, width and channels of the images; whole numbers of patches.
        classes: Number of classes.
        classifier_activation: Activation of the classifier; `None` for logits.
        pooling: What is classified: the class `"token"`, or the mean (`"avg"`) of the patches,
            which then stands before the last norm. With `include_top=False`, `None` gives all
            tokens.
        patch_size: Side of a patch, one number or two; `None` for the variant's.
        dim: Width of a token; `None` for the variant's.
        depth: Number of blocks; `None` for the variant's.
        num_heads: Number of heads; `None` for the variant's.
        mlp_ratio: Hidden width of a block's MLP, in widths of a token.
        qkv_bias: Whether queries, keys and values have biases.
        layer_scale_init: Initial gain of the branches; `None` for no gain.
        norm_epsilon: Epsilon of all norms.
        num_registers: Learned tokens after the class token.
        interpolation: How positions are resized to images of another size than the model's.
        dropout: Rate of dropout in the blocks.
        drop_path: Rate of stochastic depth of the last block; it grows linearly from 0.
        preprocess: Arguments of `dl_techniques.weights.Preprocess`; `None` for those of the
            weights.
        include_preprocessing: Whether the model normalizes images of 0 to 255 itself.
        seed: Seed of all dropouts.
        accept_license: The licence of the weights that you accept, where consent is asked for.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, classes)`; without the classifier `(batch, dim)` or, without pooling,
        `(batch, 1 + num_registers + patches, dim)`.

    Raises:
        ValueError: If an argument is out of range, or the images are no whole number of patches.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.vit import ViT
        >>> model = ViT("tiny", depth=1, classes=5, input_shape=(32, 32, 3))
        >>> model(np.zeros((2, 32, 32, 3))).shape[1]
        5

    References:
        Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at
        Scale", arXiv:2010.11929; its weights: Steiner et al., "How to train your ViT?",
        arXiv:2106.10270.
    """

    settings = SIZES
    preprocessing: ClassVar[Mapping[str, Any]] = {
        "size": 224,
        "crop_pct": 0.9,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
    }

    num_registers: int

    def __init__(
        self,
        variant: str = "base",
        include_top: bool = True,
        weights: Any = None,
        input_shape: Sequence[int] | None = None,
        classes: Count = 1000,
        classifier_activation: Any = None,
        pooling: str | None = "token",
        patch_size: int | Sequence[int] | None = None,
        dim: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        mlp_ratio: PositiveNumber = 4.0,
        qkv_bias: bool = True,
        layer_scale_init: float | None = None,
        norm_epsilon: PositiveNumber = 1e-6,
        num_registers: Whole = 0,
        interpolation: str = "bicubic_antialias",
        dropout: Fraction = 0.0,
        drop_path: Fraction = 0.0,
        preprocess: Mapping[str, Any] | None = None,
        include_preprocessing: bool = False,
        seed: int | None = None,
        accept_license: str | None = None,
        **kwargs: Any,
    ) -> None:
        given = dict(locals())
        size = self.settings_of(variant)
        patch = size.patch_size if patch_size is None else patch_size
        width = size.dim if dim is None else dim
        blocks = size.depth if depth is None else depth
        heads = size.num_heads if num_heads is None else num_heads
        require_integers(dim=width, depth=blocks, num_heads=heads)
        if pooling is not None or include_top:
            require_one_of(POOLINGS, pooling=pooling)
        if width % heads:
            raise ValueError(
                f"`num_heads` must divide `dim`. Received: dim={width}, num_heads={heads}"
            )
        source = self.source_of(variant, weights, accept_license)
        inputs, x = image_input(
            input_shape, self.preprocess_of(source, preprocess, variant), include_preprocessing
        )
        self._require_patches(inputs.shape[1:3], patch)
        x = self._stem(x, width, patch)
        prefix = 1 + num_registers
        x = ClassToken(prefix, initializer=truncated_normal(1e-6), name="class_token")(x)
        sides = require_pair(patch_size=patch)
        grid = tuple(n // side for n, side in zip(inputs.shape[1:3], sides, strict=True))
        x = PositionalEmbedding(
            grid_size=grid, prefix_tokens=prefix, interpolation=interpolation, name="positions"
        )(x)
        for i, rate in enumerate(drop_path_rates(drop_path, blocks)):
            x = VisionTransformerLayer(
                heads,
                mlp_ratio=mlp_ratio,
                qkv_bias=qkv_bias,
                layer_scale_init=layer_scale_init,
                drop_path=rate,
                dropout=dropout,
                norm_epsilon=norm_epsilon,
                seed=None if seed is None else seed + 10 * i,
                kernel_initializer=truncated_normal(),
                name=f"block{i}",
            )(x)
        if pooling == "avg":
            patches = keras.layers.Cropping1D((prefix, 0), name="patches_only")(x)
            x = keras.layers.GlobalAveragePooling1D(name="pool")(patches)
        x = keras.layers.LayerNormalization(epsilon=norm_epsilon, name="norm")(x)
        if pooling == "token":
            x = x[:, 0]
        if include_top:
            x = classifier(x, classes, classifier_activation)
        super().__init__(inputs, x, **kwargs)
        self.keep(given)
        self.finish([f"block{i}" for i in range(blocks)], source, accept_license)

    def _stem(self, x: Tensor, dim: int, patch_size: Any) -> Tensor:
        """Images as tokens, (batch, patches, dim)."""
        return PatchEmbedding(
            patch_size, dim, kernel_initializer=truncated_normal(), name="patches"
        )(x)

    def _require_patches(self, size: Sequence[int | None], patch_size: Any) -> None:
        sides = require_pair(patch_size=patch_size)
        if any(n is None or n % side for n, side in zip(size, sides, strict=True)):
            raise ValueError(
                "`input_shape` must be whole numbers of patches. "
                f"Received: input_shape of size {tuple(size)}, patch_size={patch_size}"
            )

    def feature(self, level: int) -> Tensor:
        """The patches after a block, as a map; without the last norm.

        Args:
            level: The number of the block.
        """
        tokens = self.get_layer(f"block{level}").output
        return patch_map(tokens, self.get_layer("positions").grid_size, 1 + self.num_registers)

    @classmethod
    def signature_of(cls, variant: str) -> tuple[int, int]:
        """Depth and width."""
        size = cls.settings_of(variant)
        return size.depth, size.dim

    @classmethod
    def config_of(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Classes, size of the patches, gains, and the size of the images."""
        config = super().config_of(shapes)
        patch, _, channels, _ = shapes["patches.projection.kernel"]
        side = math.isqrt(max(shapes["positions.embeddings"][:-1]) - 1) * patch
        config |= {"patch_size": patch, "input_shape": (side, side, channels)}
        if "block0.scales.0.gamma" in shapes:
            config["layer_scale_init"] = 1.0
        return config

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A classifier, and all tokens with registers and gains."""
        images = TensorSpec((2, 16, 16, 3))
        small: dict[str, Any] = {"dim": 8, "depth": 2, "num_heads": 2, "input_shape": (16, 16, 3)}
        small |= {"mlp_ratio": 1.0, "qkv_bias": False}
        yield Example(cls, {**small, "patch_size": 8, "classes": 3, "pooling": "avg"}, images)
        tokens: dict[str, Any] = {
            "patch_size": 8,
            "include_top": False,
            "pooling": None,
            "num_registers": 1,
        }
        tokens |= {"layer_scale_init": 0.5, "depth": 1}
        yield Example(cls, {**small, **tokens}, images, name="tokens")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Unknown words, numbers out of range, cut patches."""
        yield Rejection(cls, {"variant": "enormous"}, "variant")
        yield Rejection(cls, {"variant": "tiny", "num_heads": 5}, "num_heads")
        yield Rejection(cls, {"variant": "tiny", "depth": 0}, "depth")
        yield Rejection(cls, {"variant": "tiny", "pooling": "max"}, "pooling")
        yield Rejection(cls, {"variant": "tiny", "pooling": None}, "pooling")
        yield Rejection(cls, {"variant": "tiny", "input_shape": (30, 32, 3)}, "input_shape")
        yield Rejection(cls, {"variant": "tiny", "input_shape": (32, 32)}, "input_shape")
        yield Rejection(cls, {"variant": "tiny", "weights": 3}, "weights")
