"""ConvNeXt, version 2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from dl_techniques.core import Example, Rejection, TensorSpec, component
from dl_techniques.layers import ConvNeXtV2Block
from dl_techniques.models.convnext.convnext import ConvNeXt, Size

SIZES: Mapping[str, Size] = {
    "atto": Size((2, 2, 6, 2), (40, 80, 160, 320)),
    "femto": Size((2, 2, 6, 2), (48, 96, 192, 384)),
    "pico": Size((2, 2, 6, 2), (64, 128, 256, 512)),
    "nano": Size((2, 2, 8, 2), (80, 160, 320, 640)),
    "tiny": Size((3, 3, 9, 3), (96, 192, 384, 768)),
    "base": Size((3, 3, 27, 3), (128, 256, 512, 1024)),
    "large": Size((3, 3, 27, 3), (192, 384, 768, 1536)),
    "huge": Size((3, 3, 27, 3), (352, 704, 1408, 2816)),
}


@component(
    "dl_techniques>ConvNeXtV2",
    kind="model",
    tags=("vision", "convolution", "classification"),
    paper="arXiv:2301.00808",
    since="0.1",
    variants=("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge"),
)
class ConvNeXtV2(ConvNeXt):
    """ConvNeXt V2: ConvNeXt whose hidden channels compete by global response normalization.

    As `ConvNeXtV1`, with global response normalization in the blocks in the place of their gains.

    Args:
        variant: `"atto"`, `"femto"`, `"pico"`, `"nano"`, `"tiny"`, `"base"`, `"large"` or `"huge"`.
        include_top: Whether the model ends with its classifier.
        weights: First weights: `None` for random ones, a tag such as `"imagenet"`, a file of any
            layout, or a `WeightEntry`.
        input_shape: Height, width and channels of the images; height and width may be `None`.
        classes: Number of classes.
        classifier_activation: Activation of the classifier; `None` for logits.
        pooling: Without the classifier: `None` for the normalized map, `"avg"` or `"max"`.
        depths: Blocks of the four stages; `None` for the variant's.
        dims: Channels of the four stages; `None` for the variant's.
        kernel_size: Size of the depthwise kernels.
        stem_strides: Side of the stem's patches.
        norm_epsilon: Added to the variance in all norms.
        drop_path: Rate of stochastic depth of the last block; it grows linearly from 0.
        preprocess: Arguments of `dl_techniques.weights.Preprocess`; `None` for those of the
            weights.
        include_preprocessing: Whether the model normalizes images of 0 to 255 itself.
        seed: Seed of stochastic depth.
        accept_license: The licence of the weights that you accept, where consent is asked for.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, classes)`; without the classifier `(batch, height / 32, width / 32, channels)`, or
        `(batch, channels)` with pooling.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.convnext import ConvNeXtV2
        >>> model = ConvNeXtV2(depths=(1, 1, 1, 1), dims=(4, 4, 8, 8), classes=5)
        >>> model(np.zeros((2, 224, 224, 3))).shape[1]
        5

    References:
        Woo et al., "ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders",
        arXiv:2301.00808.
    """

    settings = SIZES

    def __init__(
        self,
        variant: str = "tiny",
        include_top: bool = True,
        weights: Any = None,
        input_shape: Sequence[int | None] | None = None,
        classes: int = 1000,
        classifier_activation: Any = None,
        pooling: str | None = None,
        depths: Sequence[int] | None = None,
        dims: Sequence[int] | None = None,
        kernel_size: int = 7,
        stem_strides: int = 4,
        norm_epsilon: float = 1e-6,
        drop_path: float = 0.0,
        preprocess: Mapping[str, Any] | None = None,
        include_preprocessing: bool = False,
        seed: int | None = None,
        accept_license: str | None = None,
        **kwargs: Any,
    ) -> None:
        given = dict(locals())
        block = partial(
            ConvNeXtV2Block,
            kernel_size=kernel_size,
            norm_epsilon=norm_epsilon,
        )
        self.assemble(block, given, kwargs)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A classifier of images, and a map."""
        images = TensorSpec((2, 16, 16, 3))
        small: dict[str, Any] = {"depths": (1, 1, 1, 1), "dims": (4, 4, 6, 6), "kernel_size": 3}
        small |= {"stem_strides": 2}
        top = {"classes": 3, "input_shape": (16, 16, 3)}
        yield Example(cls, {**small, **top}, images)
        bare = {"include_top": False, "input_shape": (None, None, 3)}
        yield Example(cls, {**small, **bare}, images, name="map")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Unknown words, numbers out of range."""
        small = {"depths": (1, 1, 1, 1), "dims": (2, 2, 2, 2)}
        yield Rejection(cls, {"variant": "enormous"}, "variant")
        yield Rejection(cls, {"depths": (1, 1)}, "depths")
        yield Rejection(cls, {"dims": (4, 4, 4, 0)}, "dims")
        yield Rejection(cls, {**small, "drop_path": 2.0}, "drop_path")
        yield Rejection(cls, {**small, "kernel_size": 4}, "kernel_size")
        yield Rejection(cls, {**small, "include_top": False, "pooling": "sum"}, "pooling")
        yield Rejection(cls, {**small, "input_shape": (32, 32)}, "input_shape")
        yield Rejection(cls, {**small, "classes": 0}, "classes")
