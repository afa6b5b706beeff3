"""MobileNetV4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from dl_techniques.core import (
    Count,
    Example,
    Fraction,
    PositiveNumber,
    Rejection,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers import UIB, ConvBlock, MobileMQABlock
from dl_techniques.layers.arguments import (
    require_integers,
)
from dl_techniques.layers.conv.universal_inverted_bottleneck import rounded_to_eights
from dl_techniques.models.mobilenet_v4.stages import SIZES, Block, parse_stage
from dl_techniques.models.vision.graph import classifier, drop_path_rates, image_input, pooled
from dl_techniques.models.vision.vision_model import VisionModel

_MOMENTUM, _EPSILON = 0.9, 1e-5


@component(
    "dl_techniques>MobileNetV4",
    kind="model",
    tags=("vision", "convolution", "mobile", "classification"),
    paper="arXiv:2404.10518",
    since="0.1",
    variants=("conv_small", "conv_medium", "conv_large", "hybrid_medium", "hybrid_large"),
)
class MobileNetV4(VisionModel):
    """MobileNetV4: universal inverted bottlenecks, in the hybrid variants with attention.

    y = head(act(BN(W mean(x_5)))), x_i = stage_i(x_(i - 1)), x_0 = act(BN(conv_3x3(images))).

    Args:
        variant: `"conv_small"`, `"conv_medium"`, `"conv_large"`, `"hybrid_medium"` or
            `"hybrid_large"`.
        include_top: Whether the model ends with its classifier.
        weights: First weights: `None` for random ones, a tag such as `"imagenet"`, a file of any
            layout, or a `WeightEntry`.
        input_shape: Height, width and channels of the images; height and width may be `None`.
        classes: Number of classes.
        classifier_activation: Activation of the classifier; `None` for logits.
        pooling: Without the classifier: `None` for the last map, `"avg"` for the features that the
            classifier would get.
        width: Factor of all channels but the stem's and the head's.
        stages: The blocks of each stage, in the notation of
            `dl_techniques.models.mobilenet_v4.stages`; `None` for the variant's.
        stem_filters: Channels of the stem; `None` for the variant's.
        head_filters: Features that the classifier gets.
        activation: Activation of all layers; `None` for the variant's.
        layer_scale_init: Initial gain of the branches; `None` for no gain, `"variant"` for the
            variant's.
        dropout: Rate of dropout before the classifier.
        drop_path: Rate of stochastic depth of the last block; it grows linearly from 0.
        preprocess: Arguments of `dl_techniques.weights.Preprocess`; `None` for those of the
            weights.
        include_preprocessing: Whether the model normalizes images of 0 to 255 itself.
        seed: Seed of all dropouts.
        accept_license: The licence of the weights that you accept, where consent is asked for.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        `(batch, height, width, channels)`; any size.

    Output shape:
        `(batch, classes)`; without the classifier `(batch, height / 32, width / 32, 960)`, or
        `(batch, head_filters)` with pooling.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.mobilenet_v4 import MobileNetV4
        >>> model = MobileNetV4(stages=[["C(3,2,8)"], ["U(3,3,2,2,16)"]], classes=5)
        >>> model(np.zeros((2, 224, 224, 3))).shape[1]
        5

    References:
        Qin et al., "MobileNetV4: Universal Models for the Mobile Ecosystem", arXiv:2404.10518.
    """

    settings = SIZES
    block = r"stage\d+_block\d+"
    width_path = "head_norm.gamma"
    top_layers = ("head", "head_dense", "head_norm")

    def __init__(
        self,
        variant: str = "conv_small",
        include_top: bool = True,
        weights: Any = None,
        input_shape: Sequence[int | None] | None = None,
        classes: Count = 1000,
        classifier_activation: Any = None,
        pooling: str | None = None,
        width: PositiveNumber = 1.0,
        stages: Sequence[Sequence[str]] | None = None,
        stem_filters: int | None = None,
        head_filters: Count = 1280,
        activation: Any = None,
        layer_scale_init: float | str | None = "variant",
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
        stem = size.stem if stem_filters is None else stem_filters
        require_integers(stem_filters=stem)
        if pooling not in {None, "avg"}:
            raise ValueError(f"`pooling` must be None or 'avg'. Received: pooling={pooling!r}")
        scale = size.layer_scale_init if layer_scale_init == "variant" else layer_scale_init
        if isinstance(scale, str):
            raise ValueError(
                "`layer_scale_init` must be a number, None or 'variant'. "
                f"Received: layer_scale_init={layer_scale_init!r}"
            )
        blocks = [parse_stage(codes) for codes in stages or size.stages]
        build = _Blocks(size.activation if activation is None else activation, scale, width, seed)
        source = self.source_of(variant, weights, accept_license)
        settings = self.preprocess_of(source, preprocess, variant)
        inputs, x = image_input(input_shape, settings, include_preprocessing)
        x = build.conv(x, stem, 3, 2, "stem")
        levels = ["stem"]
        rates = iter(drop_path_rates(drop_path, sum(map(len, blocks))))
        for i, stage in enumerate(blocks):
            for j, block in enumerate(stage):
                x = build.block(x, block, next(rates), f"stage{i}_block{j}")
            levels.append(build.last)
        if include_top or pooling:
            x = build.head(pooled(x, "avg"), head_filters)
        if include_top:
            if dropout:
                x = keras.layers.Dropout(dropout, seed=seed, name="dropout")(x)
            x = classifier(x, classes, classifier_activation)
        super().__init__(inputs, x, **kwargs)
        self.keep(given)
        self.finish(_by_strides(levels, blocks), source, accept_license)

    @classmethod
    def signature_of(cls, variant: str) -> tuple[int, int]:
        """All blocks, and the features of the head."""
        return sum(len(parse_stage(s)) for s in cls.settings_of(variant).stages), 1280

    @classmethod
    def preprocessing_of(cls, variant: str) -> Mapping[str, Any]:
        """The size and crop that the variant was published with."""
        size = cls.settings_of(variant)
        return {"size": size.image, "crop_pct": size.crop_pct}

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Convolutions alone, and a hybrid."""
        images = TensorSpec((2, 16, 16, 3))
        small: dict[str, Any] = {"input_shape": (16, 16, 3), "activation": "silu"}
        small |= {"stem_filters": 4, "head_filters": 6}
        stages = [["C(3,2,8)", "F(8)"], ["U(3,3,2,2,8)", "U(0,3,1,2)"]]
        traits = frozenset({"changes_in_training"})
        yield Example(cls, {**small, "classes": 3, "stages": stages}, images, traits=traits)
        # Softmax is blind to a shift of all keys, and so to the bias of their norm: strides 1.
        hybrid = {"stages": [["C(3,2,8)"], ["M(2,4,1)"]], "layer_scale_init": 0.5}
        hybrid |= {"include_top": False, "input_shape": (None, None, 3)}
        yield Example(cls, {**small, **hybrid}, images, traits=traits, name="hybrid")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Unknown words, numbers out of range."""
        yield Rejection(cls, {"variant": "enormous"}, "variant")
        yield Rejection(cls, {"stages": [["U(3,3)"]]}, "stages")
        yield Rejection(cls, {"stages": [["X(3)"]]}, "stages")
        yield Rejection(cls, {"pooling": "max"}, "pooling")
        yield Rejection(cls, {"layer_scale_init": "large"}, "layer_scale_init")
        yield Rejection(cls, {"input_shape": (32, 32)}, "input_shape")


class _Blocks:
    """Makes the blocks of one network."""

    def __init__(
        self, activation: Any, scale: float | None, width: float, seed: int | None
    ) -> None:
        self.activation = activation
        self.scale = scale
        self.width = width
        self.seed = seed
        self.made = 0
        self.last = ""
        self.norm: dict[str, Any] = {"norm_momentum": _MOMENTUM, "norm_epsilon": _EPSILON}

    def conv(
        self, x: Tensor, filters: int, kernel: int, strides: int, name: str, act: bool = True
    ) -> Tensor:
        """A convolution, its norm and, perhaps, the activation."""
        activation = self.activation if act else None
        block = ConvBlock(filters, kernel, strides, activation=activation, name=name, **self.norm)
        return block(x)

    def block(self, x: Tensor, block: Block, rate: float, name: str) -> Tensor:
        """One block of a stage."""
        kind, n = block
        self.made += 1
        self.last = f"project_{name}" if kind == "F" else name
        seed = None if self.seed is None else self.seed + self.made
        if kind == "C":
            return self.conv(x, self._channels(n[2]), n[0], n[1], name)
        if kind == "F":
            x = self.conv(x, rounded_to_eights(4 * x.shape[-1]), 3, 2, f"expand_{name}")
            return self.conv(x, self._channels(n[0]), 1, 1, self.last, act=False)
        if kind == "M":
            return self._attention(x, n, rate, seed, name)
        return UIB(
            self._channels(n[4]) if len(n) > 4 else x.shape[-1],
            n[3],
            start_dw_kernel_size=n[0],
            middle_dw_kernel_size=n[1],
            strides=n[2],
            activation=self.activation,
            layer_scale_init=self.scale,
            drop_path=rate,
            seed=seed,
            name=name,
            **self.norm,
        )(x)

    def _attention(
        self, x: Tensor, n: tuple[int, ...], rate: float, seed: int | None, name: str
    ) -> Tensor:
        heads, dim, strides = n
        norm = {"momentum": _MOMENTUM, "epsilon": _EPSILON}
        return MobileMQABlock(
            heads,
            key_dim=dim,
            value_dim=dim,
            kv_strides=strides,
            layer_scale_init=self.scale,
            drop_path=rate,
            norm={"class_name": "BatchNormalization", "config": norm},
            seed=seed,
            name=name,
        )(x)

    def head(self, x: Tensor, filters: int) -> Tensor:
        """Build the layers between the mean and the classifier."""
        x = keras.layers.Dense(filters, use_bias=False, name="head_dense")(x)
        norm = {"momentum": _MOMENTUM, "epsilon": _EPSILON}
        x = keras.layers.BatchNormalization(name="head_norm", **norm)(x)
        return keras.layers.Activation(self.activation, name="head_activation")(x)

    def _channels(self, filters: int) -> int:
        return filters if self.width == 1.0 else rounded_to_eights(filters * self.width)


def _by_strides(levels: Sequence[str], blocks: Sequence[Sequence[Block]]) -> list[str]:
    """The last layer of each resolution: a stage without strides goes on with the one before."""
    kept: list[str] = [levels[0]]
    for name, stage in zip(levels[1:], blocks, strict=True):
        steps = [
            b.kind == "F" or (b.kind in "CU" and b.numbers[-3 if b.kind == "U" else 1] > 1)
            for b in stage
        ]
        if any(steps):
            kept.append(name)
        else:
            kept[-1] = name
    return kept
