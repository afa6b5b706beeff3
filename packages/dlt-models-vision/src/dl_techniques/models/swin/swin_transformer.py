"""The Swin transformer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import keras

from dl_techniques.core import (
    Count,
    Example,
    Fraction,
    PositiveNumber,
    Rejection,
    TensorSpec,
    component,
)
from dl_techniques.layers import PatchEmbedding, PatchMerging, SwinTransformerBlock
from dl_techniques.layers.arguments import (
    require_integers,
)
from dl_techniques.models.vision.graph import (
    classifier,
    drop_path_rates,
    image_input,
    pooled,
    require_ends,
    truncated_normal,
)
from dl_techniques.models.vision.vision_model import VisionModel


class Size(NamedTuple):
    """The settings of a variant."""

    dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]


SIZES: Mapping[str, Size] = {
    "tiny": Size(96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "small": Size(96, (2, 2, 18, 2), (3, 6, 12, 24)),
    "base": Size(128, (2, 2, 18, 2), (4, 8, 16, 32)),
    "large": Size(192, (2, 2, 18, 2), (6, 12, 24, 48)),
}


@component(
    "dl_techniques>SwinTransformer",
    kind="model",
    tags=("vision", "transformer", "classification"),
    paper="arXiv:2103.14030",
    since="0.1",
    variants=("tiny", "small", "base", "large"),
)
class SwinTransformer(VisionModel):
    """Swin transformer: attention within windows that shift from block to block, in four stages.

    y = head(mean(LN(x_4))), x_s = blocks_s(merge(x_(s - 1))), x_1 = blocks_1(LN(patches)).

    Images of any size: maps are padded to whole windows, then rolled, as torchvision,
    transformers and the original code do. (timm rolls first, which differs where windows do not
    divide the map, and shrinks windows that are larger than it.)

    Args:
        variant: `"tiny"`, `"small"`, `"base"` or `"large"`.
        include_top: Whether the model ends with its classifier.
        weights: First weights: `None` for random ones, a tag such as `"imagenet"`, a file of any
            layout, or a `WeightEntry`.
        input_shape: Height, width and channels of the images; height and width may be `None`.
        classes: Number of classes.
        classifier_activation: Activation of the classifier; `None` for logits.
        pooling: Without the classifier: `None` for the normalized map, `"avg"` or `"max"`.
        patch_size: Side of the first patches.
        window_size: Side of a window; 12 for the weights of 384 pixels.
        dim: Channels of the first stage, which double in each; `None` for the variant's.
        depths: Blocks of the stages; `None` for the variant's.
        num_heads: Heads of the stages; `None` for the variant's.
        mlp_ratio: Hidden width of a block's MLP, in widths of a token.
        qkv_bias: Whether queries, keys and values have biases.
        norm_epsilon: Added to the variance in all norms.
        dropout: Rate of dropout in the blocks.
        drop_path: Rate of stochastic depth of the last block; it grows linearly from 0.
        preprocess: Arguments of `dl_techniques.weights.Preprocess`; `None` for those of the
            weights.
        include_preprocessing: Whether the model normalizes images of 0 to 255 itself.
        seed: Seed of all dropouts.
        accept_license: The licence of the weights that you accept, where consent is asked for.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        `(batch, height, width, channels)`, whole numbers of patches.

    Output shape:
        `(batch, classes)`; without the classifier `(batch, height / 32, width / 32, 8 dim)`, or
        `(batch, 8 dim)` with pooling.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.swin import SwinTransformer
        >>> model = SwinTransformer(dim=4, depths=(1, 2), num_heads=(1, 2), classes=5)
        >>> model(np.zeros((2, 224, 224, 3))).shape[1]
        5

    References:
        Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
        arXiv:2103.14030.
    """

    settings = SIZES
    preprocessing: ClassVar[Mapping[str, Any]] = {"size": 224, "crop_pct": 0.9}

    def __init__(
        self,
        variant: str = "tiny",
        include_top: bool = True,
        weights: Any = None,
        input_shape: Sequence[int | None] | None = None,
        classes: int = 1000,
        classifier_activation: Any = None,
        pooling: str | None = None,
        patch_size: Count = 4,
        window_size: Count = 7,
        dim: int | None = None,
        depths: Sequence[int] | None = None,
        num_heads: Sequence[int] | None = None,
        mlp_ratio: PositiveNumber = 4.0,
        qkv_bias: bool = True,
        norm_epsilon: PositiveNumber = 1e-5,
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
        first, counts = dim or size.dim, tuple(depths or size.depths)
        heads = tuple(num_heads or size.num_heads)
        require_ends(classes, pooling)
        require_integers(dim=first)
        if len(heads) != len(counts) or not all(n > 0 for n in counts):
            raise ValueError(
                "`depths` must be positive, and as many as `num_heads`. "
                f"Received: depths={counts}, num_heads={heads}"
            )
        if any(first * 2**i % h for i, h in enumerate(heads)):
            raise ValueError(
                "`num_heads` must divide the channels of each stage. "
                f"Received: num_heads={heads}, dim={first}"
            )
        source = self.source_of(variant, weights, accept_license)
        settings = self.preprocess_of(source, preprocess, variant)
        inputs, x = image_input(input_shape, settings, include_preprocessing)
        norm = {"class_name": "LayerNormalization", "config": {"epsilon": norm_epsilon}}
        x = PatchEmbedding(
            patch_size,
            first,
            norm=norm,
            flatten=False,
            strict_size="pad",
            kernel_initializer=truncated_normal(),
            name="patches",
        )(x)
        rates = iter(drop_path_rates(drop_path, sum(counts)))
        levels, number = [], 0
        for stage, (depth, head) in enumerate(zip(counts, heads, strict=True)):
            if stage:
                x = PatchMerging(
                    norm_epsilon=norm_epsilon,
                    kernel_initializer=truncated_normal(),
                    name=f"down{stage}",
                )(x)
            for i in range(depth):
                x = SwinTransformerBlock(
                    None,
                    head,
                    window_size=window_size,
                    shift_size=window_size // 2 if i % 2 else 0,
                    mlp_ratio=mlp_ratio,
                    qkv_bias=qkv_bias,
                    norm_epsilon=norm_epsilon,
                    dropout=dropout,
                    drop_path=next(rates),
                    seed=None if seed is None else seed + 10 * number,
                    name=f"stage{stage}_block{i}",
                )(x)
                number += 1
            levels.append(f"stage{stage}_block{depth - 1}")
        x = keras.layers.LayerNormalization(epsilon=norm_epsilon, name="norm")(x)
        x = pooled(x, "avg" if include_top else pooling)
        if include_top:
            x = classifier(x, classes, classifier_activation)
        super().__init__(inputs, x, **kwargs)
        self.keep(given)
        self.finish(levels, source, accept_license)

    @classmethod
    def signature_of(cls, variant: str) -> tuple[int, int]:
        """All blocks, and the last width."""
        size = cls.settings_of(variant)
        return sum(size.depths), size.dim * 2 ** (len(size.depths) - 1)

    @classmethod
    def config_of(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Classes, and the side of a window."""
        rows, _ = shapes["stage0_block0.attention.relative_position_bias_table"]
        return {**super().config_of(shapes), "window_size": (round(rows**0.5) + 1) // 2}

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A classifier with shifted windows, and a map of images of any size."""
        images = TensorSpec((2, 16, 16, 3))
        small: dict[str, Any] = {"dim": 4, "depths": (2, 1), "num_heads": (1, 2)}
        small |= {"window_size": 2, "mlp_ratio": 2.0, "qkv_bias": False}
        yield Example(cls, {**small, "classes": 3, "input_shape": (16, 16, 3)}, images)
        bare = {"include_top": False, "input_shape": (None, None, 3), "depths": (1, 2)}
        yield Example(cls, {**small, **bare}, images, name="map")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Unknown words, numbers out of range."""
        yield Rejection(cls, {"variant": "enormous"}, "variant")
        yield Rejection(cls, {"depths": (1, 1)}, "depths")
        yield Rejection(cls, {"dim": 8}, "num_heads")
        yield Rejection(cls, {"input_shape": (32, 32)}, "input_shape")
