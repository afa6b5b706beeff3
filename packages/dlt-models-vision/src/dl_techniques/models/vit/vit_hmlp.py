"""The vision transformer with a hierarchical stem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.layers import HierarchicalMLPStem
from dl_techniques.models.vision.graph import truncated_normal
from dl_techniques.models.vit.vit import SIZES, Size, ViT

_BATCH_NORM = {"class_name": "BatchNormalization", "config": {"momentum": 0.9, "epsilon": 1e-5}}


@component(
    "dl_techniques>ViTHMLP",
    kind="model",
    tags=("vision", "transformer", "classification"),
    paper="arXiv:2203.09795",
    aliases=("dl_techniques>HierarchicalVisionTransformer",),
    since="0.1",
    variants=("tiny", "small", "base", "large"),
)
class ViTHMLP(ViT):
    """Vision transformer with a hierarchical MLP stem, whose patches grow from 4 to 16 pixels.

    `ViT` with its patch projection replaced by `HierarchicalMLPStem`, which sees no more than one
    patch at a time. With batch normalization that holds at inference only: in training the
    statistics of a batch couple its patches.

    Args:
        variant: `"tiny"`, `"small"`, `"base"` or `"large"`.
        stem_norm: What normalizes in the stem: `"batch"` (momentum 0.9, epsilon 1e-5), `"layer"`,
            or anything that names or is a layer.
        include_top: Whether the model ends with its classifier.
        weights: First weights: `None` for random ones, a tag such as `"imagenet"`, a file of any
            layout, or a `WeightEntry`. Positions are resampled to the size of the images.
        input_shape: Height, width and channels of the images; whole numbers of patches.
        classes: Number of classes.
        classifier_activation: Activation of the classifier; `None` for logits.
        pooling: What is classified: the class `"token"`, or the mean (`"avg"`) of the patches,
            which then stands before the last norm. With `include_top=False`, `None` gives all
            tokens.
        patch_size: Side of a patch, a power of two, at least 8; `None` for 16.
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
        As of `ViT`.

    Raises:
        ValueError: If an argument is out of range, or the images are no whole number of patches.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.vit import ViTHMLP
        >>> model = ViTHMLP("tiny", depth=1, classes=5, input_shape=(32, 32, 3))
        >>> model(np.zeros((2, 32, 32, 3))).shape[1]
        5

    References:
        Touvron et al., "Three things everyone should know about Vision Transformers",
        arXiv:2203.09795.
    """

    settings: ClassVar[Mapping[str, Size]] = {
        name: size for name, size in SIZES.items() if name != "huge"
    }

    def __init__(self, variant: str = "base", stem_norm: Any = "batch", **kwargs: Any) -> None:
        self._stem_norm = _BATCH_NORM if stem_norm == "batch" else stem_norm
        super().__init__(variant, **kwargs)
        self.stem_norm = stem_norm

    def _stem(self, x: Tensor, dim: int, patch_size: Any) -> Tensor:
        """Images as tokens, (batch, patches, dim)."""
        stem = HierarchicalMLPStem(
            dim,
            patch_size,
            norm=self._stem_norm,
            kernel_initializer=truncated_normal(),
            name="patches",
        )
        return stem(x)

    @classmethod
    def config_of(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Classes, gains, and the size of the images."""
        kernels = [n for n in shapes if n.startswith("patches.convs.") and n.endswith("kernel")]
        patch = 4 * 2 ** (len(kernels) - 1)
        channels = shapes["patches.convs.0.kernel"][2]
        stem = {"patches.projection.kernel": (patch, patch, channels, 0)}
        return super().config_of({**shapes, **stem})

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A classifier with batch normalization in the stem, and one without."""
        images = TensorSpec((2, 16, 16, 3))
        small: dict[str, Any] = {"dim": 8, "depth": 1, "num_heads": 2, "input_shape": (16, 16, 3)}
        small |= {"mlp_ratio": 1.0, "qkv_bias": False, "patch_size": 8, "classes": 3}
        traits = frozenset({"changes_in_training"})
        batch = {"stem_norm": "batch", "pooling": "avg"}
        yield Example(cls, {**small, **batch}, images, traits=traits)
        yield Example(cls, {**small, "stem_norm": "layer"}, images, name="layer")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Unknown words, patches that cannot grow."""
        yield Rejection(cls, {"variant": "huge"}, "variant")
        yield Rejection(cls, {"variant": "tiny", "patch_size": 14}, "patch_size")
        yield Rejection(cls, {"variant": "tiny", "stem_norm": "no_such"}, "norm")
        yield Rejection(cls, {"variant": "tiny", "input_shape": (30, 32, 3)}, "input_shape")
