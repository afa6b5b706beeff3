"""Depth Anything, versions 1 and 2."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

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
from dl_techniques.layers.arguments import require_integers
from dl_techniques.models.depth_anything import dpt
from dl_techniques.models.depth_anything.affine_invariant_loss import AffineInvariantLoss
from dl_techniques.models.vision.graph import patch_map
from dl_techniques.models.vision.vision_model import VisionModel
from dl_techniques.models.vit.vit import ViT
from dl_techniques.weights import WeightEntry

LEVELS = 4


class Size(NamedTuple):
    """The backbone of a variant, the blocks that its decoder reads, and the decoder's widths."""

    backbone: str
    taps: tuple[int, ...]
    neck: tuple[int, ...]
    fusion_dim: int


_NECKS: Mapping[str, tuple[tuple[int, ...], int]] = {
    "small": ((48, 96, 192, 384), 64),
    "base": ((96, 192, 384, 768), 128),
    "large": ((256, 512, 1024, 1024), 256),
}
SIZES: Mapping[str, Size] = {
    "v1_small": Size("small", (8, 9, 10, 11), *_NECKS["small"]),
    "v1_base": Size("base", (8, 9, 10, 11), *_NECKS["base"]),
    "v1_large": Size("large", (20, 21, 22, 23), *_NECKS["large"]),
    "v2_small": Size("small", (2, 5, 8, 11), *_NECKS["small"]),
    "v2_base": Size("base", (2, 5, 8, 11), *_NECKS["base"]),
    "v2_large": Size("large", (4, 11, 17, 23), *_NECKS["large"]),
}


@component(
    "dl_techniques>DepthAnything",
    kind="model",
    tags=("vision", "transformer", "depth"),
    paper="arXiv:2406.09414",
    since="0.1",
    variants=("v1_small", "v1_base", "v1_large", "v2_small", "v2_base", "v2_large"),
)
class DepthAnything(VisionModel):
    """Depth Anything: the depth of each pixel of one image, by a DINOv2 transformer.

    d = head(fuse(R_1(LN(z_{l_1})), ..., R_4(LN(z_{l_4}))))

    z_l are the tokens after a block, which a dense prediction decoder reassembles (R) as maps of
    4, 2, 1 and 1/2 places a patch and fuses from the coarsest to the finest. The versions differ
    in the blocks l_1, ..., l_4 only, so that the shapes of a file do not tell its version.

    Without `max_depth` the result is relative: larger is nearer, up to an unknown scale and
    shift; `fit(x, y)` then needs no loss, as `AffineInvariantLoss` is used. `DepthDistiller` trains
    with unlabelled images, too.

    Args:
        variant: `"v1_small"`, `"v1_base"`, `"v1_large"`, `"v2_small"`, `"v2_base"` or
            `"v2_large"`.
        weights: First weights: `None` for random ones, a tag such as `"relative"`, a file of any
            layout, or a `WeightEntry`. Positions are resampled to the size of the images.
        input_shape: Height, width and channels of the images; whole numbers of patches.
            `input_size` gives those that keep the aspect of an image.
        max_depth: Largest depth of a metric model, such as 20 meters indoors and 80 outdoors;
            `None` for that of the listed weights, and a relative model otherwise.
        patch_size: Side of a patch.
        dim: Width of a token; `None` for the variant's.
        depth: Number of blocks; `None` for the variant's.
        num_heads: Number of heads; `None` for the variant's.
        taps: Numbers of the four blocks that the decoder reads, from 0; `None` for the variant's.
        neck: Channels of the four reassembled maps; `None` for the variant's.
        fusion_dim: Channels of the fused maps; `None` for the variant's.
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
        `(batch, height, width)`.

    Raises:
        ValueError: If an argument is out of range, or the images are no whole number of patches.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.depth_anything import DepthAnything
        >>> small = {"dim": 8, "depth": 4, "num_heads": 2, "taps": (0, 1, 2, 3)}
        >>> small |= {"neck": (4, 4, 4, 4), "fusion_dim": 4}
        >>> model = DepthAnything("v2_small", input_shape=(28, 42, 3), **small)
        >>> tuple(model(np.zeros((1, 28, 42, 3))).shape)
        (1, 28, 42)

    References:
        Yang et al., "Depth Anything: Unleashing the Power of Large-Scale Unlabeled Data",
        arXiv:2401.10891, and "Depth Anything V2", arXiv:2406.09414. Ranftl, Bochkovskiy and
        Koltun, "Vision Transformers for Dense Prediction", arXiv:2103.13413.
    """

    settings = SIZES
    preprocessing: ClassVar[Mapping[str, Any]] = {"size": 518, "resize": "squash"}
    include_top: bool = True

    def __init__(
        self,
        variant: str = "v2_small",
        weights: Any = None,
        input_shape: Sequence[int] | None = None,
        max_depth: PositiveNumber | None = None,
        patch_size: Count = 14,
        dim: Count | None = None,
        depth: Count | None = None,
        num_heads: Count | None = None,
        taps: Sequence[int] | None = None,
        neck: Sequence[int] | None = None,
        fusion_dim: Count | None = None,
        drop_path: Fraction = 0.0,
        preprocess: Mapping[str, Any] | None = None,
        include_preprocessing: bool = False,
        seed: int | None = None,
        accept_license: str | None = None,
        **kwargs: Any,
    ) -> None:
        given = dict(locals())
        size = self.settings_of(variant)
        blocks = depth or ViT.settings_of(size.backbone).depth
        places = _taps(size.taps if taps is None else taps, blocks)
        widths = _neck(size.neck if neck is None else neck)
        fused = fusion_dim or size.fusion_dim
        if fused < 2:
            raise ValueError(f"`fusion_dim` must be at least 2. Received: fusion_dim={fusion_dim}")
        source = self.source_of(variant, weights, accept_license)
        if max_depth is None and isinstance(source, WeightEntry):
            max_depth = source.config.get("max_depth")
        backbone = ViT(
            size.backbone,
            include_top=False,
            pooling=None,
            input_shape=input_shape,
            patch_size=patch_size,
            dim=dim,
            depth=depth,
            num_heads=num_heads,
            layer_scale_init=1.0,
            interpolation="bicubic_plain",
            drop_path=drop_path,
            preprocess=self.preprocess_of(source, preprocess, variant),
            include_preprocessing=include_preprocessing,
            seed=seed,
        )
        norm, grid = backbone.get_layer("norm"), backbone.get_layer("positions").grid_size
        tokens = [norm(backbone.get_layer(f"block{i}").output) for i in places]
        maps = [dpt.reassemble(x, grid, k, widths[k]) for k, x in enumerate(tokens)]
        images = backbone.inputs[0]
        x = dpt.head(dpt.fuse(maps, fused), tuple(images.shape[1:3]), max_depth)
        super().__init__(images, x, **kwargs)
        self.keep(given)
        self.max_depth = max_depth
        self.affine_invariant = AffineInvariantLoss()
        self._backbone_names = sorted(layer.name for layer in backbone.layers)
        self.finish([f"block{i}" for i in range(blocks)], source, accept_license)

    @staticmethod
    def input_size(height: int, width: int, size: int = 518, multiple: int = 14) -> tuple[int, int]:
        """The height and width to which the authors resize an image.

        Args:
            height: Of the image.
            width: Of the image.
            size: Length that the shorter side gets at least.
            multiple: What both divide by: the side of a patch.

        Example:
            >>> DepthAnything.input_size(480, 640)
            (518, 686)
        """
        require_integers(height=height, width=width, size=size, multiple=multiple)
        scale = size / min(height, width)

        def fitted(n: int) -> int:
            near = round(n * scale / multiple) * multiple
            return near if near >= size else math.ceil(n * scale / multiple) * multiple

        return fitted(height), fitted(width)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The loss of `compile`; without one, the affine-invariant loss of relative depths.

        Args:
            x: Images.
            y: Depths, (batch, height, width); those that are not finite do not count.
            y_pred: The model's depths.
            sample_weight: (batch,), or `None`.
            training: Whether the model is being trained.

        Raises:
            ValueError: If a metric model was compiled without a loss.
        """
        if getattr(self, "loss", None) is not None:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        if self.max_depth is not None:
            raise ValueError(
                "`loss` must be given to `compile` of a metric model, whose depths have a scale. "
                f"Received: loss=None, max_depth={self.max_depth}"
            )
        loss = self.affine_invariant(y, y_pred, sample_weight)
        for extra in self.losses:
            loss = loss + extra
        return loss

    def feature(self, level: int) -> Tensor:
        """The patches after a block, as a map; without the last norm.

        Args:
            level: The number of the block.
        """
        tokens = self.get_layer(f"block{level}").output
        return patch_map(tokens, self.get_layer("positions").grid_size)

    def backbone_layers(self) -> list[Any]:
        """The layers of the transformer: training the rest keeps its features."""
        return [layer for layer in self.layers if layer.name in self._backbone_names]

    @classmethod
    def signature_of(cls, variant: str) -> tuple[int, int]:
        """Depth and width of the backbone."""
        return ViT.signature_of(cls.settings_of(variant).backbone)

    @classmethod
    def config_of(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Size of the patches and of the images."""
        patch, _, channels, _ = shapes["patches.projection.kernel"]
        side = math.isqrt(max(shapes["positions.embeddings"][:-1]) - 1) * patch
        return {"patch_size": patch, "input_shape": (side, side, channels)}

    @classmethod
    def _inferred(cls, path: Path, layout: str | None, variant: str | None) -> dict[str, Any]:
        """Only with a variant: no shape tells the version."""
        if variant is None:
            raise ValueError(
                f"`variant` must be given: files of versions 1 and 2, such as {path}, differ in "
                "nothing but their numbers."
            )
        return super()._inferred(path, layout, variant)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A metric model of one block."""
        small: dict[str, Any] = {"input_shape": (2, 3, 3), "patch_size": 1, "dim": 4, "depth": 1}
        small |= {"num_heads": 1, "taps": (0, 0, 0, 0), "neck": (2, 2, 2, 2), "fusion_dim": 4}
        dead = ("block0/attention/key/bias",)
        # Of so many images one opens each rectifier, whatever the first weights.
        images = TensorSpec((6, 2, 3, 3))
        yield Example(cls, {**small, "max_depth": 2.0}, images, dead=dead)

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Unknown words, numbers out of range, cut patches."""
        yield Rejection(cls, {"variant": "v3_small"}, "variant")
        yield Rejection(cls, {"taps": (0, 1, 2)}, "taps")
        yield Rejection(cls, {"taps": (0, 1, 2, 12)}, "taps")
        yield Rejection(cls, {"neck": (0, 1, 2, 3)}, "neck")
        yield Rejection(cls, {"fusion_dim": 1}, "fusion_dim")
        yield Rejection(cls, {"num_heads": 5}, "num_heads")
        yield Rejection(cls, {"input_shape": (30, 28, 3)}, "input_shape")
        yield Rejection(cls, {"weights": 3}, "weights")


def _taps(taps: Sequence[int], blocks: int) -> tuple[int, ...]:
    whole = all(isinstance(i, int) and 0 <= i < blocks for i in taps)
    if len(taps) != LEVELS or not whole or list(taps) != sorted(taps):
        raise ValueError(
            f"`taps` must be {LEVELS} numbers of blocks, from 0 to {blocks - 1}, in order. "
            f"Received: taps={tuple(taps)}"
        )
    return tuple(taps)


def _neck(neck: Sequence[int]) -> tuple[int, ...]:
    if len(neck) != LEVELS:
        raise ValueError(
            f"`neck` must be the channels of {LEVELS} maps. Received: neck={tuple(neck)}"
        )
    for channels in neck:
        require_integers(neck=channels)
    return tuple(neck)
